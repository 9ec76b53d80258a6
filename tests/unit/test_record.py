"""Runs' logs: what is appended is read; epochs, seals, liveness, text."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import threading
import uuid

import pytest

from headwater.errors import RequestError, StoreError, Superseded
from headwater.record import (
    Driver,
    RunLog,
    has_run,
    is_alive,
    list_runs,
    new_run_id,
    read_events,
    read_record,
    read_text,
)
from headwater.record.alive import SILENCE
from headwater.record.events import claim_path, events_path, read_claims
from headwater.store import open_store
from headwater.trust import Keyring
from headwater.types import RunStatus, StepStatus
from tests.histories import START, Clock, Scribe


@pytest.fixture(params=["folder", "memory"])
def store(request, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return open_store(tmp_path / "store" if request.param == "folder" else f"memory://{uuid.uuid4().hex}")


@pytest.fixture
def keyring(tmp_path):
    return Keyring.load(tmp_path / "key.json")


def here():
    return Driver.here()


def gone():
    """A driver of this machine whose process has ended."""
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    child.wait()
    return Driver(here().host, "", child.pid, here().place, "0")


def test_ids_sort_by_time():
    random = itertools.cycle([b"zzzz", b"0000"])
    ids = [new_run_id(START + n / 1000, lambda _: next(random)) for n in range(3000)]
    assert ids == sorted(ids)
    assert new_run_id(1795450320.231, lambda _: b"abcd") == "20261123-161200-771234"


def test_a_run_is_read_as_it_was_written(store, keyring):
    scribe = Scribe(store, keyring)
    scribe.ran("load", b"rows")
    scribe.log.append("step.decided", step="fit", action="run", reason="code changed", changes=[["code", "", "a", "b"]])
    scribe.log.append("attempt.submitted", attempt=f"{scribe.run}/fit/1", step="fit", backend="dask")
    error = {"class": "ValueError", "message": "no", "traceback": []}
    scribe.log.append("attempt.ended", attempt=f"{scribe.run}/fit/1", fault="user", error=error)
    scribe.log.append("step.finished", step="fit", status="failed", error=error)
    scribe.log.append("from.the.future", what=[1, 2])
    run = scribe.end("failed")
    record = read_record(store, run)
    assert (record.status, record.pipeline, record.params, record.epochs) == (RunStatus.FAILED, "daily", {"n": 3}, 1)
    assert record.seconds == 2.0
    load, fit = record.steps["load"], record.steps["fit"]
    assert (load.status, load.action, load.seconds, len(load.attempts)) == (StepStatus.RAN, "run", 1.5, 1)
    assert load.attempts[0].handle == "h1"
    assert (fit.status, fit.reason, fit.error, fit.attempts[0].fault) == (
        StepStatus.FAILED,
        "code changed",
        error,
        "user",
    )
    events = list(read_events(store, run))
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert [event.type for event in read_events(store, run, after=len(events) - 2)] == ["from.the.future", "run.ended"]
    assert list_runs(store) == [run]
    assert has_run(store, run)
    assert not has_run(store, "20200101-000000-aaaaaa")


def test_an_event_has_no_facts_of_reserved_names(store, keyring):
    log = Scribe(store, keyring).log
    with pytest.raises(ValueError, match="seq"):
        log.append_many([("x", {"seq": 3})])
    assert log.append("y") == 2


def test_an_id_is_taken_once(store, keyring):
    run = Scribe(store, keyring).run
    with pytest.raises(StoreError, match="already"):
        RunLog.create(store, run, here(), Clock())


def test_the_older_driver_stops_and_what_it_appended_late_never_was(store, keyring):
    first = Scribe(store, keyring)
    first.ran("load", b"rows")
    first.log.sync()
    second = RunLog.resume(store, first.run, here(), Clock())
    first.log.append("step.finished", step="late", status="ran", outputs={}, key="k", base="k")
    with pytest.raises(Superseded):
        first.log.sync()
    with pytest.raises(Superseded):
        first.log.append("step.finished", step="later", status="ran")
    first.log.close()
    assert second.append("step.finished", step="fit", status="ran") == 7
    second.append("run.ended", status="succeeded")
    second.close()
    record = read_record(store, first.run)
    assert (record.status, sorted(record.steps), record.epochs) == (RunStatus.SUCCEEDED, ["fit", "load"], 2)
    assert [event.seq for event in read_events(store, first.run)] == list(range(1, 9))


def test_a_driver_that_is_superseded_at_the_end_does_not_end_the_run(store, keyring):
    first = Scribe(store, keyring)
    first.log.sync()
    second = RunLog.resume(store, first.run, here(), Clock())
    first.log.append("run.ended", status="failed")
    with pytest.raises(Superseded):
        first.log.close()
    assert read_record(store, first.run).status is RunStatus.RUNNING
    second.close()


def test_a_run_that_has_ended_is_not_resumed(store, keyring):
    run = Scribe(store, keyring).end()
    with pytest.raises(RequestError, match="has ended"):
        RunLog.resume(store, run, here(), Clock())
    with pytest.raises(RequestError, match="no run"):
        RunLog.resume(store, "20200101-000000-aaaaaa", here(), Clock())


def test_an_end_without_its_seal_is_sealed_by_who_tries_to_resume(store, keyring):
    scribe = Scribe(store, keyring)
    scribe.log.append("run.ended", status="succeeded")
    scribe.log._events.sync()
    with pytest.raises(RequestError, match="has ended"):
        RunLog.resume(store, scribe.run, here(), Clock())
    assert read_claims(store, scribe.run)[-1].is_seal
    assert read_record(store, scribe.run).status is RunStatus.SUCCEEDED


def test_of_two_that_resume_at_once_one_gets_the_run(store, keyring):
    scribe = Scribe(store, keyring)
    scribe.log.close()
    got: list[object] = []

    def resume():
        try:
            got.append(RunLog.resume(store, scribe.run, here(), Clock()))
        except Superseded as error:
            got.append(error)

    threads = [threading.Thread(target=resume) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    epochs = sorted(log.epoch for log in got if isinstance(log, RunLog))
    assert epochs == list(range(2, 2 + len(epochs)))
    assert len(epochs) + sum(isinstance(error, Superseded) for error in got) == 4


def test_a_torn_or_changed_line_ends_what_is_read(tmp_path, keyring):
    store = open_store(tmp_path / "store")
    scribe = Scribe(store, keyring)
    scribe.ran("load", b"rows")
    scribe.ran("fit", b"model")
    path = tmp_path / "store" / events_path(scribe.run, 1)
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    assert len(list(read_events(store, scribe.run))) == 10
    changed = whole.replace(b'"load"', b'"1oad"', 1)
    path.write_bytes(changed)
    assert len(list(read_events(store, scribe.run))) == 1
    resumed = RunLog.resume(store, scribe.run, here(), Clock())
    assert resumed.append("step.finished", step="x", status="ran") == 2
    assert sorted(read_record(store, scribe.run).steps) == ["x"]


def test_without_a_driver_a_run_is_interrupted(store, keyring):
    scribe = Scribe(store, keyring)
    scribe.ran("load", b"rows")
    scribe.log.sync()
    assert is_alive(store, scribe.run)
    assert read_record(store, scribe.run).status is RunStatus.RUNNING
    taken = RunLog.resume(store, scribe.run, gone(), Clock())
    taken.close()
    assert not is_alive(store, scribe.run)
    assert read_record(store, scribe.run).status is RunStatus.INTERRUPTED


def test_a_driver_elsewhere_lives_while_its_heart_beats(tmp_path, keyring):
    store = open_store(tmp_path / "store")
    run = new_run_id(START)
    elsewhere = Driver("far", "ada", os.getpid(), "another place", "1")
    RunLog.create(store, run, elsewhere, Clock()).close()
    assert is_alive(store, run)
    beat = tmp_path / "store" / "runs" / run / "alive"
    old = beat.stat().st_mtime - SILENCE - 1
    os.utime(beat, (old, old))
    assert not is_alive(store, run)
    beat.unlink()
    os.utime(tmp_path / "store" / claim_path(run, 1), (old, old))
    assert not is_alive(store, run)


def test_another_process_with_the_same_pid_is_not_the_driver(store, keyring):
    run = new_run_id(START)
    impostor = Driver(here().host, "", os.getpid(), here().place, "12")
    RunLog.create(store, run, impostor, Clock()).close()
    assert not is_alive(store, run)


def test_text_is_read_in_pages(store, keyring):
    scribe = Scribe(store, keyring)
    scribe.log.text("load", "a/1", "stdout", "one\ntwo\n", time=5.0)
    scribe.log.text("fit", "b/1", "stderr", "é\u2028x", time=6.0)
    scribe.log.sync()
    page = read_text(store, scribe.run)
    assert [(line.step, line.stream, line.text, line.time) for line in page.lines] == [
        ("load", "stdout", "one\ntwo\n", 5.0),
        ("fit", "stderr", "é\u2028x", 6.0),
    ]
    assert read_text(store, scribe.run, after=page.cursor).lines == []
    resumed = RunLog.resume(store, scribe.run, here(), Clock())
    resumed.text("load", "a/2", "stdout", "three")
    resumed.sync()
    page = read_text(store, scribe.run, after=page.cursor)
    assert [line.text for line in page.lines] == ["three"]
    assert [line.text for line in read_text(store, scribe.run, step="load").lines] == ["one\ntwo\n", "three"]
    assert read_text(store, scribe.run, after=page.cursor).cursor == page.cursor


def test_threads_share_a_log(store, keyring):
    scribe = Scribe(store, keyring)

    def write():
        for n in range(100):
            scribe.log.append("fault.noted", kind="x", message=str(n))
            scribe.log.text("load", "a", "stdout", "x")

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    scribe.end()
    assert len(read_record(store, scribe.run).faults) == 400
    assert len(read_text(store, scribe.run).lines) == 400
