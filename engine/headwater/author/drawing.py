"""The graph while it is being drawn: one drawing per call of a pipeline function, found by whatever is called in it."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from headwater import expr as exprs
from headwater.author.refs import Drawn, Ref, author_line, drawn, lift
from headwater.errors import DefinitionError
from headwater.expr import Const, Data, Expr, Out, Seq
from headwater.graph import Guard, Kind, Node, Output, is_step_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from headwater.author.options import Settings
    from headwater.digest import Json


@dataclass(slots=True)
class Drawing:
    """What a pipeline function has drawn so far, and where in it the author stands."""

    nodes: dict[str, Node] = field(default_factory=dict)
    #: Step name → the function it calls.
    functions: dict[str, Callable[..., object]] = field(default_factory=dict)
    #: The conditions around the author, the outermost first.
    guards: list[Guard] = field(default_factory=list)
    #: The pipelines around the author: name → its prefix.
    inlined: list[tuple[str, str]] = field(default_factory=list)

    @property
    def prefix(self) -> str:
        """What names begin with here: ``inner/`` inside an inlined pipeline."""
        return self.inlined[-1][1] if self.inlined else ""

    def add(  # noqa: PLR0913  the parts of a node
        self,
        kind: Kind,
        base: str,
        settings: Settings,
        *,
        call: str | Expr | Mapping[str, Json] | None = None,
        inputs: Mapping[str, Expr] | None = None,
        over: Mapping[str, Expr] | None = None,
        outputs: tuple[Output, ...] = (),
        whole: str | None = None,
    ) -> Node:
        """Add a step; its name is the explicit one of its settings, or a free one made from ``base``."""
        name = self._name(base, settings.name)
        after = tuple(dict.fromkeys(step for each in settings.after for step in self._steps(each)))
        node = Node(
            name,
            kind,
            call,
            inputs or {},
            outputs,
            tuple(self.guards),
            after,
            over or {},
            settings.options,
            whole,
            author_line(),
        )
        self.nodes[name] = node
        return node

    def free(self, base: str) -> str:
        """Return the first free name: ``base``, ``base-2``, ``base-3`` and so on."""
        taken = {name[len(self.prefix) :].partition("/")[0] for name in self.nodes if name.startswith(self.prefix)}
        name, number = base, 1
        while name in taken:
            number += 1
            name = f"{base}-{number}"
        return self.prefix + name

    def _name(self, base: str, explicit: str | None) -> str:
        if not is_step_name(explicit or base) or "/" in (explicit or base):
            raise DefinitionError(
                f"{explicit or base!r} cannot be the name of a step",
                facts={"line": author_line()},
                hint="use letters, digits, '_', '.' and '-'; set it with .using(name='…')",
            )
        if explicit is None:
            return self.free(base)
        earlier = self.nodes.get(self.prefix + explicit)
        if earlier is not None:
            raise DefinitionError(
                f"two steps have the name '{earlier.name}'",
                facts={"first": earlier.line, "second": author_line()},
                hint="give one of them another name: step.using(name='…')(…)",
            )
        return self.prefix + explicit

    def _steps(self, earlier: object) -> list[str]:
        """Return the names of the steps that a result, or a name, stands for."""
        if isinstance(earlier, str):
            if self.prefix + earlier not in self.nodes:
                raise DefinitionError(
                    f"no step '{earlier}' is drawn yet", facts={"line": author_line(), "drawn": ", ".join(self.nodes)}
                )
            return [self.prefix + earlier]
        steps = sorted({step for step, _ in exprs.references(drawn(earlier).expr)}) if isinstance(earlier, Ref) else []
        if not steps:
            raise DefinitionError(
                "after=[…] takes results of steps, or their names",
                facts={"line": author_line(), "given": repr(earlier)},
            )
        return steps


# One drawing is current in one context: the step that is called in a pipeline function has no other way to find it.
_CURRENT: ContextVar[Drawing | None] = ContextVar("headwater_drawing", default=None)


def current() -> Drawing | None:
    """Return the drawing that is being made here, or None outside any pipeline function."""
    return _CURRENT.get()


def required(what: str) -> Drawing:
    """Return the current drawing; raises DefinitionError where there is none."""
    drawing = current()
    if drawing is None:
        raise DefinitionError(f"{what} means something only inside a @pipeline function", facts={"line": author_line()})
    return drawing


@contextmanager
def draw(drawing: Drawing) -> Iterator[Drawing]:
    """Make a drawing the current one."""
    token = _CURRENT.set(drawing)
    try:
        yield drawing
    finally:
        _CURRENT.reset(token)


@contextmanager
def inlining(drawing: Drawing, name: str) -> Iterator[None]:
    """Draw the steps of another pipeline under a prefix of their own."""
    if name in [each for each, _ in drawing.inlined]:
        raise DefinitionError(f"pipeline '{name}' calls itself", facts={"line": author_line()})
    drawing.inlined.append((name, drawing.free(name) + "/"))
    try:
        yield
    finally:
        drawing.inlined.pop()


def result_of(node: Node, type_: object, *, named: bool = False) -> Ref:
    """Return what a call of a plain step gives: its one output, or its parts put together."""
    if node.whole is None:
        return Ref(Drawn(Out(node.name), type_))
    parts: dict[str, Expr] = {output.name: Out(node.name, output.name) for output in node.outputs}
    if node.whole == "tuple":
        return Ref(Drawn(Seq("tuple", tuple(parts.values())), type_))
    return Ref(Drawn(Data(node.whole, parts, "named" if named else "data"), type_))


def output_of(result: Any) -> Expr:
    """Return the expression of what a pipeline returns; the result of an effect counts as None."""
    if isinstance(result, Ref) and drawn(result).type is type(None):
        return Const(None)
    return lift(result)
