"""Run one recorded step again in this process, with its exact inputs, under Python's debugger.

hw debug RUN train             # stops before the step's first line; `c` goes on to where it fails
hw debug RUN train --no-pdb    # only calls it, and prints what it gives
hw debug RUN train --current   # the same inputs, with the project's code as it is now

Nothing is stored.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, cast

from headwater.cli import options

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping

    from headwater.rehearsal import Call, Scene


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("run_id", metavar="RUN", help="a run's id, how it begins, or latest")
    parser.add_argument("step", metavar="STEP", help="a step of it")
    parser.add_argument("--no-pdb", action="store_true", help="without the debugger")
    parser.add_argument("--current", action="store_true", help="with the project's code as it is now")
    options.add_store(parser)


def run(args: argparse.Namespace) -> int:
    """Carry the command out."""
    from headwater import rehearsal
    from headwater.cli.steps import one_step

    workspace = options.records(args)
    one_step(workspace.record(args.run_id), args.step, command="debug")
    scene = workspace.scene(args.run_id, args.step, current=args.current)
    if not args.current:
        rehearsal.check_trust(scene, workspace.keyring)
    _tell(scene)
    call: Call = _called if args.no_pdb else _debugged
    try:
        result = rehearsal.rehearse(scene, call, workspace.reader(scene.record).trusts)
    except _Failed:
        return 1
    except _Left:
        return 0
    print(f"{args.step} gave {result!r}")
    return 0


def _tell(scene: Scene) -> None:
    from headwater import rehearsal

    record, step = scene.record, scene.step
    print(f"{step.step} of run {record.run}: {step.status} ({step.reason})", file=sys.stderr)
    changed = rehearsal.changed_files(scene)
    if changed:
        which = "with the present code" if scene.is_current else "with the code of then; --current takes the present"
        print(f"changed since: {', '.join(changed)}; {which}", file=sys.stderr)


class _Failed(Exception):
    """The step raised, and that was shown."""


class _Left(Exception):
    """The debugger was left before the step ended."""


def _called(function: Callable[..., object], inputs: Mapping[str, object]) -> object:
    from headwater.worker.failure import user_traceback

    try:
        return function(**inputs)
    except Exception as error:
        print("\n".join(user_traceback(error)), file=sys.stderr)
        raise _Failed from error


def _debugged(function: Callable[..., object], inputs: Mapping[str, object]) -> object:
    """Call the step under pdb; when it raises, look at where it did."""
    import pdb  # noqa: T100  the very purpose
    import traceback

    was_left: list[bool] = []

    class Debugger(pdb.Pdb):
        """Remembers that it was left."""

        def set_quit(self) -> None:
            was_left.append(True)
            super().set_quit()

    debugger = Debugger()
    try:
        result = cast("object", debugger.runcall(function, **inputs))
    except Exception as error:
        traceback.print_exc()
        debugger = Debugger()
        debugger.reset()
        debugger.interaction(None, error.__traceback__)
        raise _Failed from error
    if was_left:
        raise _Left
    return result
