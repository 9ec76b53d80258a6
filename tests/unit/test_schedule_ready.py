"""What starts first, what fits beside what, and that nobody waits for ever."""

from __future__ import annotations

import pytest

from headwater.schedule import Decide, Element, Expand, Expanded, Finished, Limits, Miss, Scheduler, Start, StepSpec
from headwater.schedule import Succeeded as Done
from headwater.schedule.ready import OVERTAKEN
from headwater.types import Resources


def begin(steps, limits):
    scheduler = Scheduler(steps, limits, fail_fast=False)
    names = [action.step for action in scheduler.start() if isinstance(action, Decide)]
    return scheduler, started(scheduler.handle_many(Miss(name) for name in names))


def started(actions):
    return [action.step for action in actions if isinstance(action, Start)]


def one_by_one(steps, **limits):
    """Run everything with room for one at a time, and say in which order."""
    scheduler, order = begin(steps, Limits(backends={"near": None}, concurrency=1, **limits))
    running = list(order)
    while running:
        actions = scheduler.handle(Done(running.pop(), 1))
        for action in actions:
            if isinstance(action, Decide):
                actions += scheduler.handle(Miss(action.step))
        running += started(actions)
        order += started(actions)
    return order


def test_priority_comes_first_then_the_longest_way_then_the_order_of_declaration():
    steps = [
        StepSpec("late", backend="near"),
        StepSpec("later", backend="near"),
        StepSpec("long", backend="near", expected_seconds=60),
        StepSpec("root", backend="near"),
        StepSpec("leaf", needs=("root",), backend="near", expected_seconds=100),
        StepSpec("urgent", backend="near", priority=1, expected_seconds=0.1),
    ]
    assert one_by_one(steps) == ["urgent", "root", "long", "leaf", "late", "later"]


def test_every_kind_of_dependent_makes_a_step_more_pressing():
    for link in ({"after": ("a",)}, {"either_needs": (("c", ("a",), ()),)}, {"needs": ("a",)}):
        steps = [
            StepSpec("c", control=True),
            StepSpec("other", backend="near"),
            StepSpec("a", backend="near"),
            StepSpec("end", backend="near", **link),
        ]
        scheduler = Scheduler(steps, Limits(backends={"near": None}, concurrency=1), fail_fast=False)
        scheduler.start()
        assert scheduler.handle_many([Miss("other"), Miss("a")]) == [Start("a", 1)]


def test_longer_elements_of_a_map_go_first():
    limits = Limits(backends={"near": None}, concurrency=1)
    scheduler = Scheduler([StepSpec("m", is_map=True, backend="near")], limits, fail_fast=False)
    assert scheduler.start() == [Expand("m")]
    scheduler.handle(Expanded("m", 3, (Element(), Element(expected_seconds=9), Element(expected_seconds=5))))
    order = started(scheduler.handle_many(Miss(f"m[{i}]") for i in range(3)))
    while order[-1:] != ["m[0]"]:
        order += started(scheduler.handle(Done(order[-1], 1)))
    assert order == ["m[1]", "m[2]", "m[0]"]


@pytest.mark.parametrize(
    ("asked", "fit"),
    [
        ({"cpus": 1}, 4),
        ({"cpus": 0.4}, 10),
        ({"cpus": 0.1}, 40),
        ({"cpus": 0}, 50),
        ({"memory": "3GB"}, 2),
        ({"memory": "2GB", "cpus": 0}, 4),
        ({"gpus": 1}, 2),
        ({"named": {"licence": 1}}, 3),
        ({"named": {"licence": 0.5}, "cpus": 0}, 6),
    ],
)
def test_each_capacity_holds_as_many_as_fit(asked, fit):
    capacity = Resources(cpus=4, memory="8GB", gpus=2, named={"licence": 3})
    steps = [StepSpec(f"s{i}", backend="near", resources=Resources(**asked)) for i in range(50)]
    scheduler, order = begin(steps, Limits(backends={"near": capacity}))
    assert len(order) == fit
    for name in order:
        scheduler.handle(Done(name, 1))
        scheduler.validate()


def test_memory_that_a_backend_does_not_count_is_not_counted():
    steps = [StepSpec(f"s{i}", backend="near", resources=Resources(memory="1TB")) for i in range(3)]
    assert len(begin(steps, Limits(backends={"near": Resources(cpus=2)}))[1]) == 2


def test_concurrency_and_limit_groups_are_shared_by_backends():
    backends = {"near": None, "far": None}
    steps = [StepSpec(f"s{i}", backend=("near", "far")[i % 2], limit_group="db") for i in range(4)]
    steps += [StepSpec(f"t{i}", backend="far") for i in range(4)]
    assert begin(steps, Limits(backends=backends, groups={"db": 3}))[1] == ["s0", "s1", "s2", "t0", "t1", "t2", "t3"]
    assert begin(steps, Limits(backends=backends, groups={"db": 1}, concurrency=3))[1] == ["s0", "t0", "t1"]


def test_a_full_backend_does_not_hold_up_another():
    steps = [StepSpec(f"a{i}", backend="near", priority=9) for i in range(3)] + [StepSpec("b", backend="far")]
    assert begin(steps, Limits(backends={"near": Resources(cpus=1), "far": None}))[1] == ["a0", "b"]


def test_a_large_step_is_overtaken_but_not_for_ever():
    small = [StepSpec(f"s{i}", backend="near", resources=Resources(cpus=1)) for i in range(200)]
    large = [StepSpec(name, backend="near", priority=5, resources=Resources(cpus=2)) for name in ("x", "y")]
    scheduler = Scheduler([*large, *small], Limits(backends={"near": Resources(cpus=2)}), fail_fast=False)
    scheduler.start()
    running = started(scheduler.handle_many(Miss(step.name) for step in small))
    for name in ("x", "y"):  # the second one's patience is its own
        others = 0
        assert scheduler.handle(Miss(name)) == []
        while name not in running:
            fresh = started(scheduler.handle(Done(running.pop(0), 1)))
            scheduler.validate()
            running += fresh
            others += len(fresh)
        assert others - 1 == OVERTAKEN
        running += started(scheduler.handle(Done(running.pop(0), 1)))


def test_many_kinds_of_steps_that_have_no_room_do_not_stop_the_run():
    steps = [
        StepSpec(f"s{i}", backend="near", resources=Resources(cpus=8 - i / 100), limit_group="g") for i in range(300)
    ]
    scheduler, order = begin(steps, Limits(backends={"near": Resources(cpus=8)}, groups={"g": 2}))
    actions = []
    for name in order:
        actions = scheduler.handle(Done(name, 1))
        order += started(actions)
    assert isinstance(actions[-1], Finished)
    assert len(order) == 300


def test_a_batch_of_events_starts_the_best_of_all():
    steps = [StepSpec("a", backend="near"), StepSpec("b", backend="near", priority=1)]
    scheduler = Scheduler(steps, Limits(backends={"near": None}, concurrency=1), fail_fast=False)
    scheduler.start()
    assert scheduler.handle_many([Miss("a"), Miss("b")]) == [Start("b", 1)]
