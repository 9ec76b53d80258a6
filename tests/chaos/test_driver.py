"""The driver is killed, stopped and doubled for real: runs always complete, nothing recorded is lost or done again.

The number of kills is small by default; ``HEADWATER_CHAOS=20`` makes twenty per case, at other moments each time that
``HEADWATER_SEED`` differs.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from headwater.record import read_record
from headwater.store import open_store
from tests.projects import Document, Site, until

pytestmark = pytest.mark.chaos

KILLS = int(os.environ.get("HEADWATER_CHAOS", "2"))
SEED = os.environ.get("HEADWATER_SEED", "1")

#: Shaped as the example `flights`: tables, months in parallel, a model, a condition, files. Each body leaves a mark.
FLOW = """
import json, os, time, uuid
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from headwater import File, notify, otherwise, over, pipeline, register, step, when

MARKS = Path(os.environ["TRIAL_MARKS"])


def mark(name, seconds=0.0):
    # Made before the body is done: a step that was killed in mid-work has a mark and no record.
    (MARKS / f"{name}--{uuid.uuid4().hex}").mkdir()
    time.sleep(seconds)


@step
def load(rows: int) -> pa.Table:
    mark("load", 0.1)
    return pa.table({"n": list(range(rows)), "month": [n % 4 for n in range(rows)]})


@step
def validate(table: pa.Table) -> pa.Table:
    mark("validate", 0.05)
    return table


@step
def select(table: pa.Table, month: int) -> pa.Table:
    mark(f"select-{month}", 0.15)
    return table.filter(pc.equal(table["month"], month))


@step
def features(table: pa.Table) -> list[int]:
    mark(f"features-{table['month'][0].as_py()}", 0.1)
    return [n * 2 for n in table["n"].to_pylist()]


@step
def train(parts: list[list[int]]) -> File:
    mark("train", 0.3)
    out = File.new("model.json")
    out.path.write_text(json.dumps([sum(part) for part in parts]))
    return out


@step
def score(model: File) -> float:
    mark("score")
    return len(json.loads(model.read_text())) / 4


@step
def draw(model: File, name: str) -> File:
    mark(f"draw-{name}", 0.1)
    out = File.new(f"{name}.svg")
    out.path.write_text(f"<svg>{name} {model.read_text()}</svg>")
    return out


@pipeline
def main(rows: int = 400):
    table = validate(load(rows))
    model = train(features.map(over(select.map(table, over([0, 1, 2, 3])))))
    found = score(model)
    with when(found >= 0.5) as good:
        draw(model, "one")
        draw(model, "two")
        register(model, name="trial")
    with otherwise(good):
        notify("no good", found)
    return found
"""
TOML = """
[profile.threads]
backend = "threads"
[profile.threads.backends.threads]
threads = 2
[profile.dask.backends.dask]
threads = 2
[profile.processes.backends.dask]
processes = true
workers = 2
threads = 2
"""
HANG = """
import os, posix, time
from pathlib import Path
from headwater import over, pipeline, step

MARKS = Path(os.environ["TRIAL_MARKS"])

@step
def quick(n: int) -> int:
    return n

def is_held():
    try:
        posix.stat(MARKS / "hold")  # not `exists`, which would be seen: the result does not depend on it
    except OSError:
        return False
    return True

@step
def slow(n: int) -> int:
    (MARKS / f"slow-{n}-{os.getpid()}").mkdir()
    while is_held():
        time.sleep(0.02)
    return n

@step
def last(ns: list[int]) -> int:
    return sum(ns)

@pipeline
def main(of: int = 2):
    return last(slow.map(over([quick(0), 1])))
"""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path / "project", tmp_path / "cache")
    marks = tmp_path / "marks"
    marks.mkdir()
    made.variables["TRIAL_MARKS"] = str(marks)
    made.write(flow__py=FLOW, hang__py=HANG, headwater__toml=TOML)
    yield made
    made.leaves_nothing(0)


def marks(site: Site) -> Path:
    return Path(site.variables["TRIAL_MARKS"])


def counted(site: Site) -> Counter[str]:
    """How often each body was begun."""
    return Counter(place.name.partition("--")[0] for place in marks(site).iterdir())


def body_of(step: str) -> str:
    """The mark that a step's body leaves."""
    name, _, place = step.rstrip("]").partition("[")
    return {"draw": "draw-one", "draw-2": "draw-two"}.get(name, f"{name}-{place}" if place else name)


def store_of(site: Site) -> Path:
    return site.folder / ".headwater"


def runs(site: Site) -> list[str]:
    place = store_of(site) / "runs"
    return sorted(each.name for each in place.iterdir()) if place.is_dir() else []


def is_clean(site: Site) -> None:
    done = site.hw("fsck", "--json", status=None)
    assert done.returncode == 0, done.stdout + done.stderr


def kill(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    process.communicate()


# ------------------------------------------------------------------------------------------------- kill -9 of drivers


def length(site: Site, profile: str, tmp_path: Path) -> float:
    """Seconds that an undisturbed run takes here and now."""
    begun = time.monotonic()
    done = site.run("flow.py", "--profile", profile, "--store", str(tmp_path / "measured"))
    assert done["status"] == "succeeded"
    seconds = time.monotonic() - begun
    for place in marks(site).iterdir():
        place.rmdir()
    return seconds


# That another run completes the work is shown on the example, in test_flights.py: here one takes the run up again.
@pytest.mark.parametrize(("profile", "how"), [("threads", "resume"), ("dask", "resume"), ("dask", "run")])
@pytest.mark.timeout(900)
def test_whenever_the_driver_is_killed_the_work_completes_and_nothing_is_done_twice(
    profile: str, how: str, site: Site, tmp_path: Path
) -> None:
    moments = random.Random(f"{SEED}-{profile}-{how}")
    whole = length(site, profile, tmp_path)
    hits = 0
    for number in range(KILLS):
        rows = str(400 + 4 * number)
        process = site.start("run", "flow.py", f"rows={rows}", "--profile", profile, "-q")
        earlier = runs(site)
        # Not before Python itself has started, and now and then when all is over.
        time.sleep(moments.uniform(0.25, 1.0) * whole)
        kill(process)
        site.leaves_nothing()
        mine = [run for run in runs(site) if run not in earlier]
        before, begun = recorded_in(site, mine), counted(site)
        status = statuses(site, mine)
        hits += status == ["interrupted"]
        if how == "resume" and status == ["interrupted"]:
            site.hw("resume", mine[0], "--profile", profile, "-q")
            document = Document(json.loads(site.hw("show", mine[0], "--json").stdout))
            assert document["status"] == "succeeded"
            assert statuses(site, mine) == ["succeeded"]
        else:
            document = site.run("flow.py", f"rows={rows}", "--profile", profile)
            assert document["status"] == "succeeded"
            assert before <= set(document.names("reused")) | {"register", "when"}
        again = counted(site) - begun
        bodies = {body_of(step) for step in before}
        assert not bodies & set(again), f"done again though recorded: {bodies & set(again)}"
        site.leaves_nothing()
        # Every body has run: one that was cut off has a mark more, never more than one.
        totals = counted(site)
        assert set(totals) == BODIES
        assert max(totals.values()) <= 2
        for place in marks(site).iterdir():
            place.rmdir()
    assert site.run("flow.py", f"rows={rows}", "--profile", profile).names("ran") == []
    is_clean(site)
    assert hits, "no kill hit a run"


BODIES = {"load", "validate", "train", "score", "draw-one", "draw-two"} | {
    f"{name}-{month}" for name in ("select", "features") for month in range(4)
}


def recorded_in(site: Site, names: list[str]) -> set[str]:
    """Steps that ran, and whose end stands in a log."""
    store = open_store(store_of(site)) if names else None
    found = [read_record(store, name) for name in names] if store else []
    steps = [step for record in found for step in record.steps.values()]
    return {step.step for step in steps if step.status == "ran" and not step.elements}


def statuses(site: Site, names: list[str]) -> list[str]:
    store = open_store(store_of(site)) if names else None
    return [read_record(store, name).status.value for name in names] if store else []


# ------------------------------------------------------------------------------------ kill -9 of what performs steps


@pytest.fixture
def cluster(site: Site, tmp_path: Path) -> Iterator[str]:
    """A real scheduler and worker with its nanny, as a person starts them."""
    file = tmp_path / "scheduler.json"
    python, loopback = [sys.executable, "-m"], ["--host", "127.0.0.1", "--dashboard-address", "127.0.0.1:0"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": tmp_path, "env": site.environment}
    words = [*python, "distributed.cli.dask_scheduler", "--port", "0", "--scheduler-file", str(file), *loopback]
    scheduler = subprocess.Popen(words, **quiet)
    words = [*python, "distributed.cli.dask_worker", "--nthreads", "2", "--scheduler-file", str(file), *loopback]
    worker = subprocess.Popen(words, **quiet)
    yield json.loads(until(lambda: file.exists() and file.read_text()))["address"]
    for process in (worker, scheduler):
        process.terminate()
        process.wait()
    site.leaves_nothing()


def hanging(site: Site, number: int | str = "*") -> list[int]:
    """The step processes whose bodies have begun, in order."""
    places = sorted(marks(site).glob(f"slow-{number}-*"), key=lambda place: place.stat().st_mtime)
    return [int(place.name.rpartition("-")[2]) for place in places]


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def succeeded(process: subprocess.Popen[str]) -> Document:
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, out + err
    return Document(json.loads(out))


@pytest.mark.parametrize("profile", ["threads", "dask", "processes"])
def test_a_step_process_that_is_killed_is_replaced(profile: str, site: Site) -> None:
    site.edit("hang.py", "@step\ndef slow", "@step(timeout=600)\ndef slow")  # a process of its own, on threads too
    (marks(site) / "hold").mkdir()
    process = site.start("run", "hang.py", "--profile", profile, "--json")
    [victim] = until(lambda: hanging(site, 0))
    os.kill(victim, signal.SIGKILL)
    until(lambda: len(hanging(site, 0)) == 2)
    (marks(site) / "hold").rmdir()
    found = succeeded(process)
    assert found.steps["slow[0]"]["attempts"] == 2
    assert found.steps["slow[1]"]["attempts"] == 1
    site.leaves_nothing()


def test_a_dask_worker_that_is_killed_is_replaced(site: Site) -> None:
    (marks(site) / "hold").mkdir()
    process = site.start("run", "hang.py", "--profile", "processes", "--json")
    [victim] = until(lambda: hanging(site, 0))
    worker = parent_of(victim)
    assert worker != process.pid
    assert {"headwater-step", "headwater-guard"} <= {word for _, line in site.processes() for word in line.split()}
    os.kill(worker, signal.SIGKILL)
    until(lambda: len(hanging(site, 0)) == 2)
    (marks(site) / "hold").rmdir()
    assert succeeded(process)["status"] == "succeeded"
    site.leaves_nothing()


def test_a_worker_of_a_cluster_of_others_that_is_killed_is_replaced(site: Site, cluster: str) -> None:
    settings = site.folder / "headwater.toml"
    settings.write_text(f'{settings.read_text()}\n[profile.address.backends.dask]\naddress = "{cluster}"\n')
    (marks(site) / "hold").mkdir()
    process = site.start("run", "hang.py", "--profile", "address", "--json")
    [victim] = until(lambda: hanging(site, 0))
    os.kill(parent_of(victim), signal.SIGKILL)
    until(lambda: len(hanging(site, 0)) == 2)
    (marks(site) / "hold").rmdir()
    assert succeeded(process)["status"] == "succeeded"


# ------------------------------------------------------------------------------------------------- asked to stop


def last_run(site: Site) -> Document:
    return Document(json.loads(site.hw("show", "latest", "--json").stdout))


@pytest.mark.parametrize(
    ("how", "profile"),
    [("interrupt", "threads"), ("interrupt", "dask"), ("terminate", "threads"), ("cancel", "dask")],
)
def test_a_run_that_is_asked_to_stop_stops_cleanly_and_says_so(how: str, profile: str, site: Site) -> None:
    (marks(site) / "hold").mkdir()
    process = site.start("run", "hang.py", "--profile", profile, "--json")
    until(lambda: len(hanging(site)) == 2)
    match how:
        case "interrupt":
            process.send_signal(signal.SIGINT)
        case "terminate":
            process.send_signal(signal.SIGTERM)
        case _:
            site.hw("cancel", "latest")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, out + err
    found = last_run(site)
    assert found["status"] == "cancelled"
    assert {name: step["status"] for name, step in found.steps.items()} == {
        "quick": "ran",
        "slow[0]": "cancelled",
        "slow[1]": "cancelled",
        "last": "cancelled",
    }
    site.leaves_nothing()
    (marks(site) / "hold").rmdir()
    again = site.run("hang.py", "--profile", profile)
    assert again.names("ran") == ["slow[0]", "slow[1]", "last"]
    is_clean(site)


@pytest.mark.parametrize("profile", ["threads", "dask"])
def test_asked_twice_it_stops_at_once(profile: str, site: Site) -> None:
    deaf = "    import signal; signal.signal(2, signal.SIG_IGN) if PROCESS else 0\n    while is_held"
    site.edit("hang.py", "    while is_held", deaf)
    site.edit("hang.py", "@step\ndef quick", f"PROCESS = {profile == 'dask'}\n\n@step\ndef quick")
    (marks(site) / "hold").mkdir()
    process = site.start("run", "hang.py", "--profile", profile, "--json")
    until(lambda: len(hanging(site)) == 2)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    begun = time.monotonic()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, out + err
    assert time.monotonic() - begun < 9  # the grace of one that is asked once is ten
    assert last_run(site)["status"] == "cancelled"
    site.leaves_nothing()
    is_clean(site)


# -------------------------------------------------------------------------------------------- several drivers at once


@pytest.mark.parametrize("profile", ["threads", "dask"])
def test_a_driver_that_was_only_paused_stops_when_another_has_taken_over(profile: str, site: Site) -> None:
    (marks(site) / "hold").mkdir()
    paused = site.start("run", "hang.py", "--profile", profile, "--json")
    until(lambda: len(hanging(site)) == 2)
    [run] = runs(site)
    paused.send_signal(signal.SIGSTOP)
    try:
        # The driver's process is there, so nobody takes over unasked …
        refused = site.hw("resume", run, status=None)
        assert refused.returncode == 2, refused.stderr
        assert "running" in refused.stderr
        # … but one on another machine, that has seen no sign of life for long, does.
        code = textwrap.dedent("""
            import sys
            from headwater.record import alive
            alive.is_driver_alive = lambda *_: False
            from headwater.cli import main
            sys.exit(main(sys.argv[1:]))
        """)
        words = [sys.executable, "-c", code, "resume", run, "--profile", profile, "--json"]
        other = subprocess.Popen(words, cwd=site.folder, env=site.environment, stdout=subprocess.PIPE, text=True)
        until(lambda: len(hanging(site)) == 4)
        (marks(site) / "hold").rmdir()
        document = Document(json.loads(other.communicate(timeout=120)[0]))
    finally:
        paused.send_signal(signal.SIGCONT)
    assert document["status"] == "succeeded"
    out, err = paused.communicate(timeout=60)
    assert paused.returncode == 1, out + err
    assert "another driver took this run over" in err
    found = last_run(site)
    assert {name: step["status"] for name, step in found.steps.items()} == dict.fromkeys(
        ("quick", "slow[0]", "slow[1]", "last"), "ran"
    )
    assert found["status"] == "succeeded"
    site.leaves_nothing()
    assert site.run("hang.py", "--profile", profile).names("ran") == []
    is_clean(site)


@pytest.mark.parametrize("pipelines", [("flow.py", "flow.py"), ("flow.py", "hang.py")], ids=["same", "different"])
def test_two_drivers_share_a_store(pipelines: tuple[str, str], site: Site) -> None:
    profiles = ("threads", "dask")
    started = [
        site.start("run", name, "--profile", profile, "--json")
        for name, profile in zip(pipelines, profiles, strict=True)
    ]
    one, two = map(succeeded, started)
    if pipelines[0] == pipelines[1]:
        assert one.digests == two.digests
    for cache in (site.cache, site.cache.with_name("another")):  # an index made anew says the same
        site.cache = cache
        for name in dict.fromkeys(pipelines):
            assert site.run(name, "--profile", "threads").names("ran") == []
    is_clean(site)
    site.leaves_nothing()
