"""List runs, the newest first; keep, remove or pin them.

hw runs --pipeline flights
hw runs keep RUN           # the garbage collector never removes it
hw runs rm RUN
hw runs pin RUN train best # keeps one result under a name; hw runs pins lists them
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from headwater.cli import options, text
from headwater.errors import RequestError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from headwater.digest import Json
    from headwater.index import RunSummary
    from headwater.workspace import Workspace


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    verbs = ["list", "keep", "unkeep", "rm", "pin", "unpin", "pins"]
    parser.add_argument("verb", nargs="?", choices=verbs, default="list", help="default: list")
    parser.add_argument("words", nargs="*", metavar="RUN", help="runs; for pin: RUN STEP NAME; for unpin: NAME")
    parser.add_argument("--pipeline", metavar="NAME", help="only runs of this pipeline")
    states = ["running", "succeeded", "failed", "cancelled", "interrupted"]
    parser.add_argument("--status", choices=states, help="only runs that ended so, or that run")
    parser.add_argument("-n", "--limit", type=options.count, default=20, help="at most so many; default 20")
    options.add_json(parser)
    options.add_store(parser)


def run(args: argparse.Namespace) -> int:
    """Carry the command out."""
    workspace = options.records(args)
    if args.verb == "pins":
        return _list_pins(workspace, args)
    if args.verb == "list":
        return _list(workspace, args)
    if not args.words:
        raise RequestError(f"hw runs {args.verb}: which?", hint="hw runs lists them")
    if args.verb in ("pin", "unpin"):
        return _pin(workspace, args)
    from headwater import housekeeping

    runs = [workspace.find_run(word) for word in args.words]
    if args.verb == "rm":
        housekeeping.remove_runs(workspace.store, runs)
    for found in runs:
        if args.verb == "keep":
            housekeeping.keep(workspace.store, found)
        elif args.verb == "unkeep":
            housekeeping.unkeep(workspace.store, found)
        print(f"{ {'keep': 'kept', 'unkeep': 'not kept', 'rm': 'removed'}[args.verb] } {found}")
    return 0


def _pin(workspace: Workspace, args: argparse.Namespace) -> int:
    from headwater import housekeeping
    from headwater.cli.steps import one_step

    if args.verb == "unpin":
        for name in args.words:
            housekeeping.unpin(workspace.store, name)
            print(f"unpinned {name}")
        return 0
    if len(args.words) != 3:
        raise RequestError("a pin needs a run, a step and a name", hint="hw runs pin RUN STEP NAME")
    run_id, step, name = args.words
    record = workspace.record(run_id)
    found = one_step(record, step, command="show")
    outputs = found.outputs
    if not outputs:
        raise RequestError(
            f"step '{step}' gave nothing that could be pinned",
            facts={"run": record.run, "status": found.status},
            hint=f"hw show {record.run} lists the steps",
        )
    for output, document in outputs.items():
        label = name if len(outputs) == 1 else f"{name}.{output}"
        source: dict[str, Json] = {"run": record.run, "step": step, "output": output}
        housekeeping.pin(workspace.store, label, cast("dict[str, Json]", document), source=source)
        print(f"pinned {label}")
    return 0


def _list_pins(workspace: Workspace, args: argparse.Namespace) -> int:
    from headwater import housekeeping

    found = housekeeping.pins(workspace.store)
    if args.json:
        options.print_json(
            [{"name": pin.name, "artifact": _brief(pin.artifact), "source": dict(pin.source)} for pin in found]
        )
        return 0
    rows = [
        [
            pin.name,
            *(str(pin.source.get(name, "")) for name in ("run", "step", "output")),
            str(pin.artifact["digest"])[:12],
        ]
        for pin in found
    ]
    print(text.table(["pin", "run", "step", "output", "artifact"], rows) if rows else "no pins yet")
    return 0


def _brief(artifact: Mapping[str, Json]) -> Json:
    return {name: artifact.get(name) for name in ("digest", "type", "bytes")}


def _list(workspace: Workspace, args: argparse.Namespace) -> int:
    from headwater.types import RunStatus

    status = RunStatus(args.status) if args.status else None
    found = workspace.index.runs(pipeline=args.pipeline, status=status, limit=args.limit)
    if args.json:
        options.print_json([_document(each) for each in found])
        return 0
    rows = [
        [
            each.run,
            each.pipeline,
            each.status.value,
            text.moment(each.started),
            text.duration(each.seconds),
            _counts(each),
        ]
        for each in found
    ]
    print(text.table(["run", "pipeline", "status", "started", "took", "steps"], rows) if rows else "no runs yet")
    return 0


def _counts(summary: RunSummary) -> str:
    return ", ".join(f"{count} {status.value}" for status, count in summary.steps.items())


def _document(summary: RunSummary) -> Json:
    return {
        "run": summary.run,
        "pipeline": summary.pipeline,
        "status": summary.status.value,
        "started": summary.started,
        "ended": summary.ended,
        "seconds": summary.seconds,
        "steps": {status.value: count for status, count in summary.steps.items()},
    }
