"""What a step finds around it: packages as in its key, variables, secrets, and no more threads than cores."""

from __future__ import annotations

import importlib
import os
import sys
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

from headwater.types import Fault
from headwater.worker.failure import failed

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from headwater.digest import Json

#: A secret ``NAME`` may be given to the worker under this name, so that the step alone sees it as ``NAME``.
SECRET_PREFIX = "HEADWATER_SECRET_"  # noqa: S105  a name, not a secret

#: Variables that math libraries read when they are loaded.
_THREADS = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "POLARS_MAX_THREADS",
)
#: Modules whose native thread pools can be capped after they were loaded.
_NATIVE = ("numpy", "scipy", "sklearn", "torch", "xgboost", "lightgbm")


def check_environment(wanted: Mapping[str, Json]) -> None:
    """End the attempt with a ``config`` fault if what is installed here is not what the key says."""
    python = f"{sys.version_info[0]}.{sys.version_info[1]}"
    if (version := wanted.get("python", python)) != python:
        raise failed(Fault.CONFIG, "EnvironmentMismatch", f"the worker runs Python {python}, the key says {version}")
    packages = cast("Mapping[str, str]", wanted.get("packages") or {})
    for name, version in packages.items():
        found = installed(name, version)
        if found != version:
            here = f"{name} {found}" if found else f"no {name}"
            raise failed(Fault.CONFIG, "EnvironmentMismatch", f"the worker has {here}, the key says {name} {version}")


@lru_cache(maxsize=4096)
def installed(name: str, expected: str) -> str | None:
    """Return the version of a distribution here. ``expected`` is tried first: that needs no metadata library."""
    if f"{_normal(name)}-{expected}.dist-info" in _dist_infos(tuple(sys.path)):
        return expected
    from importlib import metadata

    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


@lru_cache(maxsize=4)
def _dist_infos(path: tuple[str, ...]) -> frozenset[str]:
    """Return the names of the metadata folders on a path; a distribution's first one counts."""
    found: dict[str, str] = {}
    for entry in path:
        for name in _listed(entry):
            head, _, rest = name.partition("-")
            head = _normal(head)
            found.setdefault(head, f"{head}-{rest}")
    return frozenset(found.values())


@lru_cache(maxsize=256)
def _listed(folder: str) -> tuple[str, ...]:
    """Return the names of the metadata folders in a folder, as they were when it was first asked for."""
    try:
        names = os.listdir(folder or ".")  # noqa: PTH208  names only, quickly
    except OSError:
        return ()
    return tuple(sorted(name for name in names if name.endswith(".dist-info")))


#: Folder → names of the metadata folders in it, when this process first looked.
_SEEN: dict[str, tuple[str, ...]] = {}


def note_installed() -> None:
    """Note what is installed now, for :func:`were_replaced`."""
    for entry in sys.path:
        _SEEN.setdefault(entry, _listed(entry))


def were_replaced(names: Collection[str]) -> bool:
    """Tell whether one of some distributions was installed, removed or replaced since this process first looked."""
    wanted = {_normal(name) for name in names}
    return any(
        {name for name in before if _normal(name.partition("-")[0]) in wanted}
        != {name for name in now if _normal(name.partition("-")[0]) in wanted}
        for entry in dict.fromkeys(sys.path)
        if (before := _listed(entry)) != (now := _listed.__wrapped__(entry))
    )


def are_surroundings_current(project: str) -> bool:
    """Tell whether this process would be the same if it began now: packages, and what the project's modules read."""
    from headwater.worker.observe import are_imports_current

    seen = dict(_SEEN)
    note_installed()
    is_replaced = any(_listed.__wrapped__(folder) != names for folder, names in seen.items() if folder in sys.path)
    return not is_replaced and are_imports_current(project)


def _normal(name: str) -> str:
    return name.replace("-", "_").replace(".", "_").lower()


def resolve_secrets(names: Sequence[str], environ: Mapping[str, str]) -> dict[str, str]:
    """Return the values of secrets, from the worker's own environment variables."""
    values: dict[str, str] = {}
    for name in names:
        value = environ.get(SECRET_PREFIX + name, environ.get(name))
        if value is None:
            raise failed(
                Fault.CONFIG,
                "SecretMissing",
                f"the worker has no secret '{name}': set the variable {SECRET_PREFIX}{name} or {name} there",
            )
        values[name] = value
    return values


def secret_values(names: Sequence[str], environ: Mapping[str, str]) -> list[str]:
    """Return the values of those secrets that are there: what must not be shown."""
    found = (environ.get(SECRET_PREFIX + name, environ.get(name)) for name in names)
    return [value for value in found if value]


#: What modules changed while they were imported; they will not do so again: variable → its value, None if removed.
_KEPT: dict[str, str | None] = {}


@contextmanager
def variables(values: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables, and put back all that was there, but for what modules changed on their import."""
    before = dict(os.environ)
    _KEPT.clear()
    os.environ.update(values)
    try:
        yield
    finally:
        set_variables({name: before.get(name) for name in {**before, **os.environ}} | _KEPT)


@contextmanager
def keeping_variables() -> Iterator[None]:
    """Let the changes of variables that are made inside outlive the attempt: a module is imported only once."""
    before = dict(os.environ)
    try:
        yield
    finally:
        names = {**before, **os.environ}
        _KEPT.update({name: os.environ.get(name) for name in names if os.environ.get(name) != before.get(name)})


def set_variables(values: Mapping[str, str | None]) -> None:
    """Let variables have these values, None for not being there; what is right already is not touched."""
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        elif os.environ.get(name) != value:
            os.environ[name] = value


@contextmanager
def working_folder(folder: str | None) -> Iterator[None]:
    """Work in a folder, if it exists, and go back."""
    if not folder or not os.path.isdir(folder):  # noqa: PTH112
        yield
        return
    before = os.getcwd()  # noqa: PTH109
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def thread_variables(cpus: float, declared: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that cap math libraries at a step's cores; what the step declares itself wins."""
    count = str(max(1, int(cpus)))
    return {name: declared.get(name, count) for name in _THREADS}


class ThreadCap:
    """Caps the thread pools of libraries that are loaded already; putting it on again with the same number is free."""

    def __init__(self) -> None:
        self._seen: tuple[int, int] | None = None
        self._arrow_before: int | None = None
        self._native_before: Any = None

    def apply(self, cpus: float) -> None:
        """Let math libraries use so many threads from now on."""
        count = max(1, int(cpus))
        if (count, len(sys.modules)) == self._seen:
            return
        if (arrow := sys.modules.get("pyarrow")) is not None and hasattr(arrow, "set_cpu_count"):
            self._arrow_before = self._arrow_before or arrow.cpu_count()
            arrow.set_cpu_count(count)
        if any(name in sys.modules for name in _NATIVE):
            self._cap_native(count)
        self._seen = (count, len(sys.modules))

    def release(self) -> None:
        """Put back the numbers that were found."""
        if self._arrow_before is not None:
            sys.modules["pyarrow"].set_cpu_count(self._arrow_before)
        if self._native_before is not None:
            self._native_before.restore_original_limits()
        self._seen = self._arrow_before = self._native_before = None

    def _cap_native(self, count: int) -> None:
        try:
            threadpoolctl: Any = importlib.import_module("threadpoolctl")
        except ImportError:
            return
        limits = threadpoolctl.threadpool_limits(limits=count)
        self._native_before = self._native_before or limits
