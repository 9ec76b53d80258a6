"""Whether the project's code may remember something between attempts: in ``functools.cache``, or in a global.

What one attempt has read and remembered, the next one uses without reading it: then such a file counts for both. So it
is compared what the project's modules hold now with what they held when they had just been imported. Where an object
cannot be looked into, it is taken to have changed.
"""

from __future__ import annotations

import functools
import io
import sys
from collections import deque
from types import FunctionType, GeneratorType, MemberDescriptorType, ModuleType
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator

#: Objects looked at per module; a module that holds more is taken to have changed.
_MOST = 5_000
#: Of a container that holds more only the size counts.
_LARGE = 500
#: Bytes of an array that are compared.
_BYTES = 1 << 20
#: Types of things that change while they are used, without remembering what was read.
_IDLE = ("logging", "pathlib", "re", "threading", "_thread", "headwater")
_PLAIN = (bool, int, float, complex, str, bytes, tuple, frozenset)


class Memos:
    """Compares what modules of some files hold with what they held before."""

    def __init__(self, files: Container[str], *, is_shared: bool = False) -> None:
        self._files = files
        #: Whether attempts overlap: then nobody can tell which of them filled a memo.
        self._is_shared = is_shared
        #: Module's name → what it held once it had been imported, or when it was last found to have changed.
        self._before: dict[str, list[object]] = {}
        #: Module's name → its constants as they were once it had been imported.
        self._constants: dict[str, dict[str, object]] = {}
        self.note()

    def note(self) -> None:
        """Note what modules hold that have been imported since this was last called."""
        for name, module in self._modules():
            if name not in self._before:
                self._before[name] = self._held(module)
                self._constants[name] = _constants(module)

    def are_filled(self) -> bool:
        """Tell whether any module holds something else than when this was last asked."""
        changed = False
        for name, module in self._modules():
            held = self._held(module)
            if name not in self._before or not _are_same(self._before[name], held):
                changed = True
                self._constants.setdefault(name, _constants(module))
                if not self._is_shared:
                    self._before[name] = held
        return changed

    def constants_changed(self) -> list[str]:
        """Name the constants, as ``module.NAME``, that have another value than when their module had been imported."""
        return [
            f"{name}.{constant}"
            for name, module in self._modules()
            for constant, value in self._constants.get(name, {}).items()
            if not _is_same_value(value, vars(module).get(constant))
        ]

    def _modules(self) -> Iterator[tuple[str, ModuleType]]:
        for name, module in list(sys.modules.items()):
            file = getattr(module, "__file__", None)
            if isinstance(file, str) and file in self._files:
                yield name, module

    def _held(self, module: ModuleType) -> list[object]:
        """Return all that can be reached from a module, in an order that depends on nothing else."""
        found: list[object] = []
        seen: set[int] = set()
        # A package gets its modules as attributes when they are imported, which is no memory of anything.
        named = [(name, value) for name, value in list(vars(module).items()) if not isinstance(value, ModuleType)]
        todo: list[object] = [value for name, value in named if not name.startswith("__")]
        while todo:
            value = todo.pop()
            found.append(value)
            if len(found) > _MOST:
                return [object()]
            if id(value) not in seen:
                seen.add(id(value))
                parts = list(self._parts(value))
                found.append(len(parts))
                todo += parts
        return found

    def _parts(self, value: object) -> Iterable[object]:
        """Return what an object holds; something new each time where that cannot be told."""
        kind = type(value)
        if issubclass(kind, type):
            module = sys.modules.get(str(vars(cast("type", value)).get("__module__")))
            return list(vars(cast("type", value)).values()) if self._is_own(module) else ()
        if kind is functools._lru_cache_wrapper:  # noqa: SLF001  there is no public name
            return (cast("Any", value).cache_info().misses,)
        if kind is FunctionType:
            function = cast("FunctionType", value)
            return _function_parts(function) if self._is_own(sys.modules.get(function.__module__ or "")) else ()
        if issubclass(kind, staticmethod | classmethod | property):
            return [part for part in (_raw(value, "__func__"), _raw(value, "fget")) if part is not None]
        if issubclass(kind, GeneratorType | io.IOBase):
            return (object(),)
        module_name = str(kind.__module__).partition(".")[0]
        if module_name in _IDLE or issubclass(kind, ModuleType):
            return [wrapped] if (wrapped := _raw(value, "__wrapped__")) is not None else ()
        if (data := _data(value)) is not None:
            return (data,)
        parts = [*_items(value, kind), *_attributes(value, kind)]
        is_closed = not parts and module_name not in sys.stdlib_module_names and _raw(value, "__dict__") is None
        return (object(),) if is_closed else parts

    def _is_own(self, module: ModuleType | None) -> bool:
        file = getattr(module, "__file__", None)
        return isinstance(file, str) and file in self._files


def _function_parts(function: FunctionType) -> Iterator[object]:
    yield from function.__dict__.values()
    yield from function.__defaults__ or ()
    yield from (function.__kwdefaults__ or {}).values()
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # still empty
            continue


def _items(value: object, kind: type) -> Iterator[object]:
    """Yield the items of a container, past what a class of the user's may do when it is asked."""
    for plain in (dict, list, tuple, set, frozenset, deque):
        if issubclass(kind, plain) and (size := cast("Any", plain).__len__(value)) > _LARGE:
            yield size
            return
    if issubclass(kind, dict):
        for key, item in list(dict.items(cast("dict[object, object]", value))):
            yield from (key, item)
        return
    for plain in (list, tuple, set, frozenset, deque):
        if issubclass(kind, plain):
            yield from list(cast("Any", plain).__iter__(value))


def _attributes(value: object, kind: type) -> Iterator[object]:
    named = _raw(value, "__dict__")
    if isinstance(named, dict):
        yield from list(cast("dict[str, object]", named).values())
    for holder in kind.__mro__:
        for slot in list(vars(holder).values()):
            if isinstance(slot, MemberDescriptorType) and holder.__module__ != "builtins":
                try:
                    yield slot.__get__(value)
                except AttributeError:
                    continue


def _raw(value: object, name: str) -> object:
    """Return an attribute, without calling code of the user's."""
    try:
        return object.__getattribute__(value, name)
    except AttributeError:
        return None


def _data(value: object) -> int | None:
    """Return a check sum of an array's bytes; its size where it is large; None for what is no array."""
    if type(value).__module__.partition(".")[0] != "numpy" or not hasattr(value, "nbytes"):
        return None
    size = int(cast("Any", value).nbytes)
    return size if size > _BYTES or cast("Any", value).dtype.hasobject else hash(cast("Any", value).tobytes())


def _constants(module: ModuleType) -> dict[str, object]:
    """Return a module's plain values, and copies of its containers of such; those that are empty are for filling."""
    found: dict[str, object] = {}
    for name, value in list(vars(module).items()):
        if name.startswith("__"):
            continue
        if type(value) in _PLAIN and value:
            found[name] = value
        elif type(value) in (dict, list) and 0 < len(cast("list[object]", value)) <= _LARGE:
            found[name] = value.copy()
    return found


def _is_same_value(before: object, now: object) -> bool:
    """Tell whether a constant is as it was; a dictionary may have got more keys."""
    if before is now:
        return True
    if type(before) is not type(now):
        return False
    if isinstance(before, dict):
        held = cast("dict[object, object]", now)
        return all(key in held and _is_same_value(value, held[key]) for key, value in before.items())
    if isinstance(before, list | tuple):
        items = cast("list[object]", now)
        return len(before) == len(items) and all(map(_is_same_value, before, items))
    return type(before) not in _PLAIN or before == now


def _are_same(before: list[object], now: list[object]) -> bool:
    return len(before) == len(now) and all(
        one is other or (type(one) is type(other) is int and one == other)
        for one, other in zip(before, now, strict=True)
    )
