"""Tagged trees to values."""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import pathlib
import uuid
import zoneinfo
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from headwater.errors import Corrupt, HeadwaterError, SetupError
from headwater.values.classes import checked_type, load_type

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from enum import Enum

    from headwater.digest import Json

    _BackRule: TypeAlias = Callable[["_Decoder", dict[str, Json]], object]

#: Gives the value of a tagged tree whose tag is not known here; raises LookupError where it knows none either.
ExtraBack: TypeAlias = "Callable[[Mapping[str, Json]], object]"

_SCALARS = frozenset({type(None), bool, int, float, str})


def _no_extra(tree: Mapping[str, Json]) -> object:
    raise SetupError(
        f"a stored value has a part of the form {tree.get('$')!r}, which is not known here",
        hint="use the version of headwater that stored it, or a newer one",
    )


def from_json(tree: Json, load: Callable[[str], type] = load_type, *, extra: ExtraBack = _no_extra) -> object:
    """Return the value of a tagged tree; it shares nothing with the tree that could be changed in place."""
    decoder = _Decoder(load, extra)
    try:
        return decoder.value(tree)
    except HeadwaterError:
        raise
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError, RecursionError) as error:
        facts = {"because": f"{type(error).__name__}: {error}"}
        raise Corrupt("this is not the form of a stored value", facts=facts) from error


class _Decoder:
    """One walk over one tree."""

    def __init__(self, load: Callable[[str], type], extra: ExtraBack) -> None:
        self._load = load
        self._extra = extra
        self._types: dict[str, type] = {}

    def value(self, tree: Json) -> object:
        if isinstance(tree, list):
            return self.listed(tree)
        if not isinstance(tree, dict):
            return tree
        if "$" in tree:
            rule = _BACK.get(cast("str", tree["$"]))
            return rule(self, tree) if rule is not None else self._extra(tree)
        return {key: item if type(item) in _SCALARS else self.value(item) for key, item in tree.items()}

    def listed(self, trees: Json) -> list[object]:
        assert isinstance(trees, list)
        if set(map(type, trees)) <= _SCALARS:
            return list(trees)
        return [self.value(tree) for tree in trees]

    def type(self, name: Json) -> type:
        assert isinstance(name, str)
        if name not in self._types:
            self._types[name] = checked_type(self._load(name), name)
        return self._types[name]


def _to_enum(decoder: _Decoder, tree: dict[str, Json]) -> object:
    kind, content = cast("type[Enum]", decoder.type(tree["t"])), decoder.value(tree["v"])
    try:
        return kind.__members__[content] if isinstance(content, str) else kind(content)
    except (KeyError, ValueError):
        raise _changed(tree["t"], f"has no member {content!r} now") from None


def _to_named(decoder: _Decoder, tree: dict[str, Json]) -> object:
    kind, fields = decoder.type(tree["t"]), cast("dict[str, Json]", tree["v"])
    names: tuple[str, ...] = getattr(kind, "_fields", ())
    _check_names(tree["t"], names, fields)
    return tuple.__new__(kind, [decoder.value(fields[name]) for name in names])


def _to_data(decoder: _Decoder, tree: dict[str, Json]) -> object:
    kind, fields = decoder.type(tree["t"]), cast("dict[str, Json]", tree["v"])
    known = dataclasses.fields(cast("Any", kind))
    _check_names(tree["t"], tuple(field.name for field in known), fields)
    value: object = object.__new__(kind)
    for name, item in fields.items():
        object.__setattr__(value, name, decoder.value(item))
    return value


def _check_names(kind: Json, names: tuple[str, ...], fields: Mapping[str, Json]) -> None:
    if set(names) != set(fields):
        raise _changed(kind, f"has the fields {', '.join(names)} now; the stored value has {', '.join(fields)}")


def _changed(kind: Json, how: str) -> SetupError:
    return SetupError(
        f"a stored value no longer fits its class: {kind} {how}", hint="run the step that made the value again"
    )


def _to_moment(decoder: _Decoder, tree: dict[str, Json]) -> object:
    text = cast("str", tree["v"])
    datetime = tree["$"] == "datetime"
    value: Any = dt.datetime.fromisoformat(text) if datetime else dt.time.fromisoformat(text)
    if "zone" in tree:
        value = value.replace(tzinfo=zoneinfo.ZoneInfo(cast("str", tree["zone"])))
    elif "name" in tree:
        name = cast("str", decoder.value(tree["name"]))
        value = value.replace(tzinfo=dt.timezone(value.utcoffset(), name))
    return cast("object", value.replace(fold=1) if tree.get("fold") else value)


def _to_dict(decoder: _Decoder, tree: dict[str, Json]) -> object:
    pairs = cast("list[list[Json]]", tree["v"])
    return {decoder.value(key): decoder.value(item) for key, item in pairs}


def _to_path(decoder: _Decoder, tree: dict[str, Json]) -> object:
    kind, text = map(decoder.value, cast("list[Json]", tree["v"]))
    return _PATHS[cast("str", kind)](cast("str", text))


_PATHS = {
    "Path": pathlib.Path,
    "PurePosixPath": pathlib.PurePosixPath,
    "PureWindowsPath": pathlib.PureWindowsPath,
}

_BACK = cast(
    "dict[str, _BackRule]",
    {
        "int": lambda _, tree: int(tree["v"], 16),
        "float": lambda _, tree: float(tree["v"]),
        "str": lambda _, tree: base64.b64decode(tree["v"]).decode("utf-8", "surrogatepass"),
        "tuple": lambda decoder, tree: tuple(decoder.listed(tree["v"])),
        "set": lambda decoder, tree: set(decoder.listed(tree["v"])),
        "frozenset": lambda decoder, tree: frozenset(decoder.listed(tree["v"])),
        "dict": _to_dict,
        "bytes": lambda _, tree: base64.b64decode(tree["v"], validate=True),
        "complex": lambda decoder, tree: complex(*decoder.listed(tree["v"])),
        "date": lambda _, tree: dt.date.fromisoformat(tree["v"]),
        "datetime": _to_moment,
        "time": _to_moment,
        "timedelta": lambda _, tree: dt.timedelta(*tree["v"]),
        "decimal": lambda _, tree: Decimal(tree["v"]),
        "uuid": lambda _, tree: uuid.UUID(tree["v"]),
        "path": _to_path,
        "enum": _to_enum,
        "named": _to_named,
        "data": _to_data,
    },
)


def untagged(value: Json) -> Json:
    """Return typed JSON for reading: without what tells tuples from lists and classes from dictionaries."""
    match value:
        case {"$": str(), "v": inner}:
            return untagged(inner)
        case list(items):
            return [untagged(item) for item in items]
        case dict(items):
            return {name: untagged(item) for name, item in items.items()}
        case _:
            return value
