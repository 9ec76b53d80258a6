"""The backends of one run: opened by the first attempt that needs them, fed in batches, asked how attempts stand."""

from __future__ import annotations

import os
import queue
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias, cast

from headwater import providers
from headwater.backend import INTERFACE, Backend, BackendContext, LogLine, Outcome, Report, StepFailure
from headwater.errors import ContractError, HeadwaterError
from headwater.types import Fault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from headwater.backend import Attempt, Capabilities, Handle
    from headwater.digest import Json
    from headwater.types import Resources

#: What comes back from backends, and from a person who stops the run.
Item: TypeAlias = "Report | LogLine | Stop"

#: Seconds between two looks at every attempt that is under way; a backend's own reports come sooner.
POLL_SECONDS = 1.0
#: After how many looks in a row that tell nothing of an attempt it is given up as lost.
BLIND_LOOKS = 3


@dataclass(frozen=True, slots=True)
class Stop:
    """Somebody asked to stop the run; ``hard``: at once."""

    hard: bool = False
    #: The signal's name.
    by: str = ""


@dataclass(slots=True)
class Places:
    """Backends by name, and the attempts that are under way there."""

    settings: Callable[[str], Mapping[str, Json]]
    store: str
    project: str
    cores: int = field(default_factory=lambda: os.cpu_count() or 1)
    inbox: queue.SimpleQueue[Item] = field(default_factory=queue.SimpleQueue)
    _open: dict[str, Backend] = field(default_factory=dict)
    #: Attempt id → (backend, handle).
    _under_way: dict[str, tuple[str, Handle]] = field(default_factory=dict)
    _next_poll: float = 0.0
    #: Attempt id → looks in a row that told nothing of it.
    _blind: dict[str, int] = field(default_factory=dict)
    #: Backend and attempts that are being handed to it just now.
    _handing: tuple[str, tuple[str, ...]] | None = None
    #: Somebody wants what is being handed over stopped.
    _is_interrupted: bool = False
    #: Who hears of backends that misbehave; called from any thread.
    tell: Callable[[str], None] = lambda _: None

    def capabilities(self, name: str) -> Capabilities:
        """Return what a backend can do; raises ProviderError when it cannot be had. Nothing is started."""
        return self._backend(name).capabilities

    def capacity(self, name: str) -> Resources | None:
        """Return what a backend gives to all attempts together, from its word; nothing is started."""
        return self.capabilities(name).capacity

    def submit(self, name: str, attempts: Sequence[Attempt]) -> list[tuple[Attempt, Handle | StepFailure]]:
        """Hand attempts to a backend; what it does not take comes back as a failure."""
        self._is_interrupted = False
        self._handing = (name, tuple(attempt.attempt_id for attempt in attempts))
        try:
            answers = self._backend(name).submit(attempts)
        except HeadwaterError as error:
            answers = [StepFailure(Fault.CONFIG, type(error).__name__, str(error))] * len(attempts)
        except Exception as error:  # noqa: BLE001  a plugin may raise anything; the run must stay in charge
            message = f"backend {name!r} raised in submit: {error}"
            answers = [StepFailure(Fault.CONTRACT, type(error).__name__, message)] * len(attempts)
        finally:
            self._handing = None
        if len(answers) != len(attempts):
            message = f"backend {name!r} answered {len(answers)} of {len(attempts)} submitted attempts"
            answers = [StepFailure(Fault.CONTRACT, "ContractError", message)] * len(attempts)
        for attempt, answer in zip(attempts, answers, strict=True):
            if not isinstance(answer, StepFailure):
                self._under_way[attempt.attempt_id] = (name, answer)
        if self._is_interrupted:
            self._cancel(name, [answer for answer in answers if not isinstance(answer, StepFailure)], 0.0)
        return list(zip(attempts, answers, strict=True))

    def cancel(self, attempt_id: str, grace: float) -> None:
        """Ask for the end of an attempt; its report tells when it has ended."""
        if attempt_id in self._under_way:
            name, handle = self._under_way[attempt_id]
            self._cancel(name, [handle], grace)

    def _cancel(self, name: str, handles: Sequence[Handle], grace: float) -> None:
        try:
            self._open[name].cancel(handles, grace)
        except Exception as error:  # noqa: BLE001  a plugin may raise anything; the run must stay in charge
            self.tell(f"backend {name!r} raised in cancel: {type(error).__name__}: {error}")

    def interrupt(self) -> None:
        """Stop attempts that a backend performs while they are handed to it; may be called from a signal handler.

        They have no handles yet, so they go by their ids; once there are handles, ``submit`` cancels these, too.
        """
        if self._handing is not None:
            name, attempt_ids = self._handing
            self._is_interrupted = True
            if name in self._open:
                threading.Thread(target=self._cancel, args=(name, attempt_ids, 0.0), daemon=True).start()

    def under_way(self) -> list[str]:
        """Return the attempts that have not ended."""
        return list(self._under_way)

    def accept(self, attempt_id: str) -> bool:
        """Tell whether the end of an attempt is news; it is accepted once."""
        self._blind.pop(attempt_id, None)
        return self._under_way.pop(attempt_id, None) is not None

    def wait(self, deadline: float | None) -> list[Item]:
        """Return what has come in; waits for it until ``deadline`` (monotonic seconds), and polls meanwhile."""
        now = time.monotonic()
        limits = [limit for limit in (deadline, self._next_poll if self._under_way else None) if limit is not None]
        items = self._take(max(0.0, min(limits) - now) if limits else None)
        if self._under_way and time.monotonic() >= self._next_poll:
            items.extend(self._poll())
            self._next_poll = time.monotonic() + POLL_SECONDS
        return items

    def _take(self, seconds: float | None) -> list[Item]:
        items: list[Item] = []
        try:
            # Without a limit the wait could not be interrupted on some systems, so it has one.
            items.append(self.inbox.get(timeout=min(seconds, 60.0) if seconds is not None else 60.0))
            while True:
                items.append(self.inbox.get_nowait())
        except queue.Empty:
            return items

    def _poll(self) -> Iterable[Report]:
        by_name: dict[str, dict[str, Handle]] = {}
        for attempt_id, (name, handle) in self._under_way.items():
            by_name.setdefault(name, {})[attempt_id] = handle
        for name, handles in by_name.items():
            yield from self._look(name, handles)

    def _look(self, name: str, handles: Mapping[str, Handle]) -> Iterable[Report]:
        """Yield what attempts of one backend ended; those that nothing is known of for too long ended as lost."""
        why = f"backend {name!r} does not know the attempt any more"
        try:
            reports = _polled(self._open[name], list(handles.values()))
        except Exception as error:  # noqa: BLE001  a plugin may raise anything; the run must stay in charge
            why = f"backend {name!r} raised in poll: {type(error).__name__}: {error}"
            self.tell(why)
            reports = [Report(attempt_id, "unknown") for attempt_id in handles]
        for (attempt_id, handle), report in zip(handles.items(), reports, strict=True):
            if report.outcome is not None:
                yield report
            if report.state in ("queued", "running") or report.outcome is not None:
                self._blind.pop(attempt_id, None)
                continue
            self._blind[attempt_id] = self._blind.get(attempt_id, 0) + 1
            if self._blind[attempt_id] >= BLIND_LOOKS:
                self._cancel(name, [handle], 0.0)  # should it run after all, it must not run beside the next attempt
                yield Report(attempt_id, "done", failed(attempt_id, StepFailure(Fault.LOST, "AttemptLost", why)))

    def close(self, *, cancel: bool, patience: float | None = None) -> None:
        """Release every backend that was opened; what takes longer than ``patience`` seconds ends with this process."""
        if patience is None:
            self._close(cancel=cancel)
            return
        closing = threading.Thread(target=lambda: self._close(cancel=cancel), daemon=True)
        closing.start()
        closing.join(patience)

    def _close(self, *, cancel: bool) -> None:
        for name, backend in self._open.items():
            try:
                backend.close("cancel" if cancel else "detach")
            except Exception as error:  # noqa: BLE001  the others must be closed, whatever this one raised
                self.tell(f"backend {name!r} raised in close: {type(error).__name__}: {error}")
        self._open.clear()

    def _backend(self, name: str) -> Backend:
        if name not in self._open:
            make = cast("Callable[[BackendContext], object]", providers.find("backend", name))
            context = BackendContext(
                name=name,
                settings=self.settings(name),
                store=self.store,
                project=self.project,
                sink=self.inbox.put,
                cores=self.cores,
            )
            try:
                made = make(context)
            except ModuleNotFoundError as error:
                raise providers.missing("backend", name, error) from error
            if not isinstance(made, Backend):
                raise ContractError(f"what is registered as backend {name!r} is not a backend", facts={"found": made})
            if made.capabilities.interface != INTERFACE:
                raise ContractError(
                    f"backend {name!r} was written for interface {made.capabilities.interface}; this is {INTERFACE}",
                    hint="update the package that provides it",
                )
            self._open[name] = made
        return self._open[name]


def _polled(backend: Backend, handles: Sequence[Handle]) -> Sequence[Report]:
    """Ask a backend how attempts stand; raises ContractError where it does not answer for each."""
    reports = cast("Sequence[object]", backend.poll(handles))  # a plugin may give anything
    if len(reports) != len(handles) or not all(isinstance(report, Report) for report in reports):
        raise ContractError(f"poll does not give a report for each of {len(handles)} handles", facts={"gave": reports})
    return cast("Sequence[Report]", reports)


def failed(attempt_id: str, failure: StepFailure) -> Outcome:
    """Return the outcome of an attempt that never began."""
    return Outcome(attempt_id=attempt_id, outputs=None, failure=failure)
