"""The low seam of a store: named byte strings that are created once, read, listed and removed.

Everything above (objects, packs, refs, logs) is written against :class:`Files` and does not know where the bytes are.
Two kinds exist: a folder (:mod:`headwater.store.folder`) and anything that fsspec reaches
(:mod:`headwater.store.remote`).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

from headwater.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

A = TypeVar("A")
B = TypeVar("B")

#: Requests at once. More does not help: the client's processor is what limits s3fs.
_PARALLEL = 16
#: Where half-made things live until they are whole; never listed, swept when old.
TEMPORARY = "tmp"
#: What a store keeps for itself at its top.
RESERVED = frozenset({"objects", "packs", TEMPORARY, "format"})


@dataclass(frozen=True, slots=True)
class FileInfo:
    """What a listing says about one file."""

    #: Relative to the store, "/" between the parts.
    path: str
    bytes: int
    #: Seconds since 1970 on the store's clock.
    modified: float


class Files(Protocol):
    """Named byte strings somewhere. A missing file raises FileNotFoundError; all other trouble, StoreError."""

    @property
    def url(self) -> str:
        """The address that opens this place again."""
        ...

    def local(self, path: str) -> Path | None:
        """Return where the file lies on this machine, or None when it is elsewhere."""
        ...

    def probe(self) -> str:
        """Try whether exclusive create is honoured and return how; StoreError when it is not."""
        ...

    def read(self, path: str) -> bytes:
        """Return the whole file."""
        ...

    def read_range(self, path: str, start: int, length: int) -> bytes:
        """Return a part of the file, cut short where the file ends; a negative length means all the rest."""
        ...

    def read_many(self, paths: Iterable[str]) -> Mapping[str, bytes]:
        """Return those of the files that exist."""
        ...

    def download(self, path: str, to: Path) -> None:
        """Copy the file to a new local file."""
        ...

    def size(self, path: str) -> int | None:
        """Return the file's size, or None when there is no such file."""
        ...

    def sizes(self, paths: Iterable[str]) -> Mapping[str, int]:
        """Return the sizes of those of the files that exist."""
        ...

    def modified(self, path: str) -> float:
        """Return when the file was written, on the store's clock."""
        ...

    def create(self, path: str, data: bytes) -> bool:
        """Create the file whole; False, and nothing done, when it exists."""
        ...

    def write(self, path: str, data: bytes) -> None:
        """Create or replace the file whole."""
        ...

    def add(self, path: str, data: bytes) -> None:
        """Store immutable bytes under a name that follows from them; nothing is written if they are there.

        A folder looks at the bytes that are there; elsewhere their size, or that there are any, is taken for it.
        """
        ...

    def add_many(self, files: Mapping[str, bytes]) -> None:
        """Do :meth:`add` for many."""
        ...

    def temporary(self) -> Path:
        """Return a fresh local name whose file :meth:`add_file` can take over cheaply."""
        ...

    def add_file(self, path: str, source: Path) -> None:
        """Do :meth:`add` with a local file from :meth:`temporary`, which is used up."""
        ...

    def paths(self, prefix: str, *, after: str = "") -> Iterable[str]:
        """Return the paths below a folder and greater than `after`, in any order."""
        ...

    def infos(self, prefix: str) -> Iterator[FileInfo]:
        """Yield what is known of each file below a folder, in any order."""
        ...

    def children(self, prefix: str) -> Iterable[str]:
        """Return the names directly in a folder, in any order."""
        ...

    def delete(self, path: str) -> None:
        """Remove the file; nothing happens when there is none."""
        ...

    def mark(self, path: str) -> None:
        """Note that somebody relies on the file, so that the next :meth:`flush` takes it in."""
        ...

    def flush(self) -> None:
        """Return when all that was written through here would survive a loss of power."""
        ...

    def clock(self) -> float:
        """Ask the store what time it is."""
        ...


def check_path(path: str) -> str:
    """Return a ref's path, or raise StoreError when it could leave the store or means different things to stores."""
    parts = path.split("/")
    if (
        not path
        or any(part in {"", ".", ".."} for part in parts)
        or "\\" in path
        or not path.isprintable()
        or parts[0] in RESERVED
    ):
        raise StoreError(
            f"{path!r} cannot name anything in a store",
            hint="use relative names with '/' between the parts, without '..', and outside objects/ and packs/",
        )
    return path


def check_prefix(prefix: str) -> str:
    """Return a folder's path without its last "/"; the empty text is the whole store."""
    prefix = prefix.rstrip("/")
    return check_path(prefix) if prefix else ""


def in_parallel(act: Callable[[A], B], items: list[A]) -> dict[A, B]:
    """Do something to each item, several at a time, and return what came of each."""
    if len(items) < 2:
        return {item: act(item) for item in items}
    with ThreadPoolExecutor(min(_PARALLEL, len(items)), thread_name_prefix="headwater-store") as pool:
        return dict(zip(items, pool.map(act, items), strict=True))
