"""Going on with a run whose driver was killed: everything as it was asked for then, wherever one stands now."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from tests.projects import Site, until

pytestmark = pytest.mark.slow

FILES = {
    "flow__py": """
        import os, time
        from headwater import File, pipeline, step

        @step
        def read(data: File) -> str:
            return data.read_text().strip()

        @step
        def wait(text: str) -> str:
            open("waiting", "w").close()
            while not os.path.exists("go"):
                time.sleep(0.05)
            return text

        @step
        def fails(text: str) -> str:
            raise ValueError("as ever")

        @step
        def after(text: str) -> str:
            return text + "!"

        @pipeline
        def main(data: File = File("data.txt")):
            text = wait(read(data))
            fails(text)
            return after(after(after(text)))
    """,
    "data__txt": "words\n",
    "headwater__toml": """
        backend = "dask"
        [profile.quick]
        backend = "threads"
        concurrency = 1
    """,
}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    made = Site(tmp_path / "project", tmp_path / "cache")
    made.write(**FILES)
    return made


def test_a_run_goes_on_as_it_was_asked_for(site: Site, tmp_path: Path) -> None:
    driver = site.start("run", "flow.py", "--profile", "quick", "--keep-going", "-q")
    until((site.folder / "waiting").exists)
    os.killpg(driver.pid, signal.SIGKILL)
    driver.wait()
    site.leaves_nothing()
    (site.folder / "go").touch()
    (tmp_path / "elsewhere").mkdir()
    store = str(site.folder / ".headwater")
    done = site.hw("resume", "latest", "--store", store, "--json", cwd=tmp_path / "elsewhere", status=1)
    steps = {step["name"]: step for step in json.loads(done.stdout)["steps"]}
    # Without --keep-going nothing would have started after the failure; the one backend of then takes one at a time.
    assert {name: step["status"] for name, step in steps.items()} == {
        "read": "ran",
        "wait": "ran",
        "fails": "failed",
        "after": "ran",
        "after-2": "ran",
        "after-3": "ran",
    }
    shown = json.loads(site.hw("show", "latest", "--json").stdout)
    assert {step["backend"] for step in shown["steps"]} == {"threads"}
    assert shown["facts"]["profile"] == "quick"


def test_what_is_said_now_overrules_what_was_recorded(site: Site) -> None:
    driver = site.start("run", "flow.py", "--profile", "quick", "-q")
    until((site.folder / "waiting").exists)
    os.killpg(driver.pid, signal.SIGKILL)
    driver.wait()
    (site.folder / "go").touch()
    site.hw("resume", "latest", "--backend", "inline", "-q", status=1)
    shown = json.loads(site.hw("show", "latest", "--json").stdout)
    assert {step["backend"] for step in shown["steps"] if step["name"] in ("wait", "fails")} == {"inline"}
