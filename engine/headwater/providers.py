"""Find a provider by kind and name, late; with the sentence to print when it is missing.

A provider is *one of many, chosen by name*: a backend or a codec. Each kind has an entry-point group
``headwater.<kind>s``. Only the provider that is asked for is imported.
"""

from __future__ import annotations

import functools
import os
from types import MappingProxyType
from typing import TYPE_CHECKING

from headwater.errors import ProviderError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from importlib.metadata import EntryPoint

#: Set to ``none`` to leave out every plugin but headwater's own.
PLUGINS_VARIABLE = "HEADWATER_PLUGINS"
_OWN = "headwater"


@functools.cache
def names(kind: str) -> Mapping[str, EntryPoint]:
    """Return the providers of a kind by name, in alphabetical order; nothing is imported."""
    from importlib.metadata import entry_points

    found: dict[str, EntryPoint] = {}
    bare = os.environ.get(PLUGINS_VARIABLE) == "none"
    for point in sorted(entry_points(group=f"headwater.{kind}s"), key=lambda point: point.name):
        own = point.dist is not None and point.dist.name == _OWN
        if (own or not bare) and (own or point.name not in found):
            found[point.name] = point
    return MappingProxyType(found)


def find(kind: str, name: str) -> object:
    """Import and return the provider of that kind and name.

    Raises ProviderError when there is none of that name, or when a package that it needs is not installed.
    """
    known = names(kind)
    if name not in known:
        raise ProviderError(
            f"there is no {kind} named {name!r}",
            facts={"known": ", ".join(known) or "none"},
            hint=f"choose one of the known names, or install the package that provides {name!r}",
        )
    point = known[name]
    try:
        return point.load()
    except ModuleNotFoundError as error:
        raise missing(kind, name, error) from error
    except Exception as error:
        raise ProviderError(
            f"{kind} {name!r} cannot be loaded: {type(error).__name__}: {error}",
            facts={"provided by": point.value, "package": _package(point)},
            hint="reinstall or update that package",
        ) from error


def missing(kind: str, name: str, error: ModuleNotFoundError) -> ProviderError:
    """Return the error to raise when a provider cannot be used for want of a package."""
    module = (error.name or "").partition(".")[0]
    return ProviderError(
        f"{kind} {name!r} needs {module!r}, which is not installed",
        hint=_install_hint(names(kind)[name], name, module),
    )


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else "unknown"


def _install_hint(point: EntryPoint, name: str, missing: str) -> str:
    package = _package(point)
    if point.dist is not None and name in (point.dist.metadata.get_all("Provides-Extra") or []):
        return f"pip install '{package}[{name}]'"
    if package == _OWN:
        return f"pip install {missing}"
    return f"pip install --upgrade {package} {missing}"
