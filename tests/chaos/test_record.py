"""Real processes that are killed while they write, and that collect garbage while others write."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time

import pytest

from headwater.digest import digest_bytes
from headwater.errors import RequestError
from headwater.housekeeping import check, collect
from headwater.index import Index
from headwater.record import Driver, RunLog, list_runs, read_events, read_record
from headwater.store import open_store
from headwater.types import RunStatus
from tests.histories import Clock

pytestmark = pytest.mark.chaos

#: Appends events, printing the number of each once it was handed over.
WRITER = """
import sys
from headwater.record import *
from headwater.store import open_store
import time
store = open_store(sys.argv[1])
log = RunLog.create(store, new_run_id(time.time()), Driver.here(), time.time)
print(log.run, flush=True)
for n in range(100000):
    pad = "x" * (n % 7 * 900)
    seq = log.append("step.finished", step=f"s{n}", status="ran", key="k", base="k", outputs={}, pad=pad)
    sys.stdout.write(f"{seq}\\n"); sys.stdout.flush()
    if n % 50 == 0:
        log.sync()
"""


@pytest.mark.parametrize("seed", range(8))
def test_a_killed_writer_loses_nothing_it_appended(tmp_path, seed):
    chance = random.Random(seed)
    store = open_store(tmp_path / "store")
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path / "store")], stdout=subprocess.PIPE, text=True
    )
    run = writer.stdout.readline().strip()
    for _ in range(chance.randrange(1, 400)):
        writer.stdout.readline()
    time.sleep(chance.random() * 0.02)
    writer.send_signal(signal.SIGKILL)
    told = [int(line) for line in writer.stdout.read().splitlines() if line]
    writer.wait()
    events = list(read_events(store, run))
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert len(events) >= max(told, default=0)
    assert read_record(store, run).status is RunStatus.INTERRUPTED
    resumed = RunLog.resume(store, run, Driver.here(), Clock())
    assert resumed.append("run.ended", status="failed") == len(events) + 1
    resumed.close()
    assert list(read_events(store, run))[:-1] == events
    index = Index.open(store, folder=tmp_path / "index")
    assert [one.kind for one in check(store, index=index).problems] == []
    index.close()
    with pytest.raises(RequestError, match="has ended"):
        RunLog.resume(store, run, Driver.here(), Clock())


def test_a_driver_that_was_only_paused_stops_when_it_wakes(tmp_path):
    store = open_store(tmp_path / "store")
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path / "store")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    run = writer.stdout.readline().strip()
    for _ in range(20):
        writer.stdout.readline()
    os.kill(writer.pid, signal.SIGSTOP)
    resumed = RunLog.resume(store, run, Driver.here(), Clock())
    seq = resumed.seq
    os.kill(writer.pid, signal.SIGCONT)
    _, errors = writer.communicate(timeout=60)
    assert "Superseded" in errors
    assert resumed.append("run.ended", status="failed") == seq + 1
    resumed.close()
    events = list(read_events(store, run))
    assert len(events) == seq + 1
    assert {event.epoch for event in events[:-1]} == {1}
    assert events[-1].epoch == 2


#: Finds old objects, saves or makes them again, and records their use.
USER = """
import base64, random, sys, time
from headwater.condemned import Saviour
from headwater.digest import digest_bytes
from headwater.record import *
from headwater.store import open_store
store, seed = open_store(sys.argv[1]), int(sys.argv[2])
chance = random.Random(seed)
log = RunLog.create(store, new_run_id(time.time()), Driver.here(), time.time)
until = time.time() + 8
while time.time() < until:
    body = b"%d" % chance.randrange(300)
    saviour = Saviour(store, sleep=time.sleep)
    digest = digest_bytes(body)
    if not store.has(digest) or saviour.save([digest]):
        store.put(body)
        if saviour.save([digest]):
            continue
    document = {"digest": digest, "type": "bytes", "bytes": len(body)}
    log.append("step.finished", step=f"s{body.decode()}", status="ran", key="k", base="k", outputs={"r": document})
    time.sleep(0.01)
log.append("run.ended", status="succeeded")
log.close()
"""


def test_collecting_beside_writers_loses_nothing_recorded(tmp_path):
    store = open_store(tmp_path / "store")
    for number in range(300):
        store.put(b"%d" % number)
    place = str(tmp_path / "store")
    users = [subprocess.Popen([sys.executable, "-c", USER, place, str(seed)]) for seed in range(3)]
    swept = 0
    while any(user.poll() is None for user in users):
        # Every object looks old, so what protects it is the protocol alone.
        for info in store.objects():
            os.utime(store.local_path(info.digest), (1e9, 1e9))
        swept += collect(store, age=0, wait=1.5).swept
        time.sleep(0.05)
    assert all(user.wait() == 0 for user in users)
    assert len(list_runs(store)) == 3
    used = {
        document["digest"]
        for run in list_runs(store)
        for step in read_record(store, run).steps.values()
        for document in step.outputs.values()
    }
    assert swept > 0
    assert store.missing(used) == set()
    for _ in range(2):
        collect(store, age=-1000, wait=-1)
    assert {info.digest for info in store.objects()} == used
    assert used <= {digest_bytes(b"%d" % number) for number in range(300)}
