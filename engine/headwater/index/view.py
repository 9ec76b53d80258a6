"""The questions that an index answers."""

from __future__ import annotations

import base64
import json
import sqlite3
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, TypeVar, cast

from headwater.errors import StoreError
from headwater.index import feed
from headwater.index.database import Database, is_busy
from headwater.record.alive import is_alive
from headwater.record.fold import TraceId, run_record, step_record
from headwater.sources import cache_folder
from headwater.traces import TraceRow
from headwater.types import RunStatus, StepStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from headwater.digest import Digest, Json
    from headwater.record.fold import Document, RunRecord, StepRecord
    from headwater.store import Store
    from headwater.types import RunId, StepName

T = TypeVar("T")

Role: TypeAlias = Literal["made", "reused", "used", "file"]

_TRACE = "select key, base, run, step, seq, time, outputs, observed, seconds, mac from trace"
_STANDING = "where base = ? order by time, run, seq"


@dataclass(frozen=True, slots=True)
class RunSummary:
    """A run as one line of a list."""

    run: RunId
    pipeline: str
    status: RunStatus
    started: float
    ended: float | None
    seconds: float | None
    #: How many steps have which status; statuses that none has are left out.
    steps: Mapping[StepStatus, int]


@dataclass(frozen=True, slots=True)
class Use:
    """One step execution's connection with a digest."""

    run: RunId
    step: StepName
    #: Made by the step, given to it by reuse as its output, used as its input, or read as a file.
    role: Role
    #: Name of the output or of the argument, or the label of the file.
    name: str
    digest: Digest


class Index:
    """A view of one store's runs; call ``refresh`` to see what is new. May be used from several threads."""

    def __init__(self, store: Store, database: Database) -> None:
        self._store, self._database = store, database

    @classmethod
    def open(cls, store: Store, *, folder: Path | None = None) -> Index:
        """Open a store's index in the user's cache folder, or another; an empty one is made where there is none."""
        try:
            return cls(store, Database(folder or cache_folder() / "index", store.id))
        except sqlite3.Error as error:
            raise _trouble(error) from error

    def close(self) -> None:
        """Close the index."""
        self._database.close()

    def refresh(self) -> None:
        """Read what is new in the store."""
        self._guarded(lambda: None, is_refreshed=True)

    def rebuild(self) -> None:
        """Throw the view away and build it anew."""
        self._database.replace(sqlite3.DatabaseError("asked for"))
        self.refresh()

    def compact(self, *, runs: int = 20, events: int = 5000) -> int | None:
        """Write a snapshot when so many ended runs, or so many of their events, are in none; return its number.

        For stores elsewhere; to be called when a run has ended. A local store's logs are read quickly as they are.
        """
        if self._store.is_local:
            return None
        self.refresh()
        return self._guarded(lambda: feed.compact(self._store, self._database, runs=runs, events=events))

    def _guarded(self, action: Callable[[], T], *, is_refreshed: bool = False) -> T:
        """Do something with the database; when it turns out to be damaged, build it anew and do it again."""
        for _ in range(2):
            try:
                if is_refreshed:
                    feed.refresh(self._store, self._database)
                return action()
            except sqlite3.DatabaseError as error:
                if is_busy(error):
                    raise _trouble(error) from error
                self._database.replace(error)
                is_refreshed = True
            except ValueError:  # a document that is no JSON: damage that SQLite cannot see
                self._database.replace(sqlite3.DatabaseError("not JSON"))
                is_refreshed = True
        if is_refreshed:
            feed.refresh(self._store, self._database)
        return action()

    def _rows(self, query: str, arguments: Sequence[object] = ()) -> list[tuple[object, ...]]:
        return self._guarded(lambda: self._database.rows(query, arguments))

    # -------------------------------------------------------------------------------------------------------- runs

    def runs(
        self, *, pipeline: str | None = None, status: RunStatus | None = None, limit: int | None = None
    ) -> Sequence[RunSummary]:
        """Return runs, the newest first."""
        found: list[RunSummary] = []
        query = "select run, pipeline, status, started, ended, seconds from run where document != ''"
        arguments: list[object] = []
        if pipeline is not None:
            query += " and pipeline = ?"
            arguments.append(pipeline)
        for row in self._rows(query + " order by started desc, run desc", arguments):
            run, name, folded, started, ended, seconds = cast(
                "tuple[str, str, str, float, float | None, float | None]", row
            )
            actual = self._status(run, RunStatus(folded))
            if status in (None, actual):
                found.append(RunSummary(run, name, actual, started, ended, seconds, self._counts(run)))
            if limit is not None and len(found) >= limit:
                break
        return found

    def _status(self, run: RunId, folded: RunStatus) -> RunStatus:
        if folded is RunStatus.RUNNING and not is_alive(self._store, run):
            return RunStatus.INTERRUPTED
        return folded

    def _counts(self, run: RunId) -> Mapping[StepStatus, int]:
        # A map counts by its elements.
        rows = self._rows(
            "select status, count(*) from step as one where run = ? and not exists"
            " (select 1 from step where run = one.run and step = one.step || '[0]') group by status",
            [run],
        )
        return {StepStatus(str(status)): cast("int", count) for status, count in rows}

    def run(self, run: RunId) -> RunRecord | None:
        """Return what a run did, as far as it was read; None for an unknown run."""
        found = self._guarded(lambda: feed.known_documents(self._database, run))
        if found is None:
            return None
        document, steps = found
        return run_record(document, steps, is_alive=document["status"] == "running" and is_alive(self._store, run))

    def steps(self, run: RunId) -> Mapping[StepName, StepRecord]:
        """Return what a run did about its steps."""
        found = self._guarded(lambda: feed.known_documents(self._database, run))
        return {} if found is None else {name: step_record(step) for name, step in found[1].items()}

    def step(self, run: RunId, step: StepName) -> StepRecord | None:
        """Return what a run did about one step."""
        return self._first_step("where run = ? and step = ?", [run, step])

    def last_step(
        self, pipeline: str, step: StepName, *, status: StepStatus | None = None, before: RunId | None = None
    ) -> StepRecord | None:
        """Return the latest record of a step that knows its key's parts: what a new key is compared with.

        With ``status`` only records of that status count, with ``before`` only those of runs that began before it.
        """
        where = "where pipeline = ? and step = ? and base != ''"
        arguments: list[object] = [pipeline, step]
        if status is not None:
            where, arguments = where + " and status = ?", [*arguments, str(status)]
        if before is not None:
            where += " and run != ? and decided < (select started from run where run = ?)"
            arguments += [before, before]
        return self._first_step(where + " order by decided desc, run desc limit 1", arguments)

    def _first_step(self, where: str, arguments: Sequence[object]) -> StepRecord | None:
        def find() -> StepRecord | None:
            rows = self._database.rows(f"select document from step {where}", arguments)  # noqa: S608  from above
            return step_record(cast("Document", json.loads(str(rows[0][0])))) if rows else None

        return self._guarded(find)

    def durations(self, pipeline: str, *, last: int = 5) -> Mapping[StepName, float]:
        """Return the median seconds that each step of a pipeline took when it last ran."""
        rows = self._rows(
            "select step, seconds from (select step, seconds, row_number() over"
            " (partition by step order by decided desc) as age from step"
            " where pipeline = ? and status = 'ran' and seconds is not null) where age <= ?",
            [pipeline, last],
        )
        taken: dict[StepName, list[float]] = {}
        for step, seconds in rows:
            taken.setdefault(str(step), []).append(cast("float", seconds))
        return {step: statistics.median(values) for step, values in taken.items()}

    # ------------------------------------------------------------------------------------------------------ traces

    def traces_by_base(self, base: Digest) -> Sequence[TraceRow]:
        """Return the traces of a base, oldest first, each with whether a later one superseded it."""
        return self._guarded(lambda: self._traces(base))

    def traces_by_key(self, key: Digest) -> Sequence[TraceRow]:
        """Return the traces of a key, oldest first, each with whether a later one superseded it."""

        def find() -> Sequence[TraceRow]:
            bases = self._database.rows("select distinct base from trace where key = ? order by base", [key])
            return [trace for (base,) in bases for trace in self._traces(str(base)) if trace.key == key]

        return self._guarded(find)

    def _traces(self, base: Digest) -> Sequence[TraceRow]:
        rows = self._database.rows(f"{_TRACE} {_STANDING}", [base])
        if not rows:
            return []
        floors = set(self._database.rows("select run, step from floor where base = ?", [base]))
        first = max((place for place, row in enumerate(rows) if (row[2], row[3]) in floors), default=0)
        return [_trace_row(row, is_superseded=place < first) for place, row in enumerate(rows)]

    def trace(self, trace: TraceId) -> TraceRow | None:
        """Return one trace, standing or not."""

        def find() -> TraceRow | None:
            rows = self._database.rows("select base from trace where run = ? and seq = ?", [trace.run, trace.seq])
            found = self._traces(str(rows[0][0])) if rows else []
            return next((row for row in found if (row.run, row.seq) == (trace.run, trace.seq)), None)

        return self._guarded(find)

    # ----------------------------------------------------------------------------------------------------- lineage

    def uses(self, digest: Digest) -> Sequence[Use]:
        """Return where a digest was made, given by reuse and used."""
        return self._uses("where digest = ?", [digest])

    def uses_of(self, run: RunId, step: StepName) -> Sequence[Use]:
        """Return what one execution of a step made, was given by reuse and used."""
        return self._uses("where run = ? and step = ?", [run, step])

    def digests(self, prefix: str, *, limit: int = 20) -> Sequence[Digest]:
        """Return the digests, of what was made or used, that begin so."""
        query = "select distinct digest from use where digest >= ? and digest < ? order by digest limit ?"
        return [str(digest) for (digest,) in self._rows(query, [prefix, prefix + "g", limit])]

    def artifact(self, digest: Digest) -> Mapping[str, Json] | None:
        """Return the document of an artifact that some step made; None where only its digest is known."""
        for use in self.uses(digest):
            record = self.step(use.run, use.step) if use.role in ("made", "reused") else None
            document = None if record is None else record.outputs.get(use.name)
            if isinstance(document, dict) and document.get("digest") == digest:
                return document
        return None

    def file_users(self, label: str) -> Sequence[tuple[RunId, StepName]]:
        """Return the executions of steps that read a file."""
        return [(use.run, use.step) for use in self._uses("where role = 'file' and name = ?", [label])]

    def file_labels(self) -> Sequence[str]:
        """Return the labels of all files that steps read."""
        return [str(name) for (name,) in self._rows("select distinct name from use where role = 'file' order by name")]

    def _uses(self, where: str, arguments: Sequence[object]) -> Sequence[Use]:
        query = f"select run, step, role, name, digest from use {where} order by run, step, role, name, digest"  # noqa: S608
        return [
            Use(run, step, role, name, digest)
            for run, step, role, name, digest in cast(
                "list[tuple[str, str, Role, str, str]]", self._rows(query, arguments)
            )
        ]

    def inline(self, digest: Digest) -> bytes | None:
        """Return the body of a small output that travels inside events, or None."""
        for use in self.uses(digest):
            record = None if use.role in ("used", "file") else self.step(use.run, use.step)
            body = None if record is None else inline_body(record.outputs.get(use.name), digest)
            if body is not None:
                return body
        return None


def inline_body(artifact: Json, digest: Digest) -> bytes | None:
    """Return the body that an artifact document carries along, if it is that of the digest."""
    if not isinstance(artifact, dict) or artifact.get("digest") != digest:
        return None
    body = artifact.get("inline")
    return base64.b64decode(body) if isinstance(body, str) else None


def _trace_row(row: tuple[object, ...], *, is_superseded: bool) -> TraceRow:
    key, base, run, step, seq, time, outputs, observed, seconds, mac = row
    return TraceRow(
        key=str(key),
        base=str(base),
        run=str(run),
        step=str(step),
        seq=cast("int", seq),
        time=cast("float", time),
        outputs=json.loads(str(outputs)),
        observed=json.loads(str(observed)),
        seconds=cast("float", seconds),
        mac=json.loads(str(mac)),
        is_superseded=is_superseded,
    )


def _trouble(error: sqlite3.Error) -> StoreError:
    return StoreError(
        "the index cannot be used just now",
        facts={"error": error},
        hint="another process may be busy with it: try again, or delete the index; it is rebuilt by itself",
    )
