"""Steps: functions and commands that add a node where they are called in a pipeline function."""

from __future__ import annotations

import functools
import inspect
import sys
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, Protocol, TypeVar, Unpack, cast, overload

from headwater.author import annotations as types
from headwater.author.calls import bind, gathered, map_inputs, map_plainly, plain_inputs
from headwater.author.commands import Command, command
from headwater.author.drawing import Drawing, current, result_of
from headwater.author.options import CallOptions, Settings, StepOptions, with_options
from headwater.author.refs import author_frame, line_of
from headwater.errors import DefinitionError
from headwater.graph import Output

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from headwater.author.refs import Ref
    from headwater.expr import Expr
    from headwater.graph import Node

__all__ = ["Command", "Decorator", "Step", "command", "function_of", "is_replaced", "outputs_of", "step"]

P = ParamSpec("P")
R = TypeVar("R")
Q = ParamSpec("Q")
S = TypeVar("S")


class Step(Generic[P, R]):
    """A function that is a step. Called in a pipeline function it adds a node; elsewhere it is its function."""

    def __init__(self, function: Callable[P, R], settings: Settings, names: Mapping[str, object]) -> None:
        functools.update_wrapper(self, function)
        #: The author's function, as decorated below ``@step``.
        self.function = function
        #: Checked options.
        self.settings = settings
        self._names = names

    @property
    def name(self) -> str:
        """What nodes of this step are named after."""
        return self.settings.name or cast("str", self.__name__)  # type: ignore[attr-defined]

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Draw a call in a pipeline function; elsewhere make it."""
        drawing = current()
        if drawing is None:
            return self.function(*args, **kwargs)
        inputs = plain_inputs(self.name, bind(self.name, self.function, args, kwargs))
        node, type_ = self._draw(drawing, inputs, {})
        cls = (types.parts_of(type_) or (None,))[0]
        return cast("R", result_of(node, type_, named=bool(types.named_fields(cls))))

    def map(self, *args: P.args, **kwargs: P.kwargs) -> list[R]:
        """Call the step once for each element of the arguments marked with ``over(...)``."""
        arguments = bind(self.name, self.function, args, kwargs)
        drawing = current()
        if drawing is None:
            return cast("list[R]", map_plainly(self.function, arguments))
        inputs, over, length = map_inputs(self.name, arguments)
        node, type_ = self._draw(drawing, inputs, over)
        result: Ref = gathered(node.name, type_, length)
        return cast("list[R]", result)

    def using(self, **options: Unpack[CallOptions]) -> Step[P, R]:
        """Return the same step with other options; its type stays."""
        return Step(self.function, with_options(self.settings, options, CallOptions), self._names)

    def __repr__(self) -> str:
        return f"<step {self.name}>"

    def _draw(self, drawing: Drawing, inputs: dict[str, Expr], over: dict[str, Expr]) -> tuple[Node, object]:
        type_ = types.hints_of(self.function, self._names).get("return", Any)
        outputs, whole = outputs_of(type_)
        base = cast("str", self.__name__)  # type: ignore[attr-defined]
        call = types.entry_of(self.function)
        node = drawing.add(
            "function", base, self.settings, call=call, inputs=inputs, over=over, outputs=outputs, whole=whole
        )
        drawing.functions[node.name] = self.function
        return node, type_


class Decorator(Protocol):
    """Makes a step of a function, keeping its type."""

    def __call__(self, function: Callable[P, R], /) -> Step[P, R]:
        """Make a step of it."""
        ...


@overload
def step(function: Callable[P, R], /) -> Step[P, R]: ...
@overload
def step(**options: Unpack[StepOptions]) -> Decorator: ...
def step(function: Callable[P, R] | None = None, /, **options: Unpack[StepOptions]) -> Step[P, R] | Decorator:
    """Make a step of a function: ``@step``, or ``@step(retry=3, …)`` with options of `StepOptions`.

    Other decorators belong below: they are part of the step. Above, a worker would call what they made, which no
    fingerprint has seen; such a step is refused when it is drawn.
    """
    settings = with_options(Settings(), options, StepOptions)
    frame = author_frame()
    where = line_of(frame)
    names = {**frame.f_locals} if frame.f_locals is not frame.f_globals else {}

    def decorate(function: Callable[Q, S], /) -> Step[Q, S]:
        _check_function(function, where)
        return Step(function, settings, names if "<locals>" in function.__qualname__ else {})

    return decorate if function is None else decorate(function)


def function_of(thing: object) -> Callable[..., object]:
    """Return the plain function behind what an entry point names: a step, or the function itself."""
    if isinstance(thing, Step):
        return cast("Step[..., object]", thing).function
    return cast("Callable[..., object]", thing)


def outputs_of(type_: object) -> tuple[tuple[Output, ...], str | None]:
    """Return the outputs of a step with this result, and what they are the parts of, if there are several."""
    if type_ is type(None):
        return (), None
    parts = types.parts_of(type_)
    if parts is None:
        return (Output("result", types.spec_of(type_)),), None
    cls, fields = parts
    outputs = tuple(Output(name, types.spec_of(field)) for name, field in fields.items())
    return outputs, "tuple" if cls is tuple else types.entry_of(cls)


def _check_function(function: object, where: str) -> None:
    """Refuse what cannot be a step, with the reason, where it is decorated."""
    refused = next((reason for test, reason in _REFUSALS if test(function)), None)
    if refused is not None:
        sentence, hint = refused
        name = getattr(function, "__qualname__", repr(function))
        raise DefinitionError(f"'{name}' cannot be a step: {sentence}", facts={"line": where}, hint=hint)


def _is_method(function: object) -> bool:
    """Tell whether a function is defined in the body of a class and takes its instance or class."""
    path = str(getattr(function, "__qualname__", "")).split(".")
    in_class = len(path) > 1 and path[-2] != "<locals>"
    first = next(iter(inspect.signature(cast("Callable[..., object]", function)).parameters), "")
    return inspect.ismethod(function) or (in_class and first in {"self", "cls"})


def _is_generator(function: object) -> bool:
    plain = inspect.unwrap(cast("Callable[..., object]", function))
    return inspect.isgeneratorfunction(plain) or inspect.isasyncgenfunction(plain)


_REFUSALS: tuple[tuple[Callable[[object], bool], tuple[str, str | None]], ...] = (
    (lambda it: isinstance(it, Step), ("it is one already", "for other options: step.using(…)")),
    (inspect.isclass, ("it is a class", "write a function that makes and uses it")),
    (
        lambda it: isinstance(it, staticmethod | classmethod),
        ("it is a method", "write it as a function at the top of a module"),
    ),
    (lambda it: not callable(it), ("it cannot be called", None)),
    (
        lambda it: (
            not isinstance(getattr(it, "__qualname__", None), str)
            or not isinstance(getattr(it, "__module__", None), str)
        ),
        ("it has no name by which a worker could find it", "write a `def` that calls it"),
    ),
    (
        lambda it: "<lambda>" in str(getattr(it, "__qualname__", "")).rpartition(".")[2],
        ("a lambda has no name by which a worker could find it", "write it as a `def`"),
    ),
    (inspect.isbuiltin, ("it has no Python source that could be fingerprinted", "write a `def` that calls it")),
    (_is_method, ("it is a method", "write it as a function that takes what it needs of the instance")),
    (_is_generator, ("it is a generator", "return a list, or one output per part")),
    (
        lambda it: inspect.iscoroutinefunction(inspect.unwrap(cast("Callable[..., object]", it))),
        ("it is asynchronous", "call asyncio.run(…) inside a plain function"),
    ),
)


def is_replaced(function: Callable[..., object]) -> bool:
    """Tell whether the name of a step's function now stands for something else, such as a decorator's wrapper."""
    module = sys.modules.get(function.__module__)
    if module is None or "<locals>" in function.__qualname__:
        return False
    found: object = module
    for name in function.__qualname__.split("."):
        found = getattr(found, name, None)
        if found is None:
            return False
    return function_of(found) is not function
