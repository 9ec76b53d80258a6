"""What annotations tell while a pipeline is drawn: a function's hints, the parts of a result, the type of a part."""

from __future__ import annotations

import dataclasses
import difflib
import inspect
import types
import typing
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, TypeGuard, Union, cast, get_args, get_origin, is_typeddict

from headwater.values import canonical_module

if TYPE_CHECKING:
    from collections.abc import Callable

    from headwater.digest import Json

_ARTIFACTS = "headwater.artifacts"
_SEQUENCES = (list, tuple, Sequence)
_MAPPINGS = (dict, Mapping)


class NoPart(LookupError):
    """A type has no such field or element."""

    def __init__(self, what: str, known: Sequence[str] = (), hint: str | None = None) -> None:
        super().__init__(what)
        self.what, self.known, self.hint = what, known, hint


# ---------------------------------------------------------------------------------------------- of a function


def hints_of(function: Callable[..., object], names: Mapping[str, object]) -> dict[str, object]:
    """Return a function's annotations; one that cannot be resolved (imported for checkers only) is ``Any``.

    ``names`` are local names at the place of the definition, for functions that are defined inside others.
    """
    plain = inspect.unwrap(function)
    found = cast("dict[str, object]", getattr(plain, "__annotations__", {}))
    scope = getattr(plain, "__globals__", {})
    return {name: _resolved(hint, scope, names) for name, hint in found.items()}


def fields_of(cls: type[object]) -> dict[str, object]:
    """Return the fields of a dataclass or NamedTuple with their types, in order; empty for other classes."""
    names = named_fields(cls)
    if dataclasses.is_dataclass(cls):
        names = tuple(field.name for field in dataclasses.fields(cls))
    if not names:
        return {}
    hints: dict[str, object] = {}
    for base in reversed(cls.__mro__):
        scope = vars(inspect.getmodule(base) or typing)
        own = cast("dict[str, object]", vars(base).get("__annotations__", {}))
        hints |= {name: _resolved(hint, scope, {}) for name, hint in own.items()}
    return {name: hints.get(name, Any) for name in names}


def _resolved(hint: object, scope: Mapping[str, object], names: Mapping[str, object]) -> object:
    if hint is None:
        return type(None)
    if isinstance(hint, typing.ForwardRef):  # what NamedTuple makes of a text
        hint = hint.__forward_arg__
    if not isinstance(hint, str):
        return hint
    try:
        holder = type("Holder", (), {"__annotations__": {"hint": hint}})
        return typing.get_type_hints(holder, dict(scope), dict(names), include_extras=True)["hint"]
    except (NameError, AttributeError, TypeError, SyntaxError):
        return Any


# ------------------------------------------------------------------------------------------------ of a result


def named_fields(cls: object) -> tuple[str, ...]:
    """Return the field names of a NamedTuple class; empty for any other."""
    is_named = isinstance(cls, type) and issubclass(cls, tuple) and hasattr(cls, "_fields")
    return cast("tuple[str, ...]", cls._fields) if is_named else ()  # type: ignore[attr-defined]


def parts_of(annotation: object) -> tuple[Any, dict[str, object]] | None:
    """Return what a result of several outputs is put together from: its class, or ``tuple``; and the parts' types.

    None for a result that is one output: anything but a frozen dataclass, a NamedTuple or a tuple of fixed length.
    """
    if is_annotated(annotation):
        whole, *marks = get_args(annotation)
        return None if _asks_for_codec(marks) else parts_of(whole)
    cls = get_origin(annotation) or annotation
    if isinstance(cls, type) and (named_fields(cls) or _is_frozen(cls)) and not is_file(cls):
        fields = fields_of(cls)
        return (cls, fields) if fields else None
    items = _tuple_items(annotation)
    return (tuple, {str(place): item for place, item in enumerate(items)}) if items else None


def is_annotated(annotation: object) -> bool:
    """Tell whether an annotation carries metadata, such as a codec."""
    return get_origin(annotation) is Annotated


def _asks_for_codec(marks: Sequence[object]) -> bool:
    """Tell whether a value is to be stored in one piece, by a codec that the author names."""
    from headwater.artifacts import codec

    return any(isinstance(mark, codec) for mark in marks)


def bare(annotation: object) -> object:
    """Return an annotation without its metadata and without ``None`` as an alternative."""
    if is_annotated(annotation):
        return bare(get_args(annotation)[0])
    if get_origin(annotation) in {Union, types.UnionType}:
        rest = [each for each in get_args(annotation) if each is not type(None)]
        return bare(rest[0]) if len(rest) == 1 else Any
    return Any if isinstance(annotation, typing.TypeVar) else annotation


def _is_frozen(cls: type[object]) -> bool:
    parameters = getattr(cls, "__dataclass_params__", None)
    return parameters is not None and bool(parameters.frozen)


def _tuple_items(annotation: object) -> tuple[object, ...]:
    if get_origin(annotation) is not tuple:
        return ()
    items = get_args(annotation)
    return () if Ellipsis in items or items == ((),) else items


# -------------------------------------------------------------------------------------------------- of a part


def fixed_length(annotation: object) -> int | None:
    """Return how many parts a value of this type always has; None if that differs from value to value."""
    annotation = bare(annotation)
    cls = get_origin(annotation) or annotation
    if isinstance(cls, type):
        count = len(named_fields(cls)) or (_is_frozen(cls) and len(fields_of(cls)))
        if count:
            return count
    return len(_tuple_items(annotation)) or None


def part(annotation: object, key: str | int) -> object:
    """Return the type of a field or element; raises NoPart where the type is known to have none."""
    annotation = bare(annotation)
    cls, arguments = get_origin(annotation) or annotation, get_args(annotation)
    if not says_something(cls):
        return Any
    fields = fields_of(cls)
    if fields and isinstance(key, str):
        return _field(cls, fields, key)
    if is_typeddict(cls):
        hints = typing.get_type_hints(cls)
        return _known(hints, str(key), "key")
    items = tuple(fields.values()) or _tuple_items(annotation)
    if items and isinstance(key, int):
        if not -len(items) <= key < len(items):
            raise NoPart("part", hint=f"it has {len(items)}")
        return items[key]
    if issubclass(cls, _SEQUENCES) and not issubclass(cls, str | bytes) and isinstance(key, int):
        return arguments[0] if arguments else Any
    if issubclass(cls, _MAPPINGS) and isinstance(key, str):
        return arguments[1] if len(arguments) > 1 else Any
    raise NoPart("part", hint="only fields of dataclasses and NamedTuples, and elements of lists and dicts, are data")


def _field(cls: type[object], fields: Mapping[str, object], key: str) -> object:
    if key not in fields and hasattr(cls, key):
        hint = f"`{key}` is computed by the class: only its fields are data; use it inside a step"
        raise NoPart("field", hint=hint)
    return _known(fields, key, "field")


def _known(fields: Mapping[str, object], key: str, what: str) -> object:
    if key not in fields:
        raise NoPart(what, tuple(fields))
    return fields[key]


def is_mapping(annotation: object) -> bool:
    """Tell whether values of a type are known to be dictionaries: their entries are no attributes."""
    cls = get_origin(bare(annotation)) or bare(annotation)
    return isinstance(cls, type) and issubclass(cls, _MAPPINGS)


def says_something(cls: object) -> TypeGuard[type[object]]:
    """Tell whether a class limits what its values are: ``Any`` and ``object`` do not."""
    return isinstance(cls, type) and cls.__qualname__ not in {"Any", "object"}


def element(annotation: object) -> object:
    """Return the type of a list's elements; raises NoPart where the type is known to be no list."""
    annotation = bare(annotation)
    cls, arguments = get_origin(annotation) or annotation, get_args(annotation)
    if not says_something(cls):
        return Any
    if not issubclass(cls, _SEQUENCES) or issubclass(cls, str | bytes):
        raise NoPart("elements")
    return arguments[0] if arguments else Any


def entry_of(thing: object) -> str:
    """Return the name by which a worker finds a function or class again: ``module:qualname``."""
    module, qualname = getattr(thing, "__module__", None), getattr(thing, "__qualname__", None)
    return f"{canonical_module(str(module))}:{qualname}"


def name(annotation: object) -> str:
    """Return a type as an author would write it."""
    if isinstance(annotation, type) and not get_args(annotation):
        return annotation.__qualname__
    return str(annotation).replace("typing.", "")


def nearest(word: str, words: typing.Iterable[str]) -> str | None:
    """Return *did you mean 'month'?* for a misspelt word, or None if nothing is near."""
    near = difflib.get_close_matches(word, list(words), 1, 0.5)
    return f"did you mean '{near[0]}'?" if near else None


def spec_of(annotation: object) -> str:
    """Return the type of an output with this annotation: ``json``, ``arrow``, ``file``, …, or ``any``."""
    from headwater.artifacts import type_spec

    return type_spec(annotation)


# ------------------------------------------------------------------------------------------------- of a file


def is_file(cls: object) -> bool:
    """Tell whether a class is ``File`` or ``Dir``; without importing their module."""
    return isinstance(cls, type) and cls.__module__.startswith(_ARTIFACTS) and cls.__qualname__ in {"File", "Dir"}


def file_literal(value: object) -> Json:
    """Return the constant for a file or folder named by its path; None for any other value.

    Its content is digested when the run is planned, not now: drawing reads nothing.
    """
    if not is_file(type(value)):
        return None
    return {"$": type(value).__qualname__.lower(), "path": str(cast("Any", value).source)}
