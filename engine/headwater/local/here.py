"""Perform attempts in this very process where that changes nothing, else in a step process.

A function runs here only if it was offered: somebody vouched that what is loaded is what the bundle holds. Whatever
asks for more than a thread can give (a time or memory limit, variables of its own, a clean environment) gets a step
process, so that nothing is silently dropped.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from headwater.backend import Outcome, StepFailure
from headwater.bundle import PROJECT, Bundle
from headwater.sources import Sources
from headwater.types import Fault
from headwater.worker.capture import Recorder, Routing
from headwater.worker.importer import files_of
from headwater.worker.loading import is_offered, loader_for, reads_of
from headwater.worker.memos import Memos
from headwater.worker.observe import Observer
from headwater.worker.perform import Place, perform
from headwater.worker.pool import StepPool
from headwater.worker.surroundings import ThreadCap

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from headwater.backend import Attempt, BackendContext
    from headwater.store import Store
    from headwater.worker.ledger import Ledger
    from headwater.worker.measure import Extent


class Here:
    """Performs attempts for a backend of this process; its methods are called from any thread."""

    def __init__(self, context: BackendContext, ledger: Ledger, *, extent: Extent, most: int) -> None:
        self._context = context
        self._ledger = ledger
        self._extent: Extent = extent
        self._pool = StepPool(name=context.name, project=context.project, most=most)
        self._routing = Routing()
        self._cap = ThreadCap()
        self._sources = Sources()
        self._lock = threading.Lock()
        self._stores: dict[str, Store] = {}
        self._code: dict[str, Mapping[str, bytes]] = {}
        #: Bundle → what its modules, as they are loaded here, have read and may remember.
        self._reads: dict[str, tuple[Observer, Memos]] = {}
        #: Attempt → the thread that performs it here.
        self._threads: dict[str, int] = {}
        self._cancelled: set[str] = set()

    def perform(self, attempt: Attempt, *, label: str) -> None:
        """Perform one attempt and report how it went."""
        ledger = self._ledger
        if attempt.attempt_id in self._cancelled:
            ledger.fail(attempt.attempt_id, Fault.CANCELLED, "Cancelled", "the step was cancelled before it began")
        elif self._fits(attempt):
            ledger.start(attempt.attempt_id, label)
            ledger.end(self._perform_here(attempt, label))
        else:
            self._pool.perform([attempt], on_line=ledger.line, on_outcome=self._end, on_start=ledger.start)

    def stop(self, attempt_ids: Sequence[str], grace: float) -> None:
        """Stop attempts: step processes for certain, threads as soon as they execute Python code."""
        with self._lock:
            self._cancelled |= set(attempt_ids)
            for name in attempt_ids:
                if name in self._threads:
                    _raise_in(self._threads[name], KeyboardInterrupt)
        self._pool.stop(attempt_ids, grace)

    def was_stopped(self, attempt_id: str) -> bool:
        """Tell whether an attempt was asked to stop."""
        return attempt_id in self._cancelled

    def close(self) -> None:
        """End all step processes, and put back what was changed in this one."""
        self._pool.close()
        self._cap.release()

    def _end(self, outcome: Outcome) -> None:
        self._ledger.end(outcome)

    def _fits(self, attempt: Attempt) -> bool:
        entry = attempt.call.get("function")
        if not isinstance(entry, str) or not is_offered(attempt.bundle, entry):
            return False
        if any(attempt.env.get(name, value) != value for name, value in attempt.variables.items()):
            return False  # modules here were imported without the variables that the step declares
        if attempt.timeout is not None or attempt.strict or attempt.resources.memory is not None:
            return False
        reads = self._reads[attempt.bundle][0] if attempt.bundle in self._reads else reads_of(attempt.bundle)
        if reads is not None and not reads.is_current():  # a module that is loaded here has read what is gone
            return False
        if self._extent == "thread":  # variables and the working folder are the whole process's
            return not attempt.env and not attempt.secrets and _is_at(self._context.project)
        return True

    def _perform_here(self, attempt: Attempt, label: str) -> Outcome:
        recorder = Recorder(attempt.attempt_id, self._ledger.line)
        folder = Path(tempfile.mkdtemp(prefix="headwater-"))
        scratch = folder / "scratch"
        scratch.mkdir()
        try:
            store = self._store(attempt.store)
            place = self._place(attempt.bundle, store, label)
            with self._routing.active(), self._interruptible(attempt.attempt_id):
                load = loader_for(attempt.bundle)
                return perform(attempt, store=store, load=load, scratch=scratch, place=place, recorder=recorder)
        except KeyboardInterrupt:  # it came when the body had just ended
            failure = StepFailure(Fault.CANCELLED, "KeyboardInterrupt", "stopped while it ran")
            return Outcome(attempt.attempt_id, None, failure, worker=label, ended=time.time())
        finally:
            recorder.close()
            shutil.rmtree(folder, ignore_errors=True)

    @contextmanager
    def _interruptible(self, attempt_id: str) -> Iterator[None]:
        """Let :meth:`stop` interrupt this thread inside, and only there."""
        thread = threading.get_ident()
        with self._lock:
            self._threads[attempt_id] = thread
            if attempt_id in self._cancelled:
                _raise_in(thread, KeyboardInterrupt)
        try:
            yield
        finally:
            with self._lock:
                del self._threads[attempt_id]
            if attempt_id in self._cancelled:
                _let_come()

    def _store(self, url: str) -> Store:
        from headwater.store import open_store

        with self._lock:
            if url not in self._stores:
                self._stores[url] = open_store(url, create=False)
            return self._stores[url]

    def _place(self, bundle: str, store: Store, label: str) -> Place:
        project, code = self._context.project, self._code_of(bundle, store)
        with self._lock:
            if bundle not in self._reads:
                reads = reads_of(bundle) or Observer(project=project)
                reads.leave_out(code)
                self._reads[bundle] = (reads, Memos(code, is_shared=self._extent == "thread"))
            standing, memos = self._reads[bundle]
        return Place(
            label,
            project,
            extent=self._extent,
            code=code,
            standing=standing,
            cap=self._cap,
            memos=memos,
            sources=self._sources,
        )

    def _code_of(self, digest: str, store: Store) -> Mapping[str, bytes]:
        """Return the bundle's files, by the names under which a step might open them."""
        with self._lock:
            if digest not in self._code:
                places = {PROJECT: self._context.project}
                self._code[digest] = files_of(Bundle.decode(store.get(digest)), places)
            return self._code[digest]


def _is_at(project: str) -> bool:
    """Tell whether this process works in the project's folder, as step processes do."""
    return not os.path.isdir(project) or os.path.realpath(project) == os.path.realpath(Path.cwd())  # noqa: PTH112


def _raise_in(thread: int, error: type[BaseException]) -> None:
    """Raise an exception in a thread at its next Python instruction."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(error))


def _let_come() -> None:
    """Let an interruption that is still on its way to this thread come here, where it does no harm.

    Taking it back, by raising nothing, is no way: under a trace function (a debugger, coverage) CPython 3.11 then
    waits for ever for the exception that is not there.
    """
    with contextlib.suppress(KeyboardInterrupt):
        for _ in range(100):  # each jump back is a place where it may come
            pass
