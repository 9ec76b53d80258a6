"""The scheduler against random runs: any graph, any outcome, any order of events, judged by a simple recursion."""

from __future__ import annotations

import os
from random import Random

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from headwater.schedule import Cancel, CancelRequested, Withdrawn
from headwater.types import Fault, RunStatus
from tests.schedules import A, C, F, Oracle, Simulation, make_world

THOROUGH = os.environ.get("HYPOTHESIS_PROFILE") == "thorough"


def budget(examples: int, **more: object) -> settings:
    """So many examples, or fifteen times as many when asked to be thorough."""
    return settings(
        max_examples=examples * (15 if THOROUGH else 1),
        deadline=None,
        suppress_health_check=list(HealthCheck),
        **more,  # type: ignore[arg-type]
    )


worlds = {"seed": st.integers(0, 2**48), "size": st.integers(0, 14)}


@budget(500)
@given(**worlds)
def test_a_run_without_trouble_comes_out_as_the_recursion_says(seed, size):
    world = make_world(seed, size, trouble=False)
    simulation = Simulation(world)
    simulation.drain(Random(seed))
    simulation.check_against(Oracle(world))


@budget(700)
@given(**worlds)
def test_a_run_with_faults_of_all_kinds_comes_out_as_the_recursion_says(seed, size):
    world = make_world(seed, size, trouble=True)
    simulation = Simulation(world)
    rng = Random(seed)
    while simulation.finished is None:
        simulation.answer(rng.randrange(10**6))
        if rng.random() < 0.3:
            simulation.nonsense(rng)
        if simulation.past and rng.random() < 0.3:
            simulation.replay(rng.randrange(10**6))
    simulation.check_against(Oracle(world))


@budget(400)
@given(**worlds, running=st.booleans())
def test_a_run_that_fails_fast_starts_nothing_after_its_first_failure(seed, size, running):
    world = make_world(seed, size, trouble=True, fails=True)
    simulation = Simulation(world, fail_fast=True, cancel_running=running)
    rng = Random(seed)
    while simulation.finished is None:
        simulation.answer(rng.randrange(10**6))
        simulation.stopped = bool({F, C} & set(simulation.settled.values()))
    simulation.check_stopped(Oracle(world))
    assert (simulation.finished is RunStatus.FAILED) == simulation.stopped


@budget(300)
@given(**worlds)
def test_a_fail_step_ends_a_run_that_would_keep_going(seed, size):
    world = make_world(seed, size, trouble=False, fails=True)
    simulation = Simulation(world)
    rng = Random(seed)
    while simulation.finished is None:
        simulation.answer(rng.randrange(10**6))
        failed = [name for name, status in simulation.settled.items() if status is F and "[" not in name]
        simulation.stopped = any(world.specs[name].fails_run for name in failed)
    simulation.check_stopped(Oracle(world))


@budget(500)
@given(**worlds, fast=st.booleans(), moment=st.integers(0, 40), patience=st.integers(0, 10))
@example(seed=0, size=5, fast=False, moment=0, patience=0)
def test_a_cancelled_run_ends_with_every_step_final(seed, size, fast, moment, patience):
    world = make_world(seed, size, trouble=True, fails=True)
    simulation = Simulation(world, fail_fast=fast)
    rng = Random(seed)
    for _ in range(moment):
        simulation.answer(rng.randrange(10**6))
    over = simulation.finished
    simulation.feed(CancelRequested())
    simulation.stopped = True
    for _ in range(patience):
        simulation.answer(rng.randrange(10**6))
    again = simulation.feed(CancelRequested(hard=True))
    assert all(action.grace == 0 for action in again if isinstance(action, Cancel))
    assert simulation.feed(CancelRequested(hard=True)) == []
    simulation.drain(rng)
    oracle = Oracle(world)
    if over is None:
        assert simulation.finished is RunStatus.CANCELLED
        assert {name for name in world.specs if name not in simulation.settled} == set(world.specs) - oracle.chosen
    simulation.check_stopped(oracle)


@budget(200)
@given(**worlds, moment=st.integers(0, 20))
def test_a_run_ends_when_a_backend_is_withdrawn(seed, size, moment):
    world = make_world(seed, size, trouble=False)
    simulation = Simulation(world)
    rng = Random(seed)
    for _ in range(moment):
        simulation.answer(rng.randrange(10**6))
    gone = set(simulation.live)
    if simulation.finished is None:
        simulation.feed(Withdrawn("near", Fault.AUTH, "nobody signed in"))
    simulation.drain(rng)
    for name, step in simulation.scheduler.summary().steps.items():
        if step.status is A and world.specs[name.partition("[")[0]].backend == "near" and step.element_of is None:
            assert name in gone or world.specs[name].is_map or simulation.settled[name] is A
        if step.status is F and step.reason == "fault":
            assert step.fault in {Fault.AUTH, Fault.UNSUPPORTED, Fault.CONTRACT}
    simulation.check_summary(Oracle(world))


@budget(150)
@given(**worlds)
def test_the_same_events_give_the_same_actions(seed, size):
    world = make_world(seed, size, trouble=True, fails=True)
    simulation = Simulation(world)
    simulation.drain(Random(seed))
    again = simulation.make()
    again.start()
    for events, actions in simulation.journal:
        assert again.handle_many(events) == actions
    assert again.summary() == simulation.scheduler.summary()


class Runs(RuleBasedStateMachine):
    """Whatever is told in whatever order, the books are right after every event."""

    @initialize(seed=st.integers(0, 2**32), size=st.integers(1, 10), fast=st.booleans(), fails=st.booleans())
    def begin(self, seed, size, fast, fails):
        self.world = make_world(seed, size, trouble=True, fails=fails)
        self.simulation = Simulation(self.world, fail_fast=fast)
        self.free = not fast and not fails

    def _is_open(self) -> bool:
        return self.simulation.finished is None

    @precondition(_is_open)
    @rule(places=st.lists(st.integers(0, 1000), min_size=1, max_size=4))
    def something_happens(self, places):
        self.simulation.answer(*places)

    @precondition(_is_open)
    @rule()
    def the_latest_happens(self):
        self.simulation.answer(-1)

    @rule(place=st.integers(0, 1000))
    def something_is_told_twice(self, place):
        if self.simulation.past:
            self.simulation.replay(place)

    @rule(seed=st.integers(0, 1000))
    def nonsense_is_told(self, seed):
        self.simulation.nonsense(Random(seed))

    @precondition(_is_open)
    @rule(hard=st.booleans(), seed=st.integers(0, 9))
    def somebody_asks_to_stop(self, hard, seed):
        if seed == 0:
            self.simulation.feed(CancelRequested(hard))
            self.simulation.stopped = True
            self.free = False

    @invariant()
    def the_books_are_right(self):
        if hasattr(self, "simulation"):
            self.simulation.scheduler.validate()

    def teardown(self):
        if hasattr(self, "simulation"):
            self.simulation.drain(Random(1))
            oracle = Oracle(self.world)
            if self.free:
                self.simulation.check_against(oracle)
            else:
                self.simulation.check_stopped(oracle)


TestRuns = Runs.TestCase
TestRuns.settings = budget(60, stateful_step_count=40)
