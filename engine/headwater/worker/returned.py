"""Whether a function gave what its annotation says: plain classes, what plain containers hold, and fields of records.

``int`` where ``str`` was declared would be stored and reused, and break a later step far from the mistake. One pass,
nothing is copied; what cannot be told at a glance is left to the codecs.
"""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from itertools import repeat
from typing import TYPE_CHECKING, Any, NamedTuple, TypeGuard, cast

from headwater.types import Fault
from headwater.worker.failure import failed

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

#: Declared class → classes of results that are as good. Others, and protocols, are left to the codecs.
_ACCEPTED: dict[object, tuple[type, ...]] = {
    bool: (bool,),
    int: (int,),
    float: (float, int),
    complex: (complex, float, int),
    str: (str,),
    bytes: (bytes,),
    list: (list,),
    tuple: (tuple,),
    dict: (dict,),
    set: (set,),
    frozenset: (frozenset,),
    types.NoneType: (types.NoneType,),
}
_LONGEST_KEY = 40


class _Wrong(NamedTuple):
    #: What leads to it from the result, such as ``.rows[3]``; empty for the result itself.
    place: str
    declared: object
    returned: str


def check_returned(function: Callable[..., object], result: object) -> None:
    """End the attempt with a ``user`` failure if a result, or a part of it, is not what is declared."""
    try:
        declared = typing.get_type_hints(function).get("return", typing.Any)
        wrong = _wrong(result, declared)
    except Exception:  # noqa: BLE001  an annotation may name what is not there at run time; a result may hold itself
        return
    if wrong is not None:
        where = f"{wrong.place}: " if wrong.place else ""
        told = f"{where}declared {_told(wrong.declared)}, returned {wrong.returned}"
        raise failed(Fault.USER, "WrongResult", f"{told}: mend the step, or its annotation")


def _told(declared: object) -> str:
    if isinstance(declared, type) and not typing.get_args(declared):
        return "None" if declared is types.NoneType else declared.__name__
    return str(declared)


def _wrong(value: object, declared: object) -> _Wrong | None:
    """Return the first part of a value that is not as declared."""
    origin, args = typing.get_origin(declared) or declared, typing.get_args(declared)
    if origin in (typing.Union, types.UnionType):
        return _wrong_union(value, declared, args)
    if not isinstance(origin, type):
        return None
    accepted = _ACCEPTED.get(origin)
    is_record = _is_record(origin)
    # What is like a declared class without being one, such as a NumPy number, is the codecs' to judge.
    if (accepted or is_record) and type(value) in _ACCEPTED and not isinstance(value, accepted or origin):
        return _Wrong("", declared, "None" if value is None else type(value).__name__)
    if is_record and isinstance(value, origin):
        return _wrong_field(value)
    if not args or type(value) is not origin:
        return None
    if origin is dict:
        return _wrong_item(cast("dict[object, object]", value), *args)
    if origin is tuple and args[-1] is not Ellipsis:
        return _wrong_tuple(cast("tuple[object, ...]", value), declared, () if args == ((),) else args)
    items = cast("Collection[object]", value)
    places = repeat("{…}") if origin in (set, frozenset) else (f"[{index}]" for index in range(len(items)))
    return _wrong_among(items, args[0], places)


def _wrong_union(value: object, declared: object, parts: tuple[object, ...]) -> _Wrong | None:
    # A record is judged by its own class: whether it is like a plain class beside it cannot be told.
    own = [part for part in parts if _is_record(kind := typing.get_origin(part) or part) and isinstance(value, kind)]
    found = [_wrong(value, part) for part in own or parts]
    if None in found:
        return None
    # A list of texts, where a list of numbers or None is declared, is wrong inside.
    inside = [wrong for wrong in found if wrong is not None and wrong.place]
    shown = "None" if value is None else type(value).__name__
    return inside[0] if len(inside) == 1 else _Wrong("", declared, shown)


def _wrong_among(items: Collection[object], declared: object, places: Iterable[str]) -> _Wrong | None:
    accepted = _ACCEPTED.get(declared)
    if declared is Any or (accepted and all(issubclass(kind, accepted) for kind in set(map(type, items)))):
        return None  # most often, and many times as fast as one after the other
    for item, place in zip(items, places, strict=False):
        if (wrong := _wrong(item, declared)) is not None:
            return wrong._replace(place=place + wrong.place)
    return None


def _wrong_item(value: dict[object, object], key: object, of: object) -> _Wrong | None:
    return _wrong_among(value.keys(), key, (f"key {_shown(each)}" for each in value)) or _wrong_among(
        value.values(), of, (f"[{_shown(each)}]" for each in value)
    )


def _shown(key: object) -> str:
    text = repr(key)
    return text if len(text) <= _LONGEST_KEY else f"{text[:_LONGEST_KEY]}…"


def _wrong_tuple(value: tuple[object, ...], declared: object, args: tuple[object, ...]) -> _Wrong | None:
    if any(typing.get_origin(each) is typing.Unpack for each in args):
        return None
    if len(value) != len(args):
        return _Wrong("", declared, f"a tuple of {len(value)}")
    for index, (item, each) in enumerate(zip(value, args, strict=True)):
        if (wrong := _wrong(item, each)) is not None:
            return wrong._replace(place=f"[{index}]{wrong.place}")
    return None


def _wrong_field(record: object) -> _Wrong | None:
    try:
        hints, defaults = _fields(cast("Any", type(record)))
    except Exception:  # noqa: BLE001  one record's annotations that cannot be had do not spare what is beside it
        return None
    for name, declared in hints.items():
        value = getattr(record, name, defaults)
        # ``name: str = None`` is widespread, and the default was meant.
        if value is defaults or (name in defaults and value is defaults[name]):
            continue
        if (wrong := _wrong(value, declared)) is not None:
            return wrong._replace(place=f".{name}{wrong.place}")
    return None


def _is_record(kind: object) -> TypeGuard[type]:
    if not isinstance(kind, type):
        return False
    return dataclasses.is_dataclass(kind) or (issubclass(kind, tuple) and hasattr(kind, "_fields"))


@functools.lru_cache(maxsize=256)
def _fields(kind: type) -> tuple[dict[str, object], dict[str, object]]:
    """Return what the fields of a record's class declare, and their defaults. Raises what a bad annotation does."""
    hints = typing.get_type_hints(kind)
    if dataclasses.is_dataclass(kind):
        fields = dataclasses.fields(kind)
        names = [field.name for field in fields]
        defaults = {field.name: field.default for field in fields if field.default is not dataclasses.MISSING}
    else:
        names, defaults = list(getattr(kind, "_fields", ())), dict(getattr(kind, "_field_defaults", {}))
    return {name: hints[name] for name in names if name in hints}, defaults
