"""Feed an index with what is new in a store: snapshots, new runs, and the rest of runs that have not ended.

What is read outside a transaction is applied inside a short one, run by run, and only where the run still stands where
the reading began. So several processes may feed one index; whoever comes second finds the work done.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, cast

from headwater.digest import is_digest
from headwater.errors import Corrupt
from headwater.observed import is_file
from headwater.record.events import STEP_FINISHED, TRACE_SUPERSEDED, Cursor, read_more
from headwater.record.fold import apply, begin
from headwater.record.read import is_run_id
from headwater.record.snapshot import pack, snapshot_path, unpack

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from headwater.digest import Json
    from headwater.index.database import Database
    from headwater.record.events import Batch, Event, LogSource
    from headwater.record.fold import Document
    from headwater.store import Store
    from headwater.types import RunId, StepName

#: Runs whose ids are up to this much older than the newest one known are looked for again: clocks differ.
LATECOMERS = dt.timedelta(hours=1)
_BATCH_EVENTS = 5000
_STUB = "insert or ignore into run values (?, '', 'running', null, null, null, 0, 0, 0, '', 0, 0, '')"
_PUT_RUN = "insert or replace into run values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_PUT_STEP = "insert or replace into step values (?, ?, ?, ?, ?, ?, ?, ?)"
_PUT_TRACE = "insert or replace into trace values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_ID_TIME = "%Y%m%d-%H%M%S"


def refresh(store: Store, database: Database) -> None:
    """Bring an index up to date."""
    removed = _removals(store, database)
    _read_snapshots(store, database)
    known = {str(run) for (run,) in database.rows("select run from run")}
    if store.is_local:
        found = {name for name in store.children("runs") if is_run_id(name)}
        removed = known - found
    else:
        found = _listed(store, database)
    _forget(database, removed & known)
    unfinished = {str(run) for (run,) in database.rows("select run from run where sealed = 0")}
    _feed(store, database, sorted((found - known - removed) | (unfinished - removed)))


def _removals(store: Store, database: Database) -> set[RunId]:
    """Return the runs that were removed since the last time, by the names ``removals/<time-ordered id>/<run>``."""
    if store.is_local:
        return set()
    last = _meta(database, "removal")
    paths = store.list("removals", after=f"removals/{_floor(last)}")
    newest = max((path.split("/")[1] for path in paths), default="")
    if newest > last:
        with database.transaction():
            _set_meta(database, "removal", newest)
    return {path.rsplit("/", 1)[-1] for path in paths}


def _listed(store: Store, database: Database) -> set[RunId]:
    """Return the runs that a listing finds from shortly before the newest one known."""
    newest = _meta(database, "newest")
    names = {path.split("/")[1] for path in store.list("runs", after=f"runs/{_floor(newest)}")}
    found = {name for name in names if is_run_id(name)}
    if found and max(found) > newest:
        with database.transaction():
            _set_meta(database, "newest", max(found))
    return found


def _floor(run: RunId) -> str:
    """Return a text that sorts before the ids of the last hour before a run's id; "" for none."""
    try:
        moment = dt.datetime.strptime(run[:15], _ID_TIME).replace(tzinfo=dt.UTC)
    except ValueError:
        return ""
    return (moment - LATECOMERS).strftime(_ID_TIME)


def _read_snapshots(store: Store, database: Database) -> None:
    """Read the snapshots that are new; what was removed since they were made is passed over."""
    number = int(_meta(database, "snapshot") or 0) + 1
    removed: set[RunId] | None = None
    while (data := store.read(snapshot_path(number))) is not None:
        if removed is None:
            removed = {path.rsplit("/", 1)[-1] for path in store.list("removals")}
        _read_snapshot(database, number, data, removed)
        number += 1


def _read_snapshot(database: Database, number: int, data: bytes, removed: set[RunId]) -> None:
    try:
        snapshot = unpack(data)
    except Corrupt:  # reported by fsck; a listing from the beginning finds the logs themselves
        snapshot = None
    if snapshot is not None:
        _feed(snapshot, database, [run for run in snapshot.runs if run not in removed])
    with database.transaction():
        if snapshot is None:
            _set_meta(database, "newest", "")
        else:
            database.write("update run set snapshot = ? where run = ?", [(number, run) for run in snapshot.runs])
            stubs = [(run,) for run in snapshot.unfinished if run not in removed]
            database.write(_STUB, stubs)
            if snapshot.upto > _meta(database, "newest"):
                _set_meta(database, "newest", snapshot.upto)
        _set_meta(database, "snapshot", str(number))


def compact(store: Store, database: Database, *, runs: int, events: int) -> int | None:
    """Write the next snapshot when enough ended runs are in none; return its number."""
    loose = database.rows("select run, seq from run where sealed = 1 and snapshot = 0 order by run")
    if not loose or (len(loose) < runs and sum(cast("int", seq) for _, seq in loose) < events):
        return None
    unfinished = [str(run) for (run,) in database.rows("select run from run where sealed = 0 order by run")]
    newest = str(database.rows("select max(run) from run")[0][0])
    data = pack(store, [str(run) for run, _ in loose], unfinished=unfinished, upto=_floor(newest))
    number = int(_meta(database, "snapshot") or 0) + 1
    return number if store.create(snapshot_path(number), data) else None


def _feed(source: LogSource, database: Database, runs: Sequence[RunId]) -> None:
    """Read what is new in some runs and apply it, some thousand events a transaction."""
    waiting: list[tuple[RunId, Cursor, Batch]] = []
    weight = 0
    for run in runs:
        cursor = _cursor(database, run)
        if cursor.is_sealed:
            continue
        try:
            batch = read_more(source, run, cursor)
        except Corrupt:  # reported by fsck; one damaged run does not hide the others
            continue
        if batch is None or not (batch.events or batch.claims or batch.is_restart):
            continue
        waiting.append((run, cursor, batch))
        weight += len(batch.events) + 10
        if weight >= _BATCH_EVENTS:
            _apply_all(database, waiting)
            waiting, weight = [], 0
    _apply_all(database, waiting)


def _apply_all(database: Database, waiting: Sequence[tuple[RunId, Cursor, Batch]]) -> None:
    if not waiting:
        return
    with database.transaction():
        for run, cursor, batch in waiting:
            if _cursor(database, run) == cursor:
                _apply_batch(database, run, batch)


def _cursor(database: Database, run: RunId) -> Cursor:
    rows = database.rows("select epoch, offset, seq, chain, sealed from run where run = ?", [run])
    if not rows:
        return Cursor()
    epoch, offset, seq, chain, sealed = cast("tuple[int, int, int, str, int]", rows[0])
    return Cursor(epoch, offset, seq, chain, bool(sealed))


def _apply_batch(database: Database, run: RunId, batch: Batch) -> None:
    if batch.is_restart:
        _delete_run(database, run)
    rows = database.rows("select document, snapshot from run where run = ?", [run])
    text, snapshot = cast("tuple[str, int]", rows[0]) if rows else ("", 0)
    document = begin(run, batch.claims, json.loads(text) if text else None)
    steps = _Steps(database, run, is_new=not text)
    made: list[tuple[object, ...]] = []
    floors: list[tuple[object, ...]] = []
    for event in batch.events:
        apply(document, steps, event)
        if event.type == STEP_FINISHED and event.facts.get("status") == "ran" and event.facts.get("key"):
            made.append(_trace_row(run, event))
        elif event.type == TRACE_SUPERSEDED:
            floors.append((event.facts.get("base"), run, event.facts.get("step")))
    facts = cast("Document", document["facts"])
    pipeline = facts.get("pipeline") or ""
    cursor = batch.cursor
    place = (cursor.epoch, cursor.offset, cursor.seq, cursor.chain, cursor.is_sealed, snapshot)
    summary = (run, pipeline, document["status"], document.get("started"), document.get("ended"), facts.get("seconds"))
    database.write(_PUT_RUN, [(*summary, *place, json.dumps(document))])
    steps.write(str(pipeline))
    database.write(_PUT_TRACE, made)
    database.write("insert or ignore into floor values (?, ?, ?)", floors)


def _trace_row(run: RunId, event: Event) -> tuple[object, ...]:
    facts = event.facts
    key = facts["key"]
    return (
        run,
        event.seq,
        facts["step"],
        key,
        facts.get("base") or key,
        event.time,
        facts.get("seconds") or 0.0,
        json.dumps(facts.get("outputs") or {}),
        json.dumps(facts.get("observed") or {}),
        json.dumps(facts.get("mac")),
    )


class _Steps(MutableMapping["StepName", "Document"]):
    """The documents of one run's steps: fetched when asked for, written back together."""

    def __init__(self, database: Database, run: RunId, *, is_new: bool) -> None:
        self._database, self._run, self._is_new = database, run, is_new
        self._held: dict[StepName, Document] = {}
        self._stored: set[StepName] = set()

    def __getitem__(self, name: StepName) -> Document:
        if name not in self._held:
            if self._is_new:
                raise KeyError(name)
            rows = self._database.rows("select document from step where run = ? and step = ?", [self._run, name])
            if not rows:
                raise KeyError(name)
            self._held[name] = json.loads(str(rows[0][0]))
            self._stored.add(name)
        return self._held[name]

    def __setitem__(self, name: StepName, document: Document) -> None:
        self._held[name] = document

    def __delitem__(self, name: StepName) -> None:
        raise TypeError("steps are never taken back")

    def __iter__(self) -> Iterator[StepName]:
        return iter(self._held)

    def __len__(self) -> int:
        return len(self._held)

    def write(self, pipeline: str) -> None:
        """Write back what was touched."""
        database, run = self._database, self._run
        database.write("delete from use where run = ? and step = ?", [(run, step) for step in sorted(self._stored)])
        database.write(
            _PUT_STEP,
            [_step_row(document, pipeline) for document in self._held.values()],
        )
        uses = [(run, step, *use) for step, document in self._held.items() for use in uses_of(document)]
        database.write("insert or ignore into use values (?, ?, ?, ?, ?)", uses)


def _step_row(document: Document, pipeline: str) -> tuple[object, ...]:
    decided = cast("Document", document.get("decided") or {})
    finished = cast("Document", document.get("finished") or {})
    return (
        document["run"],
        document["step"],
        pipeline,
        document["status"],
        finished.get("base") or decided.get("base") or "",
        decided.get("t"),
        finished.get("seconds"),
        json.dumps(document),
    )


def uses_of(step: Document) -> Iterator[tuple[str, str, str]]:
    """Yield (role, name, digest) for everything that a step made, was given by reuse, or used."""
    finished = cast("Document", step.get("finished") or {})
    role = "reused" if step["status"] == "reused" else "made"
    for name, artifact in cast("Document", finished.get("outputs") or {}).items():
        for digest in artifact_digests(artifact):
            yield role, name, digest
    decided = cast("Document", step.get("decided") or {})
    inputs = cast("Document | None", decided.get("inputs"))
    if inputs is None:
        inputs = cast("Document", cast("Document", decided.get("parts") or {}).get("inputs") or {})
    for name, tree in inputs.items():
        for digest in digests_in(tree):
            yield "used", name, digest
    for label, digest in files_of(step).items():
        yield "file", label, digest


def files_of(step: Document) -> Mapping[str, str]:
    """Return the files that a step read: declared, given as inputs, and observed; label → digest."""
    decided = cast("Document", step.get("decided") or {})
    finished = cast("Document", step.get("finished") or {})
    parts = cast("Document", decided.get("parts") or {})
    found = {**cast("Document", parts.get("files") or {}), **cast("Document", finished.get("observed") or {})}
    for sources in cast("dict[str, list[Document]]", decided.get("inputs") or {}).values():
        found.update({str(source["file"]): source.get("digest") for source in sources if "file" in source})
    return {label: str(digest) for label, digest in found.items() if is_file(label)}


def artifact_digests(artifact: Json) -> Iterator[str]:
    """Yield the digest of an artifact and those of the files that its value refers to."""
    if isinstance(artifact, dict):
        yield str(artifact["digest"])
        meta = artifact.get("meta")
        if isinstance(meta, dict):
            yield from digests_in(meta.get("refs"))


def digests_in(tree: Json) -> Iterator[str]:
    """Yield every text in a JSON tree that has the form of a digest."""
    match tree:
        case str():
            if is_digest(tree):
                yield tree
        case list():
            for item in tree:
                yield from digests_in(item)
        case dict():
            for item in tree.values():
                yield from digests_in(item)
        case _:
            pass


def _forget(database: Database, runs: Iterable[RunId]) -> None:
    gone = sorted(runs)
    if gone:
        with database.transaction():
            for run in gone:
                _delete_run(database, run)


def _delete_run(database: Database, run: RunId) -> None:
    for table in ("run", "step", "trace", "floor", "use"):
        database.write(f"delete from {table} where run = ?", [(run,)])  # noqa: S608  the names above


def _meta(database: Database, name: str) -> str:
    rows = database.rows("select value from meta where name = ?", [name])
    return str(rows[0][0]) if rows else ""


def _set_meta(database: Database, name: str, value: str) -> None:
    database.write("insert or replace into meta values (?, ?)", [(name, value)])


def known_documents(database: Database, run: RunId) -> tuple[Document, Mapping[StepName, Document]] | None:
    """Return a run's documents as an index has them."""
    rows = database.rows("select document from run where run = ?", [run])
    if not rows or not rows[0][0]:
        return None
    steps = database.rows("select step, document from step where run = ?", [run])
    return json.loads(str(rows[0][0])), {str(name): json.loads(str(text)) for name, text in steps}
