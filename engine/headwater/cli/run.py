"""Run a pipeline; steps whose code, inputs and environment are unchanged are reused.

What the pipeline gave is printed at the end.

hw run pipeline.py depth=8
hw run pipeline.py:train --until clean
hw run --plan plan.json
"""

from __future__ import annotations

import shlex
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from headwater.cli import options, text

if TYPE_CHECKING:
    import argparse

    from headwater.run import RunResult


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    options.add_target(parser, nargs="?")  # with --plan it comes from the plan
    parser.add_argument("--plan", metavar="FILE", help="do what a saved plan says and nothing else")
    parser.add_argument(
        "--keep-going", action="store_true", help="after a failure, go on with all that does not depend on it"
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="a line for each step that is reused, too")
    parser.add_argument("-q", "--quiet", action="store_true", help="print failures only")
    options.add_json(parser)
    options.add_store(parser)


def run(args: argparse.Namespace) -> int:
    """Carry the command out."""
    from headwater.cli.live import live_view
    from headwater.errors import RequestError

    chosen = options.run_options(args)
    target = args.target
    if args.plan:
        from headwater.workspace import load_plan

        if target is not None and ("=" in target or args.words):
            raise RequestError("a saved plan has its parameters already", hint="hw run --plan FILE")
        plan = load_plan(Path(args.plan))
        chosen, target = replace(chosen, plan=plan, selection=plan.chosen()), target or plan.target
        args.target = target  # hints are made of it
    if target is None:
        raise RequestError("what is to be run?", hint=f"hw run TARGET: {options.TARGET}")
    with live_view(is_quiet=args.quiet or args.json, is_verbose=args.verbose) as view:
        result = options.workspace(args).run(
            target, run_options=replace(chosen, view=view, fail_fast=not args.keep_going)
        )
    tell(result, args)
    return status_of(result, args)


def tell(result: RunResult, args: argparse.Namespace) -> None:
    """Print the answer of a run: all of it as JSON, or what the pipeline gave."""
    from headwater.cli.answer import answer
    from headwater.cli.place import told_again

    if args.json:
        options.print_json(result.document())
    elif (
        result.succeeded and not args.quiet and (given := answer(result.record.output, get=told_again("hw get", args)))
    ):
        print(given)


def status_of(result: RunResult, args: argparse.Namespace) -> int:
    """Return the exit status of a run, and print what failed to stderr."""
    from headwater.cli.place import told_again
    from headwater.types import RunStatus, StepStatus

    for step in result.steps:
        if step.status is StepStatus.FAILED and step.error is not None:
            told = f"{step.error.get('class')}: {step.error.get('message')}"
            print(f"error: step '{step.step}' failed: {text.shown(told, sys.stderr)}", file=sys.stderr)
            for line in cast("list[str]", step.error.get("traceback") or []):
                print(f"  {text.shown(line, sys.stderr)}".rstrip(), file=sys.stderr)
            name = shlex.quote(step.step)
            hint = f"hw logs {result.run} {name}, or hw debug {result.run} {name}"
            print(f"  hint: {told_again(hint, args)}", file=sys.stderr)
    match result.status:
        case RunStatus.SUCCEEDED:
            return 0
        case RunStatus.CANCELLED:
            # Whoever pressed Ctrl-C twice may still be pressing while the process ends.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            return 130
        case _:
            return 1
