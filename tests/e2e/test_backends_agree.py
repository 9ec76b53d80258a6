"""One pipeline gives the same results on every backend and in every kind of store, and each reuses the others'."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract import conftest as servers
from tests.projects import Document, Site, until

pytestmark = pytest.mark.slow

PROJECT = Path(__file__).parent / "everything"
#: `single` is Dask, with one step after the other: none shares a task with another.
PROFILES = ("inline", "threads", "dask", "single", "processes", "address")

s3_server, s3_environment, s3_bucket = servers.s3_server, servers.s3_environment, servers.s3_bucket


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("agree")


@pytest.fixture(scope="module")
def address(place: Path) -> Iterator[str]:
    """A Dask cluster of others: a scheduler and a worker as processes of their own."""
    file = place / "scheduler.json"
    dask = [sys.executable, "-m", "distributed.cli.dask_scheduler"]
    words = ["--host", "127.0.0.1", "--port", "0", "--dashboard-address", "127.0.0.1:0", "--scheduler-file", str(file)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": place}
    scheduler = subprocess.Popen([*dask, *words], **quiet)
    dask = [sys.executable, "-m", "distributed.cli.dask_worker"]
    words = ["--nthreads", "2", "--nworkers", "1", "--host", "127.0.0.1", "--dashboard-address", "127.0.0.1:0"]
    worker = subprocess.Popen([*dask, "--scheduler-file", str(file), *words, "--no-nanny"], **quiet)
    yield json.loads(until(lambda: file.exists() and file.read_text()))["address"]
    for process in (worker, scheduler):
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def site(place: Path, address: str) -> Site:
    shutil.copytree(PROJECT, place / "project")
    settings = place / "project" / "headwater.toml"
    settings.write_text(settings.read_text() + f'\n[profile.address.backends.dask]\naddress = "{address}"\n')
    return Site(place / "project", place / "cache")


@pytest.fixture(scope="module")
def first(site: Site, place: Path) -> Document:
    """What `inline` gives in a store of its own: all others are compared with it."""
    found = site.run("flow.py", "--profile", "inline", "--store", str(place / "inline"))
    assert found.statuses == {"ran", "skipped"}
    return found


def same(found: Document, first: Document) -> None:
    assert found.digests == first.digests
    assert {name: step["key"] for name, step in found.steps.items()} == {
        name: step["key"] for name, step in first.steps.items()
    }


def reused(found: Document, first: Document) -> None:
    assert found.statuses == {"reused", "skipped"}, [each for each in found["steps"] if each["status"] == "ran"]
    same(found, first)


def test_a_change_of_an_input_in_place_is_seen_by_nobody(first: Document, site: Site, place: Path) -> None:
    values = {}
    for step in ("list", "array", "frame", "dict", "table", "file", "folder"):
        step = f"total_{step}"  # noqa: PLW2901
        target = place / f"{step}.json"
        site.hw("get", first["run"], step, "-o", str(target), "--store", str(place / "inline"))
        values[step] = json.loads(target.read_text())
    assert values == {
        "total_list": 21,
        "total_array": 52.5,
        "total_frame": "6 21 a",
        "total_dict": 21,
        "total_table": 21,
        "total_file": 21,
        "total_folder": ["copy/deep/two.txt", "copy/one.txt", "values.txt"],
    }


@pytest.mark.parametrize("profile", PROFILES[1:])
def test_backends_give_the_same_in_a_store_of_their_own(profile: str, site: Site, place: Path, first: Document) -> None:
    store = str(place / profile)
    found = site.run("flow.py", "--profile", profile, "--store", store)
    assert found.statuses == {"ran", "skipped"}
    same(found, first)
    # … and what one has computed is reused by others.
    for other in PROFILES if profile == "dask" else ("inline", "dask"):
        reused(site.run("flow.py", "--profile", other, "--store", store), first)
    site.leaves_nothing()


@pytest.mark.parametrize("profile", ["inline", "dask"])
def test_backends_give_the_same_on_s3(profile: str, site: Site, first: Document, s3_bucket: str) -> None:
    store = f"s3://{s3_bucket}/{uuid.uuid4().hex}"
    found = site.run("flow.py", "--profile", profile, "--store", store)
    assert found.statuses == {"ran", "skipped"}
    same(found, first)
    reused(site.run("flow.py", "--profile", "threads", "--store", store), first)


IN_MEMORY = """
import json, sys
from headwater import Workspace
from headwater.request import RunOptions
from pathlib import Path

options = RunOptions(fail_fast=False)
profiles = [sys.argv[1], "inline"]
runs = [Workspace(store="memory://agree", profile=each).run("flow.py", run_options=options) for each in profiles]
Path(sys.argv[2]).write_text(json.dumps([run.document() for run in runs]))
"""


@pytest.mark.parametrize("profile", ["inline", "threads"])
def test_backends_give_the_same_in_memory(profile: str, site: Site, place: Path, first: Document) -> None:
    out = place / "out.json"
    command = [sys.executable, "-c", IN_MEMORY, profile, str(out)]
    subprocess.run(command, cwd=site.folder, env=site.environment, check=True)
    found, again = map(Document, json.loads(out.read_text()))
    # The command needs a process of its own, which cannot see this one's memory.
    assert found.names("failed") == again.names("failed") == ["count"]
    assert "is seen by one process alone" in found.steps["count"]["error"]["message"]
    expected = {name: digest for name, digest in first.digests.items() if name.split(".")[0] not in {"count", "report"}}
    assert found.digests == again.digests == expected
    assert again.names("ran") == []


def test_other_surroundings_reuse_it(site: Site, place: Path, first: Document, tmp_path: Path) -> None:
    store = str(place / "inline")
    away = tmp_path / "away"
    away.mkdir()
    target = str(site.folder / "flow.py")
    # Another working directory; then another copy at another path, another home and so no cache, another hash seed.
    reused(site.run(target, "--profile", "threads", "--store", store, cwd=away), first)
    copy = site.copy(tmp_path / "elsewhere" / "copy")
    home = tmp_path / "home"
    home.mkdir()
    copy.variables |= {"HOME": str(home), "PYTHONHASHSEED": "12345"}
    reused(copy.run("flow.py", "--profile", "threads", "--store", store), first)


def test_it_gives_the_same_as_a_script(site: Site, place: Path, first: Document, tmp_path: Path) -> None:
    def script(store: Path) -> Document:
        out = tmp_path / "out.json"
        subprocess.run(
            [sys.executable, "flow.py", "threads", str(store), str(out)],
            cwd=site.folder,
            env=site.environment,
            check=True,
        )
        return Document(json.loads(out.read_text()))

    reused(script(place / "inline"), first)
    alone = script(tmp_path / "own")
    assert alone.statuses == {"ran", "skipped"}
    same(alone, first)
    reused(site.run("flow.py", "--profile", "dask", "--store", str(tmp_path / "own")), first)
