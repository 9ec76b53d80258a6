"""Parameters from text, files and Python: what is taken, what is refused, and how that is told."""

# Files may be defaults, and parameters may be naive times: both are what is tested.
# ruff: noqa: B008, DTZ001

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from enum import Enum
from pathlib import Path
from typing import Literal

import pytest

from headwater import Dir, File
from headwater.author.pipeline import Pipeline
from headwater.errors import ParameterError
from headwater.graph import Parameter
from headwater.parameters import describe_type, from_text, from_value, read_file, resolve
from headwater.values import from_json, to_json

HERE = "tests.unit.test_parameters"


class Color(Enum):
    RED = 1
    BLUE = 2


@dataclass(frozen=True)
class Trees:
    depth: int
    seed: int = 0
    rate: float = 0.1


@dataclass(frozen=True)
class Model:
    trees: Trees
    color: Color = Color.RED
    note: str | None = None


def flow(
    text: str = "",
    count: int = 0,
    share: float = 0.0,
    go: bool = False,
    day: date = date(2026, 1, 1),
    at: datetime = datetime(2026, 1, 1),
    color: Color = Color.RED,
    mode: Literal["fast", "2", 2, True] = "fast",
    maybe: int | None = None,
    sizes: list[int] = [],  # noqa: B006
    rates: tuple[float, ...] = (),
    words: list[str | None] = [],  # noqa: B006
    trees: Trees = Trees(4),
    model: Model = Model(Trees(1)),
    forest: list[Trees] = [],  # noqa: B006
    raw: File = File("raw.csv"),
    folder: Dir = Dir("data/"),
) -> None: ...


def parameters(function: Callable[..., object] = flow) -> dict[str, Parameter]:
    return {each.name: each for each in Pipeline(function).parameters()}


ALL = parameters()


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("text", "a = b", "a = b"),
        ("text", "", ""),
        ("count", "8", 8),
        ("count", "-1_000", -1000),
        ("count", str(2**70), 2**70),
        ("share", "8", 8.0),
        ("share", "1e-3", 0.001),
        ("share", "inf", float("inf")),
        ("go", "yes", True),
        ("go", "True", True),
        ("go", "off", False),
        ("go", "0", False),
        ("day", "2026-02-03", date(2026, 2, 3)),
        ("at", "2026-02-03T04:05:06", datetime(2026, 2, 3, 4, 5, 6)),
        ("at", "2026-02-03", datetime(2026, 2, 3)),
        ("color", "BLUE", Color.BLUE),
        ("mode", "fast", "fast"),
        ("mode", "true", True),
        ("mode", "2", "2"),
        ("maybe", "3", 3),
        ("maybe", "None", None),
        ("maybe", "null", None),
        ("sizes", "4,8", [4, 8]),
        ("sizes", "4", [4]),
        ("sizes", "", []),
        ("sizes", "[4, 8]", [4, 8]),
        ("rates", "0.1, 2", (0.1, 2.0)),
        ("words", "a,none", ["a", None]),
        ("trees", '{"depth": 8}', Trees(8)),
        ("trees", '{"depth": 8, "rate": 1}', Trees(8, 0, 1.0)),
        ("model", '{"trees": {"depth": 2}, "color": "BLUE"}', Model(Trees(2), Color.BLUE)),
        ("forest", '[{"depth": 1}, {"depth": 2}]', [Trees(1), Trees(2)]),
    ],
)
def test_text(name: str, text: str, expected: object) -> None:
    tree = from_text(ALL[name], text)
    assert tree == to_json(expected)
    value = from_json(tree)
    assert value == expected
    assert type(value) is type(expected)


def test_files_and_folders_are_named_by_their_path() -> None:
    assert from_text(ALL["raw"], "x.csv") == {"$": "file", "path": "x.csv"}
    assert from_text(ALL["folder"], "s3://bucket/data") == {"$": "dir", "path": "s3://bucket/data"}
    assert from_value(ALL["raw"], Path("x.csv")) == {"$": "file", "path": "x.csv"}
    assert from_value(ALL["raw"], File("https://example.org/x.csv")) == {
        "$": "file",
        "path": "https://example.org/x.csv",
    }
    assert ALL["raw"].default == {"$": "file", "path": "raw.csv"}


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("share", 8, 8.0),
        ("day", "2026-02-03", date(2026, 2, 3)),
        ("day", date(2026, 2, 3), date(2026, 2, 3)),
        ("at", datetime(2026, 2, 3), datetime(2026, 2, 3)),
        ("at", date(2026, 2, 3), datetime(2026, 2, 3)),
        ("color", Color.BLUE, Color.BLUE),
        ("color", "BLUE", Color.BLUE),
        ("mode", 2, 2),
        ("maybe", None, None),
        ("sizes", (1, 2), [1, 2]),
        ("rates", [1, 2], (1.0, 2.0)),
        ("trees", Trees(1, 2, 3), Trees(1, 2, 3.0)),
        ("trees", {"depth": 1}, Trees(1)),
        ("model", Model(Trees(1), Color.BLUE, "x"), Model(Trees(1), Color.BLUE, "x")),
        ("forest", [Trees(1), {"depth": 2}], [Trees(1), Trees(2)]),
    ],
)
def test_values_of_python_json_and_toml(name: str, value: object, expected: object) -> None:
    tree = from_value(ALL[name], value)
    assert from_json(tree) == expected
    assert tree == to_json(from_json(tree))


@pytest.mark.parametrize(
    ("name", "text", "texts"),
    [
        ("count", "eight", ["parameter 'count' cannot be 'eight'", "an integer"]),
        ("count", "8.0", ["an integer"]),
        ("count", "", ["an integer"]),
        ("share", "much", ["a number"]),
        ("go", "maybe", ["true or false"]),
        ("day", "2026-13-01", ["a date such as 2026-01-31"]),
        ("at", "noon", ["a time such as"]),
        ("color", "BLU", ["one of RED, BLUE", "did you mean 'BLUE'?"]),
        ("mode", "slow", ["one of fast, 2, 2, true"]),
        ("maybe", "x", ["an integer, or none"]),
        ("sizes", "4,x", ["'x'", "an integer"]),
        ("sizes", "[4, 'x']", ["a list: each an integer"]),
        ("sizes", "[4, 0.5]", ["parameter 'sizes[1]' cannot be 0.5"]),
        ("trees", "8", ["depth (an integer)"]),
        ("trees", "depth:8", ["write it as JSON, or set single fields"]),
        ("trees", "{}", ["needs a value for 'depth'"]),
        ("trees", '{"depth": "8"}', ["parameter 'trees.depth' cannot be '8'"]),
        ("trees", '{"depht": 8}', ["did you mean 'depth'?"]),
        ("forest", '[{"depth": 1}, {"depth": null}]', ["parameter 'forest[1].depth' cannot be None"]),
        ("raw", "", ["the path of a file"]),
    ],
)
def test_wrong_text_is_told_with_what_is_allowed(name: str, text: str, texts: list[str]) -> None:
    with pytest.raises(ParameterError) as caught:
        from_text(ALL[name], text)
    for each in texts:
        assert each in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("text", 1),
        ("count", True),
        ("count", 1.0),
        ("count", "1"),
        ("share", "1"),
        ("share", True),
        ("go", 1),
        ("day", datetime(2026, 1, 1)),
        ("day", 20260101),
        ("mode", 1),
        ("color", 1),
        ("sizes", {1, 2}),
        ("sizes", "12"),
        ("trees", Model(Trees(1))),
        ("trees", [4]),
        ("raw", 1),
        ("text", None),
    ],
)
def test_wrong_values_are_refused(name: str, value: object) -> None:
    with pytest.raises(ParameterError, match=f"parameter '{name}' cannot be"):
        from_value(ALL[name], value)


# ---------------------------------------------------------------------------------------------- all together


def small(
    month: str, depth: int = 4, trees: Trees = Trees(4, 7), model: Model = Model(Trees(1)), maybe: Trees | None = None
): ...


SMALL = parameters(small)


def values(**given: object) -> dict[str, object]:
    return {name: from_json(tree) for name, tree in resolve(SMALL, **given).items()}  # type: ignore[arg-type]


def test_words_go_before_values_before_the_file_before_defaults() -> None:
    defaults = {"depth": 4, "trees": Trees(4, 7), "model": Model(Trees(1)), "maybe": None}
    assert values(words=["month=2026-02"]) == {**defaults, "month": "2026-02"}
    given = values(
        words=["month=w"], values={"month": "v", "depth": 5}, file={"month": "f", "depth": 6, "trees": {"depth": 1}}
    )
    assert given == {**defaults, "month": "w", "depth": 5, "trees": Trees(1)}


def test_single_fields_keep_the_others() -> None:
    assert values(words=["month=", "trees.depth=8"])["trees"] == Trees(8, 7)
    assert values(words=["month=", "trees.seed=1", "trees.depth=8"])["trees"] == Trees(8, 1)
    assert values(words=["month=", "trees.seed=1"], values={"trees": Trees(2)})["trees"] == Trees(2, 1)
    assert values(words=["month=", "model.trees.seed=5", "model.color=BLUE"])["model"] == Model(Trees(1, 5), Color.BLUE)
    assert values(words=["month=", "maybe.depth=3"])["maybe"] == Trees(3)


@pytest.mark.parametrize(
    ("given", "texts"),
    [
        ({}, ["parameter 'month' has no value", "text", "give it: month=…"]),
        ({"words": ["mnth=1"]}, ["no parameter 'mnth'", "did you mean 'month'?", "month, depth"]),
        ({"values": {"x": 1}}, ["no parameter 'x'"]),
        ({"file": {"deph": 1}}, ["did you mean 'depth'?"]),
        ({"words": ["month"]}, ["'month' is no parameter", "name=value"]),
        ({"words": ["month=", "trees.dept=8"]}, ["parameter 'trees' has no field 'dept'", "did you mean 'depth'?"]),
        ({"words": ["month=", "depth.x=8"]}, ["parameter 'depth' has no field 'x'"]),
        ({"words": ["month=", "model.trees.depth=x"]}, ["cannot be 'x'", "an integer"]),
        ({"words": ["month=", "maybe.seed=3"]}, ["needs a value for 'depth'"]),
    ],
)
def test_what_is_wrong_is_told_by_name(given: dict[str, object], texts: list[str]) -> None:
    with pytest.raises(ParameterError) as caught:
        resolve(SMALL, **given)  # type: ignore[arg-type]
    for text in texts:
        assert text in str(caught.value)


def test_files_of_parameters(tmp_path: Path) -> None:
    toml, plain = tmp_path / "p.toml", tmp_path / "p.json"
    toml.write_text('month = "2026-02"\n[trees]\ndepth = 8\n')
    plain.write_text(json.dumps({"month": "2026-02", "trees": {"depth": 8}}))
    assert read_file(toml) == read_file(plain)
    assert values(file=read_file(toml))["trees"] == Trees(8)


@pytest.mark.parametrize(
    ("name", "text"), [("p.toml", "month = "), ("p.json", "{"), ("p.json", "[1]"), ("p.json", None)]
)
def test_files_that_cannot_be_read_are_refused(tmp_path: Path, name: str, text: str | None) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(ParameterError, match=name):
        read_file(tmp_path / name)


def test_toml_dates_are_dates() -> None:
    assert from_value(ALL["day"], date(2026, 1, 2)) == {"$": "date", "v": "2026-01-02"}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("text", "text"),
        ("maybe", "an integer, or none"),
        ("color", "one of RED, BLUE"),
        ("sizes", "a list: each an integer"),
        ("folder", "the path of a folder"),
        ("trees", "the fields depth (an integer), seed (an integer), rate (a number)"),
    ],
)
def test_types_in_words(name: str, words: str) -> None:
    assert describe_type(ALL[name].type) == words
