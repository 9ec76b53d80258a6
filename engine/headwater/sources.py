"""Digests of files outside the store: inputs, declared files, and files that a step was seen to open.

A digest is remembered by the file's identity (path, size, device, inode, mtime and ctime in nanoseconds), so that an
unchanged file is not read again. The ctime tells of a change whose author put the mtime back. An entry made within two
seconds of the file's own change is *racy*, as in git's index: another write could have left the same identity, so such
a file is read again.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from headwater.digest import digest_stream

if TYPE_CHECKING:
    from headwater.digest import Digest

CACHE_VARIABLE = "HEADWATER_CACHE"
_RACY_NS = 2_000_000_000
_SCHEMA = """
create table if not exists file (path text primary key, identity text, digest text, noted integer) without rowid
"""


def cache_folder() -> Path:
    """Return the user's cache folder for headwater; everything in it may be deleted at any time."""
    own = os.environ.get(CACHE_VARIABLE)
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(own) if own else Path(base) / "headwater"


class Sources:
    """Digests of files, remembered across processes; a damaged or unwritable memory only costs time."""

    def __init__(self, memory: Path | None = None) -> None:
        self._path = memory or cache_folder() / "sources.sqlite"
        self._seen: dict[str, tuple[_Identity, Digest]] = {}

    def digest(self, path: Path) -> Digest:
        """Return the digest of a file's content. Raises OSError when it cannot be read."""
        name = str(path.absolute())
        identity = _Identity.of(path.stat())
        known = self._seen.get(name)
        if known is not None and known[0] == identity and not identity.is_racy(time.time_ns()):
            return known[1]
        stored = self._look_up(name, identity)
        if stored is None:
            stored, identity = _read(path)
            self._note(name, identity, stored)
        self._seen[name] = (identity, stored)
        return stored

    def _look_up(self, name: str, identity: _Identity) -> Digest | None:
        row = self._execute("select digest, noted from file where path = ? and identity = ?", (name, identity.text))
        return None if row is None or identity.is_racy(cast("int", row[1])) else str(row[0])

    def _note(self, name: str, identity: _Identity, digest: Digest) -> None:
        values = (name, identity.text, digest, time.time_ns())
        self._execute("insert or replace into file values (?, ?, ?, ?)", values)

    def _execute(self, statement: str, values: tuple[object, ...]) -> tuple[object, ...] | None:
        """Run one statement in a transaction of its own; None where the memory cannot be used."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.closing(sqlite3.connect(self._path, timeout=5)) as memory, memory:
                memory.execute(_SCHEMA)
                return cast("tuple[object, ...] | None", memory.execute(statement, values).fetchone())
        except sqlite3.DatabaseError:
            with contextlib.suppress(OSError):
                self._path.unlink()
        except OSError:
            pass
        return None


@dataclass(frozen=True, slots=True)
class _Identity:
    """What tells a file's content from an earlier one without reading it."""

    size: int
    device: int
    inode: int
    mtime: int
    ctime: int

    @staticmethod
    def of(stat: os.stat_result) -> _Identity:
        return _Identity(stat.st_size, stat.st_dev, stat.st_ino, stat.st_mtime_ns, stat.st_ctime_ns)

    @property
    def text(self) -> str:
        return f"{self.size} {self.device} {self.inode} {self.mtime} {self.ctime}"

    def is_racy(self, noted_ns: int) -> bool:
        return noted_ns - max(self.mtime, self.ctime) < _RACY_NS


def _read(path: Path) -> tuple[Digest, _Identity]:
    """Digest a file; the identity is the one it had while it was read."""
    while True:
        with path.open("rb") as stream:
            before = _Identity.of(os.fstat(stream.fileno()))
            digest, _ = digest_stream(stream)
            after = _Identity.of(os.fstat(stream.fileno()))
        if before == after:
            return digest, after
