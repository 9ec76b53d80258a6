"""Random graphs that can be run, for the tests of whatever reads a graph: strategies of hypothesis."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hypothesis import strategies as st

from headwater.expr import (
    OPERATORS,
    All,
    Any,
    Compare,
    Const,
    Data,
    Dict,
    Either,
    Expr,
    Gather,
    Not,
    Out,
    Param,
    Seq,
)
from headwater.graph import Graph, Guard, Node, Options, Output, Parameter, graph_of
from headwater.types import Fault, Resources, Retry

if TYPE_CHECKING:
    from collections.abc import Mapping

names = st.from_regex(r"[a-z][a-z0-9_.-]{0,6}", fullmatch=True)
plain = (
    st.none()
    | st.booleans()
    | st.integers(-(2**40), 2**40)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5)
)
trees = st.recursive(
    plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3), max_leaves=6
)
paths = st.lists(names | st.integers(-3, 3), max_size=3).map(tuple)
entries = st.sampled_from(["flights:Report", "steps.train:Model.Inner"])


def _nests(leaves: st.SearchStrategy[Expr]) -> st.SearchStrategy[Expr]:
    def extend(inner: st.SearchStrategy[Expr]) -> st.SearchStrategy[Expr]:
        many = st.lists(inner, max_size=3).map(tuple)
        named = st.dictionaries(names, inner, max_size=2)
        return st.one_of(
            st.builds(Compare, st.sampled_from(OPERATORS), inner, inner),
            st.builds(All, many),
            st.builds(Any, many),
            st.builds(Not, inner),
            st.builds(Seq, st.sampled_from(["list", "tuple"]), many),
            st.builds(Dict, named),
            st.builds(Data, entries, named, st.sampled_from(["data", "named"])),
            st.builds(Either, st.sampled_from(["0", "1", "2"]), inner, inner),
        )

    return st.recursive(leaves, extend, max_leaves=4)


#: Expressions that need not belong to a graph.
any_expr = _nests(
    st.one_of(
        st.builds(Const, trees),
        st.builds(Param, names, paths),
        st.builds(Out, names, names, paths),
        st.builds(Gather, names, paths),
    )
)

#: Expressions whose references are numbers yet: see ``_settled``. One strategy for all places is quicker than many.
shapes = _nests(st.builds(Const, trees) | st.builds(Param, st.integers(0, 20).map(str), paths))


def _settled(expr: Expr, leaves: list[Expr], conditions: list[str]) -> Expr:  # noqa: C901  one case for each kind
    """Return a shape with its numbers replaced by what may be referred to from its place."""

    def settle(part: Expr) -> Expr:
        return _settled(part, leaves, conditions)

    match expr:
        case Param(number, path):
            return replace(leaves[int(number) % len(leaves)], path=path)
        case Either(number, then, otherwise):
            if not conditions:
                return settle(then)
            return Either(conditions[int(number) % len(conditions)], settle(then), settle(otherwise))
        case Compare(op, left, right):
            return Compare(op, settle(left), settle(right))
        case All(inner) | Any(inner):
            return type(expr)(tuple(map(settle, inner)))
        case Not(inner):
            return Not(settle(inner))
        case Seq(kind, items):
            return Seq(kind, tuple(map(settle, items)))
        case Dict(items):
            return Dict({key: settle(item) for key, item in items.items()})
        case Data(type_, fields, kind):
            return Data(type_, {key: settle(item) for key, item in fields.items()}, kind)
        case _:
            return expr


options = st.builds(
    Options,
    resources=st.builds(Resources, cpus=st.integers(0, 8), memory=st.none() | st.just("16GiB"), gpus=st.integers(0, 2)),
    retry=st.builds(Retry, st.integers(0, 3), wait=st.just("10s") | st.just(0.5), on=st.just((Fault.USER,))),
    timeout=st.none() | st.floats(0.5, 100),
    env=st.dictionaries(names, st.text(max_size=3), max_size=2),
    secrets=st.lists(names, max_size=2).map(tuple),
    effect=st.sampled_from([None, "once"]),
    version=st.none() | st.just("3"),
    strict=st.booleans(),
    priority=st.integers(-1, 1),
    reuse=st.booleans(),
    limit=st.none() | names,
)


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """Return a graph that passes its own check: steps, maps, conditions, guards, order-only edges."""
    known = [Parameter(name, {"type": "number"}) for name in draw(st.lists(names, max_size=2, unique=True))]
    known += [Parameter("limit", {"type": "integer"}, required=False, default=draw(st.integers(-5, 5)))]
    parameters = {each.name: each for each in known}
    nodes: dict[str, Node] = {}
    for name in draw(st.lists(names, min_size=1, max_size=6, unique=True)):
        nodes[name] = _node(draw, name, nodes, list(parameters))
    output = _expr(draw, nodes, list(parameters), frozenset())
    return graph_of(nodes.values(), parameters.values(), output)


def _node(draw: st.DrawFn, name: str, nodes: Mapping[str, Node], parameters: list[str]) -> Node:
    guards = draw(st.sampled_from(_places(nodes)))
    kind = draw(st.sampled_from(["function", "function", "condition", "command", "notify"]))
    inner = [_expr(draw, nodes, parameters, frozenset(guards)) for _ in range(draw(st.integers(1, 3)))]
    inputs = {f"x{place}": expr for place, expr in enumerate(inner[1:])}
    after = tuple(draw(st.lists(st.sampled_from(sorted(nodes)), max_size=2, unique=True))) if nodes else ()
    if kind == "condition":
        return Node(name, kind, inner[0], outputs=(Output("result", "json"),), guards=guards, after=after)
    if kind == "command":
        call = {"argv": ["wc", "{x}"], "shell": False, "files": [], "stdout": "out", "suffixes": {"out": ".txt"}}
        return Node(name, kind, call, inputs, (Output("out", "file"),), guards, after, {}, draw(options))
    if kind == "notify":
        return Node(name, kind, None, inputs, (), guards, after, {}, draw(options))
    over = {"element": inner[0]} if draw(st.booleans()) else {}
    several = draw(st.booleans())
    outputs = (Output("a", "json"), Output("b", "arrow")) if several else (Output("result", "any"),)
    whole = draw(st.just("tuple") | entries) if several else None
    return Node(name, "function", f"flights:{name}", inputs, outputs, guards, after, over, draw(options), whole)


def _places(nodes: Mapping[str, Node]) -> list[tuple[Guard, ...]]:
    """Return where a step may stand: outside, or inside a condition together with whatever that stands in."""
    conditions = [node for node in nodes.values() if node.kind == "condition"]
    return [(), *((*node.guards, Guard(node.name, expected)) for node in conditions for expected in (True, False))]


def _expr(draw: st.DrawFn, nodes: Mapping[str, Node], parameters: list[str], inside: frozenset[Guard]) -> Expr:
    """Return an expression over what may be referred to from a place."""
    reachable = [node for node in nodes.values() if set(node.guards) <= inside and node.outputs]
    leaves: list[Expr] = [Param(name) for name in parameters]
    for node in reachable:
        leaves += [Gather(node.name)] if node.over else [Out(node.name, output.name) for output in node.outputs]
    conditions = [node.name for node in reachable if node.kind == "condition"]
    return _settled(draw(shapes), leaves, conditions)
