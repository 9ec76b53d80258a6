"""What scheduling costs, counted in calls and lines, not in seconds: each event costs the same in a run of any size."""

from __future__ import annotations

import sys
from pathlib import Path
from random import Random

import pytest

import headwater.schedule
from headwater.schedule import Decide, Expand, Expanded, Failed, Finished, Limits, Miss, Scheduler, Start, StepSpec
from headwater.schedule import Succeeded as Done
from headwater.types import Fault, Resources, RunStatus

HOME = str(Path(headwater.schedule.__file__).parent)
NEAR = Limits(backends={"near": Resources(cpus=8, memory=1000)})


def independent(size):
    return [StepSpec(f"s{i}", backend="near") for i in range(size)]


def chain(size):
    return [StepSpec(f"s{i}", needs=(f"s{i - 1}",) if i else (), backend="near") for i in range(size)]


def layers(size):
    rng = Random(size)
    return [
        StepSpec(
            f"s{i}", needs=tuple(f"s{rng.randrange(max(0, i - 50), i)}" for _ in range(3)) if i else (), backend="near"
        )
        for i in range(size)
    ]


def fan_in(size):
    steps = independent(size - 1)
    return [*steps, StepSpec("end", needs=tuple(step.name for step in steps), backend="near")]


def all_different(size):
    sizes = [Resources(cpus=0.1, memory=1 + i) for i in range(997)]
    return [StepSpec(f"s{i}", backend="near", resources=sizes[i % 997]) for i in range(size)]


def doomed(size):
    return [
        StepSpec("s0", backend="near"),
        *(StepSpec(f"d{i}", needs=("s0",), backend="near") for i in range(size - 1)),
    ]


def maps(size):
    first = StepSpec("m", is_map=True, backend="near")
    return [first, StepSpec("k", is_map=True, over_maps=("m",), backend="near")]


def lines_of_a_run(tasks, elements, failing):
    """Count the lines of the scheduler that a whole run executes, event by event."""
    count = 0

    def trace(frame, event, _):
        nonlocal count
        if not frame.f_code.co_filename.startswith(HOME):
            return None
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        scheduler = Scheduler(tasks, NEAR, fail_fast=False)
        todo = scheduler.start()
        for action in todo:
            match action:
                case Decide(step):
                    todo += scheduler.handle(Miss(step))
                case Expand(step):
                    todo += scheduler.handle(Expanded(step, elements))
                case Start(step, attempt):
                    failed = step in failing
                    todo += scheduler.handle(Failed(step, attempt, Fault.USER) if failed else Done(step, attempt))
                case _:
                    pass
    finally:
        sys.settrace(before)
    assert todo[-1] == Finished(RunStatus.FAILED if failing else RunStatus.SUCCEEDED)
    return count


@pytest.mark.parametrize("shape", [independent, chain, layers, fan_in, all_different, doomed, maps])
def test_a_step_costs_the_same_in_a_small_and_in_a_large_run(shape):
    failing = {"s0"} if shape is doomed else set()
    small, large = (lines_of_a_run(shape(size), size // 2, failing) / size for size in (200, 1000))
    assert large < small * 1.3
    assert small < (2000 if shape is all_different else 700)
