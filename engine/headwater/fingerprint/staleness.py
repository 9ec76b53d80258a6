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

    #: What the module was loaded by, last: a reload makes it anew.
    loading: object
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
    for loading, path in _modules():
        if path.startswith(inside) or os.path.realpath(path).startswith(inside):
            _note(loading, path)


def _note(loading: object, path: str) -> None:
    known = _LOADED.get(path)
    if known is not None and known.loading is loading:
        return
    try:
        state, data = Path(path).stat(), Path(path).read_bytes()
    except OSError:
        return
    _LOADED[path] = _Loaded(loading, state.st_size, state.st_mtime_ns, digest_bytes(data))


def stale_modules(project: Project) -> list[Path]:
    """Return the project's loaded sources that have other bytes now than when they were noted; those gone too."""
    for loading, path in _modules():
        if path in _LOADED:  # it may have been reloaded since
            _note(loading, path)
    return sorted(Path(path) for path, loaded in _LOADED.items() if project.has(path) and _is_stale(path, loaded))


def _is_stale(path: str, loaded: _Loaded) -> bool:
    try:
        state = Path(path).stat()
        if (state.st_size, state.st_mtime_ns) == (loaded.size, loaded.changed_ns):
            return False
        return digest_bytes(Path(path).read_bytes()) != loaded.digest
    except OSError:
        return True


def _modules() -> Iterator[tuple[object, str]]:
    """Yield what loaded the modules that come from Python files, and their paths."""
    for module in list(sys.modules.values()):
        # Through the dictionary: asking a lazy module for an attribute would load it.
        names = getattr(module, "__dict__", {})
        path = names.get("__file__")
        if isinstance(path, str) and path.endswith(".py"):
            yield names.get("__spec__") or names, path
