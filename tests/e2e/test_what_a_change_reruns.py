"""The README's table "What a change reruns", a row a test: one project, one edit, and which steps ran."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

FILES = {
    "headwater.toml": 'backend = "inline"\n',
    "data.csv": "month,value\n1,10\n1,20\n2,30\n3,40\n",
    "cleaning.py": """
        OFFSET = 1

        def shifted(value):
            return value + OFFSET
    """,
    "statistics_of.py": """
        DIGITS = 2

        def mean(values):
            return round(sum(values) / len(values), DIGITS)
    """,
    "pipeline.py": """
        import csv
        from pathlib import Path

        from cleaning import shifted
        from headwater import File, over, pipeline, step
        from statistics_of import mean


        @step
        def read(source: File) -> list[list[int]]:
            with Path(source).open() as lines:
                return [[int(row["month"]), int(row["value"])] for row in csv.DictReader(lines)]


        @step
        def select(rows: list[list[int]], month: int) -> list[int]:
            return [value for at, value in rows if at == month]


        @step
        def clean(values: list[int]) -> list[int]:
            return [shifted(value) for value in values]


        @step(packages=["packaging"])
        def total(months: list[list[int]]) -> list[int]:
            return [value for month in months for value in month]


        @step
        def report(values: list[int], unit: str) -> str:
            return f"{mean(values)} {unit}"


        @pipeline
        def main(source: File = File("data.csv"), unit: str = "m") -> str:
            months = clean.map(over(select.map(read(source), over([1, 2, 3]))))
            return report(total(months), unit)
    """,
}
EVERYTHING = [
    "read", "select[0]", "select[1]", "select[2]", "clean[0]", "clean[1]", "clean[2]", "total", "report",
]  # fmt: skip


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    for name, text in FILES.items():
        (folder / name).write_text(dedent(text).lstrip())
    return folder


def ran(project: Path, *words: str) -> list[str]:
    """Run the pipeline by the command line, in a process of its own; give the steps that ran, in order."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HEADWATER_")}
    environment |= {"HEADWATER_CACHE": str(project.parent / "cache"), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "headwater", "run", "pipeline.py", "--json", *words]
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    steps = json.loads(done.stdout)["steps"]
    assert {step["status"] for step in steps} <= {"ran", "reused"}
    return [step["name"] for step in steps if step["status"] == "ran"]


def edit(name: str, old: str, new: str) -> Callable[[Path], None]:
    def apply(project: Path) -> None:
        text = (project / name).read_text()
        assert old in text
        (project / name).write_text(text.replace(old, new))

    return apply


def touch(name: str) -> Callable[[Path], None]:
    """Write a file anew with the content that it has."""

    def apply(project: Path) -> None:
        data = (project / name).read_bytes()
        (project / name).unlink()
        (project / name).write_bytes(data)
        os.utime(project / name, (1_000_000_000, 1_000_000_000))

    return apply


@pytest.mark.parametrize(
    ("change", "words", "expected"),
    [
        pytest.param(edit("cleaning.py", "def shifted", "# moves\ndef shifted"), [], [], id="a comment"),
        pytest.param(edit("cleaning.py", "value + OFFSET", "( value+OFFSET )"), [], [], id="formatting"),
        pytest.param(edit("statistics_of.py", "values):\n", 'values):\n    """Mean."""\n'), [], [], id="a docstring"),
        pytest.param(
            edit("cleaning.py", "value + OFFSET", "OFFSET + value"),
            [],
            ["clean[0]", "clean[1]", "clean[2]"],
            id="a helper in another module, with the same results",
        ),
        pytest.param(
            edit("cleaning.py", "value + OFFSET", "value - OFFSET"),
            [],
            ["clean[0]", "clean[1]", "clean[2]", "total", "report"],
            id="a helper in another module, with other results",
        ),
        pytest.param(edit("statistics_of.py", "DIGITS = 2", "DIGITS = 3"), [], ["report"], id="a constant"),
        pytest.param(touch("statistics_of.py"), ["unit=km"], ["report"], id="a parameter"),
        pytest.param(touch("data.csv"), [], [], id="an input file, to the same content"),
        pytest.param(
            edit("data.csv", "3,40", "3,50"),
            [],
            ["read", "select[0]", "select[1]", "select[2]", "clean[2]", "total", "report"],
            id="one month of the data",
        ),
        pytest.param(
            edit("pipeline.py", 'packages=["packaging"]', 'packages=["pluggy"]'), [], ["total"], id="a package"
        ),
    ],
)
@pytest.mark.slow
def test_a_change_reruns_what_depends_on_it(
    project: Path, change: Callable[[Path], None], words: list[str], expected: list[str]
) -> None:
    assert ran(project) == EVERYTHING
    assert ran(project) == []
    change(project)
    assert ran(project, *words) == expected
