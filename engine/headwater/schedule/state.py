"""Where one step stands in the scheduler's own books. The only mutable data of this package."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, IntEnum, auto
from typing import TYPE_CHECKING, TypeAlias

from headwater.schedule.retries import FIRST, Tries
from headwater.types import StepStatus

if TYPE_CHECKING:
    from headwater.schedule.messages import Reason
    from headwater.schedule.ready import Lane
    from headwater.schedule.spec import Choice, StepSpec
    from headwater.types import Fault, StepName

#: What is taken first: priority, then the longest way to the end, then the order of declaration.
Rank: TypeAlias = tuple[int, float, int, int]


class Phase(IntEnum):
    """What the scheduler waits for before it goes on with a step; finer than the status that users see.

    Its members are numbers because they are counted by phase at every move, and numbers hash fast.
    """

    #: For its inputs.
    WAITING = auto()
    #: For the answer to ``Decide``.
    DECIDING = auto()
    #: For the answer to ``Expand``.
    EXPANDING = auto()
    #: A map: for its elements.
    EXPANDED = auto()
    #: For room.
    READY = auto()
    #: For the end of an attempt.
    RUNNING = auto()
    #: For the end of a pause.
    RESTING = auto()
    #: For nothing: the run stopped before it.
    HELD = auto()
    #: For nothing: not selected.
    LEFT_OUT = auto()
    #: For nothing: its status is final.
    FINAL = auto()


class Link(Enum):
    """What one step is to another that comes after it."""

    NEED = auto()
    AFTER = auto()
    GUARD = auto()
    CHOICE = auto()
    #: A map that another map goes through in step with.
    OVER = auto()


@dataclass(frozen=True, slots=True)
class Edge:
    """A step that is told when this one is settled."""

    link: Link
    target: StepState
    #: For a guard.
    expected: bool = False
    #: For a choice.
    choice: Choice | None = None


@dataclass(slots=True, eq=False)
class StepState:
    """One step, or one element of a map."""

    name: StepName
    #: An element has the spec of its map.
    spec: StepSpec
    rank: Rank
    #: Where it queues; None for control steps and maps.
    lane: Lane | None
    #: The map that it is an element of.
    parent: StepState | None = None
    phase: Phase = Phase.WAITING
    status: StepStatus = StepStatus.PENDING
    #: How many inputs are not there yet. Inputs that will never be there keep it above 0.
    missing: int = 0
    edges: list[Edge] = field(default_factory=list["Edge"])
    #: What a condition came out as.
    value: bool | None = None
    #: A map's elements, once it is expanded, and how many of them have each final status.
    elements: list[StepState] | None = None
    tally: dict[StepStatus, int] | None = None
    tries: Tries = FIRST
    #: Number of the last attempt that was asked for; 0 if none was.
    started: int = 0
    #: Its end was asked for.
    cancelling: bool = False
    #: The pause it rests for, or the entry in the ready queue that stands for it.
    token: int = 0
    reason: Reason | None = None
    because: StepName | None = None
    fault: Fault | None = None
    message: str = ""

    @property
    def is_available(self) -> bool:
        """Tell whether its values can be taken."""
        return self.status is StepStatus.RAN or self.status is StepStatus.REUSED

    @property
    def is_final(self) -> bool:
        """Tell whether its status can no longer change."""
        return self.phase is Phase.FINAL
