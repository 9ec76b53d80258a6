"""Laws of the run log and of the index, over random histories and cut points."""

from __future__ import annotations

import random
import tempfile
import uuid
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headwater.errors import Superseded
from headwater.index import Index
from headwater.record import Driver, RunLog, list_runs, read_events, read_record
from headwater.record.events import decode_events, events_path, read_claim
from headwater.store import open_store
from headwater.trust import Keyring
from headwater.types import RunStatus
from tests.histories import START, Clock, Scribe

QUICK = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])

#: One act of a history: (which of three runs, what, which of four steps).
ACTS = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.sampled_from(["ran", "reused", "failed", "superseded", "takeover", "late", "end", "refresh", "text"]),
        st.integers(0, 3),
    ),
    max_size=30,
)


def write(scribes, act, store, keyring, clock):
    number, what, step_number = act
    step = f"s{step_number}"
    scribe = scribes.get(number)
    if scribe is None:
        scribe = scribes[number] = Scribe(store, keyring, clock, run=f"20260921-14132{number}-000000")
    if scribe.log._has_ended or scribe.log._is_closed:
        return
    if what == "ran":
        scribe.ran(step, f"{number} {step}".encode(), inputs={"x": step.encode()})
    elif what == "reused":
        scribe.reused(step, b"x", trace={"run": "20260921-141320-000000", "step": step, "seq": 6})
    elif what == "failed":
        scribe.log.append("step.finished", step=step, status="failed", error={"class": "E"})
    elif what == "superseded":
        scribe.log.append(
            "trace.superseded", step=step, base=scribe.parts(step, {"x": step.encode()})[1], reason="force"
        )
    elif what == "text":
        scribe.log.text(step, "a", "stdout", "hello")
    elif what == "takeover":
        take_over(scribe, store, clock)
    elif what == "late":
        older = scribe.log
        older.sync()
        take_over(scribe, store, clock)
        older.append("step.finished", step="late", status="ran", outputs={}, key="late", base="late")
        older._events.sync()
    else:
        scribe.end()


def take_over(scribe, store, clock):
    scribe.log.sync()
    scribe.log = RunLog.resume(store, scribe.run, Driver.here(), clock)


def agree(index, store):
    """The index says of every run what the logs say."""
    runs = list_runs(store)
    assert sorted(summary.run for summary in index.runs()) == runs
    made = set()
    for run in runs:
        record = read_record(store, run)
        assert index.run(run) == record
        assert index.steps(run) == record.steps
        for event in read_events(store, run):
            if event.type == "step.finished" and event.facts["status"] == "ran":
                made.add((run, event.seq, event.facts["base"]))
    found = {(row.run, row.seq, base) for base in {base for _, _, base in made} for row in index.traces_by_base(base)}
    assert found == made
    assert index.traces_by_base("late") == []


@QUICK
@given(acts=ACTS, kind=st.sampled_from(["folder", "memory"]), compacted=st.booleans())
def test_the_index_is_the_fold_of_the_logs(acts, kind, compacted):
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        store = open_store(root / "store" if kind == "folder" else f"memory://{uuid.uuid4().hex}")
        keyring = Keyring.load(root / "key.json")
        one, two = (Index.open(store, folder=root / "index") for _ in range(2))
        scribes: dict[int, Scribe] = {}
        clock = Clock()
        for number, act in enumerate(acts):
            if act[1] == "refresh":
                (one, two)[number % 2].refresh()
            else:
                write(scribes, act, store, keyring, clock)
        for scribe in scribes.values():
            if not scribe.log._is_closed:
                scribe.log.sync()
        one.refresh()
        agree(one, store)
        agree(two, store)
        if compacted:
            one.compact(runs=1)
        one.close()
        cold = Index.open(store, folder=root / "another")
        cold.refresh()
        agree(cold, store)
        two.rebuild()
        agree(two, store)
        for index in (two, cold):
            index.close()
        for scribe in scribes.values():
            scribe.log.close()


@QUICK
@given(data=st.data())
def test_every_prefix_of_a_log_is_a_valid_run(data):
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        store = open_store(root / "store")
        scribe = Scribe(store, Keyring.load(root / "key.json"), Clock())
        for step in ("load", "clean", "fit"):
            scribe.ran(step, step.encode())
        scribe.end()
        whole = list(read_events(store, scribe.run))
        (root / "store" / "runs" / scribe.run / "epochs" / "0002").unlink()
        path = root / "store" / events_path(scribe.run, 1)
        log = path.read_bytes()
        for _ in range(20):
            cut = data.draw(st.integers(0, len(log)))
            path.write_bytes(log[:cut])
            events = list(read_events(store, scribe.run))
            assert events == whole[: log[:cut].count(b"\n")]
            record = read_record(store, scribe.run)
            assert record.seq == len(events)
            assert (record.status is RunStatus.SUCCEEDED) == (cut == len(log))
        resumed = RunLog.resume(store, scribe.run, Driver.here(), Clock(START)) if cut < len(log) else None
        if resumed is not None:
            assert resumed.append("step.finished", step="more", status="ran") == len(events) + 1
            assert list(read_events(store, scribe.run))[:-1] == events
            resumed.close()


@QUICK
@given(seed=st.integers(0, 2**32))
def test_a_changed_byte_never_changes_an_event(seed):
    """Whatever byte is changed, what is read is a prefix of what was written."""
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        store = open_store(root / "store")
        scribe = Scribe(store, Keyring.load(root / "key.json"), Clock())
        scribe.ran("load", b"rows")
        claim = read_claim(store, scribe.run, 1)
        log, _ = store.read_log(events_path(scribe.run, 1))
        whole, _, taken = decode_events(log, claim.chain, 0, 1)
        assert taken == len(log)
        for _ in range(50):
            place = chance.randrange(len(log))
            broken = log[:place] + bytes([log[place] ^ (1 << chance.randrange(8))]) + log[place + 1 :]
            events, _, _ = decode_events(broken, claim.chain, 0, 1)
            assert events == whole[: len(events)]
            assert len(events) == log[:place].count(b"\n")
        scribe.log.close()


@QUICK
@given(acts=st.lists(st.sampled_from(["one", "two", "sync one", "sync two", "resume"]), max_size=25))
def test_two_drivers_leave_one_consistent_record(acts):
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        store = open_store(root / "store")
        scribe = Scribe(store, Keyring.load(root / "key.json"), Clock())
        logs = {"one": scribe.log, "two": RunLog.resume(store, scribe.run, Driver.here(), Clock())}
        accepted = 1
        for number, act in enumerate(acts):
            what, _, who = act.rpartition(" ")
            if act == "resume":
                logs["one"] = logs["two"]
                logs["two"] = RunLog.resume(store, scribe.run, Driver.here(), Clock())
                continue
            try:
                if what:
                    logs[who].sync()
                else:
                    logs[who].append("fault.noted", kind=who, message=str(number))
                    accepted += who == "two"
            except Superseded:
                assert who == "one"
        events = list(read_events(store, scribe.run))
        assert [event.seq for event in events] == list(range(1, accepted + 1))
        assert read_record(store, scribe.run).seq == accepted
        logs["two"].close()
