"""Every row of the table: the fingerprints of its steps change exactly where the step has to run again."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.edits.places import write
from tests.edits.row import RUN
from tests.edits.table import MAIN, ROWS


class Measurer:
    """A process that makes fingerprints in fresh children, with a hash seed of its own."""

    def __init__(self, seed: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-P", str(Path(__file__).with_name("measure.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        )

    def ask(self, request):
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        assert "error" not in answer, answer["error"]
        return answer

    def close(self):
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()


@pytest.fixture(scope="module")
def measurers():
    both = Measurer("1"), Measurer("2")
    yield both
    for one in both:
        one.close()


def request(row, tmp, env, *, as_script=False):
    return {
        "project": str(tmp / "project"),
        "site": str(tmp / "site"),
        "main": MAIN,
        "env": env,
        "steps": list(row.expect),
        "as_script": as_script,
    }


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_an_edit_reruns_what_it_can_change(row, tmp_path, measurers):
    first = tmp_path / "first"
    (first / "site").mkdir(parents=True)
    write(row.before, first)
    old = measurers[0].ask(request(row, first, row.env))
    place = first
    if row.moved:
        place = tmp_path / "somewhere" / "else"
        shutil.copytree(first, place)
    write(row.before if row.touched else {}, place)
    write(row.after, place)
    new = measurers[1].ask(request(row, place, row.env_after, as_script=row.as_script))
    identity = {step: [(d[step]["digest"], d[step]["distributions"]) for d in (old, new)] for step in row.expect}
    found = {step: "reuse" if was == now else RUN for step, (was, now) in identity.items()}
    assert found == row.expect, json.dumps([old, new], indent=1)
    assert [why for document in new.values() for why in document["widened"] if not row.wide] == []
    assert str(tmp_path) not in json.dumps([old, new])


def test_rows_have_names_of_their_own():
    names = [row.name for row in ROWS]
    assert sorted(names) == sorted(set(names))
