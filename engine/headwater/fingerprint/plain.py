"""Plain values as text: equal values give equal texts, and nothing in them depends on the process or the place."""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import fractions
import re
import types
import uuid
from collections import Counter, OrderedDict, defaultdict, deque
from pathlib import PurePath
from typing import TYPE_CHECKING

from headwater.digest import digest_bytes
from headwater.fingerprint.syntax import constant_token

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_ATOMS = (type(None), bool, int, float, complex, bytes, type(Ellipsis), type(NotImplemented))
_BY_REPR = (
    dt.date,
    dt.datetime,
    dt.time,
    dt.timedelta,
    dt.timezone,
    decimal.Decimal,
    fractions.Fraction,
    uuid.UUID,
    range,
    slice,
)
_SEQUENCES = (list, tuple, deque)
_MAPPINGS = (dict, OrderedDict, defaultdict, Counter, types.MappingProxyType)
_MUTABLE = (list, dict, set, bytearray, deque, OrderedDict, defaultdict, Counter)
_DEPTH = 50
_SHOWN = 1000
_SECRET_NAME = re.compile(
    r"secret|token|passw|pwd|api_?key|credential|private|auth|signature|access_?key|connection_?string|dsn",
    re.IGNORECASE,
)
_SECRET_VALUE = re.compile(
    r"-----BEGIN|AKIA[0-9A-Z]{12}|gh[pousr]_\w{20}|eyJ[\w-]{10,}\.|xox[abp]-|sk-\w{16}|://[^/\s:]+:[^@\s]+@|"
    r"(?=[\w+/=-]*\d)(?=[\w+/=-]*[A-Z])(?=[\w+/=-]*[a-z])[\w+/=-]{32,}"
)


class NotPlain(Exception):
    """A value, or something in it, has no canonical text."""


class Description:
    """The text of a value, with the functions and classes in it where they stand."""

    def __init__(self, strip: Callable[[str], str], accepts: Callable[[object], bool]) -> None:
        self._strip = strip
        self._accepts = accepts
        #: Texts, and between them objects that are described elsewhere.
        self.items: list[object] = []
        self._above: list[int] = []

    def add(self, value: object) -> None:
        """Append the description of one value; raises NotPlain."""
        if id(value) in self._above or len(self._above) > _DEPTH:
            raise NotPlain
        self._above.append(id(value))
        try:
            self._add(value)
        finally:
            self._above.pop()

    def _text(self, text: str) -> None:
        self.items.append(text)

    def _add(self, value: object) -> None:
        kind = type(value)
        if kind is str:
            self._text(constant_token(self._strip(str(value))))
        elif kind in _ATOMS:
            self._text(constant_token(value))
        elif kind in _BY_REPR:
            self._text(f"{kind.__name__}:{value!r}")
        elif isinstance(value, PurePath):
            self._text(f"path:{self._strip(str(value))!r}")
        elif isinstance(value, re.Pattern):
            self._text(f"pattern:{value.pattern!r}:{value.flags}")  # pyright: ignore[reportUnknownMemberType]
        elif kind is bytearray:
            self._text(f"bytearray:{value!r}")
        elif isinstance(value, enum.Enum):
            self._text(f"enum:{value.name}")
            self._leaf(kind)
        else:
            self._structure(value, kind)

    def _structure(self, value: object, kind: type) -> None:
        if kind in _SEQUENCES:
            self._many(kind.__name__, value)  # type: ignore[arg-type]
        elif kind in (set, frozenset):
            self._set(kind.__name__, value)  # type: ignore[arg-type]
        elif kind in _MAPPINGS:
            self._mapping(kind.__name__, value)  # type: ignore[arg-type]
        elif isinstance(value, tuple) and hasattr(kind, "_fields"):
            self._leaf(kind)
            self._many("named", value)  # pyright: ignore[reportUnknownArgumentType]
        elif is_frozen_data(value):
            self._leaf(kind)
            for field in dataclasses.fields(value):  # type: ignore[arg-type]
                self._text(field.name)
                self.add(getattr(value, field.name))
        elif kind.__module__ == "numpy" and (hasattr(value, "tobytes") and hasattr(value, "dtype")):
            self._array(value)
        else:
            self._leaf(value)

    def _leaf(self, value: object) -> None:
        if not self._accepts(value):
            raise NotPlain
        self.items.append(_Leaf(value))

    def _many(self, name: str, values: Iterable[object]) -> None:
        self._text(f"{name}[")
        for value in values:
            self.add(value)
        self._text("]")

    def _set(self, name: str, values: Iterable[object]) -> None:
        texts: list[str] = []
        for value in values:
            inner = Description(self._strip, lambda leaf: not self._accepts(leaf) or isinstance(leaf, type))
            inner.add(value)
            if not all(isinstance(item, str) for item in inner.items):
                raise NotPlain
            texts.append(" ".join(str(item) for item in inner.items))
        self._text(f"{name}{{{' '.join(sorted(texts))}}}")

    def _mapping(self, name: str, values: dict[object, object]) -> None:
        self._text(f"{name}{{")
        if isinstance(values, defaultdict):
            self.add(values.default_factory)  # pyright: ignore[reportUnknownMemberType]
        for key, value in values.items():
            self.add(key)
            self.add(value)
        self._text("}")

    def _array(self, value: object) -> None:
        dtype, shape = getattr(value, "dtype", None), getattr(value, "shape", None)
        if getattr(dtype, "hasobject", True):
            raise NotPlain
        data: bytes = value.tobytes()  # type: ignore[attr-defined]
        self._text(f"array:{dtype!s}:{shape!s}:{digest_bytes(data)}")


class _Leaf:
    """Marks an object that is described elsewhere."""

    def __init__(self, value: object) -> None:
        self.value = value


def describe(
    value: object, strip: Callable[[str], str], accepts: Callable[[object], bool]
) -> list[str | tuple[object]] | None:
    """Return a value's text, cut where functions, classes, … stand in it (each as a 1-tuple); None if it is not plain.

    ``accepts`` says for an object that is no plain value whether it may stand in one.
    """
    description = Description(strip, accepts)
    try:
        description.add(value)
    except (NotPlain, RecursionError):
        return None
    return [(item.value,) if isinstance(item, _Leaf) else str(item) for item in description.items]


def is_frozen_data(value: object) -> bool:
    """Tell whether a value is an instance of a frozen dataclass."""
    parameters = getattr(type(value), "__dataclass_params__", None)
    return parameters is not None and bool(parameters.frozen)


def is_mutable(value: object) -> bool:
    """Tell whether a value is a container that can be changed in place."""
    return isinstance(value, _MUTABLE)


def is_secret(name: str, value: object) -> bool:
    """Tell whether a name or a value looks like a secret: then the value is never shown."""
    if _SECRET_NAME.search(name):
        return True
    text = value if isinstance(value, str) else repr(value)[:2000]
    return _SECRET_VALUE.search(text) is not None


def shown(name: str, value: object, strip: Callable[[str], str]) -> str | None:
    """Return the text of a plain value for people, cut where it is very long; None if it looks like a secret."""
    if is_secret(name, value):
        return None
    text = strip(repr(value))
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
