"""The measuring of edits: the adapter of headwater on real runs, and what the table makes of them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks.edits import report
from benchmarks.edits.cases import cases, instrumented
from benchmarks.edits.measure import Outcome, Seen, measure, truth
from benchmarks.edits.peers import PEERS

HERE = Path(sys.executable).parent
CASES = {case.name: case for case in cases()}


def outcome(*, again=False, after=True, value="2"):
    return Outcome(Seen(ran=True, value="1"), Seen(ran=again, value="1"), Seen(ran=after, value=value))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "right"), [("a comment in a helper", "reused"), ("a constant, same module", "ran")])
def test_headwater_is_measured_by_running_it(name, right):
    before, after = truth(CASES[name], HERE)
    seen = measure(CASES[name], PEERS[0], HERE, {})
    assert seen.failure == ""
    assert seen.before.ran
    assert report.cell(seen, before=before, after=after)["verdict"] == right


@pytest.mark.parametrize(
    ("seen", "after", "expected"),
    [
        (outcome(after=True, value="2"), "2", "ran"),
        (outcome(after=False, value="1"), "1", "reused"),
        (outcome(after=False, value="1"), "2", "stale"),
        (outcome(after=True, value="1"), "1", "needless"),
        (outcome(again=True), "2", "never"),
        (outcome(after=True, value="3"), "2", "wrong"),
        (Outcome(failure="it broke"), "2", "failed"),
    ],
)
def test_a_verdict_is_by_the_values(seen, after, expected):
    assert report.verdict(seen, before="1", after=after) == expected


def test_the_table_has_a_column_for_each_tool_and_counts_them():
    cells = [
        report.cell(outcome(after=ran, value=text), before="1", after="2") for ran, text in [(True, "2"), (False, "1")]
    ]
    rows = [{"name": "a helper", "before": "1", "after": "2", "cells": {"one": cells[0], "two": cells[1]}}]
    peers = {name: {"version": "1.0", "date": "today"} for name in ("one", "two")} | {"three": {"not_run": "no wheel"}}
    results = {"python": "3", "system": "here", "peers": peers, "rows": rows}
    page = report.page(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n", results)
    assert "| a helper | run | ran | **STALE** | not run |" in page
    assert "| two | 1.0 | today | 1 | 0 | 1 | 0 | 0 |" in page
    assert "not run: no wheel" in page
    assert "1 edits, of which 1 change the result; Python 3 on here. Stale: one 0, two 1." in page
    assert page.startswith("before\n")
    assert page.endswith("\nafter\n")
    assert "old" not in page


def test_results_of_other_tools_are_kept_while_the_row_is_the_same(tmp_path):
    def results(name, after):
        cells = {name: report.cell(outcome(), before="1", after=after)}
        row = {"name": "a helper", "before": "1", "after": after, "cells": cells}
        return {"peers": {name: {"version": "1"}}, "rows": [row]}

    same = report.merged(results("one", "2"), results("two", "2"), ["two", "one"])
    assert list(same["rows"][0]["cells"]) == ["one", "two"]
    assert list(same["peers"]) == ["two", "one"]
    report.save(same, tmp_path / "results.json")
    assert report.load(tmp_path / "results.json") == same
    changed = report.merged(results("one", "2"), results("two", "3"), ["two", "one"])
    assert list(changed["rows"][0]["cells"]) == ["two"]


def test_the_step_leaves_a_mark_and_returns_text():
    text = instrumented("def work(x):\n    # why\n    return x + 1\n", "/tmp/mark")
    assert text.startswith("def work(x):\n    with open(\"/tmp/mark\", 'a')")
    assert text.endswith("    # why\n    return repr(x + 1)\n")


@pytest.mark.parametrize("peer", PEERS, ids=[peer.name for peer in PEERS])
def test_every_tool_gets_the_same_bodies_and_modules(peer):
    for case in CASES.values():
        files = peer.write(case.before)
        assert case.before.head.strip() in files["flow.py"]
        assert all(files[path] == text for path, text in case.before.files.items())
        for path in [name for name in files if name.endswith(".py")]:
            compile(files[path].replace("{tmp}", ""), path, "exec")
