"""Projects made of files, and the command line run on them in processes of their own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass, field, replace
from pathlib import Path
from textwrap import dedent
from typing import Any

HW = [sys.executable, "-m", "headwater"]
#: Every process that a test starts, however far down, has this variable; its value tells whose it is.
MARKER = "HEADWATER_TEST_MARKER"


@dataclass
class Site:
    """A project's folder, and the surroundings in which commands are run on it."""

    folder: Path
    cache: Path
    marker: str = field(default_factory=lambda: uuid.uuid4().hex)
    variables: dict[str, str] = field(default_factory=dict)

    def write(self, **files: str) -> None:
        """Write files; `__` in a name stands for its dot: ``flow__py``."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (self.folder / name.replace("__", ".")).write_text(dedent(text).lstrip())

    def edit(self, name: str, old: str, new: str) -> None:
        text = (self.folder / name).read_text()
        assert old in text
        (self.folder / name).write_text(text.replace(old, new))

    @property
    def environment(self) -> dict[str, str]:
        return (
            _surroundings("PYTHONDONTWRITEBYTECODE")
            | {"HEADWATER_CACHE": str(self.cache), MARKER: self.marker}
            | self.variables
        )

    def start(self, *words: str, cwd: Path | None = None, **more: Any) -> subprocess.Popen[str]:
        """Start a command of the command line; it is the leader of a group of its own."""
        return subprocess.Popen(
            [*HW, *map(str, words)],
            cwd=cwd or self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            **more,
        )

    def hw(self, *words: str, cwd: Path | None = None, status: int | None = 0) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, and check its exit status."""
        process = self.start(*words, cwd=cwd)
        out, err = process.communicate(timeout=240)
        assert status is None or process.returncode == status, f"exit status {process.returncode}\n{out}\n{err}"
        return subprocess.CompletedProcess(words, process.returncode, out, err)

    def run(self, *words: str, cwd: Path | None = None, status: int | None = 0) -> Document:
        """Run a pipeline, and return what ``--json`` prints."""
        done = self.hw("run", *words, "--json", cwd=cwd, status=status)
        return Document(json.loads(done.stdout))

    def processes(self) -> list[tuple[int, str]]:
        """Return what still runs of all that was started here: pid and command line."""
        wanted = f"{MARKER}={self.marker}".encode()
        found = []
        for place in Path("/proc").iterdir():
            try:
                if place.name.isdigit() and wanted in (place / "environ").read_bytes().split(b"\0"):
                    state = (place / "stat").read_text().rpartition(")")[2].split()[0]
                    command = (place / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                    if state != "Z" and int(place.name) != os.getpid():
                        found.append((int(place.name), command))
            except OSError:
                continue
        return found

    def leaves_nothing(self, seconds: float = 15) -> None:
        """Wait until nothing runs any more that was started here; fail after so many seconds."""
        end = time.monotonic() + seconds
        while (left := self.processes()) and time.monotonic() < end:
            time.sleep(0.05)
        for pid, _ in left:
            os.kill(pid, signal.SIGKILL)
        assert not left, f"still running: {left}"

    def copy(self, to: Path) -> Site:
        """Return a site with a copy of the project, and a cold cache."""
        shutil.copytree(self.folder, to, ignore=shutil.ignore_patterns(".headwater", "__pycache__"))
        return Site(to, to.parent / f"{to.name}-cache", self.marker, dict(self.variables))


#: Runs in every Python that a command starts: notes what was imported, and refuses the network.
CUSTOMIZE = """
import atexit, json, os, socket, sys

def note():
    names = sorted({name.partition(".")[0] for name in sys.modules})
    with open(os.path.join(os.environ["NOTES"], f"{os.getpid()}.json"), "w") as stream:
        json.dump({"argv": sys.orig_argv, "modules": names}, stream)

atexit.register(note)
refused = os.environ.get("NO_SOCKETS")

def is_refused(family, place):
    if family == socket.AF_UNIX or not refused:
        return False
    host = place[0] if isinstance(place, tuple) else place
    return refused == "all" or not str(host or "").startswith(("127.", "localhost", "::1"))

def guarded(name):
    function = getattr(socket.socket, name)
    def call(self, *words):
        if is_refused(self.family, words[-1]):
            raise OSError(f"no network here: {words[-1]}")
        return function(self, *words)
    return call

if refused:
    for name in ("connect", "connect_ex", "bind", "sendto"):
        setattr(socket.socket, name, guarded(name))
    resolve = socket.getaddrinfo
    def look_up(host, *words, **more):
        if is_refused(None, (host,)):
            raise OSError(f"no network here: {host}")
        return resolve(host, *words, **more)
    socket.getaddrinfo = look_up
"""


def watched(
    site: Site, *words: str, cwd: Path | None = None, status: int = 0, **variables: str
) -> tuple[subprocess.CompletedProcess[str], set[str]]:
    """Run a command; return what it came to, and what its own process had imported at its end.

    ``NO_SOCKETS="all"`` refuses every connection, ``"but loopback"`` those to other machines.
    """
    place = site.folder.parent / "customize"
    notes = place / "notes"
    shutil.rmtree(place, ignore_errors=True)
    notes.mkdir(parents=True)
    (place / "sitecustomize.py").write_text(CUSTOMIZE)
    path = site.environment.get("PYTHONPATH", "")
    more = {"PYTHONPATH": f"{place}{os.pathsep}{path}".rstrip(os.pathsep), "NOTES": str(notes), **variables}
    done = replace(site, variables=site.variables | more).hw(*words, cwd=cwd, status=status)
    found = [json.loads(note.read_text()) for note in notes.glob("*.json")]
    own = [note for note in found if note["argv"][1:3] == ["-m", "headwater"]]
    assert len(own) == 1, found
    return done, set(own[0]["modules"])


class Document(dict[str, Any]):
    """What ``hw run --json`` printed."""

    @property
    def steps(self) -> dict[str, dict[str, Any]]:
        return {step["name"]: step for step in self["steps"]}

    @property
    def digests(self) -> dict[str, str]:
        """Step and output → digest."""
        return {f"{n}.{out}": doc["digest"] for n, step in self.steps.items() for out, doc in step["outputs"].items()}

    def names(self, status: str) -> list[str]:
        return [name for name, step in self.steps.items() if step["status"] == status]

    @property
    def statuses(self) -> set[str]:
        return {step["status"] for step in self["steps"]}


def _surroundings(*dropped: str) -> dict[str, str]:
    """Return the tester's variables without those of the tester's own headwater, and some others."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("HEADWATER_", *dropped))}


def until(condition: Any, seconds: float = 60) -> Any:
    """Wait until something is true, and return it; fail after so many seconds."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"nothing came in {seconds} s"
        time.sleep(0.01)
    return found


@dataclass(frozen=True, slots=True)
class Done:
    """What a command came to."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one document on stdout."""
        return json.loads(self.out)


@dataclass(frozen=True, slots=True)
class Project:
    """A folder with a pipeline."""

    folder: Path

    def write(self, **files: str) -> None:
        """Write files: ``pipeline=...`` writes ``pipeline.py``, ``headwater_toml=...`` writes ``headwater.toml``."""
        for name, text in files.items():
            stem, _, suffix = name.rpartition("_")
            path = self.folder / (f"{stem}.{suffix}" if suffix in ("toml", "json", "csv", "txt") else f"{name}.py")
            path.write_text(dedent(text).lstrip())

    def environment(self, **variables: str) -> dict[str, str]:
        """Return the variables that a command gets: nothing of the tester's own headwater."""
        place = self.folder.parent
        return {
            **_surroundings("NO_COLOR"),
            "HEADWATER_CACHE": str(place / "cache"),
            "HEADWATER_KEY": str(place / "key" / "key.json"),
            "XDG_CACHE_HOME": str(place / "xdg"),
            "PYTHONDONTWRITEBYTECODE": "1",
            **variables,
        }

    def hw(self, *words: str, timeout: float = 120, text: str = "", **variables: str) -> Done:
        """Run a command to its end."""
        done = subprocess.run(
            [*HW, *words],
            cwd=self.folder,
            env=self.environment(**variables),
            input=text,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def start(self, *words: str, **variables: str) -> subprocess.Popen[str]:
        """Start a command in a process group of its own, as a shell does.

        It is not measured: an exception that waits for a thread in a blocking call makes CPython 3.11 turn in circles
        under a trace function, and that is what a stopped step on `threads` is.
        """
        environment = self.environment(**variables)
        return subprocess.Popen(
            [*HW, *words],
            cwd=self.folder,
            env={name: value for name, value in environment.items() if not name.startswith("COVERAGE_")},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def statuses(self, *words: str, **variables: str) -> dict[str, str]:
        """Run the pipeline and return step → status."""
        done = self.hw("run", "pipeline.py", "--json", *words, **variables)
        assert done.status == 0, done.err
        return {step["name"]: step["status"] for step in done.json["steps"]}
