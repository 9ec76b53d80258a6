"""The example itself, killed for real at chosen instants: it always completes, and nothing recorded is lost or redone.

``HEADWATER_CHAOS=20`` makes twenty kills of each kind of backend, ``HEADWATER_SEED`` chooses other instants; both are
printed with every kill (``pytest -s``), and the same numbers make the same choices.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from headwater.record import read_record
from headwater.store import open_store
from tests.flights import ALL, OTHERWISE, SMALL, flights
from tests.projects import Document, Site, until

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(3000)]

KILLS = int(os.environ.get("HEADWATER_CHAOS", "5"))
SEED = os.environ.get("HEADWATER_SEED", "1")
INSTANTS = ("plan", "first write", "step", "put", "end")
TOML = """
store = ".headwater"
[profile.threads]
backend = "threads"
[profile.dask.backends.dask]
threads = 2
[profile.processes.backends.dask]
processes = true
workers = 2
threads = 1
[profile.address.backends.dask]
address = "ADDRESS"
wait = 1
"""
#: Stands in a log as soon as the first step has ended.
FINISHED = b'"step.finished"'
GONE = b"the Dask cluster cannot be used"
#: Collects again and again; all that protects what a run relies on is the protocol.
COLLECT = """
import sys, time
from headwater.housekeeping import collect
from headwater.store import open_store
store = open_store(sys.argv[1])
while True:
    collect(store, age=0, wait=1.5)
    print("collected", flush=True)
    time.sleep(0.05)
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = flights(tmp_path_factory.mktemp("killed"))
    (made.folder / "headwater.toml").write_text(TOML)
    yield made
    made.leaves_nothing(0)


@pytest.fixture(scope="module")
def whole(site: Site, tmp_path_factory: pytest.TempPathFactory) -> tuple[Document, float]:
    """An undisturbed run, and how long it took here and now."""
    store = tmp_path_factory.mktemp("whole") / "store"
    run(site, "threads", store, "iterations=1")  # what is read for the first time takes longer
    begun = time.monotonic()
    found = run(site, "threads", store.with_name("measured"))
    assert set(found.names("ran")) == ALL
    return found, time.monotonic() - begun


def run(site: Site, profile: str, store: Path, *words: str) -> Document:
    return site.run(*command(profile, store), *words)


def command(profile: str, store: Path) -> list[str]:
    return ["pipeline.py", *SMALL, "--profile", profile, "--store", str(store)]


def recorded(store: Path) -> set[str]:
    """The steps whose end stands in the log of any run of a store."""
    if not any((store / "runs").glob("*")):
        return set()
    opened = open_store(store)
    records = [read_record(opened, place.name) for place in (store / "runs").iterdir()]
    steps = [step for record in records for step in record.steps.values() if not step.elements]
    return {step.step for step in steps if step.status == "ran"}


def has_log(store: Path, word: bytes) -> bool:
    """Tell whether the log of a run has a word in it yet."""
    return any(word in place.read_bytes() for place in (store / "runs").rglob("*") if place.is_file())


def wait_for(instant: str, store: Path, seconds: float, chance: random.Random, process: subprocess.Popen[str]) -> None:
    """Return at an instant of a run, or when the run is over."""
    reached: dict[str, Callable[[], object]] = {
        "first write": (store / "runs").exists,
        "step": lambda: has_log(store, FINISHED),
        "put": lambda: any(any(place.iterdir()) for place in store.glob("tmp")),
        "end": lambda: has_log(store, b'"step":"write_page"'),
    }
    delays = {"plan": 0.15 * seconds, "first write": 0.05, "step": 0.6 * seconds, "put": 0.0, "end": 0.4}
    time.sleep(chance.uniform(0.1, 0.8) * seconds if instant == "put" else 0.0)
    begun = time.monotonic()
    while instant in reached and process.poll() is None and time.monotonic() - begun < 120:
        with contextlib.suppress(OSError):  # what was listed is gone
            if reached[instant]():
                break
    time.sleep(chance.uniform(0, delays[instant]))


def ends_well(site: Site, profile: str, store: Path, whole: Document) -> None:
    """Check that what was cut off completes, does nothing again that was recorded, and that the store is sound."""
    site.leaves_nothing()
    before = recorded(store)
    found = run(site, profile, store)
    again = set(found.names("ran"))
    assert before.isdisjoint(again), f"done again though recorded: {before & again}"
    assert found["status"] == "succeeded"
    assert before | again == ALL
    assert set(found.names("skipped")) == set(OTHERWISE)
    # A registration tells its number, and the model was registered before if the kill came just after.
    assert {k: v for k, v in found.digests.items() if k != "register.result"} == {
        k: v for k, v in whole.digests.items() if k != "register.result"
    }
    site.leaves_nothing()
    done = site.hw("fsck", "--store", str(store), status=None)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("profile", ["threads", "dask"])
def test_whenever_the_driver_is_killed_the_example_completes(
    profile: str, site: Site, whole: tuple[Document, float], tmp_path: Path
) -> None:
    first, seconds = whole
    hits = 0
    # Where there are few, the first ones are left to the threads: no backend is there yet.
    numbers = range(KILLS) if profile == "threads" or KILLS > 5 else range(2, KILLS - 1)
    for number in numbers:
        chance = random.Random(f"{SEED}-{profile}-{number}")
        instant = INSTANTS[number % len(INSTANTS)]
        store = tmp_path / f"store-{number}"
        process = site.start("run", *command(profile, store), "-q")
        wait_for(instant, store, seconds, chance, process)
        is_hit = process.poll() is None
        if chance.random() < 0.3:  # all that it started in its own group, too
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
        process.communicate()
        hits += is_hit
        site.leaves_nothing()
        print(f"seed {SEED}, {profile}, kill {number} at {instant!r}: hit={is_hit}, recorded {len(recorded(store))}")
        ends_well(site, profile, store, first)
    assert hits >= len(numbers) / 2, "most kills came too late"


def test_driver_and_collector_are_killed_beside_each_other(
    site: Site, whole: tuple[Document, float], tmp_path: Path
) -> None:
    first, seconds = whole
    store = tmp_path / "store"
    run(site, "threads", store, "iterations=1")
    for number in range(max(1, KILLS // 3)):
        chance = random.Random(f"{SEED}-gc-{number}")
        words = [sys.executable, "-c", COLLECT, str(store)]
        collector = subprocess.Popen(words, env=site.environment, stdout=subprocess.PIPE, text=True)
        process = site.start("run", *command("threads", store), f"late_after={20 + number}", "-q")
        time.sleep(chance.uniform(0.3, 0.9) * seconds)
        victims = [process, collector]
        chance.shuffle(victims)
        for victim in victims:
            victim.kill()
            victim.communicate()
            time.sleep(chance.uniform(0, 0.5))
        print(f"seed {SEED}, kill {number} of {'the driver' if victims[0] is process else 'the collector'} first")
        before = recorded(store)
        found = run(site, "threads", store, f"late_after={20 + number}")
        assert found["status"] == "succeeded"
        assert before, "nothing was recorded"
        site.leaves_nothing()
        site.hw("gc", "--store", str(store))
        site.hw("fsck", "--store", str(store))
    # What the first run gave is all there still, and nothing is mixed up.
    assert set(run(site, "threads", store, "iterations=1").names("ran")) == set()
    found = run(site, "threads", store)
    assert {k: v for k, v in found.digests.items() if k != "register.result"} == {
        k: v for k, v in first.digests.items() if k != "register.result"
    }


# ------------------------------------------------------------------------------------------- a cluster loses a process


@pytest.fixture
def cluster(site: Site, tmp_path: Path) -> Iterator[dict[str, list[int]]]:
    """A real scheduler, and two workers with their nannies, as a person starts them; role → pids."""
    file = tmp_path / "scheduler.json"
    python, loopback = [sys.executable, "-m"], ["--host", "127.0.0.1", "--dashboard-address", "127.0.0.1:0"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": tmp_path, "env": site.environment}
    words = [*python, "distributed.cli.dask_scheduler", "--port", "0", "--scheduler-file", str(file), *loopback]
    scheduler = subprocess.Popen(words, **quiet)
    words = [*python, "distributed.cli.dask_worker", "--nthreads", "1", "--scheduler-file", str(file), *loopback]
    nannies = [subprocess.Popen(words, **quiet) for _ in range(2)]
    address = json.loads(until(lambda: file.exists() and file.read_text()))["address"]
    (site.folder / "headwater.toml").write_text(TOML.replace("ADDRESS", address))
    workers = until(
        lambda: (
            [found for nanny in nannies for found in workers_of(nanny.pid)][1:]
            and [found for nanny in nannies for found in workers_of(nanny.pid)]
        )
    )
    yield {"scheduler": [scheduler.pid], "nanny": [nanny.pid for nanny in nannies], "worker": workers}
    for process in (*nannies, scheduler):
        process.kill()
        process.wait()
    site.leaves_nothing()


def workers_of(nanny: int) -> list[int]:
    """The worker of a nanny: the child that multiprocessing started, not the one that watches its resources."""
    listed = subprocess.run(
        ["ps", "-ww", "-o", "pid=,args=", "--ppid", str(nanny)], capture_output=True, text=True, check=False
    )
    return [int(line.split()[0]) for line in listed.stdout.splitlines() if "spawn_main" in line]


@pytest.mark.parametrize("victim", ["worker", "nanny"])
def test_a_cluster_that_loses_a_process_in_mid_step_still_gives_the_same(
    victim: str, site: Site, whole: tuple[Document, float], cluster: dict[str, list[int]], tmp_path: Path
) -> None:
    first, _ = whole
    store = tmp_path / "store"
    process = site.start("run", *command("address", store), "--json")
    until(lambda: has_log(store, b'"make_features[0]"'))
    os.kill(cluster[victim][0], signal.SIGKILL)
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, out + err
    found = Document(json.loads(out))
    assert set(found.names("ran")) == ALL
    assert found.digests == first.digests
    site.hw("fsck", "--store", str(store))


def test_a_cluster_that_loses_its_scheduler_is_named_and_the_run_goes_on_elsewhere(
    site: Site, whole: tuple[Document, float], cluster: dict[str, list[int]], tmp_path: Path
) -> None:
    store = tmp_path / "store"
    process = site.start("run", *command("address", store))
    until(lambda: has_log(store, b'"make_features[0]"'))
    os.kill(cluster["scheduler"][0], signal.SIGKILL)
    until(lambda: has_log(store, GONE) or process.poll() is not None)
    if KILLS < 20:  # it tries again for minutes, as the cluster may come back: only the long form waits for the end
        process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=400)
    assert process.returncode == (130 if KILLS < 20 else 1), out + err
    assert KILLS < 20 or GONE.decode() in err
    for pid in cluster["nanny"]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    ends_well(site, "threads", store, whole[0])


def test_a_worker_of_its_own_cluster_that_is_killed_in_mid_step_is_replaced(
    site: Site, whole: tuple[Document, float], tmp_path: Path
) -> None:
    first, _ = whole
    store = tmp_path / "store"
    process = site.start("run", *command("processes", store), "--json")
    until(lambda: has_log(store, b'"make_features[0]"'))
    os.kill(workers_of(process.pid)[0], signal.SIGKILL)
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, out + err
    assert Document(json.loads(out)).digests == first.digests
    site.leaves_nothing()
