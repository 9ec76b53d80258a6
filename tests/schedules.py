"""Random worlds for the scheduler: a graph, what its steps will do, what must come of it, and a loop that answers."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from random import Random

from headwater.schedule import (
    Action,
    Cancel,
    CancelRequested,
    Choice,
    ConditionKnown,
    Decide,
    Element,
    Event,
    Expand,
    Expanded,
    Failed,
    Finished,
    Guard,
    Limits,
    Miss,
    Pause,
    Refused,
    Resumed,
    Reuse,
    Scheduler,
    Settled,
    Start,
    Started,
    StepSpec,
    Succeeded,
    Wait,
    Withdrawn,
    Woken,
)
from headwater.types import Fault, Resources, Retry, RunStatus, StepStatus

P, R, U, A, F, S, C = (
    StepStatus.PENDING,
    StepStatus.RUNNING,
    StepStatus.REUSED,
    StepStatus.RAN,
    StepStatus.FAILED,
    StepStatus.SKIPPED,
    StepStatus.CANCELLED,
)
GOOD = {A, U}
OWN = {Fault.USER, Fault.RESOURCE}
PASSING = [Fault.TRANSIENT, Fault.CAPACITY, Fault.LOST, Fault.PREEMPTED]


# ------------------------------------------------------------------------------------------------------------ worlds


@dataclass(frozen=True)
class Fate:
    """What happens to a step when its turn comes: reused, refused, or these faults and then success."""

    reused: bool = False
    refused: bool = False
    faults: tuple[Fault, ...] = ()


@dataclass
class World:
    """A graph and everything that its steps will do, whenever they are asked."""

    seed: int
    trouble: bool
    specs: dict[str, StepSpec]
    limits: Limits
    values: dict[str, bool] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    elements: dict[str, tuple[Element, ...]] = field(default_factory=dict)

    def fate(self, name: str) -> Fate:
        rng = Random(f"{self.seed}/{name}")
        reused = rng.random() < 0.3
        if not self.trouble:
            return Fate(reused=reused)
        refused = rng.random() < 0.05
        faults: list[Fault] = []
        while rng.random() < 0.45:
            faults.append(rng.choice(list(Fault) if rng.random() < 0.2 else [*PASSING, *OWN]))
        if rng.random() < 0.05:
            faults = [rng.choice([*PASSING, Fault.USER])] * 12
        return Fate(reused, refused, tuple(faults))


def make_world(seed: int, size: int, *, trouble: bool, fails: bool = False) -> World:
    rng = Random(seed)
    capacity = Resources(cpus=rng.choice([2, 4]), memory=rng.choice([None, 100]), gpus=1, named={"licence": 2})
    limits = Limits(
        backends={"near": capacity, "far": rng.choice([None, Resources(cpus=3)])},
        concurrency=rng.choice([None, None, 1, 3]),
        groups={"narrow": 1, "wide": 2},
    )
    world = World(seed, trouble, {}, limits)
    for number in range(size):
        spec = _spec(rng, world, f"s{number}", fails=fails)
        world.specs[spec.name] = spec
    if rng.random() < 0.3:  # a run of some steps only; what they need is needed, too
        for name, spec in world.specs.items():
            if rng.random() < 0.6:
                world.specs[name] = replace(spec, wanted=False)
    names = list(world.specs)
    rng.shuffle(names)  # declared in any order
    world.specs = {name: world.specs[name] for name in names}
    return world


def _spec(rng: Random, world: World, name: str, *, fails: bool) -> StepSpec:
    names = list(world.specs)
    conditions = list(world.values)
    maps = list(world.counts)

    def some(pool: list[str], most: int) -> tuple[str, ...]:
        return tuple(rng.sample(pool, min(len(pool), rng.randrange(most + 1))))

    guards = tuple(Guard(c, rng.random() < 0.5) for c in some(conditions, 1 if rng.random() < 0.5 else 0))
    choices = tuple(Choice(c, some(names, 2), some(names, 2)) for c in some(conditions, 1 if rng.random() < 0.5 else 0))
    links = {"needs": some(names, 2), "after": some(names, 1), "guards": guards, "either_needs": choices}
    kind = rng.random()
    if kind < 0.2:
        world.values[name] = rng.random() < 0.6
        return StepSpec(name, control=True, **links)  # type: ignore[arg-type]
    if kind < 0.25:
        return StepSpec(name, control=True, fails_run=fails and rng.random() < 0.7, **links)  # type: ignore[arg-type]
    backend = rng.choice(["near", "near", "far"])
    resources = Resources(
        cpus=rng.choice([0.1, 0.5, 1, 1, 2]),
        memory=rng.choice([None, "10b", 60]) if backend == "near" else None,
        gpus=int(backend == "near" and rng.random() < 0.2),
        named={"licence": 1} if backend == "near" and rng.random() < 0.2 else {},
    )
    if rng.random() < 0.04:
        resources = Resources(cpus=99)
    common = {
        "backend": backend,
        "resources": resources,
        "limit_group": rng.choice([None, None, "narrow", "wide"]),
        "retry": Retry(rng.randrange(3), wait=rng.choice([0, "1s"]), on=rng.choice([(Fault.USER,), tuple(OWN)])),
        "expected_seconds": rng.choice([None, 0.5, 20.0]),
        "priority": rng.choice([0, 0, 0, 5]),
        **links,
    }
    if kind < 0.45:
        over_maps = some(maps, 2)
        over_needs = some(names, 2)
        count = world.counts[over_maps[0]] if over_maps and rng.random() < 0.95 else rng.randrange(4)
        world.counts[name] = count
        world.elements[name] = tuple(Element(some(list(over_needs), 1)) for _ in range(count)) if over_needs else ()
        return StepSpec(name, is_map=True, over_maps=over_maps, over_needs=over_needs, **common)  # type: ignore[arg-type]
    return StepSpec(name, **common)  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------------------------ oracle


class Oracle:
    """What must come of a run that nobody stops, by plain recursion over the graph."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.known: dict[str, StepStatus] = {}
        self.attempts: dict[str, int] = {}
        self.chosen = self._chosen()
        self.expanded: dict[str, bool] = {}
        for name in world.specs:
            self.status(name)

    def status(self, name: str) -> StepStatus:
        if name not in self.known:
            self.known[name] = self._status(name)
        return self.known[name]

    def _chosen(self) -> set[str]:
        chosen: set[str] = set()

        def choose(name: str) -> None:
            if name not in chosen:
                chosen.add(name)
                for other in self.world.specs[name].data_inputs():
                    choose(other)

        for name, spec in self.world.specs.items():
            if spec.wanted:
                choose(name)
        return chosen

    def _status(self, name: str) -> StepStatus:
        spec, values = self.world.specs[name], self.world.values
        self.expanded[name] = False
        if name not in self.chosen:
            return P
        needs = [self.status(other) for other in spec.needs]
        met = True
        for condition, expected in spec.guards:
            needs.append(self.status(condition))
            met = met and not (needs[-1] in GOOD and values[condition] is not expected)
        for condition, if_true, if_false in spec.either_needs:
            needs.append(self.status(condition))
            if needs[-1] in GOOD:
                needs += [self.status(other) for other in (if_true if values[condition] else if_false)]
        sources = [self.status(other) for other in spec.over_maps]
        skipped_sources = [s for s, o in zip(sources, spec.over_maps, strict=True) if not self.expanded[o] and s is S]
        if not met or S in needs or skipped_sources:
            return S
        before = [self.status(other) for other in spec.after if other in self.chosen]
        if not GOOD.issuperset(needs) or not {*GOOD, S}.issuperset(before):
            return P
        if not all(self.expanded[other] for other in spec.over_maps):
            return P
        return self._map(name) if spec.is_map else self._end(name)

    def _map(self, name: str) -> StepStatus:
        world = self.world
        count = world.counts[name]
        spec = world.specs[name]
        if world.fate(name).refused or any(world.counts[other] != count for other in spec.over_maps):
            return F
        self.expanded[name] = True
        statuses = []
        for index in range(count):
            element = world.elements[name][index] if world.elements[name] else Element()
            takes = [self.status(other) for other in element.needs]
            takes += [self.known[f"{other}[{index}]"] for other in spec.over_maps]
            status = S if S in takes else P if not GOOD.issuperset(takes) else self._end(f"{name}[{index}]")
            self.known[f"{name}[{index}]"] = status
            statuses.append(status)
        worst = [F, C, P, S, A, U]
        return next((status for status in worst if status in statuses), U)

    def _end(self, name: str) -> StepStatus:
        spec, fate = self.world.specs[name.partition("[")[0]], self.world.fate(name)
        self.attempts[name] = 0
        if fate.refused:
            return F
        if fate.reused:
            return F if spec.fails_run else U
        if spec.resources.cpus == 99 and self.world.limits.backends[spec.backend or ""] is not None:
            return F
        self.attempts[name] = 1
        counted = lost = transient = full = 0
        for fault in fate.faults:
            if fault is Fault.CANCELLED:
                return C
            counted += fault in OWN
            lost += fault in {Fault.LOST, Fault.PREEMPTED}
            transient += fault is Fault.TRANSIENT
            full += fault is Fault.CAPACITY
            if fault in OWN and (fault not in spec.retry.on or counted > spec.retry.times):
                return F
            if fault in {Fault.CONFIG, Fault.CONTRACT, Fault.UNSUPPORTED} or (fault is Fault.AUTH and spec.control):
                return F
            if lost > 5 or transient > 8 or full > 8:
                return F
            self.attempts[name] += 1
        return F if spec.fails_run else A


# --------------------------------------------------------------------------------------------------------- simulation


class Simulation:
    """A run loop that does nothing but answer, in whatever order it is told to, and keeps books of its own."""

    def __init__(self, world: World, *, fail_fast: bool = False, cancel_running: bool = False) -> None:
        self.world = world
        self.make = lambda: Scheduler(
            list(world.specs.values()), world.limits, fail_fast=fail_fast, cancel_running=cancel_running
        )
        self.scheduler = self.make()
        self.due: list[Event] = []
        self.past: list[Event] = []
        self.journal: list[tuple[tuple[Event, ...], list[Action]]] = []
        self.live: dict[str, int] = {}
        self.starts: dict[str, int] = {}
        self.latest: dict[str, int] = {}
        self.settled: dict[str, StepStatus] = {}
        self.finished: RunStatus | None = None
        self.stopped = False
        self._perform(self.scheduler.start())
        self.scheduler.validate()

    def feed(self, *events: Event) -> list[Action]:
        for event in events:
            if isinstance(event, Succeeded | Failed | ConditionKnown):
                self.live.pop(event.step, None)
        actions = self.scheduler.handle_many(events) if len(events) > 1 else self.scheduler.handle(events[0])
        self.journal.append((events, actions))
        self.past.extend(events)
        self.scheduler.validate()
        self._perform(actions)
        return actions

    def answer(self, *places: int) -> list[Action]:
        """Let some of what is under way happen."""
        events: list[Event] = [self.due.pop(place % len(self.due)) for place in places[: len(self.due)]]
        return self.feed(*events) if events else []

    def replay(self, place: int) -> None:
        """Tell something a second time: nothing must come of it."""
        event = self.past[place % len(self.past)]
        if isinstance(event, CancelRequested | Resumed):
            return
        if isinstance(event, Expanded | Refused | Reuse | Miss) and event in self.due:
            return
        assert self.scheduler.handle(event) == []
        self.scheduler.validate()

    def nonsense(self, rng: Random) -> None:
        """Tell what cannot be: nothing must come of it."""
        name = rng.choice([*self.world.specs, *self.settled, "nobody", "s0[7]"])
        final = name in self.settled
        attempt = self.latest.get(name, 0)
        lies: list[Event] = [
            Succeeded(name, attempt + 1),
            Succeeded(name, attempt - 1),
            Succeeded(name, 0),
            Failed(name, attempt - 1, Fault.USER),
            Failed(name, attempt + 1, Fault.AUTH),
            Started(name, attempt),
            Woken(10**9),
            Resumed("nowhere"),
            Withdrawn("nowhere", Fault.CONFIG),
        ]
        if final or name in self.live:
            lies += [Reuse(name), Miss(name), Expanded(name, 3), Refused(name, Fault.USER)]
        if final:
            lies += [Succeeded(name, 1), Failed(name, 1, Fault.USER), ConditionKnown(name, value=True)]
        assert self.scheduler.handle(rng.choice(lies)) == []
        self.scheduler.validate()

    def drain(self, rng: Random) -> None:
        """Go on until the run is over."""
        for _ in range(100_000):
            if self.finished is not None:
                return
            assert self.due, "the run is not over, but nothing is to come"
            self.answer(*(rng.randrange(10**6) for _ in range(rng.choice([1, 1, 1, 3]))))
        raise AssertionError("the run does not end")

    def _perform(self, actions: list[Action]) -> None:
        for action in actions:
            assert self.finished is None, "something comes after the end"
            match action:
                case Decide(step):
                    fate = self.world.fate(step)
                    self._check_supplied(step)
                    found = Reuse(step, self.world.values.get(step)) if fate.reused else Miss(step)
                    self.due.append(Refused(step, Fault.CONFIG) if fate.refused else found)
                case Expand(step):
                    self._check_supplied(step)
                    refused = self.world.fate(step).refused
                    expanded = Expanded(step, self.world.counts[step], self.world.elements[step])
                    self.due.append(Refused(step, Fault.USER) if refused else expanded)
                case Start(step, attempt):
                    self._start(step, attempt)
                case Cancel(step, attempt, _):
                    assert self.live[step] == attempt
                    self.due.append(Failed(step, attempt, Fault.CANCELLED))
                case Wait(token, _, seconds):
                    assert seconds > 0
                    self.due.append(Woken(token))
                case Pause(backend, _):
                    self.due.append(Resumed(backend))
                case Settled(step, status):
                    assert step not in self.settled, f"{step} is settled twice"
                    self.settled[step] = status
                case Finished(status):
                    self.finished = status
                    assert not self.live
        self._check_limits()

    def _start(self, step: str, attempt: int) -> None:
        assert step not in self.live, f"{step} has two live attempts"
        assert step not in self.settled
        assert not self.stopped, "a step started after the run was stopped"
        self._check_supplied(step)
        self.live[step] = self.latest[step] = attempt
        number = self.starts[step] = self.starts.get(step, 0) + 1
        faults = self.world.fate(step).faults
        if number <= len(faults):
            self.due.append(Failed(step, attempt, faults[number - 1]))
        elif step in self.world.values:
            self.due.append(ConditionKnown(step, self.world.values[step]))
        else:
            self.due.append(Succeeded(step, attempt))

    def _check_supplied(self, name: str) -> None:
        base, _, index = name.partition("[")
        spec = self.world.specs[base]
        needs = list(spec.needs) if not index else [f"{other}[{index}" for other in spec.over_maps]
        for condition, if_true, if_false in spec.either_needs:
            needs += [condition, *(if_true if self.world.values[condition] else if_false)]
        if index and self.world.elements[base]:
            needs += self.world.elements[base][int(index[:-1])].needs
        assert all(self.settled.get(other) in GOOD for other in needs), f"{name} goes on without its inputs"
        for condition, expected in spec.guards:
            assert self.settled.get(condition) in GOOD
            assert self.world.values[condition] is expected

    def _check_limits(self) -> None:
        limits = self.world.limits
        specs = [self.world.specs[name.partition("[")[0]] for name in self.live]
        placed = [spec for spec in specs if not spec.control]
        assert limits.concurrency is None or len(placed) <= limits.concurrency
        for group, most in limits.groups.items():
            assert sum(spec.limit_group == group for spec in placed) <= most
        for backend, capacity in limits.backends.items():
            if capacity is not None:
                asked = [spec.resources for spec in placed if spec.backend == backend]
                assert sum(resources.cpus for resources in asked) <= capacity.cpus + 1e-9
                assert sum(resources.gpus for resources in asked) <= capacity.gpus
                memory = sum(resources.memory_bytes or 0 for resources in asked)
                assert capacity.memory_bytes is None or memory <= capacity.memory_bytes
                assert sum(r.named.get("licence", 0) for r in asked) <= capacity.named.get("licence", 0)

    def check_against(self, oracle: Oracle) -> None:
        """A run that nobody stopped came out as the recursion says."""
        summary = self.scheduler.summary()
        assert {name: step.status for name, step in summary.steps.items()} == oracle.known
        for name, attempts in oracle.attempts.items():
            assert summary.steps[name].attempts == attempts, name
        wrong = [name for name in oracle.chosen if oracle.known[name] not in {A, U, S}]
        assert self.finished is (RunStatus.FAILED if wrong else RunStatus.SUCCEEDED)
        self.check_summary(oracle)

    def check_summary(self, oracle: Oracle) -> None:
        """Every step is final, or it says why it is not."""
        summary = self.scheduler.summary()
        for name, step in summary.steps.items():
            assert (step.status if step.status is not P else None) == self.settled.get(name), name
            if name.partition("[")[0] not in oracle.chosen:
                assert (step.status, step.reason) == (P, "not selected")
            elif step.status is P:
                assert step.reason in {"blocked", "stopped"}, name
                assert summary.steps[step.because or ""].status in {F, C}, name
            elif step.status is S:
                assert step.because, name

    def check_stopped(self, oracle: Oracle) -> None:
        """A run that was stopped did nothing that it would not have done otherwise."""
        for name, step in self.scheduler.summary().steps.items():
            expected = oracle.known.get(name, P)
            cut_short = step.status is F and expected in {A, C, F} and OWN & set(self.world.fate(name).faults)
            is_map = "[" not in name and self.world.specs[name].is_map
            assert step.status in {expected, P, C} or cut_short or is_map, (name, step.status, expected)
        self.check_summary(oracle)
