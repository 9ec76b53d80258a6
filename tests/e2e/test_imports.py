"""What is imported is what is used: heavy libraries stay out of commands that do not need them; no socket is opened."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from tests.commands import Project

FLIGHTS = Path(__file__).resolve().parents[2] / "examples" / "flights"
HEAVY = {"dask", "distributed", "pyarrow", "fsspec", "structlog", "numpy", "pandas", "polars", "s3fs"}

#: Runs in every Python that the command starts: writes down what was imported, and refuses the network.
CUSTOMIZE = """
import atexit, json, os, socket, sys

def note():
    names = sorted({name.partition(".")[0] for name in sys.modules})
    with open(os.path.join(os.environ["NOTES"], f"{os.getpid()}.json"), "w") as stream:
        json.dump({"argv": sys.orig_argv, "modules": names}, stream)

atexit.register(note)

if os.environ.get("NO_SOCKETS"):
    def refuse(self, *words):
        if self.family != socket.AF_UNIX:
            raise OSError("no network here")

    for name in ("connect", "connect_ex", "bind", "sendto"):
        setattr(socket.socket, name, refuse)
    def resolve(*words, **more):
        raise OSError("no network here")
    socket.getaddrinfo = resolve
"""


def watched(project: Project, *words: str, status: int = 0, **variables: str) -> set[str]:
    """Run a command and return what its own process had imported at its end."""
    notes = project.folder.parent / "notes"
    shutil.rmtree(notes, ignore_errors=True)
    notes.mkdir()
    place = project.folder.parent / "customize"
    place.mkdir(exist_ok=True)
    (place / "sitecustomize.py").write_text(CUSTOMIZE)
    path = os.pathsep.join([str(place), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    done = project.hw(*words, PYTHONPATH=path, NOTES=str(notes), timeout=280, **variables)
    assert done.status == status, done.err
    found = [json.loads(note.read_text()) for note in notes.glob("*.json")]
    own = [note for note in found if note["argv"][1:3] == ["-m", "headwater"]]
    assert len(own) == 1, found
    return set(own[0]["modules"])


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["run", "--help"], ["--complete", "run", ""], ["trust"]])
def test_small_commands_import_nothing_heavy(project: Project, words: list[str]) -> None:
    if "--help" in words[1:]:  # argparse leaves by itself
        assert project.hw(*words).status == 0
    assert watched(project, *words) & HEAVY == set()


def test_reading_the_record_imports_nothing_heavy(project: Project) -> None:
    project.write(
        pipeline="""
        from headwater import pipeline, step

        @step
        def one() -> int:
            return 1

        @pipeline
        def main() -> int:
            return one()
        """
    )
    assert project.statuses() == {"one": "ran"}
    for words in (["runs"], ["show"], ["why"], ["logs"], ["get", "latest", "one"], ["lineage"], ["definitions"]):
        assert watched(project, *words) & HEAVY == set(), words
    # A plan and a run that reuses everything need no more, on whatever backend.
    for backend in ("inline", "threads", "dask"):
        words = ["pipeline.py", "--backend", backend]
        assert watched(project, "plan", *words) & HEAVY == set()
        assert watched(project, "run", *words) & HEAVY == set()


@pytest.mark.slow
def test_the_example_runs_without_network_and_is_reused_without_a_cluster(project: Project) -> None:
    for file in FLIGHTS.glob("*.py"):
        shutil.copy(file, project.folder)
    (project.folder / "headwater.toml").write_text("")
    words = ["run", "pipeline.py", "--backend", "threads", "iterations=10", "min_auc=0.5"]
    assert "distributed" not in watched(project, *words, NO_SOCKETS="1")
    statuses = {step["status"] for step in project.hw("show", "--json").json["steps"]}
    assert statuses == {"ran", "skipped"}
    again = ["pipeline.py", "iterations=10", "min_auc=0.5", "--backend", "dask"]
    assert watched(project, "plan", *again) & {"distributed", "dask"} == set()
    assert watched(project, "run", *again) & {"distributed", "dask"} == set()
    assert {step["status"] for step in project.hw("show", "--json").json["steps"]} == {"reused", "skipped"}


def test_sockets_are_really_refused(project: Project) -> None:
    """The test above would notice: the same hook makes a step that connects fail."""
    project.write(
        pipeline="""
        import socket
        from headwater import pipeline, step

        @step
        def call() -> int:
            socket.create_connection(("127.0.0.1", 9))
            return 1

        @pipeline
        def main() -> int:
            return call()
        """
    )
    for backend in ("inline", "threads"):
        watched(project, "run", "pipeline.py", "--backend", backend, status=1, NO_SOCKETS="1")
        assert "no network here" in project.hw("show", "latest", "call").out
