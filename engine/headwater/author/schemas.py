"""The parameters of a pipeline, as the signature of its function declares them."""

from __future__ import annotations

import dataclasses
import inspect
import types as builtin_types
from datetime import date, datetime
from enum import Enum
from typing import TYPE_CHECKING, Any, Literal, Union, cast, get_args, get_origin

from headwater.author import annotations as types
from headwater.errors import DefinitionError, ParameterError, ValueNotStorable
from headwater.graph import Parameter
from headwater.parameters import from_value

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headwater.digest import Json

_PLAIN: Mapping[object, dict[str, Json]] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    date: {"type": "string", "format": "date"},
    datetime: {"type": "string", "format": "date-time"},
}
_ALLOWED = (
    "str, int, float, bool, date, datetime, an Enum, Literal[…], File, Dir, dataclasses and lists of these, "
    "and each of them or None"
)


def parameter_of(name: str, annotation: object, declared: inspect.Parameter, *, line: str) -> Parameter:
    """Return a parameter of a pipeline; raises DefinitionError where it cannot be given from outside."""
    if declared.kind in {declared.VAR_POSITIONAL, declared.VAR_KEYWORD}:
        raise DefinitionError(
            f"a pipeline cannot take '{declared}'", facts={"line": line}, hint="name each parameter, with its type"
        )
    default = declared.default
    if annotation is inspect.Parameter.empty:
        annotation = Any if default in {declared.empty, None} else type(default)
    schema = schema_of(annotation)
    if schema is None:
        what = "needs a type" if annotation is Any else f"cannot be of type '{types.name(annotation)}'"
        known = {"line": line, "allowed": _ALLOWED}
        raise DefinitionError(f"parameter '{name}' {what}", facts=known, hint=f"write {name}: str, for instance")
    if default is declared.empty:
        return Parameter(name, schema)
    try:
        typed = from_value(Parameter(name, schema), default)
    except ParameterError as error:
        facts: dict[str, object] = {"line": line, **error.facts}
        raise DefinitionError(f"the default of parameter '{name}' is not of its type", facts=facts) from None
    return Parameter(name, schema, required=False, default=typed)


def schema_of(annotation: object) -> dict[str, Json] | None:
    """Return the schema of what a parameter of this type may be; None if it cannot be given from outside."""
    if types.is_annotated(annotation):
        return schema_of(get_args(annotation)[0])
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in {Union, builtin_types.UnionType}:
        rest = [each for each in arguments if each is not type(None)]
        inner = schema_of(rest[0]) if len(rest) == 1 else None
        return None if inner is None else {"anyOf": [inner, {"type": "null"}]}
    if origin is Literal:
        plain = all(isinstance(each, str | int | None) for each in arguments)
        return {"enum": list(arguments)} if plain else None
    if origin is list or (origin is tuple and arguments[1:] == (...,)):
        items = schema_of(arguments[0])
        array: dict[str, Json] = {"type": "array", "items": items}
        return None if items is None else array | ({"python": "tuple"} if origin is tuple else {})
    return {**_PLAIN[annotation]} if annotation in _PLAIN else _schema_of_class(annotation)


def _schema_of_class(cls: object) -> dict[str, Json] | None:
    if not isinstance(cls, type):
        return None
    if types.is_file(cls):
        return {"type": "string", "format": cls.__qualname__.lower()}
    if issubclass(cls, Enum):
        return {"enum": list(cls.__members__), "python": types.entry_of(cls)}
    if not dataclasses.is_dataclass(cls):
        return None
    hints, properties = types.fields_of(cls), dict[str, "Json"]()
    for field in dataclasses.fields(cls):
        schema = schema_of(hints[field.name])
        if schema is None:
            return None
        properties[field.name] = {**schema, **_default_of(field, schema)}
    required: list[Json] = [name for name, each in properties.items() if "default" not in cast("dict[str, Json]", each)]
    return {"type": "object", "properties": properties, "required": required, "python": types.entry_of(cls)}


def _default_of(field: dataclasses.Field[Any], schema: Mapping[str, Json]) -> dict[str, Json]:
    """Return the default of a field, where it has one that can be written down."""
    default: object = field.default
    if field.default_factory is not dataclasses.MISSING:
        default = field.default_factory()
    if default is dataclasses.MISSING:
        return {}
    try:
        return {"default": from_value(Parameter(field.name, schema), default)}
    except (ParameterError, ValueNotStorable):
        return {}
