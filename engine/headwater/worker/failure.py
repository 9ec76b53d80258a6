"""From an exception to a failure as data: whose fault it is, and the traceback of the user's own code."""

from __future__ import annotations

import errno
import importlib
import os
import traceback
from typing import TYPE_CHECKING

from headwater.backend import StepFailure
from headwater.errors import HeadwaterError, ValueNotStorable
from headwater.types import Fault

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

#: Folder of the engine's own code: its frames are not shown, unless there are no others.
_OWN = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep  # noqa: PTH100, PTH120
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.ENOMEM}
_LONGEST_MESSAGE = 20_000


class AttemptFailed(Exception):
    """Ends an attempt with a failure that is known already."""

    def __init__(self, failure: StepFailure) -> None:
        super().__init__(failure.message)
        #: What to report.
        self.failure = failure


def failed(fault: Fault, kind: str, message: str) -> AttemptFailed:
    """Return the exception that ends an attempt with such a failure."""
    return AttemptFailed(StepFailure(fault, kind, message))


def failure_of(error: BaseException, *, in_body: bool, mask: Callable[[str], str] = str) -> StepFailure:
    """Return the failure that an exception stands for; ``in_body`` when the user's code raised it."""
    if isinstance(error, AttemptFailed):
        return _masked(error.failure, mask)
    fault, kind, message = _judge(error, in_body=in_body)
    is_refused = isinstance(error, ValueNotStorable) and not in_body  # none of the user's lines led to it
    lines = user_traceback(error) if in_body or (fault is Fault.USER and not is_refused) else ()
    return _masked(StepFailure(fault, kind, message[:_LONGEST_MESSAGE], lines), mask)


def _judge(error: BaseException, *, in_body: bool) -> tuple[Fault, str, str]:
    kind = type(error).__qualname__
    match error:
        case KeyboardInterrupt():
            return Fault.CANCELLED, kind, "stopped while it ran"
        case SystemExit():
            return Fault.USER, kind, f"the step called sys.exit({'' if error.code is None else repr(error.code)})"
        case MemoryError():
            return Fault.RESOURCE, kind, str(error) or "out of memory"
        case OSError() if error.errno in _NO_ROOM:
            return Fault.RESOURCE, kind, str(error)
        case ValueNotStorable():
            return Fault.USER, "ValueNotStorable", str(error)
        case _ if in_body:
            return Fault.USER, kind, _message(error)
        case HeadwaterError():
            return Fault.CONFIG, kind, str(error)
        case OSError():
            return Fault.TRANSIENT, kind, str(error)
        case _:
            return Fault.CONTRACT, kind, _message(error)


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as trouble:  # noqa: BLE001  the user's __str__ may do anything
        return f"<its text cannot be had: {type(trouble).__name__}>"


def _masked(failure: StepFailure, mask: Callable[[str], str]) -> StepFailure:
    return StepFailure(
        failure.fault, failure.kind, mask(failure.message), tuple(mask(line) for line in failure.traceback)
    )


def user_traceback(error: BaseException) -> tuple[str, ...]:
    """Return the lines of a traceback that starts in the user's code; causes and notes included."""
    _cut(error, set())
    try:
        text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    except Exception:  # noqa: BLE001  the user's exception may refuse to be shown
        text = "".join(traceback.format_tb(error.__traceback__)) + type(error).__qualname__
    return tuple(text.rstrip("\n").split("\n"))


def _cut(error: BaseException | None, seen: set[int]) -> None:
    """Drop the engine's frames before the user's, in the error and in what led to it."""
    if error is None or id(error) in seen:
        return
    seen.add(id(error))
    frames: TracebackType | None = error.__traceback__
    while frames is not None and _is_ours(frames):
        frames = frames.tb_next
    if frames is not None:
        error.__traceback__ = frames
        _cut_end(frames)
    _cut(error.__cause__, seen)
    _cut(error.__context__, seen)


def _cut_end(frames: TracebackType) -> None:
    """Drop the engine's frames after the user's: what it refuses, it refuses at the user's line."""
    last, one = frames, frames.tb_next
    while one is not None:
        if not _is_ours(one):
            last = one
        one = one.tb_next
    last.tb_next = None


def _is_ours(frames: TracebackType) -> bool:
    name = frames.tb_frame.f_code.co_filename
    return name.startswith((_OWN, "<frozen importlib")) or name == importlib.__file__
