r"""Many small objects in one file, with an index at its end.

A pack is immutable and lies at ``packs/<digest of the whole pack>``::

    bodies, one after the other
    index: canonical JSON {"headwater": "pack/1", "objects": {digest: [offset, length], …}}
    length of the index, 8 bytes, big-endian
    b"hw-pack\n"

Indexes are read once and kept; packs are listed only when an object is found nowhere else.
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headwater.digest import canonical, digest_bytes, is_digest
from headwater.errors import Corrupt
from headwater.store.files import in_parallel

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from headwater.digest import Digest
    from headwater.store.files import Files

_FOLDER = "packs"
_FORMAT = "pack/1"
_MAGIC = b"hw-pack\n"
_FOOTER = 8 + len(_MAGIC)
#: How much of a pack's end is read at first: enough for the index of a few hundred objects.
_TAIL = 1 << 16
#: Reading so many bytes too much is cheaper than asking again.
_GAP = 1 << 16


@dataclass(frozen=True, slots=True)
class Place:
    """Where an object lies inside a pack."""

    #: The pack's path.
    pack: str
    start: int
    length: int


class Packs:
    """The packs of one store, and what is known of their indexes."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._lock = threading.Lock()
        self._indexes: dict[str, dict[Digest, Place]] = {}
        self._places: dict[Digest, Place] = {}

    def known(self, digest: Digest) -> Place | None:
        """Return where an object lies, as far as the indexes that were read tell."""
        return self._places.get(digest)

    def holding(self, digests: Iterable[Digest]) -> set[Digest]:
        """Return those objects that known packs still hold: who removes garbage may have removed a pack."""
        packs = {digest: place.pack for digest in digests if (place := self._places.get(digest))}
        alive = self._files.sizes(sorted(set(packs.values()))) if packs else {}
        for path in alive:
            self._files.mark(path)
        if len(alive) < len(set(packs.values())):
            self.refresh()
        return {digest for digest, path in packs.items() if path in alive}

    def refresh(self) -> None:
        """Read the indexes of new packs and forget packs that are gone."""
        with self._lock:
            names = {name for name in self._files.children(_FOLDER) if is_digest(name)}
            gone, new = self._indexes.keys() - names, names - self._indexes.keys()
            for name in gone:
                del self._indexes[name]
            if gone:  # an object may be in another pack too, so start from what is left
                self._places = {digest: place for index in self._indexes.values() for digest, place in index.items()}
            for name, index in self._read_indexes(new).items():
                self._indexes[name] = index
                self._places.update(index)

    def _read_indexes(self, names: Iterable[str]) -> dict[str, dict[Digest, Place]]:
        sizes = self._files.sizes([f"{_FOLDER}/{name}" for name in sorted(names)])
        found = in_parallel(lambda path: self._read_index(path, sizes[path]), list(sizes))
        return {path.removeprefix(f"{_FOLDER}/"): index for path, index in found.items() if index is not None}

    def _read_index(self, path: str, size: int) -> dict[Digest, Place] | None:
        try:
            tail = self._files.read_range(path, max(0, size - _TAIL), _TAIL)
            length = int.from_bytes(tail[-_FOOTER : -len(_MAGIC)], "big")
            if not tail.endswith(_MAGIC) or length + _FOOTER > size:
                raise _corrupt(path)
            if length + _FOOTER > len(tail):
                tail = self._files.read_range(path, size - _FOOTER - length, length + _FOOTER)
        except FileNotFoundError:
            return None  # removed since it was listed
        return _places(path, tail[-_FOOTER - length : -_FOOTER])

    def read(self, place: Place, *, start: int = 0, length: int | None = None) -> bytes:
        """Return a packed object or a part of it; FileNotFoundError when its pack is gone."""
        wanted = place.length - start if length is None else min(length, place.length - start)
        return self._files.read_range(place.pack, place.start + start, wanted) if wanted > 0 else b""

    def read_many(self, digests: Iterable[Digest]) -> dict[Digest, bytes]:
        """Return those objects that known packs hold, neighbours in one go."""
        wanted = {place: digest for digest in digests if (place := self._places.get(digest))}
        found: dict[Digest, bytes] = {}
        for stretch, data in in_parallel(self._read_stretch, _stretches(wanted)).items():
            if data is None:
                continue  # the pack is gone
            for place in stretch:
                start = place.start - stretch[0].start
                found[wanted[place]] = data[start : start + place.length]
        return found

    def _read_stretch(self, stretch: tuple[Place, ...]) -> bytes | None:
        first, last = stretch[0], stretch[-1]
        try:
            return self._files.read_range(first.pack, first.start, last.start + last.length - first.start)
        except FileNotFoundError:
            return None

    def objects(self) -> Iterator[tuple[Digest, Place, float]]:
        """Yield every packed object once, with the time when its pack was written."""
        self.refresh()
        written = {info.path: info.modified for info in self._files.infos(_FOLDER)}
        for digest, place in list(self._places.items()):
            if place.pack in written:
                yield digest, place, written[place.pack]

    def write(self, bodies: Mapping[Digest, bytes]) -> None:
        """Write one pack; objects that a known pack already holds are left out."""
        bodies = {digest: data for digest, data in sorted(bodies.items()) if digest not in self._places}
        if not bodies:
            return
        path, pack, index = _assemble(bodies)
        self._files.add(path, pack)
        with self._lock:
            self._indexes[path.removeprefix(f"{_FOLDER}/")] = index
            self._places.update(index)

    def delete(self, digests: Collection[Digest]) -> None:
        """Remove objects from all packs: a pack that keeps some is written anew before the old one goes."""
        self.refresh()
        for name, index in list(self._indexes.items()):
            kept = {digest: place for digest, place in index.items() if digest not in digests}
            if len(kept) == len(index):
                continue
            try:
                self._rewrite(kept)
            except FileNotFoundError:
                continue  # somebody else removed it
            self._files.delete(f"{_FOLDER}/{name}")
        self.refresh()

    def _rewrite(self, kept: Mapping[Digest, Place]) -> None:
        if not kept:
            return
        bodies = {digest: self.read(place) for digest, place in sorted(kept.items())}
        for digest, data in bodies.items():
            if digest_bytes(data) != digest:
                raise _corrupt(kept[digest].pack)
        self._files.add(*_assemble(bodies)[:2])
        self._files.flush()


def _stretches(places: Iterable[Place]) -> list[tuple[Place, ...]]:
    """Group places so that each group is read in one go: of one pack, with small gaps only."""
    groups: list[list[Place]] = []
    for place in sorted(places, key=lambda place: (place.pack, place.start, place.length)):
        last = groups[-1][-1] if groups else None
        if last and last.pack == place.pack and place.start - last.start - last.length <= _GAP:
            groups[-1].append(place)
        else:
            groups.append([place])
    return [tuple(group) for group in groups]


def _assemble(bodies: Mapping[Digest, bytes]) -> tuple[str, bytes, dict[Digest, Place]]:
    """Return a pack's path, its bytes and its index."""
    places: dict[Digest, list[int]] = {}
    offset = 0
    for digest, data in bodies.items():
        places[digest] = [offset, len(data)]
        offset += len(data)
    index = canonical({"headwater": _FORMAT, "objects": places})
    pack = b"".join([*bodies.values(), index, len(index).to_bytes(8, "big"), _MAGIC])
    path = f"{_FOLDER}/{digest_bytes(pack)}"
    return path, pack, {digest: Place(path, *place) for digest, place in places.items()}


def _places(path: str, index: bytes) -> dict[Digest, Place]:
    try:
        document = json.loads(index)
        if document["headwater"] != _FORMAT:
            raise _corrupt(path)
        return {digest: Place(path, *place) for digest, place in document["objects"].items()}
    except (ValueError, KeyError, TypeError) as error:
        raise _corrupt(path) from error


def _corrupt(path: str) -> Corrupt:
    return Corrupt("a pack of small objects cannot be read", facts={"path": path}, hint="hw fsck")
