"""Everything that can be wrong with a store is found, and what can be mended is."""

from __future__ import annotations

import uuid

import pytest

from headwater.digest import canonical, digest_bytes, digest_of
from headwater.housekeeping import check, pin
from headwater.index import Index
from headwater.record.events import claim_path, events_path
from headwater.store import open_store
from headwater.trust import Keyring
from tests.histories import Clock, Scribe, artifact, rewrite


@pytest.fixture
def keyring(tmp_path):
    return Keyring.load(tmp_path / "key.json")


@pytest.fixture
def store(tmp_path):
    made = open_store(tmp_path / "store")
    made.put(canonical("daily"))
    return made


@pytest.fixture
def run(store, keyring):
    scribe = Scribe(store, keyring, Clock())
    scribe.ran("load", b"rows")
    scribe.log.append(
        "step.finished",
        step="big",
        status="ran",
        outputs={"r": artifact(b"a large body", inline=False)},
        key="k",
        base="k",
    )
    store.put(b"a large body")
    return scribe.end()


def kinds(report):
    return [problem.kind for problem in report.problems]


def test_a_sound_store_has_no_problems(store, keyring, run, tmp_path):
    index = Index.open(store, folder=tmp_path / "index")
    report = check(store, keyring=keyring, index=index)
    assert report.problems == []
    assert (report.objects, report.runs, report.events) == (2, 1, 8)
    index.close()


def test_a_corrupt_object_is_quarantined_and_then_missing(store, keyring, run):
    digest = digest_bytes(b"a large body")
    path = store.local_path(digest)
    path.chmod(0o644)
    path.write_bytes(b"a large bodY")
    report = check(store, keyring=keyring, repair=False)
    assert kinds(report) == ["corrupt object"]
    assert path.exists()
    report = check(store, keyring=keyring)
    assert kinds(report) == ["corrupt object", "missing object"]
    assert report.problems[0].repair == "quarantined"
    assert store.read(f"quarantine/{digest}") == b"a large bodY"
    assert kinds(check(store, keyring=keyring)) == ["missing object"]
    store.put(b"a large body")
    assert check(store, keyring=keyring).problems == []


def test_a_changed_event_breaks_the_chain(store, keyring, run, tmp_path):
    path = tmp_path / "store" / events_path(run, 1)
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b'"handle":"h1"', b'"handle":"h2"'))
    assert kinds(check(store, keyring=keyring)) == ["broken chain", "lost events"]
    path.write_bytes(whole[: whole[:-1].rfind(b"\n") + 1])
    assert kinds(check(store, keyring=keyring)) == ["lost events"]
    path.write_bytes(whole)
    (tmp_path / "store" / claim_path(run, 2)).write_bytes(b"{")
    assert kinds(check(store, keyring=keyring)) == ["unreadable"]


def test_a_torn_line_is_told_and_no_problem(store, keyring, tmp_path):
    scribe = Scribe(store, keyring, Clock())
    scribe.ran("load", b"rows")
    path = tmp_path / "store" / events_path(scribe.run, 1)
    path.write_bytes(path.read_bytes()[:-3])
    report = check(store, keyring=keyring)
    assert (report.problems, report.torn) == ([], [scribe.run])


def test_a_false_signature_is_found(store, keyring, tmp_path):
    scribe = Scribe(store, keyring, Clock())
    scribe.ran("load", b"rows", mac={"key": "0" * 16, "mac": "of a key that is not known"})
    facts = {"step": "s", "status": "ran", "outputs": {}, "key": "k", "base": "k"}
    scribe.log.append("step.finished", **facts, mac={"key": keyring.own.id, "mac": "0" * 64})
    scribe.end()
    assert kinds(check(store, keyring=keyring)) == ["bad signature"]
    assert kinds(check(store)) == []


def test_refs_to_objects_that_are_not_there(store, keyring, run):
    store.create("pipelines/daily/1", canonical({"definition": digest_of("gone"), "number": 1}))
    store.create("models/best/1", b"no JSON")
    pin(store, "p", {**artifact(b"x"), "meta": {"refs": [digest_of("nested")]}})
    report = check(store, keyring=keyring)
    assert sorted(kinds(report)) == ["missing object", "missing object", "unreadable"]
    assert {problem.where for problem in report.problems} == {digest_of("gone"), digest_of("nested"), "models/best/1"}


def test_an_index_that_differs_is_rebuilt(store, keyring, run, tmp_path):
    index = Index.open(store, folder=tmp_path / "index")
    index.refresh()
    with index._database.transaction():
        index._database.write("update step set document = replace(document, ?, ?)", [('"reason"', '"seconds"')])
        index._database.write("delete from step where step = ?", [("load",)])
    report = check(store, index=index, repair=False)
    assert kinds(report) == ["index differs"]
    assert [(one.kind, one.repair) for one in check(store, index=index).problems] == [("index differs", "rebuilt")]
    assert check(store, index=index).problems == []
    index.close()


def test_snapshots_are_checked(tmp_path, keyring, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    store = open_store(f"memory://{uuid.uuid4().hex}")
    store.put(canonical("daily"))
    run = Scribe(store, keyring, Clock()).end()
    index = Index.open(store, folder=tmp_path / "index")
    index.compact(runs=1)
    assert check(store, keyring=keyring, index=index).problems == []
    store.create("traces/000002", b"nonsense")
    claim = store.read(claim_path(run, 1))
    store.replace(claim_path(run, 1), claim.replace(b'"pid"', b'"pie"'))
    assert "broken chain" in kinds(check(store))
    assert "unreadable" in kinds(check(store))
    index.close()


def test_a_log_that_was_written_anew_after_its_end_is_found(store, keyring, run, tmp_path):
    def other_seconds(event):
        return event | ({"seconds": 99.0} if event["type"] == "attempt.ended" else {})

    def unsigned(event):
        return {name: value for name, value in event.items() if event["type"] != "run.ended" or name != "mac"}

    rewrite(tmp_path / "store", run, lambda event: event)
    assert check(store, keyring=keyring).problems == []
    rewrite(tmp_path / "store", run, other_seconds)
    [problem] = check(store, keyring=keyring).problems
    assert (problem.kind, problem.where) == ("bad signature", f"runs/{run}")
    assert "changed after its end" in problem.message
    rewrite(tmp_path / "store", run, unsigned)
    [problem] = check(store, keyring=keyring).problems
    assert "nobody signed its end" in problem.message
