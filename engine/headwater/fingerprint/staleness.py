"""Whether the modules that are loaded are what is on disk now."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from headwater.digest import digest_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headwater.fingerprint.project import Project


@dataclass(frozen=True, slots=True)
class _Loaded:
    """A source as it was soon after its module was loaded."""

    #: Identifies the module object: a reload is a new load.
    module: int
    size: int
    changed_ns: int
    digest: str


_LOADED: dict[str, _Loaded] = {}
_SEEN: dict[str, int] = {}


def note_loaded(root: Path) -> None:
    """Note the sources of loaded modules below a folder; cheap when nothing was loaded since the last call."""
    if _SEEN.get(str(root)) == len(sys.modules):
        return
    _SEEN[str(root)] = len(sys.modules)
    inside = str(root).rstrip(os.sep) + os.sep
    for module, path in _modules():
        if path.startswith(inside) or os.path.realpath(path).startswith(inside):
            _note(module, path)


def _note(module: int, path: str) -> None:
    known = _LOADED.get(path)
    if known is not None and known.module == module:
        return
    try:
        state, data = Path(path).stat(), Path(path).read_bytes()
    except OSError:
        return
    _LOADED[path] = _Loaded(module, state.st_size, state.st_mtime_ns, digest_bytes(data))


def stale_modules(project: Project) -> list[Path]:
    """Return the project's loaded sources that have other bytes now than when they were noted; those gone too."""
    return sorted(Path(path) for path, loaded in _LOADED.items() if project.has(path) and _is_stale(path, loaded))


def _is_stale(path: str, loaded: _Loaded) -> bool:
    try:
        state = Path(path).stat()
        if (state.st_size, state.st_mtime_ns) == (loaded.size, loaded.changed_ns):
            return False
        return digest_bytes(Path(path).read_bytes()) != loaded.digest
    except OSError:
        return True


def _modules() -> Iterator[tuple[int, str]]:
    """Yield the loaded modules that come from Python files, by identity and path."""
    for module in list(sys.modules.values()):
        # Through the dictionary: asking a lazy module for an attribute would load it.
        path = getattr(module, "__dict__", {}).get("__file__")
        if isinstance(path, str) and path.endswith(".py"):
            yield id(vars(module)), path
