"""A folder as the place of a store: plain system calls, nothing seen half-made, fsync in groups."""

# Plain calls on plain text: they run for every object, and a Path for each would cost more than the call.

from __future__ import annotations

import errno
import fcntl
import filecmp
import os
import secrets
import shutil
import stat
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TypeVar

from headwater.digest import new_hasher
from headwater.errors import StoreError
from headwater.store.files import TEMPORARY, FileInfo, in_parallel

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
    from pathlib import Path

    from headwater.digest import Digest

T = TypeVar("T")

_CHUNK = 1 << 20
#: Linux: make one file share another's blocks (ioctl_ficlone(2)); Python has no name for it.
_FICLONE = 0x40049409
#: What os.link says where a file system has no hard links.
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
_TRIES = 50
_READ_ONLY = 0o444
_WRITABLE = 0o644


class FolderFiles:
    """The files of a store that is a folder. Safe to use from many threads and processes."""

    def __init__(self, root: Path, *, exclusive: str = "link") -> None:
        self.root = root
        #: "link", or "o_excl" on a file system without hard links.
        self.exclusive = exclusive
        self._root = str(root)
        self._dirty: set[str] = set()
        self._dirty_lock = threading.Lock()
        self._flush_lock = threading.Lock()
        self._lost: StoreError | None = None

    @property
    def url(self) -> str:
        """The folder's path."""
        return self._root

    def local(self, path: str) -> Path:
        """Return where the file lies."""
        return self.root / path

    def probe(self) -> str:
        """Find out whether hard links work here; O_EXCL always does, but shows a ref while it is written."""
        with _telling(self._root):
            temporary, link = self._new_temporary(b""), str(self.temporary())
            try:
                os.link(temporary, link)
                os.unlink(link)
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise
                self.exclusive = "o_excl"
            finally:
                os.unlink(temporary)
        return self.exclusive

    # ------------------------------------------------------------------------------------------------------ reading

    def read(self, path: str) -> bytes:
        """Return the whole file."""
        with _telling(self._full(path)) as full, open(full, "rb", buffering=0) as file:
            return file.readall()

    def read_range(self, path: str, start: int, length: int) -> bytes:
        """Return a part of the file, cut short where the file ends; a negative length means all the rest."""
        with _telling(self._full(path)) as full, open(full, "rb", buffering=0) as file:
            file.seek(start)
            return file.readall() if length < 0 else _read_exactly(file.fileno(), length)

    def read_many(self, paths: Iterable[str]) -> Mapping[str, bytes]:
        """Return those of the files that exist."""
        found: dict[str, bytes] = {}
        for path in paths:
            try:
                found[path] = self.read(path)
            except FileNotFoundError:
                continue
        return found

    def download(self, path: str, to: Path) -> None:
        """Copy the file to a new local file, sharing blocks where the file system can."""
        with _telling(self._full(path)) as full, open(full, "rb") as source, open(to, "xb") as target:
            if not _cloned(source.fileno(), target.fileno()):
                shutil.copyfileobj(source, target, _CHUNK)

    def size(self, path: str) -> int | None:
        """Return the file's size, or None when there is no such file."""
        try:
            return self._stat(path).st_size
        except FileNotFoundError:
            return None

    def sizes(self, paths: Iterable[str]) -> Mapping[str, int]:
        """Return the sizes of those of the files that exist."""
        return {path: size for path in paths if (size := self.size(path)) is not None}

    def modified(self, path: str) -> float:
        """Return when the file was written."""
        return self._stat(path).st_mtime

    def _stat(self, path: str) -> os.stat_result:
        with _telling(self._full(path)) as full:
            found = os.stat(full)
        if stat.S_ISDIR(found.st_mode):
            raise FileNotFoundError(full)
        return found

    def paths(self, prefix: str, *, after: str = "") -> Iterable[str]:
        """Return the paths below a folder and greater than `after`; subfolders that lie wholly before are not read."""
        return list(self._walk(prefix, after))

    def _walk(self, prefix: str, after: str) -> Iterator[str]:
        try:
            with _telling(self._full(prefix)) as full:
                entries = list(os.scandir(full))
        except FileNotFoundError:
            return
        for entry in entries:
            path = f"{prefix}/{entry.name}" if prefix else entry.name
            if not entry.is_dir(follow_symlinks=False):
                if path > after:
                    yield path
            elif path != TEMPORARY and (path + "/" > after or after.startswith(path + "/")):
                yield from self._walk(path, after)

    def infos(self, prefix: str) -> Iterator[FileInfo]:
        """Yield what is known of each file below a folder; one that vanishes meanwhile is left out."""
        for path in self.paths(prefix):
            try:
                found = self._stat(path)
            except FileNotFoundError:
                continue
            yield FileInfo(path, found.st_size, found.st_mtime)

    def children(self, prefix: str) -> Iterable[str]:
        """Return the names directly in a folder."""
        try:
            with _telling(self._full(prefix)) as full:
                return os.listdir(full)
        except FileNotFoundError:
            return []

    # ------------------------------------------------------------------------------------------------------ writing

    def create(self, path: str, data: bytes) -> bool:
        """Create the file whole; False, and nothing done, when it exists."""
        with _telling(self._full(path)) as full:
            if os.path.lexists(full):
                return False  # the common refusal, without writing anything first
            created = (
                self._create_by_link(full, data) if self.exclusive == "link" else self._create_in_place(full, data)
            )
        if created:
            self.mark(path)
        return created

    def _create_by_link(self, full: str, data: bytes) -> bool:
        temporary = self._new_temporary(data)
        try:
            _with_parent(full, lambda: os.link(temporary, full))
        except FileExistsError:
            # A network file system may have lost the answer to the first try: two names mean that it was ours.
            return os.stat(temporary).st_nlink == 2
        finally:
            os.unlink(temporary)
        return True

    def _create_in_place(self, full: str, data: bytes) -> bool:
        try:
            fd = _with_parent(full, lambda: os.open(full, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _WRITABLE))
        except FileExistsError:
            return False
        try:
            write_all(fd, data)
        except OSError:
            os.unlink(full)
            raise
        finally:
            os.close(fd)
        return True

    def write(self, path: str, data: bytes) -> None:
        """Create or replace the file whole."""
        with _telling(self._full(path)) as full:
            self._into_place(self._new_temporary(data), full)
        self.mark(path)

    def add(self, path: str, data: bytes) -> None:
        """Store immutable bytes, read-only; nothing is written if a file that holds them is there.

        To read a file that is there costs less than to write it, and one that was damaged is replaced.
        """
        if not self._holds(path, data):
            with _telling(self._full(path)) as full:
                self._into_place(self._new_temporary(data, mode=_READ_ONLY), full)
        # Also when it was there: who wrote it may not have flushed it yet, and our caller will rely on it.
        self.mark(path)

    def add_many(self, files: Mapping[str, bytes]) -> None:
        """Store many immutable files."""
        for path, data in files.items():
            self.add(path, data)

    def add_file(self, path: str, source: Path) -> None:
        """Move a file from :meth:`temporary` into place, read-only."""
        with _telling(self._full(path)) as full:
            if self._is_same(full, source):
                os.unlink(source)
            else:
                os.chmod(source, os.stat(source).st_mode & _READ_ONLY)
                self._into_place(str(source), full)
        self.mark(path)

    def _holds(self, path: str, data: bytes) -> bool:
        return self.size(path) == len(data) and self.read(path) == data

    def _is_same(self, full: str, source: Path) -> bool:
        try:
            return filecmp.cmp(full, source, shallow=False)
        except (FileNotFoundError, NotADirectoryError):
            return False

    def open_for_append(self, path: str) -> int:
        """Return a descriptor that writes at the end of the file, which is made when it is missing."""
        with _telling(self._full(path)) as full:
            return _with_parent(full, lambda: os.open(full, os.O_WRONLY | os.O_APPEND | os.O_CREAT, _WRITABLE))

    def temporary(self) -> Path:
        """Return a fresh name in the store's own file system."""
        return self.root / TEMPORARY / f"{os.getpid()}-{secrets.token_hex(8)}"

    def _new_temporary(self, data: bytes, *, mode: int = _WRITABLE) -> str:
        temporary = str(self.temporary())
        fd = _with_parent(temporary, lambda: os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode))
        try:
            write_all(fd, data)
        except OSError:
            os.unlink(temporary)
            raise
        finally:
            os.close(fd)
        return temporary

    def _into_place(self, temporary: str, full: str) -> None:
        try:
            _with_parent(full, lambda: os.rename(temporary, full))
        except OSError:
            os.unlink(temporary)
            raise

    def delete(self, path: str) -> None:
        """Remove the file, and the folders that it leaves empty."""
        try:
            with _telling(self._full(path)) as full:
                os.unlink(full)
        except FileNotFoundError:
            return
        parent = path.rpartition("/")[0]
        while parent:
            try:
                os.rmdir(self._full(parent))
            except OSError:
                return
            parent = parent.rpartition("/")[0]

    def _full(self, path: str) -> str:
        return f"{self._root}/{path}" if path else self._root

    # --------------------------------------------------------------------------------------------------- durability

    def mark(self, path: str) -> None:
        """Note that the file, and its name in its folder, must reach the disk at the next flush."""
        with self._dirty_lock:
            self._dirty.add(path)

    def flush(self) -> None:
        """Fsync what was written since the last flush: files first, then the folders that name them."""
        with self._flush_lock:
            if self._lost:
                raise self._lost
            with self._dirty_lock:
                dirty, self._dirty = self._dirty, set()
            try:
                self._sync(dirty)
                self._sync(_folders(dirty))
            except StoreError as error:
                # The kernel forgets pages that it failed to write, so a second fsync would falsely succeed.
                self._lost = error
                raise

    def _sync(self, paths: Iterable[str]) -> None:
        in_parallel(self._sync_one, list(paths))  # the file system commits those that wait together

    def _sync_one(self, path: str) -> None:
        try:
            with _telling(self._full(path)) as full:
                fd = os.open(full, os.O_RDONLY)
                try:
                    sync_fd(fd)
                finally:
                    os.close(fd)
        except FileNotFoundError:
            return  # removed since

    def sync_folders(self, path: str) -> None:
        """Fsync the folders above a file, so that its name is durable."""
        self._sync(_folders([path]))

    def clock(self) -> float:
        """Return this machine's time."""
        return time.time()


def _folders(paths: Iterable[str]) -> set[str]:
    """Return every folder above the paths; the empty text is the root."""
    folders: set[str] = set()
    for path in paths:
        parent = path
        while parent and (parent := parent.rpartition("/")[0]) not in folders:
            folders.add(parent)
    return folders


def sync_fd(fd: int) -> None:
    """Force an open file to the disk itself."""
    full_sync: int | None = getattr(fcntl, "F_FULLFSYNC", None)
    if full_sync is None:
        os.fsync(fd)
    else:  # macOS: fsync stops at the drive's cache
        fcntl.fcntl(fd, full_sync)


def write_all(fd: int, data: bytes | memoryview) -> None:
    """Write everything, in one call unless the system cuts it short."""
    written = os.write(fd, data)
    while written < len(data):
        written += os.write(fd, memoryview(data)[written:])


def copy_hashed(source: Path, target: Path) -> tuple[Digest, int]:
    """Copy a file to a new one; return the digest and the size of what is in the copy."""
    hasher, size = new_hasher(), 0
    buffer = memoryview(bytearray(_CHUNK))
    with (
        open(source, "rb", buffering=0) as reader,
        _with_parent(str(target), lambda: open(target, "x+b", buffering=0)) as writer,
    ):
        # A clone cannot change under us, so it is the clone that is read; else what was read is what is written.
        cloned = _cloned(reader.fileno(), writer.fileno())
        stream = writer if cloned else reader
        while count := stream.readinto(buffer):
            hasher.update(buffer[:count])
            if not cloned:
                write_all(writer.fileno(), buffer[:count])
            size += count
    return hasher.hexdigest(), size


def _cloned(source: int, target: int) -> bool:
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError:
        return False
    return True


def _read_exactly(fd: int, length: int) -> bytes:
    pieces: list[bytes] = []
    while length > 0 and (piece := os.read(fd, length)):
        pieces.append(piece)
        length -= len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _with_parent(path: str, act: Callable[[], T]) -> T:
    """Do something that needs the path's folder, which is made when it is missing."""
    for _ in range(_TRIES):  # others may be removing empty folders at the same time
        try:
            return act()
        except FileNotFoundError:
            # makedirs itself stumbles over a folder that goes while it looks, in either of these ways.
            with suppress(FileNotFoundError, FileExistsError):
                os.makedirs(os.path.dirname(path), exist_ok=True)
        except NotADirectoryError as error:
            raise StoreError("a file stands where the store needs a folder", facts={"path": path}) from error
    raise StoreError("a folder of the store keeps vanishing", facts={"path": os.path.dirname(path)})


@contextmanager
def _telling(path: str) -> Generator[str]:
    """Turn the system's errors into StoreError, except the two that answer "is it there?"."""
    try:
        yield path
    except (FileNotFoundError, FileExistsError):
        raise
    except (NotADirectoryError, IsADirectoryError) as error:
        raise FileNotFoundError(path) from error
    except OSError as error:
        raise _told(error, path) from error


def _told(error: OSError, path: str) -> StoreError:
    facts = {"path": path, "reason": error.strerror or error}
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return StoreError("the store has no room left", facts=facts, hint="free some space, for example with `hw gc`")
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return StoreError("the store does not allow this", facts=facts, hint="check the folder's owner and permissions")
    return StoreError("the store's folder failed", facts=facts)
