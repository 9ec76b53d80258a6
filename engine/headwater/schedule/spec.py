"""What the scheduler is told before a run: steps, and the limits they share."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from headwater.types import Resources, Retry

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from headwater.types import StepName


class Guard(NamedTuple):
    """A step runs only if a condition came out as expected."""

    condition: StepName
    expected: bool


class Choice(NamedTuple):
    """A value chosen by a condition: only the steps of the taken side must be there."""

    condition: StepName
    if_true: tuple[StepName, ...]
    if_false: tuple[StepName, ...]


@dataclass(frozen=True, slots=True)
class StepSpec:
    """One step, as far as order, limits and retries go."""

    name: StepName
    #: Steps whose values it takes.
    needs: tuple[StepName, ...] = ()
    #: Steps that come before it without giving it anything.
    after: tuple[StepName, ...] = ()
    guards: tuple[Guard, ...] = ()
    either_needs: tuple[Choice, ...] = ()
    #: One step over many elements; how many is known when it is expanded.
    is_map: bool = False
    #: Maps that it goes through in step with: its element i takes element i of each.
    over_maps: tuple[StepName, ...] = ()
    #: Steps that single elements take; which element takes which is told when it is expanded.
    over_needs: tuple[StepName, ...] = ()
    resources: Resources = field(default_factory=Resources)
    #: Where it runs; None for what the run loop performs itself.
    backend: str | None = None
    #: Group of steps that share a limit.
    limit_group: str | None = None
    retry: Retry = field(default_factory=Retry)
    #: What it took before (for a map: one element), where that is known.
    expected_seconds: float | None = None
    #: Higher goes first.
    priority: int = 0
    #: Performed by the run loop itself: a condition, a registration, a notification, a failure.
    control: bool = False
    #: Ends the run as failed when it is reached.
    fails_run: bool = False
    #: Asked for. What is neither wanted nor needed by something wanted is left alone.
    wanted: bool = True

    def data_inputs(self) -> Iterator[StepName]:
        """Name every step that it may take something from, conditions included."""
        yield from self.needs
        yield from (guard[0] for guard in self.guards)
        for condition, if_true, if_false in self.either_needs:
            yield condition
            yield from if_true
            yield from if_false
        yield from self.over_maps
        yield from self.over_needs


@dataclass(frozen=True, slots=True)
class Element:
    """One element of an expanded map."""

    #: What this element takes, out of the map's ``over_needs``.
    needs: tuple[StepName, ...] = ()
    expected_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Patience:
    """How long faults that are not the step's own are borne. The run loop may add jitter to a pause."""

    #: How often one step is tried again after a passing trouble.
    transient_times: int = 8
    #: First and longest pause after a passing trouble; each is twice the one before.
    transient_seconds: float = 1.0
    transient_most: float = 60.0
    #: The same for a backend that has no room.
    capacity_times: int = 8
    capacity_seconds: float = 30.0
    capacity_most: float = 600.0
    #: How many lost or preempted attempts a step may have before it is blamed itself.
    lost_times: int = 5


@dataclass(frozen=True, slots=True)
class Limits:
    """What all steps of a run share."""

    #: Backend → what it can give to all attempts together; None where it queues by itself.
    #: A capacity's ``memory`` of None is not counted; a named capacity that it does not list, it does not have.
    backends: Mapping[str, Resources | None]
    #: How many attempts may be under way at once.
    concurrency: int | None = None
    #: Limit group → how many of its steps may be under way at once.
    groups: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    patience: Patience = field(default_factory=Patience)
    #: Seconds that a running attempt is given to end when the run is cancelled.
    grace: float = 10.0
