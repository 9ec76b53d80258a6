"""What runs on Dask's workers: tasks that only wait, while step processes do the work.

A Dask worker cannot stop a thread: a hung task would occupy it for ever, and a step that ends its process would end
the worker. So each worker keeps step processes, and a task hands attempts to one of them. A worker never dies of a
step, and a step can be stopped at any time.
"""

from __future__ import annotations

import asyncio
import re
import threading
from typing import TYPE_CHECKING, Any

from distributed import WorkerPlugin, get_worker

from headwater.backend import Attempt
from headwater.worker import StepPool

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from headwater.backend import LogLine, Outcome
    from headwater.digest import Json

#: Seconds that lines are collected for before they are sent together.
_SOON = 0.05
#: Seconds after which a step process that nobody needed is ended.
_IDLE = 60.0

#: (worker's id, epoch) → its step processes. A Dask worker is a process of many clients.
_POOLS: dict[tuple[str, str], StepPool] = {}


class StepProcesses(WorkerPlugin):
    """Gives a worker a pool of step processes as long as one driver is connected."""

    def __init__(self, *, epoch: str, label: str, project: str) -> None:
        #: Names the driver's connection; also the plugin's name.
        self.name = epoch
        self._label = label
        self._project = project
        self._ended = threading.Event()

    def setup(self, worker: Any) -> None:
        """Make the pool; its processes are started by the first attempts."""
        plain = re.sub(r"[^A-Za-z0-9.]+", "-", str(worker.name)).strip("-")
        label = self._label if worker.name == 0 else f"{self._label}-{plain}"
        pool = StepPool(name=label, project=self._project, most=worker.state.nthreads)
        _POOLS[worker.id, self.name] = pool
        self._ended = threading.Event()
        threading.Thread(target=_trim, args=(pool, self._ended), name="headwater trim", daemon=True).start()

    def teardown(self, worker: Any) -> None:
        """End all step processes of this driver."""
        self._ended.set()
        pool = _POOLS.pop((worker.id, self.name), None)
        if pool is not None:
            pool.close()

    def transition(self, key: Any, start: str, finish: str, **others: Any) -> None:
        """Stop the attempts of a task that nobody waits for any more: the driver is gone."""
        del others
        if start == "executing" and finish in {"cancelled", "released", "forgotten"}:
            for (_, epoch), pool in list(_POOLS.items()):
                if epoch == self.name and str(key).startswith(self.name):
                    threading.Thread(target=pool.abandon, args=(str(key),), daemon=True).start()

    def __getstate__(self) -> dict[str, object]:
        return {"name": self.name, "_label": self._label, "_project": self._project}


def _trim(pool: StepPool, ended: threading.Event) -> None:
    while not ended.wait(_IDLE / 2):
        pool.trim(_IDLE)


def perform_group(documents: Sequence[dict[str, Json]], epoch: str, key: str) -> list[dict[str, Json]]:
    """Perform attempts one after the other; returns their outcomes. Starts and lines are told as they happen."""
    worker = get_worker()
    outcomes: list[Outcome] = []
    lines = _Lines(lambda message: worker.log_event(epoch, message))

    def on_start(attempt_id: str) -> None:
        worker.log_event(epoch, {"start": attempt_id, "worker": worker.address})

    def on_outcome(outcome: Outcome) -> None:
        lines.send()
        outcomes.append(outcome)
        if len(outcomes) < len(documents):  # the last one comes with the result, at once
            worker.log_event(epoch, {"outcome": outcome.document()})

    attempts = [Attempt.from_document(document) for document in documents]
    _POOLS[worker.id, epoch].perform(attempts, on_line=lines.add, on_outcome=on_outcome, on_start=on_start, group=key)
    return [outcome.document() for outcome in outcomes]


class _Lines:
    """Collects lines for a moment, so that a step that prints much does not send a message for each."""

    def __init__(self, send: Callable[[dict[str, Json]], None]) -> None:
        self._send = send
        self._lock = threading.Lock()
        self._pending: list[Json] = []

    def add(self, line: LogLine) -> None:
        """Take a line; it is sent soon."""
        with self._lock:
            self._pending.append([line.attempt_id, line.stream, line.text, line.time])
            if len(self._pending) == 1:
                timer = threading.Timer(_SOON, self.send)
                timer.daemon = True
                timer.start()

    def send(self) -> None:
        """Send what there is."""
        with self._lock:
            pending, self._pending = self._pending, []
            if pending:
                self._send({"lines": pending})


async def stop_attempts(epoch: str, attempt_ids: Sequence[str], grace: float, dask_worker: Any = None) -> None:
    """Stop attempts on this worker; runs beside its tasks."""
    pool = _POOLS.get((dask_worker.id, epoch))
    if pool is not None:
        await asyncio.to_thread(pool.stop, attempt_ids, grace)


def resources_here(dask_worker: Any = None) -> dict[str, float]:
    """Return the named resources of this worker."""
    return dict(dask_worker.state.total_resources)


async def store_here(url: str) -> str:
    """Return the id of the store as it is seen from this worker, or why it is not seen."""

    def look() -> str:
        from headwater.errors import HeadwaterError
        from headwater.store import open_store

        try:
            return open_store(url, create=False).id
        except (HeadwaterError, OSError, ImportError) as error:
            return f"{type(error).__name__}: {error}"

    return await asyncio.to_thread(look)
