"""The backend ``threads``: attempts are performed by a few threads of this process."""

from __future__ import annotations

import queue
import threading
import time
from typing import TYPE_CHECKING, Literal

from headwater.backend import INTERFACE, Capabilities, Capability
from headwater.errors import ConfigError
from headwater.local.here import Here
from headwater.types import Fault, Resources
from headwater.worker.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headwater.backend import Attempt, BackendContext, Handle, Report, StepFailure

#: Seconds that running attempts get to end when the backend is closed.
_PATIENCE = 5.0


class ThreadsBackend:
    """Performs attempts in as many threads as there are cores, or as the setting ``threads`` says."""

    def __init__(self, context: BackendContext) -> None:
        self._context = context
        self._size = _size(context)
        self._ledger = Ledger(context.sink)
        self._here = Here(context, self._ledger, extent="thread", most=self._size)
        self._queue: queue.SimpleQueue[Attempt | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []

    @property
    def capabilities(self) -> Capabilities:
        """Limits are kept by step processes; a step that runs here cannot be stopped for certain."""
        can = frozenset({Capability.TIMEOUT, Capability.MEMORY_LIMIT, Capability.OWN_PROCESS})
        return Capabilities(INTERFACE, can, Resources(cpus=self._size))

    def submit(self, attempts: Sequence[Attempt]) -> Sequence[Handle | StepFailure]:
        """Queue attempts for the threads."""
        fresh = [attempt for attempt in attempts if self._ledger.take(attempt.attempt_id)]
        while len(self._threads) < min(self._size, len(self._threads) + len(fresh)):
            name = f"{self._context.name}-{len(self._threads)}"
            # Not waited for at exit: a step that cannot be stopped must not keep the interpreter alive.
            thread = threading.Thread(target=self._work, args=(name,), name=f"headwater {name}", daemon=True)
            self._threads.append(thread)
            thread.start()
        for attempt in fresh:
            self._queue.put(attempt)
        return [attempt.attempt_id for attempt in attempts]

    def poll(self, handles: Sequence[Handle]) -> Sequence[Report]:
        """Tell how attempts stand."""
        return self._ledger.poll(handles)

    def cancel(self, handles: Sequence[Handle], grace: float) -> None:
        """Stop attempts: those in step processes and those that wait for certain, others when they run Python code."""
        self._here.stop(self._ledger.open(handles), grace)

    def close(self, how: Literal["detach", "cancel"]) -> None:
        """Stop what runs, end threads and step processes; nothing can be left running."""
        del how
        for _ in self._threads:
            self._queue.put(None)
        self._here.stop(self._ledger.open(), 0)
        end = time.monotonic() + _PATIENCE
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))
        self._here.close()

    def _work(self, name: str) -> None:
        while (attempt := self._queue.get()) is not None:
            try:
                self._here.perform(attempt, label=name)
            except Exception as error:  # noqa: BLE001  the thread must go on
                self._ledger.fail(attempt.attempt_id, Fault.TRANSIENT, type(error).__name__, str(error))


def _size(context: BackendContext) -> int:
    size = context.settings.get("threads", context.cores)
    if not isinstance(size, int) or isinstance(size, bool) or size < 1:
        raise ConfigError(f"the setting 'threads' of backend '{context.name}' must be a whole number from 1")
    return size
