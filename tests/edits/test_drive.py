"""Rows of the table, driven: what a run reuses after an edit is what a run without any memory gives.

Each row is run before and after its edit by one driver process, so that what is warm (loaded modules, step processes, a
cluster) is warm; the truth is what a fresh process gives with an empty store. A sample of the rows is taken, and all
whose circumstances are special; ``EDITS_DRIVE=all`` takes every row on every backend.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys

import pytest

from tests.edits.places import write
from tests.edits.table import ROWS

BACKENDS = ("inline", "threads", "dask")
#: Every so many rows one is in the sample.
STRIDE = 9


class Driver:
    """A process that runs projects in forked children."""

    def __init__(self):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.edits.drive"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={name: value for name, value in os.environ.items() if not name.startswith("HEADWATER_")}
            | {"PYTHONDONTWRITEBYTECODE": "1"},
        )

    def ask(self, request):
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        assert "error" not in answer, answer["error"]
        return answer

    def close(self):
        self.process.stdin.close()
        self.process.wait(30)
        self.process.stdout.close()


@pytest.fixture(scope="module")
def driver():
    one = Driver()
    yield one
    one.close()


def same(one, other):
    """Compare values as they are shown, but for places in memory."""
    return re.sub(r"0x[0-9a-f]+", "", str(one)) == re.sub(r"0x[0-9a-f]+", "", str(other))


def is_special(row):
    places = {name.partition(":")[0] for name in {*row.before, *row.after} if ":" in name}
    return bool(places or row.env or row.env_after or row.moved or row.as_script)


def sample():
    for number, row in enumerate(ROWS):
        if os.environ.get("EDITS_DRIVE") == "all":
            for backend in BACKENDS:
                yield pytest.param(row, backend, id=f"{row.name}-{backend}")
        elif number % STRIDE == 0 or is_special(row):
            backend = BACKENDS[number // (1 if is_special(row) else STRIDE) % 3]
            yield pytest.param(row, backend, id=f"{row.name}-{backend}")


@pytest.mark.parametrize(("row", "backend"), list(sample()))
def test_what_is_reused_after_an_edit_is_what_would_be_computed(row, backend, tmp_path, driver):
    first = tmp_path / "first"
    (first / "site").mkdir(parents=True)
    (first / "project").mkdir()
    place = tmp_path / "somewhere" / "else" if row.moved else first
    variables = sorted({*row.env, *row.env_after})
    before = {"root": str(first), "files": row.before, "env": row.env, "as_script": False}
    after = {"root": str(place), "files": {}, "env": row.env_after, "as_script": row.as_script}
    request = {"tmp": str(tmp_path), "site": str(first / "site"), "store": str(tmp_path / "store"), "backend": backend}
    request |= {"variables": variables}
    if row.moved:
        write(row.before, first)
        shutil.copytree(first, place)
    files = (row.before if row.touched else {}) | row.after
    old, new = driver.ask(request | {"turns": [before, after | {"files": files}]})
    [truth] = driver.ask(request | {"turns": [after], "store": str(tmp_path / "empty"), "backend": "inline"})
    told = "\n".join(map(json.dumps, (old, new, truth)))
    for step in {*row.expect} & {*truth["values"]}:
        assert same(new["values"].get(step), truth["values"][step]), told
    found = {step: "reuse" if new["status"].get(step) == "reused" else "run" for step in row.expect}
    assert found == (dict.fromkeys(row.expect, "run") if row.observed else row.expect), told


NOTEBOOK = """
import linecache, os, sys
from headwater import Workspace, pipeline, step

def enter(number, text):
    name = f"<ipython-input-{number}-0>"
    linecache.cache[name] = len(text), None, text.splitlines(True), name
    exec(compile(text, name, "exec"), globals())

MAIN = '''
@step
def work() -> str:
    mode = os.environ.get("X_MODE")
    return f"{helper()} {mode}"

@pipeline
def main() -> str:
    return work()
'''
workspace = Workspace(project=".", backend=sys.argv[1])

def run():
    result = workspace.run(main)
    print(result["work"].status, result.output)

enter(1, "def helper(): return 1\\n")
enter(2, MAIN)
run()
run()
enter(3, "def helper(): return 1  # the same\\n")
run()
enter(4, "def helper(): return 2\\n")
run()
os.environ["X_MODE"] = "on"
run()
run()
"""


@pytest.mark.parametrize("backend", BACKENDS)
def test_cells_of_a_notebook_that_are_entered_again(backend, tmp_path):
    program = tmp_path / "project" / "notebook.py"
    program.parent.mkdir()
    program.write_text(NOTEBOOK)
    # Without a main file, as in a notebook.
    command = [sys.executable, "-c", "import sys; exec(open(sys.argv.pop(1)).read())", program.name, backend]
    own = {"HEADWATER_CACHE": str(tmp_path / "cache"), "HEADWATER_KEY": str(tmp_path / "key.json")}
    environment = {name: value for name, value in os.environ.items() if name != "X_MODE"} | own
    done = subprocess.run(
        command, cwd=program.parent, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    expected = ["ran 1 None", "reused 1 None", "reused 1 None", "ran 2 None", "ran 2 on", "reused 2 on"]
    assert done.stdout.splitlines() == expected, done.stderr
