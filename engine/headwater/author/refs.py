"""What a value looks like while a pipeline is drawn: a reference that can be picked from and compared, nothing else.

A step called in a pipeline function is typed as if it had run; what it gives then is a :class:`Ref`. Whatever would
need the value itself raises at once, with the author's own line and what to write instead.
"""

from __future__ import annotations

import dataclasses
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, SupportsIndex, cast

from headwater import expr as exprs
from headwater.author import annotations as types
from headwater.errors import DefinitionError, ValueNotStorable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from headwater.digest import Json
    from headwater.expr import Expr, Operator

_WHEN = "write it as `with when(...)`, and `otherwise`; a value chosen by it with either(guard, a, b)"
_STEP = "do it inside a step"


@dataclass(frozen=True, slots=True)
class Drawn:
    """What is known of a value while the pipeline is drawn."""

    expr: Expr
    #: Its declared type; ``Any`` where nothing is declared.
    type: object = Any
    #: How many elements it has, where that is known.
    length: int | None = None


def _refuse(what: str, hint: str) -> Callable[..., Any]:
    def refused(self: Ref, *_: object, **__: object) -> NoReturn:
        raise refusal(self, what, hint)

    return refused


def _comparison(op: Operator) -> Callable[[Ref, object], Any]:
    def compare(self: Ref, other: object) -> Ref:
        return Ref(Drawn(exprs.Compare(op, self._drawn.expr, lift(other)), bool))

    return compare


class Ref:
    """A value that is known only when the pipeline runs. Fields, elements and comparisons of it are data too."""

    __slots__ = ("_drawn",)

    def __init__(self, drawn: Drawn) -> None:
        self._drawn = drawn

    def __getattr__(self, name: str) -> Ref:
        if name.startswith("_"):  # asked by copy, pickle, notebooks, …: no field of the author's
            raise AttributeError(name)
        if types.is_mapping(self._drawn.type):
            facts = {"line": author_line(), "type": types.name(self._drawn.type)}
            hint = f'an entry of it is ["{name}"]'
            raise DefinitionError(f"`{_shown(self._drawn.expr)}` has no part '{name}'", facts=facts, hint=hint)
        return _picked(self, name)

    def __getitem__(self, key: object) -> Ref:
        if isinstance(key, str):
            return _picked(self, key)
        if isinstance(key, SupportsIndex) and not isinstance(key, Ref):
            return _picked(self, key.__index__())
        raise refusal(self, "sliced, or indexed by a value", _STEP)

    def __iter__(self) -> Iterator[Ref]:
        length = _length(self)
        if length is None:
            raise refusal(self, "iterated over", "map a step over it: step.map(over(…))")
        return iter([_picked(self, place) for place in range(length)])

    def __len__(self) -> int:
        length = _length(self)
        if length is None:
            raise refusal(self, "asked for its length", _STEP)
        return length

    def __repr__(self) -> str:
        return f"<{_shown(self._drawn.expr)}>"

    __hash__ = None  # type: ignore[assignment]  # `==` draws a comparison, so it cannot be a key

    __eq__ = _comparison("==")
    __ne__ = _comparison("!=")
    __lt__ = _comparison("<")
    __le__ = _comparison("<=")
    __gt__ = _comparison(">")
    __ge__ = _comparison(">=")

    __bool__ = _refuse("used as a condition", f"{_WHEN}; `and`, `or`, `not` are all_of, any_of, not_")
    __contains__ = _refuse("searched with `in`", "write is_in(item, items)")
    __call__ = _refuse("called", "only fields, elements and comparisons are data; call methods inside a step")
    __str__ = __format__ = _refuse("made into text", "make the text inside a step")
    __float__ = __int__ = __index__ = __complex__ = __bytes__ = __fspath__ = _refuse("converted", _STEP)
    __round__ = __trunc__ = __floor__ = __ceil__ = __abs__ = __neg__ = __pos__ = __invert__ = _refuse(
        "computed with", _STEP
    )
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = _refuse("computed with", _STEP)
    __truediv__ = __rtruediv__ = __floordiv__ = __rfloordiv__ = __mod__ = __rmod__ = _refuse("computed with", _STEP)
    __pow__ = __rpow__ = __matmul__ = __rmatmul__ = __divmod__ = __rdivmod__ = _refuse("computed with", _STEP)
    __and__ = __rand__ = __or__ = __ror__ = __xor__ = __rxor__ = _refuse("combined", "write all_of(…) or any_of(…)")
    __lshift__ = __rlshift__ = __rshift__ = __rrshift__ = _refuse("computed with", _STEP)
    __setitem__ = __delitem__ = _refuse("changed", "make a changed copy inside a step")
    __await__ = __aiter__ = __anext__ = _refuse("awaited", "steps are plain functions")
    __enter__ = __exit__ = _refuse("entered", _STEP)
    __next__ = _refuse("iterated over", _STEP)


def drawn(ref: Ref) -> Drawn:
    """Return what is known of a reference."""
    return ref._drawn


def refusal(ref: Ref, what: str, hint: str) -> DefinitionError:
    """Return the error that says: this value is not there yet."""
    return DefinitionError(
        f"`{_shown(ref._drawn.expr)}` is known only when the pipeline runs",
        facts={"line": author_line(), "but is": what},
        hint=hint,
    )


def _shown(expr: Expr) -> str:
    """Return an expression as text; the result of one step is called by its name, not told part by part."""
    parts = exprs.parts(expr) if isinstance(expr, exprs.Data | exprs.Seq) else ()
    steps = {part.step if isinstance(part, exprs.Out) and not part.path else "" for part in parts}
    return next(iter(steps)) if len(steps) == 1 and "" not in steps else exprs.describe(expr)


def _length(ref: Ref) -> int | None:
    return ref._drawn.length if ref._drawn.length is not None else types.fixed_length(ref._drawn.type)


def _picked(ref: Ref, key: str | int) -> Ref:
    expr, type_ = ref._drawn.expr, ref._drawn.type
    try:
        part = types.part(type_, key)
        return Ref(Drawn(exprs.pick(expr, key), part))
    except types.NoPart as none:
        hint = types.nearest(str(key), none.known) or none.hint
        facts = {"line": author_line(), "type": types.name(type_)}
        if none.known:
            facts["fields"] = ", ".join(none.known)
        raise DefinitionError(f"`{_shown(expr)}` has no {none.what} {key!r}", facts=facts, hint=hint) from None
    except LookupError:
        facts = {"line": author_line()}
        raise DefinitionError(f"`{_shown(expr)}` has no part {key!r}", facts=facts) from None


# ------------------------------------------------------------------------------------------------ from values


def lift(value: object) -> Expr:
    """Return the expression of anything an author may pass: a constant, a reference, or a nest of these."""
    if isinstance(value, Ref):
        if value._drawn.type is type(None):
            name = exprs.describe(value._drawn.expr)
            raise DefinitionError(
                f"'{name}' returns nothing that could be passed on",
                facts={"line": author_line()},
                hint=f"to run after it: .using(after=['{name}'])",
            )
        return value._drawn.expr
    return _lift_nest(value) if _holds_refs(value) else exprs.Const(_constant(value))


def _holds_refs(value: object) -> bool:
    return isinstance(value, Ref) or any(map(_holds_refs, _inside(value)))


def _inside(value: object) -> list[object]:
    if isinstance(value, list | tuple):
        return list(cast("tuple[object, ...]", value))
    if isinstance(value, dict):
        return list(cast("dict[object, object]", value).values())
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [getattr(value, field.name) for field in dataclasses.fields(value)]
    return []


def _lift_nest(value: object) -> Expr:
    match value:
        case list():
            return exprs.Seq("list", tuple(map(lift, cast("list[object]", value))))
        case tuple() if types.named_fields(type(value)):
            pairs = zip(types.named_fields(type(value)), cast("tuple[object, ...]", value), strict=True)
            return exprs.Data(types.entry_of(type(value)), {name: lift(part) for name, part in pairs}, "named")
        case tuple():
            return exprs.Seq("tuple", tuple(map(lift, cast("tuple[object, ...]", value))))
        case dict():
            items = cast("dict[object, object]", value)
            if not all(isinstance(key, str) for key in items):
                raise DefinitionError(
                    "a dictionary that holds results of steps must have text as keys", facts={"line": author_line()}
                )
            return exprs.Dict({str(key): lift(part) for key, part in items.items()})
        case _:
            names = [field.name for field in dataclasses.fields(cast("Any", value))]
            return exprs.Data(types.entry_of(type(value)), {name: lift(getattr(value, name)) for name in names})


def _constant(value: object) -> Json:
    from headwater.values import to_json

    try:
        return to_json(value, extra=types.file_literal)
    except ValueNotStorable as error:
        raise DefinitionError(
            f"a {types.name(type(value))} cannot be a constant of a pipeline",
            facts={"line": author_line(), "why": error.sentence, **error.facts},
            hint="make it inside a step, and pass on what that step returns",
        ) from None


# ------------------------------------------------------------------------------------------------ whose line


def author_frame() -> FrameType:
    """Return the innermost frame that is the author's own, not headwater's."""
    frame = sys._getframe(1)
    while frame.f_back is not None and _is_ours(frame):
        frame = frame.f_back
    return frame


def author_line() -> str:
    """Return the author's line that is being executed: ``flights.py:41``, with the folders of its package."""
    return line_of(author_frame())


def line_of(frame: FrameType) -> str:
    """Return a frame's place as ``folder/module.py:41``, as far up as its package goes."""
    module = str(frame.f_globals.get("__name__", ""))
    return f"{file_label(frame.f_code.co_filename, module)}:{frame.f_lineno}"


def file_label(path: str, module: str) -> str:
    """Return the end of a file's path that belongs to its module's name; no folder of this machine is in it."""
    parts = path.replace("\\", "/").split("/")
    depth = 1 + module.count(".") + (parts[-1] == "__init__.py")
    return "/".join(parts[-depth:])


def _is_ours(frame: FrameType) -> bool:
    name = str(frame.f_globals.get("__name__", ""))
    return name == "headwater" or name.startswith("headwater.")
