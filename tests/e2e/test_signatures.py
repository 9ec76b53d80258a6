"""Who can write to a store can change its logs: what is executed is what a trusted key signed, for that very run."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.histories import rewrite
from tests.projects import Project

pytestmark = pytest.mark.slow

PIPELINE = """
from headwater import pipeline, step

@step
def one(x: int) -> int:
    return x + 1

@step
def two(x: int) -> int:
    return x + 2

@pipeline
def main(x: int = 1) -> list[int]:
    return [one(x), two(x)]
"""


@pytest.fixture
def run(project: Project) -> str:
    project.write(pipeline=PIPELINE)
    project.statuses()
    assert project.hw("fsck").status == 0
    return str(project.hw("show", "--json").json["run"])


def started(**changes: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda event: event | (changes if event["type"] == "run.started" else {})


def root(project: Project) -> Path:
    return project.folder / ".headwater"


def test_code_that_was_signed_for_one_run_is_not_that_of_another(project: Project, run: str) -> None:
    other = run[:-6] + "aaaaaa"
    shutil.copytree(root(project) / "runs" / run, root(project) / "runs" / other)
    done = project.hw("debug", other, "one", "--no-pdb")
    assert (done.status, "was not signed by a key that you trust" in done.err) == (3, True), done.err
    assert project.hw("debug", run, "one", "--no-pdb").status == 0
    assert project.hw("fsck").status == 1


@pytest.mark.parametrize(
    "changes", [{"entries": {"pipeline:one": "pipeline:two"}}, {"pipeline": "other"}, {"definition": "0" * 64}]
)
def test_what_signed_code_is_executed_as_cannot_be_changed(project: Project, run: str, changes: dict[str, Any]) -> None:
    rewrite(root(project), run, started(**changes))
    done = project.hw("debug", run, "one", "--no-pdb")
    assert done.status != 0
    assert "gave" not in done.out
    assert project.hw("fsck").status == 1


@pytest.mark.parametrize("words", [[], ["--current"]])
def test_a_log_cannot_name_a_module_to_be_imported(project: Project, run: str, words: list[str]) -> None:
    tree = {"value": {"$": "data", "t": "this:Zen", "v": {}}}

    def poisoned(event: dict[str, Any]) -> dict[str, Any]:
        return event | ({"trees": {"x": tree}} if event["type"] == "step.decided" else {})

    rewrite(root(project), run, poisoned)
    done = project.hw("debug", run, "one", "--no-pdb", *words)
    assert "Beautiful is better" not in done.out  # what importing `this` prints
    assert "names this:Zen, which the step's code does not import" in done.err


def test_the_signature_of_a_version_cannot_be_moved_to_another(project: Project, run: str) -> None:
    del run
    versions = root(project) / "pipelines" / "main"
    shutil.copytree(versions, versions.parent / "other")
    done = project.hw("run", "other@1")
    assert "stored by a key that you do not trust" in done.err
    assert project.hw("run", "main@1").status == 0
