"""Copy an artifact out of the store: to a file, or print a plain value.

hw get RUN evaluate                        # plain values, as JSON
hw get RUN join -o joined.parquet          # a table: .parquet, .csv, .arrow
hw get RUN write_page page -o page.html    # one of several outputs
hw get 3f2a9c01 -o model.joblib            # by how its digest begins
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, cast

from headwater.cli import options
from headwater.cli.steps import named, one_step, steps_of
from headwater.errors import RequestError

if TYPE_CHECKING:
    import argparse

    from headwater.digest import Json
    from headwater.workspace import Workspace


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("thing", metavar="RUN|DIGEST", help="a run, or how the digest of an artifact begins")
    parser.add_argument("step", metavar="STEP", nargs="?", help="a step of the run")
    parser.add_argument("output", metavar="OUTPUT", nargs="?", help="one of the step's outputs, when it has several")
    parser.add_argument("-o", "--output-file", metavar="FILE", help="where to; - prints the stored bytes")
    parser.add_argument("-n", "--no-clobber", action="store_true", help="do not replace a file that is there")
    options.add_json(parser)
    options.add_store(parser)


def _check_is_artifact(workspace: Workspace, thing: str) -> None:
    """Raise RequestError for a run without a step; it lists the steps that gave something."""
    try:
        run = workspace.find_run(thing)
    except RequestError:
        if thing == "latest":
            raise
        return
    steps = [step for step in workspace.result(run).steps if step.outputs]
    raise RequestError(
        f"what of run {run}? name a step",
        facts={"steps": named(steps) or "none that gave something"},
        hint=f"hw get {thing} STEP" if steps else f"hw show {thing}",
    )


def _print_several(workspace: Workspace, args: argparse.Namespace) -> bool:
    """Print plain values together: several outputs of a step, and those of all elements of a map."""
    from headwater import export

    record = workspace.record(args.thing)
    steps = steps_of(record, args.step)
    is_map = steps[0].step != args.step
    if missing := [step for step in steps if not step.outputs]:
        raise RequestError(
            f"{'element' if is_map else 'step'} '{missing[0].step}' gave nothing",
            facts={"run": record.run, "status": missing[0].status, "reason": missing[0].reason},
            hint=shlex.join(["hw", "show", record.run, missing[0].step]),
        )
    outputs = [workspace.artifacts(record.run, step.step) for step in steps]
    is_plain = all(each.type == "json" for several in outputs for each in several.values())
    if args.output or args.output_file or not is_plain:
        one_step(record, args.step, command="get")
        return False
    if not is_map and len(outputs[0]) < 2:
        return False
    values = [{name: export.as_json(each, workspace.store) for name, each in several.items()} for several in outputs]
    found = [value["result"] if list(value) == ["result"] else cast("Json", value) for value in values]
    options.print_json(found if is_map else found[0])
    return True


def run(args: argparse.Namespace) -> int:
    """Carry the command out."""
    from headwater import export

    workspace = options.records(args)
    if args.step is None:
        _check_is_artifact(workspace, args.thing)
    elif _print_several(workspace, args):
        return 0
    artifact = workspace.artifact(args.thing, args.step, args.output)
    if args.output_file == "-":
        sys.stdout.buffer.write(export.body(artifact, workspace.store))
        return 0
    if args.output_file is None and artifact.type == "json":
        options.print_json(export.as_json(artifact, workspace.store))
        return 0
    name = args.output_file or export.suggested_name(artifact, args.output or args.step or artifact.digest[:12])
    path = Path(name)
    if path.exists() and (args.no_clobber or args.output_file is None):
        raise RequestError(f"{name} is there already", hint="name another file with -o, or this one to replace it")
    with options.writing(name):
        export.save(artifact, workspace.store, path)
    if artifact.type == "pickle":
        print("a pickle: written as it is, not opened; opening it runs code of whoever made it", file=sys.stderr)
    if args.json:
        options.print_json({"file": name, **{k: v for k, v in artifact.document().items() if k != "inline"}})
    else:
        print(name)
    return 0
