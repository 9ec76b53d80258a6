"""Values of parameters: from the command line, a JSON or TOML file or Python, checked against the parameter's schema.

A parameter's ``type`` is a JSON Schema of plain values, with two words of our own: ``python`` names the class that a
value is made into, and the formats ``file`` and ``dir`` stand for paths whose content counts. A value that has passed
is typed JSON (see :mod:`headwater.values`); no class of the author is needed to get there.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import json
import os
import re
import tomllib
from datetime import date, datetime
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from headwater.errors import ParameterError
from headwater.values import canonical_module, to_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from headwater.digest import Json
    from headwater.graph import Parameter

Schema: TypeAlias = "Mapping[str, Json]"

_TRUE = frozenset({"true", "yes", "on", "1"})
_FALSE = frozenset({"false", "no", "off", "0"})
_NONE = frozenset({"none", "null"})
_INTEGER = re.compile(r"[+-]?[0-9]+(_[0-9]+)*")


class _Mismatch(Exception):
    """A value that its schema does not allow; gathers the way to it while it is on its way out."""

    def __init__(self, value: object, allowed: str, hint: str | None = None) -> None:
        super().__init__(allowed)
        self.value, self.allowed, self.hint = value, allowed, hint
        self.path: list[str] = []


# ---------------------------------------------------------------------------------------------- all parameters


def resolve(
    parameters: Mapping[str, Parameter],
    *,
    words: Sequence[str] = (),
    values: Mapping[str, object] | None = None,
    file: Mapping[str, object] | None = None,
) -> dict[str, Json]:
    """Return the typed JSON of every parameter of a run.

    ``words`` are texts such as ``month=2026-02`` and ``trees.depth=8``; ``values`` are Python's; ``file`` is what a
    parameters file holds. The first of these that names a parameter counts, else its default.
    """
    result = {each.name: each.default for each in parameters.values() if not each.required}
    for given in (file or {}, values or {}):
        for name, value in given.items():
            result[name] = from_value(_find(parameters, name), value)
    fields: dict[str, dict[tuple[str, ...], Json]] = {}
    for word in words:
        name, path, text = _split(word)
        parameter = _find(parameters, name)
        if path:
            read = functools.partial(_text, _schema_at(parameter, path))
            fields.setdefault(name, {})[path] = _converted(parameter, text, read)
        else:
            result[name] = from_text(parameter, text)
    for name, parts in fields.items():
        result[name] = _with_fields(parameters[name], result.get(name), parts)
    for each in parameters.values():
        if each.name not in result:
            facts = {"allowed": describe_type(each.type)}
            raise ParameterError(f"parameter '{each.name}' has no value", facts=facts, hint=f"give it: {each.name}=…")
    return result


def from_text(parameter: Parameter, text: str) -> Json:
    """Return the typed JSON of a parameter given as text; raises ParameterError."""
    return _converted(parameter, text, lambda text: _text(parameter.type, text))


def from_value(parameter: Parameter, value: object) -> Json:
    """Return the typed JSON of a parameter given in Python, JSON or TOML; raises ParameterError."""
    return _converted(parameter, value, lambda value: typed(parameter.type, value))


def read_file(path: Path) -> dict[str, object]:
    """Return the parameters that a JSON or TOML file holds; raises ParameterError where it cannot be read."""
    try:
        text = path.read_text(encoding="utf-8")
        found: object = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except (OSError, ValueError) as error:
        raise ParameterError(f"the parameters file '{path}' cannot be read", facts={"because": error}) from None
    if not isinstance(found, dict):
        raise ParameterError(f"the parameters file '{path}' must hold a table of names and values")
    return cast("dict[str, object]", found)


def _find(parameters: Mapping[str, Parameter], name: str) -> Parameter:
    if name not in parameters:
        facts = {"parameters": ", ".join(parameters) or "none"}
        raise ParameterError(f"the pipeline has no parameter '{name}'", facts=facts, hint=_nearest(name, parameters))
    return parameters[name]


def _split(word: str) -> tuple[str, tuple[str, ...], str]:
    path, equals, text = word.partition("=")
    if not equals or not path:
        raise ParameterError(f"'{word}' is no parameter", hint="write name=value")
    name, *fields = path.strip().split(".")
    return name, tuple(fields), text


def _converted(parameter: Parameter, value: Any, convert: Callable[[Any], Json]) -> Json:
    try:
        return convert(value)
    except _Mismatch as wrong:
        where = "".join(reversed(wrong.path))
        facts: dict[str, object] = {"given": repr(wrong.value), "allowed": wrong.allowed}
        sentence = f"parameter '{parameter.name}{where}' cannot be {wrong.value!r}"
        raise ParameterError(sentence, facts=facts, hint=wrong.hint) from None


def _schema_at(parameter: Parameter, path: Sequence[str]) -> Schema:
    """Return the schema of a field of a parameter; raises ParameterError where there is no such field."""
    schema, name = _without_none(parameter.type), parameter.name
    for key in path:
        fields = cast("Mapping[str, Schema]", schema.get("properties", {}))
        if key not in fields:
            facts = {"fields": ", ".join(fields) or "none"}
            raise ParameterError(f"parameter '{name}' has no field '{key}'", facts=facts, hint=_nearest(key, fields))
        schema, name = _without_none(fields[key]), f"{name}.{key}"
    return schema


def _with_fields(parameter: Parameter, base: Json, parts: Mapping[tuple[str, ...], Json]) -> Json:
    """Return a value with some fields set anew; without a base, the others are as their class has it."""
    tree: Json = base
    for path, value in parts.items():
        tree = _with_field(_without_none(parameter.type), tree, path, value)
    return _converted(parameter, tree, lambda tree: _completed(_without_none(parameter.type), tree))


def _with_field(schema: Schema, tree: Json, path: Sequence[str], value: Json) -> Json:
    if not path:
        return value
    fields = cast("Mapping[str, Schema]", schema["properties"])
    known = cast("dict[str, Json]", tree["v"]) if isinstance(tree, dict) else {}
    inner = _with_field(_without_none(fields[path[0]]), known.get(path[0]), path[1:], value)
    return {"$": "data", "t": schema["python"], "v": {**known, path[0]: inner}}


def _completed(schema: Schema, tree: Json) -> Json:
    if not isinstance(tree, dict) or tree.get("$") != "data" or "properties" not in schema:
        return tree
    known = cast("dict[str, Json]", tree["v"])
    fields = {
        name: _completed(_without_none(inner), known[name]) if name in known else _default(name, inner, known)
        for name, inner in cast("Mapping[str, Schema]", schema["properties"]).items()
    }
    return {**tree, "v": cast("Json", fields)}


def _default(name: str, schema: Schema, given: object) -> Json:
    if "default" not in schema:
        raise _Mismatch(given, f"needs a value for '{name}': {describe_type(schema)}")
    return schema["default"]


# ------------------------------------------------------------------------------------------------ from a value


def typed(schema: Schema, value: object) -> Json:
    """Return the typed JSON of a value: Python's own, or as plain as JSON and TOML have it."""
    for test, convert in _FORMS:
        if test(schema):
            return convert(schema, value)
    raise _Mismatch(value, "a type that this version of headwater does not know")


def _mismatch(schema: Schema, value: object, hint: str | None = None) -> _Mismatch:
    return _Mismatch(value, describe_type(schema), hint)


def _typed_optional(schema: Schema, value: object) -> Json:
    return None if value is None else _or_none(schema, typed, value)


def _or_none(schema: Schema, convert: Callable[[Schema, Any], Json], value: object) -> Json:
    """Convert by the schema inside; what is told on a mismatch says that none is allowed, too."""
    try:
        return convert(_without_none(schema), value)
    except _Mismatch as wrong:
        raise wrong if wrong.path else _mismatch(schema, wrong.value, wrong.hint) from None


def _typed_choice(schema: Schema, value: object) -> Json:
    choices = cast("list[Json]", schema["enum"])
    entry = schema.get("python")
    if isinstance(entry, str):
        if isinstance(value, Enum) and _entry(type(value)) == entry:
            value = value.name
        if value in choices:
            return {"$": "enum", "t": entry, "v": cast("str", value)}
    else:
        for choice in choices:
            if type(choice) is type(value) and choice == value:
                return choice
    raise _mismatch(schema, value, _nearest(str(value), map(str, choices)))


def _typed_date(schema: Schema, value: object) -> Json:
    wants_time = schema["format"] == "date-time"
    try:
        if isinstance(value, str):
            value = (datetime if wants_time else date).fromisoformat(value)
        elif wants_time and isinstance(value, date) and not isinstance(value, datetime):
            value = datetime(value.year, value.month, value.day)  # noqa: DTZ001  as naive as what was given
    except ValueError:
        raise _mismatch(schema, value) from None
    if not isinstance(value, datetime if wants_time else date) or (not wants_time and isinstance(value, datetime)):
        raise _mismatch(schema, value)
    return to_json(value)


def _typed_path(schema: Schema, value: object) -> Json:
    if isinstance(value, dict) and "path" in value:  # typed already: a field of a default
        return cast("Json", value)
    # A File or Dir keeps what it was made of as its source; asking it for a path could fetch it.
    path = getattr(value, "source", value)
    if not isinstance(path, str | os.PathLike) or not os.fspath(cast("os.PathLike[str]", path)):
        raise _mismatch(schema, value)
    return {"$": cast("str", schema["format"]), "path": os.fspath(cast("os.PathLike[str]", path))}


def _typed_array(schema: Schema, value: object) -> Json:
    if not isinstance(value, list | tuple):
        raise _mismatch(schema, value)
    items: list[Json] = []
    for place, item in enumerate(cast("Sequence[object]", value)):
        items.append(_inner(f"[{place}]", cast("Schema", schema["items"]), item))
    return {"$": "tuple", "v": items} if schema.get("python") == "tuple" else items


def _typed_data(schema: Schema, value: object) -> Json:
    fields, entry = cast("Mapping[str, Schema]", schema["properties"]), cast("str", schema["python"])
    if dataclasses.is_dataclass(value) and not isinstance(value, type) and _entry(type(value)) == entry:
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if not isinstance(value, dict):
        raise _mismatch(schema, value)
    given = cast("dict[str, object]", value)
    unknown = [name for name in given if name not in fields]
    if unknown:
        raise _mismatch(schema, value, _nearest(unknown[0], fields) or f"it has no field '{unknown[0]}'")
    content: dict[str, Json] = {
        name: _inner(f".{name}", inner, given[name]) if name in given else _default(name, inner, value)
        for name, inner in fields.items()
    }
    return {"$": "data", "t": entry, "v": content}


def _typed_plain(schema: Schema, value: object) -> Json:
    match schema.get("type"), value:
        case "boolean", bool():
            return value
        case "integer", int() if not isinstance(value, bool):
            return to_json(int(value))
        case "number", int() | float() if not isinstance(value, bool):
            return to_json(float(value))
        case "string", str():
            return to_json(str(value))
        case _:
            raise _mismatch(schema, value)


def _inner(step: str, schema: Schema, value: object) -> Json:
    try:
        return typed(schema, value)
    except _Mismatch as wrong:
        wrong.path.append(step)
        raise


def _entry(cls: type[object]) -> str:
    return f"{canonical_module(cls.__module__)}:{cls.__qualname__}"


_Convert: TypeAlias = "Callable[[Schema, object], Json]"

_FORMS: tuple[tuple[Callable[[Schema], bool], _Convert], ...] = (
    (lambda schema: "anyOf" in schema, _typed_optional),
    (lambda schema: "enum" in schema, _typed_choice),
    (lambda schema: schema.get("format") in {"date", "date-time"}, _typed_date),
    (lambda schema: schema.get("format") in {"file", "dir"}, _typed_path),
    (lambda schema: schema.get("type") == "array", _typed_array),
    (lambda schema: schema.get("type") == "object", _typed_data),
    (lambda schema: "type" in schema, _typed_plain),
)


# -------------------------------------------------------------------------------------------------- from text


def _text(schema: Schema, text: str) -> Json:
    if "anyOf" in schema:
        return None if text.lower() in _NONE else _or_none(schema, _text, text)
    if "enum" in schema:
        choices = cast("list[Json]", schema["enum"])
        return typed(schema, next((choice for choice in choices if _spelling(choice) == text), text))
    match schema.get("type"):
        case "integer" | "number":
            return typed(schema, _number(schema, text))
        case "boolean":
            if text.lower() not in _TRUE | _FALSE:
                raise _mismatch(schema, text)
            return text.lower() in _TRUE
        case "array" if not text.lstrip().startswith("["):
            items = [item.strip() for item in text.split(",")] if text.strip() else []
            trees = [_text(cast("Schema", schema["items"]), item) for item in items]
            return {"$": "tuple", "v": trees} if schema.get("python") == "tuple" else trees
        case "array" | "object":
            return typed(schema, _json(schema, text))
        case _:
            return typed(schema, text)


def _number(schema: Schema, text: str) -> float:
    try:
        if schema["type"] == "number":
            return float(text)
        if _INTEGER.fullmatch(text.strip()):
            return int(text)
    except ValueError:
        pass
    raise _mismatch(schema, text)


def _json(schema: Schema, text: str) -> object:
    try:
        return cast("object", json.loads(text))
    except ValueError:
        hint = "write it as JSON, or set single fields: name.field=value" if schema["type"] == "object" else None
        raise _mismatch(schema, text, hint) from None


def _spelling(choice: Json) -> str:
    return choice if isinstance(choice, str) else json.dumps(choice)


# ------------------------------------------------------------------------------------------------- in words


def describe_type(schema: Schema) -> str:
    """Return what a schema allows, in words: ``an integer``, ``one of 'a', 'b'``, ``a list: each an integer``."""
    if "anyOf" in schema:
        return f"{describe_type(_without_none(schema))}, or none"
    if "enum" in schema:
        return "one of " + ", ".join(map(_spelling, cast("list[Json]", schema["enum"])))
    match schema.get("type"):
        case "array":
            return f"a list: each {describe_type(cast('Schema', schema['items']))}"
        case "object":
            fields = cast("Mapping[str, Schema]", schema.get("properties", {}))
            return f"the fields {', '.join(f'{name} ({describe_type(inner)})' for name, inner in fields.items())}"
        case _:
            return _WORDS.get(str(schema.get("format", schema.get("type"))), str(schema.get("type")))


_WORDS: Mapping[str, str] = {
    "string": "text",
    "integer": "an integer",
    "number": "a number",
    "boolean": "true or false",
    "date": "a date such as 2026-01-31",
    "date-time": "a time such as 2026-01-31T08:30:00",
    "file": "the path of a file",
    "dir": "the path of a folder",
}


def _without_none(schema: Schema) -> Schema:
    return cast("Schema", cast("list[Json]", schema["anyOf"])[0]) if "anyOf" in schema else schema


def _nearest(word: str, words: Iterable[str]) -> str | None:
    near = difflib.get_close_matches(word, list(words), 1, 0.5)
    return f"did you mean '{near[0]}'?" if near else None
