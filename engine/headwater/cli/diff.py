"""Compare two runs: parameters, what became of steps, parts of their keys, outputs.

hw diff                    # the latest run with the one before it
hw diff OLD                # a run with the latest
hw diff OLD NEW --full
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from headwater.cli import options
from headwater.errors import RequestError

if TYPE_CHECKING:
    import argparse

    from headwater.digest import Json
    from headwater.lineage import Difference
    from headwater.workspace import Workspace


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("runs", metavar="RUN", nargs="*", help="the older and the newer run; default: the latest two")
    parser.add_argument("--full", action="store_true", help="every part that differs, on a line of its own")
    options.add_json(parser)
    options.add_store(parser)


def run(args: argparse.Namespace) -> int:
    """Carry the command out."""
    workspace = options.records(args)
    difference = workspace.diff(*_chosen(workspace, args.runs))
    changes = _code_changes(workspace, difference)
    if args.json:
        document = difference.document()
        for step in cast("list[dict[str, Json]]", document["steps"]):
            step["code"] = cast("Json", changes.get(str(step["step"]), []))
        options.print_json(document)
        return 0
    from headwater.lineage import diff_text

    print(diff_text(difference, code=changes, is_full=args.full), end="")
    return 0


def _chosen(workspace: Workspace, words: list[str]) -> tuple[str, str]:
    """Return the older and the newer run; by default the latest run and the one of the same pipeline before it."""
    if len(words) > 2:
        raise RequestError("hw diff compares two runs", hint="hw diff OLD NEW")
    if len(words) == 2:
        return words[0], words[1]
    latest = workspace.record("latest")
    if words:
        return words[0], latest.run
    earlier = [each.run for each in workspace.index.runs(pipeline=latest.pipeline, limit=2) if each.run != latest.run]
    if not earlier:
        raise RequestError(f"{latest.pipeline} has one run only", hint="run it again, or name two runs: hw runs")
    return earlier[0], latest.run


def _code_changes(workspace: Workspace, difference: Difference) -> dict[str, list[str]]:
    """Say in words what changed in the code of the steps whose code did."""
    return {
        step.step: workspace.code_changes(*difference.runs, step.step)
        for step in difference.steps
        if any(part["part"] == "code" for part in step.parts)
    }
