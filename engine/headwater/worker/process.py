"""The parent's side of a step process: start it, hand it attempts, watch time and memory, end it whole.

A step process performs one attempt after the other, from one code bundle. It may be killed at any moment without harm
to the parent; that is how time limits, memory limits and cancelling become certain.
"""

from __future__ import annotations

import codecs
import math
import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, cast

from headwater.backend import LogLine, Outcome, StepFailure
from headwater.types import Fault
from headwater.worker import guard as guard_script
from headwater.worker.capture import Recorder, masker
from headwater.worker.frames import Frames, write_frame
from headwater.worker.surroundings import secret_values
from headwater.worker.watch import memory_of, oom_kills

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from headwater.backend import Attempt
    from headwater.digest import Json
    from headwater.worker.capture import Stream

    #: Why the parent ended a process.
    End: TypeAlias = Literal["timeout", "memory", "cancel", "close"]

_STEP_LABEL = "headwater-step"
_GUARD_LABEL = "headwater-guard"
_TICK = 1.0
_MEMORY_TICK = 0.1
_CHUNK = 1 << 16
#: Seconds that a process gets to start: to open the store and fetch the code.
_START = 120.0
#: Seconds that an idle process gets to end by itself.
_GOODBYE = 3.0
#: Signals that a process brings upon itself.
_CRASHES = {signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGSYS, signal.SIGTRAP}


@dataclass(frozen=True, slots=True)
class Binding:
    """What a step process is bound to for its life."""

    #: Digest of the code bundle.
    bundle: str
    store: str
    project: str
    #: Undeclared reads are refused.
    is_strict: bool = False
    #: Files that a strict step may read.
    files: tuple[str, ...] = ()
    #: Variables as pairs in order, that differ from this process's: modules may read them while they are imported.
    env: tuple[tuple[str, str | None], ...] = ()


class Guard:
    """A small process that ends this process's step processes if this process vanishes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def add(self, group: int, folder: str) -> None:
        """Guard a process group and its folder."""
        self._say(b"+%d %s\n" % (group, os.fsencode(folder)))

    def remove(self, group: int) -> None:
        """Forget a process group: it has ended."""
        self._say(b"-%d\n" % group)

    def close(self) -> None:
        """End the guard; it kills what it still guards."""
        with self._lock:
            if self._process is not None and self._process.stdin is not None:
                with suppress(OSError):
                    self._process.stdin.close()
                self._process.wait()
            self._process = None

    def _say(self, line: bytes) -> None:
        with self._lock:
            if self._process is None:
                command = [sys.executable, "-I", "-S", str(guard_script.__file__), _GUARD_LABEL]
                self._process = subprocess.Popen(command, stdin=subprocess.PIPE, bufsize=0, start_new_session=True)
            assert self._process.stdin is not None
            with suppress(OSError):
                self._process.stdin.write(line)


class StepProcess:
    """One step process: performs one attempt at a time, until it is closed, killed, or dies."""

    def __init__(self, binding: Binding, *, label: str, guard: Guard, environ: Mapping[str, str] | None = None) -> None:
        #: What it is bound to.
        self.binding = binding
        #: What ``ps`` shows, and what outcomes name as their worker.
        self.label = label
        #: When it last performed an attempt, on the monotonic clock.
        self.used = 0.0
        self._guard = guard
        self._lock = threading.Lock()
        self._end: End | None = None
        self._is_reaped = False
        self._is_ready = False
        self._frames = Frames()
        self._oom_kills = oom_kills()
        self._folder = tempfile.mkdtemp(prefix="headwater-")
        self._count = 0
        self._start(environ)

    def _start(self, environ: Mapping[str, str] | None) -> None:
        from_us, self._to_child = os.pipe()
        self._from_child, to_us = os.pipe()
        given = {**(os.environ if environ is None else environ), **dict(self.binding.env)}
        variables = {name: value for name, value in given.items() if value is not None}
        # What the step starts inherits it, and is found by it: see `guard.end_strays`.
        variables["TMPDIR"] = os.path.join(self._folder, "tmp")  # noqa: PTH118
        os.mkdir(variables["TMPDIR"])  # noqa: PTH102
        command = [sys.executable, "-P", "-m", "headwater.worker", _STEP_LABEL, self.label, f"{from_us},{to_us}"]
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=(from_us, to_us),
                env=variables,
                start_new_session=True,
                bufsize=0,
            )
        finally:
            os.close(from_us)
            os.close(to_us)
        self._guard.add(self._process.pid, self._folder)
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._selector = selectors.DefaultSelector()
        decoder = codecs.getincrementaldecoder("utf-8")
        self._decoders = {name: decoder("backslashreplace") for name in ("stdout", "stderr")}
        for fd, name in (
            (self._from_child, "frames"),
            (self._process.stdout.fileno(), "stdout"),
            (self._process.stderr.fileno(), "stderr"),
        ):
            os.set_blocking(fd, False)
            self._selector.register(fd, selectors.EVENT_READ, name)
        # Linux tells an exit at once; elsewhere it is asked for at every tick.
        self._exit = os.pidfd_open(self._process.pid) if hasattr(os, "pidfd_open") else -1
        if self._exit >= 0:
            self._selector.register(self._exit, selectors.EVENT_READ, "exit")
        document = cast("dict[str, Json]", {**asdict(self.binding), "folder": self._folder, "label": self.label})
        with suppress(OSError):  # it died at once: told by its end
            write_frame(self._to_child, {"bind": document})

    @property
    def pid(self) -> int:
        """The process id, which is also that of its group."""
        return self._process.pid

    @property
    def is_usable(self) -> bool:
        """Whether it can perform another attempt."""
        return self._end is None and not self._has_ended()

    def perform(self, attempt: Attempt, on_line: Callable[[LogLine], None]) -> Outcome | None:
        """Perform an attempt and return its outcome; None if the process is out of date and a new one is needed."""
        secrets = secret_values(attempt.secrets, os.environ)
        recorder = Recorder(attempt.attempt_id, on_line, masker(secrets))
        self._count += 1
        scratch = os.path.join(self._folder, str(self._count))  # noqa: PTH118
        os.mkdir(scratch)  # noqa: PTH102
        started = time.time()
        try:
            with suppress(OSError):
                write_frame(self._to_child, {"perform": attempt.document(), "scratch": scratch})
            answer = self._await_outcome(attempt, recorder)
        finally:
            recorder.close()
            shutil.rmtree(scratch, ignore_errors=True)
        if isinstance(answer, StepFailure):
            ended = time.time()
            seconds = max(0.0, ended - started)
            failure = StepFailure(answer.fault, answer.kind, recorder.mask(answer.message), answer.traceback)
            return Outcome(
                attempt.attempt_id, None, failure, worker=self.label, seconds=seconds, started=started, ended=ended
            )
        return answer

    def _await_outcome(self, attempt: Attempt, recorder: Recorder) -> Outcome | StepFailure | None:
        """Serve the process's pipes until the attempt has ended one way or another."""
        limit = attempt.resources.memory_bytes
        tick = _TICK if limit is None else _MEMORY_TICK
        deadline = self._deadline(attempt)
        while True:
            wait = max(0.0, min(tick, deadline - time.monotonic()))
            for message in self._serve(recorder, wait):
                if "outcome" in message:
                    self._drain(recorder)
                    return Outcome.from_document(cast("dict[str, Json]", message["outcome"]))
                if "failure" in message:
                    return self._failed_to_start(cast("dict[str, str]", message["failure"]))
                if "stale" in message:
                    return None
                if "ready" in message:
                    self._is_ready = True
                    deadline = self._deadline(attempt)
                else:
                    recorder.write("log", str(message["log"]))
            if self._has_ended():
                return self._post_mortem(attempt, recorder)
            if time.monotonic() >= deadline:
                self.kill("timeout")
            elif limit is not None and memory_of(self.pid, limit=limit) > limit:
                self.kill("memory")

    def _deadline(self, attempt: Attempt) -> float:
        """Return when to give up: the time that the process takes to start is not the step's."""
        if not self._is_ready:
            return time.monotonic() + _START
        return math.inf if attempt.timeout is None else time.monotonic() + attempt.timeout

    def _serve(self, recorder: Recorder, wait: float) -> Iterator[dict[str, Json]]:
        for key, _ in self._selector.select(wait):
            data = b"" if key.data == "exit" else _read(key.fd)
            if data is None:
                continue
            if not data:
                self._selector.unregister(key.fd)
                if key.data == "frames":  # its end has come, but the kernel may need a moment to tell the exit code
                    self._wait(_GOODBYE)
            elif key.data == "frames":
                yield from self._frames.feed(data)
            else:
                recorder.write(_stream(key.data), self._decoders[key.data].decode(data))

    def _drain(self, recorder: Recorder) -> None:
        """Take the text that was written before the outcome was: it is in the pipes already."""
        for key in list(self._selector.get_map().values()):
            if key.data not in self._decoders:
                continue
            while data := _read(key.fd):
                recorder.write(_stream(key.data), self._decoders[key.data].decode(data))

    def _failed_to_start(self, failure: dict[str, str]) -> StepFailure:
        self.kill("close")
        return StepFailure(Fault(failure["fault"]), failure["kind"], failure["message"])

    def _post_mortem(self, attempt: Attempt, recorder: Recorder) -> Outcome | StepFailure:
        """Tell why the process is gone. An outcome that it had sent before counts."""
        self._drain(recorder)
        while data := _read(self._from_child):
            for message in self._frames.feed(data):
                if "outcome" in message:
                    return Outcome.from_document(cast("dict[str, Json]", message["outcome"]))
        return self._verdict(attempt, self._reap())

    def _verdict(self, attempt: Attempt, code: int) -> StepFailure:
        match self._end:
            case "timeout" if not self._is_ready:
                return StepFailure(
                    Fault.TRANSIENT, "StartTimeout", f"no step process was ready within {_START:g} seconds"
                )
            case "timeout":
                text = f"the step took longer than its {attempt.timeout:g} seconds and was stopped"
                return StepFailure(Fault.RESOURCE, "Timeout", text)
            case "memory":
                text = f"the step took more memory than its {attempt.resources.memory} and was stopped"
                return StepFailure(Fault.RESOURCE, "MemoryLimit", text)
            case "cancel" | "close":
                return StepFailure(Fault.CANCELLED, "Cancelled", "the step was cancelled and its process stopped")
            case None:
                pass
        if code >= 0:
            return StepFailure(Fault.USER, "ProcessEnded", f"the step ended its process (exit code {code})")
        name = _signal_name(-code)
        if -code in _CRASHES:
            return StepFailure(Fault.USER, "Crashed", f"the step crashed its process ({name})")
        if -code == signal.SIGKILL and oom_kills() > self._oom_kills:
            return StepFailure(Fault.RESOURCE, "OutOfMemory", "the machine ran out of memory and killed the process")
        return StepFailure(Fault.LOST, "ProcessKilled", f"the step's process was killed from outside ({name})")

    def kill(self, end: End = "cancel") -> None:
        """End the process with all that it started, now."""
        with self._lock:
            self._end = self._end or end
            self._signal(signal.SIGKILL)

    def interrupt(self) -> None:
        """Ask the running step to stop: KeyboardInterrupt in Python, SIGINT to what it started."""
        with self._lock:
            self._end = self._end or "cancel"
            self._signal(signal.SIGINT)

    def dismiss(self) -> None:
        """Let an idle process end by itself; :meth:`close` waits for it."""
        with self._lock:
            self._end = self._end or "close"
            if self._to_child >= 0:
                os.close(self._to_child)
                self._to_child = -1

    def close(self) -> None:
        """End the process, with all that it started, and release everything."""
        self.dismiss()
        self._wait(_GOODBYE if self._end == "close" else 0.0)
        self._reap()
        self._guard.remove(self._process.pid)
        self._selector.close()
        for fd in (self._from_child, self._exit):
            if fd >= 0:
                os.close(fd)
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _signal(self, number: signal.Signals) -> None:
        """Signal the group. Until the process is reaped, its number cannot be another's."""
        if not self._is_reaped:
            with suppress(OSError):
                os.killpg(self._process.pid, number)

    def _reap(self) -> int:
        """End what is left of the group and what left it, and return the exit code."""
        with self._lock:
            self._signal(signal.SIGKILL)
            self._is_reaped = True
            code = self._process.wait()
        guard_script.end_strays(self._folder)
        return code

    def _has_ended(self) -> bool:
        """Tell whether the process has ended, without reaping it where the system can tell."""
        if self._is_reaped or not hasattr(os, "waitid"):
            return self._process.poll() is not None
        return os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def _wait(self, seconds: float) -> None:
        end, pause = time.monotonic() + seconds, 0.001
        while not self._has_ended() and time.monotonic() < end:
            time.sleep(pause)
            pause = min(pause * 2, 0.02)


def _read(fd: int) -> bytes | None:
    """Read what there is; None if nothing is there yet, empty at the end."""
    try:
        return os.read(fd, _CHUNK)
    except BlockingIOError:
        return None


def _stream(name: str) -> Stream:
    return "stdout" if name == "stdout" else "stderr"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
