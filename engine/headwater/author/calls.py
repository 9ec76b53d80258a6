"""Arguments of a step: bound to its signature, made into expressions, and spread out again for the real call."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from headwater import expr as exprs
from headwater.author import annotations as types
from headwater.author.refs import Drawn, Ref, author_line, drawn, lift
from headwater.errors import DefinitionError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from headwater.expr import Expr

_KINDS = inspect.Parameter


@dataclass(frozen=True, slots=True, eq=False)
class Over:
    """Marks the argument whose elements a step is mapped over."""

    items: object


def bind(
    name: str, function: Callable[..., object], args: Sequence[object], kwargs: Mapping[str, object]
) -> dict[str, object]:
    """Return the given arguments by the names of their inputs; raises DefinitionError where they do not fit.

    ``*tables`` is one input, a tuple; what ``**options`` takes are inputs under their own names.
    """
    signature = inspect.signature(function)
    try:
        given = dict(signature.bind(*args, **kwargs).arguments)
    except TypeError as error:
        facts = {"line": author_line(), "signature": _signature(name, signature)}
        wrong = next((key for key in kwargs if key not in signature.parameters), None)
        hint = types.nearest(wrong, signature.parameters) if wrong else None
        raise DefinitionError(f"'{name}' cannot be called so: {error}", facts=facts, hint=hint) from None
    rest = [key for key in given if signature.parameters[key].kind is _KINDS.VAR_KEYWORD]
    for key in rest:
        more = cast("dict[str, object]", given.pop(key))
        if given.keys() & more.keys():
            both = min(given.keys() & more.keys())
            facts = {"line": author_line(), "signature": _signature(name, signature)}
            raise DefinitionError(f"'{name}' is given '{both}' twice: by place, and as an option", facts=facts)
        given |= more
    return given


def _signature(name: str, signature: inspect.Signature) -> str:
    """Return a signature as its author wrote it."""
    empty = inspect.Parameter.empty
    shown = [
        each.replace(annotation=each.annotation if isinstance(each.annotation, str) else empty)
        for each in signature.parameters.values()
    ]
    return name + str(signature.replace(parameters=shown, return_annotation=inspect.Signature.empty)).replace("'", "")


def plain_inputs(name: str, arguments: Mapping[str, object]) -> dict[str, Expr]:
    """Return the arguments of a plain call as expressions."""
    for key, value in arguments.items():
        if _holds_over(value):
            raise DefinitionError(
                f"over(…) for '{key}' belongs in {name}.map(…)", facts={"line": author_line()}, hint=f"{name}.map(…)"
            )
    return {key: lift(value) for key, value in arguments.items()}


def map_inputs(name: str, arguments: Mapping[str, object]) -> tuple[dict[str, Expr], dict[str, Expr], int | None]:
    """Return the arguments of a map: the whole ones, those taken element by element, and the number of elements."""
    over = {key: value for key, value in arguments.items() if isinstance(value, Over)}
    if not over:
        raise DefinitionError(
            f"{name}.map(…) needs an argument to map over",
            facts={"line": author_line()},
            hint=f"{name}.map(…, over(items))",
        )
    inputs = plain_inputs(name, {key: value for key, value in arguments.items() if key not in over})
    lengths = {key: length for key, value in over.items() if (length := _length(key, value)) is not None}
    if len(set(lengths.values())) > 1:
        facts = {"line": author_line(), **{f"over {key}": f"{length} elements" for key, length in lengths.items()}}
        raise DefinitionError("several over(…) in one map go side by side: they must have one length", facts=facts)
    return inputs, {key: _elements(value) for key, value in over.items()}, next(iter(lengths.values()), None)


def _holds_over(value: object) -> bool:
    if isinstance(value, Over):
        return True
    if isinstance(value, dict):
        return any(map(_holds_over, cast("dict[object, object]", value).values()))
    return isinstance(value, list | tuple) and any(map(_holds_over, cast("tuple[object, ...]", value)))


def _length(key: str, over: Over) -> int | None:
    if not isinstance(over.items, Ref):
        return len(cast("Sequence[object]", over.items))
    known = drawn(over.items)
    try:
        types.element(known.type)
    except types.NoPart:
        raise DefinitionError(
            f"over(…) for '{key}' needs a list",
            facts={"line": author_line(), "given": exprs.describe(known.expr), "type": types.name(known.type)},
        ) from None
    return known.length if known.length is not None else types.fixed_length(known.type)


def _elements(over: Over) -> Expr:
    if isinstance(over.items, Ref):
        return drawn(over.items).expr
    return lift(list(cast("Sequence[object]", over.items)))


def map_plainly(function: Callable[..., object], arguments: Mapping[str, object]) -> list[object]:
    """Call a function once per element: what a map means outside any pipeline."""
    over = {key: cast("Sequence[object]", value.items) for key, value in arguments.items() if isinstance(value, Over)}
    whole = {key: value for key, value in arguments.items() if key not in over}
    rows = [dict(zip(over, row, strict=True)) for row in zip(*over.values(), strict=True)]
    results: list[object] = []
    for row in rows:
        args, kwargs = spread(function, {**whole, **row})
        results.append(function(*args, **kwargs))
    return results


def spread(function: Callable[..., object], values: Mapping[str, object]) -> tuple[list[Any], dict[str, Any]]:
    """Return the arguments that pass each input of a step as its signature wants it: the inverse of ``bind``."""
    parameters = inspect.signature(function).parameters
    has_rest = any(parameters[name].kind is _KINDS.VAR_POSITIONAL for name in values if name in parameters)
    placed = {_KINDS.POSITIONAL_ONLY, _KINDS.VAR_POSITIONAL, *([_KINDS.POSITIONAL_OR_KEYWORD] if has_rest else [])}
    args: list[Any] = []
    by_place = [name for name, each in parameters.items() if name in values and each.kind in placed]
    for name in by_place:
        is_rest = parameters[name].kind is _KINDS.VAR_POSITIONAL
        args += cast("Sequence[Any]", values[name]) if is_rest else [values[name]]
    return args, {name: value for name, value in values.items() if name not in by_place}


def gathered(step: str, type_: object, length: int | None) -> Ref:
    """Return what a map gives: the list of its results."""
    return Ref(Drawn(exprs.Gather(step), list[type_] if type_ is not Any else list, length))  # type: ignore[valid-type]
