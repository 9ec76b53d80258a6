"""Where every step of a run stands, and why, as data."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headwater.schedule.messages import Reason
from headwater.schedule.state import Link, Phase
from headwater.types import RunStatus, StepStatus

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headwater.schedule.state import StepState
    from headwater.types import Fault, StepName

_BAD = (StepStatus.FAILED, StepStatus.CANCELLED)


@dataclass(frozen=True, slots=True)
class StepSummary:
    """Where one step stands."""

    name: StepName
    status: StepStatus
    #: Number of its last attempt that was started; 0 if none was.
    attempts: int
    reason: Reason | None = None
    #: The step that the reason is about; for a blocked step, the one that failed in the first place.
    because: StepName | None = None
    fault: Fault | None = None
    message: str = ""
    #: The map that it is an element of.
    element_of: StepName | None = None


@dataclass(frozen=True, slots=True)
class Summary:
    """Where a run stands: its steps in order of declaration, elements behind their map."""

    status: RunStatus
    steps: Mapping[StepName, StepSummary]


def summarize(steps: Mapping[StepName, StepState], *, status: RunStatus, stopped_by: StepName | None) -> Summary:
    """Sum up; the reasons of steps that are pending for ever are found here, not while the run goes on."""
    roots = _roots(steps)
    ordered = sorted(steps.values(), key=lambda step: (step.rank[2], step.parent is not None, step.rank[3]))
    return Summary(
        status,
        {step.name: _summary(step, roots.get(step.name), status, stopped_by) for step in ordered},
    )


def _summary(step: StepState, root: StepName | None, status: RunStatus, stopped_by: StepName | None) -> StepSummary:
    reason, because = step.reason, step.because
    if step.status is StepStatus.PENDING and step.phase is not Phase.LEFT_OUT:
        if root is not None:
            reason, because = Reason.BLOCKED, root
        elif stopped_by and status is not RunStatus.RUNNING:
            reason, because = Reason.STOPPED, stopped_by
    return StepSummary(
        name=step.name,
        status=step.status,
        attempts=step.started,
        reason=reason,
        because=because,
        fault=step.fault,
        message=step.message,
        element_of=None if step.parent is None else step.parent.name,
    )


def _roots(steps: Mapping[StepName, StepState]) -> dict[StepName, StepName]:
    """Find, for each step that cannot run any more, the failed one that it is blocked by: the first by declaration."""
    roots: dict[StepName, StepName] = {}
    for first in steps.values():
        if first.status not in _BAD or first.reason is Reason.ELEMENT:
            continue
        todo = deque([first])
        while todo:
            for other in _blocked_by(todo.popleft()):
                if other.name not in roots:
                    roots[other.name] = first.name
                    todo.append(other)
    return roots


def _blocked_by(step: StepState) -> list[StepState]:
    blocked = [edge.target for edge in step.edges if edge.link is not Link.OVER or step.elements is None]
    if step.parent is not None:
        blocked.append(step.parent)
    return [other for other in blocked if _is_stuck(other)]


def _is_stuck(step: StepState) -> bool:
    # A map with a failed element is failed, not stuck; but what it blocks is blocked by that element.
    if step.status is StepStatus.PENDING:
        return step.phase is not Phase.LEFT_OUT
    return step.status in _BAD and step.reason is Reason.ELEMENT
