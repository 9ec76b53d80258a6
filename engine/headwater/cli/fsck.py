"""Check that everything in a store is what its name, its chain and its signature say; mend what can be mended.

A corrupt object is put aside under quarantine/: steps that need it run again. The exit status is 1 if problems remain.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from headwater.cli import options, text

if TYPE_CHECKING:
    import argparse

    from headwater.housekeeping import Report


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--no-repair", action="store_true", help="change nothing")
    options.add_json(parser)
    options.add_store(parser)


def run(args: argparse.Namespace) -> int:
    """Carry the command out."""
    from headwater import housekeeping
    from headwater.index import Index

    workspace = options.workspace(args, create=False)
    report = housekeeping.check(
        workspace.store, keyring=workspace.keyring, index=Index.open(workspace.store), repair=not args.no_repair
    )
    remaining = [problem for problem in report.problems if not problem.repair]
    if args.json:
        options.print_json(
            {
                "problems": [
                    {"kind": each.kind, "where": each.where, "message": each.message, "repair": each.repair}
                    for each in report.problems
                ],
                "remaining": len(remaining),
                "objects": report.objects,
                "bytes": report.bytes,
                "runs": report.runs,
                "events": report.events,
                "torn": list(report.torn),
            }
        )
    else:
        _print(report, len(remaining))
    return 1 if remaining else 0


def _print(report: Report, remaining: int) -> None:
    for problem in report.problems:
        print(f"{problem.kind}: {problem.where}: {problem.message}" + (f"; {problem.repair}" if problem.repair else ""))
    for run in report.torn:
        print(f"run {run} ends in a torn line, as a crash leaves it: nothing recorded is lost")
    size = text.size(report.bytes)
    counts = [text.counted(report.runs, "run"), text.counted(report.events, "event")]
    print(f"{text.counted(report.objects, 'object')} ({size}), {', '.join(counts)}: ", end="")
    remain = "remains" if remaining == 1 else "remain"
    print(f"{text.counted(remaining, 'problem')} {remain}" if remaining else "all is well")
