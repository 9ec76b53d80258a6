"""What the plan said and the run did agree, and no result is ever stale: on random pipelines and random edits."""

from __future__ import annotations

import importlib
import json
import os
import random
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headwater.request import RunOptions
from headwater.selection import Selection
from headwater.workspace import Workspace
from tests.projects import Site

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


#: ``HYPOTHESIS_PROFILE=thorough`` tries many more.
IS_THOROUGH = os.environ.get("HYPOTHESIS_PROFILE") == "thorough"
#: What became of steps whose fate a plan could not tell.
FATES: Counter[str] = Counter()


@settings(max_examples=400 if IS_THOROUGH else 15, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    program=programs,
    history=st.lists(edits, min_size=1, max_size=4),
    backends=st.tuples(st.sampled_from(["inline", "threads"]), st.sampled_from(["inline", "threads"])),
)
def hold_the_law(
    module: Any,
    tmp_path_factory: pytest.TempPathFactory,
    program: list[tuple[str, int, int]],
    history: list[Any],
    backends: tuple[str, str],
) -> None:
    store = tmp_path_factory.mktemp("store") / "s"
    module.PROGRAM = program
    module.ADD, module.INC, module.HALVE, module.SMALL, module.SPREAD, module.TOTAL = 0, 1, 2, 5, 3, 0
    start = 3
    for place, (name, value) in enumerate([("start", 3), *history]):
        force: tuple[str, ...] = ()
        if name == "start":
            start = value
        elif name == "force":
            nodes = list(module.main.compile().definition.graph.nodes)
            force = (nodes[value % len(nodes)],)
        else:
            setattr(module, name, value)
        check(module, store, program, start, force, backends[place % 2])


def test_the_run_does_what_the_plan_said_and_nothing_is_stale(
    module: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    FATES.clear()
    hold_the_law(module, tmp_path_factory)
    print(dict(FATES))
    assert FATES["reused"] > 0, "no step was cut off early: the programs do not try it"
    assert FATES["ran"] > 0


def check(
    module: Any, store: Path, program: list[tuple[str, int, int]], start: int, force: tuple[str, ...], backend: str
) -> None:
    options = RunOptions(selection=Selection(force=force))
    # Planning and running see the code through workspaces of their own, as two commands would.
    plan = Workspace(store=store, backend=backend).plan(module.main, run_options=options, start=start)
    result = Workspace(store=store, backend=backend).run(module.main, run_options=options, start=start)
    assert result.succeeded, str(result)
    assert result.output == expected(module, program, start)
    agree(
        {step.name: step.action for step in plan},
        {step.step: step.status.value for step in result.steps},
        f"{plan}\n{result}",
    )
    again = Workspace(store=store, backend="inline").plan(module.main, start=start)
    assert {step.action for step in again} <= {"reuse", "skip"}, str(again)


def agree(foreseen: dict[str, str], done: dict[str, str], told: str) -> None:
    for name, action in foreseen.items():
        match action:
            case "reuse":
                assert done.get(name, "reused") == "reused", (name, told)
            case "run":
                assert done[name] == "ran", (name, told)
            case "skip":
                assert done[name] == "skipped", (name, told)
            case _:
                FATES[done.get(name, "elements")] += 1
    # What the plan did not name are elements of maps whose length it could not know.
    for name in done.keys() - foreseen.keys():
        assert foreseen.get(name.partition("[")[0]) == "unknown", (name, told)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["dask", "threads"])
@pytest.mark.parametrize("seed", range(20 if IS_THOROUGH else 1))
def test_the_law_holds_for_files_that_are_edited_between_commands(seed: int, backend: str, tmp_path: Path) -> None:
    chance = random.Random(f"{seed}-{backend}")
    site = Site(tmp_path / "project", tmp_path / "cache")
    program = [(chance.choice(OPS), chance.randrange(20), chance.randrange(20)) for _ in range(6)]
    constants = {"ADD": 0, "INC": 1, "HALVE": 2, "SMALL": 5, "SPREAD": 3, "TOTAL": 0}
    start = 3
    for _ in range(5):
        values = ", ".join(str(value) for value in constants.values())
        text = SOURCE.replace("0, 1, 2, 5, 3, 0", values).replace("PROGRAM = []", f"PROGRAM = {program!r}")
        site.write(flow__py=text, headwater__toml="")
        planned = json.loads(site.hw("plan", "flow.py", f"start={start}", "--json").stdout)["steps"]
        found = site.run("flow.py", f"start={start}", "--backend", backend)
        agree(
            {step["name"]: "skip" if step["skip"] else step["action"] for step in planned},
            {name: step["status"] for name, step in found.steps.items()},
            f"{planned}\n{found}",
        )
        output = Workspace(store=site.folder / ".headwater").result(found["run"]).output
        assert output == expected(SimpleNamespace(**constants), program, start)
        name = chance.choice([*constants, "start"])
        if name == "start":
            start = chance.randrange(12)
        else:
            constants[name] = chance.randrange(1, 6)
    site.leaves_nothing()
