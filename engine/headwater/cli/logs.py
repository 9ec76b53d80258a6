"""Print what steps wrote: prints, logging, output of other programs.

hw logs                    # of the latest run
hw logs RUN train -f       # one step's, as it comes
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from headwater.cli import options

if TYPE_CHECKING:
    import argparse

    from headwater.record import TextLine

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

    workspace = options.workspace(args, create=False)
    run_id = workspace.find_run(args.run_id)
    if args.step is not None:
        step_of(workspace.record(run_id), args.step)
    after = ""
    lines: list[TextLine] = []
    while True:
        is_running = args.follow and workspace.record(run_id).status is RunStatus.RUNNING
        page = read_text(workspace.store, run_id, step=args.step, after=after)
        after = page.cursor
        if args.json:
            lines.extend(page.lines)
        else:
            for line in page.lines:
                _print(line, named=args.step is None)
        if not is_running:
            break
        time.sleep(_FOLLOW_SECONDS)
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


def _print(line: TextLine, *, named: bool) -> None:
    for text in line.text.splitlines():
        print(f"{line.step} | {text}" if named else text, flush=True)
