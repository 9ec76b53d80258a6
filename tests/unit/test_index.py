"""The index: what it answers, what it costs, and that it may be lost at any time."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from headwater.digest import digest_bytes
from headwater.index import Index
from headwater.record import Driver, RunLog, TraceId, new_run_id
from headwater.store import open_store
from headwater.trust import Keyring
from headwater.types import RunStatus, StepStatus
from tests.histories import START, Clock, Scribe


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def keyring(tmp_path):
    return Keyring.load(tmp_path / "key.json")


@pytest.fixture(params=["folder", "memory"])
def store(request, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return open_store(tmp_path / "store" if request.param == "folder" else f"memory://{uuid.uuid4().hex}")


@pytest.fixture
def index(store, tmp_path):
    made = Index.open(store, folder=tmp_path / "index")
    yield made
    made.close()


def test_runs_are_listed_newest_first(store, keyring, clock, index):
    runs = []
    for number in range(3):
        scribe = Scribe(store, keyring, clock, pipeline="daily" if number else "weekly")
        scribe.ran("load", b"x")
        runs.append(scribe.end("succeeded" if number else "failed"))
        clock.time += 60
    index.refresh()
    assert [summary.run for summary in index.runs()] == runs[::-1]
    assert [summary.run for summary in index.runs(pipeline="daily", limit=1)] == [runs[2]]
    assert [summary.run for summary in index.runs(status=RunStatus.FAILED)] == [runs[0]]
    summary = index.runs()[0]
    assert (summary.status, summary.seconds, summary.steps) == (RunStatus.SUCCEEDED, 2.0, {StepStatus.RAN: 1})


def test_a_run_whose_driver_is_gone_is_listed_as_interrupted(store, keyring, clock, index):
    scribe = Scribe(store, keyring, clock)
    scribe.log.sync()
    index.refresh()
    assert index.runs()[0].status is RunStatus.RUNNING
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    child.wait()
    here = Driver.here()
    RunLog.resume(store, scribe.run, Driver(here.host, "", child.pid, here.place, "0"), clock).close()
    index.refresh()
    assert index.runs()[0].status is RunStatus.INTERRUPTED
    assert index.runs(status=RunStatus.RUNNING) == []


def test_the_last_record_of_a_step(store, keyring, clock, index):
    first = Scribe(store, keyring, clock)
    first.ran("load", b"x", inputs={"a": b"1"})
    first.end()
    second = Scribe(store, keyring, clock)
    parts, base = second.parts("load", {"a": b"2"})
    second.log.append("step.decided", step="load", action="run", base=base, parts=parts)
    second.log.append("step.finished", step="load", status="failed", base=base)
    second.end("failed")
    index.refresh()
    assert index.last_step("daily", "load").parts == parts
    assert index.last_step("daily", "load", status=StepStatus.RAN).run == first.run
    assert index.last_step("daily", "load", before=second.run).run == first.run
    assert index.last_step("daily", "load", before=first.run) is None
    assert index.last_step("weekly", "load") is None


def test_durations_are_medians_of_the_latest(store, keyring, clock, index):
    for seconds in (100.0, 3.0, 1.0, 2.0):
        scribe = Scribe(store, keyring, clock)
        scribe.ran("load", b"x", seconds=seconds)
        scribe.end()
        clock.time += 10
    index.refresh()
    assert index.durations("daily", last=3) == {"load": 2.0}
    assert index.durations("daily", last=1) == {"load": 2.0}
    assert index.durations("other") == {}


def test_where_a_digest_was_made_and_used(store, keyring, clock, index):
    scribe = Scribe(store, keyring, clock)
    scribe.ran("load", b"rows")
    scribe.ran("fit", b"model", inputs={"table": b"rows"})
    scribe.end()
    later = Scribe(store, keyring, clock)
    later.reused("load", b"rows", trace={"run": scribe.run, "step": "load", "seq": 6})
    later.end()
    index.refresh()
    uses = {(use.run, use.step, use.role, use.name) for use in index.uses(digest_bytes(b"rows"))}
    assert uses == {
        (scribe.run, "load", "made", "result"),
        (scribe.run, "fit", "used", "table"),
        (later.run, "load", "reused", "result"),
    }
    assert index.inline(digest_bytes(b"model")) == b"model"
    assert index.inline(digest_bytes(b"nothing")) is None
    assert index.step(later.run, "load").trace == TraceId(scribe.run, "load", 6)
    row = index.trace(TraceId(scribe.run, "load", 6))
    assert row is not None
    assert row.outputs["result"]["digest"] == digest_bytes(b"rows")


def test_a_removed_run_is_forgotten(tmp_path, keyring, clock):
    store = open_store(tmp_path / "store")
    index = Index.open(store, folder=tmp_path / "index")
    scribe = Scribe(store, keyring, clock)
    _, base = scribe.parts("load", None)
    scribe.ran("load", b"rows")
    run = scribe.end()
    index.refresh()
    assert len(index.traces_by_base(base)) == 1
    for path in store.list(f"runs/{run}"):
        store.delete(path)
    index.refresh()
    assert index.runs() == []
    assert index.traces_by_base(base) == []
    assert index.uses(digest_bytes(b"rows")) == []


@pytest.mark.parametrize("harm", ["garbage", "truncated", "page", "table", "json", "gone"])
def test_damage_is_mended_by_itself(tmp_path, keyring, clock, harm):
    store = open_store(tmp_path / "store")
    for _ in range(30):
        scribe = Scribe(store, keyring, clock)
        for step in ("a", "b", "c"):
            scribe.ran(step, b"x" * 100)
        scribe.end()
    _, base = scribe.parts("b", None)
    index = Index.open(store, folder=tmp_path / "index")
    index.refresh()
    assert len(index.traces_by_base(base)) == 30
    index.close()
    (path,) = (tmp_path / "index").glob("*.sqlite")
    damage(path, harm)
    index = Index.open(store, folder=tmp_path / "index")
    index.refresh()
    assert len(index.traces_by_base(base)) == 30
    assert len(index.runs()) == 30
    assert len(index.run(scribe.run).steps) == 3
    assert len(list((tmp_path / "index").glob("*.sqlite"))) == 1
    index.close()


def damage(path: Path, harm: str) -> None:
    data = path.read_bytes()
    if harm == "garbage":
        path.write_bytes(b"\0garbage" * 1000)
    elif harm == "truncated":
        path.write_bytes(data[: len(data) // 2])
    elif harm == "page":
        path.write_bytes(data[:4096] + b"\xff" * (len(data) - 4096))
    elif harm == "gone":
        path.unlink()
    else:
        with sqlite3.connect(path) as connection:
            connection.execute("drop table trace" if harm == "table" else "update step set document = '{'")
        connection.close()


def test_damage_under_an_open_index_is_mended_too(tmp_path, keyring, clock):
    store = open_store(tmp_path / "store")
    scribe = Scribe(store, keyring, clock)
    scribe.ran("a", b"x")
    _, base = scribe.parts("a", None)
    index = Index.open(store, folder=tmp_path / "index")
    index.refresh()
    (path,) = (tmp_path / "index").glob("*.sqlite")
    damage(path, "table")
    assert len(index.traces_by_base(base)) == 1
    index.close()


def test_where_no_file_can_be_written_it_stays_in_memory(tmp_path, keyring, clock):
    store = open_store(tmp_path / "store")
    Scribe(store, keyring, clock).end()
    (tmp_path / "index").write_text("a file where the folder should be")
    index = Index.open(store, folder=tmp_path / "index")
    index.refresh()
    assert len(index.runs()) == 1
    index.close()


def test_one_damaged_run_does_not_hide_the_others(tmp_path, keyring, clock):
    store = open_store(tmp_path / "store")
    runs = [Scribe(store, keyring, clock).end() for _ in range(2)]
    (tmp_path / "store" / "runs" / runs[0] / "epochs" / "0001").write_bytes(b"{}")
    index = Index.open(store, folder=tmp_path / "index")
    index.refresh()
    assert [summary.run for summary in index.runs()] == [runs[1]]
    index.close()


# ------------------------------------------------------------------------------------------------------ what it costs


class Counting:
    """A store that counts what is asked of it."""

    is_local = False

    def __init__(self, store):
        self._store = store
        self.counts: dict[str, int] = {}

    def __getattr__(self, name):
        found = getattr(self._store, name)
        if not callable(found):
            return found

        def counted(*args, **kwargs):
            self.counts[name] = self.counts.get(name, 0) + 1
            return found(*args, **kwargs)

        return counted

    def spent(self):
        counts, self.counts = self.counts, {}
        return sum(counts.values())


@pytest.fixture
def remote(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return Counting(open_store(f"memory://{uuid.uuid4().hex}"))


def runs_over_days(store, keyring, count):
    """Runs that ended, five hours apart."""
    for number in range(count):
        clock = Clock(START + number * 18_000)
        scribe = Scribe(store, keyring, clock, run=new_run_id(clock.time))
        scribe.ran("load", str(number).encode())
        scribe.end()


def test_a_refresh_without_news_costs_a_few_requests(remote, keyring, tmp_path):
    runs_over_days(remote, keyring, 30)
    index = Index.open(remote, folder=tmp_path / "index")
    index.refresh()
    remote.spent()
    index.refresh()
    assert remote.spent() <= 3
    runs_over_days(remote, keyring, 1)
    scribe = Scribe(remote, keyring, Clock(START + 30 * 18_000), run=new_run_id(START + 30 * 18_000))
    scribe.log.sync()
    remote.spent()
    index.refresh()
    assert remote.spent() <= 6
    assert index.run(scribe.run) is not None
    remote.spent()
    index.refresh()
    assert remote.spent() <= 5
    index.close()


def test_a_cold_index_reads_snapshots_not_every_run(remote, keyring, tmp_path):
    early = Scribe(remote, keyring, Clock(START - 90_000), run=new_run_id(START - 90_000))
    early.log.sync()
    runs_over_days(remote, keyring, 40)
    index = Index.open(remote, folder=tmp_path / "index")
    assert index.compact(runs=41) is None
    assert index.compact(runs=40) == 1
    index.refresh()
    assert index.compact(runs=1) is None
    remote.spent()
    cold = Index.open(remote, folder=tmp_path / "cold")
    cold.refresh()
    assert remote.spent() <= 15
    assert [summary.run for summary in cold.runs()] == [summary.run for summary in index.runs()]
    assert len(cold.runs()) == 41
    late = Scribe(remote, keyring, Clock(START + 40 * 18_000), run=new_run_id(START + 40 * 18_000))
    late.end()
    early.end()
    for view in (index, cold):
        view.refresh()
        assert view.run(early.run).status is RunStatus.SUCCEEDED
        assert view.run(late.run).status is RunStatus.SUCCEEDED
    assert cold.compact(runs=2) == 2
    assert index.compact(runs=2) is None
    for view in (index, cold):
        view.close()


def test_a_damaged_snapshot_costs_time_only(remote, keyring, tmp_path):
    runs_over_days(remote, keyring, 5)
    remote.create("traces/000001", b"\0nonsense")
    index = Index.open(remote, folder=tmp_path / "index")
    index.refresh()
    assert len(index.runs()) == 5
    index.close()


def test_processes_refresh_one_index_at_once(tmp_path, keyring, clock):
    store = open_store(tmp_path / "store")
    for _ in range(40):
        scribe = Scribe(store, keyring, clock)
        for step in "abcde":
            scribe.ran(step, b"x")
        scribe.end()
    code = (
        "from pathlib import Path; from headwater.index import Index; from headwater.store import open_store;"
        f"index = Index.open(open_store({str(tmp_path / 'store')!r}), folder=Path({str(tmp_path / 'index')!r}));"
        "index.refresh(); index.refresh(); print(len(index.runs()), sum(len(index.steps(r.run)) for r in index.runs()))"
    )
    children = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(4)]
    assert {child.communicate()[0] for child in children} == {"40 200\n"}


def test_the_cache_folder_holds_it(tmp_path, monkeypatch, keyring, clock):
    monkeypatch.setenv("HEADWATER_CACHE", str(tmp_path / "mine"))
    store = open_store(tmp_path / "store")
    index = Index.open(store)
    index.refresh()
    index.close()
    assert [path.name for path in (tmp_path / "mine" / "index").iterdir() if path.suffix == ".sqlite"] == [
        f"{store.id}.s2.1.sqlite"
    ]
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["index"]
