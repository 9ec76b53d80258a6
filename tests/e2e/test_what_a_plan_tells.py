"""What a plan tells of inputs that are known before anything runs: parameters, files, and what is reused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.projects import Project

if TYPE_CHECKING:
    from pathlib import Path

PIPELINE = """
    from pathlib import Path
    from headwater import File, over, pipeline, step

    @step
    def one(x: int) -> int:
        return x + 1

    @step
    def kept(x: int) -> int:
        return x * 2

    @step
    def two(a: int, b: int, rate: float, f: File) -> float:
        return (a + b) * rate + len(Path(f).read_text())

    @step
    def each(value: int, a: int, rate: float) -> float:
        return value + a + rate

    @pipeline
    def main(x: int = 1, rate: float = 0.5, values: list[int] = [1, 2], f: File = File("data.txt")) -> float:
        a = one(x)
        each.map(over(values), a, rate)
        return two(a, kept(x), rate, f)
"""


@pytest.fixture
def ran(tmp_path: Path) -> Project:
    """A project with one run, and a step edited after it so that its result stays the same."""
    project = Project(tmp_path)
    project.write(headwater_toml='backend = "inline"\n', pipeline=PIPELINE)
    (tmp_path / "data.txt").write_text("abc")
    done = project.hw("run", "pipeline.py")
    assert done.status == 0, done.err
    source = tmp_path / "pipeline.py"
    source.write_text(source.read_text().replace("x + 1", "1 + x"))
    return project


def plan(project: Project, *words: str) -> dict[str, tuple[str, str]]:
    done = project.hw("plan", "pipeline.py", *words, "--json")
    assert done.status == 0, done.err
    return {step["name"]: (step["action"], step["reason"]) for step in done.json["steps"]}


def test_a_parameter_that_changed_is_told_beside_a_step_that_did(ran: Project) -> None:
    told = plan(ran, "rate=0.9")
    changed = ("unknown", "parameter rate changed: 0.5 → 0.9; the rest is known when 'one' has run")
    assert told["two"] == told["each[0]"] == told["each[1]"] == changed
    assert ran.statuses("rate=0.9")["two"] == "ran"


def test_elements_of_a_map_are_told_apart(ran: Project) -> None:
    told = plan(ran, "values=[1, 3]")
    assert told["each[0]"][1] == "until 'one' has run: if its result is the same, this is reused"
    assert told["each[1]"][1].endswith("changed: 2 → 3; the rest is known when 'one' has run"), told["each[1]"]


def test_a_file_that_changed_is_told_beside_a_step_that_did(ran: Project) -> None:
    (ran.folder / "data.txt").write_text("abcd")
    told = plan(ran)
    assert told["two"][1] == "file data.txt (parameter f) changed; the rest is known when 'one' has run"


def test_what_did_not_change_waits_for_the_step_before(ran: Project) -> None:
    told = plan(ran)
    assert told["two"] == ("unknown", "until 'one' has run: if its result is the same, this is reused")
    assert ran.statuses()["two"] == "reused"
