"""Both checkers pass what is right and find what is wrong, as an author's editor would show it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from headwater.author.pipeline import Pipeline
from tests.typing import flights, right

ROOT = Path(__file__).resolve().parents[2]
HERE = ROOT / "tests/typing"

#: What a checker found: file name → lines with an error.
Found = dict[str, dict[int, str]]


def files() -> list[str]:
    return [str(HERE / f"{name}.py") for name in ("flights", "right", "mistakes")]


@pytest.fixture(scope="module")
def mypy(tmp_path_factory: pytest.TempPathFactory) -> Found:
    """Check all files with ``mypy --strict``, as an author would who has headwater installed."""
    cache = tmp_path_factory.mktemp("mypy")
    command = [sys.executable, "-m", "mypy", "--strict", "--explicit-package-bases", "--no-error-summary"]
    command += ["--cache-dir", str(cache), "--config-file", str(ROOT / "pyproject.toml"), "--hide-error-context"]
    done = subprocess.run([*command, *files()], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode in {0, 1}, done.stdout + done.stderr
    found: Found = {}
    for match in re.finditer(r"^(.+?):(\d+): error: (.*)$", done.stdout, re.MULTILINE):
        found.setdefault(Path(match[1]).name, {})[int(match[2])] = match[3]
    return found


@pytest.fixture(scope="module")
def pyright(tmp_path_factory: pytest.TempPathFactory) -> Found:
    """Check all files with pyright in strict mode."""
    folder = tmp_path_factory.mktemp("pyright")
    settings = {
        "include": [os.path.relpath(file, folder) for file in files()],
        "extraPaths": [str(ROOT), str(ROOT / "engine"), str(ROOT / "backends")],
        "typeCheckingMode": "strict",
        "pythonVersion": "3.11",
        # pyarrow ships no types.
        "reportMissingTypeStubs": False,
        "reportUnknownMemberType": False,
        "reportUnknownVariableType": False,
        "reportUnknownArgumentType": False,
        "reportUnknownParameterType": False,
        "reportUnusedExpression": False,
        "reportUnusedVariable": False,
    }
    config = folder / "pyrightconfig.json"
    config.write_text(json.dumps(settings))
    command = [
        sys.executable,
        "-m",
        "pyright",
        "--outputjson",
        "--project",
        str(config),
        "--pythonpath",
        sys.executable,
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode in {0, 1}, done.stdout + done.stderr
    answer = json.loads(done.stdout)
    assert answer["summary"]["filesAnalyzed"] == len(files())
    found: Found = {}
    for each in answer["generalDiagnostics"]:
        if each["severity"] == "error":
            line = each["range"]["start"]["line"] + 1
            found.setdefault(Path(each["file"]).name, {})[line] = each["message"]
    return found


def planted() -> set[int]:
    lines = (HERE / "mistakes.py").read_text().splitlines()
    return {number for number, line in enumerate(lines, 1) if line.endswith("# wrong")}


@pytest.mark.slow
@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_what_is_right_passes(checker: str, request: pytest.FixtureRequest) -> None:
    found: Found = request.getfixturevalue(checker)
    assert {name: lines for name, lines in found.items() if name != "mistakes.py"} == {}


@pytest.mark.slow
@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_every_planted_mistake_is_found_and_nothing_else(checker: str, request: pytest.FixtureRequest) -> None:
    found: dict[int, str] = request.getfixturevalue(checker).get("mistakes.py", {})
    assert len(planted()) > 20
    assert {line: found.get(line) for line in planted() - found.keys()} == {}, "not found"
    assert {line: found[line] for line in found.keys() - planted()} == {}, "found too much"


@pytest.mark.parametrize("each", [flights.flights, right.outer])
def test_what_type_checks_is_drawn(each: Pipeline[..., object]) -> None:
    assert each.compile().definition.graph.nodes
