"""The one loop of a run: ask the scheduler, tell the backends, record what came back.

Everything that happens passes here in one direction: an outcome becomes an event of the log, then an event for the
scheduler, whose actions become attempts or records. The log is written before the scheduler is told, so that whatever
follows from an event finds it recorded.
"""

from __future__ import annotations

import heapq
import time
from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, assert_never, cast

from headwater.backend import LogLine, Outcome, Report, StepFailure
from headwater.errors import Corrupt, HeadwaterError, ObjectMissing, StepError, Superseded
from headwater.history import needed
from headwater.plan import agree, elements_of, inputs_of, verdict_of
from headwater.record import events as kinds
from headwater.run import records
from headwater.run.control import perform
from headwater.run.job import attempt_of, element_needs, step_specs
from headwater.run.places import Stop, failed
from headwater.schedule import (
    Cancel,
    CancelRequested,
    ConditionKnown,
    Decide,
    Element,
    Expand,
    Expanded,
    Failed,
    Finished,
    Limits,
    Miss,
    Pause,
    Refused,
    Reuse,
    Scheduler,
    Settled,
    Start,
    Succeeded,
    Wait,
    Withdrawn,
    Woken,
)
from headwater.types import Fault, RunStatus, StepStatus
from headwater.worker.declared import CHANGED

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from headwater.backend import Attempt
    from headwater.digest import Json
    from headwater.graph import Node
    from headwater.rebuild import Decision
    from headwater.run.job import Job
    from headwater.run.places import Item, Places
    from headwater.schedule import Action, Event

#: Seconds between two times that the log is made durable and other drivers are looked for.
SYNC_SECONDS = 1.0
#: Seconds that attempts get to end when the run is to stop at once; then nobody waits for them any more.
GIVE_UP_SECONDS = 1.0


def execute(job: Job, places: Places, *, is_cancel_requested: Callable[[], bool]) -> RunStatus:
    """Carry a run out to its end and return its status.

    Raises Superseded when another driver takes the run over; nothing is recorded after that.
    """
    places.tell = job.view.told
    loop = _Loop(job, places, is_cancel_requested)
    try:
        return loop.run()
    finally:
        places.close(cancel=True, patience=None if loop.give_up is None else GIVE_UP_SECONDS)


@dataclass(slots=True)
class _Loop:
    job: Job
    places: Places
    is_cancel_requested: Callable[[], bool]
    scheduler: Scheduler = field(init=False)
    began: float = field(default_factory=time.monotonic)
    decisions: dict[str, Decision] = field(default_factory=dict)
    #: Steps that have outputs of this run, by the attempt that gave them.
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    attempts: dict[str, int] = field(default_factory=dict)
    #: Steps that were decided a second time since a file that they declare changed.
    decided_anew: set[str] = field(default_factory=set)
    #: Answers for the scheduler that are not told yet.
    events: deque[Event] = field(default_factory=deque)
    #: Attempts that wait for the end of a round, to travel together: backend → attempts.
    batches: dict[str, list[Attempt]] = field(default_factory=dict)
    #: (when, token) of pauses.
    timers: list[tuple[float, int]] = field(default_factory=list)
    next_sync: float = 0.0
    #: When attempts that do not end are given up.
    give_up: float | None = None
    status: RunStatus | None = None

    def run(self) -> RunStatus:
        """Go on until the scheduler says that the run is over."""
        job = self.job
        self.scheduler = Scheduler(step_specs(job), self._limits(), fail_fast=job.fail_fast)
        job.view.started(job.run, job.pipeline, job.outlook())
        self._carry_out(self.scheduler.start())
        while self.status is None:
            for item in self.places.wait(self._deadline()):
                self._take(item)
            self._wake()
            self._sync()
            self._settle_events()
        return self.status

    def _limits(self) -> Limits:
        job = self.job
        names = {name for node in job.graph.nodes.values() if (name := job.backend(node)) is not None}
        return Limits(
            backends={name: self.places.capacity(name) for name in sorted(names)},
            concurrency=job.profile.concurrency,
            groups=job.profile.limits,
        )

    def _settle_events(self) -> None:
        """Tell the scheduler what happened, carry out what it asks for, until there is nothing new."""
        while self.events and self.status is None:
            events = list(self.events)
            self.events.clear()
            self._carry_out(self.scheduler.handle_many(events))

    def _carry_out(self, actions: list[Action]) -> None:
        for action in actions:
            self._act(action)
        for name, attempts in self.batches.items():
            self._submit(name, attempts)
        self.batches.clear()
        self._settle_events()

    def _act(self, action: Action) -> None:
        match action:
            case Decide(step):
                self._guarded(step, self._decide)
            case Expand(step):
                self._guarded(step, self._expand)
            case Start(step, attempt):
                self._start(step, attempt)
            case Cancel(step, attempt, grace):
                self.places.cancel(self._attempt_id(step, attempt), grace)
            case Wait(token, step, seconds):
                self.job.view.told(f"{step}: {self._trouble(step)}; tried again in {seconds:.0f} s")
                heapq.heappush(self.timers, (time.monotonic() + seconds, token))
            case Pause(backend, reason):
                # Nobody can be asked yet: what would start there fails, and says why.
                self.events.append(Withdrawn(backend, Fault.AUTH, reason))
            case Settled():
                self._settled(action)
            case Finished(status):
                self._finish(status)
            case _:
                assert_never(action)

    # ------------------------------------------------------------------------------------------------------ deciding

    def _guarded(self, step: str, act: Callable[[str], None]) -> None:
        """Do what may fail for reasons of the step's own; the step is refused then."""
        try:
            act(step)
        except Superseded:
            raise
        except HeadwaterError as error:
            fault = Fault.USER if isinstance(error, StepError) else Fault.CONFIG
            self.events.append(Refused(step, fault, str(error)))
        except (LookupError, TypeError, ValueError) as error:
            self.events.append(Refused(step, Fault.USER, f"{type(error).__name__}: {error}"))

    def _decide(self, step: str) -> None:
        job = self.job
        node = job.node(step)
        decision = job.rebuilder.decide(node, inputs_of(node, job.known, _place(step)), step=step)
        if job.plan is not None:
            agree(job.plan, decision)
        self.decisions[step] = decision
        if not records.is_own(decision, job):
            job.log.append(kinds.STEP_DECIDED, **records.decided(node, decision, job))
        if decision.trace is not None:
            job.known.outputs[step] = cast("Mapping[str, Mapping[str, Json]]", decision.trace.outputs)
            self.events.append(Reuse(step, value=job.known.verdict(step) if node.kind == "condition" else None))
        elif node.name not in job.selected.runnable:
            raise StepError(
                f"step '{step}' was not asked for, but has no result that could be reused",
                facts={"because": decision.reason},
                hint="run without --only or --from, or with --until",
            )
        else:
            self.events.append(Miss(step, attempt=job.tried.get(step, 0) + 1))

    def _expand(self, step: str) -> None:
        node = self.job.node(step)
        count = elements_of(node, self.job.known)
        names = [f"{step}[{place}]" for place in range(count)]
        self.job.known.elements[step] = names
        self.job.log.append(kinds.STEP_EXPANDED, step=step, elements=cast("Json", names))
        self.job.view.expanded(step, count)
        elements = tuple(Element(tuple(sorted(set(element_needs(node, place))))) for place in range(count))
        self.events.append(Expanded(step, count, elements))

    # ------------------------------------------------------------------------------------------------------- running

    def _start(self, step: str, number: int) -> None:
        job = self.job
        node = job.node(step)
        self.attempts[step] = number
        backend = job.backend(node)
        if backend is None:
            self._perform(node, step, number)
            return
        try:
            self._follow_files(node, step)
        except (HeadwaterError, OSError) as error:
            self.events.append(Failed(step, number, Fault.CONFIG, str(error)))
            return
        attempt = attempt_of(job, self.decisions[step], number)
        job.log.append(kinds.ATTEMPT_SUBMITTED, attempt=attempt.attempt_id, step=step, backend=backend)
        job.view.running(step, number, backend)
        self.batches.setdefault(backend, []).append(attempt)

    def _follow_files(self, node: Node, step: str) -> None:
        """Decide anew, once, about a step whose last attempt found its declared files changed."""
        last = self.outcomes.get(step)
        if last is None or last.failure is None or last.failure.kind != CHANGED:
            return
        self.decided_anew.add(step)
        decision = self.job.rebuilder.decide_anew(node, self.decisions[step].inputs, step=step)
        if self.job.plan is not None:
            agree(self.job.plan, decision)
        self.decisions[step] = decision
        self.job.log.append(kinds.STEP_DECIDED, **records.decided(node, decision, self.job))

    def _perform(self, node: Node, step: str, number: int) -> None:
        """Carry out a control step: it is the loop's own work."""
        began = time.time()
        try:
            outputs = verdict_of(node, self.job.known) if node.kind == "condition" else perform(self.job, node, step)
        except HeadwaterError as error:
            self.events.append(Failed(step, number, Fault.USER, str(error)))
            return
        ended = time.time()
        attempt = self._attempt_id(step, number)
        self.outcomes[step] = Outcome(
            attempt, cast("Mapping[str, Json]", outputs), seconds=ended - began, started=began, ended=ended
        )
        self.job.known.outputs[step] = outputs
        if node.kind == "condition":
            self.events.append(ConditionKnown(step, self.job.known.verdict(step)))
        else:
            self.events.append(Succeeded(step, number))

    def _submit(self, name: str, attempts: list[Attempt]) -> None:
        for attempt, answer in self.places.submit(name, attempts):
            if isinstance(answer, StepFailure):
                self._ended(failed(attempt.attempt_id, answer))
            else:
                self.job.log.append(kinds.ATTEMPT_ACCEPTED, attempt=attempt.attempt_id, handle=answer)

    def _take(self, item: Item) -> None:
        match item:
            case Stop(hard, by):
                self.job.log.append(kinds.CANCEL_REQUESTED, by=by, hard=hard)
                self._tell_stop(hard=hard)
                self.events.append(CancelRequested(hard=hard))
            case LogLine(attempt_id, stream, text, moment):
                step = _step_of(attempt_id)
                self.job.log.text(step, attempt_id, stream, text, time=moment)
                self.job.view.line(step, item)
            case Report(attempt_id, "done", Outcome() as outcome) if self.places.accept(attempt_id):
                self._ended(outcome)
            case Report():
                pass
            case _:
                assert_never(item)

    def _tell_stop(self, *, hard: bool) -> None:
        if hard:
            self.give_up = self.give_up or time.monotonic() + GIVE_UP_SECONDS
        elif self.places.under_way():
            running = ", ".join(dict.fromkeys(_step_of(each) for each in self.places.under_way()))
            self.job.view.told(f"stopping; waiting for the end of {running}. Ctrl-C again stops at once")

    def _ended(self, outcome: Outcome) -> None:
        """Record the end of an attempt, then tell the scheduler."""
        step, number = _step_of(outcome.attempt_id), int(outcome.attempt_id.rpartition("/")[2])
        failure = outcome.failure
        if failure is None and (problem := records.contract_problem(self.job.node(step), outcome)) is not None:
            failure = StepFailure(Fault.CONTRACT, "ContractError", problem)
        if failure is None and self._is_lost(outcome):
            failure = StepFailure(Fault.LOST, "ObjectMissing", "its outputs are not in the store")
        if failure is not None and failure.kind == CHANGED and step in self.decided_anew:
            message = f"{failure.message}, and so it was before; does the step itself change it?"
            failure = replace(failure, fault=Fault.CONFIG, message=message)
        self.job.log.append(kinds.ATTEMPT_ENDED, **records.attempt_ended(step, outcome, failure))
        self.outcomes[step] = outcome
        if failure is None:
            self.job.known.outputs[step] = cast("Mapping[str, Mapping[str, Json]]", outcome.outputs)
            self.events.append(Succeeded(step, number))
        else:
            self.events.append(Failed(step, number, failure.fault, failure.message))

    def _is_lost(self, outcome: Outcome) -> bool:
        """Tell whether outputs that were found present, and so not written, were removed at that moment."""
        try:
            wanted = needed(outcome.outputs or {}, self.job.store)
        except (ObjectMissing, Corrupt):
            return True
        return bool(wanted) and bool(self.job.saviour.save(wanted))

    def _settled(self, action: Settled) -> None:
        job, step = self.job, action.step
        decision = self.decisions.get(step)
        if decision is not None and records.is_own(decision, job):
            job.view.settled(step, StepStatus.RAN, "done before the run was resumed", None)
            return
        facts = records.finished(
            action,
            job=job,
            decision=self.decisions.get(step),
            outcome=self.outcomes.get(step) if action.status is not StepStatus.REUSED else None,
            attempts=self.attempts.get(step, 0),
        )
        job.log.append_many(records.settled_events(job, facts, self.decisions.get(step)))
        seconds = cast("float | None", facts.get("seconds"))
        job.view.settled(step, action.status, str(facts.get("reason") or ""), seconds)
        job.announce(
            "headwater_step_finished", run=job.run, step=step, status=action.status.value, facts=records.shown(facts)
        )

    def _finish(self, status: RunStatus) -> None:
        job = self.job
        seconds = time.monotonic() - self.began
        output = job.known.tree(job.graph.output) if self._has_output(status) else None
        for name, summary in self.scheduler.summary().steps.items():
            if summary.status is StepStatus.PENDING:
                job.log.append(kinds.STEP_FINISHED, **records.never_began(name, summary))
        job.log.end(job.keyring.sign, status=status.value, seconds=seconds, output=output)
        job.log.close()
        self.status = status
        job.view.ended(status, seconds)
        job.announce("headwater_run_ended", run=job.run, pipeline=job.pipeline, status=status.value, seconds=seconds)

    def _has_output(self, status: RunStatus) -> bool:
        """Tell whether everything that the pipeline gives is known."""
        return status is RunStatus.SUCCEEDED and self.job.known.has(self.job.graph.output)

    # -------------------------------------------------------------------------------------------------------- clocks

    def _deadline(self) -> float:
        limits = [self.next_sync, *([self.give_up] if self.give_up is not None else [])]
        if self.timers:
            limits.append(self.timers[0][0])
        return min(limits)

    def _wake(self) -> None:
        now = time.monotonic()
        if self.give_up is not None and now >= self.give_up:
            for attempt_id in self.places.under_way():
                if self.places.accept(attempt_id):
                    self._ended(failed(attempt_id, StepFailure(Fault.CANCELLED, "Cancelled", "given up at once")))
        while self.timers and self.timers[0][0] <= now:
            self.events.append(Woken(heapq.heappop(self.timers)[1]))

    def _sync(self) -> None:
        if time.monotonic() < self.next_sync:
            return
        self.job.log.sync()
        if self.is_cancel_requested():
            self.events.append(CancelRequested())
        self.next_sync = time.monotonic() + SYNC_SECONDS

    def _trouble(self, step: str) -> str:
        """Return why the last attempt at a step failed, in one line."""
        outcome = self.outcomes.get(step)
        failure = outcome.failure if outcome is not None else None
        return "it failed" if failure is None else f"{failure.kind}: {failure.message}".partition("\n")[0]

    def _attempt_id(self, step: str, number: int) -> str:
        return f"{self.job.run}/{step}/{number}"


def _place(step: str) -> int | None:
    return int(step[step.index("[") + 1 : -1]) if step.endswith("]") else None


def _step_of(attempt_id: str) -> str:
    return attempt_id.split("/", 1)[1].rpartition("/")[0]
