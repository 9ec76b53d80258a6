"""The tiny expression language of conditions, inputs and field picks, as data.

An expression says where a value comes from: a constant, a parameter, an output of a step, or a nest of these. It is
drawn when a pipeline is compiled, kept in the definition as JSON, and evaluated when the values are known. Values are
in the typed JSON form of :mod:`headwater.values`; nothing here needs the classes of the user.
"""

from __future__ import annotations

import base64
import typing
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Literal, TypeAlias, assert_never, cast

from headwater.digest import canonical
from headwater.errors import DefinitionError, StepError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from headwater.digest import Json

#: Names of fields and places in lists, from the outside in.
Path: TypeAlias = "tuple[str | int, ...]"
Operator: TypeAlias = Literal["in", "==", "!=", "<", "<=", ">", ">="]
OPERATORS: tuple[Operator, ...] = ("in", "==", "!=", "<", "<=", ">", ">=")

#: The name of the output of a step that has just one.
RESULT = "result"
#: Stands for every output of a step, where a whole map is gathered.
EVERY = "*"


@dataclass(frozen=True, slots=True)
class Const:
    """A value known when the pipeline is compiled, as typed JSON."""

    value: Json


@dataclass(frozen=True, slots=True)
class Param:
    """A parameter of the pipeline, or a part of it."""

    name: str
    path: Path = ()


@dataclass(frozen=True, slots=True)
class Out:
    """An output of a step, or a part of it."""

    step: str
    output: str = RESULT
    path: Path = ()


@dataclass(frozen=True, slots=True)
class Gather:
    """The results of a map, as a list in the order of its elements; or a part of that list.

    The first pick is the place of an element; where the step has several outputs, the second names one of them.
    """

    step: str
    path: Path = ()


@dataclass(frozen=True, slots=True)
class Compare:
    """A comparison of two values."""

    op: Operator
    left: Expr
    right: Expr


@dataclass(frozen=True, slots=True)
class All:
    """True if every part is."""

    parts: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Any:
    """True if some part is."""

    parts: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """True if the part is not."""

    part: Expr


@dataclass(frozen=True, slots=True)
class Seq:
    """A list or tuple of parts."""

    kind: Literal["list", "tuple"]
    items: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Dict:
    """A dictionary of parts, with text as keys."""

    items: Mapping[str, Expr]


@dataclass(frozen=True, slots=True)
class Data:
    """A dataclass or NamedTuple put together from parts; the type is ``module:qualname``."""

    type: str
    fields: Mapping[str, Expr]
    kind: Literal["data", "named"] = "data"


@dataclass(frozen=True, slots=True)
class Either:
    """One value if a condition held, another if it did not."""

    #: Name of the condition's step.
    condition: str
    then: Expr
    otherwise: Expr


Expr: TypeAlias = Const | Param | Out | Gather | Compare | All | Any | Not | Seq | Dict | Data | Either
#: What a lookup is asked for; always without a path.
Leaf: TypeAlias = Param | Out | Gather


def parts(expr: Expr) -> tuple[Expr, ...]:
    """Return the expressions directly inside one."""
    match expr:
        case Const() | Param() | Out() | Gather():
            return ()
        case Compare(_, left, right) | Either(_, left, right):
            return (left, right)
        case All(inner) | Any(inner) | Seq(_, inner):
            return inner
        case Not(part):
            return (part,)
        case Dict(inside) | Data(_, inside, _):
            return tuple(inside.values())
    assert_never(expr)


def walk(expr: Expr) -> Iterator[Expr]:
    """Yield an expression and all those inside it, the outer before the inner."""
    yield expr
    for part in parts(expr):
        yield from walk(part)


def references(expr: Expr) -> set[tuple[str, str]]:
    """Return every (step, output) that an expression needs; the output of a whole map is ``"*"``."""
    found: set[tuple[str, str]] = set()
    for part in walk(expr):
        match part:
            case Out(step, output, _):
                found.add((step, output))
            case Gather(step, _):
                found.add((step, EVERY))
            case Either(condition, _, _):
                found.add((condition, RESULT))
            case _:
                pass
    return found


def parameters(expr: Expr) -> set[str]:
    """Return the names of the parameters that an expression needs."""
    return {part.name for part in walk(expr) if isinstance(part, Param)}


def pick(expr: Expr, key: str | int) -> Expr:
    """Return the expression of a field or element of another; raises LookupError where there is none."""
    match expr:
        case Param() | Out() | Gather():
            return replace(expr, path=(*expr.path, key))
        case Const(value):
            return Const(pick_value(value, (key,)))
        case Either(condition, then, otherwise):
            return Either(condition, pick(then, key), pick(otherwise, key))
        case Seq(_, items) if isinstance(key, int):
            return items[key]
        case Dict(items) if isinstance(key, str):
            return items[key]
        case Data(_, fields, _):
            return fields[key] if isinstance(key, str) else tuple(fields.values())[key]
        case _:
            raise LookupError(key)


# ------------------------------------------------------------------------------------------------- evaluation


def evaluate(expr: Expr, lookup: Callable[[Leaf], Json]) -> Json:  # noqa: C901  one case for each kind of expression
    """Return an expression's value as typed JSON.

    ``lookup`` gives the typed JSON of a parameter, an output or a gathered map (asked for without its path); the
    verdict of a condition is asked for as its output ``result``. What it raises passes through. Parts that do not
    matter are not looked up: those after the first false one of ``All``, and the side of ``Either`` not taken.
    """
    match expr:
        case Const(value):
            return value
        case Param() | Out() | Gather():
            return _picked(expr, lookup(replace(expr, path=())))
        case Compare():
            return _compared(expr, evaluate(expr.left, lookup), evaluate(expr.right, lookup))
        case All(inner):
            return all(is_true(evaluate(part, lookup)) for part in inner)
        case Any(inner):
            return any(is_true(evaluate(part, lookup)) for part in inner)
        case Not(part):
            return not is_true(evaluate(part, lookup))
        case Seq(kind, items):
            values = [evaluate(item, lookup) for item in items]
            return values if kind == "list" else {"$": "tuple", "v": values}
        case Dict(items):
            return _object({key: evaluate(item, lookup) for key, item in items.items()})
        case Data(type_, fields, kind):
            return {"$": kind, "t": type_, "v": {name: evaluate(part, lookup) for name, part in fields.items()}}
        case Either(condition, then, otherwise):
            return evaluate(then if is_true(lookup(Out(condition))) else otherwise, lookup)
    assert_never(expr)


def pick_value(value: Json, path: Path) -> Json:
    """Return a part of a value in typed JSON; raises LookupError where there is none."""
    for key in path:
        value = _pick_one(value, key)
    return value


def is_true(value: Json) -> bool:
    """Tell whether Python would take the value that this typed JSON stands for as true."""
    return bool(_plain(value))


def _picked(expr: Leaf, value: Json) -> Json:
    try:
        return pick_value(value, expr.path)
    except LookupError:
        facts = {"value": describe(replace(expr, path=())), "path": list(expr.path)}
        raise StepError(f"{describe(expr)} is not there: the value has no such part", facts=facts) from None


def _pick_one(value: Json, key: str | int) -> Json:
    inner: Json = value
    if isinstance(value, dict) and "$" in value:
        inner = value.get("v")
        if value["$"] == "dict" and isinstance(inner, list):
            return next(pair[1] for pair in cast("list[list[Json]]", inner) if pair[0] == key)
    # Canonical JSON sorts names, so a place says nothing here: fields are picked by name.
    if isinstance(inner, dict) and isinstance(key, str):
        return inner[key]
    if isinstance(inner, list) and isinstance(key, int):
        return inner[key]
    raise LookupError(key)


def _object(items: dict[str, Json]) -> Json:
    if not any(key.startswith("$") for key in items):
        return items
    pairs: list[Json] = [[key, items[key]] for key in sorted(items, key=canonical)]
    return {"$": "dict", "v": pairs}


class _Tagged(tuple[object, ...]):
    """A value whose class is not loaded: it can be told from others, but it has no order."""

    __slots__ = ()


def _plain(value: Json) -> object:
    """Return a Python value that compares as the one that the typed JSON stands for."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "$" not in value:
        return {key: _plain(item) for key, item in value.items()}
    tag, inner = value["$"], value.get("v")
    if isinstance(tag, str) and tag in _PLAIN:
        return _PLAIN[tag](inner)
    if tag == "tuple":
        return tuple(cast("list[object]", _plain(inner)))
    if tag in {"set", "frozenset"} and isinstance(inner, list):
        return frozenset(canonical(item) for item in inner)
    if tag in {"data", "named", "enum"}:
        return _Tagged((tag, value.get("t"), _plain(inner)))
    return _Tagged((tag, canonical(value)))


_PLAIN: Mapping[str, Callable[[typing.Any], object]] = {
    "int": lambda text: int(text, 16),
    "float": float,
    "bytes": base64.b64decode,
    "date": date.fromisoformat,
    "datetime": datetime.fromisoformat,
    "time": time.fromisoformat,
    "timedelta": lambda parts: timedelta(*parts),
    "decimal": Decimal,
    "uuid": str,  # has the order of the number that it spells
}


def _compared(expr: Compare, left: Json, right: Json) -> bool:
    if expr.op == "in" and _is_set(right):
        return canonical(left) in cast("frozenset[bytes]", _plain(right))
    one, two = _plain(left), _plain(right)
    try:
        if isinstance(one, _Tagged) and expr.op not in {"==", "!=", "in"}:
            raise TypeError  # noqa: TRY301  a tuple has an order; what it stands for has none
        return _COMPARISONS[expr.op](one, two)
    except TypeError:
        facts = {"comparison": describe(expr), "left": describe(Const(left)), "right": describe(Const(right))}
        raise StepError("these values cannot be compared", facts=facts) from None


def _is_set(value: Json) -> bool:
    return isinstance(value, dict) and value.get("$") in {"set", "frozenset"}


_COMPARISONS: Mapping[Operator, Callable[..., bool]] = {
    "in": lambda left, right: left in right,
    "==": lambda left, right: left == right,
    "!=": lambda left, right: left != right,
    "<": lambda left, right: left < right,
    "<=": lambda left, right: left <= right,
    ">": lambda left, right: left > right,
    ">=": lambda left, right: left >= right,
}


# ------------------------------------------------------------------------------------------------------- text


def describe(expr: Expr) -> str:  # noqa: C901  one case for each kind of expression
    """Return an expression as an author would write it: ``evaluate.f1 >= min_f1``."""
    match expr:
        case Const(value):
            return _text(value)
        case Param(name, path) | Gather(name, path):
            return name + _steps(path)
        case Out(step, output, path):
            return step + _steps(path if output == RESULT else (_place(output), *path))
        case Compare(op, left, right):
            return f"{describe(left)} {op} {describe(right)}"
        case All(inner):
            return " and ".join(map(_grouped, inner)) or "True"
        case Any(inner):
            return " or ".join(map(_grouped, inner)) or "False"
        case Not(part):
            return f"not {_grouped(part)}"
        case Seq(kind, items):
            inside = ", ".join(map(describe, items))
            return f"[{inside}]" if kind == "list" else f"({inside})"
        case Dict(items):
            return "{" + ", ".join(f"{key}: {describe(item)}" for key, item in items.items()) + "}"
        case Data(type_, fields, _):
            return _call(type_, {name: describe(part) for name, part in fields.items()})
        case Either(condition, then, otherwise):
            return f"{describe(then)} if {condition} else {describe(otherwise)}"
    assert_never(expr)


def _place(output: str) -> str | int:
    return int(output) if output.isdecimal() else output


def _steps(path: Path) -> str:
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path)


def _grouped(expr: Expr) -> str:
    return f"({describe(expr)})" if isinstance(expr, All | Any | Either) else describe(expr)


def _call(type_: str, fields: Mapping[str, str]) -> str:
    return f"{_class(type_)}({', '.join(f'{key}={text}' for key, text in fields.items())})"


def _class(type_: str) -> str:
    return type_.rpartition(":")[2].rpartition(".")[2]


def _text(value: Json) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_text, value))}]"
    if not isinstance(value, dict):
        return repr(value)
    if "$" not in value:
        return "{" + ", ".join(f"{key}: {_text(item)}" for key, item in value.items()) + "}"
    inner, type_ = value.get("v", value.get("path")), value.get("t")
    if isinstance(type_, str) and isinstance(inner, dict):
        return _call(type_, {key: _text(item) for key, item in inner.items()})
    if isinstance(type_, str):
        return f"{_class(type_)}.{inner}"
    return inner if isinstance(inner, str) else _text(inner)


# ------------------------------------------------------------------------------------------------------- JSON


def to_json(expr: Expr) -> dict[str, Json]:  # noqa: C901  one case for each kind of expression
    """Return an expression as JSON: an object whose first key tells its kind."""
    match expr:
        case Const(value):
            return {"const": value}
        case Param(name, path):
            return {"param": name, **_path(path)}
        case Out(step, output, path):
            return {"out": step, "output": output, **_path(path)}
        case Gather(step, path):
            return {"gather": step, **_path(path)}
        case Compare(op, left, right):
            return {"compare": op, "left": to_json(left), "right": to_json(right)}
        case All(inner):
            return {"all": [to_json(part) for part in inner]}
        case Any(inner):
            return {"any": [to_json(part) for part in inner]}
        case Not(part):
            return {"not": to_json(part)}
        case Seq(kind, items):
            return {kind: [to_json(item) for item in items]}
        case Dict(items):
            return {"dict": {key: to_json(item) for key, item in items.items()}}
        case Data(type_, fields, kind):
            return {kind: type_, "fields": {name: to_json(part) for name, part in fields.items()}}
        case Either(condition, then, otherwise):
            return {"either": condition, "then": to_json(then), "otherwise": to_json(otherwise)}
    assert_never(expr)


def _path(path: Path) -> dict[str, Json]:
    return {"path": list(path)} if path else {}


def from_json(document: Json) -> Expr:
    """Return the expression that a JSON document describes; raises DefinitionError where it describes none."""
    try:
        return _read(document)
    except (KeyError, TypeError, AttributeError, ValueError):
        facts = {"found": document}
        raise DefinitionError("this is not an expression that headwater knows", facts=facts) from None


def _read(document: Json) -> Expr:
    if not isinstance(document, dict):
        raise TypeError
    kind = next(key for key in (*_READERS, "") if key in document or not key)
    expr = _READERS[kind](document)
    if to_json(expr) != document:  # an unknown key may change the meaning
        raise ValueError
    return expr


def _read_path(document: dict[str, Json]) -> Path:
    return tuple(cast("list[str | int]", document.get("path", [])))


def _read_all(document: Json) -> tuple[Expr, ...]:
    return tuple(_read(part) for part in cast("list[Json]", document))


def _read_fields(document: Json) -> dict[str, Expr]:
    return {name: _read(part) for name, part in cast("dict[str, Json]", document).items()}


def _read_operator(document: Json) -> Operator:
    return OPERATORS[OPERATORS.index(cast("Operator", document))]


_READERS: Mapping[str, Callable[[dict[str, Json]], Expr]] = {
    "const": lambda doc: Const(doc["const"]),
    "param": lambda doc: Param(str(doc["param"]), _read_path(doc)),
    "out": lambda doc: Out(str(doc["out"]), str(doc["output"]), _read_path(doc)),
    "gather": lambda doc: Gather(str(doc["gather"]), _read_path(doc)),
    "compare": lambda doc: Compare(_read_operator(doc["compare"]), _read(doc["left"]), _read(doc["right"])),
    "all": lambda doc: All(_read_all(doc["all"])),
    "any": lambda doc: Any(_read_all(doc["any"])),
    "not": lambda doc: Not(_read(doc["not"])),
    "list": lambda doc: Seq("list", _read_all(doc["list"])),
    "tuple": lambda doc: Seq("tuple", _read_all(doc["tuple"])),
    "dict": lambda doc: Dict(_read_fields(doc["dict"])),
    "data": lambda doc: Data(str(doc["data"]), _read_fields(doc["fields"]), "data"),
    "named": lambda doc: Data(str(doc["named"]), _read_fields(doc["fields"]), "named"),
    "either": lambda doc: Either(str(doc["either"]), _read(doc["then"]), _read(doc["otherwise"])),
}
