"""Which environment variables the project's code reads while the body of an attempt runs, that nobody declared.

``os.environ`` tells of single look-ups (``os.environ["X"]``, ``.get``, ``os.getenv``, ``in``) by code of the project.
What libraries look up for themselves does not count, nor does going through all variables, as a copy for a program
does. What modules look up while they are imported is the fingerprint's affair.
"""

from __future__ import annotations

import functools
import os
import sys
from typing import TYPE_CHECKING, Any, Literal, cast

from headwater.observed import label_of_variable, value_of_variable
from headwater.worker.current import current

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from types import FrameType

#: Modules whose frames stand between a look-up and the code that wanted it.
_BETWEEN = ("os", "collections.abc", "_collections_abc")
#: Variables that the engine sets itself.
_ENGINE = ("HEADWATER_",)
_CELLS = ("<ipython-input", "<cell", "<python-input", "<doctest")
#: Where a look for an import that is going on may stop.
_BODY = "headwater.worker.perform"


class Variables:
    """Notes what one attempt looks up; ``skip`` are those that it declared or was given."""

    def __init__(
        self,
        *,
        code: Collection[str] = (),
        project: str = "",
        foreign: Callable[[str], bool] = lambda _: False,
        skip: Collection[str] = (),
        is_strict: bool = False,
    ) -> None:
        self._code = code
        self._project = project.rstrip(os.sep) + os.sep if project else ""
        self._foreign = foreign
        self._skip = skip
        self._is_strict = is_strict
        self._is_own: dict[str, bool] = {}
        #: What going through all variables gave: it is no look-up to use such a name again.
        self._listed: dict[int, object] = {}
        #: Label → value.
        self.found: dict[str, str] = {}
        #: Name → value of those that modules looked up while they were imported; None where there was none.
        self.imported: dict[str, str | None] = {}
        #: Names that were set or removed by the code itself.
        self.made: set[str] = set()

    def looked_up(self, name: object, value: str | None, frame: FrameType) -> None:
        """Take note of a variable that is looked up; None where there is none."""
        if self._is_listed(name):
            return
        text = os.fsdecode(cast("str", name))
        is_hidden = self._is_strict and value is None  # undeclared variables are hidden: not there by design
        if is_hidden or text in self.made or text in self._skip or text.startswith(_ENGINE):
            return
        only_whether = frame.f_code.co_name == "__contains__" and _module(frame) in _BETWEEN
        label = label_of_variable(text, only_whether=only_whether)
        if label in self.found and text in self.imported:
            return
        reader: FrameType | None = frame
        while reader is not None and _module(reader) in _BETWEEN:
            reader = reader.f_back
        wanted = None if reader is None else self.when_wanted(reader)
        if wanted == "import":
            self.imported.setdefault(text, value)
        elif wanted == "body":
            self.found.setdefault(label, value_of_variable(label, {} if value is None else {text: value}))

    def listed(self, name: object) -> None:
        """Take note of a name that came up while all were gone through."""
        self._listed[id(name)] = name

    def _is_listed(self, name: object) -> bool:
        if len(cast("str", name)) > 1:
            return id(name) in self._listed
        return self._listed.pop(id(name), None) is not None  # Python has one object for each name of one letter

    def are_current(self) -> bool:
        """Tell whether everything that was looked up is still as it was."""
        return all(os.environ.get(name) == value for name, value in self.imported.items()) and all(
            value_of_variable(label, os.environ) == value for label, value in self.found.items()
        )

    def when_wanted(self, frame: FrameType) -> Literal["body", "import"] | None:
        """Tell whether a frame is of the project's code, and whether a module is being imported then."""
        reader: FrameType | None = frame
        if not self._owns(frame.f_code.co_filename):
            return None
        while reader is not None and _module(reader) != _BODY:
            file = reader.f_code.co_filename
            if file.startswith("<frozen importlib") or (reader.f_code.co_name == "<module>" and self._owns(file)):
                return "import"
            reader = reader.f_back
        return "body"

    def _owns(self, file: str) -> bool:
        if file not in self._is_own:
            is_cell = file.startswith(_CELLS) or f"{os.sep}ipykernel_" in file or "__marimo__cell" in file
            is_code = file in self._code or os.path.realpath(file) in self._code
            is_below = bool(self._project) and file.startswith(self._project) and not self._foreign(file)
            self._is_own[file] = is_cell or is_code or is_below
        return self._is_own[file]


def install() -> None:
    """Let ``os.environ`` tell of look-ups; done once per process, and without effect outside of attempts."""
    kind: Any = type(os.environ)
    look_up, go_through, put, remove = kind.__getitem__, kind.__iter__, kind.__setitem__, kind.__delitem__

    @functools.wraps(look_up)
    def __getitem__(environ: Any, name: object) -> object:  # noqa: N807
        watcher = _watcher()
        if watcher is None:
            return look_up(environ, name)
        value: object = None
        try:
            value = look_up(environ, name)
        finally:
            if isinstance(name, str | bytes):
                text = None if value is None else os.fsdecode(cast("str", value))
                watcher.looked_up(name, text, sys._getframe(1))  # noqa: SLF001
        return value

    @functools.wraps(go_through)
    def __iter__(environ: Any) -> Iterator[object]:  # noqa: N807
        watcher = _watcher()
        if watcher is None:
            return cast("Iterator[object]", go_through(environ))
        return _noted(watcher, go_through(environ))

    @functools.wraps(put)
    def __setitem__(environ: Any, name: object, value: object) -> None:  # noqa: N807
        put(environ, name, value)
        _note_made(name)

    @functools.wraps(remove)
    def __delitem__(environ: Any, name: object) -> None:  # noqa: N807
        remove(environ, name)
        _note_made(name)

    for method in (__getitem__, __iter__, __setitem__, __delitem__):
        setattr(kind, method.__name__, method)


def _watcher() -> Variables | None:
    performance = current()
    return None if performance is None or performance.observer is None else performance.observer.variables


def _noted(watcher: Variables, names: Iterator[object]) -> Iterator[object]:
    for name in names:
        watcher.listed(name)
        yield name


def _note_made(name: object) -> None:
    watcher = _watcher()
    if watcher is not None:
        watcher.made.add(os.fsdecode(cast("str", name)))


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", ""))
