"""Ctrl-C: once to stop cleanly and record, twice to stop at once. SIGTERM and SIGHUP are taken like Ctrl-C."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, Self

from headwater.run.places import Stop
from headwater.worker.current import current

if TYPE_CHECKING:
    import queue
    from collections.abc import Callable
    from types import FrameType, TracebackType

    from headwater.run.places import Item


class Signals:
    """While it is entered, SIGINT, SIGTERM and SIGHUP become requests to stop the run. Only in the main thread.

    A SIGHUP that is ignored stays ignored: that is how ``nohup`` lets a run outlive its terminal.
    """

    def __init__(self, inbox: queue.SimpleQueue[Item], interrupt: Callable[[], None] = lambda: None) -> None:
        self._inbox = inbox
        #: Stops what keeps the loop itself from going on.
        self._interrupt = interrupt
        self._before: dict[int, signal._HANDLER] = {}
        #: How many requests came.
        self.count = 0

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                if number is signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
                    continue
                self._before[number] = signal.signal(number, self._stop)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        del frame
        if current() is not None:
            # A step is being performed by this very thread. It ends by this, and then its backend asks again.
            raise KeyboardInterrupt
        self.count += 1
        # SimpleQueue.put may be called from a signal handler; the loop wakes up by it.
        self._inbox.put(Stop(hard=self.count > 1, by=signal.Signals(number).name))
        self._interrupt()
