"""Print what steps wrote: prints, logging, output of other programs.

hw logs                    # of the latest run
hw logs RUN train -f       # one step's, as it comes
"""

from __future__ import annotations

import shlex
import sys
import time
from typing import TYPE_CHECKING

from headwater.cli import options, text

if TYPE_CHECKING:
    import argparse

    from headwater.record import TextLine
    from headwater.run import RunResult

_FOLLOW_SECONDS = 0.5


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("run_id", metavar="RUN", nargs="?", default="latest", help="a run's id, or how it begins")
    parser.add_argument("step", metavar="STEP", nargs="?", help="a step of it")
    parser.add_argument("-f", "--follow", action="store_true", help="go on while the run does")
    options.add_json(parser)
    options.add_store(parser)


def run(args: argparse.Namespace) -> int:
    """Carry the command out."""
    from headwater.record import read_text
    from headwater.types import RunStatus
    from headwater.workspace import step_of

    workspace = options.records(args)
    run_id = workspace.find_run(args.run_id)
    if args.step is not None:
        step_of(workspace.record(run_id), args.step)
    is_empty = True
    after = ""
    lines: list[TextLine] = []
    while True:
        is_running = args.follow and workspace.record(run_id).status is RunStatus.RUNNING
        page = read_text(workspace.store, run_id, after=after)
        after = page.cursor
        # A map's name stands for its elements.
        found = [line for line in page.lines if args.step in (None, line.step, line.step.partition("[")[0])]
        is_empty = is_empty and not found
        if args.json:
            lines.extend(found)
        else:
            for line in found:
                _print(line, named=line.step != args.step)
        if not is_running:
            break
        time.sleep(_FOLLOW_SECONDS)
    if is_empty:
        _tell_why(workspace.result(run_id), args)
    if args.json:
        options.print_json(
            [
                {
                    "step": line.step,
                    "attempt": line.attempt,
                    "stream": line.stream,
                    "time": line.time,
                    "text": line.text,
                }
                for line in lines
            ]
        )
    return 0


def _tell_why(result: RunResult, args: argparse.Namespace) -> None:
    """Say why there is nothing to print: what steps wrote is in the log of the run in which they ran."""
    from headwater.cli.place import told_again
    from headwater.cli.steps import steps_of

    steps = result.steps if args.step is None else steps_of(result.record, args.step)
    original = {step.step: step.trace for step in steps if step.trace is not None and step.trace.run != result.run}
    subject = f"run {result.run}" if args.step is None else f"step '{args.step}' of run {result.run}"
    if not original:
        print(f"{subject} wrote nothing", file=sys.stderr)
        return
    what = "it was" if len(steps) == 1 and args.step is not None else f"{len(original)} of {len(steps)} steps were"
    print(f"{subject} wrote nothing: {what} reused; for what was written before:", file=sys.stderr)
    if args.step is None:
        commands = [["hw", "logs", run] for run in dict.fromkeys(trace.run for trace in original.values())]
    else:
        commands = [["hw", "logs", trace.run, trace.step] for trace in original.values()]
    for command in commands:
        print(f"  {told_again(shlex.join(command), args)}", file=sys.stderr)


def _print(line: TextLine, *, named: bool) -> None:
    for each in line.text.splitlines():
        shown = text.shown(each, sys.stdout)
        print(f"{line.step} | {shown}" if named else shown, flush=True)
