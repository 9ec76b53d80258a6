"""Runs one case with one tool: before, again, after the edit; each in a fresh process."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.edits.cases import Case, Side, instrumented
from benchmarks.edits.peers import PLAIN, Files, Peer, Reach

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Seconds after which a run counts as failed.
LIMIT = 120


class NoAnswer(Exception):
    """A tool's command failed or took too long; the text is the end of what it said."""


@dataclass(frozen=True)
class Seen:
    """What one run did: whether the step's body ran, and the value that came out."""

    ran: bool
    value: str


@dataclass(frozen=True)
class Outcome:
    """What one tool did with one case."""

    before: Seen | None = None
    again: Seen | None = None
    after: Seen | None = None
    failure: str = ""


@dataclass(frozen=True)
class Place:
    """Where a case lies: a folder with the project, its installed packages, and the mark that the step leaves."""

    root: Path
    project: Path
    environment: Mapping[str, str]

    @property
    def mark(self) -> Path:
        return self.root / "mark"


def measure(case: Case, peer: Peer, programs: Path, extra: Mapping[str, str]) -> Outcome:
    """Run the case with the tool whose programs lie in `programs`."""
    with tempfile.TemporaryDirectory(prefix="edits-", ignore_cleanup_errors=True) as folder:
        place = _place(Path(folder).resolve(), programs, extra)
        outcome = Outcome()
        try:
            first = _files(case.before, peer, place)
            _write(first, place)
            if peer.once:
                _command(peer.once, place, {})
            outcome = replace(outcome, before=_run(case.before, peer, place))
            outcome = replace(outcome, again=_run(case.before, peer, place))
            place = _edit(case, peer, place, first)
            return replace(outcome, after=_run(case.after, peer, place))
        except NoAnswer as failed:
            return replace(outcome, failure=str(failed))


def truth(case: Case, programs: Path) -> tuple[str, str]:
    """Say what the case gives on each side when nothing is remembered."""
    outcome = measure(case, PLAIN, programs, {})
    if outcome.failure:
        raise NoAnswer(f"{case.name}: {outcome.failure}")
    return outcome.before.value, outcome.after.value


def _place(root: Path, programs: Path, extra: Mapping[str, str]) -> Place:
    for name in ("project", "site", "home"):
        (root / name).mkdir()
    environment = {
        **{name: text for name, text in os.environ.items() if not name.startswith(("PYTHON", "HEADWATER", "PREFECT"))},
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(root / "home"),
        "XDG_CACHE_HOME": str(root / "home" / "cache"),
        "EDITS_SITE": str(root / "site"),
        # An edit of the same length within a second would leave the old bytecode in force, in any tool.
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONWARNINGS": "ignore",
        "DO_NOT_TRACK": "1",
        "DVC_NO_ANALYTICS": "1",
        "HAMILTON_TELEMETRY_ENABLED": "false",
        "PREFECT_LOCAL_STORAGE_PATH": str(root / "results"),
        **extra,
    }
    return Place(root, root / "project", environment)


def _files(side: Side, peer: Peer, place: Place) -> Files:
    return peer.write(replace(side, step=instrumented(side.step, str(place.mark))))


def _write(files: Mapping[str, str | None], place: Place) -> None:
    for name, text in files.items():
        kind, _, rest = name.rpartition(":")
        path = {"": place.project, "site": place.root / "site", "beside": place.root}[kind] / rest
        if text is None:
            path.unlink()
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text.replace("{tmp}", str(place.root)))


def _edit(case: Case, peer: Peer, place: Place, first: Files) -> Place:
    """Write what differs, and nothing else: some tools look at the time of a file."""
    if case.moved:
        project = place.root / "somewhere" / "else"
        shutil.copytree(place.project, project, symlinks=True)
        place = replace(place, project=project)
    second = _files(case.after, peer, place)
    _write({name: None for name in first if name not in second}, place)
    _write({name: text for name, text in second.items() if first.get(name) != text or name in case.touched}, place)
    return place


def _run(side: Side, peer: Peer, place: Place) -> Seen:
    place.mark.write_text("")

    def ask(*command: str) -> str:
        return _command(command, place, side.env)

    printed = ask(*peer.command)
    ran = place.mark.read_text() != ""
    return Seen(ran, peer.value(Reach(place.project, printed, ask)))


def _command(command: tuple[str, ...], place: Place, env: Mapping[str, str]) -> str:
    program = shutil.which(command[0], path=place.environment["PATH"])
    try:
        done = subprocess.run(
            [program, *command[1:]],
            cwd=place.project,
            env={**place.environment, **env},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        raise NoAnswer(f"no answer in {LIMIT} s") from late
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines() or [f"exit status {done.returncode}"]
        raise NoAnswer(said[-1])
    return done.stdout
