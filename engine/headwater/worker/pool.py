"""Step processes kept warm: an attempt gets one that is bound to its bundle, or a new one."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, cast

from headwater.backend import Outcome, StepFailure
from headwater.types import Fault
from headwater.worker.process import Binding, Guard, StepProcess
from headwater.worker.surroundings import SECRET_PREFIX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from headwater.backend import Attempt, LogLine

#: Variables that a strict step sees besides those it declared: without them programs do not start.
_NEEDED = (
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TZ",
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
    "PYTHONPATH",
    "PYTHONHOME",
    "VIRTUAL_ENV",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "COVERAGE_PROCESS_CONFIG",
)
#: Times that a process which is out of date is replaced before an attempt is given up.
_REPLACEMENTS = 3


class StepPool:
    """Performs attempts in step processes; safe to share between threads, each of which waits for its own."""

    def __init__(self, *, name: str, project: str, most: int) -> None:
        self._name = name
        self._project = project
        self._most = most
        self._guard = Guard()
        self._lock = threading.Lock()
        self._idle: list[StepProcess] = []
        self._busy: dict[str, StepProcess] = {}
        self._numbers: set[int] = set()
        self._cancelled: set[str] = set()
        #: Group → its attempts, while they are being performed.
        self._groups: dict[str, tuple[str, ...]] = {}
        self._is_closed = False

    def perform(
        self,
        attempts: Sequence[Attempt],
        *,
        on_line: Callable[[LogLine], None],
        on_outcome: Callable[[Outcome], None],
        on_start: Callable[[str], None] = lambda _: None,
        group: str = "",
    ) -> None:
        """Perform attempts one after the other; each ends with one outcome, whatever happens to the others.

        ``group`` names them together, for :meth:`abandon`.
        """
        self._groups[group] = tuple(attempt.attempt_id for attempt in attempts)
        try:
            for attempt in attempts:
                on_outcome(self._perform(attempt, on_line, on_start))
        finally:
            self._groups.pop(group, None)

    def abandon(self, group: str) -> None:
        """Stop all attempts of a group: nobody waits for them any more."""
        self.stop(self._groups.get(group, ()))

    def trim(self, seconds: float) -> None:
        """End processes that have been idle for so long."""
        before = time.monotonic() - seconds
        with self._lock:
            old = [process for process in self._idle if process.used < before]
            self._idle = [process for process in self._idle if process.used >= before]
        self._close_all(old)

    def stop(self, attempt_ids: Iterable[str], grace: float = 0.0) -> None:
        """Stop attempts, and refuse those that have not begun: at once, or after ``grace`` seconds to clean up."""
        with self._lock:
            self._cancelled |= set(attempt_ids)
            stopped = [self._busy[name] for name in self._cancelled if name in self._busy]
            for process in stopped if grace > 0 else ():
                process.interrupt()
        if grace > 0:
            end = time.monotonic() + grace
            while time.monotonic() < end and self._runs(stopped):
                time.sleep(0.01)
        with self._lock:  # a process that has meanwhile finished is not killed for the next attempt's sake
            for name, process in self._busy.items():
                if name in self._cancelled and process in stopped:
                    process.kill("cancel")

    def close(self) -> None:
        """End all processes."""
        with self._lock:
            self._is_closed = True
            idle, self._idle = self._idle, []
            for process in self._busy.values():
                process.kill("cancel")
        for process in idle:
            process.dismiss()
        for process in idle:
            process.close()
        end = time.monotonic() + 5
        while self._busy and time.monotonic() < end:
            time.sleep(0.005)  # their threads release them
        self._guard.close()

    def _runs(self, processes: Sequence[StepProcess]) -> bool:
        with self._lock:
            return any(process in processes for process in self._busy.values())

    def _perform(
        self, attempt: Attempt, on_line: Callable[[LogLine], None], on_start: Callable[[str], None]
    ) -> Outcome:
        if (refusal := _refusal(attempt)) is not None:
            return _unstarted(attempt, Fault.CONFIG, *refusal)
        for _ in range(_REPLACEMENTS):
            process = self._take(attempt)
            if process is None:
                return _unstarted(attempt, Fault.CANCELLED, "Cancelled", "the step was cancelled before it began")
            on_start(attempt.attempt_id)
            outcome = None
            try:
                outcome = process.perform(attempt, on_line)
            finally:
                self._give_back(attempt, process, is_good=outcome is not None and not attempt.strict)
            if outcome is not None:
                return outcome
        return _unstarted(attempt, Fault.LOST, "Stale", "files that the step's modules read keep changing")

    def _take(self, attempt: Attempt) -> StepProcess | None:
        """Return a process for an attempt: an idle one of its binding, else a new one; None if it must not run."""
        binding = self._binding(attempt)
        dismissed: list[StepProcess] = []
        with self._lock:
            if self._is_closed or attempt.attempt_id in self._cancelled:
                return None
            process = self._idle_for(binding)
            if process is None:
                while self._idle and len(self._idle) + len(self._busy) >= self._most:
                    dismissed.append(self._idle.pop(0))
                number = next(n for n in range(len(self._numbers) + 1) if n not in self._numbers)
                self._numbers.add(number)
                environ = _strict_environ(attempt, os.environ) if attempt.strict else None
                label = f"{self._name}-{number}"
                process = StepProcess(binding, label=label, guard=self._guard, environ=environ)
            self._busy[attempt.attempt_id] = process
        self._close_all(dismissed)
        return process

    def _idle_for(self, binding: Binding) -> StepProcess | None:
        for process in reversed(self._idle):
            if process.binding == binding and not binding.is_strict and process.is_usable:
                self._idle.remove(process)
                return process
        return None

    def _give_back(self, attempt: Attempt, process: StepProcess, *, is_good: bool) -> None:
        with self._lock:
            self._busy.pop(attempt.attempt_id, None)
            is_kept = is_good and process.is_usable and not self._is_closed
            if is_kept:
                process.used = time.monotonic()
                self._idle.append(process)
        if not is_kept:
            self._close_all([process])

    def _close_all(self, processes: Sequence[StepProcess]) -> None:
        for process in processes:
            process.dismiss()
        for process in processes:
            process.close()
            with self._lock:
                self._numbers.discard(int(process.label.rpartition("-")[2]))

    def _binding(self, attempt: Attempt) -> Binding:
        return Binding(
            bundle=attempt.bundle,
            store=attempt.store,
            project=self._project,
            is_strict=attempt.strict,
            files=tuple(attempt.files) if attempt.strict else (),
            env=tuple(sorted({**_differing(attempt), **attempt.env}.items())),
        )


def _refusal(attempt: Attempt) -> tuple[str, str] | None:
    """Return why an attempt cannot be performed in another process than its driver's, or None."""
    if attempt.store.startswith("memory://"):
        message = f"the step needs a process of its own, and the store {attempt.store} is seen by one process alone"
        return "StoreUnseen", f"{message}; hint: use a folder as the store"
    constants = cast("Mapping[str, str | None]", attempt.environment.get("set") or {})
    for name, shown in constants.items():
        what = f"{name} was set" + (f" to {shown}" if shown is not None else "")
        message = f"{what} after its module had been imported; the step is performed where the module is imported anew"
        hint = "make it a parameter, edit the file, or use the backend inline, or threads in the project's folder"
        return "ConstantSet", f"{message}; hint: {hint}"
    return None


def _unstarted(attempt: Attempt, fault: Fault, kind: str, message: str) -> Outcome:
    now = time.time()
    return Outcome(attempt.attempt_id, None, StepFailure(fault, kind, message), started=now, ended=now)


def _differing(attempt: Attempt) -> dict[str, str | None]:
    """Return the variables that an attempt needs otherwise than they are where its process would get them from."""
    there = _strict_environ(attempt, os.environ) if attempt.strict else os.environ
    return {name: value for name, value in attempt.variables.items() if there.get(name) != value}


def _strict_environ(attempt: Attempt, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that a strict step may see: those that programs need, and its secrets."""
    names = [*_NEEDED, *attempt.secrets, *(SECRET_PREFIX + name for name in attempt.secrets)]
    return {name: environ[name] for name in names if name in environ}
