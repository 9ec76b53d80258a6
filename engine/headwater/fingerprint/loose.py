"""Foreign modules that belong to no distribution: folders that somebody put on the path."""

from __future__ import annotations

import sys
from functools import cache
from importlib.machinery import PathFinder
from pathlib import Path

from headwater.digest import digest_all, digest_bytes


def files_digest(top: str) -> str | None:
    """Return the digest of all files of a top-level module, found without importing it; None where there are none."""
    return _files_digest(top, tuple(sys.path))


@cache
def _files_digest(top: str, path: tuple[str, ...]) -> str | None:
    try:
        spec = PathFinder.find_spec(top, list(path))
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    folders = [Path(place) for place in spec.submodule_search_locations or ()]
    files = [Path(spec.origin)] if spec.origin and not folders else []
    suffixes = (".py", ".so", ".pyd")
    files += [f for folder in folders for f in sorted(folder.rglob("*")) if f.suffix in suffixes and f.is_file()]
    return digest_all(digest_bytes(file.read_bytes()) for file in files) if files else None
