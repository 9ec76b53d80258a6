"""Every codec of ours keeps the contract; and codecs that break a clause are caught by that clause."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from headwater.artifacts import Codec, Dir, File, find_codec
from headwater.errors import ValueNotStorable
from headwater.testing import CodecContract


class TestJson(CodecContract):
    def codec(self) -> Codec:
        return find_codec("json")

    def samples(self) -> list[Any]:
        return [[1, {"a": {1, 2}}], [1.0], {"x": "y" * 5000}, [{"a": (1, None)}]]

    def variants(self) -> list[tuple[Any, Any]]:
        return [({"a": 1, "b": {"x", "y", "z"}}, {"b": {"z", "y", "x"}, "a": 1})]

    def others(self) -> list[Any]:
        return [b"x", File("x"), Dir("x")]

    def refused(self) -> list[Any]:
        return [object(), [np.zeros(2)], {"a": np.float64(1)}]

    def change(self, value: Any) -> None:
        value.clear()


class TestBytes(CodecContract):
    def codec(self) -> Codec:
        return find_codec("bytes")

    def samples(self) -> list[bytes]:
        return [b"", b"\0", b"x" * 5000, b"y" * 2_000_000]

    def others(self) -> list[Any]:
        return ["x", bytearray(b"x"), None]


class TestPickle(CodecContract):
    def codec(self) -> Codec:
        return find_codec("pickle")

    def samples(self) -> list[Any]:
        return [[1, 2], {"a": b"x" * 10_000}]

    def others(self) -> list[Any]:
        return []

    def refused(self) -> list[Any]:
        return [lambda: 1]

    def change(self, value: Any) -> None:
        value.clear()


class TestArrays(CodecContract):
    def codec(self) -> Codec:
        return find_codec("npy")

    def samples(self) -> list[Any]:
        return [
            np.arange(3.0),
            np.arange(3),
            np.ones((2, 3)),
            np.ones((3, 2)),
            np.array(5),
            np.ones(300_000),
        ]

    def variants(self) -> list[tuple[Any, Any]]:
        return [
            (np.zeros(0), np.zeros(0)),
            (np.arange(6.0).reshape(2, 3), np.asfortranarray(np.arange(6).reshape(2, 3).astype(">f8"))),
        ]

    def others(self) -> list[Any]:
        return [[1], np.float64(1), np.ma.masked_array([1]), object()]

    def refused(self) -> list[Any]:
        return [np.array([object()]), np.ones(1, np.longdouble)]

    def is_equal(self, one: Any, two: Any) -> bool:
        return bool(one.dtype == two.dtype and np.array_equal(one, two))

    def change(self, value: Any) -> None:
        value[...] = 99


class TestTables(CodecContract):
    def codec(self) -> Codec:
        return find_codec("arrow")

    def samples(self) -> list[Any]:
        columns = {"a": [1, None], "b": ["x", "y"]}
        large = pa.table({"a": range(500_000)})
        return [pa.table(columns), pa.record_batch(columns), pa.table({"b": columns["b"], "a": columns["a"]}), large]

    def variants(self) -> list[tuple[Any, Any]]:
        one = pa.table({"a": range(100)})
        return [(one, pa.concat_tables([one[:30], one[30:]])), (one[5:10], pa.table({"a": range(5, 10)}))]

    def others(self) -> list[Any]:
        return [[1], pa.array([1]), object()]

    def refused(self) -> list[Any]:
        return [pa.table({"u": pa.UnionArray.from_sparse(pa.array([0], pa.int8()), [pa.array([1])])})]

    def is_equal(self, one: Any, two: Any) -> bool:
        return bool(one.equals(two, check_metadata=True))


class TestPandas(CodecContract):
    def codec(self) -> Codec:
        return find_codec("pandas")

    def samples(self) -> list[Any]:
        frame = pd.DataFrame({"a": [1.0, 2.0], "t": ["x", None]})
        return [
            frame,
            frame.rename(columns={"a": "b"}),
            frame["a"],
            frame.set_axis([5, 6]),
            pd.DataFrame({"a": np.ones(400_000)}),
        ]

    def is_equal(self, one: Any, two: Any) -> bool:
        return type(one) is type(two) and bool(one.equals(two)) and list(one.index) == list(two.index)

    def change(self, value: Any) -> None:
        value.iloc[0] = value.iloc[1] if isinstance(value, pd.Series) else None


class TestPolars(CodecContract):
    def codec(self) -> Codec:
        return find_codec("polars")

    def samples(self) -> list[Any]:
        return [pl.DataFrame({"a": [1, None]}), pl.DataFrame({"a": [1.0, None]}), pl.Series("a", [1, None])]

    def is_equal(self, one: Any, two: Any) -> bool:
        return type(one) is type(two) and bool(one.equals(two))

    def change(self, value: Any) -> None:
        value[(0, "a") if isinstance(value, pl.DataFrame) else 0] = 99


class TestFiles(CodecContract):
    def codec(self) -> Codec:
        return find_codec("file")

    def samples(self) -> list[File]:
        return [self.file("x.csv", "1"), self.file("x.csv", "2" * 9000), self.file("x.csv.gz", "1"), self.file("x", "")]

    def variants(self) -> list[tuple[Any, Any]]:
        return [(self.file("x.csv", "1"), self.file("other.csv", "1"))]

    def file(self, name: str, text: str) -> File:
        file = File.new(name)
        file.path.write_text(text)
        return file

    def others(self) -> list[Any]:
        return ["x", Path("x"), Dir("x")]

    def refused(self) -> list[File]:
        return [File("/nowhere"), File(tempfile.gettempdir())]

    def is_equal(self, one: Any, two: Any) -> bool:
        return (one.suffixes, one.read_bytes()) == (two.suffixes, two.read_bytes())

    def change(self, value: Any) -> None:
        value.path.write_text("changed")


class TestDirs(CodecContract):
    def codec(self) -> Codec:
        return find_codec("dir")

    def samples(self) -> list[Dir]:
        return [self.dir({}), self.dir({"a": "1"}), self.dir({"b": "1"}), self.dir({"a": "1" * 100_000, "c/d": "2"})]

    def dir(self, files: Mapping[str, str]) -> Dir:
        folder = Dir.new("folder")
        for path, text in files.items():
            (folder / path).parent.mkdir(exist_ok=True)
            (folder / path).write_text(text)
        return folder

    def others(self) -> list[Any]:
        return ["x", Path("x"), File("x")]

    def refused(self) -> list[Dir]:
        return [Dir("/nowhere")]

    def is_equal(self, one: Any, two: Any) -> bool:
        return self.listing(one) == self.listing(two)

    def listing(self, folder: Dir) -> dict[str, bytes]:
        return {str(p.relative_to(folder.path)): p.read_bytes() for p in folder.path.rglob("*") if p.is_file()}

    def change(self, value: Any) -> None:
        (value / "new").write_text("new")


# --------------------------------------------------------------------------------------------- broken codecs


class Words(CodecContract):
    """A sound codec of lists of words, and what breaks in it one at a time. Not collected: see below."""

    class Sound:
        name = "words"

        def matches(self, value: object) -> bool:
            return isinstance(value, list)

        def encode(self, value: Any, sink: Any) -> dict[str, Any]:
            if not all(isinstance(word, str) for word in value):
                raise ValueNotStorable("not words", hint="return words")
            sink.write("\n".join(value).encode())
            return {}

        def decode(self, source: Any) -> Any:
            return source.read().decode().split("\n")

    kind: type = Sound

    def codec(self) -> Codec:
        made: Codec = self.kind()
        return made

    def samples(self) -> list[Any]:
        return [["a", "b"], ["b", "a"], ["c" * 5000]]

    def refused(self) -> list[Any]:
        return [[1]]

    def change(self, value: Any) -> None:
        value.append("changed")


class Nameless(Words.Sound):
    name = ""


class Greedy(Words.Sound):
    def matches(self, value: object) -> bool:
        return True


class Forgetful(Words.Sound):
    def decode(self, source: Any) -> Any:
        return super().decode(source)[:1]


class Restless(Words.Sound):
    def encode(self, value: Any, sink: Any) -> dict[str, Any]:
        sink.write(random.randbytes(8))
        return super().encode(value, sink)

    def decode(self, source: Any) -> Any:
        return source.read()[8:].decode().split("\n")


class Sorting(Words.Sound):
    def encode(self, value: Any, sink: Any) -> dict[str, Any]:
        return super().encode(sorted(value), sink)


class Hashing(Words.Sound):
    def encode(self, value: Any, sink: Any) -> dict[str, Any]:
        sink.write(f"{hash('seed'):024d}".encode())
        return super().encode(value, sink)

    def decode(self, source: Any) -> Any:
        return source.read()[24:].decode().split("\n")


class Noting(Words.Sound):
    def encode(self, value: Any, sink: Any) -> dict[str, Any]:
        super().encode(value, sink)
        return {"words": tuple(value)}


class Sharing(Words.Sound):
    kept: dict[str, Any] = {}  # noqa: RUF012  this is what is broken about it

    def decode(self, source: Any) -> Any:
        return self.kept.setdefault(source.digest, super().decode(source))


class Spoiling(Words.Sound):
    def encode(self, value: Any, sink: Any) -> dict[str, Any]:
        meta = super().encode(value, sink)
        value.append("spoilt")
        return meta


class Raising(Words.Sound):
    def encode(self, value: Any, sink: Any) -> dict[str, Any]:
        sink.write("\n".join(value).encode())
        return {}


class HashingWords(Words):
    kind = Hashing


CLAUSES = {
    "C1": "test_is_a_codec",
    "C2": "test_matches_its_values_and_no_others",
    "C3": "test_values_come_back",
    "C4": "test_equal_values_have_equal_artifacts",
    "C5": "test_different_values_have_different_artifacts",
    "C6": "test_other_processes_make_the_same_bytes",
    "C7": "test_what_it_notes_is_json",
    "C8": "test_each_value_is_private",
    "C9": "test_storing_leaves_the_value_alone",
    "C10": "test_what_cannot_be_stored_is_refused",
}


def holds(clause: str, suite: Words, store: Any, tmp_path: Path) -> bool:
    test = getattr(suite, CLAUSES[clause])
    known = {"store": store, "tmp_path": tmp_path}
    wanted = test.__func__.__code__.co_varnames[1 : test.__func__.__code__.co_argcount]
    try:
        test(**{name: known[name] for name in wanted})
    except (AssertionError, TypeError):
        return False
    return True


@pytest.mark.parametrize(
    ("broken", "clause"),
    [
        (Nameless, "C1"),
        (Greedy, "C2"),
        (Forgetful, "C3"),
        (Restless, "C4"),
        (Sorting, "C5"),
        (Hashing, "C6"),
        (Noting, "C7"),
        (Sharing, "C8"),
        (Spoiling, "C9"),
        (Raising, "C10"),
    ],
)
def test_a_broken_codec_is_caught_by_its_clause(broken: type, clause: str, tmp_path: Path) -> None:
    from headwater.store import open_store

    suite = HashingWords() if broken is Hashing else Words()
    store = open_store(tmp_path / "store")
    suite.kind = Words.Sound  # type: ignore[misc]
    if broken is not Hashing:
        assert holds(clause, suite, store, tmp_path / "sound")
    suite.kind = broken  # type: ignore[misc]
    assert not holds(clause, suite, store, tmp_path / "broken")


def test_every_clause_has_a_broken_codec_and_every_clause_is_listed() -> None:
    assert sorted(CLAUSES.values()) == sorted(name for name in vars(CodecContract) if name.startswith("test_"))
