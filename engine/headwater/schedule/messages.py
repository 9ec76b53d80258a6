"""The events that the scheduler is fed and the actions that it asks for: two closed unions of plain data."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from headwater.schedule.spec import Element
    from headwater.types import Fault, RunStatus, StepName, StepStatus


class Reason(StrEnum):
    """Why a step stands where it stands, when its status alone does not say."""

    #: Pending: a step that it depends on did not succeed.
    BLOCKED = "blocked"
    #: Pending or cancelled: the run stopped first.
    STOPPED = "stopped"
    #: Pending: nobody asked for it.
    NOT_SELECTED = "not selected"
    #: Skipped: a condition came out the other way.
    CONDITION = "condition"
    #: Skipped: what it takes was skipped.
    INPUT_SKIPPED = "input skipped"
    #: Failed: by the fault that is named.
    FAULT = "fault"
    #: A map: one of its elements did not succeed.
    ELEMENT = "element"
    #: Cancelled: somebody asked.
    ASKED = "asked"


# ----------------------------------------------------------------------------------------------------------- events


@dataclass(frozen=True, slots=True)
class Reuse:
    """Answer to ``Decide``: a trace stands in for the step."""

    step: StepName
    #: What a condition came out as.
    value: bool | None = None


@dataclass(frozen=True, slots=True)
class Miss:
    """Answer to ``Decide``: the step has to run."""

    step: StepName
    #: Number of its first attempt: more than 1 when a run is taken up again.
    attempt: int = 1
    #: Counted failures that it already had.
    failures: int = 0


@dataclass(frozen=True, slots=True)
class Refused:
    """Answer to ``Decide`` or ``Expand``: it cannot be done."""

    step: StepName
    fault: Fault
    message: str = ""


@dataclass(frozen=True, slots=True)
class Expanded:
    """Answer to ``Expand``: the map has so many elements, called ``step[0]`` and so on."""

    step: StepName
    count: int
    #: One for each, or empty where there is nothing to say of them.
    elements: tuple[Element, ...] = ()


@dataclass(frozen=True, slots=True)
class Started:
    """An attempt is known to run."""

    step: StepName
    attempt: int


@dataclass(frozen=True, slots=True)
class Succeeded:
    """An attempt ended well and its outputs are stored."""

    step: StepName
    attempt: int


@dataclass(frozen=True, slots=True)
class Failed:
    """An attempt ended otherwise."""

    step: StepName
    attempt: int
    fault: Fault
    message: str = ""


@dataclass(frozen=True, slots=True)
class ConditionKnown:
    """A condition was evaluated: what ``Succeeded`` is for other steps."""

    step: StepName
    value: bool


@dataclass(frozen=True, slots=True)
class Woken:
    """The pause that ``Wait`` asked for is over."""

    token: int


@dataclass(frozen=True, slots=True)
class Resumed:
    """A paused backend can be used again."""

    backend: str


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """A backend takes no more attempts in this run: what would start there fails instead."""

    backend: str
    fault: Fault
    message: str = ""


@dataclass(frozen=True, slots=True)
class CancelRequested:
    """Somebody asked to stop the run; ``hard`` leaves running attempts no time."""

    hard: bool = False


#: What the run loop tells the scheduler.
Event: TypeAlias = (
    Reuse
    | Miss
    | Refused
    | Expanded
    | Started
    | Succeeded
    | Failed
    | ConditionKnown
    | Woken
    | Resumed
    | Withdrawn
    | CancelRequested
)


# ---------------------------------------------------------------------------------------------------------- actions


@dataclass(frozen=True, slots=True)
class Decide:
    """Make the step's key and look for a trace. Answered by ``Reuse``, ``Miss`` or ``Refused``."""

    step: StepName


@dataclass(frozen=True, slots=True)
class Expand:
    """Count a map's elements. Answered by ``Expanded`` or ``Refused``."""

    step: StepName


@dataclass(frozen=True, slots=True)
class Start:
    """Submit an attempt, or perform a control step. Answered by ``Succeeded``, ``ConditionKnown`` or ``Failed``."""

    step: StepName
    attempt: int


@dataclass(frozen=True, slots=True)
class Cancel:
    """Stop a running attempt, for certain after ``grace`` seconds. It stays live until its end is told."""

    step: StepName
    attempt: int
    grace: float


@dataclass(frozen=True, slots=True)
class Wait:
    """Come back with ``Woken(token)`` after so many seconds."""

    token: int
    step: StepName
    seconds: float


@dataclass(frozen=True, slots=True)
class Pause:
    """Nothing starts on this backend before ``Resumed`` (or ``Withdrawn``): ask the user."""

    backend: str
    reason: str


@dataclass(frozen=True, slots=True)
class Settled:
    """A step reached its final status: record it."""

    step: StepName
    status: StepStatus
    reason: Reason | None = None
    #: The step that the reason is about.
    because: StepName | None = None
    fault: Fault | None = None
    message: str = ""


@dataclass(frozen=True, slots=True)
class Finished:
    """The run is over. The last action of all."""

    status: RunStatus


#: What the scheduler asks the run loop to do, in this order.
Action: TypeAlias = Decide | Expand | Start | Cancel | Wait | Pause | Settled | Finished
