"""What must be true of the scheduler's books after every event, checked the slow way: from the books' own entries."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headwater.schedule.books import LIVE
from headwater.schedule.messages import Reason
from headwater.schedule.state import Link, Phase
from headwater.types import RunStatus, StepStatus

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from headwater.schedule.books import Books
    from headwater.schedule.ready import ReadyQueue
    from headwater.schedule.state import Edge, StepState
    from headwater.types import StepName

#: Which statuses go with which phase.
_STATUSES = {
    Phase.WAITING: {StepStatus.PENDING},
    Phase.DECIDING: {StepStatus.PENDING},
    Phase.EXPANDING: {StepStatus.PENDING},
    Phase.EXPANDED: {StepStatus.PENDING},
    Phase.READY: {StepStatus.PENDING, StepStatus.RUNNING},
    Phase.RUNNING: {StepStatus.RUNNING},
    Phase.RESTING: {StepStatus.RUNNING},
    Phase.HELD: {StepStatus.PENDING},
    Phase.LEFT_OUT: {StepStatus.PENDING},
    Phase.FINAL: set(StepStatus) - {StepStatus.PENDING, StepStatus.RUNNING},
}
#: A step of one of these had everything that it takes.
_SUPPLIED_PHASES = {*LIVE, Phase.EXPANDED, Phase.HELD}
_SUPPLIED_STATUSES = {StepStatus.RAN, StepStatus.REUSED, StepStatus.FAILED}


class Watch:
    """Remembers what it saw last time, so that it sees a status go back."""

    def __init__(self) -> None:
        self._seen: dict[StepName, StepStatus] = {}

    def check(self, books: Books, queue: ReadyQueue, *, is_still: bool) -> None:
        """Raise AssertionError that lists every broken promise."""
        broken = [
            *_counts(books),
            *self._steady(books),
            *_limits(books, queue),
            *_inputs(books, is_still=is_still),
            *_maps(books),
            *_skips(books),
            *_progress(books, queue, is_still=is_still),
        ]
        if broken:
            raise AssertionError("\n".join(broken))

    def _steady(self, books: Books) -> Iterator[str]:
        for name, step in books.steps.items():
            before = self._seen.get(name, StepStatus.PENDING)
            if _order(step.status) < _order(before) or (before is not step.status and _order(before) == _FINAL):
                yield f"{name} went from {before} to {step.status}"
            self._seen[name] = step.status


_FINAL = 2


def _order(status: StepStatus) -> int:
    return {StepStatus.PENDING: 0, StepStatus.RUNNING: 1}.get(status, _FINAL)


def _counts(books: Books) -> Iterator[str]:
    phases = dict.fromkeys(Phase, 0)
    statuses = dict.fromkeys(StepStatus, 0)
    for step in books.steps.values():
        phases[step.phase] += 1
        if step.phase is Phase.FINAL:
            statuses[step.status] += 1
        if step.status not in _STATUSES[step.phase]:
            yield f"{step.name} is {step.phase.name} and {step.status}"
    if phases != dict(books.phases):
        yield f"phases are counted as {books.phases}, but are {phases}"
    if statuses != dict(books.finals):
        yield f"statuses are counted as {books.finals}, but are {statuses}"
    resting = {step.token: step for step in books.steps.values() if step.phase is Phase.RESTING}
    if resting != dict(books.resting):
        yield "what rests and what is to be woken differ"


def _limits(books: Books, queue: ReadyQueue) -> Iterator[str]:
    running = [step for step in books.steps.values() if step.phase is Phase.RUNNING and step.lane is not None]
    used: dict[str, dict[str, int]] = {name: {} for name in queue.docks}
    groups = dict.fromkeys(queue.groups, 0)
    for step in running:
        assert step.lane is not None
        for capacity, amount in step.lane.demand:
            pool = used[step.lane.dock.name]
            pool[capacity] = pool.get(capacity, 0) + amount
        if step.spec.limit_group is not None:
            groups[step.spec.limit_group] += 1
    for name, dock in queue.docks.items():
        if dock.pool.used() != used[name] or dock.pool.overdrawn():
            yield f"{name} counts {dock.pool.used()} as taken; it is {used[name]}"
    for name, group in queue.groups.items():
        if group.used != groups[name] or group.used > (group.most or 0):
            yield f"limit {name} counts {group.used} of {group.most}; it is {groups[name]}"
    whole = queue.whole
    if whole.used != len(running) or (whole.most is not None and whole.used > whole.most):
        yield f"the run counts {whole.used} of {whole.most} attempts; it is {len(running)}"


def _inputs(books: Books, *, is_still: bool) -> Iterator[str]:
    missing = dict.fromkeys(books.steps, 0)
    for step in books.steps.values():
        for edge in step.edges:
            missing[edge.target.name] += not _is_met(step, edge)
    for name, step in books.steps.items():
        if step.phase in {Phase.WAITING, *_SUPPLIED_PHASES} and step.missing != missing[name]:
            yield f"{name} misses {missing[name]} inputs, but counts {step.missing}"
        if step.phase is Phase.WAITING and step.missing == 0 and not is_still:
            yield f"{name} was forgotten: all its inputs are there"
        if step.phase in _SUPPLIED_PHASES or step.status in _SUPPLIED_STATUSES:
            for reason in _lacks(step, books.steps):
                yield f"{name} is {step.phase.name}, though {reason}"


def _is_met(step: StepState, edge: Edge) -> bool:
    if edge.link is Link.OVER:
        return step.elements is not None
    if edge.link is Link.AFTER and step.status is StepStatus.SKIPPED:
        return True
    return step.is_available and (edge.link is not Link.GUARD or step.value is edge.expected)


def _lacks(step: StepState, steps: Mapping[StepName, StepState]) -> Iterator[str]:
    """Compare a step with its spec, not with its edges."""
    spec = step.spec
    needs = list(spec.needs)
    for condition, if_true, if_false in spec.either_needs:
        needs += [condition, *(if_true if steps[condition].value else if_false)]
    if step.parent is not None:
        needs += [f"{source}[{step.rank[3]}]" for source in spec.over_maps]
    yield from (f"{name} is not there" for name in needs if not steps[name].is_available)
    yield from (f"{name} is not {expected}" for name, expected in spec.guards if steps[name].value is not expected)
    yield from (f"{name} is not expanded" for name in spec.over_maps if steps[name].elements is None)
    for name in spec.after:
        earlier = steps[name]
        if not (earlier.is_available or earlier.status is StepStatus.SKIPPED or earlier.phase is Phase.LEFT_OUT):
            yield f"it comes after {name}"


def _maps(books: Books) -> Iterator[str]:
    for step in books.steps.values():
        if step.elements is None or step.tally is None:
            continue
        final = [element.status for element in step.elements if element.phase is Phase.FINAL]
        if {status: final.count(status) for status in StepStatus} != step.tally:
            yield f"the elements of {step.name} are counted as {step.tally}"
        if len(final) == len(step.elements) and step.phase is not Phase.FINAL:
            yield f"all elements of {step.name} are final, but it is not"
        if step.is_available and not set(final) <= {StepStatus.RAN, StepStatus.REUSED}:
            yield f"{step.name} is {step.status} though not all its elements are there"


def _skips(books: Books) -> Iterator[str]:
    causes: dict[StepName, bool] = {}
    for step in books.steps.values():
        for edge in step.edges:
            by_input = step.status is StepStatus.SKIPPED and edge.link is not Link.AFTER
            by_guard = edge.link is Link.GUARD and step.is_available and step.value is not edge.expected
            causes[edge.target.name] = causes.get(edge.target.name, False) or by_input or by_guard
    for name, step in books.steps.items():
        if step.status is StepStatus.SKIPPED and step.parent is None:
            cause = step.because is not None and books.steps[step.because]
            if not cause or (step.reason is not Reason.ELEMENT and not causes.get(name) and not step.spec.either_needs):
                yield f"{name} was skipped without a cause"


def _progress(books: Books, queue: ReadyQueue, *, is_still: bool) -> Iterator[str]:
    live = sum(books.phases[phase] for phase in LIVE)
    over = books.status is not RunStatus.RUNNING
    if over and live:
        yield f"the run is {books.status}, but {live} steps are under way"
    if not over and not live and not is_still:
        yield "nothing is under way, but the run is not over"
    if is_still or over:
        return
    if not queue.whole.used:
        for step in books.steps.values():
            if step.phase is Phase.READY and step.lane is not None and not step.lane.dock.paused:
                yield f"{step.name} could start: nothing runs"
