"""Conditions, either, effects and failures; what a value that is not there yet refuses."""

# A pipeline may be drawn in a lambda, so that the line that is told is the author's.
# ruff: noqa: PLW0108

from __future__ import annotations

import copy
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest

from headwater import all_of, any_of, either, fail, is_in, not_, notify, otherwise, over, register, step, when
from headwater.author.control import Condition
from headwater.author.pipeline import Pipeline
from headwater.author.refs import Ref
from headwater.errors import DefinitionError
from headwater.expr import All, Compare, Const, Data, Either, Gather, Not, Out, Param, describe
from headwater.expr import Any as AnyOf
from headwater.graph import Graph, Guard

HERE = "tests.unit.test_author_control"


@dataclass(frozen=True)
class Report:
    f1: float
    rows: list[int]

    @property
    def percent(self) -> float:
        return self.f1 * 100

    def better(self) -> bool:
        return self.f1 > 0.5


class Pair(NamedTuple):
    a: int
    b: str


@step
def evaluate(x: object = 0) -> Report:
    return Report(0.5, [])


@step
def count() -> int:
    return 1


@step
def use(x: object = None, y: object = None) -> int:
    return 1


@step
def items() -> list[int]:
    return []


@step
def pair() -> Pair:
    return Pair(1, "b")


@step
def table() -> dict[str, list[int]]:
    return {}


def draw(function: Callable[..., object]) -> Graph:
    return Pipeline(function).compile().definition.graph


def refusal(function: Callable[..., object]) -> str:
    with pytest.raises(DefinitionError) as caught:
        draw(function)
    return str(caught.value)


# ----------------------------------------------------------------------------------------------------- conditions


def test_steps_inside_a_condition_are_guarded() -> None:
    def flow(low: float) -> None:
        report = evaluate()
        with when(report.f1 >= low) as good:
            use(report)
            with when(report.f1 > 0.99, name="suspicious") as odd:
                use()
            with otherwise(odd):
                use.using(name="plain")()
        with otherwise(good):
            use()
        use()

    nodes = draw(flow).nodes
    assert nodes["when"].kind == "condition"
    assert nodes["when"].call == Compare(">=", Out("evaluate", "f1"), Param("low"))
    assert nodes["when"].guards == ()
    good, bad = Guard("when", expected=True), Guard("when", expected=False)
    assert nodes["suspicious"].guards == (good,)
    assert nodes["use"].guards == (good,)
    assert nodes["use-2"].guards == (good, Guard("suspicious", expected=True))
    assert nodes["plain"].guards == (good, Guard("suspicious", expected=False))
    assert nodes["use-3"].guards == (bad,)
    assert nodes["use-4"].guards == ()


def test_conditions_are_numbered() -> None:
    def flow(a: bool, b: bool) -> None:
        with when(a):
            use()
        with when(b):
            use()
        with when(True):
            use()

    nodes = draw(flow).nodes
    assert [name for name in nodes if name.startswith("when")] == ["when", "when-2", "when-3"]
    assert nodes["when-3"].call == Const(value=True)


def test_and_or_not_in() -> None:
    def flow(day: str, force: bool) -> None:
        report = evaluate()
        with when(all_of(report.f1 > 0.5, any_of(force, not_(is_in(day, ["sat", "sun"]))))):
            use()

    call = draw(flow).nodes["when"].call
    inside = Compare("in", Param("day"), Const(["sat", "sun"]))
    assert call == All((Compare(">", Out("evaluate", "f1"), Const(0.5)), AnyOf((Param("force"), Not(inside)))))


@pytest.mark.parametrize(
    ("compare", "expected"),
    [
        (lambda x: x == 1, "count == 1"),
        (lambda x: x != 1, "count != 1"),
        (lambda x: x < 1, "count < 1"),
        (lambda x: x <= 1, "count <= 1"),
        (lambda x: x > 1, "count > 1"),
        (lambda x: x >= 1, "count >= 1"),
        (lambda x: x == x, "count == count"),  # noqa: PLR0124
        (lambda x: 1 < x, "count > 1"),  # noqa: SIM300
        (lambda x: x == [x, 2], "count == [count, 2]"),
    ],
)
def test_comparisons_are_drawn(compare: Callable[[Any], bool], expected: str) -> None:
    def flow() -> None:
        with when(compare(count())):
            use()

    assert describe(draw(flow).nodes["when"].call) == expected  # type: ignore[arg-type]


def test_either_chooses_between_the_sides() -> None:
    def flow(low: float) -> object:
        report = evaluate()
        with when(report.f1 >= low) as good:
            a = evaluate(report)
        with otherwise(good) as bad:
            b = evaluate(1)
        chosen = either(good, a, b)
        use(chosen.f1, either(bad, b.rows, a.rows)[0])
        return either(good, count(), 7)

    graph = draw(flow)
    assert graph.nodes["use"].inputs == {
        "x": Either("when", Out("evaluate-2", "f1"), Out("evaluate-3", "f1")),
        "y": Either("when", Out("evaluate-2", "rows", (0,)), Out("evaluate-3", "rows", (0,))),
    }
    assert graph.output == Either("when", Out("count"), Const(7))


def test_a_value_used_outside_its_condition_is_refused_with_both_lines() -> None:
    def flow(go: bool) -> None:
        with when(go):
            a = count()
        use(a)

    told = refusal(flow)
    first = flow.__code__.co_firstlineno
    assert f"made  tests/unit/test_author_control.py:{first + 2}" in told
    assert f"used  tests/unit/test_author_control.py:{first + 3}" in told


def test_a_value_returned_from_inside_a_condition_is_refused_with_both_lines() -> None:
    def flow(go: bool) -> object:
        with when(go):
            a = count()
        return a  # noqa: RET504  two lines are told: that of the call and that of the return

    told = refusal(flow)
    first = flow.__code__.co_firstlineno
    assert f"made  tests/unit/test_author_control.py:{first + 2}" in told
    assert f"used  tests/unit/test_author_control.py:{first + 3}" in told
    assert "the pipeline's result uses it outside" in told


def test_an_error_inside_a_condition_leaves_no_guard_behind() -> None:
    def flow(go: bool) -> None:
        try:
            with when(go):
                raise KeyError
        except KeyError:
            use()

    assert draw(flow).nodes["use"].guards == ()


def test_a_condition_of_another_drawing_is_refused() -> None:
    kept: list[Condition] = []

    def first(go: bool) -> None:
        with when(go) as guard:
            kept.append(guard)
            use()

    draw(first)

    def second() -> None:
        with otherwise(kept[0]):
            use()

    assert "not a condition of the pipeline being drawn" in refusal(second)
    assert "not a condition of the pipeline being drawn" in refusal(lambda: either(True, 1, 2))  # type: ignore[arg-type]


def test_a_condition_is_no_truth_value() -> None:
    def flow(go: bool) -> None:
        with when(go) as good:
            pass
        if good:
            use()

    assert "condition 'when' is known only when the pipeline runs" in refusal(flow)


@pytest.mark.parametrize(
    "word",
    [
        lambda: when(True),
        lambda: fail("no"),
        lambda: register(1, name="x"),
        lambda: notify("hello"),
        lambda: all_of(True),
    ],
)
def test_words_of_a_pipeline_mean_nothing_outside(word: Callable[[], object]) -> None:
    with pytest.raises(DefinitionError) as caught:
        word()
    assert "only inside a @pipeline function" in str(caught.value)
    assert "tests/unit/test_author_control.py:" in str(caught.value)


# ---------------------------------------------------------------------------------------------------- effects


def test_effects_are_nodes_that_give_nothing() -> None:
    def flow(month: str) -> None:
        model = count()
        register(model, name="delay", metrics={"f1": evaluate().f1})
        notify.using(name="tell", backend="inline")("done", model)
        notify(month)
        fail("bad", name="stop")

    nodes = draw(flow).nodes
    assert nodes["register"].kind == "register"
    assert nodes["register"].call is None
    assert nodes["register"].outputs == ()
    assert nodes["register"].options.effect == "once"
    assert set(nodes["register"].inputs) == {"artifact", "name", "metrics"}
    assert nodes["tell"].kind == "notify"
    assert nodes["tell"].inputs == {"message": Const("done"), "value": Out("count")}
    assert nodes["tell"].options.backend == "inline"
    assert nodes["tell"].options.effect == "once"
    assert nodes["notify"].inputs == {"message": Param("month")}
    assert nodes["stop"].kind == "fail"
    assert nodes["stop"].inputs == {"message": Const("bad")}


def test_wrong_calls_of_effects_are_refused() -> None:
    assert "missing a required argument: 'name'" in refusal(lambda: register(1))  # type: ignore[call-arg]
    assert "unexpected keyword argument 'text'" in refusal(lambda: notify("x", text="y"))  # type: ignore[call-arg]


def test_order_without_data() -> None:
    def flow() -> None:
        told: object = notify("begin")  # type: ignore[func-returns-value]
        first = count()
        use.using(after=[told, first, "count"])()
        use.using(after=[evaluate(), first])(first)

    nodes = draw(flow).nodes
    assert nodes["use"].after == ("notify", "count")
    assert nodes["use-2"].after == ("evaluate", "count")


@pytest.mark.parametrize(
    ("after", "text"),
    [
        (["nobody"], "no step 'nobody' is drawn yet"),
        ([3], "takes results of steps, or their names"),
        ("count", "after"),
    ],
)
def test_order_after_nothing_is_refused(after: Any, text: str) -> None:
    assert text in refusal(lambda: use.using(after=after)())


def test_the_result_of_an_effect_may_be_returned() -> None:
    assert draw(lambda: notify("x")).output == Const(None)


# ------------------------------------------------------------------------------- values that are not there yet

REFUSED: dict[str, tuple[Callable[[Any], object], str]] = {
    "if": (lambda ref: 1 if ref else 2, "with when(...)"),
    "and": (lambda ref: ref and 1, "all_of"),
    "not": (lambda ref: not ref, "not_"),
    "chained comparison": (lambda ref: 0 < ref < 2, "all_of"),
    "in": (lambda ref: 1 in ref, "is_in(item, items)"),
    "iter": (list, "step.map(over(…))"),
    "len": (len, "length"),
    "float": (float, "converted"),
    "int": (int, "converted"),
    "complex": (complex, "converted"),
    "index": (lambda ref: [1, 2][ref], "converted"),
    "range": (range, "converted"),
    "round": (round, "computed"),
    "floor": (math.floor, "computed"),
    "neg": (lambda ref: -ref, "computed"),
    "add": (lambda ref: ref + 1, "computed"),
    "radd": (lambda ref: 1 + ref, "computed"),
    "sum": (lambda ref: sum([ref]), "computed"),
    "mul": (lambda ref: ref * 2, "computed"),
    "divmod": (lambda ref: divmod(ref, 2), "computed"),
    "pow": (lambda ref: 2**ref, "computed"),
    "or of bits": (lambda ref: ref | True, "any_of"),
    "call": (lambda ref: ref(), "call methods inside a step"),
    "f-string": (lambda ref: f"{ref}", "make the text inside a step"),
    "str": (str, "make the text inside a step"),
    "format": (lambda ref: f"{ref:>8}", "make the text inside a step"),
    "path": (os.fspath, "converted"),
    "setitem": (lambda ref: ref.__setitem__(0, 1), "changed"),
    "slice": (lambda ref: ref[1:], "sliced"),
    "index by a value": (lambda ref: ref[ref], "sliced, or indexed by a value"),
    "with": (lambda ref: ref.__enter__(), "entered"),
    "next": (next, "iterated over"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_value_that_is_not_there_yet_says_so(case: str) -> None:
    attempt, hint = REFUSED[case]
    told = refusal(lambda: attempt(count()))
    assert "`count" in told
    assert "is known only when the pipeline runs" in told
    assert "tests/unit/test_author_control.py:" in told
    assert hint in told


def test_a_parameter_is_not_known_when_drawn() -> None:
    def flow(depth: int) -> None:
        if depth > 3:
            use()

    told = refusal(flow)
    assert told.startswith("`depth > 3` is known only when the pipeline runs")
    assert "with when(...)" in told


def test_a_value_is_no_key() -> None:
    with pytest.raises(TypeError, match="unhashable"):
        draw(lambda: {count(): 1})


def test_a_value_can_be_shown_and_copied_while_debugging() -> None:
    seen: list[object] = []

    def flow() -> None:
        ref = evaluate()
        seen.extend([repr(ref.f1), copy.copy(ref.f1), copy.deepcopy(ref.f1)])

    draw(flow)
    assert seen[0] == "<evaluate.f1>"
    assert all(isinstance(each, Ref) for each in seen[1:])


PICKS_REFUSED: dict[str, tuple[Callable[[], object], list[str]]] = {
    "unknown field": (lambda: evaluate().f2, ["has no field 'f2'", "did you mean 'f1'?", "f1, rows", "Report"]),
    "property": (lambda: evaluate().percent, ["`percent` is computed by the class"]),
    "method": (lambda: evaluate().better(), ["`better` is computed by the class"]),
    "field of a number": (lambda: count().real, ["has no part 'real'", "only fields of dataclasses"]),
    "element of a number": (lambda: count()[0], ["has no part 0"]),
    "attribute of a list": (lambda: items().append(1), ["has no part 'append'"]),
    "attribute of a dict": (lambda: table().keys, ["has no part 'keys'", '["keys"]']),
    "name in a list": (lambda: items()["a"], ["has no part 'a'"]),
    "field of a field": (lambda: evaluate().f1.real, ["`evaluate.f1` has no part 'real'"]),
    "too far": (lambda: pair()[2], ["has no part 2", "it has 2"]),
}


@pytest.mark.parametrize("case", PICKS_REFUSED)
def test_picks_of_what_is_not_there_are_refused(case: str) -> None:
    attempt, texts = PICKS_REFUSED[case]
    told = refusal(attempt)
    for text in (*texts, "tests/unit/test_author_control.py:"):
        assert text in told


def test_picks_of_what_is_there() -> None:
    def flow(report: Report) -> None:
        a, b = pair()
        use(report.rows[0], [a, b, table()["x"][-1], evaluate.map(over([1, 2]))[1].rows])

    use_inputs = draw(flow).nodes["use"].inputs
    assert use_inputs["x"] == Param("report", ("rows", 0))
    assert [describe(each) for each in use_inputs["y"].items] == [  # type: ignore[union-attr]
        "pair.a",
        "pair.b",
        "table.x[-1]",
        describe(Gather("evaluate", (1, "rows"))),
    ]


def test_a_report_is_returned_as_a_whole() -> None:
    fields = {"f1": Out("evaluate", "f1"), "rows": Out("evaluate", "rows")}
    assert draw(lambda: evaluate()).output == Data(f"{HERE}:Report", fields)
