"""Steps: what calling one draws, what may be passed, what is refused and where it says so."""

# A pipeline may be drawn in a lambda, so that the line that is told is the author's.
# ruff: noqa: PLW0108

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any, NamedTuple, TypeVar

import pytest

from headwater import Dir, File, Resources, Retry, codec, over, pipeline, step
from headwater.author.annotations import entry_of
from headwater.author.calls import bind, spread
from headwater.author.pipeline import Pipeline
from headwater.author.step import Step, function_of, is_replaced
from headwater.errors import DefinitionError
from headwater.expr import Const, Data, Dict, Expr, Gather, Out, Param, Seq
from headwater.graph import Graph, Output

T = TypeVar("T")
HERE = "tests.unit.test_author_step"


@dataclass(frozen=True)
class Trees:
    depth: int
    seed: int = 0


@dataclass(frozen=True)
class Report:
    f1: float
    plot: File

    @property
    def percent(self) -> float:
        return self.f1 * 100


@dataclass
class Loose:
    x: int


class Halves(NamedTuple):
    left: list[int]
    right: bytes


@step
def load(name: str = "a") -> list[int]:
    return [len(name)]


@step
def total(values: list[int], *, start: int = 0) -> int:
    return sum(values) + start


@step
def report(x: Any = None) -> Report:
    return Report(float(bool(x)), File("x.png"))


@step
def halve(values: list[int]) -> Halves:
    return Halves(values[:1], bytes(values))


@step
def pair() -> tuple[int, str]:
    return 1, "a"


@step
def log(text: object) -> None: ...


@step
def loose() -> Loose:
    return Loose(1)


@step
def unannotated(x, y=2):
    return x, y


def draw(function: Callable[..., object]) -> Graph:
    return Pipeline(function).compile().definition.graph


def inputs(function: Callable[..., object], name: str = "unannotated") -> dict[str, Expr]:
    return dict(draw(function).nodes[name].inputs)


def refusal(function: Callable[..., object]) -> str:
    with pytest.raises(DefinitionError) as caught:
        draw(function)
    return str(caught.value)


def line(function: Callable[..., object], offset: int = 1) -> str:
    return f"tests/unit/test_author_step.py:{inspect.unwrap(function).__code__.co_firstlineno + offset}"


# ------------------------------------------------------------------------------------- outside any pipeline


def test_outside_a_pipeline_a_step_is_its_function() -> None:
    assert total([1, 2], start=3) == 6
    assert total.map(over([[1], [2, 3]]), start=1) == [2, 6]
    assert unannotated.map(over([1, 2]), over([3, 4])) == [(1, 3), (2, 4)]
    assert total.__name__ == "total"
    assert inspect.signature(total) == inspect.signature(total.function)
    assert repr(total) == "<step total>"


# ---------------------------------------------------------------------------------------------- what is drawn


def test_a_call_draws_a_node() -> None:
    def flow() -> int:
        return total(load("b"), start=3)

    graph = draw(flow)
    assert list(graph.nodes) == ["load", "total"]
    node = graph.nodes["total"]
    assert node.kind == "function"
    assert node.call == f"{HERE}:total"
    assert node.inputs == {"values": Out("load"), "start": Const(3)}
    assert node.outputs == (Output("result", "json"),)
    assert node.line == line(flow)
    assert graph.output == Out("total")


def test_defaults_are_left_to_the_function() -> None:
    def flow() -> None:
        total(load())

    assert draw(flow).nodes["total"].inputs == {"values": Out("load")}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, Const(None)),
        (1.0, Const(1.0)),
        ([1, (2, "x")], Const([1, {"$": "tuple", "v": [2, "x"]}])),
        (date(2026, 1, 2), Const({"$": "date", "v": "2026-01-02"})),
        (Trees(4), Const({"$": "data", "t": f"{HERE}:Trees", "v": {"depth": 4, "seed": 0}})),
        (File("x.csv"), Const({"$": "file", "path": "x.csv"})),
        ([Dir("data/")], Const([{"$": "dir", "path": "data/"}])),
        (File("s3://bucket/x.csv"), Const({"$": "file", "path": "s3://bucket/x.csv"})),
    ],
)
def test_constants_are_typed_json(value: object, expected: Expr) -> None:
    assert inputs(lambda: unannotated(value)) == {"x": expected}


def test_nests_of_results_keep_their_shape() -> None:
    def flow(n: int) -> None:
        a = load()
        unannotated([a, 1, (n,)], {"k": a, "c": [File("x")]})

    assert inputs(flow) == {
        "x": Seq("list", (Out("load"), Const(1), Seq("tuple", (Param("n"),)))),
        "y": Dict({"k": Out("load"), "c": Const([{"$": "file", "path": "x"}])}),
    }


def test_dataclasses_and_named_tuples_that_hold_results_are_rebuilt() -> None:
    def flow(depth: int) -> None:
        unannotated(Trees(depth), Halves(load(), b""))

    assert inputs(flow) == {
        "x": Data(f"{HERE}:Trees", {"depth": Param("depth"), "seed": Const(0)}),
        "y": Data(f"{HERE}:Halves", {"left": Out("load"), "right": Const({"$": "bytes", "v": ""})}, "named"),
    }


def test_several_outputs_are_the_fields_of_the_result() -> None:
    def flow() -> object:
        r, h, p = report(), halve([1]), pair()
        first, second = p
        left, _ = h
        unannotated(r.plot, [h.right, h[0], left, first, second, p[-1]])
        return r

    graph = draw(flow)
    assert graph.nodes["report"].outputs == (Output("f1", "json"), Output("plot", "file"))
    assert graph.nodes["report"].whole == f"{HERE}:Report"
    assert graph.nodes["halve"].outputs == (Output("left", "json"), Output("right", "bytes"))
    assert graph.nodes["halve"].whole == f"{HERE}:Halves"
    assert graph.nodes["pair"].outputs == (Output("0", "json"), Output("1", "json"))
    assert graph.nodes["pair"].whole == "tuple"
    assert graph.nodes["unannotated"].inputs == {
        "x": Out("report", "plot"),
        "y": Seq(
            "list",
            (
                Out("halve", "right"),
                Out("halve", "left"),
                Out("halve", "left"),
                Out("pair", "0"),
                Out("pair", "1"),
                Out("pair", "1"),
            ),
        ),
    }
    assert graph.output == Data(f"{HERE}:Report", {"f1": Out("report", "f1"), "plot": Out("report", "plot")})


def test_a_named_tuple_is_passed_on_as_one() -> None:
    def flow() -> None:
        unannotated(halve([1]))

    fields = {"left": Out("halve", "left"), "right": Out("halve", "right")}
    assert inputs(flow) == {"x": Data(f"{HERE}:Halves", fields, "named")}


@step
def pickled() -> Annotated[Report, codec("pickle")]:
    return Report(1.0, File("x"))


@step
def annotated() -> Annotated[Report, "of the best model"]:
    return Report(1.0, File("x"))


@step
def generic(x: T) -> T:
    return x


@step
def unresolved() -> Missing:  # noqa: F821  imported for checkers only, as it might be
    return 1


def test_what_is_one_output() -> None:
    def flow() -> None:
        loose(), pickled(), annotated(), generic(1), unresolved(), log("x"), unannotated(1)

    outputs = {name: node.outputs for name, node in draw(flow).nodes.items()}
    assert outputs == {
        "loose": (Output("result", "json"),),
        "pickled": (Output("result", "pickle"),),
        "annotated": (Output("f1", "json"), Output("plot", "file")),
        "generic": (Output("result", "any"),),
        "unresolved": (Output("result", "any"),),
        "log": (),
        "unannotated": (Output("result", "any"),),
    }


def test_fields_of_a_result_in_one_piece_are_picked_from_it() -> None:
    def flow() -> None:
        unannotated(loose().x, generic({"a": [1]})["a"][0])

    assert inputs(flow) == {"x": Out("loose", "result", ("x",)), "y": Out("generic", "result", ("a", 0))}


def test_rest_arguments_are_inputs_too() -> None:
    @step
    def gather(first: int, /, second: int, *rest: int, **options: int) -> int:
        return first

    def flow() -> None:
        gather(1, 2, 3, 4, a=5)
        gather(1, second=2)

    nodes = draw(flow).nodes
    assert nodes["gather"].inputs == {
        "first": Const(1),
        "second": Const(2),
        "rest": Const({"$": "tuple", "v": [3, 4]}),
        "a": Const(5),
    }
    assert nodes["gather-2"].inputs == {"first": Const(1), "second": Const(2)}


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [((1, 2, 3, 4), {"a": 5}), ((1,), {"second": 2}), ((1, 2), {}), ((1, 2), {"first": 9, "a": 5})],
)
def test_arguments_come_back_as_they_were_given(args: tuple[int, ...], kwargs: dict[str, int]) -> None:
    def called(first: int, /, second: int, *rest: int, **options: int) -> object:
        return first, second, rest, options

    if "first" in kwargs:  # `first` is positional only, so it is free as an option: the one case with two meanings
        with pytest.raises(DefinitionError, match="first"):
            bind("called", called, args, kwargs)
        return
    again = spread(called, bind("called", called, args, kwargs))
    assert called(*again[0], **again[1]) == called(*args, **kwargs)


# ------------------------------------------------------------------------------------------------------- maps


def test_a_map_is_one_node() -> None:
    def flow(names: list[str]) -> object:
        loads = load.map(over(names))
        totals = total.map(over(loads), start=1)
        reports = report.map(over([1, load()]))
        return totals, reports[1].f1

    graph = draw(flow)
    assert graph.nodes["load"].over == {"name": Param("names")}
    assert graph.nodes["load"].inputs == {}
    assert graph.nodes["total"].over == {"values": Gather("load")}
    assert graph.nodes["total"].inputs == {"start": Const(1)}
    assert graph.nodes["report"].over == {"x": Seq("list", (Const(1), Out("load-2")))}
    assert graph.output == Seq("tuple", (Gather("total"), Gather("report", (1, "f1"))))


def test_a_map_over_a_list_that_is_written_down_can_be_taken_apart() -> None:
    def flow() -> None:
        unannotated([r.f1 for r in report.map(over([1, 2]))])

    assert inputs(flow) == {"x": Seq("list", (Gather("report", (0, "f1")), Gather("report", (1, "f1"))))}


def test_several_overs_go_side_by_side() -> None:
    def flow() -> None:
        unannotated.map(over([1, 2]), y=over(load.map(over(["a", "b"]))))

    assert draw(flow).nodes["unannotated"].over == {"x": Const([1, 2]), "y": Gather("load")}


def test_an_upstream_list_may_be_mapped_over() -> None:
    def flow() -> None:
        unannotated.map(over(load()))

    assert draw(flow).nodes["unannotated"].over == {"x": Out("load")}


MAPS_REFUSED = {
    "lengths": (lambda: unannotated.map(over([1, 2]), over([1])), ["one length", "over x", "2 elements", "1 elements"]),
    "lengths of maps": (
        lambda: unannotated.map(over([1, 2]), over(load.map(over(["a"])))),
        ["one length", "over y"],
    ),
    "nothing to map over": (lambda: load.map("a"), ["load.map(…) needs an argument to map over"]),
    "over without map": (lambda: load(over(["a"])), ["over(…) for 'name' belongs in load.map(…)"]),
    "over inside a nest": (lambda: unannotated.map([over([1])], over([1])), ["over(…) for 'x' belongs"]),
    "over a number": (lambda: unannotated.map(over(total([1]))), ["over(…) for 'x' needs a list", "total", "int"]),
    "over a text": (lambda: unannotated.map(over("abc")), ["over(…) needs a list, not a str"]),
    "over a generator": (lambda: unannotated.map(over(x for x in [1])), ["over(…) needs a list, not a generator"]),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("case", MAPS_REFUSED)
def test_maps_that_mean_nothing_are_refused(case: str) -> None:
    function, texts = MAPS_REFUSED[case]
    told = refusal(function)
    for text in texts:
        assert text in told
    assert "test_author_step.py:" in told


# ----------------------------------------------------------------------------------------------------- wrong calls

CALLS_REFUSED = {
    "unknown argument": (lambda: total(load(), begin=1), ["unexpected keyword argument 'begin'", "total(values"]),
    "misspelt argument": (lambda: total(load(), strat=1), ["did you mean 'start'?", "start: int = 0"]),
    "missing argument": (lambda: total(), ["missing a required argument: 'values'", "total(values: list[int]"]),
    "argument twice": (lambda: total([1], values=[2]), ["multiple values for argument 'values'"]),
    "a result that is none": (lambda: unannotated(log("x")), ["'log' returns nothing", ".using(after=['log'])"]),
    "a constant without a form": (lambda: unannotated(object()), ["a object cannot be a constant"]),
    "a function": (lambda: unannotated(len), ["cannot be a constant of a pipeline", "make it inside a step"]),
    "a step": (lambda: unannotated(load), ["cannot be a constant"]),
    "a result under a number": (lambda: unannotated({1: load()}), ["must have text as keys"]),
}


@pytest.mark.parametrize("case", CALLS_REFUSED)
def test_wrong_calls_are_refused_at_their_line(case: str) -> None:
    function, texts = CALLS_REFUSED[case]
    told = refusal(function)
    for text in texts:
        assert text in told
    assert "tests/unit/test_author_step.py:" in told


def test_the_line_is_the_authors_own() -> None:
    def flow() -> None:
        load()

        total(load(), begin=1)  # type: ignore[call-arg]

    assert line(flow, 3) in refusal(flow)


# ----------------------------------------------------------------------------------------------------- decoration


def test_options_are_checked_and_kept() -> None:
    @step(
        name="grow",
        resources=Resources(cpus=4, memory="16GiB"),
        retry=2,
        timeout="5m",
        env={"B": "2", "A": "1"},
        secrets=["KEY"],
        fresh="1d",
        effect="once",
        version="3",
        strict=True,
        priority=5,
        files=["x.json"],
        packages=["numpy"],
        limit="database",
        reuse=False,
    )
    def train() -> int:
        return 1

    node = draw(lambda: train()).nodes["grow"]
    options = node.options
    assert options.retry == Retry(2)
    assert options.timeout == 300
    assert options.fresh == 86400
    assert list(options.env) == ["A", "B"]
    assert (options.secrets, options.files, options.packages) == (("KEY",), ("x.json",), ("numpy",))
    assert (options.effect, options.version, options.strict, options.priority) == ("once", "3", True, 5)
    assert (options.limit, options.reuse, options.resources.cpus) == ("database", False, 4)


def test_using_changes_one_call_and_keeps_the_rest() -> None:
    special = load.using(backend="inline", retry=1).using(name="special", timeout=3)

    def flow() -> None:
        special(), load()

    nodes = draw(flow).nodes
    assert list(nodes) == ["special", "load"]
    assert (nodes["special"].options.backend, nodes["special"].options.retry.times) == ("inline", 1)
    assert nodes["special"].options.timeout == 3
    assert nodes["load"].options.backend is None


OPTIONS_REFUSED = {
    "unknown": ({"retires": 3}, ["no option 'retires'", "did you mean 'retry'?"]),
    "backend belongs to the profile": ({"backend": "dask"}, ["no option 'backend'", "step.using(backend=…)"]),
    "a wrong duration": ({"timeout": "soon"}, ["'timeout' cannot be this", "'soon'", '"5m"']),
    "a negative duration": ({"fresh": -1}, ["'fresh' cannot be this"]),
    "text for a list": ({"secrets": "KEY"}, ["'secrets' cannot be this", "a list of names"]),
    "a number for text": ({"version": 3}, ["'version' cannot be this", "str"]),
    "a wrong size": ({"resources": Resources(memory="big")}, ["'resources' cannot be this"]),
    "a wrong effect": ({"effect": "twice"}, ['"once" or None']),
    "a number in env": ({"env": {"A": 1}}, ["a mapping of text to text"]),
    "truth as a number": ({"priority": True}, ["'priority' cannot be this"]),
    "a negative retry": ({"retry": -1}, ["'retry' cannot be this"]),
}


@pytest.mark.parametrize("case", OPTIONS_REFUSED)
def test_wrong_options_are_refused_where_they_are_written(case: str) -> None:
    options, texts = OPTIONS_REFUSED[case]
    with pytest.raises(DefinitionError) as caught:
        step(**options)  # type: ignore[arg-type]
    for text in (*texts, "tests/unit/test_author_step.py:"):
        assert text in str(caught.value)


class Holder:
    def method(self, x: int) -> int:
        return x

    @classmethod
    def of_class(cls, x: int) -> int:
        return x

    @staticmethod
    def static(x: int) -> int:
        return x


def generator() -> Iterator[int]:
    yield 1


async def coroutine() -> int:
    return 1


async def async_generator():
    yield 1


def loads_per_letter(name: str) -> object:
    return load.map(over(name))  # type: ignore[type-var]


def test_a_parameter_that_is_no_list_cannot_be_mapped_over() -> None:
    assert "needs a list" in refusal(loads_per_letter)


STEPS_REFUSED = {
    "a generator": (generator, "it is a generator"),
    "an async function": (coroutine, "it is asynchronous"),
    "an async generator": (async_generator, "it is a generator"),
    "a lambda": (lambda x: x, "a lambda has no name"),
    "a class": (Trees, "it is a class"),
    "a method": (Holder.method, "it is a method"),
    "a bound method": (Holder().method, "it is a method"),
    "a class method": (Holder.of_class, "it is a method"),
    "a static method object": (Holder.__dict__["static"], "it is a method"),
    "a step": (load, "it is one already"),
    "a builtin": (len, "no Python source"),
    "a partial": (functools.partial(total.function, start=1), "has no name by which"),
    "a number": (3, "it cannot be called"),
    "a wrapped generator": (functools.wraps(generator)(lambda: None), "it is a generator"),
}


@pytest.mark.parametrize("case", STEPS_REFUSED)
def test_what_cannot_be_a_step_is_refused_with_the_reason(case: str) -> None:
    thing, reason = STEPS_REFUSED[case]
    with pytest.raises(DefinitionError) as caught:
        step(thing)  # type: ignore[call-overload]
    assert reason in str(caught.value)
    assert "tests/unit/test_author_step.py:" in str(caught.value)


def test_a_static_method_that_is_a_step_inside_works() -> None:
    class Flows:
        @staticmethod
        @step
        def load() -> int:
            return 1

    assert draw(lambda: Flows.load()).nodes["load"].call.endswith("Flows.load")  # type: ignore[union-attr]


# ------------------------------------------------------------------------------------------- other decorators


def doubled(function: Callable[..., int]) -> Callable[..., int]:
    @functools.wraps(function)
    def wrapper(*args: object, **kwargs: object) -> int:
        return 2 * function(*args, **kwargs)

    return wrapper


@step
@doubled
def below(x: int) -> int:
    return x


@step
@functools.cache
def cached(x: int) -> int:
    return x


@doubled
@step
def above(x: int) -> int:
    return x


def test_decorators_below_are_part_of_the_step() -> None:
    assert below(2) == 4
    assert function_of(below)(2) == 4
    nodes = draw(lambda: [below(1), cached(2)]).nodes
    assert nodes["below"].inputs == {"x": Const(1)}
    assert nodes["cached"].inputs == {"x": Const(2)}
    with pytest.raises(DefinitionError, match="signature"):
        draw(lambda: below(y=1))


def test_decorators_above_would_be_lost_on_the_worker_and_are_refused() -> None:
    assert "put @step above all other decorators" in refusal(lambda: above.__wrapped__(1))
    assert is_replaced(above.__wrapped__.function)
    assert not is_replaced(below.function)


def test_a_step_may_have_another_name_than_its_function() -> None:
    renamed = step(name="other")(plain)
    assert draw(lambda: renamed(1)).nodes["other"].call == f"{HERE}:plain"
    assert isinstance(renamed, Step)
    assert entry_of(renamed) == f"{HERE}:plain"


def plain(x: int) -> int:
    return x


@pipeline
def at_module_level() -> int:
    return total(load())


def test_compiled_carries_functions_and_lines() -> None:
    compiled = at_module_level.compile()
    assert compiled.functions == {"load": load.function, "total": total.function}
    assert compiled.sources["load"] == line(at_module_level.function, 2)
