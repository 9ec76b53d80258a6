"""What an attempt takes: wall time, CPU time, peak memory."""

from __future__ import annotations

import resource
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

#: Whose CPU time and memory count: a process that does nothing else, the whole of a shared one, or one thread of it.
Extent: TypeAlias = Literal["process", "shared", "thread"]

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
#: Unit of ``ru_maxrss``.
_UNIT = 1 if sys.platform == "darwin" else 1024


@dataclass(frozen=True, slots=True)
class Taken:
    """What was taken between two moments."""

    started: float
    ended: float
    seconds: float
    cpu_seconds: float | None
    peak_memory: int | None


class Meter:
    """Measures from its making to :meth:`read`."""

    def __init__(self, extent: Extent) -> None:
        self._extent: Extent = extent
        self._is_reset = extent == "process" and _reset_peak()
        self._most = _most(resource.RUSAGE_SELF)
        self._most_of_children = _most(resource.RUSAGE_CHILDREN)
        self._cpu = _cpu(extent)
        self._started = time.time()
        self._clock = time.perf_counter()

    def read(self) -> Taken:
        """Return what was taken since."""
        seconds = time.perf_counter() - self._clock
        cpu = max(0.0, _cpu(self._extent) - self._cpu)
        return Taken(self._started, self._started + seconds, seconds, cpu, self._peak())

    def _peak(self) -> int | None:
        if self._extent != "process":
            return None
        own = _high_water() if self._is_reset else _grown(resource.RUSAGE_SELF, self._most)
        children = _grown(resource.RUSAGE_CHILDREN, self._most_of_children)
        return None if own is None else max(own, children or 0)


def _cpu(extent: Extent) -> float:
    if extent == "thread":
        return time.thread_time()
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def _most(whose: int) -> int:
    return resource.getrusage(whose).ru_maxrss * _UNIT


def _grown(whose: int, before: int) -> int | None:
    """Return a peak that cannot be started anew, if it was reached since."""
    now = _most(whose)
    return now if now > before else None


def _reset_peak() -> bool:
    """Start the kernel's high-water mark anew (Linux)."""
    try:
        _CLEAR.write_text("5")
    except OSError:
        return False
    return True


def _high_water() -> int | None:
    try:
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None
