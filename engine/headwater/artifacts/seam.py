"""The seam between kinds of values and the store: what a codec is, and what it is given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from headwater.digest import Digest, Json

    #: Within `Source`, the word names the size.
    Bytes: TypeAlias = bytes


@dataclass(frozen=True, slots=True)
class codec:  # noqa: N801  written in annotations, where a word in lower case reads as a choice
    """Chooses the codec of a result by name: ``Annotated[Model, codec("pickle")]``."""

    name: str


class Sink(Protocol):
    """Takes the body of one value, in one of three ways, and further objects that the body names."""

    def write(self, data: bytes | memoryview, /) -> int:
        """Add bytes to the body; large bodies go to disk by themselves. Returns how many were taken: all."""
        ...

    def file(self) -> Path:
        """Return a fresh path in the store's own file system; what is written there is the body."""
        ...

    def take(self, path: Path) -> None:
        """Let an existing file be the body; it is copied."""
        ...

    def put(self, bodies: Sequence[bytes]) -> Sequence[Digest]:
        """Store further objects, which the body names."""
        ...

    def put_file(self, path: Path) -> tuple[Digest, int]:
        """Store a copy of a file as a further object; returns its digest and size."""
        ...


class Source(Protocol):
    """Gives the body of one stored value, and what is needed to make the value again."""

    @property
    def meta(self) -> Mapping[str, Json]:
        """What ``encode`` returned."""
        ...

    @property
    def digest(self) -> Digest:
        """The body's digest."""
        ...

    @property
    def bytes(self) -> int:
        """The body's size."""
        ...

    @property
    def load(self) -> Callable[[str], type]:
        """Gives the class of a ``module:Qual.name``."""
        ...

    @property
    def trusted(self) -> bool:
        """Whether this user trusts who wrote the value, so that its code may run."""
        ...

    def read(self) -> Bytes:
        """Return the body."""
        ...

    def local(self) -> Path | None:
        """Return a file that holds the body, to be mapped and never to be written; None for a small body."""
        ...

    def fetch(self, name: str) -> Path:
        """Return a private copy of the body as a file of that name, which may be written."""
        ...

    def folder(self, name: str) -> Path:
        """Return a fresh, empty, private folder of that name."""
        ...

    def get(self, digests: Iterable[Digest]) -> Mapping[Digest, Bytes]:
        """Return further objects, which the body names."""
        ...

    def fetch_object(self, digest: Digest, to: Path) -> None:
        """Copy a further object to a new file, which may be written."""
        ...


@runtime_checkable
class Codec(Protocol):
    """Stores and reads values of some kind. A provider: entry-point group ``headwater.codecs``, an instance each.

    Equal values must give equal bodies, in every process, and different values different ones: keys know a value by
    the digest of its body, not by what ``encode`` returns. ``decode`` must give a value of its own each time: changing
    it in place changes neither what is stored nor what others were given.
    """

    @property
    def name(self) -> str:
        """The name under which values record it; that of its entry point."""
        ...

    def matches(self, value: object) -> bool:
        """Tell whether this codec stores such a value; without importing the library of its values."""
        ...

    def encode(self, value: object, sink: Sink) -> Mapping[str, Json]:
        """Write the value's body and return what ``decode`` needs beside it; raises ValueNotStorable."""
        ...

    def decode(self, source: Source) -> object:
        """Return the value."""
        ...
