"""What a terminal shows of a run while it goes on: a line for what ends, and below them what is going on.

Where the output is no terminal, plain lines. Everything goes to stderr; stdout belongs to the command's answer. What is
reused, and the elements of a map, are counted; ``-v`` gives each a line of its own.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from typing import TYPE_CHECKING

from headwater.cli import text
from headwater.run.outlook import Outlook, Progress, time_left
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
_COLOURS = {"ran": "32", "reused": "2", "FAILED": "1;31", "skipped": "33", "cancelled": "33", "running": "36"}
_REDRAW_SECONDS = 0.2
#: Seconds between two lines about a map that goes on, where there is no terminal.
_MAP_SECONDS = 10.0
_MOST_RUNNING = 8


@contextlib.contextmanager
def live_view(*, is_quiet: bool, is_verbose: bool = False) -> Iterator[View]:
    """Give the view that fits where stderr goes."""
    if is_quiet:
        yield Quiet()
    elif sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        view = Live(is_verbose=is_verbose, has_colour=not os.environ.get("NO_COLOR"))
        try:
            yield view
        finally:
            view.close()
    else:
        yield Plain(is_verbose=is_verbose)


class Plain:
    """A line for each thing that is worth one."""

    def __init__(self, *, is_verbose: bool = False) -> None:
        self._is_verbose = is_verbose
        self._counts: dict[StepStatus, int] = {}
        self._outlook = Outlook(())
        self._progress = Progress()
        #: Map → status → how many of its elements; and their seconds together.
        self._maps: dict[StepName, dict[StepStatus, int]] = {}
        self._seconds: dict[StepName, float] = {}
        #: Map → when it was last spoken of; where there is a terminal, when it began.
        self._map_told: dict[StepName, float] = {}

    def _print(self, line: str) -> None:
        with contextlib.suppress(OSError):  # nobody reads it any more; the run goes on
            print(line, file=sys.stderr, flush=True)

    def _sign(self, word: str) -> str:
        return f"{word:<9}"

    def started(self, run: RunId, pipeline: str, outlook: Outlook) -> None:
        """Say that the run has begun."""
        self._outlook = outlook
        self._print(f"run {run}: {pipeline}, {text.counted(len(outlook.stages), 'step')}")

    def expanded(self, step: StepName, elements: int) -> None:
        """Note how many elements a map has."""
        self._progress.sizes[step] = elements

    def running(self, step: StepName, attempt: int, backend: str | None) -> None:
        """Say that a step begins again; a first attempt is told by its end."""
        del backend
        if attempt > 1:
            self._print(f"{self._sign('again')} {step} (attempt {attempt})")

    def settled(self, step: StepName, status: StepStatus, reason: str, seconds: float | None) -> None:
        """Say how a step ended."""
        mapped, bracket, _ = step.partition("[")
        if bracket:
            self._element(mapped, step, status, reason, seconds)
            return
        self._progress.settled.add(step)
        elements = self._maps.get(step)
        if elements:
            self._map_ended(step, status, reason, elements)
            return
        self._counts[status] = self._counts.get(status, 0) + 1
        if self._is_verbose or status is not StepStatus.REUSED:
            self._settled_line(step, status, reason, seconds)

    def _settled_line(self, step: str, status: StepStatus, reason: str, seconds: float | None) -> None:
        took = f"{seconds:7.2f}s" if seconds is not None and status is not StepStatus.REUSED else " " * 8
        self._print(
            f"{self._sign(_SIGNS[status])} {took}  {step}" + (f"  ({text.shown(reason, sys.stderr)})" if reason else "")
        )

    def _element(
        self, mapped: StepName, step: StepName, status: StepStatus, reason: str, seconds: float | None
    ) -> None:
        self._counts[status] = self._counts.get(status, 0) + 1
        elements = self._maps.setdefault(mapped, {})
        elements[status] = elements.get(status, 0) + 1
        self._progress.ended[mapped] = self._progress.ended.get(mapped, 0) + 1
        self._seconds[mapped] = self._seconds.get(mapped, 0.0) + (seconds or 0.0)
        if self._is_verbose or status is StepStatus.FAILED:
            self._settled_line(step, status, reason, seconds)
        else:
            self._map_goes_on(mapped)

    def _map_goes_on(self, mapped: StepName) -> None:
        """Say now and then how far a map has come."""
        now = time.monotonic()
        if now - self._map_told.setdefault(mapped, now) >= _MAP_SECONDS:
            self._map_told[mapped] = now
            self._print(f"{self._sign('running')} {' ' * 8}  {mapped}: {self._share(mapped)}")

    def _share(self, mapped: StepName) -> str:
        return f"{self._progress.ended.get(mapped, 0)} of {self._progress.sizes.get(mapped, 0)} elements"

    def _map_ended(self, step: StepName, status: StepStatus, reason: str, elements: dict[StepStatus, int]) -> None:
        if set(elements) == {StepStatus.REUSED} and not self._is_verbose:
            return
        count = f"{step}, {text.counted(sum(elements.values()), 'element')}"
        told = ", ".join(f"{number} {_SIGNS[each]}" for each, number in elements.items())
        self._settled_line(count, status, f"{told}; {reason}" if reason else told, self._seconds.get(step))

    def line(self, step: StepName, line: LogLine) -> None:
        """Pass on what a step wrote."""
        for each in line.text.splitlines():
            self._print(f"          {step} | {text.shown(each, sys.stderr)}")

    def told(self, message: str) -> None:
        """Pass on a remark."""
        self._print(f"          {text.shown(message, sys.stderr)}")

    def ended(self, status: RunStatus, seconds: float) -> None:
        """Say how the run ended."""
        counts = ", ".join(f"{count} {_SIGNS[status]}" for status, count in self._counts.items())
        self._print(f"{status.value} in {seconds:.2f}s" + (f": {counts}" if counts else ""))


class Live(Plain):
    """The same lines, and below them the steps that run now; redrawn by a thread of its own."""

    def __init__(self, *, is_verbose: bool = False, has_colour: bool = True) -> None:
        super().__init__(is_verbose=is_verbose)
        self._has_colour = has_colour
        self._lock = threading.RLock()
        self._drawn = 0
        self._began = time.monotonic()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._redraw, name="headwater-live", daemon=True)
        self._thread.start()

    def expanded(self, step: StepName, elements: int) -> None:
        """Note how many elements a map has."""
        with self._lock:
            super().expanded(step, elements)

    def running(self, step: StepName, attempt: int, backend: str | None) -> None:
        """Note that a step runs."""
        with self._lock:
            self._progress.running[step] = now = time.monotonic()
            self._map_told.setdefault(step.partition("[")[0], now)
            super().running(step, attempt, backend)

    def settled(self, step: StepName, status: StepStatus, reason: str, seconds: float | None) -> None:
        """Say how a step ended."""
        with self._lock:
            self._progress.running.pop(step, None)
            super().settled(step, status, reason, seconds)

    def ended(self, status: RunStatus, seconds: float) -> None:
        """Say how the run ended; nothing runs any more."""
        with self._lock:
            self._progress.running.clear()
            super().ended(status, seconds)

    def close(self) -> None:
        """Take the lower part away."""
        self._closing.set()
        self._thread.join()
        with self._lock:
            self._write(self._erasing())
            self._drawn = 0

    def _sign(self, word: str) -> str:
        colour = _COLOURS.get(word) if self._has_colour else None
        return f"\x1b[{colour}m{word:<9}\x1b[0m" if colour else f"{word:<9}"

    def _map_goes_on(self, mapped: StepName) -> None:
        """Say nothing: the lower part does."""

    def _print(self, line: str) -> None:
        with self._lock:
            self._draw(f"{line}\n")

    def _redraw(self) -> None:
        while not self._closing.wait(_REDRAW_SECONDS):
            with self._lock:
                if self._progress.running or self._drawn:
                    self._draw("")

    def _erasing(self) -> str:
        return f"\x1b[{self._drawn}A\x1b[J" if self._drawn else ""

    def _draw(self, above: str) -> None:
        """Write what goes above, and the lower part anew, in one go."""
        size = _terminal()
        lines = [line[: size.columns - 1] for line in self._lower(max(1, min(_MOST_RUNNING, size.lines - 4)))]
        self._write(self._erasing() + above + "".join(f"{line}\n" for line in lines))
        self._drawn = len(lines)

    def _write(self, data: str) -> None:
        with contextlib.suppress(OSError):  # the terminal went away; the run goes on
            sys.stderr.write(data)
            sys.stderr.flush()

    def _lower(self, most: int) -> list[str]:
        """Return a line for each step that runs, one for all elements of a map, and one for the run."""
        progress, now = self._progress, time.monotonic()
        if not progress.running:
            return []
        first: dict[StepName, float] = {}
        count: dict[StepName, int] = {}
        for step, began in progress.running.items():
            name = step.partition("[")[0]
            first[name] = min(began, first.get(name, began), self._map_told.get(name, began))
            count[name] = count.get(name, 0) + 1
        lines = [
            f"{'running':<9} {now - began:7.2f}s  {name}"
            + (f": {self._share(name)}, {count[name]} at once" if name in progress.sizes else "")
            for name, began in first.items()
        ]
        if len(lines) > most:
            lines = [*lines[: most - 1], f"{'':<9} and {len(lines) - most + 1} more"]
        return [*lines, self._whole(now)]

    def _whole(self, now: float) -> str:
        progress = self._progress
        done = sum(self._counts.values())
        sizes = progress.sizes
        total = sum(sizes.get(stage.name, 1) or 1 for stage in self._outlook.stages)
        left = time_left(self._outlook, progress, now)
        told = ""
        if left is not None and left[0] >= 1:
            told = f", {'about' if left[1] else 'at least'} {text.duration(round(left[0])).replace('.00', '')} left"
        return f"{done} of {max(total, done)} done, {text.duration(round(now - self._began)).replace('.00', '')}{told}"


def _terminal() -> os.terminal_size:
    """Return the size of the terminal that stderr goes to; stdout may go elsewhere."""
    try:
        found = os.get_terminal_size(sys.stderr.fileno())
    except (OSError, ValueError):
        found = os.terminal_size((0, 0))
    return found if found.columns > 0 and found.lines > 0 else os.terminal_size((80, 24))
