"""The state machine that decides what happens next in a run.

It is told what happened (events) and answers what to do (actions). It has no clock, does no I/O and knows no backend:
a pause is an action that is answered by an event, and so is everything else that takes time or may fail.

One step's way:  its inputs are there → ``Decide`` → ``Reuse``: done, or ``Miss`` → it queues for room → ``Start`` →
``Succeeded``: done, or ``Failed`` → ``Start`` again, perhaps after ``Wait`` → … → ``Settled``.

Steps that wait for something that will never come are left as they are, pending; a run is over when nothing is under
way. So a failure costs nothing but its own event, however many steps depend on it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, assert_never

from headwater.schedule import messages, network, order
from headwater.schedule.books import Books
from headwater.schedule.invariants import Watch
from headwater.schedule.messages import Cancel, Decide, Expand, Finished, Pause, Reason, Start
from headwater.schedule.ready import ReadyQueue
from headwater.schedule.retries import OWN_FAULTS, judge
from headwater.schedule.state import Edge, Link, Phase, StepState
from headwater.schedule.summary import Summary, summarize
from headwater.types import Fault, RunStatus, StepStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from headwater.schedule.messages import Action, Event
    from headwater.schedule.retries import Again
    from headwater.schedule.spec import Limits, StepSpec
    from headwater.types import StepName

#: What a map is when all its elements are final: the first of these that one of them is.
_WORST_FIRST = (StepStatus.FAILED, StepStatus.CANCELLED, StepStatus.SKIPPED, StepStatus.RAN)


class Scheduler:
    """Order, limits, conditions, maps, retries and cancellation of one run: events in, actions out."""

    def __init__(
        self, tasks: Sequence[StepSpec], limits: Limits, *, fail_fast: bool, cancel_running: bool = False
    ) -> None:
        order.check_limits(limits)
        self._limits = limits
        self._fail_fast = fail_fast
        #: With a run that fails, stop what runs, too.
        self._cancel_running = cancel_running
        self._queue = ReadyQueue(limits)
        self._steps = network.build(tasks, limits, self._queue)
        self._books = Books(self._steps)
        #: Conditions: what they come out as is more than that they succeeded.
        self._conditions = {name for spec in tasks for name, *_ in (*spec.guards, *spec.either_needs)}
        self._begun = False
        self._hard = False
        self._watch = Watch()

    # ------------------------------------------------------------------------------------------------------ the door

    def start(self) -> list[Action]:
        """Begin: ask for everything that waits for nothing."""
        if not self._begun:
            self._begun = True
            for step in self._steps.values():
                if step.phase is Phase.WAITING and step.missing == 0:
                    self._advance(step)
        return self._answer()

    def handle(self, event: Event) -> list[Action]:
        """Take note of what happened and say what to do next. What is late, double or contradictory changes nothing."""
        return self.handle_many((event,))

    def handle_many(self, events: Iterable[Event]) -> list[Action]:
        """Take note of several events at once, and only then choose what starts."""
        for event in events:
            if self._books.status is not RunStatus.RUNNING:
                break
            self._apply(event)
            self._spread()
        return self._answer()

    @property
    def status(self) -> RunStatus:
        """Where the run stands."""
        return self._books.status

    def summary(self) -> Summary:
        """Say where every step stands, and why."""
        return summarize(self._steps, status=self._books.status, stopped_by=self._books.stopped_by)

    def validate(self) -> None:
        """Check every promise against books kept another way; raise AssertionError if one is broken. For tests."""
        self._watch.check(self._books, self._queue, is_still=self._books.is_stopped or not self._begun)

    def _answer(self) -> list[Action]:
        if not self._books.is_stopped:
            for step in self._queue.take():
                self._launch(step)
        self._finish_if_over()
        return self._books.asked()

    # -------------------------------------------------------------------------------------------------------- events

    def _apply(self, event: Event) -> None:
        match event:
            case messages.Reuse() | messages.Miss() | messages.Refused() | messages.Expanded():
                if event.step in self._steps:
                    self._take_answer(self._steps[event.step], event)
            case messages.Started() | messages.Succeeded() | messages.ConditionKnown() | messages.Failed():
                if event.step in self._steps:
                    self._take_outcome(self._steps[event.step], event)
            case messages.CancelRequested():
                self._cancel(hard=event.hard)
            case messages.Woken():
                if event.token in self._books.resting:
                    self._enqueue(self._books.resting.pop(event.token))
            case messages.Resumed():
                self._queue.resume(event.backend)
            case messages.Withdrawn():
                self._withdraw(event)
            case _:
                assert_never(event)

    def _take_answer(
        self,
        step: StepState,
        event: messages.Reuse | messages.Miss | messages.Refused | messages.Expanded,
    ) -> None:
        deciding, expanding = step.phase is Phase.DECIDING, step.phase is Phase.EXPANDING
        match event:
            case messages.Reuse():
                if deciding:
                    self._reuse(step, value=event.value)
            case messages.Miss():
                if deciding:
                    self._miss(step, event)
            case messages.Expanded():
                if expanding:
                    self._expand(step, event)
            case messages.Refused():
                if deciding or expanding:
                    self._books.settle_failed(step, event.fault, event.message)
            case _:
                assert_never(event)

    def _take_outcome(
        self,
        step: StepState,
        event: messages.Started | messages.Succeeded | messages.ConditionKnown | messages.Failed,
    ) -> None:
        match event:
            case messages.Started():
                pass  # Whether it queues or runs at its backend changes nothing here.
            case messages.Succeeded():
                if _is_current(step, event.attempt):
                    self._succeed(step, value=None)
            case messages.ConditionKnown():
                if _is_current(step, step.started):
                    self._succeed(step, value=event.value)
            case messages.Failed():
                if _is_current(step, event.attempt):
                    self._fail(step, event)
            case _:
                assert_never(event)

    def _reuse(self, step: StepState, *, value: bool | None) -> None:
        if step.spec.fails_run:
            self._books.settle_failed(step, Fault.USER, "")
        elif value is None and step.name in self._conditions:
            message = "a condition was reused without what it came out as"
            self._books.settle_failed(step, Fault.CONTRACT, message)
        else:
            step.value = value
            self._books.settle(step, StepStatus.REUSED)

    def _miss(self, step: StepState, event: messages.Miss) -> None:
        step.tries = replace(step.tries, attempt=event.attempt, failures=event.failures)
        shortage = "" if step.lane is None else step.lane.shortage
        if shortage:
            message = f"{step.spec.backend} cannot ever give it what it asks for: {shortage}"
            self._books.settle_failed(step, Fault.UNSUPPORTED, message)
        else:
            self._enqueue(step)

    def _expand(self, step: StepState, event: messages.Expanded) -> None:
        elements = network.elements_of(step, event, self._steps)
        if isinstance(elements, str):
            self._books.settle_failed(step, Fault.CONTRACT, elements)
            return
        self._books.move(step, Phase.EXPANDED)
        step.elements = [element for element, _ in elements]
        step.tally = dict.fromkeys(StepStatus, 0)
        for element, takes in elements:
            self._books.add(element)
            for other in takes:
                self._require(element, other)
            if element.missing == 0 and element.phase is Phase.WAITING:
                self._advance(element)
        if not elements:
            self._books.settle(step, StepStatus.REUSED)
        for edge in step.edges:
            if edge.link is Link.OVER:
                self._fulfil(edge.target)

    def _succeed(self, step: StepState, *, value: bool | None) -> None:
        if step.phase is Phase.RUNNING:
            self._release(step)
        if step.spec.fails_run:
            self._books.settle_failed(step, Fault.USER, "")
        elif value is None and step.name in self._conditions:
            self._books.settle_failed(step, Fault.CONTRACT, "a condition ended without coming out either way")
        else:
            step.value = value
            self._books.settle(step, StepStatus.RAN)

    def _fail(self, step: StepState, event: messages.Failed) -> None:
        self._release(step)
        fault, message = event.fault, event.message
        step.fault, step.message = fault, message
        waits_for_user = fault is Fault.AUTH and step.lane is not None
        if step.cancelling or fault is Fault.CANCELLED or (waits_for_user and self._books.is_stopped):
            self._books.settle_cancelled(step)
            return
        if waits_for_user:
            self._pause(step, message)
            return
        again = judge(step.tries, fault, step.spec.retry, self._limits.patience)
        if again is None or (self._books.is_stopped and fault in OWN_FAULTS):
            self._books.settle_failed(step, fault, message)
        elif self._books.is_stopped:
            self._books.settle_cancelled(step)
        else:
            self._rest(step, again)

    def _pause(self, step: StepState, reason: str) -> None:
        assert step.lane is not None
        dock = step.lane.dock
        if not dock.paused and dock.withdrawn is None:
            dock.paused = True
            self._books.ask(Pause(dock.name, reason))
        step.tries = replace(step.tries, attempt=step.tries.attempt + 1)
        self._enqueue(step)

    def _rest(self, step: StepState, again: Again) -> None:
        step.tries = again.tries
        if again.seconds <= 0:
            self._enqueue(step)
            return
        self._books.rest(step, again.seconds)

    def _withdraw(self, event: messages.Withdrawn) -> None:
        dock = self._queue.docks.get(event.backend)
        if dock is None or dock.withdrawn is not None:
            return
        dock.withdrawn = event
        for step in list(dock.drain()):
            self._books.settle_failed(step, event.fault, event.message)

    # --------------------------------------------------------------------------------------------- a step's next move

    def _advance(self, step: StepState) -> None:
        """Every input of a step is there: ask for what comes next."""
        if self._books.is_stopped or not self._begun:
            return
        if step.spec.is_map and step.parent is None:
            self._books.move(step, Phase.EXPANDING)
            self._books.ask(Expand(step.name))
        else:
            self._books.move(step, Phase.DECIDING)
            self._books.ask(Decide(step.name))

    def _enqueue(self, step: StepState) -> None:
        lane = step.lane
        if lane is None:
            self._launch(step)
        elif lane.dock.withdrawn is not None:
            self._books.settle_failed(step, lane.dock.withdrawn.fault, lane.dock.withdrawn.message)
        else:
            step.token = self._books.new_token()
            self._books.move(step, Phase.READY)
            self._queue.add(step, lane)

    def _launch(self, step: StepState) -> None:
        self._books.move(step, Phase.RUNNING)
        if step.status is StepStatus.PENDING:
            step.status = StepStatus.RUNNING
        step.started = step.tries.attempt
        self._books.ask(Start(step.name, step.tries.attempt))

    def _release(self, step: StepState) -> None:
        if step.lane is not None:
            self._queue.release(step.lane)

    # ----------------------------------------------------------------------------------------------- telling the rest

    def _spread(self) -> None:
        """Tell those that wait for steps that were settled, until there is no news."""
        while self._books.news:
            step = self._books.news.popleft()
            for edge in step.edges:
                self._tell(step, edge)
            if step.parent is not None:
                self._count(step.parent, step.status)
            failed = step.status is StepStatus.FAILED or step.status is StepStatus.CANCELLED
            if failed and (self._fail_fast or step.spec.fails_run) and not self._books.is_stopped:
                self._stop(step.name)

    def _tell(self, step: StepState, edge: Edge) -> None:
        target = edge.target
        skipped = step.status is StepStatus.SKIPPED
        match edge.link:
            case Link.AFTER:
                if skipped or step.is_available:
                    self._fulfil(target)
            case Link.OVER:
                # What was expanded told so then; its elements speak for themselves.
                if skipped and step.elements is None:
                    self._skip(target, step)
            case Link.NEED | Link.GUARD | Link.CHOICE:
                if skipped:
                    self._skip(target, step)
                elif step.is_available:
                    self._supply(step, edge)
            case _:
                assert_never(edge.link)

    def _supply(self, step: StepState, edge: Edge) -> None:
        target = edge.target
        if edge.link is Link.GUARD and step.value is not edge.expected:
            self._skip(target, step)
            return
        if edge.choice is not None:
            _, if_true, if_false = edge.choice
            for name in if_true if step.value else if_false:
                self._require(target, self._steps[name])
        self._fulfil(target)

    def _require(self, step: StepState, other: StepState) -> None:
        """Let a step wait for another one's values, unless they are there or will never be."""
        if other.status is StepStatus.SKIPPED:
            self._skip(step, other)
        elif not other.is_available:
            step.missing += 1
            other.edges.append(Edge(Link.NEED, step))

    def _fulfil(self, step: StepState) -> None:
        step.missing -= 1
        if step.missing == 0 and step.phase is Phase.WAITING:
            self._advance(step)

    def _skip(self, step: StepState, cause: StepState) -> None:
        if step.phase is not Phase.WAITING:
            return
        if cause.status is StepStatus.SKIPPED:
            self._books.settle(step, StepStatus.SKIPPED, reason=Reason.INPUT_SKIPPED, because=cause.because)
        else:
            self._books.settle(step, StepStatus.SKIPPED, reason=Reason.CONDITION, because=cause.name)

    def _count(self, parent: StepState, status: StepStatus) -> None:
        assert parent.tally is not None
        assert parent.elements is not None
        parent.tally[status] += 1
        if sum(parent.tally.values()) == len(parent.elements):
            self._settle_map(parent, next((s for s in _WORST_FIRST if parent.tally[s]), StepStatus.REUSED))

    def _settle_map(self, step: StepState, status: StepStatus) -> None:
        because = None
        if status not in {StepStatus.RAN, StepStatus.REUSED}:
            because = next(element.name for element in step.elements or () if element.status is status)
        self._books.settle(step, status, reason=Reason.ELEMENT if because else None, because=because)

    # --------------------------------------------------------------------------------------------------- ending early

    def _stop(self, name: StepName) -> None:
        """Let nothing begin any more, because of a step that failed."""
        self._books.stopped_by = name
        for step in self._steps.values():
            if step.phase in {Phase.DECIDING, Phase.EXPANDING}:
                self._books.move(step, Phase.HELD)
            elif step.phase in {Phase.READY, Phase.RESTING}:
                self._drop(step)
            elif step.phase is Phase.RUNNING and self._cancel_running:
                self._ask_to_end(step)

    def _drop(self, step: StepState) -> None:
        if step.status is StepStatus.PENDING:
            self._books.move(step, Phase.HELD)
        elif step.fault is not None and step.fault in OWN_FAULTS:
            self._books.settle_failed(step, step.fault, step.message)
        else:
            self._books.settle_cancelled(step)

    def _cancel(self, *, hard: bool) -> None:
        if self._books.cancelled:
            if hard and not self._hard:
                self._hard = True
                for step in self._steps.values():
                    if step.phase is Phase.RUNNING:
                        self._ask_to_end(step)
            return
        self._books.cancelled, self._hard = True, hard
        self._books.stopped_by = self._books.stopped_by or ""
        for step in self._steps.values():
            if step.phase is Phase.RUNNING:
                self._ask_to_end(step)
            elif step.phase not in {Phase.FINAL, Phase.LEFT_OUT, Phase.EXPANDED}:
                self._books.settle_cancelled(step)

    def _ask_to_end(self, step: StepState) -> None:
        step.cancelling = True
        grace = 0.0 if self._hard else self._limits.grace
        self._books.ask(Cancel(step.name, step.tries.attempt, grace))

    def _finish_if_over(self) -> None:
        if self._books.status is not RunStatus.RUNNING or not (self._begun or self._books.cancelled):
            return
        if self._books.is_live():
            return
        self._close_maps()
        if self._books.cancelled:
            self._books.status = RunStatus.CANCELLED
        elif self._books.all_well():
            self._books.status = RunStatus.SUCCEEDED
        else:
            self._books.status = RunStatus.FAILED
        self._books.ask(Finished(self._books.status))

    def _close_maps(self) -> None:
        """Settle maps that have elements which ended badly beside some that will never run."""
        if not self._books.phases[Phase.EXPANDED]:
            return
        for step in self._steps.values():
            if step.phase is Phase.EXPANDED and step.tally is not None:
                for status in (StepStatus.FAILED, StepStatus.CANCELLED):
                    if step.tally[status] and step.phase is Phase.EXPANDED:
                        self._settle_map(step, status)
        self._spread()


def _is_current(step: StepState, attempt: int) -> bool:
    return step.phase is Phase.RUNNING and step.tries.attempt == attempt
