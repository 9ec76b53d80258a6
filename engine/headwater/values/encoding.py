"""Values to tagged trees."""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import functools
import math
import pathlib
import sys
import uuid
import zoneinfo
from decimal import Decimal
from enum import Enum, Flag
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from headwater.digest import canonical
from headwater.errors import ValueNotStorable
from headwater.values.classes import canonical_module, is_data, is_named

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from headwater.digest import Json

    _Rule: TypeAlias = Callable[["_Encoder", object], Json]

#: Gives the tree of a value that has no form here, or None.
Extra: TypeAlias = "Callable[[object], Json | None]"

#: Integers at or beyond this, either way, are written in hexadecimal.
BIG = 2**63

_SCALARS = frozenset({type(None), bool, int, float, str})
#: Up to so many items, looking at each is quicker than looking at all together.
_FEW = 8


def _no_extra(_: object) -> Json | None:
    return None


def to_json(value: object, *, extra: Extra = _no_extra, module_name: Callable[[str], str] = canonical_module) -> Json:
    """Return the tagged tree of a value; it shares nothing with the value that could be changed in place.

    ``extra`` gives forms to further types. ``module_name`` says under which name a class's module is found again.
    """
    encoder = _Encoder(extra, module_name)
    try:
        return encoder.tree(value)
    except _Refused as refused:
        raise refused.error(value) from None
    except RecursionError:
        what = "contains itself" if _contains_itself(value) else "is nested too deeply to be stored"
        hint = "flatten it, or return a File"
        raise ValueNotStorable(f"the value {what}", facts={"type": _type_name(value)}, hint=hint) from None


def _contains_itself(value: object) -> bool:
    """Tell whether a value that cannot be walked to its end holds itself; without recursion."""
    above: set[int] = set()
    left: list[tuple[object, bool]] = [(value, False)]
    while left:
        item, is_done = left.pop()
        if is_done:
            above.discard(id(item))
            continue
        if id(item) in above:
            return True
        above.add(id(item))
        left.append((item, True))
        left.extend((part, False) for part in _parts(item))
    return False


def _parts(value: object) -> list[object]:
    """Return the containers directly inside a value."""
    if isinstance(value, dict):
        items: list[object] = list(cast("dict[object, object]", value).values())
    elif isinstance(value, list | tuple | set | frozenset):
        items = list(cast("Iterable[object]", value))
    elif is_data(type(value)):
        items = list(_fields_of(value).values())
    else:
        items = []
    return [item for item in items if type(item) not in _SCALARS]


class _Refused(Exception):
    """A part of a value that has no form; gathers the way to it while it is on its way out."""

    def __init__(self, what: str, hint: str) -> None:
        super().__init__(what)
        self.what, self.hint = what, hint
        self.path: list[str] = []

    def error(self, value: object) -> ValueNotStorable:
        facts = {"at": "".join(reversed(self.path))} if self.path else {}
        return ValueNotStorable(self.what, facts={**facts, "type": _type_name(value)}, hint=self.hint)


class _Encoder:
    """One walk over one value."""

    def __init__(self, extra: Extra, module_name: Callable[[str], str]) -> None:
        self._extra = extra
        self._module_name = module_name
        self._type_names: dict[type, str] = {}

    def tree(self, value: object) -> Json:
        rule = _RULES.get(type(value))
        return rule(self, value) if rule is not None else self._other(value)

    def inner(self, value: object, step: Callable[[], str]) -> Json:
        """Return the tree of a part; ``step`` names it within the whole."""
        try:
            return self.tree(value)
        except _Refused as refused:
            refused.path.append(step())
            raise

    def listed(self, items: Sequence[object]) -> list[Json]:
        """Return the trees of a list's or tuple's items."""
        if len(items) > _FEW and (kinds := set(map(type, items))) <= _SCALARS and _are_plain(items, kinds):
            return cast("list[Json]", list(items))
        result: list[Json] = []
        try:
            for item in items:
                result.append(self.tree(item))  # noqa: PERF401  a refused item is counted by those before it
        except _Refused as refused:
            refused.path.append(f"[{len(result)}]")
            raise
        return result

    def named(self, items: Mapping[str, object], step: str) -> dict[str, Json]:
        """Return the trees of parts with names; ``step`` is how a path goes on to one: ``[{!r}]`` or ``.{}``."""
        result: dict[str, Json] = {}
        key = ""
        try:
            for key, item in items.items():
                result[key] = self.tree(item)
        except _Refused as refused:
            refused.path.append(step.format(key))
            raise
        return result

    def type_name(self, kind: type) -> str:
        name = self._type_names.get(kind)
        if name is None:
            _check_findable(kind)
            name = self._type_names[kind] = f"{self._module_name(kind.__module__)}:{kind.__qualname__}"
        return name

    def _other(self, value: object) -> Json:
        kind = type(value)
        found = self._extra(value)
        if found is not None:
            return found
        if isinstance(value, Enum):
            return {"$": "enum", "t": self.type_name(kind), "v": self.tree(_enum_content(value))}
        if isinstance(value, tuple) and is_named(kind) and not getattr(value, "__dict__", None):
            fields: dict[str, object] = dict(zip(kind._fields, value, strict=True))  # type: ignore[attr-defined]
            return self._fields("named", kind, fields)
        if is_data(kind):
            return self._fields("data", kind, _fields_of(value))
        raise _Refused(f"a value of type {_type_name(value)} cannot be stored as it is", _hint(value))

    def _fields(self, tag: str, kind: type, fields: Mapping[str, object]) -> Json:
        name = self.type_name(kind)
        return {"$": tag, "t": name, "v": self.named(fields, ".{}")}


def _are_plain(items: Sequence[object], kinds: set[type]) -> bool:
    """Tell whether scalars all stand for themselves; runs over them at the speed of C."""
    if float in kinds:
        floats = items if len(kinds) == 1 else [item for item in items if type(item) is float]
        if not all(map(math.isfinite, cast("list[float]", floats))):
            return False
    if int in kinds:
        ints = cast("list[int]", items if len(kinds) == 1 else [item for item in items if type(item) is int])
        if not -BIG < min(ints) <= max(ints) < BIG:
            return False
    if str in kinds:
        texts = cast("list[str]", items if len(kinds) == 1 else [item for item in items if type(item) is str])
        return _is_utf8("".join(texts))
    return True


def _is_utf8(text: str) -> bool:
    """Tell whether a text is free of surrogates, so that it has a form in UTF-8."""
    try:
        return text.isascii() or bool(text.encode())
    except UnicodeEncodeError:
        return False


def _check_findable(kind: type) -> None:
    home, qualname = sys.modules.get(kind.__module__), kind.__qualname__
    if "<locals>" in qualname:
        raise _Refused(
            f"the class {qualname} is defined inside a function, where no other process finds it",
            "define the class at the top of its module",
        )
    try:
        functools.reduce(getattr, qualname.split("."), home)
    except AttributeError:
        if home is not None:
            raise _Refused(
                f"the class {kind.__module__}.{qualname} cannot be found under that name",
                "give the class the name that it is assigned to",
            ) from None


def _enum_content(value: Enum) -> object:
    """Return a member's name, or the number of a combination of flags that has none."""
    if isinstance(value, Flag) and value.name not in type(value).__members__:
        return value.value
    return value.name


def _fields_of(value: object) -> dict[str, object]:
    """Return the fields of a dataclass instance; refuses one that holds more, or less, than its fields."""
    kind = type(value)
    names = [field.name for field in dataclasses.fields(cast("Any", value))]
    extra = {*getattr(value, "__dict__", ()), *_filled_slots(value)} - set(names)
    for name in sorted(extra):
        # A cached property is made anew on demand; `__orig_class__` is left behind by `Box[int](...)`.
        if not isinstance(getattr(kind, name, None), functools.cached_property) and name != "__orig_class__":
            raise _Refused(
                f"the {_type_name(value)} holds {name!r}, which is no field of its class and would be lost",
                f"declare {name!r} as a field",
            )
    missing = [name for name in names if not hasattr(value, name)]
    if missing:
        raise _Refused(f"the field {missing[0]!r} of the {_type_name(value)} is not set", "set it before returning")
    return {name: getattr(value, name) for name in names}


def _filled_slots(value: object) -> Iterator[str]:
    for base in type(value).__mro__:
        slots = base.__dict__.get("__slots__", ())
        for slot in (slots,) if isinstance(slots, str) else slots:
            if slot not in {"__dict__", "__weakref__"} and hasattr(value, slot):
                yield slot


def _type_name(value: object) -> str:
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _hint(value: object) -> str:
    for kind, hint in _CONVERSIONS:
        if isinstance(value, kind):
            return hint
    if type(value).__module__.partition(".")[0] == "numpy" and hasattr(value, "item"):
        return "turn it into a plain value with .item() or .tolist(), or return the array as an output of its own"
    return (
        "return it as an output of its own, or a File, a dataclass or plain values; "
        'or ask for pickle: Annotated[T, codec("pickle")]'
    )


_CONVERSIONS: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (dt.datetime, "turn it into a plain datetime, with .to_pydatetime() or a zoneinfo time zone"),
    (dt.tzinfo, "use datetime.timezone or zoneinfo.ZoneInfo as time zone"),
    (dict, "turn it into a plain dictionary with dict(...)"),
    (list, "turn it into a plain list with list(...)"),
    (tuple, "turn it into a plain tuple with tuple(...)"),
    (frozenset, "turn it into a plain frozenset with frozenset(...)"),
    (set, "turn it into a plain set with set(...)"),
    ((bytearray, memoryview), "turn it into bytes with bytes(...)"),
    (range, "turn it into a list with list(...)"),
)


# --------------------------------------------------------------------------------------------- a rule for each type


def _itself(_: _Encoder, value: Json) -> Json:
    return value


def _int(_: _Encoder, value: int) -> Json:
    # Python refuses to turn an integer of more than 4,300 digits into decimals; hexadecimals have no such limit.
    return value if -BIG < value < BIG else {"$": "int", "v": hex(value)}


def _float(_: _Encoder, value: float) -> Json:
    return value if math.isfinite(value) else {"$": "float", "v": repr(value)}


def _text(_: _Encoder, value: str) -> Json:
    if _is_utf8(value):
        return value
    return {"$": "str", "v": _base64(value.encode("utf-8", "surrogatepass"))}


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _list(encoder: _Encoder, value: list[object]) -> Json:
    return encoder.listed(value)


def _tuple(encoder: _Encoder, value: tuple[object, ...]) -> Json:
    return {"$": "tuple", "v": encoder.listed(value)}


def _set(encoder: _Encoder, value: set[object] | frozenset[object]) -> Json:
    trees = [encoder.tree(item) for item in value]
    return {"$": type(value).__name__, "v": sorted(trees, key=canonical)}


def _dict(encoder: _Encoder, value: dict[object, object]) -> Json:
    if _are_names(value):
        return encoder.named(cast("dict[str, object]", value), "[{!r}]")
    pairs: list[tuple[bytes, list[Json]]] = []
    for key, item in value.items():
        tree = encoder.tree(key)
        try:
            pairs.append((canonical(tree), [tree, encoder.tree(item)]))
        except _Refused as refused:
            refused.path.append(f"[{key!r}]")
            raise
    # Two keys may have one form (two NaN are two keys): then the values decide.
    pairs.sort(key=lambda pair: (pair[0], canonical(pair[1][1])))
    return {"$": "dict", "v": [pair for _, pair in pairs]}


def _are_names(keys: dict[object, object]) -> bool:
    """Tell whether keys can be names in a JSON object of ours."""
    for key in keys:  # noqa: SIM110  every dictionary comes through here, and `all` takes twice as long
        if type(key) is not str or key[:1] == "$" or not (key.isascii() or _is_utf8(key)):
            return False
    return True


def _moment(encoder: _Encoder, value: dt.datetime | dt.time) -> Json:
    """Return the form of a point in time: ISO 8601, the zone's name where it has one, and the fold."""
    tree: dict[str, Json] = {"$": type(value).__name__, "v": value.isoformat()}
    zone = value.tzinfo
    if isinstance(zone, zoneinfo.ZoneInfo) and (key := cast("str | None", zone.key)):
        tree["zone"] = key
    elif type(zone) is dt.timezone:
        if (name := zone.tzname(None)) != dt.timezone(zone.utcoffset(None)).tzname(None):
            tree["name"] = encoder.tree(name)
    elif zone is not None:
        raise _Refused(f"a time zone of type {_type_name(zone)} cannot be stored", _hint(zone))
    if value.fold:
        tree["fold"] = 1
    return tree


def _path(encoder: _Encoder, value: pathlib.PurePath) -> Json:
    kind = "Path" if isinstance(value, pathlib.Path) else type(value).__name__
    return {"$": "path", "v": [kind, encoder.tree(str(value))]}


def _complex(encoder: _Encoder, value: complex) -> Json:
    return {"$": "complex", "v": encoder.listed([value.real, value.imag])}


def _timedelta(_: _Encoder, value: dt.timedelta) -> Json:
    return {"$": "timedelta", "v": [value.days, value.seconds, value.microseconds]}


_RULES = cast(
    "dict[type, _Rule]",
    {
        type(None): _itself,
        bool: _itself,
        int: _int,
        float: _float,
        str: _text,
        list: _list,
        tuple: _tuple,
        dict: _dict,
        set: _set,
        frozenset: _set,
        bytes: lambda _, value: {"$": "bytes", "v": _base64(value)},
        complex: _complex,
        dt.date: lambda _, value: {"$": "date", "v": value.isoformat()},
        dt.datetime: _moment,
        dt.time: _moment,
        dt.timedelta: _timedelta,
        Decimal: lambda _, value: {"$": "decimal", "v": str(value)},
        uuid.UUID: lambda _, value: {"$": "uuid", "v": str(value)},
        pathlib.PurePosixPath: _path,
        pathlib.PureWindowsPath: _path,
        type(pathlib.Path()): _path,
    },
)
