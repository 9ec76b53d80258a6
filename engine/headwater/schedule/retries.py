"""What a fault leads to: another attempt, perhaps after a pause, or the end of the step."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, assert_never

from headwater.types import Fault

if TYPE_CHECKING:
    from headwater.schedule.spec import Patience
    from headwater.types import Retry


@dataclass(frozen=True, slots=True)
class Tries:
    """The attempts that a step had."""

    #: Number of the current attempt: whatever is submitted has a number of its own.
    attempt: int = 1
    #: Failures counted against the step's retries.
    failures: int = 0
    transients: int = 0
    shortages: int = 0
    losses: int = 0


@dataclass(frozen=True, slots=True)
class Again:
    """Try again, after a pause."""

    tries: Tries
    seconds: float


#: A step that was not tried yet.
FIRST = Tries()

#: Faults that are the step's own doing: it failed, whether or not it may be tried again.
OWN_FAULTS = frozenset({Fault.USER, Fault.RESOURCE})


def judge(tries: Tries, fault: Fault, retry: Retry, patience: Patience) -> Again | None:
    """Say how to go on after a fault; None: no further attempt. The faults ``auth`` and ``cancelled`` end here, too."""
    again: Again | None = None
    match fault:
        case Fault.TRANSIENT:
            if tries.transients < patience.transient_times:
                pause = _growing(patience.transient_seconds, 2, tries.transients, patience.transient_most)
                again = Again(replace(tries, attempt=tries.attempt + 1, transients=tries.transients + 1), pause)
        case Fault.CAPACITY:
            if tries.shortages < patience.capacity_times:
                pause = _growing(patience.capacity_seconds, 2, tries.shortages, patience.capacity_most)
                again = Again(replace(tries, attempt=tries.attempt + 1, shortages=tries.shortages + 1), pause)
        case Fault.LOST | Fault.PREEMPTED:
            if tries.losses < patience.lost_times:
                again = Again(replace(tries, attempt=tries.attempt + 1, losses=tries.losses + 1), 0)
        case Fault.USER | Fault.RESOURCE:
            if fault in retry.on and tries.failures < retry.times:
                pause = _growing(retry.wait_seconds, retry.factor, tries.failures, _LONGEST)
                again = Again(replace(tries, attempt=tries.attempt + 1, failures=tries.failures + 1), pause)
        case Fault.CONFIG | Fault.CONTRACT | Fault.UNSUPPORTED | Fault.AUTH | Fault.CANCELLED:
            pass
        case _:
            assert_never(fault)
    return again


#: No pause is longer: a power of a factor grows beyond every calendar.
_LONGEST = 30 * 86400.0


def _growing(first: float, factor: float, times: int, most: float) -> float:
    try:
        return min(first * factor**times, most, _LONGEST)
    except OverflowError:
        return min(most, _LONGEST)
