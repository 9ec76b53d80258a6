"""Installed distributions: which one a module belongs to, what it needs, which are local code."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlparse

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

#: The engine itself is never part of what it fingerprints.
ENGINE = "headwater"


@dataclass(frozen=True, slots=True)
class LocalInstall:
    """A distribution whose code is on this machine to be edited: an editable or a path install."""

    name: str
    #: The folder that names of its files are told relative to.
    base: Path
    #: Files and folders that belong to it.
    paths: tuple[Path, ...]


def normalise(name: str) -> str:
    """Return a distribution's name in its canonical spelling (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def installed_versions(distributions: Iterable[str]) -> dict[str, str]:
    """Return the installed versions of some distributions; those not installed are left out."""
    found = {normalise(name): _facts(normalise(name)) for name in distributions}
    return {name: facts.version for name, facts in sorted(found.items()) if facts is not None}


def closure_of(distributions: Iterable[str]) -> dict[str, str]:
    """Return the versions of some distributions and of all that they need, by their declared requirements."""
    found: dict[str, str] = {}
    todo = [(normalise(name), frozenset[str]()) for name in distributions]
    done: set[tuple[str, frozenset[str]]] = set()
    while todo:
        name, extras = todo.pop()
        if (name, extras) in done:
            continue
        done.add((name, extras))
        facts = _facts(name)
        if facts is not None:
            found[name] = facts.version
            todo += _needed(facts.requires, extras)
    return dict(sorted(found.items()))


def distributions_of(module: str) -> tuple[str, ...]:
    """Return the distributions that provide a module, found without importing it; empty if none does."""
    return _distributions_of(module.partition(".")[0], tuple(sys.path))


def local_installs() -> tuple[LocalInstall, ...]:
    """Return the editable and path installs, and folders that ``.pth`` files add to the path."""
    return _local_installs(tuple(sys.path))


def is_standard(module: str) -> bool:
    """Tell whether a module belongs to Python itself."""
    top = module.partition(".")[0]
    return top in sys.stdlib_module_names or top in sys.builtin_module_names


def refresh() -> None:
    """Forget what was read if something was installed or removed since: a process may outlive several versions."""
    state = tuple((folder, _changed(folder)) for folder in sys.path)
    if _STATES and _STATES[-1] != state:
        forget()
    _STATES[:] = [state]


#: Folders of the path, and when they last changed, at the last look.
_STATES: list[tuple[tuple[str, int], ...]] = []


def _changed(folder: str) -> int:
    try:
        return os.stat(folder or ".").st_mtime_ns  # noqa: PTH116  many
    except OSError:
        return 0


def forget() -> None:
    """Forget what was read, as after an installation in the running process."""
    for remembered in (_facts, _distributions_of, _local_installs, _metadata_folders, _requirement):
        remembered.cache_clear()


@dataclass(frozen=True, slots=True)
class _Facts:
    version: str
    requires: tuple[str, ...]


@cache
def _facts(name: str) -> _Facts | None:
    from importlib.metadata import PackageNotFoundError  # noqa: PLC0415  slow to import
    from importlib.metadata import distribution as installed

    try:
        distribution = installed(name)
    except PackageNotFoundError:
        return None
    return _Facts(distribution.version, tuple(distribution.requires or ()))


@cache
def _requirement(text: str, extras: frozenset[str]) -> tuple[str, frozenset[str]] | None:
    from packaging.requirements import InvalidRequirement, Requirement  # noqa: PLC0415

    try:
        requirement = Requirement(text)
    except InvalidRequirement:
        return None
    marker = requirement.marker
    if marker is not None and not any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
        return None
    return normalise(requirement.name), frozenset(requirement.extras)


def _needed(requires: Iterable[str], extras: frozenset[str]) -> list[tuple[str, frozenset[str]]]:
    return [needed for text in requires if (needed := _requirement(text, extras)) is not None]


@cache
def _metadata_folders(folder: str) -> Mapping[str, Path]:
    """Return the metadata folders in one folder of the path, by normalised distribution name."""
    try:
        entries = sorted(entry.name for entry in Path(folder).iterdir())
    except OSError:
        return {}
    metadata = [e for e in entries if e.endswith((".dist-info", ".egg-info"))]
    return {normalise(e.rpartition(".")[0].partition("-")[0]): Path(folder, e) for e in metadata}


@cache
def _distributions_of(top: str, path: tuple[str, ...]) -> tuple[str, ...]:
    guess = normalise(top)
    for folder in path:
        metadata = _metadata_folders(folder).get(guess)
        if metadata is not None and _provides(metadata, top):
            return (guess,)
    for folder in path:
        found = [name for name, metadata in _metadata_folders(folder).items() if _provides(metadata, top)]
        if found:
            return tuple(sorted(found))
    return ()


def _provides(metadata: Path, top: str) -> bool:
    names = _text(metadata / "top_level.txt").split()
    if names:
        return top in names
    record = "\n" + _text(metadata / "RECORD")
    return (
        f"\n{top}/" in record
        or f"\n{top}.py," in record
        or re.search(rf"\n{re.escape(top)}\.[\w.-]*(so|pyd),", record) is not None
    )


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


@cache
def _local_installs(path: tuple[str, ...]) -> tuple[LocalInstall, ...]:
    found: dict[Path, LocalInstall] = {}
    for folder in path:
        for name, metadata in _metadata_folders(folder).items():
            install = _from_direct_url(name, metadata)
            if install is not None and name != ENGINE:
                found[install.paths[0]] = install
        for entry in _pth_entries(folder):
            known = any(entry.is_relative_to(install.base) for install in found.values())
            if not known and not _is_engine(entry):
                found[entry] = LocalInstall(entry.name, entry, (entry,))
    return tuple(found[place] for place in sorted(found))


def _from_direct_url(name: str, metadata: Path) -> LocalInstall | None:
    text = _text(metadata / "direct_url.json")
    if not text:
        return None
    try:
        document = json.loads(text)
        url = urlparse(document["url"])
    except (ValueError, KeyError, TypeError):
        return None
    if url.scheme != "file":
        return None
    if document.get("dir_info", {}).get("editable"):
        source = Path(os.path.realpath(unquote(url.path)))
        return LocalInstall(name, source, (source,))
    base = Path(os.path.realpath(metadata.parent))
    tops = _top_levels(metadata)
    paths = tuple(p for top in tops for p in (base / top, base / f"{top}.py") if p.exists())
    return LocalInstall(name, base, paths) if paths else None


def _top_levels(metadata: Path) -> list[str]:
    names = _text(metadata / "top_level.txt").split()
    if not names:
        lines = [line.partition(",")[0] for line in _text(metadata / "RECORD").splitlines()]
        firsts = {line.partition("/")[0].removesuffix(".py") for line in lines if line.endswith(".py")}
        names = [first for first in firsts if first.isidentifier()]
    return sorted(set(names))


def _pth_entries(folder: str) -> list[Path]:
    try:
        names = sorted(entry.name for entry in Path(folder).iterdir() if entry.suffix == ".pth")
    except OSError:
        return []
    lines = [line.strip() for name in names for line in _text(Path(folder, name)).splitlines()]
    places = [Path(folder, line) for line in lines if line and not line.startswith(("#", "import ", "import\t"))]
    return [Path(os.path.realpath(place)) for place in places if place.is_dir() and "site-packages" not in place.parts]


def _is_engine(entry: Path) -> bool:
    spec = importlib.util.find_spec(ENGINE)
    origin = Path(os.path.realpath(spec.origin)) if spec is not None and spec.origin else None
    if origin is None:
        return False
    beside = (entry / ENGINE / "__init__.py", entry.parent / "engine" / ENGINE / "__init__.py")
    return any(place.exists() and place.samefile(origin) for place in beside)
