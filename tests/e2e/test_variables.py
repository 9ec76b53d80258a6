"""Environment variables that nobody declared: what a body looks up, and what modules read while they are imported."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from tests.projects import Project

BODY = """
    import os
    from headwater import pipeline, step

    @step
    def work(x: int) -> list[str]:
        return [os.environ.get("X_MODE", "none"), str("X_FLAG" in os.environ), os.environ.get("X_TOKEN", "none")]

    @pipeline
    def main(x: int = 3) -> list[str]:
        return work(x)
"""


def run(project: Project, backend: str, **variables: str) -> tuple[str, str, Any]:
    done = project.hw("run", "flow.py", "--backend", backend, "--json", **variables)
    assert done.status == 0, done.err
    [step] = done.json["steps"]
    return step["status"], step["reason"], json.loads(project.hw("get", "latest", "work").out)


@pytest.mark.parametrize("backend", ["inline", "threads", "dask"])
def test_a_variable_that_a_body_looks_up_counts(project: Project, backend: str) -> None:
    project.write(flow=BODY)
    changed = "environment variable X_MODE, which it read undeclared, changed"
    assert run(project, backend, X_MODE="1")[::2] == ("ran", ["1", "False", "none"])
    assert run(project, backend, X_MODE="1", X_OTHER="2")[0] == "reused"
    assert run(project, backend, X_MODE="2") == ("ran", changed, ["2", "False", "none"])
    assert run(project, backend)[::2] == ("ran", ["none", "False", "none"])
    assert run(project, backend, X_MODE="1")[::2] == ("reused", ["1", "False", "none"])
    assert run(project, backend, X_MODE="1", X_FLAG="")[::2] == ("ran", ["1", "True", "none"])
    assert run(project, backend, X_MODE="1", X_FLAG="other")[0] == "reused"
    assert run(project, backend, X_MODE="1", X_FLAG="other", X_TOKEN="a")[::2] == ("ran", ["1", "True", "a"])
    stored = b"".join(path.read_bytes() for path in project.folder.rglob(".headwater/runs/**/*") if path.is_file())
    assert b"env?:X_TOKEN" in stored


IMPORTED = """
    import os
    from headwater import pipeline, step

    MODE = os.environ.get("X_MODE", "none")

    @step(env={"X_MODE": "declared"})
    def declaring() -> str:
        return MODE

    @step(strict=True)
    def strict() -> str:
        return MODE

    @step
    def plain() -> str:
        return MODE

    @pipeline
    def main() -> tuple[str, str, str]:
        return declaring(), strict(), plain()
"""


@pytest.mark.parametrize("backend", ["inline", "threads", "dask"])
def test_what_modules_read_when_imported_is_the_same_on_every_backend(project: Project, backend: str) -> None:
    project.write(flow=IMPORTED)
    done = project.hw("run", "flow.py", "--backend", backend, X_MODE="outside")
    assert done.status == 0, done.err
    values = [json.loads(project.hw("get", "latest", step).out) for step in ("declaring", "strict", "plain")]
    assert values == ["declared", "outside", "outside"]


WARM = """
    import os
    import sys
    from headwater import Workspace

    workspace = Workspace(project=".", backend=sys.argv[1])
    for mode in "1", "2", "2":
        os.environ["X_MODE"] = mode
        result = workspace.run("flow.py")
        print(result["work"].status, result.output[0])
"""


@pytest.mark.parametrize("backend", ["inline", "threads", "dask"])
def test_a_warm_process_takes_the_variable_as_it_is_now(project: Project, backend: str) -> None:
    import subprocess

    project.write(flow=BODY, warm=WARM)
    command = [sys.executable, "warm.py", backend]
    done = subprocess.run(
        command, cwd=project.folder, env=project.environment(), capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stdout.splitlines() == ["ran 1", "ran 2", "reused 2"], done.stderr


CHANGING = """
    from headwater import pipeline, step

    LIMIT = 3
    SEEN: dict[str, str] = {}

    @step
    def first() -> str:
        global LIMIT
        LIMIT = 4
        SEEN["word"] = open("word.txt").read()
        return SEEN["word"]

    @step
    def second(word: str) -> str:
        return SEEN["word"]

    @pipeline
    def main() -> str:
        return second(first())
"""


def test_what_a_step_leaves_in_modules_is_told_and_counted_in_a_shared_process(project: Project) -> None:
    project.write(flow=CHANGING, word_txt="one")
    done = project.hw("run", "flow.py", "--backend", "inline")
    assert done.status == 0, done.err
    assert "step first changed flow.LIMIT" in project.hw("logs", "latest", "first").out
    assert not project.hw("logs", "latest", "second").out.strip()
    project.write(word_txt="two")
    assert [step["status"] for step in project.hw("run", "flow.py", "--backend", "inline", "--json").json["steps"]] == [
        "ran",
        "ran",
    ]
    assert "project:word.txt" in project.hw("show", "latest", "second").out
