"""What is imported is what is used: heavy libraries stay out of commands that do not need them; no socket is opened."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.flights import SMALL, flights
from tests.projects import Site, watched

HEAVY = {"dask", "distributed", "pyarrow", "fsspec", "structlog", "numpy", "pandas", "polars", "s3fs"}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    made = Site(tmp_path / "project", tmp_path / "cache")
    made.write(headwater__toml='backend = "inline"\n')
    return made


def imported(site: Site, *words: str, status: int = 0, **variables: str) -> set[str]:
    return watched(site, *words, status=status, **variables)[1]


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["run", "--help"], ["--complete", "run", ""], ["trust"]])
def test_small_commands_import_nothing_heavy(site: Site, words: list[str]) -> None:
    if "--help" in words[1:]:  # argparse leaves by itself
        site.hw(*words)
    assert imported(site, *words) & HEAVY == set()


def test_reading_the_record_imports_nothing_heavy(site: Site) -> None:
    site.write(
        pipeline__py="""
        from headwater import pipeline, step

        @step
        def one() -> int:
            return 1

        @pipeline
        def main() -> int:
            return one()
        """
    )
    assert site.run("pipeline.py").names("ran") == ["one"]
    for words in (["runs"], ["show"], ["why"], ["logs"], ["get", "latest", "one"], ["lineage"], ["definitions"]):
        assert imported(site, *words) & HEAVY == set(), words
    # A plan and a run that reuses everything need no more, on whatever backend.
    for backend in ("inline", "threads", "dask"):
        words = ["pipeline.py", "--backend", backend]
        assert imported(site, "plan", *words) & HEAVY == set()
        assert imported(site, "run", *words) & HEAVY == set()


@pytest.mark.slow
def test_the_example_runs_without_network_and_is_reused_without_a_cluster(tmp_path: Path) -> None:
    site = flights(tmp_path)
    words = ["pipeline.py", *SMALL]
    assert "distributed" not in imported(site, "run", *words, "--backend", "threads", NO_SOCKETS="all")
    assert statuses(site) == {"ran", "skipped"}
    for verb in ("plan", "run"):
        assert imported(site, verb, *words, "--backend", "dask", NO_SOCKETS="all") & {"distributed", "dask"} == set()
    assert statuses(site) == {"reused", "skipped"}


def statuses(site: Site) -> set[str]:
    return {step["status"] for step in json.loads(site.hw("show", "--json").stdout)["steps"]}


def test_sockets_are_really_refused(site: Site) -> None:
    """The test above would notice: the same hook makes a step that connects fail."""
    site.write(
        pipeline__py="""
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
        imported(site, "run", "pipeline.py", "--backend", backend, status=1, NO_SOCKETS="all")
        assert "no network here" in site.hw("show", "latest", "call").stdout
