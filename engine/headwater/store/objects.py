"""Immutable bytes under their digest, alone or in packs, on top of any kind of files.

Layout: ``objects/<first two digits>/<the rest>`` and ``packs/`` (see :mod:`headwater.store.packs`).
"""

from __future__ import annotations

import io
import os
import secrets
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Literal

from headwater.digest import digest_bytes, digest_stream, is_digest
from headwater.errors import Corrupt, ObjectMissing, StoreError
from headwater.store.folder import copy_hashed
from headwater.store.packs import Packs

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from headwater.digest import Digest
    from headwater.store.files import Files

#: What is checked when an object of a local folder is read; objects from elsewhere are always hashed.
Verify = Literal["always", "size", "never"]

_FOLDER = "objects"
#: File of an object → what its inode looked like when it was hashed, by this process, and was right.
_VERIFIED: dict[str, tuple[int, ...]] = {}
_EMPTY = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What a store tells of one object."""

    digest: Digest
    bytes: int
    #: When it was written, on the store's clock.
    modified: float


class Objects:
    """The objects of one store."""

    def __init__(self, files: Files, *, verify: Verify) -> None:
        self._files = files
        self._packs = Packs(files)
        self._verify = verify
        self._is_local = files.local("") is not None
        self._hashes = verify == "always" or not self._is_local

    # ------------------------------------------------------------------------------------------------------ writing

    def put(self, data: bytes) -> Digest:
        """Store some bytes; nothing is written when they are there."""
        digest = digest_bytes(data)
        if not self._packed({digest: data}):
            self._files.add(_path(digest), data)
        return digest

    def put_many(self, bodies: Sequence[bytes]) -> list[Digest]:
        """Store many byte strings, one object each."""
        digests = [digest_bytes(data) for data in bodies]
        bodies_of = dict(zip(digests, bodies, strict=True))
        packed = self._packed(bodies_of)
        self._files.add_many({_path(digest): data for digest, data in bodies_of.items() if digest not in packed})
        return digests

    def put_pack(self, bodies: Sequence[bytes]) -> list[Digest]:
        """Store many small byte strings in one file; those that are known to be there are left out."""
        digests = [digest_bytes(data) for data in bodies]
        wanted = dict(zip(digests, bodies, strict=True))
        if self._is_local:  # where asking costs a stat, not a request
            for digest in [digest for digest, data in wanted.items() if self._loose_size(digest) == len(data)]:
                self._files.add(_path(digest), wanted.pop(digest))
            self._packed(wanted)
        self._packs.write(wanted)
        return digests

    def _packed(self, bodies: Mapping[Digest, bytes]) -> set[Digest]:
        """Return those objects that packs hold; from packs that are here, what is not right is taken out."""
        held = self._packs.holding(bodies)
        if self._is_local and held:
            found = self._packs.read_many(held)
            wrong = {digest for digest in held if found.get(digest) != bodies[digest]}
            if wrong:
                self._packs.delete(wrong)
            held -= wrong
        return held

    def put_file(self, path: Path) -> tuple[Digest, int]:
        """Store a snapshot of a file; what is hashed is the snapshot, so the file may change meanwhile."""
        temporary = self._files.temporary()
        try:
            digest, size = copy_hashed(path, temporary)
            self._files.add_file(_path(digest), temporary)
        except OSError as error:
            raise StoreError(
                "a file could not be stored", facts={"file": path, "reason": error.strerror or error}
            ) from error
        finally:
            temporary.unlink(missing_ok=True)
        return digest, size

    def put_aside(self, digest: Digest) -> bool:
        """Move an object that is not what its name says under ``quarantine/``; False if it is right, or not there."""
        try:
            if digest_bytes(self._read(_checked(digest), 0, None)) == digest:
                return False
        except ObjectMissing:
            return False
        except Corrupt:  # a pack that cannot be read
            pass
        try:
            data = self._read(digest, 0, self._size(digest) or 0)
        except StoreError:
            data = b""
        self._files.create(f"quarantine/{digest}", data)
        self.delete([digest])
        return True

    def delete(self, digests: Collection[Digest]) -> None:
        """Remove objects, wherever they lie."""
        doomed = {_checked(digest) for digest in digests}
        self._packs.delete(doomed)
        for digest in doomed:
            self._files.delete(_path(digest))

    # ------------------------------------------------------------------------------------------------------ reading

    def get(self, digest: Digest, *, size: int | None = None) -> bytes:
        """Return an object's bytes, verified."""
        data = self._read(_checked(digest), 0, None)
        self._check(digest, data, size)
        return data

    def get_many(self, digests: Iterable[Digest]) -> dict[Digest, bytes]:
        """Return the bytes of many objects, verified."""
        wanted = [_checked(digest) for digest in dict.fromkeys(digests)]
        if wanted:
            self._packs.refresh()  # one listing may save a thousand questions
        found = self._packs.read_many(wanted)
        loose = {_path(digest): digest for digest in wanted if digest not in found}
        found |= {loose[path]: data for path, data in self._files.read_many(loose).items()}
        for digest, data in found.items():
            self._check(digest, data, None)
        return {digest: found[digest] if digest in found else self.get(digest) for digest in wanted}

    def read_range(self, digest: Digest, start: int, length: int) -> bytes:
        """Return a part of an object, as it is: a part cannot be verified."""
        if start < 0 or length < 0:
            raise ValueError(f"a range starts at 0 or later and has a length: {start}, {length}")
        return self._read(_checked(digest), start, length)

    def _read(self, digest: Digest, start: int, length: int | None) -> bytes:
        for _ in range(2):
            place = self._packs.known(digest)
            try:
                if place:
                    return self._packs.read(place, start=start, length=length)
                if length is None:
                    return self._files.read(_path(digest))
                return self._files.read_range(_path(digest), start, length)
            except FileNotFoundError:
                self._packs.refresh()  # it may be in a pack that is new, or in one that was rewritten
        raise self._missing(digest)

    def open(self, digest: Digest, *, size: int | None = None) -> IO[bytes]:
        """Open an object for reading; from elsewhere, it is brought here and verified first."""
        path = self.local_path(digest, size=size)
        if path is not None:
            return path.open("rb")
        if self._is_local or self._packs.known(digest):
            return io.BytesIO(self.get(digest, size=size))
        part = self._files.temporary()
        try:
            self._download(digest, part)
            return part.open("rb")
        finally:
            part.unlink(missing_ok=True)  # an open file outlives its name

    def local_path(self, digest: Digest, *, size: int | None = None) -> Path | None:
        """Return the object's own read-only file, or None where it has none.

        Each process hashes a file before it first gives it out, and again once the file was touched.
        """
        path = self._files.local(_path(_checked(digest)))
        if path is None or (found := self._files.size(_path(digest))) is None:
            return None
        if found != (found if size is None else size) or _is_torn(digest, found):
            raise self._corrupt(digest, f"{found} bytes" + ("" if size is None else f" instead of {size}"))
        if self._hashes:
            self._check_file(digest, path)
        return path

    def fetch(self, digest: Digest, to: Path) -> None:
        """Copy an object to a file of its own, which appears whole and may be changed."""
        to.parent.mkdir(parents=True, exist_ok=True)
        part = to.with_name(f".{to.name[:100]}.{secrets.token_hex(4)}")
        try:
            self._download(_checked(digest), part)
            part.replace(to)
        except OSError as error:
            raise StoreError(
                "an object could not be copied to a file", facts={"file": to, "reason": error.strerror or error}
            ) from error
        finally:
            part.unlink(missing_ok=True)

    def _download(self, digest: Digest, part: Path) -> None:
        try:
            found = None if self._packs.known(digest) else self._copy_loose(digest, part)
        except FileNotFoundError:
            part.unlink(missing_ok=True)
            found = None
        if found is None:
            part.write_bytes(self.get(digest))
        elif found != digest:
            raise self._corrupt(digest, f"the content has digest {found}")

    def _copy_loose(self, digest: Digest, part: Path) -> Digest:
        source = self._files.local(_path(digest))
        if source is not None and self._hashes:
            return copy_hashed(source, part)[0]
        self._files.download(_path(digest), part)
        if not self._hashes:
            return digest  # taken on trust, as was asked for
        with part.open("rb") as file:
            return digest_stream(file)[0]

    # ------------------------------------------------------------------------------------------------------- asking

    def size(self, digest: Digest) -> int:
        """Return an object's size in bytes."""
        size = self._size(_checked(digest))
        if size is None:
            raise self._missing(digest)
        return size

    def has(self, digest: Digest) -> bool:
        """Tell whether an object is there."""
        return self._size(_checked(digest)) is not None

    def _size(self, digest: Digest) -> int | None:
        for _ in range(2):
            if self._packs.holding([digest]) and (place := self._packs.known(digest)):
                return place.length
            if (size := self._loose_size(digest)) is not None:
                return size
            self._packs.refresh()
        return None

    def _loose_size(self, digest: Digest) -> int | None:
        size = self._files.size(_path(digest))
        # A file that a loss of power emptied counts as missing, so that it is made again.
        return None if _is_torn(digest, size) else size

    def missing(self, digests: Iterable[Digest]) -> set[Digest]:
        """Return those of the objects that are not there."""
        wanted = {_checked(digest) for digest in digests}
        if wanted:
            self._packs.refresh()  # one listing may save a thousand questions
        wanted -= self._packs.holding(wanted)
        sizes = self._files.sizes([_path(digest) for digest in wanted])
        return {digest for digest in wanted if _is_torn(digest, sizes.get(_path(digest)))}

    def all(self) -> Iterator[ObjectInfo]:
        """Yield every object once."""
        packed: set[Digest] = set()
        for digest, place, modified in self._packs.objects():
            packed.add(digest)
            yield ObjectInfo(digest, place.length, modified)
        for info in self._files.infos(_FOLDER):
            digest = info.path.removeprefix(f"{_FOLDER}/").replace("/", "")
            if is_digest(digest) and digest not in packed:
                yield ObjectInfo(digest, info.bytes, info.modified)

    # ----------------------------------------------------------------------------------------------------- checking

    def _check(self, digest: Digest, data: bytes, size: int | None) -> None:
        if self._hashes:
            if (found := digest_bytes(data)) != digest:
                raise self._corrupt(digest, f"the content has digest {found}")
        elif self._verify == "size" and (_is_torn(digest, len(data)) or (size is not None and len(data) != size)):
            raise self._corrupt(digest, f"{len(data)} bytes")

    def _check_file(self, digest: Digest, path: Path) -> None:
        name = str(path)
        try:
            with path.open("rb") as file:
                looks = _looks(file)
                if _VERIFIED.get(name) == looks:
                    return
                found = digest_stream(file)[0]
        except FileNotFoundError as error:
            raise self._missing(digest) from error
        except OSError as error:
            raise StoreError(
                "an object could not be read", facts={"path": path, "reason": error.strerror or error}
            ) from error
        if found != digest:
            raise self._corrupt(digest, f"the content has digest {found}")
        _VERIFIED[name] = looks

    def _corrupt(self, digest: Digest, reason: str) -> Corrupt:
        place = self._packs.known(digest)
        path = place.pack if place else _path(digest)
        return Corrupt(
            "an object in the store is not what its name says",
            facts={"digest": digest, "path": self._files.local(path) or f"{self._files.url}/{path}", "reason": reason},
            hint="hw fsck",
        )

    def _missing(self, digest: Digest) -> ObjectMissing:
        return ObjectMissing("an object is not in the store", facts={"digest": digest, "store": self._files.url})


def _path(digest: Digest) -> str:
    return f"{_FOLDER}/{digest[:2]}/{digest[2:]}"


def _looks(file: IO[bytes]) -> tuple[int, ...]:
    """Return what changes when a file is written to or replaced."""
    status = os.fstat(file.fileno())
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _checked(digest: Digest) -> Digest:
    if not is_digest(digest):
        raise StoreError(f"{digest!r} is not a digest", hint="a digest is 64 lowercase hexadecimal digits")
    return digest


def _is_torn(digest: Digest, size: int | None) -> bool:
    """Tell whether a size says that the object is not there whole: only the empty object is empty."""
    return size is None or (size == 0 and digest != _EMPTY)
