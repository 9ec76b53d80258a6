"""Expressions: JSON form, evaluation on typed JSON, picks, what they refer to, how they read."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest

from headwater.errors import DefinitionError, StepError
from headwater.expr import (
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
    Operator,
    Out,
    Param,
    Seq,
    describe,
    evaluate,
    from_json,
    is_true,
    parameters,
    pick,
    pick_value,
    references,
    to_json,
)
from headwater.values import to_json as typed

F1 = Out("evaluate", "f1")
GOOD = Compare(">=", F1, Param("min_f1"))
REPORT = Data("flights:Report", {"f1": F1, "rows": Out("evaluate", "rows")})


class Lookup:
    """Values by step and output, with a note of what was asked for."""

    def __init__(self, **values: object) -> None:
        self.values = values
        self.asked: list[str] = []

    def __call__(self, leaf: Param | Out | Gather) -> object:
        assert leaf.path == ()
        name = leaf.name if isinstance(leaf, Param) else leaf.step
        self.asked.append(name)
        return typed(self.values[name])


def value(expr: Expr, **values: object) -> object:
    return evaluate(expr, Lookup(**values))


@pytest.mark.parametrize(
    ("op", "left", "right", "expected"),
    [
        ("==", 1, 1.0, True),
        ("==", 1, True, True),
        ("==", "1", 1, False),
        ("!=", [1, 2], [1, 2], False),
        ("==", (1, 2), [1, 2], False),
        ("==", (1, 2), (1, 2), True),
        ("<", 2, 10, True),
        ("<", "2", "10", False),
        ("<=", dt.date(2026, 1, 2), dt.date(2026, 1, 10), True),
        (">", dt.timedelta(minutes=2), dt.timedelta(seconds=110), True),
        ("<", Decimal(9), Decimal(10), True),
        ("<", 9, Decimal(10), True),
        ("<", -(2**70), 2**70, True),
        (">", float("inf"), 1, True),
        ("==", float("nan"), float("nan"), False),
        ("==", {1, 2}, {2, 1}, True),
        ("==", {"a": [1]}, {"a": [1]}, True),
        ("==", None, None, True),
        (
            "<",
            dt.datetime(2026, 1, 1, 12, tzinfo=dt.timezone(dt.timedelta(hours=2))),
            dt.datetime(2026, 1, 1, 11, tzinfo=dt.UTC),
            True,
        ),
        ("in", "a", ["a", "b"], True),
        ("in", 3, (1, 2), False),
        ("in", "ell", "hello", True),
        ("in", "a", {"a": 1}, True),
        ("in", 2, {1, 2}, True),
        ("in", "2", frozenset({1, 2}), False),
    ],
)
def test_comparisons_are_pythons(op: Operator, left: object, right: object, *, expected: bool) -> None:
    assert evaluate(Compare(op, Const(typed(left)), Const(typed(right))), Lookup()) is expected


@pytest.mark.parametrize(("left", "right"), [(1, "a"), (None, 3), ([1], 2), ({"a": 1}, {"a": 2})])
def test_what_has_no_order_is_refused_by_name(left: object, right: object) -> None:
    with pytest.raises(StepError) as caught:
        evaluate(Compare("<", Out("count"), Const(typed(right))), Lookup(count=left))
    assert "cannot be compared" in str(caught.value)
    assert "count < " in str(caught.value)


def test_members_of_an_enum_are_told_apart_without_their_class() -> None:
    red, blue = ({"$": "enum", "t": "nowhere:Color", "v": name} for name in ("RED", "BLUE"))
    assert evaluate(Compare("==", Const(red), Const(dict(red))), Lookup()) is True
    assert evaluate(Compare("==", Const(red), Const(blue)), Lookup()) is False
    with pytest.raises(StepError):
        evaluate(Compare("<", Const(red), Const(blue)), Lookup())


@pytest.mark.parametrize(
    ("plain", "expected"),
    [
        (None, False),
        (0, False),
        (0.0, False),
        ("", False),
        ([], False),
        ((), False),
        (set(), False),
        (b"", False),
        ({}, False),
        (dt.timedelta(), False),
        (Decimal(0), False),
        (2**80, True),
        (float("nan"), True),
        ("0", True),
        ([0], True),
        (dt.date(2026, 1, 1), True),
    ],
)
def test_truth_is_pythons(plain: object, *, expected: bool) -> None:
    assert is_true(typed(plain)) is expected


def test_and_or_stop_where_python_would() -> None:
    lookup = Lookup(a=False, b=True)
    assert evaluate(All((Out("a"), Out("missing"))), lookup) is False
    assert evaluate(Any((Out("b"), Out("missing"))), lookup) is True
    assert evaluate(Not(Out("a")), lookup) is True
    assert lookup.asked == ["a", "b", "a"]


def test_either_looks_only_at_the_side_taken() -> None:
    choice = Either("when", Out("a"), Out("b"))
    assert value(choice, when=True, a=1) == 1
    assert value(choice, when=False, b=2) == 2


def test_nests_become_typed_json() -> None:
    expr = Seq("tuple", (Param("n"), Seq("list", (Const(1), Out("a"))), Dict({"k": Out("a"), "$d": Const(2)})))
    assert value(expr, n=5, a=7) == typed((5, [1, 7], {"k": 7, "$d": 2}))
    assert evaluate(REPORT, Lookup(evaluate=0.5)) == {
        "$": "data",
        "t": "flights:Report",
        "v": {"f1": 0.5, "rows": 0.5},
    }


def test_picks_go_into_every_form() -> None:
    tree = typed({"rows": [{"when": (1, 2)}], "n": {3: "three", "x": "ex"}})
    assert pick_value(tree, ("rows", 0, "when", 1)) == 2
    assert pick_value(tree, ("rows", -1, "when", 0)) == 1
    assert pick_value(tree, ("n", "x")) == "ex"
    report = {"$": "data", "t": "m:R", "v": {"f1": 0.5}}
    assert pick_value(report, ("f1",)) == 0.5
    assert evaluate(Out("evaluate", "result", ("f1",)), lambda _: report) == 0.5
    for path in [("rows", 1), ("rows", "x"), ("missing",), ("rows", 0, "when", 2)]:
        with pytest.raises(LookupError):
            pick_value(tree, path)


def test_a_missing_part_is_told_with_its_name() -> None:
    with pytest.raises(StepError) as caught:
        value(Out("evaluate", "result", ("f2",)), evaluate={"f1": 1})
    assert "evaluate.f2 is not there" in str(caught.value)


def test_picks_of_drawn_nests_need_no_run() -> None:
    assert pick(REPORT, "f1") == F1
    assert pick(REPORT, 0) == F1
    assert pick(Seq("list", (Const(1), F1)), -1) == F1
    assert pick(Dict({"a": F1}), "a") == F1
    assert pick(Const([1, 2]), 1) == Const(2)
    assert pick(Either("when", REPORT, Param("r")), "f1") == Either("when", F1, Param("r", ("f1",)))
    assert pick(pick(Gather("train"), 0), "f1") == Gather("train", (0, "f1"))
    with pytest.raises(LookupError):
        pick(GOOD, "f1")


def test_references_and_parameters_are_all_found() -> None:
    expr = Either("when", Seq("list", (REPORT, Gather("train", (0,)))), All((GOOD, Not(Param("dry", ("run",))))))
    assert references(expr) == {("when", "result"), ("evaluate", "f1"), ("evaluate", "rows"), ("train", "*")}
    assert parameters(expr) == {"min_f1", "dry"}


@pytest.mark.parametrize(
    ("expr", "text"),
    [
        (GOOD, "evaluate.f1 >= min_f1"),
        (Out("train"), "train"),
        (Out("split", "0", ("x", 1)), "split[0].x[1]"),
        (Gather("train", (0, "f1")), "train[0].f1"),
        (Any((All((GOOD, Param("force"))), Not(Param("dry")))), "(evaluate.f1 >= min_f1 and force) or not dry"),
        (Compare("in", Param("day"), Const([1, "b"])), "day in [1, 'b']"),
        (Const(typed(dt.date(2026, 1, 31))), "2026-01-31"),
        (REPORT, "Report(f1=evaluate.f1, rows=evaluate.rows)"),
        (Const({"$": "data", "t": "m:Trees", "v": {"depth": 4}}), "Trees(depth=4)"),
        (Const({"$": "enum", "t": "m:Color", "v": "RED"}), "Color.RED"),
        (Const({"$": "file", "path": "x.csv"}), "x.csv"),
        (Either("when", Out("a"), Out("b")), "a if when else b"),
        (Dict({"a": Seq("tuple", (Const(1.0), Const(None)))}), "{a: (1.0, None)}"),
    ],
)
def test_expressions_read_as_written(expr: Expr, text: str) -> None:
    assert describe(expr) == text


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        {},
        {"unknown": 1},
        {"out": "a"},
        {"out": "a", "output": "b", "more": 1},
        {"compare": "<>", "left": {"const": 1}, "right": {"const": 1}},
        {"all": {"const": 1}},
        {"data": "m:R"},
        {"either": "when", "then": {"const": 1}},
    ],
)
def test_what_is_no_expression_is_refused(document: object) -> None:
    with pytest.raises(DefinitionError):
        from_json(document)  # type: ignore[arg-type]


def test_json_form_is_small_and_comes_back() -> None:
    assert to_json(GOOD) == {
        "compare": ">=",
        "left": {"out": "evaluate", "output": "f1"},
        "right": {"param": "min_f1"},
    }
    assert from_json(to_json(GOOD)) == GOOD
