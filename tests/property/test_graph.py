"""Laws of expressions, graphs and definitions, on random ones."""

from __future__ import annotations

import json
import random
from dataclasses import replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headwater.definition import Definition
from headwater.digest import canonical
from headwater.expr import Expr, describe, from_json, parameters, references, to_json, walk
from headwater.graph import (
    Graph,
    ancestors,
    between,
    dependencies,
    descendants,
    expressions,
    graph_of,
    order,
    predecessors,
)
from tests.drawn import any_expr, graphs

QUICK = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@given(any_expr)
def test_an_expression_comes_back_from_its_json(expr: Expr) -> None:
    text = canonical(to_json(expr))
    again = from_json(json.loads(text))
    assert again == expr
    assert canonical(to_json(again)) == text


@given(any_expr)
def test_references_are_those_of_all_parts(expr: Expr) -> None:
    inner = list(walk(expr))
    assert inner[0] is expr
    assert references(expr) == set().union(*map(references, inner))
    assert parameters(expr) == set().union(*map(parameters, inner))
    assert describe(expr)


@QUICK
@given(graphs())
def test_a_definition_comes_back_from_its_document(graph: Graph) -> None:
    definition = Definition("flights", graph)
    text = canonical(definition.document())
    again = Definition.from_document(json.loads(text))
    assert again == definition
    assert canonical(again.document()) == text
    assert again.digest == definition.digest


@QUICK
@given(graphs(), st.randoms(use_true_random=False))
def test_steps_come_after_what_they_need_however_they_were_listed(graph: Graph, chance: random.Random) -> None:
    nodes = list(graph.nodes.values())
    chance.shuffle(nodes)
    again = graph_of(nodes, graph.parameters.values(), graph.output)
    seen: set[str] = set()
    for name, node in again.nodes.items():
        assert predecessors(node) <= seen
        seen.add(name)
    assert again.nodes == graph.nodes
    assert order(again) == tuple(again.nodes), "an order that holds is left as it is"


@QUICK
@given(graphs())
def test_data_dependencies_are_those_of_the_expressions_and_guards(graph: Graph) -> None:
    for node in graph.nodes.values():
        found = {step for _, expr in expressions(node) for step, _ in references(expr)}
        assert dependencies(node) == found | {guard.condition for guard in node.guards}
        assert predecessors(node) - set(node.after) <= dependencies(node)


@QUICK
@given(graphs())
def test_slices_agree_with_one_another(graph: Graph) -> None:
    for name in graph.nodes:
        before, after = ancestors(graph, [name]), descendants(graph, [name])
        assert not before & after
        assert name not in before | after
        assert all(name in descendants(graph, [each]) for each in before)
        assert all(name in ancestors(graph, [each]) for each in after)
        assert between(graph, [name], [name]) == {name}
    assert between(graph, graph.nodes, graph.nodes) == set(graph.nodes)


@QUICK
@given(graphs())
def test_lines_and_descriptions_make_no_new_definition(graph: Graph) -> None:
    moved = {name: replace(node, line="elsewhere.py:1") for name, node in graph.nodes.items()}
    one, other = Definition("flights", graph), Definition("flights", replace(graph, nodes=moved, line="x"), "About it.")
    assert one == other
    assert one.digest == other.digest
    assert "elsewhere" not in json.dumps(other.document())
