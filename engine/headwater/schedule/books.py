"""The scheduler's books: every step's state, counts of them, and what is to be told and done."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from headwater.schedule.messages import Reason, Settled, Wait
from headwater.schedule.state import Phase
from headwater.types import RunStatus, StepStatus

if TYPE_CHECKING:
    from headwater.schedule.messages import Action
    from headwater.schedule.state import StepState
    from headwater.types import Fault, StepName

#: Phases in which something is still to come. A step held back by a full or paused backend counts: it is READY.
LIVE = (Phase.DECIDING, Phase.EXPANDING, Phase.READY, Phase.RUNNING, Phase.RESTING)

_GOOD = (StepStatus.RAN, StepStatus.REUSED, StepStatus.SKIPPED)


class Books:
    """All states of a run and the counts that belong to them, changed together so that they always agree."""

    def __init__(self, steps: dict[StepName, StepState]) -> None:
        self.steps = steps
        self.status = RunStatus.RUNNING
        #: The step because of which nothing begins any more; "" where somebody asked; None while things begin.
        self.stopped_by: StepName | None = None
        #: Somebody asked to stop the run.
        self.cancelled = False
        #: How many steps are in each phase, and how many ended with each status.
        self.phases = dict.fromkeys(Phase, 0)
        self.finals = dict.fromkeys(StepStatus, 0)
        for step in steps.values():
            self.phases[step.phase] += 1
        #: Token of a pause → the step that rests.
        self.resting: dict[int, StepState] = {}
        #: Steps that were settled, and that others were not told of yet.
        self.news: deque[StepState] = deque()
        self._actions: list[Action] = []
        self._tokens = 0

    @property
    def is_stopped(self) -> bool:
        """Tell whether nothing begins any more."""
        return self.stopped_by is not None

    def ask(self, action: Action) -> None:
        """Note something that is to be done."""
        self._actions.append(action)

    def asked(self) -> list[Action]:
        """Hand out what is to be done, once."""
        actions, self._actions = self._actions, []
        return actions

    def new_token(self) -> int:
        """Make a number that was not used yet."""
        self._tokens += 1
        return self._tokens

    def add(self, step: StepState) -> None:
        """Take in an element of a map."""
        self.steps[step.name] = step
        self.phases[step.phase] += 1

    def move(self, step: StepState, phase: Phase) -> None:
        """Let a step wait for something else."""
        self.phases[step.phase] -= 1
        self.phases[phase] += 1
        step.phase = phase

    def rest(self, step: StepState, seconds: float) -> None:
        """Let a step pause."""
        step.token = self.new_token()
        self.move(step, Phase.RESTING)
        self.resting[step.token] = step
        self.ask(Wait(step.token, step.name, seconds))

    def settle(
        self,
        step: StepState,
        status: StepStatus,
        *,
        reason: Reason | None = None,
        because: StepName | None = None,
        fault: Fault | None = None,
        message: str = "",
    ) -> None:
        """Give a step its final status."""
        assert step.phase is not Phase.FINAL, f"{step.name} is final already"
        self.resting.pop(step.token, None)
        self.move(step, Phase.FINAL)
        self.finals[status] += 1
        step.status, step.reason, step.because = status, reason, because
        step.fault, step.message = fault, message
        self.ask(Settled(step.name, status, reason=reason, because=because, fault=fault, message=message))
        self.news.append(step)

    def settle_failed(self, step: StepState, fault: Fault, message: str) -> None:
        """End a step by its fault."""
        self.settle(step, StepStatus.FAILED, reason=Reason.FAULT, fault=fault, message=message)

    def settle_cancelled(self, step: StepState) -> None:
        """End a step that was given up: because the run had failed by then, or because somebody asked."""
        because = None if self.cancelled else self.stopped_by
        self.settle(
            step,
            StepStatus.CANCELLED,
            reason=Reason.STOPPED if because else Reason.ASKED,
            because=because,
            fault=step.fault,
            message=step.message,
        )

    def is_live(self) -> bool:
        """Tell whether anything is still to come."""
        return any(self.phases[phase] for phase in LIVE)

    def all_well(self) -> bool:
        """Tell whether every selected step ended as it should."""
        return sum(self.finals[status] for status in _GOOD) + self.phases[Phase.LEFT_OUT] == len(self.steps)
