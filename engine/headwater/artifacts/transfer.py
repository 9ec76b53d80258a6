"""Values into the store, and out of it again."""

from __future__ import annotations

import contextlib
import io
import secrets
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self, TypeAlias, cast

from headwater.artifacts.artifact import INLINE, Artifact
from headwater.artifacts.choice import choose_codec, find_codec
from headwater.artifacts.plain import JsonCodec
from headwater.artifacts.trees import encode_tree, read_tree
from headwater.digest import digest_bytes, digest_stream
from headwater.errors import Corrupt, ObjectMissing, ProviderError, StepError
from headwater.values import load_type, parse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from headwater.artifacts.paths import Dir
    from headwater.artifacts.seam import Codec
    from headwater.digest import Digest, Json

    #: Within `_Source`, the word names the size.
    Bytes: TypeAlias = bytes

#: A body up to this size is gathered in memory; a larger one in a file.
_IN_MEMORY = 1 << 20
#: A body from this size on, in a store elsewhere, is fetched to disk and mapped.
_FETCHED = 8 << 20


class Objects(Protocol):
    """What is needed of a store: :class:`headwater.store.Store` has it."""

    @property
    def root(self) -> Path | None:
        """The folder, or None when the store is not one."""
        ...

    def put(self, data: bytes) -> Digest:
        """Store some bytes."""
        ...

    def put_pack(self, bodies: Sequence[bytes]) -> Sequence[Digest]:
        """Store many small byte strings together."""
        ...

    def put_file(self, path: Path) -> tuple[Digest, int]:
        """Store a copy of a file."""
        ...

    def get(self, digest: Digest, *, size: int | None = None) -> bytes:
        """Return an object."""
        ...

    def get_many(self, digests: Iterable[Digest]) -> Mapping[Digest, bytes]:
        """Return many objects."""
        ...

    def local_path(self, digest: Digest, *, size: int | None = None) -> Path | None:
        """Return an object's own file, where it has one."""
        ...

    def fetch(self, digest: Digest, to: Path) -> None:
        """Copy an object to a file that may be changed."""
        ...


# -------------------------------------------------------------------------------------------------------- encoding


def encode_value(
    value: object, spec: str, store: Objects, *, scratch: Path | None = None, declared: str = ""
) -> Artifact:
    """Store a value and return its artifact; a small body travels in the artifact, and is not put.

    ``spec`` is the declared type (see ``type_spec``) and ``declared`` its words, for messages. ``scratch`` is where a
    large body is written first, when the store is not a folder.
    """
    return encode_with(choose_codec(value, spec, declared=declared), value, store, scratch=scratch)


def encode_with(codec: Codec, value: object, store: Objects, *, scratch: Path | None = None) -> Artifact:
    """Store a value through one codec and return its artifact."""
    with _Sink(store, scratch) as sink:
        meta = codec.encode(value, sink)
        return sink.artifact(codec.name, meta)


def describe_value(
    value: object, spec: str = "any", *, digest_file: Callable[[Path], Digest] | None = None, declared: str = ""
) -> Artifact:
    """Return the artifact that a value would be, and store nothing; ``digest_file`` may remember files it has seen."""
    return encode_value(value, spec, _DigestOnly(digest_file or _digest_of_file), declared=declared)


class _Sink:
    """Gathers the body of one value: in memory while it is small, then in a file beside the store's own."""

    def __init__(self, store: Objects, scratch: Path | None) -> None:
        self._store = store
        self._scratch = scratch
        self._memory: io.BytesIO | None = io.BytesIO()
        self._stream: io.BufferedWriter | None = None
        self._body: Path | None = None
        self._temporary: Path | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._stream is not None:
            self._stream.close()
        if self._temporary is not None:
            self._temporary.unlink(missing_ok=True)

    def write(self, data: bytes | memoryview, /) -> int:
        size = memoryview(data).nbytes
        if self._memory is not None and self._memory.tell() + size > _IN_MEMORY:
            self._stream = self.file().open("wb")
            self._stream.write(self._memory.getbuffer())
            self._memory = None
        cast("io.BytesIO", self._memory if self._memory is not None else self._stream).write(data)
        return size

    def file(self) -> Path:
        folder = self._store.root / "tmp" if self._store.root is not None else self._scratch
        if folder is None:
            folder = Path(tempfile.gettempdir())
        folder.mkdir(parents=True, exist_ok=True)
        self._body = self._temporary = folder / f"body-{secrets.token_hex(8)}"
        return self._body

    def take(self, path: Path) -> None:
        self._body = path

    def put(self, bodies: Sequence[bytes]) -> Sequence[Digest]:
        return [self._store.put(bodies[0])] if len(bodies) == 1 else self._store.put_pack(bodies)

    def put_file(self, path: Path) -> tuple[Digest, int]:
        return self._store.put_file(path)

    def artifact(self, codec: str, meta: Mapping[str, Json]) -> Artifact:
        if self._stream is not None:
            self._stream.close()
        body = self._small_body()
        if body is None:
            digest, size = self._store.put_file(cast("Path", self._body))
            return Artifact(digest, codec, size, meta)
        if len(body) <= INLINE:
            return Artifact(digest_bytes(body), codec, len(body), meta, inline=body)
        return Artifact(self._store.put(body), codec, len(body), meta)

    def _small_body(self) -> bytes | None:
        """Return the body if it is in memory, or in a file so small that it can be inline."""
        if self._body is None:
            return cast("io.BytesIO", self._memory).getvalue()
        with self._body.open("rb") as file:
            start = file.read(INLINE + 1)
        return start if len(start) <= INLINE else None


class _DigestOnly:
    """Stands for a store where only digests are wanted."""

    root = None

    def __init__(self, digest_file: Callable[[Path], Digest]) -> None:
        self._digest_file = digest_file

    def put(self, data: bytes) -> Digest:
        return digest_bytes(data)

    def put_pack(self, bodies: Sequence[bytes]) -> list[Digest]:
        return [digest_bytes(body) for body in bodies]

    def put_file(self, path: Path) -> tuple[Digest, int]:
        return self._digest_file(path), path.stat().st_size

    def get(self, digest: Digest, *, size: int | None = None) -> bytes:
        raise ObjectMissing("nothing was stored", facts={"digest": digest, "bytes": size})

    def get_many(self, digests: Iterable[Digest]) -> dict[Digest, bytes]:
        return {digest: self.get(digest) for digest in digests}

    def local_path(self, digest: Digest, *, size: int | None = None) -> None:
        self.get(digest, size=size)

    def fetch(self, digest: Digest, to: Path) -> None:
        raise ObjectMissing("nothing was stored", facts={"digest": digest, "file": to})


def _digest_of_file(path: Path) -> Digest:
    with path.open("rb") as file:
        return digest_stream(file)[0]


# -------------------------------------------------------------------------------------------------------- decoding


def decode_value(
    artifact: Artifact,
    store: Objects,
    *,
    scratch: Path,
    load: Callable[[str], type] = load_type,
    trusted: bool = False,
) -> object:
    """Return the value of an artifact, a private one each time: changing it changes nothing stored, nor other values.

    Files and folders are made in ``scratch``. ``load`` gives classes by name. Values whose reading runs code (pickles)
    are read only if their writer is ``trusted``; else TrustError.
    """
    codec = find_codec(artifact.type)
    try:
        return decode_with(codec, artifact, store, scratch=scratch, load=load, trusted=trusted)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        raise ProviderError(
            f"a value of type {artifact.type!r} needs {missing!r}, which is not installed",
            hint=f"pip install {missing}",
        ) from error


def decode_with(
    codec: Codec,
    artifact: Artifact,
    store: Objects,
    *,
    scratch: Path,
    load: Callable[[str], type] = load_type,
    trusted: bool = False,
) -> object:
    """Return the value of an artifact through one codec."""
    return codec.decode(_Source(artifact, store, scratch, load, trusted=trusted))


def read_json(artifact: Artifact, store: Objects) -> Json:
    """Return the typed JSON of a plain value, without loading its classes; raises StepError for other types."""
    if artifact.type != JsonCodec.name:
        raise StepError(
            f"a value of type {artifact.type!r} has no fields and cannot be compared",
            facts={"digest": artifact.digest},
            hint="return what you want to ask for as a plain value or a dataclass",
        )
    return parse(_body(artifact, store))


def references(artifact: Artifact, store: Objects) -> Iterator[Digest]:
    """Yield every object that a value needs, its own body first (even where that is inline)."""
    yield artifact.digest
    yield from cast("Sequence[str]", artifact.meta.get("refs", ()))
    if artifact.type == "dir":
        yield from (digest for _, digest, _, _ in read_tree(_body(artifact, store)) if digest is not None)


def members(artifact: Artifact, store: Objects) -> Mapping[str, Json]:
    """Return what is in a folder: path → digest and whether it is executable; raises ObjectMissing, Corrupt."""
    return _by_path(_body(artifact, store))


def members_of_source(folder: Dir, digest_file: Callable[[Path], Digest]) -> Mapping[str, Json]:
    """Return what is in a folder on this disk as ``members`` would, and store nothing."""
    with _Sink(_DigestOnly(digest_file), None) as sink:
        return _by_path(encode_tree(folder, sink))


def _by_path(body: bytes) -> dict[str, Json]:
    return {path: [digest, is_executable] for path, digest, _, is_executable in read_tree(body)}


def _body(artifact: Artifact, store: Objects) -> bytes:
    if artifact.inline is None:
        return store.get(artifact.digest, size=artifact.bytes)
    if digest_bytes(artifact.inline) != artifact.digest:
        raise Corrupt("the body within an artifact is not what its digest says", facts={"digest": artifact.digest})
    return artifact.inline


class _Source:
    """The body of one artifact, and where private copies of it are made."""

    def __init__(
        self, artifact: Artifact, store: Objects, scratch: Path, load: Callable[[str], type], *, trusted: bool
    ) -> None:
        self._artifact = artifact
        self._store = store
        self._scratch = scratch
        self.load = load
        self.trusted = trusted

    @property
    def meta(self) -> Mapping[str, Json]:
        return self._artifact.meta

    @property
    def digest(self) -> Digest:
        return self._artifact.digest

    @property
    def bytes(self) -> int:
        return self._artifact.bytes

    def read(self) -> Bytes:
        return _body(self._artifact, self._store)

    def local(self) -> Path | None:
        if self._artifact.inline is not None:
            return None
        path = self._store.local_path(self.digest, size=self.bytes)
        return self.fetch("body") if path is None and self.bytes >= _FETCHED else path

    def fetch(self, name: str) -> Path:
        path = self._fresh() / name
        if self._artifact.inline is not None:
            path.write_bytes(self.read())
        else:
            self._store.fetch(self.digest, path)
        return path

    def folder(self, name: str) -> Path:
        path = self._fresh() / name
        path.mkdir()
        return path

    def get(self, digests: Iterable[Digest]) -> Mapping[Digest, Bytes]:
        return self._store.get_many(digests)

    def fetch_object(self, digest: Digest, to: Path) -> None:
        self._store.fetch(digest, to)

    def _fresh(self) -> Path:
        with contextlib.suppress(FileExistsError):
            self._scratch.mkdir(parents=True)
        return Path(tempfile.mkdtemp(prefix="value-", dir=self._scratch))
