"""Graphs: what is refused and how it is told, order, slices."""

from __future__ import annotations

import pytest

from headwater.errors import DefinitionError
from headwater.expr import All, Compare, Const, Data, Either, Expr, Gather, Out, Param, Seq
from headwater.graph import (
    Graph,
    Guard,
    Node,
    Output,
    Parameter,
    ancestors,
    between,
    dependencies,
    descendants,
    graph_of,
    is_step_name,
    order,
    predecessors,
)

RESULT = (Output("result", "json"),)


def node(name: str, line: int, *inputs: Expr, **more: object) -> Node:
    given = {f"x{place}": expr for place, expr in enumerate(inputs)}
    made = Node(name, "function", f"flow:{name}", given, RESULT, line=f"flow.py:{line}")
    return Node(**{field: getattr(made, field) for field in made.__slots__} | more)  # type: ignore[arg-type]


def condition(name: str, line: int, expr: Expr, *guards: Guard) -> Node:
    return Node(name, "condition", expr, outputs=RESULT, guards=guards, line=f"flow.py:{line}")


YES, NO = Guard("when", expected=True), Guard("when", expected=False)

REFUSED = {
    "a name twice": (
        [node("a", 1), node("a", 2)],
        Const(None),
        ["two steps have the name 'a'", "flow.py:1", "flow.py:2"],
    ),
    "a cycle of values": (
        [node("a", 1, Out("c")), node("b", 2, Out("a")), node("c", 3, Out("b"))],
        Const(None),
        ["wait for each other: a ← c ← b ← a", "flow.py:1", "flow.py:2", "flow.py:3"],
    ),
    "a cycle through order only": (
        [node("a", 1, after=("b",)), node("b", 2, Out("a"))],
        Const(None),
        ["wait for each other", "flow.py:1", "flow.py:2"],
    ),
    "a step that needs itself": ([node("a", 1, Out("a"))], Const(None), ["a ← a"]),
    "an unknown step": ([node("a", 1, Out("b"))], Const(None), ["step 'a' uses step 'b'", "flow.py:1"]),
    "an unknown step in the output": ([node("a", 1)], Out("b"), ["the pipeline's result uses step 'b'", "flow.py:99"]),
    "an unknown step to run after": ([node("a", 1, after=("b",))], Const(None), ["is to run after 'b'", "flow.py:1"]),
    "an unknown output": (
        [node("a", 1), node("b", 2, Out("a", "f2"))],
        Const(None),
        ["an output 'f2' that 'a' does not give", "result", "flow.py:1", "flow.py:2"],
    ),
    "the result of an effect": (
        [node("log", 1, outputs=()), node("b", 2, Out("log"))],
        Const(None),
        ["uses the result of 'log', which gives none", "after=['log']", "flow.py:1", "flow.py:2"],
    ),
    "one value of a map": (
        [node("m", 1, over={"x": Const([1])}), node("b", 2, Out("m"))],
        Const(None),
        ["misreads 'm', which is a map", "flow.py:1", "flow.py:2"],
    ),
    "all values of a plain step": ([node("a", 1)], Gather("a"), ["misreads 'a', which is not a map", "flow.py:99"]),
    "an unknown parameter": ([node("a", 1, Param("p"))], Const(None), ["a parameter 'p'", "flow.py:1"]),
    "an unknown condition": (
        [node("a", 1, guards=(YES,))],
        Const(None),
        ["a condition 'when' that is not", "flow.py:1"],
    ),
    "a condition that is none": (
        [node("when", 1), node("a", 2, guards=(YES,))],
        Const(None),
        ["a condition 'when' that is not", "flow.py:2"],
    ),
    "a value used outside its condition": (
        [condition("when", 1, Const(value=True)), node("a", 2, guards=(YES,)), node("b", 3, Out("a"))],
        Const(None),
        ["'a' runs only in the condition 'when', but step 'b' uses it outside", "flow.py:2", "flow.py:3", "either("],
    ),
    "a value used on the other side": (
        [condition("when", 1, Const(value=True)), node("a", 2, guards=(YES,)), node("b", 3, Out("a"), guards=(NO,))],
        Const(None),
        ["flow.py:2", "flow.py:3"],
    ),
    "a value of the otherwise-branch returned": (
        [condition("when", 1, Const(value=True)), node("a", 2, guards=(NO,))],
        Seq("list", (Out("a"),)),
        ["in the otherwise-branch of condition 'when', but the pipeline's result", "flow.py:2", "flow.py:99"],
    ),
    "a condition on what may not be there": (
        [
            condition("when", 1, Const(value=True)),
            node("a", 2, guards=(YES,)),
            condition("when-2", 3, Compare(">", Out("a"), Const(1))),
        ],
        Const(None),
        ["'a' runs only in the condition 'when', but step 'when-2'", "flow.py:2", "flow.py:3"],
    ),
    "either on the wrong side": (
        [condition("when", 1, Const(value=True)), node("a", 2, guards=(YES,))],
        Either("when", Const(1), Out("a")),
        ["'a' runs only in the condition 'when'"],
    ),
    "a list to map over made inside a condition": (
        [
            condition("when", 1, Const(value=True)),
            node("a", 2, guards=(YES,)),
            node("m", 3, over={"x": Out("a")}),
        ],
        Const(None),
        ["step 'm' uses it outside"],
    ),
    "a bad name": ([node("a b", 1)], Const(None), ["'a b' cannot be the name of a step", "flow.py:1"]),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_run_is_refused_with_both_lines(case: str) -> None:
    nodes, output, expected = REFUSED[case]
    with pytest.raises(DefinitionError) as caught:
        graph_of(nodes, output=output, line="flow.py:99")
    for text in expected:
        assert text in str(caught.value)


def test_values_of_a_condition_may_be_used_inside_it_and_chosen_outside() -> None:
    inner = condition("when-2", 4, Out("a"), YES)
    deep = (YES, Guard("when-2", expected=False))
    graph = graph_of(
        [
            condition("when", 1, Const(value=True)),
            node("a", 2, guards=(YES,)),
            node("b", 3, Out("a"), guards=(YES,)),
            inner,
            node("c", 5, Out("a"), Either("when-2", Const(1), Out("b")), guards=deep),
            node("d", 6, after=("c",)),
        ],
        output=Data("m:R", {"x": Either("when", Either("when-2", Out("a"), Out("c")), Const(0))}),
    )
    assert list(graph.nodes) == ["when", "a", "b", "when-2", "c", "d"]
    assert dependencies(graph.nodes["c"]) == {"a", "b", "when", "when-2"}
    assert dependencies(inner) == {"when", "a"}
    assert predecessors(graph.nodes["d"]) == {"c"}
    assert dependencies(graph.nodes["d"]) == set()


def test_order_is_that_of_drawing_where_nothing_else_is_asked() -> None:
    drawn = [node("z", 1), node("b", 2, Out("y")), node("a", 3), node("y", 4), node("c", 5, Out("z"))]
    assert list(graph_of(drawn).nodes) == ["z", "a", "y", "b", "c"]


def test_a_graph_built_by_hand_is_checked_when_asked() -> None:
    nodes = {each.name: each for each in [node("a", 1, Out("b")), node("b", 2, Out("a"))]}
    with pytest.raises(DefinitionError):
        Graph(nodes).check()
    with pytest.raises(DefinitionError):
        order(Graph(nodes))


def test_slices() -> None:
    graph = graph_of(
        [
            node("a", 1),
            node("b", 2, Out("a")),
            node("c", 3, Out("a")),
            condition("when", 4, All((Out("b"), Param("go")))),
            node("d", 5, Out("c"), guards=(YES,)),
            node("e", 6, after=("d",)),
        ],
        [Parameter("go", {"type": "boolean"})],
    )
    assert ancestors(graph, ["d"]) == {"a", "b", "c", "when"}
    assert descendants(graph, ["b"]) == {"when", "d", "e"}
    assert descendants(graph, ["c", "when"]) == {"d", "e"}
    assert between(graph, ["b"], ["d"]) == {"b", "when", "d"}
    assert between(graph, ["d"], ["b"]) == set()


@pytest.mark.parametrize(("name", "legal"), [("train", True), ("inner/train-2", True), ("a.b_C-1", True)])
def test_legal_names(name: str, *, legal: bool) -> None:
    assert is_step_name(name) is legal


@pytest.mark.parametrize("name", ["", "/", "a/", "/a", "a//b", "a b", "train[0]", "naïve", "a:b", "a\n"])
def test_illegal_names(name: str) -> None:
    assert not is_step_name(name)
