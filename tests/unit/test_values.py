"""The canonical form of values, spelt out; and what is refused, where and why."""

from __future__ import annotations

import functools
import sys
import types
from collections import Counter, OrderedDict, defaultdict, namedtuple
from collections.abc import Callable
from dataclasses import dataclass, field, make_dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from enum import Enum, Flag
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from headwater.errors import Corrupt, SetupError, ValueNotStorable
from headwater.values import canonical_module, decode, encode, from_json, load_type, to_json, types_in


class Colour(Enum):
    RED = 1


class Right(Flag):
    READ = 1
    WRITE = 2


class Pair(NamedTuple):
    left: object
    right: object


@dataclass
class Point:
    x: Any
    y: Any = 0


@dataclass
class Strict:
    """Its initialiser must not run when a value is read."""

    n: int
    twice: int = field(init=False)

    def __post_init__(self) -> None:
        if self.n < 0:
            raise AssertionError("ran")
        self.twice = 2 * self.n

    @functools.cached_property
    def thrice(self) -> int:
        return 3 * self.n


class Text(str):
    __slots__ = ()


class Whole(int):
    pass


class Rows(list[int]):
    pass


class Zone(tzinfo):
    def utcoffset(self, when: object) -> timedelta:
        return timedelta(0)


@dataclass
class Dicty(dict[str, int]):
    x: int = 0


Misnamed = namedtuple("Other", "a")  # type: ignore[name-match]  # noqa: PYI024
HERE = __name__


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (1, "1"),
        (1.0, "1.0"),
        ("1", '"1"'),
        (-0.0, "-0.0"),
        (1e22, "1e+22"),
        (2**63 - 1, "9223372036854775807"),
        (2**63, '{"$":"int","v":"0x8000000000000000"}'),
        (-(2**63), '{"$":"int","v":"-0x8000000000000000"}'),
        (float("nan"), '{"$":"float","v":"nan"}'),
        (float("-inf"), '{"$":"float","v":"-inf"}'),
        ("ä", '"ä"'),
        ("\ud800", '{"$":"str","v":"7aCA"}'),
        ([1, [2]], "[1,[2]]"),
        ((1,), '{"$":"tuple","v":[1]}'),
        ({"b": 1, "a": 2}, '{"a":2,"b":1}'),
        ({"$a": 1}, '{"$":"dict","v":[["$a",1]]}'),
        ({2: "b", 1: "a"}, '{"$":"dict","v":[[1,"a"],[2,"b"]]}'),
        ({"b", "a"}, '{"$":"set","v":["a","b"]}'),
        (b"ab", '{"$":"bytes","v":"YWI="}'),
        (1 + 2j, '{"$":"complex","v":[1.0,2.0]}'),
        (datetime(2026, 1, 2, tzinfo=UTC), '{"$":"datetime","v":"2026-01-02T00:00:00+00:00"}'),
        (Decimal("1.50"), '{"$":"decimal","v":"1.50"}'),
        (Path("a/b"), '{"$":"path","v":["Path","a/b"]}'),
        (Colour.RED, f'{{"$":"enum","t":"{HERE}:Colour","v":"RED"}}'),
        (Right.READ | Right.WRITE, f'{{"$":"enum","t":"{HERE}:Right","v":3}}'),
        (Point(1, 2), f'{{"$":"data","t":"{HERE}:Point","v":{{"x":1,"y":2}}}}'),
        (Pair(1, 2), f'{{"$":"named","t":"{HERE}:Pair","v":{{"left":1,"right":2}}}}'),
    ],
)
def test_form(value: object, text: str) -> None:
    assert encode(value).decode() == text
    again = decode(text.encode())
    assert type(again) is type(value)
    assert again == value or repr(again) == repr(value)


def test_types_in_names_every_class_once() -> None:
    tree = to_json([Point(Colour.RED), Pair({"k": (Point(1),)}, 0)])
    assert types_in(tree) == (f"{HERE}:Colour", f"{HERE}:Pair", f"{HERE}:Point")
    assert types_in({"t": "not:this", "v": [1]}) == ()


def test_a_dataclass_comes_back_as_stored_without_running_its_code() -> None:
    value = Strict(2)
    assert value.thrice == 6  # a cached property is no content
    value.n, value.twice = -1, 7
    again = decode(encode(value))
    assert isinstance(again, Strict)
    assert vars(again) == {"n": -1, "twice": 7}


def test_integers_have_no_limit_of_digits() -> None:
    big = -(10**20_000) + 1
    assert decode(encode([big, {"k": big}, {big}])) == [big, {"k": big}, {big}]


def test_keys_that_are_nan_are_all_kept() -> None:
    again = decode(encode({float("nan"): 1, float("nan"): 2}))
    assert isinstance(again, dict)
    assert sorted(again.values()) == [1, 2]


def local_class() -> object:
    @dataclass
    class Inner:
        x: int

    return Inner(1)


def with_attribute() -> object:
    point = Point(1)
    point.extra = 2  # type: ignore[attr-defined]
    return point


def without_field() -> object:
    value = Strict(1)
    del value.twice
    return value


def numpy_float() -> object:
    import numpy as np

    return np.float64(1)


@pytest.mark.parametrize(
    ("value", "at", "words"),
    [
        (object(), None, "builtins.object|object"),
        ({"rows": [Point([1, object()])]}, "['rows'][0].x[1]", "object"),
        ([(1, Pair(0, {2: object()}))], "[0][1].right[2]", "object"),
        (Text("x"), None, "Text"),
        ([Whole(1)], "[0]", "Whole"),
        (Rows([1]), None, "list("),
        (OrderedDict(a=1), None, "dict("),
        (defaultdict(list), None, "dict("),
        (Counter("a"), None, "dict("),
        (Dicty(), None, "dict("),
        ({Text("k"): 1}, None, "Text"),
        (bytearray(b"x"), None, "bytes("),
        (range(3), None, "list("),
        (Point, None, "type"),
        (datetime(2026, 1, 1, tzinfo=Zone()), None, "zoneinfo"),
        (local_class, None, "inside a function"),
        (with_attribute, None, "'extra'"),
        (without_field, None, "'twice'"),
        (numpy_float, None, ".item()"),
        (Misnamed(1), None, "cannot be found under that name"),
        (make_dataclass("Made", ["x"])(1), None, "cannot be found|Made"),
        (ValueError("x"), None, "ValueError"),
    ],
)
def test_refused(value: object, at: str | None, words: str) -> None:
    value = value() if isinstance(value, types.FunctionType) else value
    with pytest.raises(ValueNotStorable) as info:
        encode(value)
    assert info.value.facts.get("at") == at
    assert any(word in str(info.value) for word in words.split("|"))
    assert info.value.hint


def test_a_value_inside_itself_is_refused() -> None:
    rows: list[object] = [1]
    rows.append({"again": (rows,)})
    with pytest.raises(ValueNotStorable, match="contains itself"):
        encode(rows)
    point = Point(1)
    point.y = [point]
    with pytest.raises(ValueNotStorable, match="contains itself"):
        encode(point)


def test_a_value_used_twice_is_stored_twice() -> None:
    part = [1]
    again = decode(encode([part, part]))
    assert isinstance(again, list)
    again[0].append(2)
    assert again == [[1, 2], [1]]


def test_a_deep_value_is_refused() -> None:
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(ValueNotStorable, match="nested too deeply"):
        encode(deep)


@pytest.mark.parametrize(
    "name",
    [
        "os:system",
        "os:getcwd",
        "builtins:eval",
        "builtins:list",
        "collections:OrderedDict",
        "pathlib:Path",
        f"{HERE}:Text",
    ],
)
@pytest.mark.parametrize("tag", ["data", "named", "enum"])
def test_only_dataclasses_namedtuples_and_enums_are_built(name: str, tag: str) -> None:
    for load in (load_type, lambda name: getattr(sys.modules[name.split(":")[0]], name.split(":")[1])):
        with pytest.raises(SetupError, match="no dataclass, NamedTuple or enum"):
            from_json({"$": tag, "t": name, "v": {}}, load)


@pytest.mark.parametrize(
    ("name", "words"), [("no_such_module:X", "cannot be loaded"), (f"{HERE}:Gone", "cannot be loaded"), ("x", "cannot")]
)
def test_a_class_that_is_gone_is_told(name: str, words: str) -> None:
    with pytest.raises(SetupError, match=words):
        from_json({"$": "data", "t": name, "v": {}})


@pytest.mark.parametrize(
    "tree",
    [
        {"$": "data", "t": f"{HERE}:Point", "v": {"x": 1}},
        {"$": "named", "t": f"{HERE}:Pair", "v": {"left": 1, "middle": 2}},
        {"$": "enum", "t": f"{HERE}:Colour", "v": "GREEN"},
        {"$": "unheard", "v": 1},
    ],
)
def test_a_value_that_no_longer_fits_is_told(tree: Any) -> None:
    with pytest.raises(SetupError):
        from_json(tree)


@pytest.mark.parametrize("data", [b"", b"[1", b"NaN", b"\xff", b'{"$":"date","v":1}', b'{"$":"tuple"}', b'{"$":[]}'])
def test_bytes_that_are_no_value_are_corrupt(data: bytes) -> None:
    with pytest.raises((Corrupt, SetupError)):
        decode(data)


def test_modules_keep_their_names_and_a_notebook_is_main(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def main(**facts: object) -> Callable[[], str]:
        module = types.ModuleType("__main__")
        module.__dict__.update({"__spec__": None, **facts})
        monkeypatch.setitem(sys.modules, "__main__", module)
        return lambda: canonical_module("__main__")

    assert canonical_module("json.decoder") == "json.decoder"
    assert main()() == "__main__"
    (tmp_path / "headwater.toml").touch()
    assert main(__file__=str(tmp_path / "a" / "b.py"))() == "a.b"
    assert main(__file__=str(tmp_path / "v1.2" / "b.py"))() == "__main__"
    assert main(__file__=str(tmp_path / "hw"))() == "__main__"
    assert canonical_module("__mp_main__") == "__main__"


def test_named_zone_and_fold_come_back() -> None:
    when = datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=timezone(timedelta(hours=1), "x\ud800"))
    again = decode(encode(when))
    assert isinstance(again, datetime)
    assert (again, again.fold, again.tzname()) == (when, 1, "x\ud800")
