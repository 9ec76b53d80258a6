"""What a backend that performs attempts near the driver remembers of them: monotone reports, one outcome each."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from headwater.backend import LogLine, Outcome, Report, StepFailure

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from headwater.backend import Sink
    from headwater.types import Fault


class Ledger:
    """Reports by attempt; a state never goes back, and of several outcomes the first counts."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._lock = threading.Lock()
        self._reports: dict[str, Report] = {}

    def take(self, attempt_id: str) -> bool:
        """Take an attempt on; False if it was taken before."""
        with self._lock:
            if attempt_id in self._reports:
                return False
            self._reports[attempt_id] = Report(attempt_id, "queued")
            return True

    def start(self, attempt_id: str, native: str = "") -> None:
        """Say that an attempt runs."""
        with self._lock:
            known = self._reports.get(attempt_id)
            if known is None or known.state != "queued":
                return
            report = self._reports[attempt_id] = Report(attempt_id, "running", native=native)
        self._sink(report)

    def end(self, outcome: Outcome, native: str = "") -> bool:
        """Say how an attempt ended; False if it had ended before."""
        with self._lock:
            known = self._reports.get(outcome.attempt_id)
            if known is None or known.state == "done":
                return False
            report = Report(outcome.attempt_id, "done", outcome, native or known.native)
            self._reports[outcome.attempt_id] = report
        self._sink(report)
        return True

    def fail(self, attempt_id: str, fault: Fault, kind: str, message: str) -> bool:
        """Say that an attempt ended without a worker having told how."""
        now = time.time()
        return self.end(Outcome(attempt_id, None, StepFailure(fault, kind, message), started=now, ended=now))

    def line(self, line: LogLine) -> None:
        """Hand on a line of text."""
        self._sink(line)

    def poll(self, attempt_ids: Sequence[str]) -> list[Report]:
        """Tell how attempts stand; ``unknown`` for those never taken."""
        with self._lock:
            return [self._reports.get(name) or Report(name, "unknown") for name in attempt_ids]

    def open(self, attempt_ids: Iterable[str] | None = None) -> list[str]:
        """Return those attempts, of some or of all, that have not ended."""
        with self._lock:
            names = self._reports if attempt_ids is None else attempt_ids
            return [name for name in names if name in self._reports and self._reports[name].state != "done"]
