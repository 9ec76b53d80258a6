"""Profiles and settings: ``headwater.toml``, or ``[tool.headwater]`` in ``pyproject.toml``.

What a step needs stands in code; where it runs stands here::

    store = ".headwater"                    # or s3://bucket/prefix
    backend = "dask"

    [backends.dask]                         # settings of a backend
    address = "tcp://127.0.0.1:8786"

    [limits]                                # at most so many steps of a group at once
    database = 2

    [profile.cloud]                         # chosen with --profile cloud; overlays the above
    store = "s3://bucket/prefix"
    [profile.cloud.steps.train]
    backend = "dask"
    resources = { cpus = 8 }
"""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, cast

from headwater.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headwater.digest import Json

STORE_VARIABLE = "HEADWATER_STORE"
FILE = "headwater.toml"
DEFAULT_STORE = ".headwater"
DEFAULT_BACKEND = "dask"

_TOP: Mapping[str, type | tuple[type, ...]] = {
    "store": str,
    "backend": str,
    "concurrency": int,
    "backends": dict,
    "limits": dict,
    "steps": dict,
    "keep": int,
    "profile": dict,
}
_PROFILE = {key: kind for key, kind in _TOP.items() if key != "profile"}
_STEP: Mapping[str, type | tuple[type, ...]] = {
    "backend": str,
    "resources": dict,
    "timeout": (str, int, float),
    "retry": int,
    "priority": int,
}
_NONE: Mapping[str, Json] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Profile:
    """Where steps run and where things are kept."""

    name: str = "default"
    #: URL or path of the store, as written; a relative path is relative to the project.
    store: str = DEFAULT_STORE
    #: Backend of every step that does not name one.
    backend: str = DEFAULT_BACKEND
    #: At most so many attempts at once; None: what the backends can take.
    concurrency: int | None = None
    #: Backend name → its settings.
    backends: Mapping[str, Mapping[str, Json]] = field(default_factory=lambda: MappingProxyType({}))
    #: Step name (an element of a map by its map's name) → overrides.
    steps: Mapping[str, Mapping[str, Json]] = field(default_factory=lambda: MappingProxyType({}))
    #: Limit group → how many at once.
    limits: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    #: How many ended runs of each pipeline the garbage collector keeps; None: all.
    keep: int | None = None

    def settings(self, backend: str) -> Mapping[str, Json]:
        """Return the settings of one backend."""
        return self.backends.get(backend, _NONE)

    def for_step(self, step: str) -> Mapping[str, Json]:
        """Return the overrides for one step; ``train[3]`` and ``train-2`` fall back on ``train``."""
        for name in (step, step.partition("[")[0]):
            if name in self.steps:
                return self.steps[name]
        return _NONE


def load_profile(
    project: Path, *, name: str | None = None, store: str | None = None, backend: str | None = None
) -> Profile:
    """Read a project's settings, overlay the chosen profile, then the arguments given here.

    The store is, first that is there: the argument, ``HEADWATER_STORE``, the profile's, ``.headwater`` in the project.
    Raises ConfigError for a file that cannot be read, an unknown setting, or a profile that is not there.
    """
    source, document = _read(project)
    _check(document, _TOP, source, "")
    merged = {key: value for key, value in document.items() if key != "profile"}
    profiles = cast("dict[str, dict[str, Json]]", document.get("profile", {}))
    if name is not None:
        if name not in profiles:
            raise ConfigError(
                f"there is no profile named {name!r}",
                facts={"file": source, "known": ", ".join(sorted(profiles)) or "none"},
                hint=f"add a table [profile.{name}] to {FILE}",
            )
        overlay = profiles[name]
        _check(overlay, _PROFILE, source, f"profile.{name}.")
        merged = _overlay(merged, overlay)
    for step, table in cast("dict[str, dict[str, Json]]", merged.get("steps", {})).items():
        _check(table, _STEP, source, f"steps.{step}.")
    chosen = store or os.environ.get(STORE_VARIABLE) or cast("str", merged.get("store", DEFAULT_STORE))
    return Profile(
        name=name or "default",
        store=_resolve_store(chosen, Path.cwd() if store or os.environ.get(STORE_VARIABLE) else project),
        backend=backend or cast("str", merged.get("backend", DEFAULT_BACKEND)),
        concurrency=cast("int | None", merged.get("concurrency")),
        backends=cast("Mapping[str, Mapping[str, Json]]", merged.get("backends", {})),
        steps=cast("Mapping[str, Mapping[str, Json]]", merged.get("steps", {})),
        limits=cast("Mapping[str, int]", merged.get("limits", {})),
        keep=cast("int | None", merged.get("keep")),
    )


def _resolve_store(text: str, base: Path) -> str:
    if "://" in text:
        return text
    return str((base / Path(text).expanduser()).resolve())


def _read(project: Path) -> tuple[str, dict[str, Json]]:
    own, shared = project / FILE, project / "pyproject.toml"
    if own.is_file():
        return FILE, _parse(own)
    if shared.is_file():
        tool = cast("dict[str, dict[str, Json]]", _parse(shared).get("tool", {}))
        return "pyproject.toml [tool.headwater]", tool.get("headwater", {})
    return FILE, {}


def _parse(path: Path) -> dict[str, Json]:
    try:
        return cast("dict[str, Json]", tomllib.loads(path.read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{path.name} is not valid TOML", facts={"file": path, "error": error}, hint="mend the file at that place"
        ) from error


def _check(table: object, known: Mapping[str, type | tuple[type, ...]], source: str, where: str) -> None:
    if not isinstance(table, dict):
        raise ConfigError(f"setting '{where.rstrip('.')}' must be a table", facts={"file": source})
    for key, value in cast("dict[str, object]", table).items():
        if key not in known:
            raise ConfigError(
                f"there is no setting '{where}{key}'",
                facts={"file": source, "known": ", ".join(known)},
                hint="remove it, or write it as one of the known settings",
            )
        if not isinstance(value, known[key]) or isinstance(value, bool):
            kinds = known[key] if isinstance(known[key], tuple) else (known[key],)
            wanted = " or ".join(kind.__name__ for kind in cast("tuple[type, ...]", kinds))
            raise ConfigError(
                f"setting '{where}{key}' must be of type {wanted}, not {type(value).__name__}", facts={"file": source}
            )


def _overlay(below: Mapping[str, Json], above: Mapping[str, Json]) -> dict[str, Json]:
    merged = dict(below)
    for key, value in above.items():
        under = merged.get(key)
        merged[key] = _overlay(under, value) if isinstance(value, dict) and isinstance(under, dict) else value
    return merged
