"""Under which name a class is found again, and which classes a stored value may name."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import pathlib
import sys
from enum import Enum

from headwater.errors import SetupError

_MAIN = frozenset({"__main__", "__mp_main__"})
#: A file that makes a folder a project.
_MARKERS = ("headwater.toml", "pyproject.toml")
#: Set on a class that Python code defined (``Py_TPFLAGS_HEAPTYPE``).
_HEAP_TYPE = 1 << 9


def canonical_module(module: str) -> str:
    """Return the name under which other processes import a module.

    That is its own name, but for the file being run: ``__main__`` becomes the name that the file has below its project
    (the nearest folder with a ``headwater.toml`` or ``pyproject.toml``, else the file's own). In a notebook or at a
    prompt there is no such file, and ``__main__`` stays.
    """
    if module not in _MAIN:
        return module
    main = sys.modules.get("__main__")
    spec, file = getattr(main, "__spec__", None), getattr(main, "__file__", None)
    if spec is not None:
        return str(spec.name)
    if file is None:
        return "__main__"
    path = pathlib.Path(file).absolute()
    folders = [folder for folder in path.parents if any((folder / marker).is_file() for marker in _MARKERS)]
    parts = path.with_suffix("").relative_to(folders[0] if folders else path.parent).parts
    return ".".join(parts) if path.suffix == ".py" and not any("." in part for part in parts) else "__main__"


def load_type(name: str) -> type:
    """Import and return the class of a ``module:Qual.name``; raises SetupError when it is not there."""
    module_name, _, qualname = name.partition(":")
    in_main = module_name == canonical_module("__main__") and "__main__" in sys.modules
    try:
        # The file being run is that module: importing it a second time would make a second class.
        module = sys.modules["__main__"] if in_main else importlib.import_module(module_name)
        found: object = functools.reduce(getattr, qualname.split("."), module)
    except (ImportError, AttributeError, ValueError) as error:
        raise SetupError(
            f"a stored value is of the class {name}, which cannot be loaded",
            facts={"because": error},
            hint="the class was moved, renamed or removed since; run the step that made the value again",
        ) from error
    return checked_type(found, name)


def checked_type(found: object, name: str) -> type:
    """Return what was found under a name if it is a dataclass, NamedTuple or enum; else raise SetupError."""
    if isinstance(found, type) and (issubclass(found, Enum) or is_data(found) or is_named(found)):
        return found
    raise SetupError(
        f"a stored value is of the class {name}, which is no dataclass, NamedTuple or enum",
        hint="the name means something else since; run the step that made the value again",
    )


def is_named(kind: type) -> bool:
    """Tell whether a class is a NamedTuple."""
    return issubclass(kind, tuple) and isinstance(getattr(kind, "_fields", None), tuple)


def is_data(kind: type) -> bool:
    """Tell whether a class is a dataclass that holds attributes only: no subclass of dict, Exception and the like."""
    return dataclasses.is_dataclass(kind) and all(
        base is object or base.__flags__ & _HEAP_TYPE for base in kind.__mro__
    )
