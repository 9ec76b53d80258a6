"""Laws of the canonical form: what goes in comes out, and equal values give equal bytes."""

from __future__ import annotations

import datetime as dt
import json
import os
import subprocess
import sys
import zoneinfo
from dataclasses import dataclass, field, fields, is_dataclass
from decimal import Decimal
from enum import Enum, Flag, IntEnum, IntFlag, StrEnum
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import Any, Generic, NamedTuple, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.values import decode, encode, from_json, parse, to_json

T = TypeVar("T")


class Colour(Enum):
    RED = 1
    BLUE = (2, "b")


class Word(StrEnum):
    YES = "yes"
    NO = "no"


class Level(IntEnum):
    LOW = 0
    HIGH = 1


class Right(Flag):
    READ = 1
    WRITE = 2
    BOTH = 3


class Bits(IntFlag):
    A = 1
    B = 4


class Pair(NamedTuple):
    second: object
    first: object = 0


@dataclass(frozen=True, slots=True)
class Frozen:
    some: object
    other: object = 1


@dataclass
class Box(Generic[T]):
    value: T
    more: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.more.append("made")


texts = st.text(st.characters(), max_size=8)
zones = st.sampled_from(
    [
        None,
        dt.UTC,
        dt.timezone(dt.timedelta(hours=-3, minutes=-30)),
        dt.timezone(dt.timedelta(seconds=7, microseconds=5)),
        dt.timezone(dt.timedelta(hours=1), "home"),
        zoneinfo.ZoneInfo("Europe/Berlin"),
        zoneinfo.ZoneInfo("UTC"),
    ]
)
hashables = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.integers(min_value=2**62, max_value=2**64),
        st.floats(allow_nan=False),
        texts,
        st.binary(max_size=5),
        st.complex_numbers(allow_nan=False),
        st.dates(),
        st.datetimes(timezones=zones),
        st.times(timezones=zones),
        st.timedeltas(),
        st.decimals(allow_nan=False),
        st.uuids(),
        st.sampled_from([*Colour, *Word, *Level, *Right, *Bits, Right(0), Bits(5), Bits(0)]),
        st.sampled_from([Path("a/b"), Path("/x"), PurePosixPath("ä"), PureWindowsPath("C:/x"), PurePath("q")]),
    ),
    lambda inner: st.one_of(
        st.tuples(inner, inner),
        st.frozensets(inner, max_size=3),
        st.builds(Frozen, inner, inner),
        st.builds(Pair, inner, inner),
    ),
    max_leaves=6,
)
values = st.recursive(
    st.one_of(hashables, st.sets(hashables, max_size=3), st.floats(), st.decimals()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=12),
        st.tuples(inner, inner, inner),
        st.dictionaries(texts, inner, max_size=4),
        st.dictionaries(hashables, inner, max_size=4),
        st.dictionaries(st.sampled_from(["$", "$x", "v", "t"]), inner, max_size=3),
        st.builds(Box, inner, st.lists(inner, max_size=2)),
        st.builds(Frozen, inner),
    ),
    max_leaves=15,
)


def shape(value: object) -> object:
    """A picture of a value in which everything counts: types, signs of zero, zones; and NaN equals itself."""
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    match value:
        case float() | complex() | Decimal():
            return (kind, repr(value))
        case dt.datetime() | dt.time():
            return (kind, repr(value), value.fold)
        case list():
            return (kind, [shape(item) for item in value])
        case tuple():
            return (kind, tuple(shape(item) for item in value))
        case set() | frozenset():
            return (kind, sorted(repr(shape(item)) for item in value))
        case dict():
            return (kind, sorted(repr((shape(key), shape(item))) for key, item in value.items()))
        case _ if is_dataclass(value):
            return (kind, [(part.name, shape(getattr(value, part.name))) for part in fields(value)])
    return (kind, repr(value))


def shuffled(value: object, order: int) -> object:
    """An equal value whose dictionaries and sets were filled in another order."""
    match value:
        case dict():
            pairs = [(key, shuffled(item, order)) for key, item in value.items()]
            return dict(pairs[order % (len(pairs) or 1) :] + pairs[: order % (len(pairs) or 1)])
        case list():
            return [shuffled(item, order) for item in value]
        case set():
            return set([*value][::2]) | set([*value][1::2])
    return value


@given(values)
@settings(max_examples=400, deadline=None)
def test_a_value_comes_back_as_it_was(value: object) -> None:
    assert shape(decode(encode(value))) == shape(value)


@given(values)
@settings(max_examples=200, deadline=None)
def test_bytes_are_canonical(value: object) -> None:
    data = encode(value)
    assert encode(decode(data)) == data
    assert json.dumps(parse(data), sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode() == data


@given(values, st.integers(1, 5))
@settings(max_examples=200, deadline=None)
def test_the_order_of_filling_does_not_count(value: object, order: int) -> None:
    assert encode(shuffled(value, order)) == encode(value)


@given(values, values)
@settings(max_examples=300, deadline=None)
def test_different_values_have_different_bytes(one: object, two: object) -> None:
    assert (encode(one) == encode(two)) == (shape(one) == shape(two))


@given(values)
@settings(max_examples=100, deadline=None)
def test_a_tree_shares_nothing_with_its_value(value: object) -> None:
    tree = to_json(value)
    before = json.dumps(tree)
    one, two = from_json(tree), from_json(tree)
    for thing in (value, one):
        match thing:
            case list():
                thing.append("changed")
            case dict():
                thing["changed"] = 1
            case Box():
                thing.more.append("changed")
            case _:
                pass
    assert json.dumps(tree) == before
    assert shape(two) == shape(from_json(json.loads(before)))


SCRIPT = """
import sys
from decimal import Decimal
from headwater.values import encode
sys.stdout.buffer.write(encode({
    "set": {"a", "b", "c", ("x", 1), frozenset({"p", "q"})}, 1: [True, 1, 1.0, -0.0], None: {"z": {"y", "x"}, "a": 1},
    "big": 7**9000, ("t",): Decimal("1.50"),
}))
"""


def test_bytes_are_the_same_in_every_process() -> None:
    outputs = {
        subprocess.run(
            [sys.executable, "-c", SCRIPT], check=True, capture_output=True, env={**os.environ, "PYTHONHASHSEED": seed}
        ).stdout
        for seed in ("0", "1", "4242", "random")
    }
    assert len(outputs) == 1
    assert decode(outputs.pop())["big"] == 7**9000  # type: ignore[index]


PIPELINE = """
import sys
from dataclasses import dataclass
from enum import Enum
from headwater.values import encode, decode

@dataclass
class Report:
    f1: float

class Kind(Enum):
    GOOD = "good"

value = [Report(0.5), Kind.GOOD]

if __name__ == "__main__":
    assert decode(encode(value)) == value
    sys.stdout.buffer.write(encode(value))
"""


@pytest.mark.parametrize("folder", ["", "lib"])
def test_running_a_file_and_importing_it_give_the_same_bytes(tmp_path: Path, folder: str) -> None:
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / folder).mkdir(exist_ok=True)
    (tmp_path / folder / "flights.py").write_text(PIPELINE)
    name = f"{folder}.flights".strip(".")
    script = f"import sys, {name} as m; sys.stdout.buffer.write(m.encode(m.value))"
    commands = [[str(Path(folder, "flights.py"))], ["-m", name], ["-c", script]]
    outputs = {
        subprocess.run([sys.executable, *command], check=True, capture_output=True, cwd=tmp_path).stdout
        for command in commands
    }
    assert len(outputs) == 1
    assert f"{name}:Report".encode() in outputs.pop()
