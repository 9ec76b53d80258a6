"""The backend ``dask``: attempts on a Dask cluster, made for the run or reached by its address."""

from __future__ import annotations

import importlib.util
import queue
import threading
import time
import uuid
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

from headwater.backend import INTERFACE, Capabilities, Capability, LogLine, Outcome
from headwater.types import Fault, Resources
from headwater.worker.ledger import Ledger
from headwater_dask.ahead import Ahead
from headwater_dask.cluster import read_settings, start

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headwater.backend import Attempt, BackendContext, Handle, Report, StepFailure
    from headwater.digest import Json

    Message: TypeAlias = "list[Attempt] | _Task | None"

#: Tasks that a large submission is made into, for each core; and how many attempts one may hold.
_TASKS_PER_CORE = 4
_MOST_IN_TASK = 100
#: Seconds that the cluster gets to stop attempts, and to close.
_STOP = 10.0
_CLOSE = 20.0


@dataclass(frozen=True, slots=True)
class _Task:
    """One Dask task: some attempts, and the future that stands for them."""

    key: str
    attempt_ids: tuple[str, ...]
    future: Any


class DaskBackend:
    """Performs attempts on a Dask cluster, which is started by the first submission, in the background."""

    def __init__(self, context: BackendContext) -> None:
        if importlib.util.find_spec("distributed") is None:  # said before a run exists; importing it takes a second
            raise ModuleNotFoundError("No module named 'distributed'", name="distributed")
        self._context = context
        self._settings = read_settings(context)
        self._ledger = Ledger(context.sink)
        #: Names this connection: keys of another driver, or of an earlier connection, cannot be met.
        self._epoch = f"headwater-{uuid.uuid4().hex[:12]}"
        self._lock = threading.Lock()
        self._messages: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._client: Any = None
        self._cluster: Any = None
        self._tasks: dict[str, _Task] = {}
        self._cancelled: set[str] = set()
        self._is_closing = False
        #: Performs first attempts while the cluster is not there yet; made by the first submission.
        self._ahead: Ahead | None = None
        self._connecting: threading.Thread | None = None

    @property
    def capabilities(self) -> Capabilities:
        """Everything is certain, since bodies run in step processes; a cluster elsewhere queues by itself."""
        can = {Capability.CANCEL, Capability.TIMEOUT, Capability.MEMORY_LIMIT, Capability.OWN_PROCESS}
        if not self._settings.is_local:
            return Capabilities(INTERFACE, frozenset(can | {Capability.REMOTE}))
        threads = self._settings.threads or self._context.cores
        named = {name: amount * self._settings.workers for name, amount in self._settings.resources.items()}
        gpus = int(named.pop("GPU", 0))
        return Capabilities(INTERFACE, frozenset(can), Resources(cpus=threads, gpus=gpus, named=named))

    def submit(self, attempts: Sequence[Attempt]) -> Sequence[Handle | StepFailure]:
        """Queue attempts for the cluster; those of one call may share Dask tasks."""
        fresh = [attempt for attempt in attempts if self._ledger.take(attempt.attempt_id)]
        with self._lock:
            if self._thread is None:
                if self._settings.has_head_start:
                    most = self._settings.threads or self._context.cores
                    self._ahead = Ahead(self._context, self._ledger, most=most)
                self._thread = threading.Thread(target=self._work, name="headwater dask", daemon=True)
                self._thread.start()
        if fresh:
            self._messages.put(fresh)
        return [attempt.attempt_id for attempt in attempts]

    def poll(self, handles: Sequence[Handle]) -> Sequence[Report]:
        """Tell how attempts stand."""
        return self._ledger.poll(handles)

    def cancel(self, handles: Sequence[Handle], grace: float) -> None:
        """Stop attempts in the background: their processes are ended on the workers."""
        names = [name for name in self._ledger.open(handles) if name not in self._cancelled]
        with self._lock:
            self._cancelled |= set(names)
        if names and (self._client is not None or self._ahead is not None):
            threading.Thread(target=self._stop, args=(names, grace), name="headwater dask stop", daemon=True).start()

    def close(self, how: Literal["detach", "cancel"]) -> None:
        """Stop everything and leave the cluster; one of our own is closed. Nothing can be left running."""
        del how
        with self._lock:
            self._is_closing = True
            self._cancelled |= set(self._ledger.open())
            thread, self._thread = self._thread, None
        if thread is not None:
            self._messages.put(None)
            thread.join(_CLOSE)
        if self._ahead is not None:
            self._ahead.close()
        if self._connecting is not None:
            self._connecting.join(_CLOSE)
        self._disconnect()
        for name in self._ledger.open():
            self._fail(name, Fault.CANCELLED, "Cancelled", "the backend was closed")

    # ------------------------------------------------------------------------------------------ the driver's thread

    def _work(self) -> None:
        """Place attempts and collect outcomes, until there is nothing more to do."""
        while (message := self._next()) is not None:
            messages = [message]
            with suppress(queue.Empty):
                while (more := self._messages.get_nowait()) is not None:
                    messages.append(more)
                self._messages.put(None)
            self._collect([each for each in messages if isinstance(each, _Task)])
            for attempts in messages:
                if isinstance(attempts, list):
                    self._place(attempts)

    def _next(self) -> Message:
        """Return the next message; meanwhile start the cluster, if the run takes longer than its head start."""
        if self._ahead is not None and self._client is None and self._connecting is None:
            try:
                return self._messages.get(timeout=max(0.0, self._ahead.due - time.monotonic()))
            except queue.Empty:
                self._connecting = threading.Thread(
                    target=self._connect_early, name="headwater dask start", daemon=True
                )
                self._connecting.start()
        return self._messages.get()

    def _connect_early(self) -> None:
        with suppress(Exception):  # the first attempt that needs the cluster tries again, and tells
            self._connect()

    def _place(self, attempts: list[Attempt]) -> None:
        for attempt in attempts:
            if attempt.attempt_id in self._cancelled:
                self._fail(attempt.attempt_id, Fault.CANCELLED, "Cancelled", "cancelled before it began")
        attempts = self._sent_ahead([each for each in attempts if each.attempt_id not in self._cancelled])
        try:
            client = self._connect() if attempts else None
            for group in self._groups(attempts):
                self._send(client, group)
        except Exception as error:  # noqa: BLE001  whatever the cluster raises is reported for each attempt
            fault, kind, message = _trouble(error)
            for attempt in attempts:
                self._fail(attempt.attempt_id, fault, kind, message)

    def _sent_ahead(self, attempts: list[Attempt]) -> list[Attempt]:
        """Perform what needs no cluster at once, as long as there is none; return what is left for the cluster."""
        if self._ahead is None:
            return attempts
        if self._client is not None:
            self._ahead.retire()
            return attempts
        left = self._ahead.take([each for each in attempts if not _named(each.resources)])
        left += [each for each in attempts if _named(each.resources)]
        if left and self._connecting is not None:
            self._connecting.join()
        return left

    def _groups(self, attempts: list[Attempt]) -> list[list[Attempt]]:
        """Let attempts of one large submission share tasks: a Dask task costs more than a short step."""
        workers = (
            self._context.cores if self._settings.is_local else max(1, len(self._client.nthreads())) if attempts else 1
        )
        size = min(_MOST_IN_TASK, max(1, len(attempts) // (_TASKS_PER_CORE * workers)))
        groups: list[list[Attempt]] = []
        for attempt in attempts:
            last = groups[-1] if groups else None
            if last is None or len(last) >= size or not _may_share(last[0], attempt):
                groups.append([attempt])
            else:
                last.append(attempt)
        return groups

    def _send(self, client: Any, group: list[Attempt]) -> None:
        from headwater_dask.tasks import perform_group, resources_here

        wanted = _named(group[0].resources)
        if wanted:
            offers = client.run(resources_here).values()
            if offers and not any(all(offer.get(k, 0) >= v for k, v in wanted.items()) for offer in offers):
                shown = ", ".join(f"{name}={amount:g}" for name, amount in wanted.items())
                for attempt in group:  # Dask itself would wait for ever
                    message = f"no worker of the Dask cluster has the resources {shown}"
                    self._fail(attempt.attempt_id, Fault.UNSUPPORTED, "ResourceMissing", message)
                return
        key = f"{self._epoch}-{group[0].attempt_id}"
        documents = [attempt.document() for attempt in group]
        future = client.submit(
            perform_group, documents, self._epoch, key, key=key, pure=False, retries=0, resources=wanted or None
        )
        task = _Task(key, tuple(attempt.attempt_id for attempt in group), future)
        with self._lock:
            self._tasks[key] = task
        future.add_done_callback(lambda _: self._messages.put(task))

    def _collect(self, tasks: list[_Task]) -> None:
        """Take the outcomes of tasks that have ended, and let the cluster forget them."""
        good = {task.key: task.future for task in tasks if task.future.status == "finished"}
        results: dict[str, list[dict[str, Json]]] = {}
        if good:
            with suppress(Exception):
                results = self._client.gather(good, errors="skip")
        for task in tasks:
            for document in results.get(task.key, ()):
                self._ledger.end(Outcome.from_document(document))
            open_ids = self._ledger.open(task.attempt_ids)
            if open_ids:
                fault, kind, message = _why(task)
                for name in open_ids:
                    self._fail(name, fault, kind, message)
            with self._lock:
                self._tasks.pop(task.key, None)
            with suppress(Exception):
                task.future.release()

    def _fail(self, attempt_id: str, fault: Fault, kind: str, message: str) -> None:
        if attempt_id in self._cancelled:
            fault, kind, message = Fault.CANCELLED, "Cancelled", "the step was cancelled"
        self._ledger.fail(attempt_id, fault, kind, message)

    # --------------------------------------------------------------------------------------------------- the cluster

    def _connect(self) -> Any:
        """Return a client of the cluster, started or reached first where that has not been done or was lost."""
        if self._client is not None and self._client.status == "running":
            return self._client
        self._disconnect()
        client, cluster = start(self._settings, cores=self._context.cores)
        with self._lock:
            self._client, self._cluster = client, cluster
        if self._is_closing:
            raise RuntimeError("the backend was closed")
        from headwater_dask.tasks import StepProcesses

        if not self._settings.is_local:
            self._check_store(client)
        plugin = StepProcesses(epoch=self._epoch, label=self._context.name, project=self._context.project)
        client.register_plugin(plugin, name=self._epoch)
        client.subscribe_topic(self._epoch, self._on_event)
        return client

    def _check_store(self, client: Any) -> None:
        """Refuse a store that workers elsewhere cannot see."""
        from headwater.errors import ConfigError
        from headwater.store import open_store
        from headwater_dask.tasks import store_here

        ours = open_store(self._context.store, create=False).id
        for worker, theirs in client.run(store_here, self._context.store).items():
            if theirs != ours:
                raise ConfigError(
                    "a worker of the Dask cluster does not see the store",
                    facts={"store": self._context.store, "worker": worker, "because": theirs},
                    hint="use a store that all machines reach, such as s3://…",
                )

    def _on_event(self, event: tuple[float, dict[str, Any]]) -> None:
        _, message = event
        if "start" in message:
            self._ledger.start(message["start"], message["worker"])
        elif "outcome" in message:
            self._ledger.end(Outcome.from_document(message["outcome"]))
        for attempt_id, stream, text, moment in message.get("lines", ()):
            self._ledger.line(LogLine(attempt_id, stream, text, moment))

    def _stop(self, attempt_ids: list[str], grace: float) -> None:
        from headwater_dask.tasks import stop_attempts

        if self._ahead is not None:
            threading.Thread(target=self._ahead.stop, args=(attempt_ids, grace), daemon=True).start()
        with suppress(Exception):  # a worker that is gone runs nothing
            self._client.run(stop_attempts, self._epoch, attempt_ids, grace, on_error="ignore")
        for task in list(self._tasks.values()):  # what no worker has begun is taken out of the queue
            reports = self._ledger.poll(task.attempt_ids)
            if set(task.attempt_ids) <= self._cancelled and all(report.state == "queued" for report in reports):
                with suppress(Exception):
                    task.future.cancel()

    def _disconnect(self) -> None:
        with self._lock:
            client, cluster = self._client, self._cluster
            self._client = self._cluster = None
        if client is not None:
            with suppress(Exception, FutureTimeout):
                if client.status == "running":
                    client.unregister_worker_plugin(self._epoch)
            with suppress(Exception):
                client.close(timeout=_STOP)
        if cluster is not None:
            with suppress(Exception):
                cluster.close(timeout=_STOP)


def _named(resources: Resources) -> dict[str, float]:
    """Return what Dask must find on a worker; cores and memory are the engine's own account."""
    named = dict(resources.named)
    return named | ({"GPU": float(resources.gpus)} if resources.gpus else {})


def _may_share(first: Attempt, other: Attempt) -> bool:
    return (first.bundle, first.store, _named(first.resources)) == (other.bundle, other.store, _named(other.resources))


def _why(task: _Task) -> tuple[Fault, str, str]:
    """Tell why a task has ended without outcomes."""
    status = task.future.status
    if status != "error":
        return Fault.LOST, "TaskLost", "the Dask cluster lost the task, or the connection to the cluster was lost"
    return _trouble(cast("BaseException", task.future.exception()))


def _trouble(error: BaseException) -> tuple[Fault, str, str]:
    from headwater.errors import HeadwaterError

    kind = type(error).__name__
    if kind in {"KilledWorker", "NoValidWorkerError"}:
        return Fault.LOST, kind, "the Dask worker that performed the step has died"
    if isinstance(error, ImportError):
        return Fault.CONFIG, kind, f"a Dask worker, or this process, cannot import what is needed: {error}"
    if isinstance(error, HeadwaterError | TypeError | AttributeError):
        return Fault.CONFIG, kind, str(error)
    return Fault.TRANSIENT, kind, f"the Dask cluster cannot be used: {error}"
