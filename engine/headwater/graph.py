"""The compiled DAG: nodes, their inputs and guards; order, cycles, slices; what must hold before it may run.

Everything here is a value: a graph is built once, by drawing a pipeline or reading a definition, and never changes.
"""

from __future__ import annotations

import heapq
import re
from collections import Counter
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, TypeAlias

from headwater.errors import DefinitionError
from headwater.expr import EVERY, RESULT, Const, Either, Expr, Gather, Out, Param, parts, references, walk
from headwater.types import Resources, Retry

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from headwater.digest import Json

Kind: TypeAlias = Literal["function", "command", "condition", "fail", "register", "notify"]
KINDS: tuple[Kind, ...] = ("function", "command", "condition", "fail", "register", "notify")

#: A legal name of a step; "/" separates the name of an inlined pipeline from the names inside it.
_NAME = re.compile(r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*")

_NO_TEXTS: Mapping[str, str] = MappingProxyType({})
_NO_EXPRS: Mapping[str, Expr] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Output:
    """One thing that a step gives: its name, and its type (``json``, ``arrow``, ``file``, ``any``, …)."""

    name: str
    type: str


@dataclass(frozen=True, slots=True)
class Guard:
    """A place inside a condition: the step runs only if the condition's verdict is as expected."""

    condition: str
    expected: bool


@dataclass(frozen=True, slots=True)
class Options:
    """What the author says about how a step is run and reused."""

    resources: Resources = field(default_factory=Resources)
    retry: Retry = field(default_factory=Retry)
    #: Seconds that one attempt may take.
    timeout: float | None = None
    #: Environment variables to set; they are part of the key.
    env: Mapping[str, str] = field(default_factory=lambda: _NO_TEXTS)
    #: Names of secrets that the worker resolves.
    secrets: tuple[str, ...] = ()
    #: Seconds after which a result is not reused any more.
    fresh: float | None = None
    #: ``"once"``: an effect that need not be repeated while its key stays the same.
    effect: Literal["once"] | None = None
    #: Stands for the step's code instead of its fingerprint.
    version: str | None = None
    #: Own process, no undeclared environment variables, no undeclared reads.
    strict: bool = False
    #: Among steps that could start, the higher goes first.
    priority: int = 0
    #: Where it runs, whatever the profile says.
    backend: str | None = None
    #: Files whose content is part of the key.
    files: tuple[str, ...] = ()
    #: Distributions whose versions are part of the key.
    packages: tuple[str, ...] = ()
    #: Whether an earlier result may stand in.
    reuse: bool = True
    #: Group whose size, set in the profile, limits how many of its steps run at once.
    limit: str | None = None


@dataclass(frozen=True, slots=True)
class Node:
    """One step of a graph, in full."""

    name: str
    kind: Kind
    #: Function: ``"module:qualname"``; condition: the expression; command: its document; else None.
    call: str | Expr | Mapping[str, Json] | None = None
    #: Argument name → where its value comes from.
    inputs: Mapping[str, Expr] = field(default_factory=lambda: _NO_EXPRS)
    outputs: tuple[Output, ...] = ()
    #: The conditions it stands in, the outermost first.
    guards: tuple[Guard, ...] = ()
    #: Steps that must have ended before, though no value comes from them.
    after: tuple[str, ...] = ()
    #: Argument name → list whose elements it takes one by one; empty for a plain step.
    over: Mapping[str, Expr] = field(default_factory=lambda: _NO_EXPRS)
    options: Options = field(default_factory=Options)
    #: ``"module:qualname"`` of the dataclass or NamedTuple, or ``"tuple"``, that the outputs are the parts of.
    whole: str | None = None
    #: ``flights.py:41``: for people; no part of the definition.
    line: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Parameter:
    """A named, typed value that is given per run."""

    name: str
    #: JSON Schema of the plain values it takes; see :mod:`headwater.parameters`.
    type: Mapping[str, Json]
    #: Whether a value must be given; otherwise the default stands in.
    required: bool = True
    #: Typed JSON.
    default: Json = None


@dataclass(frozen=True, slots=True)
class Graph:
    """A pipeline's steps in topological order, its parameters and what it gives."""

    nodes: Mapping[str, Node]
    parameters: Mapping[str, Parameter] = field(default_factory=lambda: MappingProxyType({}))
    output: Expr = field(default_factory=lambda: Const(None))
    #: Where the pipeline returns its output: for people; no part of the definition.
    line: str = field(default="", compare=False)

    def check(self) -> None:
        """Raise DefinitionError, naming the lines, if this graph cannot be run."""
        for node in self.nodes.values():
            _check_node(self, node)
        # The pipeline's own output is checked as the input of a step would be that has no name and no guards.
        _check_values(self, Node("", "function", line=self.line or "the pipeline's return"), self.output)
        order(self)


def graph_of(
    nodes: Iterable[Node], parameters: Iterable[Parameter] = (), output: Expr | None = None, *, line: str = ""
) -> Graph:
    """Return the checked graph of some nodes, ordered so that each comes after what it needs."""
    by_name: dict[str, Node] = {}
    for node in nodes:
        if node.name in by_name:
            raise DefinitionError(
                f"two steps have the name '{node.name}'",
                facts=_lines(first=by_name[node.name], second=node),
                hint="give one of them another name: step.using(name='…')(…)",
            )
        by_name[node.name] = node
    drawn = Graph(by_name, {each.name: each for each in parameters}, Const(None) if output is None else output, line)
    drawn.check()
    return replace(drawn, nodes={name: by_name[name] for name in order(drawn)})


def expressions(node: Node) -> Iterator[tuple[str, Expr]]:
    """Yield every expression of a node: each input, each list it is mapped over, its condition."""
    yield from node.inputs.items()
    yield from node.over.items()
    if node.kind == "condition" and isinstance(node.call, Expr):
        yield "condition", node.call


def dependencies(node: Node) -> set[str]:
    """Return the steps whose values or verdicts a node needs: from inputs, lists, guards and its condition."""
    found = {guard.condition for guard in node.guards}
    for _, expr in expressions(node):
        found |= {step for step, _ in references(expr)}
    return found


def predecessors(node: Node) -> set[str]:
    """Return the steps that must end before a node starts: its dependencies, and those of order only."""
    return dependencies(node) | set(node.after)


def order(graph: Graph) -> tuple[str, ...]:
    """Return the names so that each comes after its predecessors; otherwise as drawn. Raises on a cycle."""
    places = {name: place for place, name in enumerate(graph.nodes)}
    needs = {name: predecessors(node) & places.keys() for name, node in graph.nodes.items()}
    followers: dict[str, list[str]] = {name: [] for name in places}
    for name, needed in needs.items():
        for one in needed:
            followers[one].append(name)
    names, ready = list(places), [places[name] for name, needed in needs.items() if not needed]
    waiting = Counter({name: len(needed) for name, needed in needs.items()})
    ordered: list[str] = []
    while ready:
        name = names[heapq.heappop(ready)]
        ordered.append(name)
        for follower in followers[name]:
            waiting[follower] -= 1
            if not waiting[follower]:
                heapq.heappush(ready, places[follower])
    if len(ordered) < len(names):
        _raise_cycle(graph, needs, set(names) - set(ordered))
    return tuple(ordered)


def ancestors(graph: Graph, names: Collection[str]) -> set[str]:
    """Return every step that some steps need, directly or not; without these themselves."""
    return _reached({name: predecessors(node) for name, node in graph.nodes.items()}, names)


def descendants(graph: Graph, names: Collection[str]) -> set[str]:
    """Return every step that needs one of some steps, directly or not; without these themselves."""
    followers: dict[str, set[str]] = {name: set() for name in graph.nodes}
    for name, node in graph.nodes.items():
        for needed in predecessors(node):
            followers[needed].add(name)
    return _reached(followers, names)


def between(graph: Graph, start: Collection[str], end: Collection[str]) -> set[str]:
    """Return the slice from some steps to others: all that lie on a path between them, both ends included."""
    after, before = descendants(graph, start) | set(start), ancestors(graph, end) | set(end)
    return after & before


def is_step_name(name: str) -> bool:
    """Tell whether a name may be a step's: letters, digits, ``_``, ``.``, ``-``; ``/`` for nesting."""
    return _NAME.fullmatch(name) is not None


def _reached(edges: Mapping[str, Collection[str]], names: Collection[str]) -> set[str]:
    found: set[str] = set()
    todo = list(names)
    while todo:
        for name in edges.get(todo.pop(), ()):
            if name not in found:
                found.add(name)
                todo.append(name)
    return found - set(names)


def _raise_cycle(graph: Graph, needs: Mapping[str, Collection[str]], stuck: set[str]) -> None:
    """Walk back from any stuck step until one comes again: that is a cycle."""
    path = [min(stuck)]
    while (earlier := min(name for name in needs[path[-1]] if name in stuck)) not in path:
        path.append(earlier)
    cycle = [*path[path.index(earlier) :], earlier]
    facts = {name: _place(graph.nodes[name]) for name in cycle[:-1]}
    raise DefinitionError(
        f"steps wait for each other: {' ← '.join(cycle)}",
        facts=facts,
        hint="let one of them go without the other: an input, a condition or an `after` too many",
    )


def _check_node(graph: Graph, node: Node) -> None:
    if not is_step_name(node.name):
        raise DefinitionError(
            f"{node.name!r} cannot be the name of a step",
            facts=_lines(line=node),
            hint="use letters, digits, '_', '.' and '-'",
        )
    names = [output.name for output in node.outputs]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DefinitionError(
            f"step '{node.name}' has two outputs of the name '{twice[0]}'",
            facts=_lines(line=node),
            hint="give each output a name of its own",
        )
    for guard in node.guards:
        condition = graph.nodes.get(guard.condition)
        if condition is None or condition.kind != "condition":
            raise DefinitionError(
                f"step '{node.name}' stands in a condition '{guard.condition}' that is not in this pipeline",
                facts=_lines(line=node),
            )
    for name in node.after:
        if name not in graph.nodes:
            raise DefinitionError(
                f"step '{node.name}' is to run after '{name}', which is not in this pipeline", facts=_lines(line=node)
            )
    for _, expr in expressions(node):
        _check_values(graph, node, expr)


def _check_values(graph: Graph, node: Node, expr: Expr) -> None:
    """Check what one expression of a node refers to."""
    for part in walk(expr):
        match part:
            case Param(name, _) if name not in graph.parameters:
                raise DefinitionError(
                    f"{_user(node)} uses a parameter '{name}' that the pipeline does not have", facts=_lines(line=node)
                )
            case Out(step, output, _):
                _check_output(graph, node, step, output)
            case Gather(step, _):
                _check_output(graph, node, step, EVERY)
            case Either(condition, _, _):
                _check_output(graph, node, condition, RESULT)
            case _:
                pass
    _check_guards(graph, node, expr, frozenset(node.guards))


def _check_output(graph: Graph, node: Node, step: str, output: str) -> None:
    maker = graph.nodes.get(step)
    if maker is None:
        raise DefinitionError(
            f"{_user(node)} uses step '{step}', which is not in this pipeline", facts=_lines(line=node)
        )
    if not maker.outputs:
        raise DefinitionError(
            f"{_user(node)} uses the result of '{step}', which gives none",
            facts=_lines(made=maker, used=node),
            hint=f"to run after it: .using(after=['{step}'])",
        )
    if (output == EVERY) != bool(maker.over):
        what = "is not a map" if output == EVERY else "is a map: its results come as one list"
        raise DefinitionError(f"{_user(node)} misreads '{step}', which {what}", facts=_lines(made=maker, used=node))
    known = [each.name for each in maker.outputs]
    if output not in {EVERY, *known}:
        raise DefinitionError(
            f"{_user(node)} uses an output '{output}' that '{step}' does not give",
            facts={"outputs": ", ".join(known), **_lines(made=maker, used=node)},
        )


def _check_guards(graph: Graph, node: Node, expr: Expr, inside: frozenset[Guard]) -> None:
    """A value made inside a condition is there only where the same condition is known to hold."""
    match expr:
        case Either(condition, then, otherwise):
            _check_guards(graph, node, then, inside | {Guard(condition, expected=True)})
            _check_guards(graph, node, otherwise, inside | {Guard(condition, expected=False)})
            _check_made(graph, node, condition, inside)
        case Out(step, _, _) | Gather(step, _):
            _check_made(graph, node, step, inside)
        case _:
            for part in parts(expr):
                _check_guards(graph, node, part, inside)


def _check_made(graph: Graph, node: Node, step: str, inside: frozenset[Guard]) -> None:
    maker = graph.nodes[step]
    missing = [guard for guard in maker.guards if guard not in inside]
    if missing:
        branch = "" if missing[0].expected else "otherwise-branch of "
        raise DefinitionError(
            f"'{step}' runs only in the {branch}condition '{missing[0].condition}', but {_user(node)} uses it outside",
            facts=_lines(made=maker, used=node),
            hint="choose with either(guard, a, b), or use it inside the same `with when(...)`",
        )


def _user(node: Node) -> str:
    return f"step '{node.name}'" if node.name else "the pipeline's result"


def _place(node: Node) -> str:
    return node.line or f"step '{node.name}'"


def _lines(**nodes: Node) -> dict[str, object]:
    return {what: _place(node) for what, node in nodes.items()}
