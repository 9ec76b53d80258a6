"""Workers, schedulers and drivers are killed for real; nothing is lost silently, and nothing is left running."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from headwater.backend import BackendContext
from headwater.local import ThreadsBackend
from headwater.testing.bench import Bench, is_alive, run_all, wait_all, wait_for
from headwater.types import Fault
from headwater_dask.backend import DaskBackend

pytestmark = pytest.mark.chaos

#: A driver of its own: submits one step that never ends, says which processes there are, and waits.
DRIVER = """
import importlib, json, sys, time
from headwater.backend import Attempt, BackendContext

if __name__ == "__main__":
    kind, settings, project, document = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3], json.loads(sys.argv[4])
    module, _, name = kind.partition(":")
    attempt = Attempt.from_document(document)
    context = BackendContext("trial", settings, attempt.store, project, lambda said: None, 2)
    backend = getattr(importlib.import_module(module), name)(context)
    backend.submit([attempt])
    time.sleep(600)
"""
THREADS = "headwater.local:ThreadsBackend"
DASK = "headwater_dask.backend:DaskBackend"


@pytest.fixture
def bench(tmp_path, monkeypatch):
    made = Bench(tmp_path)
    monkeypatch.chdir(made.project)
    return made


@pytest.fixture
def make(bench):
    """Make backends that are closed at the end."""
    made = []

    def make_one(kind, **settings):
        if kind is DaskBackend:
            settings = {"ahead": False, **settings}
        context = BackendContext("trial", settings, bench.store.url, str(bench.project), bench.sink, 2)
        made.append(kind(context))
        return made[-1]

    yield make_one
    for backend in made:
        backend.close("cancel")


@pytest.fixture
def cluster(tmp_path):
    """A scheduler and one worker as processes of their own: (address, scheduler's pid, worker's pid)."""
    text = textwrap.dedent("""
        import sys, time
        from distributed import LocalCluster
        if __name__ == "__main__":
            cluster = LocalCluster(n_workers=1, threads_per_worker=2, processes=True, dashboard_address=None,
                                   silence_logs=50, memory_limit=0)
            print(cluster.scheduler_address, cluster.workers[0].pid, flush=True)
            time.sleep(600)
    """)
    script = tmp_path / "cluster.py"
    script.write_text(text)
    process = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
    address, worker = process.stdout.readline().split()
    yield address, process.pid, int(worker)
    process.kill()
    process.wait()


def hang(bench, mark, **changes):
    return bench.attempt("with_child", inputs={"mark": str(mark)}, **changes)


def pids_of(mark):
    return [int(word) for word in wait_for(mark).split()]


def gone(pids, seconds=10.0):
    end = time.monotonic() + seconds
    while any(map(is_alive, pids)) and time.monotonic() < end:
        time.sleep(0.01)
    return not any(map(is_alive, pids))


def start_driver(bench, tmp_path, kind, settings, attempt):
    script = tmp_path / "driver.py"
    script.write_text(DRIVER)
    command = [sys.executable, str(script), kind, json.dumps(settings), str(bench.project)]
    return subprocess.Popen([*command, json.dumps(attempt.document())], start_new_session=True)


def children_of(pid):
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
    return [int(word) for word in found.stdout.split()]


@pytest.mark.parametrize("kind", [ThreadsBackend, DaskBackend])
def test_a_step_process_killed_from_outside_is_lost_not_blamed(kind, bench, make):
    backend = make(kind)
    mark = bench.outside / "pids"
    attempt = hang(bench, mark)
    backend.submit([attempt])
    step, child = pids_of(mark)
    os.kill(step, signal.SIGKILL)
    [outcome] = wait_all(backend, [attempt.attempt_id])
    assert outcome.failure.fault is Fault.LOST
    assert gone([step, child])
    assert bench.value(run_all(backend, [bench.attempt("limit")])[0]) == 3


def test_others_in_the_task_of_a_killed_step_go_on(bench, make):
    backend = make(DaskBackend)
    mark = bench.outside / "pids"
    attempts = [hang(bench, mark), *(bench.attempt("give", inputs={"value": n}) for n in range(39))]
    backend.submit(attempts)
    os.kill(pids_of(mark)[0], signal.SIGKILL)
    first, *others = wait_all(backend, [attempt.attempt_id for attempt in attempts])
    assert first.failure.fault is Fault.LOST
    assert [bench.value(outcome) for outcome in others] == list(range(39))


def test_a_killed_dask_worker_is_lost_and_replaced(bench, make):
    backend = make(DaskBackend, processes=True)
    mark = bench.outside / "pids"
    attempt = hang(bench, mark)
    backend.submit([attempt])
    pids = pids_of(mark)
    worker = int(Path(f"/proc/{pids[0]}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(worker, signal.SIGKILL)
    [outcome] = wait_all(backend, [attempt.attempt_id])
    assert outcome.failure.fault is Fault.LOST
    assert gone(pids)
    assert bench.value(run_all(backend, [bench.attempt("limit")])[0]) == 3


def test_a_killed_scheduler_is_told_and_does_not_hang(bench, make, cluster):
    address, scheduler, _ = cluster
    backend = make(DaskBackend, address=address, wait=2)
    mark = bench.outside / "pids"
    attempt = hang(bench, mark)
    backend.submit([attempt])
    pids = pids_of(mark)
    os.kill(scheduler, signal.SIGKILL)
    [outcome] = wait_all(backend, [attempt.attempt_id])
    assert outcome.failure.fault is Fault.LOST
    assert gone(pids)  # the worker loses its scheduler, ends, and its step processes with it
    [later] = run_all(backend, [bench.attempt("limit")])
    assert later.failure.fault is Fault.TRANSIENT


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize(
    ("kind", "settings", "changes"),
    [(THREADS, {}, {"timeout": 600}), (DASK, {}, {}), (DASK, {"processes": True}, {})],
    ids=["threads", "dask", "dask-processes"],
)
def test_everything_dies_with_the_driver(kind, settings, changes, number, bench, tmp_path):
    mark = bench.outside / "pids"
    driver = start_driver(bench, tmp_path, kind, settings, hang(bench, mark, **changes))
    pids = pids_of(mark) + children_of(driver.pid)
    driver.send_signal(number)
    driver.wait()
    assert gone(pids)


def test_a_step_that_never_lets_go_of_the_interpreter_dies_with_the_driver(bench, tmp_path):
    text = "import ctypes, os\n\ndef hold(mark):\n    open(mark, 'w').write(str(os.getpid()))\n"
    text += "    ctypes.PyDLL(None).sleep(600)\n"
    attempt = _with_code(bench, text, "hold", mark=str(bench.outside / "pid"))
    driver = start_driver(bench, tmp_path, THREADS, {}, attempt)
    pid = int(wait_for(bench.outside / "pid"))
    driver.kill()
    driver.wait()
    assert gone([pid])


def test_scratch_folders_die_with_the_driver(bench, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    mark = bench.outside / "pids"
    driver = start_driver(bench, tmp_path, THREADS, {}, hang(bench, mark, timeout=600))
    pids = pids_of(mark)
    assert list((tmp_path / "tmp").glob("headwater-*"))
    driver.kill()
    driver.wait()
    assert gone(pids)
    end = time.monotonic() + 10
    while list((tmp_path / "tmp").glob("headwater-*")) and time.monotonic() < end:
        time.sleep(0.01)
    assert not list((tmp_path / "tmp").glob("headwater-*"))


def test_a_driver_that_dies_leaves_nothing_running_on_a_cluster_of_others(bench, tmp_path, cluster):
    address, _, worker = cluster
    mark = bench.outside / "pids"
    driver = start_driver(bench, tmp_path, DASK, {"address": address}, hang(bench, mark))
    pids = pids_of(mark)
    driver.kill()
    driver.wait()
    assert gone(pids, 30)
    assert is_alive(worker)


def test_a_step_with_a_deaf_child_is_stopped_whole(bench, make):
    text = "import os, subprocess, sys, time\n\ndef deaf(mark):\n"
    text += "    child = subprocess.Popen(['sh', '-c', 'trap \"\" TERM INT HUP; sleep 600'])\n"
    text += "    open(mark, 'w').write(f'{os.getpid()} {child.pid}')\n    time.sleep(600)\n"
    attempt = dataclasses.replace(_with_code(bench, text, "deaf", mark=str(bench.outside / "pids")), timeout=1.0)
    backend = make(DaskBackend)
    backend.submit([attempt])
    pids = pids_of(bench.outside / "pids")
    [outcome] = wait_all(backend, [attempt.attempt_id])
    assert outcome.failure.kind == "Timeout"
    assert gone(pids)


def test_many_kills_in_a_row_lose_no_attempt(bench, make):
    """Step processes are shot at random moments; every attempt still ends exactly once."""
    backend = make(ThreadsBackend, threads=2)
    attempts = [bench.attempt("sleep", inputs={"seconds": 0.03}, timeout=60) for _ in range(60)]
    stop = threading.Event()

    def shoot():
        while not stop.wait(0.07):
            listed = subprocess.run(
                ["pgrep", "-P", str(os.getpid()), "-f", "headwater-step"], capture_output=True, check=False
            )
            for pid in listed.stdout.split()[:1]:
                os.kill(int(pid), signal.SIGKILL)

    shooter = threading.Thread(target=shoot)
    shooter.start()
    try:
        outcomes = run_all(backend, attempts)
    finally:
        stop.set()
        shooter.join()
    faults = {outcome.failure.fault for outcome in outcomes if outcome.failure is not None}
    assert faults <= {Fault.LOST}
    assert faults, "no kill has hit"
    ended = [report.attempt_id for report in bench.reports if report.state == "done"]
    assert sorted(ended) == sorted(attempt.attempt_id for attempt in attempts)


def _with_code(bench, text, function, **inputs):
    """An attempt at a function of a module of its own."""
    from headwater.bundle import PROJECT, make_bundle

    path = bench.project / "extra.py"
    bundle = make_bundle({PROJECT: bench.project}, {path: text.encode()})
    digest = bench.store.put(bundle.encode())
    bench.store.flush()
    return bench.attempt(function, call={"function": f"extra:{function}"}, bundle=digest, inputs=inputs)
