"""The SQLite file of an index: made when missing, left behind when damaged, in memory where it cannot be written."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

#: Version of the tables below. Another version has a file of its own, so that two never fight over one.
SCHEMA = 2
_TABLES = """
create table if not exists meta (name text primary key, value text) without rowid;
create table if not exists run (
    run text primary key, pipeline text, status text, started real, ended real, seconds real,
    epoch integer, offset integer, seq integer, chain text, sealed integer, snapshot integer, document text
) without rowid;
create index if not exists run_open on run (sealed) where sealed = 0;
create index if not exists run_loose on run (snapshot) where snapshot = 0;
create index if not exists run_started on run (started);
create table if not exists step (
    run text, step text, pipeline text, status text, base text, decided real, seconds real, document text,
    primary key (run, step)
) without rowid;
create index if not exists step_last on step (pipeline, step, decided);
create table if not exists trace (
    run text, seq integer, step text, key text, base text, time real, seconds real,
    outputs text, observed text, mac text, primary key (run, seq)
) without rowid;
create index if not exists trace_base on trace (base, time);
create index if not exists trace_key on trace (key);
create table if not exists floor (base text, run text, step text, primary key (base, run, step)) without rowid;
create index if not exists floor_run on floor (run);
create table if not exists use (
    run text, step text, role text, name text, digest text, primary key (run, step, role, name, digest)
) without rowid;
create index if not exists use_digest on use (digest);
create index if not exists use_file on use (name) where role = 'file';
"""
_PRAGMAS = ("pragma journal_mode = wal", "pragma synchronous = normal", "pragma busy_timeout = 30000")
_PRIMARY_CODE = 0xFF
#: The surroundings are at fault: the disk, its permissions, a file system without shared memory.
_UNUSABLE = {
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_READONLY,
}
_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


def is_busy(error: sqlite3.Error) -> bool:
    """Tell whether another process held the file for too long."""
    return _code(error) in _BUSY


def _code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", 0) & _PRIMARY_CODE


class Database:
    """One connection, used by one thread at a time."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name = folder, name
        self._lock = threading.RLock()
        self._number = max((number for number, _ in self._files()), default=1)
        self._connection = self._connect()

    def _files(self) -> Iterator[tuple[int, Path]]:
        for path in self._folder.glob(f"{self._name}.s{SCHEMA}.*.sqlite"):
            number = path.name.split(".")[-2]
            if number.isdecimal():
                yield int(number), path

    def _connect(self) -> sqlite3.Connection:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            path = self._folder / f"{self._name}.s{SCHEMA}.{self._number}.sqlite"
            return _open(str(path))
        except OSError:
            return _open(":memory:")
        except sqlite3.Error as error:
            if is_busy(error):
                raise
            if _code(error) in _UNUSABLE:
                return _open(":memory:")
            self._number += 1
            connection = self._connect()
            self._remove_older()
            return connection

    def replace(self, error: sqlite3.Error) -> None:
        """Go on with an empty file of a new name after damage, or in memory where files cannot be used.

        The name is new because other processes may hold the old one: its journal must not meet another file.
        """
        with self._lock:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
            if _code(error) in _UNUSABLE:
                self._connection = _open(":memory:")
                return
            self._number += 1
            self._connection = self._connect()
            self._remove_older()

    def _remove_older(self) -> None:
        for number, path in list(self._files()):
            if number < self._number:
                for stale in (path, path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")):
                    stale.unlink(missing_ok=True)

    def rows(self, query: str, arguments: Sequence[object] = ()) -> list[tuple[object, ...]]:
        """Return all rows of a query."""
        with self._lock:
            return self._connection.execute(query, arguments).fetchall()

    def write(self, query: str, rows: Iterable[Sequence[object]]) -> None:
        """Execute a statement for each row, inside a transaction."""
        self._connection.executemany(query, rows)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Hold the file for writing; what was written is undone when the block raises."""
        with self._lock:
            self._connection.execute("begin immediate")
            try:
                yield
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    self._connection.execute("rollback")
                raise
            self._connection.execute("commit")

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._connection.close()


def _open(path: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
    try:
        for pragma in _PRAGMAS:
            connection.execute(pragma)
        if connection.execute("pragma user_version").fetchone() != (SCHEMA,):
            # Once for each file, all or nothing: a table that is missing later is damage, and is not made anew empty.
            connection.executescript(f"begin immediate;{_TABLES}pragma user_version = {SCHEMA};commit")
    except sqlite3.Error:
        connection.close()
        raise
    return connection
