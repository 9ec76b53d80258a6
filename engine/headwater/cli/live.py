"""What a terminal shows of a run while it goes on: a line per step that ends, and below them what is going on.

Where the output is no terminal, plain lines. Everything goes to stderr; stdout belongs to the command's answer.
"""

from __future__ import annotations

import contextlib
import shutil
import sys
import threading
import time
from typing import TYPE_CHECKING

from headwater.run.quiet import Quiet
from headwater.types import StepStatus

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headwater.backend import LogLine
    from headwater.run import View
    from headwater.types import RunId, RunStatus, StepName

_SIGNS = {
    StepStatus.RAN: "ran",
    StepStatus.REUSED: "reused",
    StepStatus.FAILED: "FAILED",
    StepStatus.SKIPPED: "skipped",
    StepStatus.CANCELLED: "cancelled",
    StepStatus.PENDING: "pending",
}
_REDRAW_SECONDS = 0.2
_MOST_RUNNING = 8


@contextlib.contextmanager
def live_view(*, is_quiet: bool) -> Iterator[View]:
    """Give the view that fits where stderr goes."""
    if is_quiet:
        yield Quiet()
    elif sys.stderr.isatty():
        view = Live()
        try:
            yield view
        finally:
            view.close()
    else:
        yield Plain()


class Plain:
    """A line for each thing that happens."""

    def __init__(self) -> None:
        self._counts: dict[StepStatus, int] = {}

    def _print(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    def started(self, run: RunId, pipeline: str, steps: int) -> None:
        """Say that the run has begun."""
        self._print(f"run {run}: {pipeline}, {steps} steps")

    def running(self, step: StepName, attempt: int, backend: str | None) -> None:
        """Say that a step begins; a first attempt is told by its end."""
        del backend
        if attempt > 1:
            self._print(f"{'again':<9} {step} (attempt {attempt})")

    def settled(self, step: StepName, status: StepStatus, reason: str, seconds: float | None) -> None:
        """Say how a step ended."""
        self._counts[status] = self._counts.get(status, 0) + 1
        took = f"{seconds:7.2f}s" if seconds is not None and status is not StepStatus.REUSED else " " * 8
        self._print(f"{_SIGNS[status]:<9} {took}  {step}" + (f"  ({reason})" if reason else ""))

    def line(self, step: StepName, line: LogLine) -> None:
        """Pass on what a step wrote."""
        for text in line.text.splitlines():
            self._print(f"          {step} | {text}")

    def told(self, message: str) -> None:
        """Pass on a remark."""
        self._print(f"          {message}")

    def ended(self, status: RunStatus, seconds: float) -> None:
        """Say how the run ended."""
        counts = ", ".join(f"{count} {_SIGNS[status]}" for status, count in self._counts.items())
        self._print(f"{status.value} in {seconds:.2f}s" + (f": {counts}" if counts else ""))


class Live(Plain):
    """The same lines, and below them the steps that run now; redrawn by a thread of its own."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.RLock()
        self._running: dict[StepName, float] = {}
        self._steps = 0
        self._done = 0
        self._drawn = 0
        self._began = time.monotonic()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._redraw, name="headwater-live", daemon=True)
        self._thread.start()

    def started(self, run: RunId, pipeline: str, steps: int) -> None:
        """Say that the run has begun."""
        self._steps = steps
        super().started(run, pipeline, steps)

    def running(self, step: StepName, attempt: int, backend: str | None) -> None:
        """Note that a step runs."""
        with self._lock:
            self._running[step] = time.monotonic()
        super().running(step, attempt, backend)

    def settled(self, step: StepName, status: StepStatus, reason: str, seconds: float | None) -> None:
        """Say how a step ended."""
        with self._lock:
            self._running.pop(step, None)
            self._done += 1
        super().settled(step, status, reason, seconds)

    def close(self) -> None:
        """Take the lower part away."""
        self._closing.set()
        self._thread.join()
        with self._lock:
            self._erase()

    def _print(self, text: str) -> None:
        with self._lock:
            self._erase()
            super()._print(text)
            self._draw()

    def _redraw(self) -> None:
        while not self._closing.wait(_REDRAW_SECONDS):
            with self._lock:
                self._erase()
                self._draw()

    def _erase(self) -> None:
        if self._drawn:
            sys.stderr.write(f"\x1b[{self._drawn}A\x1b[J")
            self._drawn = 0

    def _draw(self) -> None:
        width = shutil.get_terminal_size().columns - 1
        now = time.monotonic()
        lines = [
            f"running   {now - began:7.2f}s  {step}" for step, began in list(self._running.items())[:_MOST_RUNNING]
        ]
        if len(self._running) > _MOST_RUNNING:
            lines.append(f"          and {len(self._running) - _MOST_RUNNING} more")
        if self._running:
            lines.append(f"{self._done} of {max(self._steps, self._done)} done, {now - self._began:.0f}s")
        sys.stderr.write("".join(f"{line[:width]}\n" for line in lines))
        sys.stderr.flush()
        self._drawn = len(lines)
