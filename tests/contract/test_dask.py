"""What is Dask's alone: its settings, its clusters, and what it would do silently."""

import contextlib
import dataclasses
import socket
import subprocess
import sys
import textwrap
import time

import pytest

from headwater.backend import BackendContext, Capability
from headwater.errors import ConfigError
from headwater.testing.bench import Bench, run_all, wait_all
from headwater.types import Fault, Resources
from headwater_dask.backend import DaskBackend


@pytest.fixture
def bench(tmp_path, monkeypatch):
    made = Bench(tmp_path)
    monkeypatch.chdir(made.project)
    return made


@pytest.fixture
def make(bench):
    """Make backends with some settings; they are closed at the end."""
    made = []

    def make_one(store=None, **settings):
        settings = {"ahead": False, **settings}
        context = BackendContext("dask", settings, store or bench.store.url, str(bench.project), bench.sink, 2)
        made.append(DaskBackend(context))
        return made[-1]

    yield make_one
    for backend in made:
        backend.close("cancel")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"adress": "tcp://x:1"}, "no setting 'adress'"),
        ({"threads": "two"}, "'threads'"),
        ({"threads": True}, "'threads'"),
        ({"threads": 0}, "at least one"),
        ({"processes": 1}, "'processes'"),
        ({"address": "tcp://x:1", "cluster": "a:B"}, "both an address and a cluster"),
        ({"cluster": "LocalCluster"}, "module:Class"),
        ({"security": {"cafile": "x"}}, "'cafile'"),
    ],
)
def test_a_wrong_setting_is_named_before_anything_starts(make, settings, words):
    with pytest.raises(ConfigError, match=words):
        make(**settings)


def test_what_it_claims_follows_from_the_settings(make):
    local = make(threads=3, workers=2, resources={"GPU": 1, "licences": 2}).capabilities
    assert local.capacity == Resources(cpus=3, gpus=2, named={"licences": 4})
    assert Capability.REMOTE not in local.can
    remote = make(address="tcp://elsewhere:8786").capabilities
    assert remote.capacity is None
    assert Capability.REMOTE in remote.can


def test_a_resource_that_no_worker_has_is_refused_by_name(make, bench):
    backend = make()
    named = bench.attempt("limit", resources=Resources(named={"licences": 1}))
    graphics = bench.attempt("limit", resources=Resources(gpus=1))
    for outcome, word in zip(run_all(backend, [named, graphics]), ("licences=1", "GPU=1"), strict=True):
        assert outcome.failure.fault is Fault.UNSUPPORTED
        assert word in outcome.failure.message


def test_a_resource_that_a_worker_has_is_given(make, bench):
    backend = make(resources={"GPU": 1, "licences": 2})
    attempt = bench.attempt("limit", resources=Resources(gpus=1, named={"licences": 2}))
    assert bench.value(run_all(backend, [attempt])[0]) == 3


@pytest.mark.slow
def test_a_cluster_may_be_named_by_its_class(make, bench):
    options = {"n_workers": 1, "threads_per_worker": 1, "processes": False, "dashboard_address": None}
    backend = make(cluster="distributed:LocalCluster", options=options)
    assert bench.value(run_all(backend, [bench.attempt("limit")])[0]) == 3


@pytest.mark.filterwarnings("error:Port .* is already in use:UserWarning")
def test_that_a_dashboards_port_is_taken_is_nobodys_trouble(make, bench):
    with socket.socket() as taken:
        with contextlib.suppress(OSError):  # taken by somebody else: as good
            taken.bind(("127.0.0.1", 8787))
            taken.listen()
        options = {"n_workers": 1, "threads_per_worker": 1, "processes": False}
        backend = make(cluster="distributed:LocalCluster", options=options)
        assert bench.value(run_all(backend, [bench.attempt("limit")])[0]) == 3


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"cluster": "no_such_module:Cluster"}, Fault.CONFIG),
        ({"cluster": "distributed:NoSuchCluster"}, Fault.CONFIG),
        ({"cluster": "distributed:LocalCluster", "options": {"no_such_option": 1}}, Fault.CONFIG),
        ({"address": "tcp://127.0.0.1:9", "wait": 0.5}, Fault.TRANSIENT),
    ],
)
def test_a_cluster_that_cannot_be_had_is_told_for_each_attempt(make, bench, settings, fault):
    outcomes = run_all(make(**settings), [bench.attempt("limit") for _ in range(2)])
    assert [outcome.failure.fault for outcome in outcomes] == [fault] * 2


@pytest.mark.slow
def test_a_store_that_workers_do_not_see_is_refused(make, bench):
    from distributed import LocalCluster

    from headwater.store import open_store

    store = open_store("memory://only-in-the-driver")
    with LocalCluster(n_workers=1, processes=True, dashboard_address=None, silence_logs=50) as cluster:
        backend = make(store=store.url, address=cluster.scheduler_address)
        [outcome] = run_all(backend, [dataclasses.replace(bench.attempt("limit"), store=store.url)])
    assert outcome.failure.fault is Fault.CONFIG
    assert "does not see the store" in outcome.failure.message
    assert "s3://" in outcome.failure.message


@pytest.mark.slow
def test_connections_may_be_encrypted(make, bench, tmp_path):
    pytest.importorskip("cryptography")
    from distributed import Security

    made = Security.temporary()
    files = {"ca": made.tls_ca_file, "cert": made.tls_client_cert, "key": made.tls_client_key}
    for name, text in files.items():
        (tmp_path / f"{name}.pem").write_text(text)
    backend = make(security={name: str(tmp_path / f"{name}.pem") for name in files})
    assert bench.value(run_all(backend, [bench.attempt("limit")])[0]) == 3
    assert backend._client.scheduler.address.startswith("tls://")


def test_an_id_is_performed_once_even_while_it_waits(make, bench):
    backend = make()
    mark = bench.outside / "count"
    attempt = bench.attempt("count", inputs={"path": str(mark)})
    backend.submit([attempt])
    backend.submit([attempt])
    run_all(backend, [attempt])
    assert mark.read_text() == "x"


def test_cancelled_while_the_cluster_starts(make, bench):
    backend = make()
    mark = bench.outside / "count"
    attempt = bench.attempt("count", inputs={"path": str(mark)})
    backend.submit([attempt])
    backend.cancel([attempt.attempt_id], 0)
    [outcome] = run_all(backend, [attempt])
    assert outcome.failure.fault is Fault.CANCELLED or mark.exists()


def test_a_driver_ends_quietly_and_imports_nothing_before_it_must(bench, tmp_path):
    script = tmp_path / "driver.py"
    script.write_text(
        textwrap.dedent("""
        import json, sys, time
        from headwater.backend import Attempt, BackendContext
        from headwater_dask.backend import DaskBackend

        if __name__ == "__main__":
            attempt = Attempt.from_document(json.loads(sys.argv[1]))
            backend = DaskBackend(BackendContext("dask", {}, attempt.store, sys.argv[2], lambda said: None, 2))
            backend.capabilities
            assert not {"dask", "distributed"} & set(sys.modules)
            backend.submit([attempt])
            while backend.poll([attempt.attempt_id])[0].state != "done":
                time.sleep(0.01)
            if sys.argv[3] == "close":
                backend.close("cancel")
            print(backend.poll([attempt.attempt_id])[0].outcome.failure)
        """)
    )
    import json

    for ending in ("close", "just end"):
        command = [
            sys.executable,
            str(script),
            json.dumps(bench.attempt("limit").document()),
            str(bench.project),
            ending,
        ]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert (ended.returncode, ended.stdout, ended.stderr) == (0, "None\n", ""), ending


def test_a_run_that_is_over_soon_starts_no_cluster(bench, make):
    backend = make(ahead=True)
    outcomes = run_all(backend, [bench.attempt("limit") for _ in range(2)])
    assert [bench.value(outcome) for outcome in outcomes] == [3, 3]
    assert all(outcome.worker.startswith("dask-ahead-") for outcome in outcomes)
    assert backend._client is None


def test_the_cluster_takes_over_from_the_head_start(bench, make):
    backend = make(ahead=True)
    backend.submit([slow := bench.attempt("sleep", inputs={"seconds": 3.0})])
    deadline = time.monotonic() + 30
    while backend._client is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    [outcome] = run_all(backend, [bench.attempt("limit")])
    assert not outcome.worker.startswith("dask-ahead-")
    [outcome] = wait_all(backend, [slow.attempt_id])
    assert outcome.worker.startswith("dask-ahead-")
    assert outcome.failure is None


def test_what_there_is_no_room_for_ahead_goes_to_the_cluster(bench, make):
    backend = make(ahead=True)
    outcomes = run_all(backend, [bench.attempt("sleep", inputs={"seconds": 0.3}) for _ in range(6)])
    assert [outcome.failure for outcome in outcomes] == [None] * 6
    assert sum(outcome.worker.startswith("dask-ahead-") for outcome in outcomes) == 2


def test_one_attempt_alone_in_a_process(bench, tmp_path):
    code = (
        "import json, pathlib, sys\n"
        "from headwater.backend import Attempt\n"
        "from headwater.worker import perform_alone\n"
        "attempt = Attempt.from_document(json.loads(sys.argv[1]))\n"
        "outcome = perform_alone(attempt, project='/nowhere', folder=pathlib.Path(sys.argv[2]), label='job')\n"
        "print(json.dumps(outcome.document()))\n"
    )
    import json

    from headwater.backend import Outcome

    for number, function in enumerate(("limit", "leave")):
        folder = tmp_path / str(number)
        folder.mkdir()
        document = json.dumps(bench.attempt(function).document())
        shown = subprocess.run([sys.executable, "-c", code, document, str(folder)], capture_output=True, check=True)
        outcome = Outcome.from_document(json.loads(shown.stdout))
        assert outcome.worker == "job"
        assert (bench.value(outcome) == 3) if function == "limit" else (outcome.failure.kind == "SystemExit")
