"""The code that an attempt executes, as one immutable document named by its digest.

A bundle holds source files by root and relative path: ``project/features/bucket.py``. The root ``project`` is the
project's folder, ``pkg:<distribution>`` an editable install, ``made`` holds modules that were written for functions
without a file (a notebook's). Workers import from these bytes and from nothing else of the project.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from headwater.digest import canonical, digest_bytes
from headwater.errors import Corrupt, RequestError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headwater.digest import Digest, Json

FORMAT = "bundle/1"

#: Root of modules that were synthesised.
MADE = "made"
#: Root of the project's own files.
PROJECT = "project"
#: What the name of an editable install's root begins with.
PACKAGE = "pkg:"


@dataclass(frozen=True, slots=True)
class Bundle:
    """Source files by ``<root>/<relative posix path>``."""

    files: Mapping[str, bytes]

    def encode(self) -> bytes:
        """Return the canonical bytes of the bundle's document; equal files give equal bytes."""
        files: dict[str, Json] = {name: _encode_file(data) for name, data in self.files.items()}
        return canonical({"headwater": FORMAT, "files": files})

    @property
    def digest(self) -> Digest:
        """The digest of the encoded bytes: the name under which a store holds the bundle."""
        return digest_bytes(self.encode())

    @staticmethod
    def decode(data: bytes) -> Bundle:
        """Read a bundle from its bytes. Raises Corrupt for anything else."""
        try:
            document = json.loads(data)
            kind = document["headwater"]
            if kind != FORMAT:
                raise Corrupt(f"a code bundle has a format that this version cannot read: {kind!r}")
            return Bundle({_checked(name): _decode_file(file) for name, file in document["files"].items()})
        except (ValueError, KeyError, TypeError, AttributeError) as trouble:
            raise Corrupt("a code bundle cannot be read", facts={"because": trouble}) from trouble

    def roots(self) -> tuple[str, ...]:
        """Return the names of the roots in the order in which modules are looked for."""
        names = {name.partition("/")[0] for name in self.files}
        return tuple(
            sorted(names, key=lambda name: ((MADE, PROJECT).index(name) if name in (MADE, PROJECT) else 2, name))
        )


def make_bundle(
    roots: Mapping[str, Path], sources: Mapping[Path, bytes], *, made: Mapping[str, bytes] | None = None
) -> Bundle:
    """Return the bundle of some files' bytes, each under the innermost root that holds it.

    ``made`` are synthesised modules, by relative path. Raises RequestError for a file outside all roots.
    """
    files = {_place(path, roots): data for path, data in sources.items()}
    for name, data in (made or {}).items():
        files[_checked(f"{MADE}/{name}")] = data
    return Bundle(files)


def _place(path: Path, roots: Mapping[str, Path]) -> str:
    holders = [(len(root.parts), name, root) for name, root in roots.items() if path.is_relative_to(root)]
    if not holders:
        raise RequestError(
            f"{path} lies outside the project", hint="code that runs must be in the project or installed"
        )
    _, name, root = max(holders)
    return _checked(f"{name}/{path.relative_to(root).as_posix()}")


def _checked(name: str) -> str:
    """Refuse names that would leave their root."""
    parts = PurePosixPath(name).parts
    if len(parts) < 2 or name.startswith("/") or ".." in parts or "\\" in name or str(PurePosixPath(name)) != name:
        raise ValueError(f"not a file name of a bundle: {name!r}")
    return name


def _encode_file(data: bytes) -> Json:
    try:
        return {"text": data.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}


def _decode_file(file: Mapping[str, str]) -> bytes:
    if "text" in file:
        return file["text"].encode()
    return base64.b64decode(file["base64"], validate=True)
