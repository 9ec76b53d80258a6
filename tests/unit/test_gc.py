"""What stays, what goes, and when."""

from __future__ import annotations

import base64
import uuid
from typing import TYPE_CHECKING

import pytest

from headwater.condemned import SWEEP_LIMIT, SWEEP_MARGIN, Saviour, close, condemn, condemnations, finish
from headwater.digest import canonical, digest_bytes
from headwater.errors import RequestError
from headwater.housekeeping import Policy, collect, keep, pin, pins, remove_runs, unkeep, unpin
from headwater.index import Index
from headwater.record import list_runs, new_run_id, read_record
from headwater.request import RunOptions
from headwater.store import open_store
from headwater.trust import Keyring
from headwater.workspace import Workspace
from tests.histories import START, Clock, Scribe, artifact

if TYPE_CHECKING:
    from pathlib import Path

DAY = 86400.0


@pytest.fixture
def keyring(tmp_path):
    return Keyring.load(tmp_path / "key.json")


class Time:
    """The store's clock; objects' own times are real, so it starts a day from now."""

    def __init__(self):
        import time

        self.now = time.time() + 2 * DAY

    def __call__(self):
        return self.now


@pytest.fixture
def time():
    return Time()


@pytest.fixture(params=["folder", "memory"])
def store(request, tmp_path, monkeypatch, time):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    url = tmp_path / "store" if request.param == "folder" else f"memory://{uuid.uuid4().hex}"
    return open_store(url, clock=time)


def history(store, keyring, count, *, pipeline="daily", days=1.0):
    """Ended runs, each with an object of its own."""
    runs = []
    for number in range(count):
        clock = Clock(START + number * days * DAY)
        scribe = Scribe(store, keyring, clock, pipeline=pipeline, run=new_run_id(clock.time))
        stored(scribe, store, f"{pipeline} {number}".encode())
        runs.append(scribe.end())
    return runs


def stored(scribe, store, body):
    """A step with an output that is an object."""
    scribe.log.append(
        "step.finished", step="s", status="ran", key="k", base="k", outputs={"r": artifact(body, inline=False)}
    )
    return store.put(body)


def test_objects_go_in_two_visits(store, keyring, time):
    (run,) = history(store, keyring, 1)
    lost = store.put(b"nobody names this")
    first = collect(store)
    assert (first.condemned, first.condemned_bytes, first.swept) == (1, 17, 0)
    assert first.next_in == 3600
    assert collect(store).condemned == 0
    time.now += 3599
    assert collect(store).swept == 0
    time.now += 2
    assert collect(store, dry_run=True).swept == 1
    assert store.has(lost)
    second = collect(store)
    assert (second.swept, second.swept_bytes, second.next_in) == (1, 17, None)
    assert not store.has(lost)
    assert store.has(digest_bytes(b"daily 0"))
    assert read_record(store, run).steps["s"].outputs


def test_young_objects_are_let_alone(store, keyring, time):
    store.put(b"young")
    time.now -= 1.5 * DAY
    assert collect(store).condemned == 0


def test_what_is_older_than_a_living_run_only_is_condemned(store, keyring, time):
    store.put(b"of an attempt that goes on")
    scribe = Scribe(store, keyring, Clock(time.now - 3 * DAY), run=new_run_id(time.now - 3 * DAY))
    scribe.log.sync()
    assert collect(store).condemned == 0
    scribe.end()
    assert collect(store).condemned == 1


def test_a_dry_run_changes_nothing(store, keyring):
    history(store, keyring, 3)
    store.put(b"nobody names this")
    before = sorted(store.list(""))
    told = collect(store, policy=Policy(keep=1), dry_run=True)
    assert (len(told.runs), told.condemned, told.condemned_bytes) == (2, 3, 17 + 7 + 7)
    assert sorted(store.list("")) == before


def test_the_policy(store, keyring, time):
    runs = history(store, keyring, 6)
    other = history(store, keyring, 1, pipeline="weekly")
    time.now = START + 6 * DAY
    keep(store, runs[0])
    assert list(collect(store, policy=Policy(keep=2, days=3.5), dry_run=True).runs) == runs[1:3]
    assert list(collect(store, policy=Policy(days=3.5), dry_run=True).runs) == runs[1:3]
    assert list(collect(store, policy=Policy(keep=0), dry_run=True).runs) == runs[1:5]
    collect(store, policy=Policy(keep=1))
    assert list_runs(store) == sorted([runs[0], runs[5], other[0]])
    unkeep(store, runs[0])
    collect(store, policy=Policy(keep=1))
    assert list_runs(store) == sorted([runs[5], other[0]])


def test_the_last_success_stays(store, keyring, time):
    runs = history(store, keyring, 2)
    for number in (3, 4):
        clock = Clock(START + number * DAY)
        runs.append(Scribe(store, keyring, clock, run=new_run_id(clock.time)).end("failed"))
    collect(store, policy=Policy(keep=1))
    assert list_runs(store) == [runs[1], runs[3]]


def test_what_a_removed_run_carried_inline_is_copied_out_for_others(store, keyring, tmp_path):
    first = Scribe(store, keyring, Clock())
    first.ran("load", b"needed")
    first.ran("other", b"not needed")
    first.end()
    second = Scribe(store, keyring, Clock(START + DAY), run=new_run_id(START + DAY))
    named = {"x": [{"step": "load", "output": "r", "digest": digest_bytes(b"needed")}]}
    second.log.append("step.decided", step="fit", action="run", inputs=named)
    second.end()
    index = Index.open(store, folder=tmp_path / "index")
    index.refresh()
    assert len(index.runs()) == 2
    remove_runs(store, [first.run])
    assert store.get(digest_bytes(b"needed")) == b"needed"
    assert not store.has(digest_bytes(b"not needed"))
    index.refresh()
    assert [summary.run for summary in index.runs()] == [second.run]
    assert store.list(f"runs/{first.run}") == []
    index.close()


def test_what_must_not_be_removed_is_not(store, keyring):
    (ended,) = history(store, keyring, 1)
    living = Scribe(store, keyring, Clock(START + DAY), run=new_run_id(START + DAY))
    living.log.sync()
    for runs, why in (([ended, living.run], "running"), (["20200101-000000-aaaaaa"], "no run")):
        with pytest.raises(RequestError, match=why):
            remove_runs(store, runs)
    keep(store, ended)
    with pytest.raises(RequestError, match="kept"):
        remove_runs(store, [ended])
    with pytest.raises(RequestError, match="no run"):
        keep(store, "20200101-000000-aaaaaa")
    assert len(list_runs(store)) == 2


def test_a_removal_that_was_cut_short_is_finished(store, keyring):
    (run,) = history(store, keyring, 1)
    store.create(f"removals/{new_run_id(START)}/{run}", b"{}")
    store.delete(f"runs/{run}/epochs/0001")
    collect(store)
    assert store.list(f"runs/{run}") == []


def test_pins_and_registrations_reach(store, keyring):
    body = store.put(b"a model")
    other = store.put(b"a definition")
    pin(store, "best", artifact(b"a model", inline=False), source={"run": "r", "step": "fit", "output": "r"})
    store.create("pipelines/daily/1", canonical({"definition": other}))
    assert collect(store).condemned == 0
    assert [(one.name, one.source["step"]) for one in pins(store)] == [("best", "fit")]
    with pytest.raises(RequestError, match="already"):
        pin(store, "best", artifact(b"x"))
    with pytest.raises(RequestError, match="cannot name"):
        pin(store, "../x", artifact(b"x"))
    unpin(store, "best")
    with pytest.raises(RequestError, match="no pin"):
        unpin(store, "best")
    assert collect(store).condemned == 1
    assert store.has(body)


@pytest.mark.parametrize("inline", [True, False])
def test_the_files_of_folders_are_reached(store, keyring, inline):
    file = store.put(b"in the folder")
    tree = canonical({"tree/1": [["a.txt", file, 13, False]]})
    document = {**artifact(tree, inline=inline), "type": "dir"}
    if not inline:
        store.put(tree)
    nested = store.put(b"in a nested folder")
    inner = canonical({"tree/1": [["b.txt", nested, 18, False]]})
    store.put(inner)
    value = {**artifact(b"{}"), "meta": {"refs": [digest_bytes(inner)], "trees": [digest_bytes(inner)]}}
    scribe = Scribe(store, keyring)
    scribe.log.append("step.finished", step="s", status="ran", outputs={"r": document, "v": value})
    scribe.end()
    assert collect(store).condemned == 0
    assert base64.b64decode(artifact(tree)["inline"]) == tree


def test_ended_runs_are_read_from_snapshots(tmp_path, keyring, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    store = open_store(f"memory://{uuid.uuid4().hex}")
    runs = history(store, keyring, 3)
    index = Index.open(store, folder=tmp_path / "index")
    assert index.compact(runs=1) == 1
    for path in store.list(f"runs/{runs[0]}"):
        if "/events" in path:
            store.delete(path)
    assert collect(store, age=-10).condemned == 0
    index.close()


# --------------------------------------------------------------------------------------------------- writers beside it


def test_a_writer_saves_what_is_condemned(store, time):
    digest = store.put(b"again in use")
    collect(store)
    assert Saviour(store).save([digest]) == set()
    time.now += 4000
    collected = collect(store)
    assert (collected.swept, collected.saved) == (0, 1)
    assert store.has(digest)
    assert condemnations(store) == [] or collected.condemned


def test_a_writer_is_told_what_is_lost(store, time):
    digest = store.put(b"gone")
    one = condemn(store, [digest])
    assert close(store, one) is not None
    slept = []

    def sleep(seconds):
        slept.append(seconds)
        store.delete_object(digest)
        finish(store, one)

    assert Saviour(store, sleep=sleep).save([digest, digest_bytes(b"not on a list")]) == {digest}
    assert slept
    store.put(b"gone")
    assert Saviour(store).save([digest]) == set()


def test_a_sweeper_that_died_is_not_waited_for_long(store, time):
    digest = store.put(b"there")
    one = condemn(store, [digest])
    close(store, one)

    def sleep(seconds):
        time.now += 30

    begun = time.now
    assert Saviour(store, sleep=sleep).save([digest]) == set()
    assert time.now - begun <= SWEEP_LIMIT + SWEEP_MARGIN + 30
    assert close(store, one) is None
    assert condemnations(store) == []


def test_a_writer_looks_at_the_lists_seldom(store, time):
    saviour = Saviour(store)
    digest = store.put(b"x")
    assert saviour.save([digest]) == set()
    one = condemn(store, [digest])
    saviour.save([digest])
    assert store.children(f"gc/{one.number:06d}") == ["condemned"]
    time.now += 11
    saviour.save([digest])
    assert store.children(f"gc/{one.number:06d}/saved") == [digest]


def test_lists_are_cleared_after_a_day(store, time):
    store.put(b"x")
    collect(store)
    time.now += 4000
    collect(store)
    time.now += 4 * DAY
    collect(store)
    assert store.children("gc") == []


def test_the_run_that_made_what_a_kept_run_reused_stays(tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "headwater.toml").write_text("")
    (project / "kept_flow.py").write_text(
        "from headwater import pipeline, step\n@step\ndef one(x: int) -> int:\n    return x + 1\n"
        "@pipeline\ndef main(x: int = 1):\n    return one(x)\n"
    )
    target = f"{project / 'kept_flow.py'}:main"
    store = tmp_path / "store"

    def statuses() -> set[str]:
        result = Workspace(store=store, backend="inline").run(target, run_options=RunOptions())
        return {step.status.value for step in result.steps}

    assert [statuses() for _ in range(3)] == [{"ran"}, {"reused"}, {"reused"}]
    collected = collect(Workspace(store=store, project=project).store, policy=Policy(keep=1))
    assert len(collected.runs) == 1  # the second: it neither made anything nor is the newest
    assert statuses() == {"reused"}
