"""Perform the first attempts at once: a run that is over soon never waits for a cluster, nor starts one.

Importing ``distributed`` and starting a cluster take longer than many a run. Bodies run in step processes of this
machine either way, so until the local cluster is there they are handed to such processes directly.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from headwater.types import Fault
from headwater.worker import StepPool

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headwater.backend import Attempt, BackendContext, Outcome
    from headwater.worker.ledger import Ledger

#: Seconds after the first attempt that the cluster is started in the background, if the run still goes on.
HEAD_START = 1.0


class Ahead:
    """Step processes of the driver, as many as the cluster will have threads."""

    def __init__(self, context: BackendContext, ledger: Ledger, *, most: int) -> None:
        self._ledger = ledger
        self._most = most
        self._pool = StepPool(name=f"{context.name}-ahead", project=context.project, most=most)
        self._lock = threading.Lock()
        self._under_way = 0
        #: When the cluster is to be started, on the monotonic clock.
        self.due = time.monotonic() + HEAD_START

    def take(self, attempts: Sequence[Attempt]) -> list[Attempt]:
        """Perform as many attempts as there is room for, in the background; return the others."""
        with self._lock:
            count = max(0, self._most - self._under_way)
            self._under_way += len(attempts[:count])
        for attempt in attempts[:count]:
            name = f"headwater {attempt.attempt_id}"
            threading.Thread(target=self._perform, args=(attempt,), name=name, daemon=True).start()
        return list(attempts[count:])

    def _perform(self, attempt: Attempt) -> None:
        ledger = self._ledger
        try:
            self._pool.perform([attempt], on_line=ledger.line, on_outcome=self._end, on_start=ledger.start)
        except Exception as error:  # noqa: BLE001  whatever happened, the attempt has ended
            ledger.fail(attempt.attempt_id, Fault.TRANSIENT, type(error).__name__, str(error))
        finally:
            with self._lock:
                self._under_way -= 1

    def _end(self, outcome: Outcome) -> None:
        self._ledger.end(outcome)

    def stop(self, attempt_ids: Sequence[str], grace: float) -> None:
        """Stop those attempts that are performed here."""
        self._pool.stop(attempt_ids, grace)

    def retire(self) -> None:
        """End what is idle: the cluster is there."""
        self._pool.trim(0)

    def close(self) -> None:
        """End all processes."""
        self._pool.close()
