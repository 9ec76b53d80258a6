"""What a step returned against what it declares, inside containers and records too."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypeVar

import numpy as np
import pytest

from headwater.worker.failure import AttemptFailed
from headwater.worker.returned import check_returned

T = TypeVar("T")


@dataclass(frozen=True)
class Row:
    when: int
    note: str = None  # type: ignore[assignment]  # widespread, and meant


@dataclass(frozen=True)
class Report:
    rows: list[Row]
    mean: float = 0.0
    array: np.ndarray = field(default_factory=lambda: np.zeros(1))


@dataclass(frozen=True)
class Chain:
    next: Chain | None
    number: int = 0


@dataclass(frozen=True)
class Box(Generic[T]):
    content: T


class Pair(NamedTuple):
    a: float
    b: str = "b"


def judged(declared: Any, result: object) -> str:
    def step():
        raise NotImplementedError

    step.__annotations__["return"] = declared
    try:
        check_returned(step, result)
    except AttemptFailed as wrong:
        return wrong.failure.message.partition(": mend")[0]
    return ""


@pytest.mark.parametrize(
    ("declared", "result", "told"),
    [
        (list[int], ["a"], "[0]: declared int, returned str"),
        (dict[str, float], {"a": "b"}, "['a']: declared float, returned str"),
        (dict[str, float], {3: 1.0}, "key 3: declared str, returned int"),
        (set[int], {"a"}, "{…}: declared int, returned str"),
        (tuple[int, ...], (1, None), "[1]: declared int, returned None"),
        (tuple[int, str], (1, 2), "[1]: declared str, returned int"),
        (tuple[int, str], (1, "a", 2), "declared tuple[int, str], returned a tuple of 3"),
        (list[int] | None, [1, "a"], "[1]: declared int, returned str"),
        (list[int | None], ["a"], "[0]: declared int | None, returned str"),
        (dict[str, list[tuple[int, float]]], {"k": [(1, 2), (1, "x")]}, "['k'][1][1]: declared float, returned str"),
        (Row, Row("x", "y"), ".when: declared int, returned str"),  # type: ignore[arg-type]
        (Pair, Pair(1.0, 3), ".b: declared str, returned int"),  # type: ignore[arg-type]
        (Report, Report([Row(1), Row("x")]), ".rows[1].when: declared int, returned str"),  # type: ignore[arg-type]
        (list[Row], [None], "[0]: declared Row, returned None"),
        (Chain, Chain(Chain(None, "x")), ".next.number: declared int, returned str"),  # type: ignore[arg-type]
        (Annotated[list[int], "remark"], ["a"], "[0]: declared int, returned str"),
    ],
)
def test_what_is_inside_is_looked_at(declared: Any, result: object, told: str) -> None:
    assert judged(declared, result) == told


@pytest.mark.parametrize(
    ("declared", "result"),
    [
        (list[float], [1, 2.0, True]),
        (list[int], [True, np.int64(3)]),
        (list[Any], [1, "a"]),
        (list[T], ["a", 1]),  # type: ignore[valid-type]
        (list, ["a", 1]),
        (dict[str, Literal["a"]], {"a": "b"}),
        (tuple[int, str], (1, "a")),
        (tuple[()], ()),
        (list[int] | list[str], ["a"]),
        (dict[str, np.ndarray], {"a": np.zeros(2)}),
        (Report, Report([Row(1)], mean=1)),
        (Box[int], Box("a")),
        (Pair, Pair(1)),
    ],
)
def test_what_is_as_good_or_cannot_be_told_passes(declared: Any, result: object) -> None:
    assert judged(declared, result) == ""


def test_a_result_that_holds_itself_is_left_to_the_codecs() -> None:
    chain = Chain(None)
    object.__setattr__(chain, "next", chain)
    assert judged(Chain, chain) == ""
