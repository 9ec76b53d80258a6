"""The few words that are not steps: conditions, maps, and the effects that headwater itself performs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, ParamSpec, Self, TypeVar, Unpack, cast

from headwater import expr as exprs
from headwater.author import annotations as types
from headwater.author.calls import Over, bind, plain_inputs
from headwater.author.drawing import Drawing, required
from headwater.author.options import CallOptions, Settings, with_options
from headwater.author.refs import Drawn, Ref, author_line, drawn, lift
from headwater.errors import DefinitionError
from headwater.graph import Guard, Options, Output

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from types import TracebackType

    from headwater.expr import Expr
    from headwater.graph import Kind

T = TypeVar("T")
P = ParamSpec("P")


# ------------------------------------------------------------------------------------------------- conditions


class Condition:
    """One side of a condition: the steps called inside ``with`` run only if it is taken."""

    def __init__(self, drawing: Drawing, guard: Guard) -> None:
        #: Where it stands.
        self.guard = guard
        self._drawing = drawing

    def __enter__(self) -> Self:
        _check_drawing(self)
        self._drawing.guards.append(self.guard)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._drawing.guards.remove(self.guard)

    def __bool__(self) -> bool:
        raise DefinitionError(
            f"condition '{self.guard.condition}' is known only when the pipeline runs",
            facts={"line": author_line()},
            hint="use it as `with when(...) as guard:`, then `with otherwise(guard):` or either(guard, a, b)",
        )

    def __repr__(self) -> str:
        return f"<{'' if self.guard.expected else 'otherwise '}{self.guard.condition}>"


def when(condition: bool, name: str | None = None) -> Condition:  # noqa: FBT001  it reads as a sentence
    """Let steps run only if a condition holds: those called inside its ``with`` block."""
    drawing = required("when(…)")
    settings = Settings(name=name)
    node = drawing.add("condition", "when", settings, call=lift(condition), outputs=(Output(exprs.RESULT, "json"),))
    return Condition(drawing, Guard(node.name, expected=True))


def otherwise(guard: Condition) -> Condition:
    """Let steps run only if a condition does not hold: those called inside its ``with`` block."""
    _check_drawing(guard)
    return Condition(guard._drawing, Guard(guard.guard.condition, not guard.guard.expected))


def either(guard: Condition, a: T, b: T) -> T:
    """Give ``a`` if the condition of ``guard`` holds, else ``b``."""
    _check_drawing(guard)
    then, other = lift(a), lift(b)
    if not guard.guard.expected:
        then, other = other, then
    known = [drawn(each).type for each in (a, b) if isinstance(each, Ref)] or [type(a)]
    return cast("T", Ref(Drawn(exprs.Either(guard.guard.condition, then, other), known[0])))


def all_of(*conditions: bool) -> bool:
    """Hold if every condition does: what ``and`` is between values."""
    return _condition(exprs.All(tuple(map(lift, conditions))))


def any_of(*conditions: bool) -> bool:
    """Hold if some condition does: what ``or`` is between values."""
    return _condition(exprs.Any(tuple(map(lift, conditions))))


def not_(condition: bool) -> bool:  # noqa: FBT001  stands for an operator
    """Hold if the condition does not: what ``not`` is before a value."""
    return _condition(exprs.Not(lift(condition)))


def is_in(item: T, items: Collection[T]) -> bool:
    """Hold if the item is among the items: what ``in`` is between values."""
    return _condition(exprs.Compare("in", lift(item), lift(items)))


def _condition(expr: Expr) -> bool:
    required("a condition")
    return cast("bool", Ref(Drawn(expr, bool)))


def _check_drawing(guard: Condition) -> None:
    if not isinstance(cast("object", guard), Condition) or required("a condition") is not guard._drawing:
        raise DefinitionError(
            "this is not a condition of the pipeline being drawn",
            facts={"line": author_line()},
            hint="take it from `with when(...) as guard:`",
        )


# ------------------------------------------------------------------------------------------------------- maps


def over(items: Sequence[T]) -> T:
    """Mark the argument of ``step.map(...)`` whose elements are taken one by one."""
    given: object = items
    if not isinstance(given, Ref) and (isinstance(given, str | bytes) or not hasattr(given, "__len__")):
        raise DefinitionError(f"over(…) needs a list, not a {types.name(type(items))}", facts={"line": author_line()})
    return cast("T", Over(items))


# ---------------------------------------------------------------------------------------------------- effects


class Effect(Generic[P]):
    """Something that headwater itself does to the outside; done once as long as nothing it depends on changes."""

    def __init__(self, kind: Kind, function: Callable[P, None], settings: Settings) -> None:
        self._kind: Kind = kind
        self._function = function
        self._settings = settings
        self.__doc__ = function.__doc__

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> None:
        """Draw it as a step."""
        drawing = required(f"{self._kind}(…)")
        inputs = plain_inputs(self._kind, bind(self._kind, self._function, args, kwargs))
        node = drawing.add(self._kind, self._kind, self._settings, inputs=inputs)
        # Typed as nothing, but `.using(after=[...])` needs to know which step it was.
        return cast("Any", Ref(Drawn(exprs.Out(node.name), type(None))))  # type: ignore[no-any-return]

    def using(self, **options: Unpack[CallOptions]) -> Effect[P]:
        """Return the same effect with other options."""
        return Effect(self._kind, self._function, with_options(self._settings, options, CallOptions))

    def __repr__(self) -> str:
        return f"<{self._kind}>"


def _register(artifact: object, *, name: str, metrics: Mapping[str, float] | None = None) -> None:
    """Register an artifact as the next version of a model, with the metrics that speak for it."""


def _notify(message: str, value: object = None) -> None:
    """Tell the people who listen (see the hooks) something, with a value to show."""


#: Register an artifact as the next version of a model: ``register(model, name="delay", metrics={"f1": report.f1})``.
register = Effect("register", _register, Settings(Options(effect="once")))

#: Tell the people who listen something: ``notify("delay: f1 too low", report)``.
notify = Effect("notify", _notify, Settings(Options(effect="once")))


def fail(message: str, name: str | None = None) -> None:
    """End the run as failed, with a message; usually inside ``with when(...)``."""
    drawing = required("fail(…)")
    node = drawing.add("fail", "fail", Settings(name=name), inputs={"message": lift(message)})
    return cast("Any", Ref(Drawn(exprs.Out(node.name), type(None))))  # type: ignore[no-any-return]
