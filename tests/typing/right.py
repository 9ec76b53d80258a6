"""Lines that must type-check, and the types that they must have: a call of a step is typed as if it had run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, NamedTuple, TypeVar, assert_type

from headwater import (
    Dir,
    File,
    Resources,
    Retry,
    all_of,
    any_of,
    codec,
    command,
    either,
    fail,
    is_in,
    not_,
    notify,
    otherwise,
    over,
    pipeline,
    register,
    step,
    when,
)

T = TypeVar("T")


@dataclass(frozen=True)
class Report:
    """Several outputs."""

    f1: float
    plot: File


class Halves(NamedTuple):
    """Several outputs by place."""

    left: list[int]
    right: bytes


class Fit(NamedTuple):
    """Outputs of a command."""

    model: Annotated[File, ".rds"]
    plots: Dir


@step
def load(name: str = "a", /, *, size: int = 3) -> list[int]:
    """Take a name by place and a size by name."""
    return [len(name)] * size


@step(retry=3, timeout="5m", resources=Resources(cpus=2), env={"A": "1"}, secrets=["KEY"], fresh="1d", strict=True)
def total(values: list[int], start: int = 0) -> int:
    """Add up."""
    return sum(values, start)


@step(retry=Retry(3, wait="10s"), version="3", priority=1, files=["x"], packages=["numpy"], limit="db", reuse=False)
def measure(x: int) -> Report:
    """Measure."""
    return Report(float(x), File.new("plot.png"))


@step
def halve(values: list[int]) -> Halves:
    """Halve."""
    return Halves(values, b"")


@step
def pair(x: int) -> tuple[int, str]:
    """Give two."""
    return x, "a"


@step
def pickled() -> Annotated[set[int], codec("pickle")]:
    """Give what has a codec of its own."""
    return {1}


@step(effect="once")
def send(report: Report) -> None:
    """Do something to the outside."""


@step
def first(values: list[T]) -> T:
    """Keep the type of an element."""
    return values[0]


fit = command("Rscript model.R {data} {out}", outputs=".rds", files=["model.R"], name="fit")
split = command("split {x} {a} {b}", outputs={"a": ".csv", "b": ".csv"})
both = command("fit {data} {model} {plots}", outputs=Fit, inputs={"data": File})
upload = command("curl -T {x} ftp://example.org", effect="once")


@pipeline
def inner(x: int, *, low: float = 0.5) -> Report:
    """Be inlined."""
    report = measure(x)
    with when(report.f1 < low):
        fail("too low")
    return report


@pipeline(name="outer")
def outer(name: str = "a", go: bool = True) -> tuple[Report, list[int]]:
    """Use everything."""
    values = load(name)
    assert_type(values, list[int])
    assert_type(total(values, start=1), int)
    assert_type(load.map(over(["a", "b"]), size=3), list[list[int]])
    sums = total.map(over(load.map(over(["a", "b"]))), start=over([1, 2]))
    assert_type(sums, list[int])
    x, text = pair(first(sums))
    assert_type(x, int)
    assert_type(text, str)
    left, _ = halve(values)
    assert_type(left, list[int])
    assert_type(pickled(), set[int])
    assert_type(first(["a"]), str)
    report = measure.using(backend="inline", name="special", after=[left])(x)
    assert_type(report, Report)
    assert_type(inner(3, low=0.1), Report)
    with when(all_of(report.f1 > 0.5, any_of(go, is_in(text, ["c"]), not_(text == "b"))), name="good") as good:
        register(report.plot, name="plot", metrics={"f1": report.f1})
        register.using(backend="inline")(report.plot, name="plot")
        a = measure(1)
        send(a)
    with otherwise(good):
        notify("bad", report)
        b = measure(2)
    assert_type(either(good, a, b), Report)
    assert_type(fit(data=report.plot), File)
    assert_type(split(x=report.plot)["a"], File)
    assert_type(both(data=report.plot).plots, Dir)
    upload.using(timeout=3)(x=report.plot)
    return either(good, a, b), sums


assert_type(total([1, 2]), int)
assert_type(total.map(over([[1]])), list[int])
