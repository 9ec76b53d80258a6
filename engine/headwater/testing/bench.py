"""What the contract of backends works with: a small project, its bundle, a store, and attempts made of them."""

from __future__ import annotations

import importlib
import os
import sys
import threading
import time
import uuid
from typing import TYPE_CHECKING, Any

from headwater.artifacts import Artifact, decode_value, encode_value
from headwater.backend import Attempt, LogLine, Outcome, Report
from headwater.bundle import PROJECT, make_bundle
from headwater.store import open_store
from headwater.worker import offer, withdraw

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from headwater.backend import Backend
    from headwater.digest import Json

#: Seconds after which a backend that does not answer has failed.
PATIENCE = 60.0

#: The steps that backends are tried with.
STEPS = """
import os
import subprocess
import sys
import time
from dataclasses import dataclass

LIMIT = 3


@dataclass(frozen=True)
class Pair:
    left: int
    right: str


def give(value):
    return value


def large(size):
    return bytes(size)


def pair():
    return Pair(1, "one")


def couple():
    return 1, "one"


def not_a_pair():
    return "something else"


def limit():
    return LIMIT


def fail(message):
    return _inner(message)


def _inner(message):
    raise ValueError(message)


def leave():
    sys.exit(7)


def end_process():
    os._exit(5)


def sleep(seconds, mark=None):
    if mark:
        open(mark, "w").write(str(os.getpid()))
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.01)
    return seconds


def with_child(mark):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    open(mark + ".new", "w").write(f"{os.getpid()} {child.pid}")
    os.rename(mark + ".new", mark)
    time.sleep(600)


def hold(size):
    held = bytearray(size)
    time.sleep(600)
    return len(held)


def speak(word, times):
    for number in range(times):
        print(f"{word} {number}")
    print(f"{word} last", file=sys.stderr)
    return word


def variable(name):
    return os.environ.get(name)


def change(items):
    items.append("changed")
    return items


def unstorable():
    return object()


def tell_secret(name):
    print("the secret is", os.environ[name])
    raise RuntimeError("it was " + os.environ[name])


def read(path):
    with open(path) as stream:
        return stream.read()


def count(path):
    with open(path, "a") as stream:
        stream.write("x")
    return 1
"""


class Bench:
    """One project with one store, and a backend on trial."""

    def __init__(self, folder: Path) -> None:
        #: Unique, so that one process can hold the modules of several benches.
        self.module = f"contract_steps_{uuid.uuid4().hex[:8]}"
        self.project = folder / "project"
        self.project.mkdir()
        self.outside = folder / "outside"
        self.outside.mkdir()
        self.file = self.project / f"{self.module}.py"
        self.file.write_text(STEPS)
        self.store = open_store(folder / "store")
        self._bundle = make_bundle({PROJECT: self.project}, {self.file: STEPS.encode()})
        self.bundle = self.store.put(self._bundle.encode())
        self.store.flush()
        self.reports: list[Report] = []
        self.lines: list[LogLine] = []
        self._count = 0
        self._lock = threading.Lock()

    def enter(self) -> None:
        """Load the steps here too, and offer them to backends that perform in this process."""
        sys.path.insert(0, str(self.project))
        loaded = importlib.import_module(self.module)
        for name, value in vars(loaded).items():
            if callable(value) and getattr(value, "__module__", "") == self.module:
                offer(self.bundle, f"{self.module}:{name}", value)

    def leave(self) -> None:
        """Undo :meth:`enter`."""
        withdraw(self.bundle)
        sys.modules.pop(self.module, None)
        sys.path.remove(str(self.project))

    def sink(self, said: Report | LogLine) -> None:
        """Take what the backend says."""
        with self._lock:
            (self.lines if isinstance(said, LogLine) else self.reports).append(said)  # type: ignore[arg-type]

    def attempt(self, function: str, *, outputs: Mapping[str, str] | None = None, **changes: Any) -> Attempt:
        """Return an attempt at a step; ``inputs`` are plain values, or artifacts."""
        self._count += 1
        inputs = {name: self._tree(value) for name, value in changes.pop("inputs", {}).items()}
        python = f"{sys.version_info[0]}.{sys.version_info[1]}"
        fields: dict[str, Any] = {
            "attempt_id": f"run/{function}/{self._count}",
            "step": function,
            "call": {"function": f"{self.module}:{function}"},
            "inputs": inputs,
            "outputs": {"result": "any"} if outputs is None else outputs,
            "whole": None,
            "store": self.store.url,
            "bundle": self.bundle,
            "environment": {"python": python, "packages": {}},
        }
        return Attempt(**(fields | changes))

    def value(self, outcome: Outcome, name: str = "result") -> object:
        """Return a value that an attempt gave, read by another client of the store."""
        assert outcome.failure is None, outcome.failure
        assert outcome.outputs is not None
        document = outcome.outputs[name]
        assert isinstance(document, dict)
        again = open_store(self.store.url, create=False)
        scratch = self.outside / uuid.uuid4().hex
        scratch.mkdir()
        return decode_value(Artifact.from_document(document), again, scratch=scratch, trusted=True)

    def artifact(self, value: object) -> Artifact:
        """Store a value as the output of an earlier step."""
        artifact = encode_value(value, "any", self.store, scratch=self.outside)
        self.store.flush()
        return artifact

    def texts(self, attempt_id: str, stream: str) -> list[str]:
        """Return the lines of one attempt on one stream."""
        with self._lock:
            return [line.text for line in self.lines if line.attempt_id == attempt_id and line.stream == stream]

    def _tree(self, value: object) -> Json:
        from headwater.values import to_json

        return {"artifact": value.document()} if isinstance(value, Artifact) else {"value": to_json(value)}


def run_all(backend: Backend, attempts: Sequence[Attempt]) -> list[Outcome]:
    """Submit attempts and return their outcomes in order."""
    return wait_all(backend, list(map(str, backend.submit(attempts))))


def wait_all(backend: Backend, handles: Sequence[str]) -> list[Outcome]:
    """Wait until attempts have ended, by polling alone."""
    end = time.monotonic() + PATIENCE
    while True:
        reports = backend.poll(handles)
        outcomes = [report.outcome for report in reports if report.outcome is not None]
        if len(outcomes) == len(handles):
            return outcomes
        assert time.monotonic() < end, f"not done in {PATIENCE} s: {reports}"
        time.sleep(0.005)


def wait_for(path: Path) -> str:
    """Wait until a step has left its mark, and return what it says."""
    end = time.monotonic() + PATIENCE
    while not path.exists() or not path.read_text():
        assert time.monotonic() < end, f"no step has written {path}"
        time.sleep(0.005)
    return path.read_text()


def is_alive(pid: int) -> bool:
    """Tell whether a process exists and is no zombie."""
    try:
        with open(f"/proc/{pid}/stat") as stream:  # noqa: PTH123
            return stream.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        pass
    except OSError:
        return False
    if os.path.isdir("/proc/self"):  # noqa: PTH112
        return False
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True
