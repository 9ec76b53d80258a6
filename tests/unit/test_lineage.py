"""From what, by what, into what; and how two runs differ."""

from __future__ import annotations

import json

import pytest

from headwater.digest import digest_bytes
from headwater.errors import RequestError
from headwater.index import Index
from headwater.lineage import (
    as_dot,
    as_text,
    diff,
    diff_text,
    downstream,
    file_labels,
    of_artifact,
    of_file,
    of_step,
    upstream,
)
from headwater.record import new_run_id, read_record
from headwater.store import open_store
from headwater.trust import Keyring
from tests.histories import START, Clock, Scribe, artifact


class Runs:
    def __init__(self, folder):
        self.store = open_store(folder / "store")
        self.index = Index.open(self.store, folder=folder / "index")
        self.keyring = Keyring.load(folder / "key.json")
        self.count = 0

    def begin(self):
        self.count += 1
        start = START + self.count * 1000
        return Scribe(self.store, self.keyring, Clock(start), run=new_run_id(start))


@pytest.fixture
def runs(tmp_path):
    made = Runs(tmp_path)
    yield made
    made.index.close()


def did(scribe, step, body, inputs, *, files=None, observed=None, code="c" * 64, reused=None):
    """Record one execution, or a reuse, with the sources of its inputs; return the event's number."""
    parts = {"code": code, "inputs": {}, "files": files or {}}
    decided = {"step": step, "action": "reuse" if reused else "run", "parts": parts, "inputs": inputs}
    scribe.log.append("step.decided", **decided, **({"trace": reused} if reused else {}))
    status = "reused" if reused else "ran"
    outputs = {"result": artifact(body)}
    facts = {"step": step, "status": status, "outputs": outputs, "observed": observed or {}}
    return scribe.log.append("step.finished", **facts)


def source(step, body, output="result"):
    return {"step": step, "output": output, "digest": digest_bytes(body)}


def daily(runs):
    """Two files → load → fit → score, and a twin of load whose output is equal to that of fit."""
    scribe = runs.begin()
    rate = {"parameter": "rate", "digest": digest_bytes(b"0.1")}
    did(
        scribe,
        "load",
        b"rows",
        {"path": [{"file": "data/a.csv", "digest": "a" * 64}]},
        observed={"data/b.csv": "b" * 64},
    )
    did(scribe, "twin", b"model", {})
    did(scribe, "fit", b"model", {"rows": [source("load", b"rows")], "rate": [rate]}, code="d" * 64)
    did(scribe, "score", b"0.9", {"model": [source("fit", b"model")]})
    did(scribe, "other", b"twins", {"model": [source("twin", b"model")]})
    scribe.end()
    runs.index.refresh()
    return scribe.run


def labels(lineage, kind):
    return {node.label for node in lineage.nodes.values() if node.kind == kind}


def test_upstream_of_a_step(runs):
    run = daily(runs)
    found = upstream(runs.index, of_step(run, "score"))
    assert labels(found, "step") == {f"{step} in {run}" for step in ("score", "fit", "load")}
    assert labels(found, "file") == {"data/a.csv", "data/b.csv"}
    assert labels(found, "parameter") == {"parameter rate"}
    assert labels(found, "code") == {"code " + "c" * 12, "code " + "d" * 12}
    edges = {(edge.source.partition(":")[0], edge.target.partition(":")[0], edge.name) for edge in found.edges}
    assert edges == {
        ("step", "artifact", "result"),
        ("artifact", "step", "model"),
        ("artifact", "step", "rows"),
        ("parameter", "step", "rate"),
        ("file", "step", "path"),
        ("file", "step", ""),
        ("code", "step", ""),
    }


def test_depth_counts_executions(runs):
    run = daily(runs)
    found = upstream(runs.index, of_step(run, "score"), depth=1)
    assert labels(found, "step") == {f"score in {run}", f"fit in {run}"}
    assert labels(found, "file") == set()


def test_of_equal_contents_all_makers_are_named(runs):
    run = daily(runs)
    found = upstream(runs.index, of_artifact(digest_bytes(b"model")))
    assert labels(found, "step") == {f"{step} in {run}" for step in ("twin", "fit", "load")}


def test_downstream_follows_the_recorded_source(runs):
    run = daily(runs)
    assert labels(downstream(runs.index, of_step(run, "load")), "step") == {
        f"{step} in {run}" for step in ("load", "fit", "score")
    }
    assert labels(downstream(runs.index, of_artifact(digest_bytes(b"model"))), "step") == {
        f"{step} in {run}" for step in ("score", "other")
    }
    assert labels(downstream(runs.index, of_file("data/b.csv")), "artifact") == {
        f"bytes {digest_bytes(body)[:12]}" for body in (b"rows", b"model", b"0.9")
    }
    assert f"load in {run}" in labels(downstream(runs.index, of_file("data/a.csv")), "step")


def test_a_parameter_of_equal_content_came_from_no_step(runs):
    scribe = runs.begin()
    did(scribe, "one", b"1", {})
    did(scribe, "fit", b"model", {"depth": [{"parameter": "depth", "digest": digest_bytes(b"1")}]})
    scribe.end()
    runs.index.refresh()
    assert labels(downstream(runs.index, of_step(scribe.run, "one")), "step") == {f"one in {scribe.run}"}


def test_a_file_is_found_however_it_is_named(runs, tmp_path):
    daily(runs)
    scribe = runs.begin()
    did(scribe, "again", b"x", {"path": [{"file": f"{tmp_path}/data/a.csv", "digest": "a" * 64}]})
    did(scribe, "third", b"y", {}, observed={"project:other/a.csv": "b" * 64})
    scribe.end()
    runs.index.refresh()
    both = (f"{tmp_path}/data/a.csv", "data/a.csv")
    assert file_labels(runs.index, "data/a.csv", tmp_path) == both
    assert file_labels(runs.index, f"{tmp_path}/data/a.csv", tmp_path) == both
    assert file_labels(runs.index, "other/a.csv", tmp_path) == ("project:other/a.csv",)
    assert file_labels(runs.index, "b.csv", tmp_path) == ("data/b.csv",)
    assert file_labels(runs.index, "c.csv", tmp_path) == ()
    with pytest.raises(RequestError, match="several files"):
        file_labels(runs.index, "a.csv", tmp_path)
    found = downstream(runs.index, of_file(*both))
    assert {"load", "again"} <= {node.facts.get("step") for node in found.nodes.values()}


def test_a_reused_step_points_to_the_original_run(runs):
    first = daily(runs)
    scribe = runs.begin()
    did(scribe, "fit", b"model", {}, reused={"run": first, "step": "fit", "seq": 7})
    did(scribe, "report", b"text", {"model": [source("fit", b"model")]})
    scribe.end()
    runs.index.refresh()
    found = upstream(runs.index, of_step(scribe.run, "report"))
    assert labels(found, "step") == {f"report in {scribe.run}", f"fit in {first}", f"load in {first}"}


def test_what_is_not_known_is_refused(runs):
    daily(runs)
    for start in (of_artifact("0" * 64), of_step("20200101-000000-aaaaaa", "x"), of_file("nowhere")):
        with pytest.raises(RequestError):
            upstream(runs.index, start)


def test_pictures(runs):
    run = daily(runs)
    found = upstream(runs.index, of_step(run, "score"))
    text = as_text(found).splitlines()
    assert text[0] == f"score in {run}"
    assert f"  model: bytes {digest_bytes(b'model')[:12]}" in text
    assert f"    result: fit in {run}" in text
    assert "        result: load in " + run in text
    dot = as_dot(found)
    assert dot.startswith("digraph lineage {")
    assert dot.count(" -> ") == len(found.edges)
    assert json.loads(json.dumps(found.document()))["root"] == found.root


def test_a_diamond_is_drawn_once(runs):
    scribe = runs.begin()
    did(scribe, "a", b"a", {})
    did(scribe, "b", b"b", {"x": [source("a", b"a")]})
    did(scribe, "c", b"c", {"x": [source("a", b"a")], "y": [source("b", b"b")]})
    scribe.end()
    runs.index.refresh()
    text = as_text(upstream(runs.index, of_step(scribe.run, "c")))
    assert text.count("(above)") == 1


def test_difference(runs):
    old, new = runs.begin(), runs.begin()
    did(old, "load", b"rows", {})
    did(old, "fit", b"model", {})
    did(old, "gone", b"x", {})
    new.log.append("run.started", pipeline="daily", definition="other", params={"n": 4})
    did(new, "load", b"rows", {}, reused={"run": old.run, "step": "load", "seq": 3})
    did(new, "fit", b"another model", {}, code="d" * 64)
    new.log.append("step.finished", step="new", status="failed")
    old.end()
    new.end("failed")
    found = diff(read_record(runs.store, old.run), read_record(runs.store, new.run))
    assert found.params == {"n": (3, 4)}
    assert found.facts.keys() == {"status", "definition"}
    assert [(step.step, step.statuses) for step in found.steps] == [
        ("fit", ("ran", "ran")),
        ("gone", ("ran", "")),
        ("new", ("", "failed")),
    ]
    fit = found.steps[0]
    assert fit.parts == [{"part": "code", "name": "", "old": "c" * 64, "new": "d" * 64}]
    assert fit.outputs == {"result": (digest_bytes(b"model"), digest_bytes(b"another model"))}
    short = diff_text(found).splitlines()
    assert "  fit: code changed; another result" in short
    assert "  gone: ran → not there" in short
    assert "  fit: its own code changed; another result\n" in diff_text(found, code={"fit": ["its own code changed"]})
    text = diff_text(found, is_full=True)
    assert "  parameter n: 3 → 4" in text
    assert f"    code: {'c' * 12} → {'d' * 12}" in text
    assert "  gone: ran → not there" in text
    assert json.loads(json.dumps(found.document()))["params"] == {"n": [3, 4]}


def test_no_difference(runs):
    run = daily(runs)
    record = read_record(runs.store, run)
    assert diff_text(diff(record, record)).endswith("no difference\n")
