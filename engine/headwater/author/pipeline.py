"""Pipelines: a function that wires steps, called once to draw its graph."""

from __future__ import annotations

import dis
import functools
import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, Protocol, TypeVar, cast, overload

from headwater.author import annotations as types
from headwater.author.calls import bind
from headwater.author.drawing import Drawing, current, draw, inlining, output_of
from headwater.author.refs import Drawn, Ref, author_line, file_label
from headwater.author.schemas import parameter_of
from headwater.author.step import is_replaced
from headwater.definition import Definition
from headwater.errors import DefinitionError, ParameterError
from headwater.expr import Param
from headwater.graph import graph_of, is_step_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from headwater.expr import Expr
    from headwater.graph import Parameter
    from headwater.plan import Plan
    from headwater.run import RunResult
    from headwater.workspace import Workspace

P = ParamSpec("P")
R = TypeVar("R")
Q = ParamSpec("Q")
S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Compiled:
    """A pipeline that was drawn: its definition, and what belongs to this process alone."""

    definition: Definition
    #: Step name → the function that it calls here.
    functions: Mapping[str, Callable[..., object]]
    #: Step name → the author's line that called it.
    sources: Mapping[str, str]


class Pipeline(Generic[P, R]):
    """A function that wires steps. Nothing in it runs when it is drawn; only the engine calls the steps."""

    def __init__(self, function: Callable[P, R], name: str | None = None) -> None:
        functools.update_wrapper(self, function)
        #: The author's function.
        self.function = function
        #: The name under which definitions of it are numbered.
        self.name = name or function.__name__

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Inside another pipeline: draw these steps there, under names that begin with this pipeline's."""
        drawing = current()
        if drawing is None:
            raise DefinitionError(
                f"pipeline '{self.name}' is not called but run",
                facts={"line": author_line()},
                hint=f"{self.name}.run(…), {self.name}.plan(…) or {self.name}.compile()",
            )
        bind(self.name, self.function, args, kwargs)
        with inlining(drawing, self.name):
            return self.function(*args, **kwargs)

    def parameters(self) -> tuple[Parameter, ...]:
        """Return the parameters, as the function's signature declares them."""
        hints = self._hints()
        line = _line(self.function, self.function.__code__.co_firstlineno)
        signature = inspect.signature(self.function)
        return tuple(
            parameter_of(name, hints.get(name, inspect.Parameter.empty), each, line=line)
            for name, each in signature.parameters.items()
        )

    def compile(self) -> Compiled:
        """Call the function once, with references for its parameters, and return what it drew."""
        parameters = self.parameters()
        drawing = Drawing()
        with draw(drawing):
            output = self._draw()
        graph = graph_of(
            drawing.nodes.values(), parameters, output, line=_line(self.function, _last_return(self.function))
        )
        for name, function in drawing.functions.items():
            if is_replaced(function):
                raise DefinitionError(
                    f"'{function.__module__}:{function.__qualname__}' is not the function of step '{name}' any more",
                    facts={"line": graph.nodes[name].line},
                    hint="put @step above all other decorators",
                )
        sources = {name: node.line for name, node in graph.nodes.items()}
        definition = Definition(self.name, graph, inspect.cleandoc(self.function.__doc__ or ""))
        return Compiled(
            definition, {name: drawing.functions[name] for name in graph.nodes if name in drawing.functions}, sources
        )

    def plan(self, **values: object) -> Plan:
        """Tell what a run would do and why. Takes parameters, and options of `Workspace`."""
        workspace, parameters = self._workspace(values)
        return workspace.plan(self, **cast("dict[str, Any]", parameters))

    def run(self, **values: object) -> RunResult:
        """Run it. Takes parameters, and options of `Workspace` such as ``store``, ``backend`` and ``profile``."""
        workspace, parameters = self._workspace(values)
        return workspace.run(self, **cast("dict[str, Any]", parameters))

    def __repr__(self) -> str:
        return f"<pipeline {self.name}>"

    def _hints(self) -> dict[str, object]:
        return types.hints_of(self.function, {})

    def _draw(self) -> Expr:
        hints = self._hints()
        args: list[Ref] = []
        kwargs: dict[str, Ref] = {}
        for name, each in inspect.signature(self.function).parameters.items():
            default = Any if each.default is None or each.default is each.empty else type(each.default)
            ref = Ref(Drawn(Param(name), hints.get(name, default)))
            if each.kind is each.KEYWORD_ONLY:
                kwargs[name] = ref
            else:
                args.append(ref)
        return output_of(cast("Callable[..., object]", self.function)(*args, **kwargs))

    def _workspace(self, values: Mapping[str, object]) -> tuple[Workspace, dict[str, object]]:
        from headwater.workspace import Workspace

        parameters = set(inspect.signature(self.function).parameters)
        options = set(inspect.signature(Workspace).parameters) - parameters
        for name in values:
            if name not in parameters | options:
                facts = {
                    "given": name,
                    "parameters": ", ".join(sorted(parameters)),
                    "options": ", ".join(sorted(options)),
                }
                hint = types.nearest(name, parameters | options)
                raise ParameterError(f"pipeline '{self.name}' has no parameter '{name}'", facts=facts, hint=hint)
        chosen = {name: value for name, value in values.items() if name in options}
        make = cast("Callable[..., Workspace]", Workspace)
        return make(**chosen), {name: value for name, value in values.items() if name in parameters}


class Decorator(Protocol):
    """Makes a pipeline of a function, keeping its type."""

    def __call__(self, function: Callable[P, R], /) -> Pipeline[P, R]:
        """Make a pipeline of it."""
        ...


@overload
def pipeline(function: Callable[P, R], /) -> Pipeline[P, R]: ...
@overload
def pipeline(*, name: str | None = None) -> Decorator: ...
def pipeline(function: Callable[P, R] | None = None, /, *, name: str | None = None) -> Pipeline[P, R] | Decorator:
    """Make a pipeline of a function: ``@pipeline``, or ``@pipeline(name="flights")``."""

    def decorate(function: Callable[Q, S], /) -> Pipeline[Q, S]:
        _check_function(function, name)
        return Pipeline(function, name)

    return decorate if function is None else decorate(function)


def _check_function(function: object, name: str | None) -> None:
    """Refuse what would draw nothing, or could not be found by its name."""
    called = name or str(getattr(function, "__name__", function))
    facts = {"line": author_line()}
    if not inspect.isfunction(function):
        raise DefinitionError(f"'{called}' cannot be a pipeline: it is no function", facts=facts)
    if inspect.isgeneratorfunction(function) or inspect.iscoroutinefunction(function):
        raise DefinitionError(f"'{called}' cannot be a pipeline: nothing in it would be called", facts=facts)
    if not is_step_name(called) or "/" in called:
        hint = "use letters, digits, '_', '.' and '-': @pipeline(name=\"…\")"
        raise DefinitionError(f"{called!r} cannot be the name of a pipeline", facts=facts, hint=hint)


def _line(function: Callable[..., object], line: int) -> str:
    return f"{file_label(function.__code__.co_filename, function.__module__)}:{line}"


def _last_return(function: Callable[..., object]) -> int:
    """Return the line of the last ``return``: where a value that may not be there would leave the pipeline."""
    code = function.__code__
    lines = [
        each.positions.lineno for each in dis.get_instructions(code) if each.opname == "RETURN_VALUE" and each.positions
    ]
    return max((line for line in lines if line is not None), default=code.co_firstlineno)
