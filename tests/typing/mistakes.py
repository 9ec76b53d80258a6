"""Lines that must not type-check: each with ``# wrong`` is found by both checkers, and no other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from headwater import (
    Dir,
    File,
    command,
    either,
    notify,
    over,
    pipeline,
    register,
    step,
    when,
)
from tests.typing.flights import Report, Trees, best, clean, evaluate, fetch, flights, train


@dataclass(frozen=True)
class Other:
    """Not what is asked for."""

    x: int


# The seven of the documentation: wrong type to a step, wrong type to a parameter's dataclass, a misspelt keyword, a
# wrong element in `over`, the artifact of the wrong step, a wrong parameter of a pipeline, an unknown attribute.
@pipeline
def seven(month: str = "2026-01") -> Report:
    """Hold the planted mistakes."""
    clean(7)  # wrong
    trees = Trees("deep")  # wrong
    data = clean(fetch(month), drop_canceled=True)  # wrong
    models = train.map(data, over([4, 8]))  # wrong
    model = best(models, data)
    report = evaluate(fetch(month), data)  # wrong
    with when(report.f2 >= 0.8):  # wrong
        notify("good", [trees, model])
    return report


@pipeline
def outer() -> None:
    """Call another pipeline."""
    flights(month=2)  # wrong
    flights("2026-01", 0.5, 3)  # wrong


@step(retires=3)  # wrong
def unknown_option() -> int:
    """Misspell an option."""
    return 1


@step(retry="often")  # wrong
def wrong_option() -> int:
    """Give an option a wrong type."""
    return 1


fit = command("fit {data} {out}", outputs=".rds")


@pipeline
def more(month: str, go: bool) -> File:
    """Hold the rest."""
    data: pa.Table = clean(fetch(month))
    files: list[File] = train.map(data, over([Trees(4)]))
    file: File = train.map(data, over([Trees(4)]))  # wrong
    train.using(backend=3)(data, Trees(4))  # wrong
    train.using(colour="red")(data, Trees(4))  # wrong
    train.map(data)  # wrong
    folder: Dir = fit(data=files[0])  # wrong
    register(files[0])  # wrong
    register(files[0], name=3)  # wrong
    notify(3)  # wrong
    with when(3):  # wrong
        pass
    with when(go) as good:
        pass
    number: int = either(good, "a", "b")  # wrong
    either(True, 1, 2)  # wrong
    over(3)  # wrong
    return number or folder or file  # wrong


if TYPE_CHECKING:
    flights.compile(month="2026-01")  # wrong
    fetch.name = "other"  # wrong
