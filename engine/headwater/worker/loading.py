"""From ``module:qualname`` to the object: by import, or from what the driver offered for its own process."""

from __future__ import annotations

import importlib
import sys
import threading
from functools import reduce
from typing import TYPE_CHECKING

from headwater.errors import SetupError
from headwater.values import canonical_module

if TYPE_CHECKING:
    from collections.abc import Callable

    from headwater.worker.observe import Observer

_LOCK = threading.Lock()
#: Bundle digest → entry → function: what is loaded here and is known to be what the bundle holds.
_OFFERED: dict[str, dict[str, object]] = {}
#: Bundle digest → what its modules read from files while they were imported here.
_READS: dict[str, Observer] = {}


def load(entry: str) -> object:
    """Return the object that ``module:qualname`` names, by import; the file being run is not imported again."""
    name, _, qualname = entry.partition(":")
    module = sys.modules.get("__main__") if name == canonical_module("__main__") else None
    found: object = module if module is not None else importlib.import_module(name)
    return reduce(getattr, qualname.split("."), found) if qualname else found


def offer(bundle: str, entry: str, function: object, *, reads: Observer | None = None) -> None:
    """Say that ``function``, loaded in this process, is what ``entry`` names in the bundle of that digest.

    In-process backends call functions that were offered; everything else runs in a step process, from the bundle. So
    whoever offers vouches that what is loaded here is what was fingerprinted. ``reads`` is what saw the project being
    imported (:func:`headwater.worker.observe.importing`): files that modules read then count for every step.
    """
    with _LOCK:
        _OFFERED.setdefault(bundle, {})[entry] = function
        if reads is not None:
            _READS[bundle] = reads


def reads_of(bundle: str) -> Observer | None:
    """Return what saw the modules of a bundle being imported here, if anything did."""
    with _LOCK:
        return _READS.get(bundle)


def withdraw(bundle: str) -> None:
    """Forget what was offered for a bundle."""
    with _LOCK:
        _OFFERED.pop(bundle, None)
        _READS.pop(bundle, None)


def is_offered(bundle: str, entry: str) -> bool:
    """Tell whether an in-process backend may run this entry of that bundle here."""
    with _LOCK:
        return entry in _OFFERED.get(bundle, {})


def loader_for(bundle: str) -> Callable[[str], object]:
    """Return a ``load`` that prefers what was offered for a bundle, for in-process backends."""
    with _LOCK:
        offered = dict(_OFFERED.get(bundle, {}))
    return lambda entry: offered[entry] if entry in offered else load(entry)


def function_of(loaded: object, entry: str) -> Callable[..., object]:
    """Return the plain function behind what was loaded: a step object stands for the function that it wraps."""
    function = getattr(loaded, "__wrapped__", loaded) if type(loaded).__module__.startswith("headwater.") else loaded
    if not callable(function):
        raise SetupError(f"'{entry}' is not a function", facts={"it is": type(function).__name__})
    return function
