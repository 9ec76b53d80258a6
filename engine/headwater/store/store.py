"""The store: immutable objects, small named refs and append-only logs, in one place named by a URL."""

from __future__ import annotations

import json
import os
import re
import secrets
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast
from urllib.parse import unquote

from headwater.digest import canonical
from headwater.errors import StoreError
from headwater.store.files import RESERVED, TEMPORARY, check_path, check_prefix
from headwater.store.folder import FolderFiles
from headwater.store.logs import LogReader, Recovered, open_appender, recover
from headwater.store.objects import ObjectInfo, Objects, Verify
from headwater.store.remote import RemoteFiles

if TYPE_CHECKING:
    import builtins
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from headwater.digest import Digest
    from headwater.store.files import Files
    from headwater.store.logs import Appender

_FORMAT_FILE = "format"
_FORMAT = "store/1"
#: The versions of the layout that this code reads and writes.
_READER = _WRITER = 1
_URL = re.compile(r"([a-z][a-z0-9+.-]+)://(.*)", re.DOTALL)
#: How long the difference between the store's clock and ours is believed, in seconds.
_CLOCK_KEPT = 300


@dataclass(frozen=True, slots=True)
class Format:
    """What the ``format`` file of a store says."""

    #: The store's random name.
    id: str
    #: The least versions of the layout that a reader and a writer must know.
    reader: int
    writer: int
    #: How exclusive create is done here: "link", "o_excl" or "conditional".
    exclusive_create: str


class Store:
    """A folder, a bucket or anything else that fsspec reaches, with headwater's layout in it.

    Safe to share between threads. It travels between processes as its URL: pickle it, but do not fork with it.
    """

    def __init__(
        self, files: Files, form: Format, *, verify: Verify = "always", clock: Callable[[], float] | None = None
    ) -> None:
        #: The address that opens this store again.
        self.url = files.url
        #: The store's random name, the same for all who open it.
        self.id = form.id
        #: The folder, or None when the store is not one.
        self.root = files.local("")
        #: Whether the store is a folder of this machine.
        self.is_local = self.root is not None
        #: How exclusive create is done here.
        self.exclusive_create = form.exclusive_create
        #: False when only a newer headwater may write here.
        self.is_writable = form.writer <= _WRITER
        self._writer = form.writer
        self._files = files
        self._verify: Verify = verify
        self._objects = Objects(files, verify=verify)
        self._logs = LogReader(files)
        self._clock = clock
        self._clock_lock = threading.Lock()
        self._clock_read: tuple[float, float] | None = None

    def __repr__(self) -> str:
        return f"<Store {self.url}>"

    def __reduce__(self) -> tuple[object, ...]:
        return (_reopen, (self.url, self._verify))

    # ------------------------------------------------------------------------------------------------------ objects

    def put(self, data: bytes) -> Digest:
        """Store some bytes and return their digest; nothing is written when they are there."""
        self._check_writable()
        return self._objects.put(data)

    def put_many(self, bodies: Sequence[bytes]) -> builtins.list[Digest]:
        """Store many byte strings, one object each, several at a time."""
        self._check_writable()
        return self._objects.put_many(bodies)

    def put_pack(self, bodies: Sequence[bytes]) -> builtins.list[Digest]:
        """Store many small byte strings in one file; they are read like any other objects."""
        self._check_writable()
        return self._objects.put_pack(bodies)

    def put_file(self, path: Path) -> tuple[Digest, int]:
        """Store a copy of a file and return its digest and size; the file itself is never linked."""
        self._check_writable()
        return self._objects.put_file(path)

    def get(self, digest: Digest, *, size: int | None = None) -> bytes:
        """Return an object, verified; ObjectMissing, Corrupt. `size` is what the caller knows it to be."""
        return self._objects.get(digest, size=size)

    def get_many(self, digests: Iterable[Digest]) -> dict[Digest, bytes]:
        """Return many objects, verified, several at a time."""
        return self._objects.get_many(digests)

    def read_range(self, digest: Digest, start: int, length: int) -> bytes:
        """Return a part of an object, unverified, cut short where the object ends."""
        return self._objects.read_range(digest, start, length)

    def open(self, digest: Digest, *, size: int | None = None) -> IO[bytes]:
        """Open an object for reading, verified; one from elsewhere is fetched first."""
        return self._objects.open(digest, size=size)

    def local_path(self, digest: Digest, *, size: int | None = None) -> Path | None:
        """Return the object's own read-only file where it has one; never hand it to code that may write."""
        return self._objects.local_path(digest, size=size)

    def fetch(self, digest: Digest, to: Path) -> None:
        """Copy an object to a file that appears whole, replaces what was there, and may be changed."""
        self._objects.fetch(digest, to)

    def has(self, digest: Digest) -> bool:
        """Tell whether an object is here."""
        return self._objects.has(digest)

    def missing(self, digests: Iterable[Digest]) -> set[Digest]:
        """Return those of the objects that are not here."""
        return self._objects.missing(digests)

    def size(self, digest: Digest) -> int:
        """Return an object's size in bytes; ObjectMissing."""
        return self._objects.size(digest)

    def objects(self) -> Iterator[ObjectInfo]:
        """Yield every object once, in any order."""
        return self._objects.all()

    def put_aside(self, digest: Digest) -> bool:
        """Move a corrupt object under ``quarantine/``, where nothing looks; False if it is right, or not there."""
        self._check_writable()
        return self._objects.put_aside(digest)

    def delete_object(self, digest: Digest) -> None:
        """Remove an object; nothing happens when it is not here."""
        self.delete_objects([digest])

    def delete_objects(self, digests: Iterable[Digest]) -> None:
        """Remove many objects; each pack that holds some of them is written anew at most once."""
        self._check_writable()
        self._objects.delete(set(digests))

    # --------------------------------------------------------------------------------------------------------- refs

    def create(self, path: str, data: bytes) -> bool:
        """Create a ref, whole; False, and nothing done, when it exists. Of many who try, one wins."""
        self._check_writable()
        return self._files.create(check_path(path), data)

    def read(self, path: str) -> bytes | None:
        """Return a ref's bytes, or None when it does not exist."""
        try:
            return self._files.read(check_path(path))
        except FileNotFoundError:
            return None

    def list(self, prefix: str, *, after: str = "") -> builtins.list[str]:
        """Return the paths of all files below a folder, sorted; with `after`, only those greater than it.

        A log is one path in a folder store and one for each segment elsewhere.
        """
        folder = check_prefix(prefix)
        folders = [folder] if folder else self._top()
        found = [path for each in folders for path in self._files.paths(each, after=after)]
        # At the top a name may be a ref itself.
        return sorted([*found, *(name for name in folders if not folder and name > after and self._is_file(name))])

    def children(self, prefix: str) -> builtins.list[str]:
        """Return the names directly in a folder, sorted: of refs, logs and further folders."""
        folder = check_prefix(prefix)
        return sorted(self._files.children(folder)) if folder else self._top()

    def _top(self) -> builtins.list[str]:
        return sorted(set(self._files.children("")) - RESERVED)

    def _is_file(self, path: str) -> bool:
        return self._files.size(path) is not None

    def delete(self, path: str) -> None:
        """Remove a ref; nothing happens when it does not exist."""
        self._check_writable()
        self._files.delete(check_path(path))

    def replace(self, path: str, data: bytes) -> None:
        """Create or replace a ref, whole: only for what may be lost, since the last writer wins."""
        self._check_writable()
        self._files.write(check_path(path), data)

    def modified(self, path: str) -> float:
        """Return when a ref was written or a log was last added to, on the store's clock; StoreError if absent."""
        try:
            return self._files.modified(check_path(path))
        except FileNotFoundError:
            moments = [info.modified for info in self._files.infos(path)]
        if not moments:
            raise StoreError("there is nothing of that name in the store", facts={"store": self.url, "path": path})
        return max(moments)

    # --------------------------------------------------------------------------------------------------------- logs

    def appender(self, path: str) -> Appender:
        """Open a log for appending, as its only writer."""
        self._check_writable()
        return open_appender(self._files, check_path(path), spool=self._spool)

    def read_log(self, path: str, offset: int = 0) -> tuple[bytes, int]:
        """Return a log's bytes from an offset on, and the offset to go on from; the end may be a torn record."""
        return self._logs.read(check_path(path), offset)

    def delete_log(self, path: str) -> None:
        """Remove a log with all its segments; nothing happens when it does not exist."""
        self.delete(path)
        self._logs.forget(path)
        for part in self._files.paths(path):
            self._files.delete(part)

    def recover_spool(self) -> Recovered:
        """Ship what dead processes of this machine appended to logs of this store and did not ship."""
        self._check_writable()
        return recover(self._files, spool=self._spool)

    @property
    def _spool(self) -> Path:
        cache = os.environ.get("XDG_CACHE_HOME")
        return (Path(cache) if cache else Path.home() / ".cache") / "headwater" / "spool" / self.id

    # ---------------------------------------------------------------------------------------------------- the whole

    def flush(self) -> None:
        """Return when everything put or created through this object would survive a loss of power."""
        self._files.flush()

    def now(self) -> float:
        """Return the store's time, in seconds since 1970; the same for all machines that use the store."""
        if self._clock is not None:
            return self._clock()
        if self.is_local or not self.is_writable:
            return time.time()
        with self._clock_lock:
            steady = _steady()
            if self._clock_read is None or steady - self._clock_read[0] > _CLOCK_KEPT:
                self._clock_read = (steady, self._files.clock())
            return self._clock_read[1] + steady - self._clock_read[0]

    def sweep(self, *, age: float) -> int:
        """Remove what writers that died left half-made, if older than `age` seconds; return how many."""
        self._check_writable()
        before = self.now() - age
        old = [info.path for info in self._files.infos(TEMPORARY) if info.modified < before]
        for path in old:
            self._files.delete(path)
        return len(old)

    def _check_writable(self) -> None:
        if not self.is_writable:
            raise StoreError(
                "this store can only be read: it was made to be written by a newer headwater",
                facts={"store": self.url, "writer needed": self._writer, "writer here": _WRITER},
                hint="pip install --upgrade headwater",
            )


def open_store(
    url: str | Path,
    *,
    create: bool = True,
    verify: Verify = "always",
    options: Mapping[str, object] | None = None,
    clock: Callable[[], float] | None = None,
) -> Store:
    """Open the store at a folder or URL (``file://``, ``memory://``, ``s3://bucket/prefix``, …), making it if absent.

    `verify` says what is checked when an object of a folder is read; `options` go to fsspec; `clock` replaces the
    store's own, for tests.
    """
    files = _files(url, options)
    form = _read_format(files) or _make(files, create=create)
    if isinstance(files, FolderFiles):
        files.exclusive = form.exclusive_create
    return Store(files, form, verify=verify, clock=clock)


def _reopen(url: str, verify: Verify) -> Store:
    return open_store(url, create=False, verify=verify)


def _files(url: str | Path, options: Mapping[str, object] | None) -> Files:
    match = None if isinstance(url, Path) else _URL.fullmatch(url)
    if match is None:
        return FolderFiles(Path(url).expanduser().absolute())
    if match.group(1) in {"file", "local"}:
        return FolderFiles(Path(unquote(match.group(2).removeprefix("localhost"))).absolute())
    return RemoteFiles(match.group(0), options=options)


def _read_format(files: Files) -> Format | None:
    try:
        text = files.read(_FORMAT_FILE)
    except FileNotFoundError:
        return None
    try:
        document = cast("dict[str, object]", json.loads(text))
        kind = str(document["headwater"])
        reader, writer = int(cast(int, document["reader"])), int(cast(int, document["writer"]))
        form = Format(str(document["id"]), reader, writer, str(document["exclusive_create"]))
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(
            "the file 'format' of the store cannot be read", facts={"store": files.url, "reason": error}
        ) from error
    if not kind.startswith("store/") or reader > _READER:
        raise StoreError(
            "this store was made by a newer headwater",
            facts={"store": files.url, "reader needed": f"{reader} ({kind})", "reader here": f"{_READER} ({_FORMAT})"},
            hint="pip install --upgrade headwater",
        )
    return form


def _make(files: Files, *, create: bool) -> Format:
    root = files.local("")
    if root is not None and root.exists() and not root.is_dir():
        raise StoreError("the store should be a folder, but a file is there", facts={"path": root})
    if not create:
        raise StoreError(
            "there is no store", facts={"store": files.url}, hint="check the address, or run something to make one"
        )
    # Both of those may appear while another process makes this very store.
    others = sorted(set(files.children("")) - {TEMPORARY, _FORMAT_FILE})
    if others:
        made = _read_format(files)  # another process may have made it just now
        if made is not None:
            return made
        raise StoreError(
            "the place of the store holds something else",
            facts={"store": files.url, "found": ", ".join(others[:5])},
            hint="name an empty place, or one that does not exist yet",
        )
    form = Format(secrets.token_hex(16), _READER, _WRITER, files.probe())
    files.create(_FORMAT_FILE, canonical({"headwater": _FORMAT, **asdict(form)}))
    files.flush()
    made = _read_format(files)
    assert made is not None
    return made


def _steady() -> float:
    """Return a clock that nobody sets and that goes on while the machine sleeps, where there is one."""
    with suppress(AttributeError, OSError):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()
