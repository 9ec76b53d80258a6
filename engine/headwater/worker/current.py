"""Which attempt the running code belongs to, when several share a process.

A thread that performs an attempt is marked by a context variable; threads that the step starts carry the mark too
(contexts are not inherited by threads before Python 3.14).
"""

from __future__ import annotations

import functools
import threading
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from headwater.worker.capture import Recorder
    from headwater.worker.observe import Observer


class Performance:
    """What watches over one attempt while its body runs."""

    __slots__ = ("idempotency_key", "is_over", "observer", "recorder", "step")

    def __init__(self, recorder: Recorder | None = None, *, step: str = "", idempotency_key: str = "") -> None:
        self.recorder = recorder
        self.step = step
        self.idempotency_key = idempotency_key
        self.observer: Observer | None = None
        #: Set when the attempt has ended; threads that it left behind belong to nothing then.
        self.is_over = False


class _State:
    """What this process knows of attempts: there is one process, so there is one of these."""

    __slots__ = ("is_dedicated", "is_hooked", "running")

    def __init__(self) -> None:
        self.is_hooked = False
        self.is_dedicated = False
        self.running: Performance | None = None


_STATE = _State()
_HERE: ContextVar[Performance | None] = ContextVar("headwater_performance", default=None)
_MARK = "_headwater_performance"


def dedicate() -> None:
    """Say that this process does nothing but perform one attempt after the other: all its threads belong to it."""
    _STATE.is_dedicated = True


def current() -> Performance | None:
    """Return the attempt that the running code belongs to, if any."""
    if _STATE.is_dedicated:
        return _STATE.running
    here = _HERE.get()
    if here is None:  # unlike `current_thread()`, this makes no objects and takes no locks
        thread = threading._active.get(threading.get_ident())  # type: ignore[attr-defined]  # noqa: SLF001
        here = getattr(thread, _MARK, None)
    return None if here is None or here.is_over else here


def idempotency_key() -> str | None:
    """Return what identifies the running step's effect to the outside: the same for every try of it in one run."""
    here = current()
    return here.idempotency_key or None if here is not None else None


def step_of(thread: threading.Thread) -> str:
    """Return the step that started a thread, if one did, and in this process."""
    mark: Performance | None = getattr(thread, _MARK, None)
    return mark.step if mark is not None else ""


@contextmanager
def performing(performance: Performance) -> Iterator[Performance]:
    """Mark what runs inside as belonging to an attempt."""
    _hand_on_to_threads()
    token = _HERE.set(performance)
    _STATE.running = performance
    try:
        yield performance
    finally:
        performance.is_over = True
        _STATE.running = None
        _HERE.reset(token)


def _hand_on_to_threads() -> None:
    """Let threads that a step starts carry its mark. Done once; threads of others are started as ever."""
    if _STATE.is_hooked or _STATE.is_dedicated:
        return
    _STATE.is_hooked = True
    from concurrent.futures.thread import ThreadPoolExecutor

    start = threading.Thread.start

    @functools.wraps(start)
    def marked_start(thread: threading.Thread) -> None:
        here = current()
        if here is not None:
            setattr(thread, _MARK, here)
        start(thread)

    threading.Thread.start = marked_start  # type: ignore[method-assign, assignment]
    submit: Any = ThreadPoolExecutor.submit

    @functools.wraps(submit)
    def marked_submit(pool: Any, function: Any, /, *args: Any, **options: Any) -> Any:
        here = current()
        return submit(pool, function if here is None else functools.partial(_as, here, function), *args, **options)

    ThreadPoolExecutor.submit = marked_submit  # type: ignore[method-assign]


def _as(performance: Performance, function: Callable[..., object], *args: object, **options: object) -> object:
    """Call a function for an attempt, in a thread that may have been started for another."""
    token = _HERE.set(performance)
    try:
        return function(*args, **options)
    finally:
        _HERE.reset(token)
