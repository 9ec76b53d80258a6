"""Pipelines: the documented example, names, inlining, what is stable, parameters from the signature."""

# A pipeline may be drawn in a lambda, so that the line that is told is the author's; File(...) may be a default.
# ruff: noqa: PLW0108, B008

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import Enum
from pathlib import Path
from typing import Any, Literal

import pytest

from headwater import Dir, File, over, pipeline, step, when
from headwater.author.pipeline import Pipeline
from headwater.author.refs import Ref
from headwater.errors import DefinitionError, ParameterError
from headwater.expr import Compare, Const, Data, Dict, Gather, Out, Param, Seq
from headwater.graph import Graph, Guard
from tests.typing.flights import flights

HERE = "tests.unit.test_author_pipeline"


class Color(Enum):
    RED = 1
    BLUE = 2


@dataclass(frozen=True)
class Trees:
    depth: int
    seed: int = 0
    rates: tuple[float, ...] = (0.1,)
    names: list[str] = field(default_factory=list)


@step
def load(name: str = "a") -> list[int]:
    return [len(name)]


@step
def total(values: list[int]) -> int:
    return sum(values)


@pipeline
def inner(name: str = "x", limit: int = 3) -> int:
    if isinstance(limit, Ref) or limit > 2:
        return total(load(name))
    return total([limit])


def draw(function: Callable[..., object]) -> Graph:
    return Pipeline(function).compile().definition.graph


def refusal(function: Callable[..., object]) -> str:
    with pytest.raises(DefinitionError) as caught:
        draw(function)
    return str(caught.value)


# ------------------------------------------------------------------------------------------------ the example


def test_the_documented_pipeline_draws_the_documented_graph() -> None:
    compiled = flights.compile()
    graph = compiled.definition.graph
    kinds = {name: node.kind for name, node in graph.nodes.items()}
    assert kinds == {
        "fetch": "function",
        "clean": "function",
        "train": "function",
        "best": "function",
        "evaluate": "function",
        "when": "condition",
        "register": "register",
        "notify": "notify",
    }
    assert graph.nodes["train"].inputs == {"data": Out("clean")}
    assert list(graph.nodes["train"].over) == ["trees"]
    assert graph.nodes["best"].inputs == {"models": Gather("train"), "data": Out("clean")}
    assert graph.nodes["when"].call == Compare(">=", Out("evaluate", "f1"), Param("min_f1"))
    assert graph.nodes["register"].guards == (Guard("when", expected=True),)
    assert graph.nodes["notify"].guards == (Guard("when", expected=False),)
    assert isinstance(graph.output, Data)
    assert set(compiled.functions) == {"fetch", "clean", "train", "best", "evaluate"}
    assert compiled.definition.doc.startswith("Train on a month of flights")
    lines = list(compiled.sources.values())
    assert all(line.startswith("tests/typing/flights.py:") for line in lines)
    assert len(set(lines)) == 7  # `clean(fetch(month))` stands in one line


# ----------------------------------------------------------------------------------------------------- names


def test_steps_called_several_times_are_numbered() -> None:
    def flow() -> None:
        load(), load(), load.using(name="load-3")(), load()

    assert list(draw(flow).nodes) == ["load", "load-2", "load-3", "load-4"]


def test_an_explicit_name_taken_twice_is_refused_with_both_lines() -> None:
    def flow() -> None:
        load.using(name="a")()
        load.using(name="a")()

    told, first = refusal(flow), flow.__code__.co_firstlineno
    assert "two steps have the name 'a'" in told
    assert f"first   tests/unit/test_author_pipeline.py:{first + 1}" in told
    assert f"second  tests/unit/test_author_pipeline.py:{first + 2}" in told


@pytest.mark.parametrize("name", ["a b", "a/b", "train[0]", "naïve", ""])
def test_names_that_cannot_be_are_refused(name: str) -> None:
    assert "cannot be the name of a step" in refusal(lambda: load.using(name=name)())


# -------------------------------------------------------------------------------------------------- inlining


def test_a_pipeline_inside_another_is_inlined_under_its_name() -> None:
    def flow(name: str, go: bool) -> object:
        a = inner(name)
        with when(go):
            b = inner(limit=1)
            total([b])
        return [a, inner("z")]

    graph = draw(flow)
    assert list(graph.nodes) == [
        "inner/load",
        "inner/total",
        "when",
        "inner-2/total",
        "total",
        "inner-3/load",
        "inner-3/total",
    ]
    assert graph.nodes["inner/load"].inputs == {"name": Param("name")}
    assert graph.nodes["inner-2/total"].inputs == {"values": Const([1])}
    assert graph.nodes["inner-2/total"].guards == (Guard("when", expected=True),)
    assert graph.nodes["inner-3/load"].inputs == {"name": Const("z")}
    assert graph.output == Seq("list", (Out("inner/total"), Out("inner-3/total")))


def test_order_by_name_inside_an_inlined_pipeline_is_its_own() -> None:
    @pipeline
    def two() -> None:
        load()
        total.using(after=["load"])([1])

    assert draw(lambda: two()).nodes["two/total"].after == ("two/load",)


def test_a_pipeline_that_calls_itself_is_refused() -> None:
    @pipeline
    def loop() -> None:
        loop()

    with pytest.raises(DefinitionError, match="pipeline 'loop' calls itself"):
        draw(lambda: loop())


def test_a_wrong_call_of_an_inner_pipeline_is_refused() -> None:
    assert "did you mean 'limit'?" in refusal(lambda: inner(limt=1))  # type: ignore[call-arg]


def test_a_pipeline_is_not_called_but_run() -> None:
    with pytest.raises(DefinitionError) as caught:
        inner()
    assert "pipeline 'inner' is not called but run" in str(caught.value)
    assert "inner.run(…)" in str(caught.value)


# ----------------------------------------------------------------------------------------------------- output


def test_any_nest_may_be_returned() -> None:
    def flow(n: int) -> object:
        return {"a": (load(), n), "b": [Trees(n), File("x.csv")]}

    output = draw(flow).output
    assert isinstance(output, Dict)
    assert output.items["a"] == Seq("tuple", (Out("load"), Param("n")))


def test_every_drawn_step_is_kept() -> None:
    assert list(draw(lambda: (load(), None)[1]).nodes) == ["load"]


# -------------------------------------------------------------------------------------------------- stability

SOURCE = """
{top}
from headwater import pipeline, step
@step
def a(x: int = 1) -> int:
    {inside}
    return x
@pipeline
def flow(n: int = 2) -> int:
    {doc}
    return a(n)
"""


def digest_of(tmp_path: Path, name: str, **parts: str) -> str:
    folder = tmp_path / name
    folder.mkdir()
    (folder / "flow.py").write_text(SOURCE.format_map({"top": "", "inside": "", "doc": "", **parts}))
    code = "import flow; d = flow.flow.compile().definition; print(d.digest)"
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_comments_docstrings_and_lines_make_no_new_definition(tmp_path: Path) -> None:
    plain = digest_of(tmp_path, "plain")
    assert digest_of(tmp_path, "moved", top="# one\n\n# two", inside="# inside", doc='"""What it does."""') == plain


def test_a_pipeline_run_as_a_script_has_the_definition_of_its_import(tmp_path: Path) -> None:
    plain = digest_of(tmp_path, "plain")
    script = tmp_path / "plain/flow.py"
    script.write_text(
        script.read_text() + "\nif __name__ == '__main__':\n    print(flow.compile().definition.digest)\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == plain


def test_drawing_imports_nothing_heavy(tmp_path: Path) -> None:
    (tmp_path / "flow.py").write_text(SOURCE.format(top="", inside="", doc=""))
    heavy = ["dask", "distributed", "pyarrow", "fsspec", "numpy", "pandas", "structlog", "asyncio"]
    code = f"import sys, flow; flow.flow.compile(); print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# ------------------------------------------------------------------------------------------------- parameters


def parameters(function: Callable[..., object]) -> dict[str, tuple[object, bool, object]]:
    return {each.name: (each.type, each.required, each.default) for each in Pipeline(function).parameters()}


def test_parameters_are_those_of_the_signature() -> None:
    def flow(
        month: str,
        when: date,
        at: datetime | None = None,
        *,
        low: float = 1,
        color: Color = Color.RED,
        mode: Literal["fast", 2, True] = "fast",
        sizes: list[int] = [1, 2],  # noqa: B006
        trees: Trees = Trees(4),
        raw: File = File("raw.csv"),
        plain="x",
    ) -> None: ...

    trees = {
        "$": "data",
        "t": f"{HERE}:Trees",
        "v": {"depth": 4, "seed": 0, "rates": {"$": "tuple", "v": [0.1]}, "names": []},
    }
    assert parameters(flow) == {
        "month": ({"type": "string"}, True, None),
        "when": ({"type": "string", "format": "date"}, True, None),
        "at": ({"anyOf": [{"type": "string", "format": "date-time"}, {"type": "null"}]}, False, None),
        "low": ({"type": "number"}, False, 1.0),
        "color": (
            {"enum": ["RED", "BLUE"], "python": f"{HERE}:Color"},
            False,
            {"$": "enum", "t": f"{HERE}:Color", "v": "RED"},
        ),
        "mode": ({"enum": ["fast", 2, True]}, False, "fast"),
        "sizes": ({"type": "array", "items": {"type": "integer"}}, False, [1, 2]),
        "trees": (
            {
                "type": "object",
                "properties": {
                    "depth": {"type": "integer"},
                    "seed": {"type": "integer", "default": 0},
                    "rates": {
                        "type": "array",
                        "items": {"type": "number"},
                        "python": "tuple",
                        "default": {"$": "tuple", "v": [0.1]},
                    },
                    "names": {"type": "array", "items": {"type": "string"}, "default": []},
                },
                "required": ["depth"],
                "python": f"{HERE}:Trees",
            },
            False,
            trees,
        ),
        "raw": ({"type": "string", "format": "file"}, False, {"$": "file", "path": "raw.csv"}),
        "plain": ({"type": "string"}, False, "x"),
    }
    assert isinstance(parameters(flow)["low"][2], float)


PARAMETERS_REFUSED: dict[str, tuple[Callable[..., object], list[str]]] = {}


def refused(*texts: str) -> Callable[[Callable[..., object]], Callable[..., object]]:
    def note(function: Callable[..., object]) -> Callable[..., object]:
        PARAMETERS_REFUSED[function.__name__] = (function, list(texts))
        return function

    return note


@refused("parameter 'x' needs a type", "write x: str")
def untyped(x): ...


@refused("parameter 'x' cannot be of type 'Path'", "str, int, float")
def path(x: Path): ...


@refused("parameter 'x' cannot be of type 'dict[str, int]'")
def mapping(x: dict[str, int]): ...


@refused("parameter 'x' cannot be of type 'int | str'")
def union(x: int | str): ...


@refused("the default of parameter 'x' is not of its type", "'a'", "an integer")
def wrong_default(x: int = "a"): ...  # type: ignore[assignment]


@refused("cannot take '*names")
def rest(*names: str): ...


@refused("cannot take '**names")
def keywords(**names: str): ...


@pytest.mark.parametrize("case", PARAMETERS_REFUSED)
def test_parameters_that_cannot_be_given_are_refused(case: str) -> None:
    function, texts = PARAMETERS_REFUSED[case]
    told = refusal(function)
    for text in (*texts, f"tests/unit/test_author_pipeline.py:{function.__code__.co_firstlineno}"):
        assert text in told


def test_fields_and_elements_of_parameters_are_data() -> None:
    def flow(trees: Trees, names: list[str], raw: Dir) -> object:
        load.map(over(names))
        return [trees.depth, names[0], raw]

    assert draw(flow).output == Seq("list", (Param("trees", ("depth",)), Param("names", (0,)), Param("raw")))


def test_the_definition_does_not_depend_on_values() -> None:
    def flow(n: int) -> object:
        return total([n])

    assert draw(flow).nodes["total"].inputs == {"values": Seq("list", (Param("n"),))}


# ------------------------------------------------------------------------------------------------ decoration


def yields():
    yield load()


async def waits(): ...


@pytest.mark.parametrize(
    ("thing", "name", "text"),
    [
        (yields, None, "nothing in it would be called"),
        (waits, None, "nothing in it would be called"),
        (load, None, "it is no function"),
        (Trees, None, "it is no function"),
        (lambda: None, None, "'<lambda>' cannot be the name of a pipeline"),
        (lambda: None, "a/b", "'a/b' cannot be the name of a pipeline"),
    ],
)
def test_what_cannot_be_a_pipeline_is_refused(thing: Any, name: str | None, text: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        pipeline(name=name)(thing)
    assert text in str(caught.value)
    assert "tests/unit/test_author_pipeline.py:" in str(caught.value)


def test_a_pipeline_may_have_another_name_than_its_function() -> None:
    assert pipeline(name="nightly-flights")(lambda: None).compile().definition.name == "nightly-flights"


# ------------------------------------------------------------------------------------------------ delegation


Asked = list[tuple[str, object, dict[str, object], dict[str, object]]]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """Note what a workspace is asked, and the options that it was made with; nothing is opened."""
    from headwater.workspace import Workspace

    calls: Asked = []
    made = Workspace.__init__

    def init(self: Workspace, **options: Any) -> None:
        made(self, **options)
        self.made_with = options  # type: ignore[attr-defined]

    init.__signature__ = inspect.signature(made)  # type: ignore[attr-defined]
    monkeypatch.setattr(Workspace, "__init__", init)
    for verb in ("plan", "run"):
        monkeypatch.setattr(
            Workspace,
            verb,
            lambda self, target, /, verb=verb, **values: calls.append((verb, target, values, self.made_with)),
        )
    return calls


def test_options_of_the_engine_stand_beside_parameters(asked: Asked) -> None:
    inner.run(name="b", store="here", profile="cloud")
    inner.plan(limit=2)
    assert asked == [
        ("run", inner, {"name": "b"}, {"store": "here", "profile": "cloud"}),
        ("plan", inner, {"limit": 2}, {}),
    ]


def test_a_parameter_goes_before_an_option_of_the_engine(asked: Asked) -> None:
    @pipeline
    def flow(store: str) -> None: ...

    flow.run(store="corner shop", backend="inline")
    assert asked == [("run", flow, {"store": "corner shop"}, {"backend": "inline"})]


@pytest.mark.usefixtures("asked")
def test_what_is_neither_is_refused() -> None:
    with pytest.raises(ParameterError) as caught:
        inner.run(nme="b")
    assert "did you mean 'name'?" in str(caught.value)
