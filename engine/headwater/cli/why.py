"""Say why steps ran or were reused, down to the function and line that changed.

hw why                     # every step of the latest run
hw why train
hw why RUN train
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from headwater.cli import options, text
from headwater.errors import RequestError

if TYPE_CHECKING:
    import argparse

    from headwater.digest import Json
    from headwater.record import StepRecord


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("words", metavar="[RUN] [STEP]", nargs="*", help="a run (default: the latest), a step of it")
    options.add_json(parser)
    options.add_store(parser)


def run(args: argparse.Namespace) -> int:
    """Carry the command out."""
    from headwater.cli.steps import steps_of

    workspace = options.records(args)
    if len(args.words) > 2:
        raise RequestError("hw why takes a run and a step", hint="hw why [RUN] [STEP]")
    run_id, name = "latest", None
    if len(args.words) == 2:
        run_id, name = args.words
    elif args.words:
        try:
            run_id = workspace.find_run(args.words[0])
        except RequestError:
            name = args.words[0]
    result = workspace.result(run_id)
    steps = steps_of(result.record, name) if name else list(result.steps)
    if args.json:
        options.print_json({"run": result.run, "steps": [_document(step) for step in steps]})
        return 0
    for step in steps:
        print(f"{step.step} {_verb(step)}: {text.shown(step.reason, sys.stdout) or 'no reason recorded'}")
        for change in step.changes:
            if change != step.reason:
                print(f"    {change}")
    return 0


def _verb(step: StepRecord) -> str:
    return {"ran": "ran", "reused": "was reused", "skipped": "was skipped"}.get(step.status.value, step.status.value)


def _document(step: StepRecord) -> dict[str, Json]:
    return {
        "name": step.step,
        "status": step.status.value,
        "reason": step.reason,
        "changes": list(step.changes),
        "trace": None if step.trace is None else {"run": step.trace.run, "step": step.trace.step},
    }
