"""Small frozen values and enums that every other module may use."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias

from headwater.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Mapping

#: A step's name within its definition: ``train``, ``train-2``; an element of a map: ``train[0]``.
StepName: TypeAlias = str
#: A run's time-ordered id.
RunId: TypeAlias = str


class Fault(StrEnum):
    """Why an attempt did not succeed; it decides what the engine does next."""

    #: A passing trouble of the backend: a new attempt after a pause, not counted against the step.
    TRANSIENT = "transient"
    #: No room at the backend: as transient, after a longer pause.
    CAPACITY = "capacity"
    #: The worker vanished: a new attempt, not counted against the step.
    LOST = "lost"
    #: The worker was taken away: as lost.
    PREEMPTED = "preempted"
    #: The step's own code raised: counted.
    USER = "user"
    #: Out of memory, disk or time: counted.
    RESOURCE = "resource"
    #: The request cannot work as it is: never retried.
    CONFIG = "config"
    #: Credentials are missing or expired: pause and ask.
    AUTH = "auth"
    #: Stopped because somebody asked.
    CANCELLED = "cancelled"
    #: A plugin broke its word.
    CONTRACT = "contract"
    #: The backend cannot do what the step asks for.
    UNSUPPORTED = "unsupported"


class StepStatus(StrEnum):
    """Where a step of a run stands."""

    PENDING = "pending"
    RUNNING = "running"
    REUSED = "reused"
    RAN = "ran"
    FAILED = "failed"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"


class RunStatus(StrEnum):
    """Where a run stands. A run whose driver vanished is read as interrupted."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True)
class Resources:
    """What a step needs, wherever it runs. Memory in bytes, or as text such as ``"16GiB"``."""

    cpus: float = 1
    memory: int | str | None = None
    gpus: int = 0
    #: Other named capacities, such as ``{"licences": 1}``.
    named: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def memory_bytes(self) -> int | None:
        """The memory asked for, in bytes."""
        return None if self.memory is None else parse_bytes(self.memory)


@dataclass(frozen=True, slots=True)
class Retry:
    """How often a step is tried again after its own failure, and how long to wait in between.

    ``Retry(3, wait="10s")``: up to three further attempts; pauses of 10, 20 and 40 seconds.
    Faults that are not the step's own (a lost worker, a throttled backend) are retried anyway.
    """

    times: int = 0
    wait: float | str = 0
    factor: float = 2
    on: tuple[Fault, ...] = (Fault.USER, Fault.RESOURCE)

    @property
    def wait_seconds(self) -> float:
        """The first pause, in seconds."""
        return parse_seconds(self.wait)


_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 604800}
_BYTES = {
    "b": 1,
    **{f"{p}b": 1000**n for n, p in enumerate("kmgt", 1)},
    **{f"{p}ib": 1024**n for n, p in enumerate("kmgt", 1)},
}
_QUANTITY = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*")


def parse_seconds(text: float | str) -> float:
    """Read a duration: a number of seconds, or text such as ``"10s"``, ``"5m"``, ``"2h"``, ``"1d"``."""
    return _parse(text, _SECONDS, "s", "a duration", '"10s", "5m", "2h" or "1d"')


def parse_bytes(text: int | str) -> int:
    """Read a size: a number of bytes, or text such as ``"500MB"`` or ``"16GiB"``."""
    return int(_parse(text, _BYTES, "b", "a size", '"500MB" or "16GiB"'))


def _parse(text: float | str, units: Mapping[str, float], bare: str, what: str, forms: str) -> float:
    if isinstance(text, int | float):
        return float(text)
    match = _QUANTITY.fullmatch(text)
    unit = (match.group(2).lower() or bare) if match else ""
    if match is None or unit not in units:
        raise RequestError(f"{text!r} is not {what}", hint=f"write it as {forms}")
    return float(match.group(1)) * units[unit]
