"""End the process of the command line, whatever steps that ran in it left behind."""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

#: Seconds that threads get to end by themselves, and the functions of ``atexit`` when some did not.
_GRACE = 5.0
_LAST = 2.0


def leave(status: int) -> None:
    """Return where the process can end; end it here, with a status, where threads would keep it alive for ever."""
    if not _others():
        return
    from headwater.worker.current import step_of

    futures = sys.modules.get("concurrent.futures.thread")
    if futures is not None:  # as Python does at its end: idle threads of executors are told to go
        _start(futures._python_exit)  # noqa: SLF001  there is no other way to reach all of them
    end = time.monotonic() + _GRACE
    while (left := _others()) and time.monotonic() < end:
        time.sleep(0.01)
    if not left:
        return
    for thread in left:
        step = step_of(thread)
        whose = f"step '{step}'" if step else "the pipeline's code"
        print(f"warning: {whose} left the thread {thread.name!r} running; it ends with this process", file=sys.stderr)
    _start(atexit._run_exitfuncs).join(_LAST)  # noqa: SLF001  Python itself would wait for the threads first
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(status)


def _others() -> list[threading.Thread]:
    """Return the threads that Python would wait for."""
    return [thread for thread in threading.enumerate() if not thread.daemon and thread is not threading.main_thread()]


def _start(function: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=function, daemon=True)
    thread.start()
    return thread
