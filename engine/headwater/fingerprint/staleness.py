"""Whether the modules that are loaded are what is on disk now."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from headwater.digest import digest_bytes
from headwater.fingerprint.trees import parse

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
    #: Modules that it tries to import and that were not there.
    missing: frozenset[str]


_LOADED: dict[str, _Loaded] = {}
_SEEN: dict[str, int] = {}


def note_loaded(project: Project) -> None:
    """Note the project's loaded modules with their sources; cheap when nothing was loaded since the last call."""
    state = len(sys.modules)
    if _SEEN.get(str(project.root)) == state:
        return
    _SEEN[str(project.root)] = state
    inside = tuple({str(place) for root in project.roots for place in (root.given, *root.paths)})
    for loading, path in _modules():
        is_below = path.startswith(inside) or os.path.realpath(path).startswith(inside)
        if is_below and project.has(path):
            _note(project, loading, path)


def _note(project: Project, loading: object, path: str) -> None:
    known = _LOADED.get(path)
    if known is not None and known.loading is loading:
        return
    try:
        state, data = Path(path).stat(), Path(path).read_bytes()
    except OSError:
        return
    digest = digest_bytes(data)
    missing = frozenset(name for name in _imported(data, digest) if project.module_path(name) is None)
    _LOADED[path] = _Loaded(loading, state.st_size, state.st_mtime_ns, digest, missing)


def _imported(data: bytes, digest: str) -> set[str]:
    """Return the top-level modules that a source imports and that are not loaded."""
    tree = parse(data, digest)
    targets = [target for several in tree.imports.values() for target in several] if tree is not None else []
    tops = {target.loads.partition(".")[0] for target in targets if not target.level}
    return {top for top in tops if top and top not in sys.modules}


def stale_modules(project: Project) -> list[Path]:
    """Return the project's loaded sources that have other bytes now than when they were noted; those gone too.

    So is one that could not import a module which is there now.
    """
    for loading, path in _modules():
        if path in _LOADED:  # it may have been reloaded since
            _note(project, loading, path)
    return sorted(
        Path(path)
        for path, loaded in _LOADED.items()
        if project.has(path)
        and (_is_stale(path, loaded) or any(project.module_path(name) is not None for name in loaded.missing))
    )


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
