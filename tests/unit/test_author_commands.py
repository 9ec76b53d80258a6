"""Commands: places, outputs, what a call draws, what is refused."""

# A pipeline may be drawn in a lambda, so that the line that is told is the author's.
# ruff: noqa: PLW0108

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

import pytest

from headwater import Dir, File, command, over, step
from headwater.author.pipeline import Pipeline
from headwater.errors import DefinitionError
from headwater.expr import Const, Data, Dict, Expr, Out, Param
from headwater.graph import Graph, Output

HERE = "tests.unit.test_author_commands"


class Fit(NamedTuple):
    model: Annotated[File, ".rds"]
    plots: Dir


@dataclass(frozen=True)
class Wrong:
    f1: float


@step
def raw() -> File:
    return File("x.csv")


@step
def number() -> int:
    return 1


@step
def use(x: object) -> None: ...


def draw(function: Callable[..., object]) -> Graph:
    return Pipeline(function).compile().definition.graph


def given(function: Callable[..., object]) -> Expr:
    return draw(lambda: use(function())).nodes["use"].inputs["x"]


def test_one_output_is_a_file() -> None:
    fit = command("Rscript model.R {data} {out} --depth '{n} cm'", outputs=".rds", files=["model.R"], env={"A": "1"})

    def flow(n: int) -> object:
        return fit(data=raw(), n=n)

    graph = draw(flow)
    node = graph.nodes["Rscript"]
    assert node.kind == "command"
    assert node.call == {
        "argv": ["Rscript", "model.R", "{data}", "{out}", "--depth", "{n} cm"],
        "shell": False,
        "files": ["model.R"],
        "stdout": None,
        "suffixes": {"out": ".rds"},
    }
    assert node.inputs == {"data": Out("raw"), "n": Param("n")}
    assert node.outputs == (Output("out", "file"),)
    assert node.whole is None
    assert node.options.env == {"A": "1"}
    assert graph.output == Out("Rscript", "out")


def test_several_outputs_are_a_dict() -> None:
    split = command(["cut", "{x}", "{a}", "{rest}"], outputs={"a": ".csv", "b": ".csv", "rest": "/"}, stdout="b")
    nodes = draw(lambda: split(x=File("x"))).nodes
    assert nodes["cut"].outputs == (Output("a", "file"), Output("b", "file"), Output("rest", "dir"))
    parts = {name: Out("cut", name) for name in ("a", "b", "rest")}
    assert given(lambda: split(x=File("x"))) == Dict(parts)
    assert given(lambda: split(x=File("x"))["a"]) == Out("cut", "a")


def test_outputs_may_be_the_fields_of_a_class() -> None:
    fit = command("fit {data} {model} {plots}", outputs=Fit)
    node = draw(lambda: fit(data=raw())).nodes["fit"]
    assert node.outputs == (Output("model", "file"), Output("plots", "dir"))
    assert node.whole == f"{HERE}:Fit"
    assert node.call["suffixes"] == {"model": ".rds", "plots": "/"}  # type: ignore[index, call-overload]
    assert given(lambda: fit(data=raw())) == Data(
        f"{HERE}:Fit", {"model": Out("fit", "model"), "plots": Out("fit", "plots")}, "named"
    )
    assert given(lambda: fit(data=raw()).plots) == Out("fit", "plots")


def test_a_command_may_give_nothing_and_go_through_the_shell() -> None:
    send = command("cat {x} | curl -T - ftp://example.org", name="send", shell=True, effect="once", secrets=["KEY"])
    node = draw(lambda: send(x=raw())).nodes["send"]
    assert node.outputs == ()
    assert node.call["argv"] == ["cat {x} | curl -T - ftp://example.org"]  # type: ignore[index, call-overload]
    assert node.call["shell"] is True  # type: ignore[index, call-overload]
    assert (node.options.effect, node.options.secrets) == ("once", ("KEY",))
    assert "'send' returns nothing" in refusal(lambda: use(send(x=raw())))


def test_commands_are_numbered_named_and_told_options_like_steps() -> None:
    count = command("wc -l {x}", name="count", outputs=".txt", stdout="out")

    def flow() -> None:
        a = count(x=raw())
        count(x=a)
        count.using(name="third", timeout="5s", after=["count"])(x=a)

    nodes = draw(flow).nodes
    assert list(nodes) == ["raw", "count", "count-2", "third"]
    assert nodes["third"].options.timeout == 5
    assert nodes["third"].after == ("count",)
    assert nodes["count-2"].line.startswith("tests/unit/test_author_commands.py:")


def test_braces_may_be_written() -> None:
    awk = command(["awk", "{{print $1}}", "{x}"], outputs=".txt", stdout="out")
    assert draw(lambda: awk(x=raw())).nodes["awk"].call["argv"] == ["awk", "{{print $1}}", "{x}"]  # type: ignore[index, call-overload]


def test_inputs_that_stand_nowhere_must_be_declared() -> None:
    run = command("make", inputs=["data"], outputs=".txt", stdout="out")
    assert draw(lambda: run(data=raw())).nodes["make"].inputs == {"data": Out("raw")}
    assert "has no input 'x'" in refusal(lambda: run(data=raw(), x=1))


def test_declared_types_are_checked() -> None:
    fit = command("fit {data} {n} {out}", outputs=".rds", inputs={"data": File, "n": int})
    node = draw(lambda: fit(data=raw(), n=3)).nodes["fit"]
    assert node.inputs == {"data": Out("raw"), "n": Const(3)}
    assert draw(lambda: fit(data=File("x"), n=number())).nodes["fit"].inputs["n"] == Out("number")
    assert "wants another type for 'data'" in refusal(lambda: fit(data=number(), n=1))
    assert "wants another type for 'n'" in refusal(lambda: fit(data=raw(), n="many"))


def refusal(function: Callable[..., object]) -> str:
    with pytest.raises(DefinitionError) as caught:
        draw(function)
    assert "tests/unit/test_author_commands.py:" in str(caught.value)
    return str(caught.value)


def test_wrong_calls_are_refused() -> None:
    count = command("wc {data} {out}", outputs=".txt")
    assert "did you mean 'data'?" in refusal(lambda: count(dat=raw()))
    assert "needs the input 'data'" in refusal(lambda: count())
    assert "takes its inputs by name" in refusal(lambda: count(raw()))  # type: ignore[arg-type]
    assert "hint: wc(data=…)" in refusal(lambda: count(raw(), data=1))  # type: ignore[arg-type]
    assert "a command cannot be mapped" in refusal(lambda: count(data=over([File("x")])))
    with pytest.raises(DefinitionError, match="only inside a @pipeline function"):
        count(data=File("x"))


COMMANDS_REFUSED: dict[str, tuple[Callable[[], object], list[str]]] = {
    "nothing": (lambda: command(""), ["needs a program"]),
    "nothing in a list": (lambda: command([]), ["needs a program"]),
    "a place nobody fills": (
        lambda: command("wc {dat} {out}", inputs=["data"], outputs=".txt"),
        ["has no input or output 'dat'", "did you mean 'data'?"],
    ),
    "an output nobody writes": (lambda: command("wc {x}", outputs=".txt"), ["never writes 'out'", 'stdout="out"']),
    "printing to nowhere": (lambda: command("wc {x}", stdout="out"), ["no output 'out' to print to"]),
    "a place that is no name": (lambda: command("wc {0}"), ["a place that is no name", "{name}"]),
    "a place with a format": (lambda: command("wc {x:>8}"), ["a place that is no name"]),
    "a brace left open": (lambda: command("awk {print"), ["a place that is no name", "{{ or }}"]),
    "outputs that are no files": (lambda: command("x {f1}", outputs=Wrong), ["'Wrong' cannot be the outputs"]),
    "an unknown option": (lambda: command("x", retires=1), ["no option 'retires'"]),  # type: ignore[call-overload]
    "files as text": (lambda: command("x", files="model.R"), ["'files' cannot be this"]),
}


@pytest.mark.parametrize("case", COMMANDS_REFUSED)
def test_commands_that_cannot_be_are_refused(case: str) -> None:
    make, texts = COMMANDS_REFUSED[case]
    with pytest.raises(DefinitionError) as caught:
        make()
    for text in (*texts, "tests/unit/test_author_commands.py:"):
        assert text in str(caught.value)


def test_what_a_worker_reads_is_what_is_drawn() -> None:
    from headwater.worker.command import command_of

    fit: Any = command("Rscript model.R {data} {out}", outputs=".rds", files=["model.R"])
    spec = command_of(draw(lambda: fit(data=raw())).nodes["Rscript"].call)  # type: ignore[arg-type]
    assert spec.argv == ("Rscript", "model.R", "{data}", "{out}")
    assert (spec.suffixes, spec.stdout, spec.shell) == ({"out": ".rds"}, None, False)
