"""Codecs of files and folders.

A file's body is its content; what a consumer sees is named after the content and the suffixes, so that equal files are
interchangeable. A folder's body is a *tree object*, canonical JSON: ``{"tree/1": [[path, digest, bytes, executable],
…]}`` sorted by path, relative with "/"; an empty folder is ``[path + "/", null, 0, false]``.
"""

from __future__ import annotations

import json
import os
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, TypeAlias, cast

from headwater.artifacts.paths import Dir, File
from headwater.digest import canonical, is_digest
from headwater.errors import Corrupt, SetupError, ValueNotStorable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from headwater.artifacts.seam import Sink, Source
    from headwater.digest import Digest, Json

FORMAT = "tree/1"
#: Files up to this size are stored together with others, and read several at a time.
SMALL = 64 << 10
_BATCH = 256

#: Path, digest (None for an empty folder), bytes, executable.
Entry: TypeAlias = "tuple[str, Digest | None, int, bool]"


def stable_name(kind: str, digest: Digest, suffix: str = "") -> str:
    """Return the name under which a consumer sees a file or folder: the same for all that are interchangeable."""
    return f"{kind}-{digest[:12]}{suffix}"


class FileCodec:
    """Files, as they are."""

    name = "file"

    def matches(self, value: object) -> bool:
        """Tell whether the value is a File."""
        return isinstance(value, File)

    def encode(self, value: object, sink: Sink) -> Mapping[str, Json]:
        """Take the file's content in."""
        assert isinstance(value, File)
        sink.take(checked_file(value))
        return {"suffix": "".join(value.suffixes), "name": value.name}

    def decode(self, source: Source) -> File:
        """Return a private copy."""
        suffix = cast("str", source.meta.get("suffix", ""))
        if "/" in suffix or os.sep in suffix:
            raise Corrupt("a file's suffix holds a path", facts={"suffix": suffix})
        return File(source.fetch(stable_name("file", source.digest, suffix)))


class DirCodec:
    """Folders, as tree objects."""

    name = "dir"

    def matches(self, value: object) -> bool:
        """Tell whether the value is a Dir."""
        return isinstance(value, Dir)

    def encode(self, value: object, sink: Sink) -> Mapping[str, Json]:
        """Take every file of the folder in."""
        assert isinstance(value, Dir)
        sink.write(encode_tree(value, sink))
        return {"name": value.name}

    def decode(self, source: Source) -> Dir:
        """Return a private copy."""
        folder = source.folder(stable_name("dir", source.digest))
        unpack_tree(source.read(), folder, source)
        return Dir(folder)


def checked_file(file: File) -> Path:
    """Return the path of a file that exists; raises ValueNotStorable."""
    path = file.path
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "is no plain file" if path.exists() else "does not exist"
        hint = "use Dir for a folder" if path.is_dir() else "write the file before returning it"
        raise ValueNotStorable(f"the File {path} {what}", hint=hint)
    return path


def encode_tree(folder: Dir, sink: Sink) -> bytes:
    """Store the files of a folder and return its tree object."""
    root = folder.path
    if not root.is_dir():
        what = "is no folder" if root.exists() else "does not exist"
        raise ValueNotStorable(f"the Dir {root} {what}", hint="fill the folder before returning it")
    members = list(_members(root, root.resolve(), "", (root.resolve(),)))
    entries: dict[str, Entry] = {path: (path, None, 0, False) for path, place in members if place is None}
    small: list[tuple[str, Path]] = []
    for path, place in members:
        if place is not None and place.stat().st_size <= SMALL:
            small.append((path, place))
        elif place is not None:
            digest, size = sink.put_file(place)
            entries[path] = (path, digest, size, _is_executable(place))
    for start in range(0, len(small), _BATCH):
        batch = small[start : start + _BATCH]
        bodies = [place.read_bytes() for _, place in batch]
        for (path, place), body, digest in zip(batch, bodies, sink.put(bodies), strict=True):
            entries[path] = (path, digest, len(body), _is_executable(place))
    return canonical({FORMAT: [list(entries[path]) for path in sorted(entries)]})


def _members(folder: Path, root: Path, prefix: str, above: tuple[Path, ...]) -> Iterator[tuple[str, Path | None]]:
    """Yield the relative path and place of every file below a folder; an empty folder has a "/" and no place."""
    is_empty = True
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        is_empty = False
        path, place = f"{prefix}{entry.name}", Path(entry.path)
        _check_name(path)
        target = _followed(place, root, path) if entry.is_symlink() else place
        if target.is_dir():
            real = target.resolve()
            if real in above:
                raise ValueNotStorable(
                    f"the link {path} leads back to a folder that it is in", hint="remove the link from the Dir"
                )
            yield from _members(target, root, f"{path}/", (*above, real))
        elif target.is_file():
            yield path, target
        else:
            raise ValueNotStorable(f"{path} is neither file nor folder", hint="remove it from the Dir")
    if is_empty and prefix:
        yield prefix, None


def _check_name(path: str) -> None:
    try:
        path.encode()
    except UnicodeEncodeError:
        raise ValueNotStorable(f"the name {path!r} in a Dir is not in UTF-8", hint="rename the file") from None


def _followed(link: Path, root: Path, path: str) -> Path:
    target = link.resolve()
    if not target.exists():
        raise ValueNotStorable(
            f"the link {path} in a Dir leads nowhere", hint="remove it, or store what it should name"
        )
    if not target.is_relative_to(root):
        raise ValueNotStorable(
            f"the link {path} leads out of its Dir", facts={"to": target}, hint="copy what it names into the Dir"
        )
    return target


def _is_executable(path: Path) -> bool:
    return bool(path.stat().st_mode & 0o100)


def read_tree(body: bytes) -> list[Entry]:
    """Return the entries of a tree object; raises Corrupt, also where a path would leave the folder."""
    try:
        document = cast("dict[str, Json]", json.loads(body))
        if next(iter(document)) != FORMAT:
            raise SetupError(
                f"a folder was stored in the form {next(iter(document))!r}, which is not known here",
                hint="pip install --upgrade headwater",
            )
        return [_checked_entry(cast("Sequence[Json]", entry)) for entry in cast("list[Json]", document[FORMAT])]
    except (ValueError, TypeError, AttributeError, StopIteration) as error:
        raise Corrupt("this is no tree object", facts={"because": error}) from error


def _checked_entry(entry: Sequence[Json]) -> Entry:
    path, digest, size, executable = entry
    if not isinstance(path, str) or not isinstance(size, int) or not isinstance(executable, bool):
        raise TypeError(f"not an entry: {entry}")
    if digest is not None and not (isinstance(digest, str) and is_digest(digest)):
        raise TypeError(f"not a digest: {digest}")
    inside = path.removesuffix("/") if digest is None else path
    parts = inside.split("/")
    if not set(parts).isdisjoint({"", ".", ".."}) or "\0" in path or PurePosixPath(*parts).as_posix() != inside:
        raise ValueError(f"not a path inside a folder: {path!r}")
    return path, digest, size, executable


def unpack_tree(body: bytes, folder: Path, source: Source) -> None:
    """Fill an empty folder with what a tree object names."""
    entries = read_tree(body)
    for path, digest, _, _ in entries:
        (folder / path if digest is None else (folder / path).parent).mkdir(parents=True, exist_ok=True)
    small = [entry for entry in entries if entry[1] is not None and entry[2] <= SMALL]
    for start in range(0, len(small), _BATCH):
        batch = small[start : start + _BATCH]
        bodies = source.get({cast("str", digest) for _, digest, _, _ in batch})
        for path, digest, _, executable in batch:
            _write(folder / path, bodies[cast("str", digest)])
            _set_mode(folder / path, executable=executable)
    for path, digest, size, executable in entries:
        if digest is not None and size > SMALL:
            source.fetch_object(digest, folder / path)
            _set_mode(folder / path, executable=executable)


def _write(path: Path, body: bytes) -> None:
    with path.open("xb") as file:
        file.write(body)


def _set_mode(path: Path, *, executable: bool) -> None:
    mode = path.stat().st_mode
    path.chmod((mode | 0o600 | ((mode & 0o444) >> 2 | 0o100)) if executable else (mode | 0o600) & ~0o111)
