"""Append-only logs: one growing file in a folder; elsewhere, numbered immutable segments behind a local spool.

In a folder, an append is one write to a file opened for appending: it is with the operating system when the call
returns, so it survives kill -9. Elsewhere, the same is true of a spool file on this machine; :meth:`Appender.sync`
ships what was spooled since the last time as segment ``<path>/<n>``. What a dead process left in its spool is shipped
by the next one that opens the log, or by :func:`recover`.
"""

from __future__ import annotations

import fcntl
import os
import threading
from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol
from urllib.parse import quote, unquote

from headwater.errors import Corrupt, StoreError
from headwater.store.folder import FolderFiles, sync_fd, write_all

if TYPE_CHECKING:
    from pathlib import Path

    from headwater.store.files import Files

#: Digits in a segment's name, so that names sort as numbers do.
_DIGITS = 12
_LOCK = "lock"


class Appender(Protocol):
    """One writer of one log. Threads may share it."""

    def append(self, data: bytes) -> None:
        """Hand some bytes to the operating system, all or (when the machine dies) a part of them."""
        ...

    def sync(self) -> None:
        """Return when everything appended so far is durable and others can read it."""
        ...

    def close(self) -> None:
        """Sync and let go of the log."""
        ...


@dataclass(frozen=True, slots=True)
class Recovered:
    """What :func:`recover` did with the spools of dead processes."""

    #: Logs whose spooled bytes are in the store now.
    shipped: tuple[str, ...]
    #: Logs that another writer took over meanwhile; their spools are kept as they are.
    refused: tuple[str, ...]


class FolderAppender:
    """Appends to a file of a folder store."""

    def __init__(self, files: FolderFiles, path: str) -> None:
        self._files = files
        self._path = path
        self._name = str(files.local(path))
        self._fd = files.open_for_append(path)
        self._is_new = True

    def append(self, data: bytes) -> None:
        """Write at the end of the file, in one call."""
        try:
            write_all(self._fd, data)
        except OSError as error:
            raise self._told(error) from error

    def sync(self) -> None:
        """Force the file to the disk, and the first time its name too."""
        try:
            sync_fd(self._fd)
        except OSError as error:
            raise self._told(error) from error
        if self._is_new:
            self._files.sync_folders(self._path)
            self._is_new = False

    def close(self) -> None:
        """Sync and close the file; a second call does nothing."""
        if self._fd >= 0:
            try:
                self.sync()
            finally:
                os.close(self._fd)
                self._fd = -1

    def _told(self, error: OSError) -> StoreError:
        return StoreError("a log could not be written", facts={"path": self._name, "reason": error.strerror or error})


class SpooledAppender:
    """Appends to a spool on this machine and ships it in segments."""

    def __init__(self, files: Files, path: str, spool: Path) -> None:
        self._files = files
        self._path = path
        self._folder = spool / quote(path, safe="")
        lock = _locked(self._folder)
        if lock is None:
            raise StoreError("a log is being written by another process of this machine", facts={"log": path})
        self._lock = lock
        self._append_lock = threading.Lock()
        self._ship_lock = threading.Lock()
        self._fd = -1
        try:
            _ship(files, path, self._folder)
            self._next = 1 + max((int(name) for name in files.children(path) if name.isdigit()), default=-1)
        except BaseException:
            os.close(lock)
            raise

    def append(self, data: bytes) -> None:
        """Write at the end of the spool, in one call."""
        if not data:
            return
        with self._append_lock:
            try:
                if self._fd < 0:
                    name = self._folder / f"{self._next:0{_DIGITS}}"
                    self._fd = os.open(name, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
                    self._next += 1
                write_all(self._fd, data)
            except OSError as error:
                raise StoreError(
                    "a log could not be spooled on this machine",
                    facts={"log": self._path, "spool": self._folder, "reason": error.strerror or error},
                ) from error

    def sync(self) -> None:
        """Ship what was spooled. When that fails the spool stays, and the next call tries again."""
        with self._ship_lock:
            with self._append_lock:  # what is appended from here on goes to the next segment
                if self._fd >= 0:
                    os.close(self._fd)
                    self._fd = -1
                ready = self._next
            _ship(self._files, self._path, self._folder, before=ready)

    def close(self) -> None:
        """Ship what was spooled and remove the spool; a second call does nothing."""
        if self._lock < 0:
            return
        try:
            self.sync()
            _remove(self._folder)
        finally:
            os.close(self._lock)
            self._lock = -1


def open_appender(files: Files, path: str, *, spool: Path) -> Appender:
    """Open a log for appending, in the way of the place where it lies."""
    if isinstance(files, FolderFiles):
        return FolderAppender(files, path)
    return SpooledAppender(files, path, spool)


def recover(files: Files, *, spool: Path) -> Recovered:
    """Ship what dead processes of this machine left in their spools; living ones are left alone."""
    shipped: list[str] = []
    refused: list[str] = []
    for folder in sorted(spool.iterdir()) if spool.is_dir() else []:
        lock = _locked(folder)
        if lock is None:
            continue
        path = unquote(folder.name)
        try:
            if _ship(files, path, folder):
                shipped.append(path)
            _remove(folder)
        except _Taken:
            refused.append(path)
        finally:
            os.close(lock)
    return Recovered(tuple(shipped), tuple(refused))


class _Taken(StoreError):
    """Another writer created this segment."""


def _ship(files: Files, path: str, folder: Path, *, before: int | None = None) -> int:
    """Create the spooled segments in the store, in order, and remove their files; return how many."""
    numbers = sorted(int(name) for name in os.listdir(folder) if name.isdigit())
    ready = [number for number in numbers if before is None or number < before]
    for number in ready:
        segment = f"{number:0{_DIGITS}}"
        spooled = folder / segment
        data = spooled.read_bytes()
        # A refusal with our own bytes behind it: the answer to an earlier try was lost.
        if data and not files.create(f"{path}/{segment}", data) and files.read(f"{path}/{segment}") != data:
            raise _Taken(
                "another writer has taken this log over",
                facts={"log": path, "segment": number, "spool": spooled},
                hint="its segments are kept; what this process could not ship stays in the spool",
            )
        spooled.unlink()
    return len(ready)


def _locked(folder: Path) -> int | None:
    """Take a spool for this process until it lets go or dies; None when another has it."""
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            fd = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        except FileNotFoundError:
            continue  # its last owner has just removed the folder
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(fd).st_nlink:
                return fd
        except BlockingIOError:
            os.close(fd)
            return None
        os.close(fd)


def _remove(folder: Path) -> None:
    try:
        (folder / _LOCK).unlink()
        folder.rmdir()
    except OSError:
        return  # somebody else has begun to use it


class LogReader:
    """Reads logs by offset: the number of bytes read before, over all segments."""

    def __init__(self, files: Files) -> None:
        self._files = files
        #: Log → where each of its segments ends. Segments never change, so each is looked for once.
        self._ends: dict[str, list[int]] = {}

    def read(self, path: str, offset: int) -> tuple[bytes, int]:
        """Return what the log holds from an offset on, and the offset to go on from."""
        if isinstance(self._files, FolderFiles):
            try:
                data = self._files.read_range(path, offset, -1)
            except FileNotFoundError:
                data = b""
            return data, offset + len(data)
        return self._read_segments(path, offset)

    def forget(self, path: str) -> None:
        """Forget a log that was removed."""
        self._ends.pop(path, None)

    def _read_segments(self, path: str, offset: int) -> tuple[bytes, int]:
        ends = self._ends.get(path)
        ends = self._list_segments(path) if ends is None else list(ends)
        first = bisect_right(ends, offset)
        start = ends[first - 1] if first else 0
        names = [_segment(path, number) for number in range(first, len(ends))]
        found = self._files.read_many(names)
        if len(found) < len(names):
            self.forget(path)
            raise Corrupt("a segment of a log is gone", facts={"log": path}, hint="hw fsck")
        pieces = [found[name] for name in names]
        # Numbers have no gaps, so asking for the next one is cheaper than listing them all again.
        while (piece := self._next_segment(path, len(ends))) is not None:
            pieces.append(piece)
            ends.append((ends[-1] if ends else 0) + len(piece))
        self._ends[path] = ends
        data = b"".join(pieces)[max(0, offset - start) :]
        return data, offset + len(data)

    def _list_segments(self, path: str) -> list[int]:
        sizes = {info.path: info.bytes for info in self._files.infos(path)}
        ends: list[int] = []
        while (size := sizes.get(_segment(path, len(ends)))) is not None:
            ends.append((ends[-1] if ends else 0) + size)
        return ends

    def _next_segment(self, path: str, number: int) -> bytes | None:
        try:
            return self._files.read(_segment(path, number))
        except FileNotFoundError:
            return None


def _segment(path: str, number: int) -> str:
    return f"{path}/{number:0{_DIGITS}}"
