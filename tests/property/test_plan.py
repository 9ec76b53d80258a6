"""What the plan said and the run did agree, and no result is ever stale: on random pipelines and random edits."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headwater.prepared import RunOptions
from headwater.selection import Selection
from headwater.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

#: The steps, each with a constant that an edit changes; ``halve`` and ``small`` often give the same result again.
SOURCE = """
from headwater import over, pipeline, step, when, otherwise, either

ADD, INC, HALVE, SMALL, SPREAD, TOTAL = 0, 1, 2, 5, 3, 0

@step
def add(x: int, y: int) -> int:
    return x + y + ADD

@step
def inc(x: int) -> int:
    return x + INC

@step
def halve(x: int) -> int:
    return x // HALVE

@step
def spread(x: int) -> list[int]:
    return [x % SPREAD, x % 2, 7][: 1 + x % SPREAD]

@step
def total(xs: list[int]) -> int:
    return sum(xs) + TOTAL

PROGRAM = []

def draw(start):
    values = [start]
    for op, *places in PROGRAM:
        one, two = (values[place % len(values)] for place in places)
        if op == "add":
            values.append(add(one, two))
        elif op == "inc":
            values.append(inc(one))
        elif op == "halve":
            values.append(halve(one))
        elif op == "map":
            values.append(total(inc.map(over(spread(one)))))
        elif op == "chain":
            values.append(total(halve.map(over(inc.map(over(spread(one)))))))
        elif op == "list":
            values.append(total([one, two, 4]))
        elif op == "either":
            with when(one > SMALL) as big:
                a = inc(two)
            with otherwise(big):
                b = halve(two)
            values.append(either(big, a, b))
    return values[-1], values

@pipeline
def main(start: int = 3):
    return draw(start)[0]
"""
OPS = ("add", "inc", "halve", "map", "chain", "list", "either")


def expected(module: Any, program: Sequence[tuple[str, int, int]], start: int) -> int:
    """Evaluate a program in plain Python, with the constants as they are now."""
    values = [start]
    for op, *places in program:
        one, two = (values[place % len(values)] for place in places)
        spread = [one % module.SPREAD, one % 2, 7][: 1 + one % module.SPREAD]
        match op:
            case "add":
                values.append(one + two + module.ADD)
            case "inc":
                values.append(one + module.INC)
            case "halve":
                values.append(one // module.HALVE)
            case "map":
                values.append(sum(each + module.INC for each in spread) + module.TOTAL)
            case "chain":
                values.append(sum((each + module.INC) // module.HALVE for each in spread) + module.TOTAL)
            case "list":
                values.append(one + two + 4 + module.TOTAL)
            case _:
                values.append(two + module.INC if one > module.SMALL else two // module.HALVE)
    return values[-1]


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("random")
    (folder / "random_flow.py").write_text(SOURCE)
    (folder / "headwater.toml").write_text("")
    sys.path.insert(0, str(folder))
    before = Path.cwd()
    os.chdir(folder)  # where steps work; else `threads` gives them processes, which see the file's constants
    yield importlib.import_module("random_flow")
    os.chdir(before)
    sys.path.remove(str(folder))
    del sys.modules["random_flow"]


programs = st.lists(st.tuples(st.sampled_from(OPS), st.integers(0, 20), st.integers(0, 20)), min_size=1, max_size=7)
edits = st.one_of(
    st.tuples(st.sampled_from(["ADD", "INC", "SMALL", "TOTAL"]), st.integers(0, 6)),
    st.tuples(st.sampled_from(["HALVE", "SPREAD"]), st.integers(1, 4)),
    st.tuples(st.just("start"), st.integers(0, 12)),
    st.tuples(st.just("force"), st.integers(0, 6)),
)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(program=programs, history=st.lists(edits, min_size=1, max_size=4))
def test_the_run_does_what_the_plan_said_and_nothing_is_stale(
    module: Any, tmp_path_factory: pytest.TempPathFactory, program: list[tuple[str, int, int]], history: list[Any]
) -> None:
    store = tmp_path_factory.mktemp("store") / "s"
    module.PROGRAM = program
    module.ADD, module.INC, module.HALVE, module.SMALL, module.SPREAD, module.TOTAL = 0, 1, 2, 5, 3, 0
    start = 3
    for name, value in [("start", 3), *history]:
        force: tuple[str, ...] = ()
        if name == "start":
            start = value
        elif name == "force":
            nodes = list(module.main.compile().definition.graph.nodes)
            force = (nodes[value % len(nodes)],)
        else:
            setattr(module, name, value)
        check(module, store, program, start, force)


def check(module: Any, store: Path, program: list[tuple[str, int, int]], start: int, force: tuple[str, ...]) -> None:
    options = RunOptions(selection=Selection(force=force))
    # Planning and running see the code through workspaces of their own, as two commands would.
    plan = Workspace(store=store, backend="threads").plan(module.main, run_options=options, start=start)
    result = Workspace(store=store, backend="threads").run(module.main, run_options=options, start=start)
    assert result.succeeded, str(result)
    assert result.output == expected(module, program, start)
    foreseen = {step.name: step.action for step in plan}
    done = {step.step: step.status.value for step in result.steps}
    for name, action in foreseen.items():
        match action:
            case "reuse":
                assert done.get(name, "reused") == "reused", (name, plan, result)
            case "run":
                assert done[name] == "ran", (name, str(plan), str(result))
            case "skip":
                assert done[name] == "skipped", (name, str(plan), str(result))
            case "unknown":
                pass
    # What the plan did not name are elements of maps whose length it could not know.
    for name in done.keys() - foreseen.keys():
        assert foreseen.get(name.partition("[")[0]) == "unknown", (name, str(plan), str(result))
    again = Workspace(store=store, backend="inline").plan(module.main, start=start)
    assert {step.action for step in again} <= {"reuse", "skip"}, str(again)
