"""Artifacts: which codec takes what, what is inline, what is refused; and that every value read is one's own."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, NamedTuple, NewType, TypedDict, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from headwater import key, providers, values
from headwater.artifacts import (
    INLINE,
    Artifact,
    Dir,
    File,
    codec,
    decode_value,
    describe_value,
    encode_value,
    find_codec,
    json_document,
    read_json,
    references,
    spec_for_value,
    type_spec,
)
from headwater.digest import digest_bytes
from headwater.errors import Corrupt, ProviderError, SetupError, StepError, TrustError, ValueNotStorable
from headwater.store import Store, open_store

T = TypeVar("T")
Month = NewType("Month", str)


@dataclass(frozen=True)
class Report:
    f1: float
    plot: File | None = None


@dataclass
class Box(Generic[T]):
    item: T


class Kind(Enum):
    GOOD = 1


class Pair(NamedTuple):
    a: int


class Options(TypedDict):
    depth: int


class Model:
    pass


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path / "store")


def again(value: object, store: Store, tmp_path: Path, spec: str = "any") -> Any:
    return decode_value(encode_value(value, spec, store), store, scratch=tmp_path / "scratch")


# ------------------------------------------------------------------------------------------------ which codec


@pytest.mark.parametrize(
    ("annotation", "spec"),
    [
        (pa.Table, "arrow"),
        (pa.RecordBatch, "arrow"),
        (np.ndarray, "npy"),
        (npt.NDArray[np.float64], "npy"),
        (pd.DataFrame, "pandas"),
        (pd.Series, "pandas"),
        (pl.DataFrame, "polars"),
        (pl.Series, "polars"),
        (File, "file"),
        (Dir, "dir"),
        (bytes, "bytes"),
        (int, "json"),
        (None, "json"),
        (type(None), "json"),
        (str | None, "json"),
        (list[File], "json"),
        (dict[str, float], "json"),
        (Sequence[int], "json"),
        (Mapping[str, int], "json"),
        (Literal["a", "b"], "json"),
        (date, "json"),
        (Path, "json"),
        (Report, "json"),
        (Box[int], "json"),
        (Kind, "json"),
        (Pair, "json"),
        (Options, "json"),
        (Month, "json"),
        (Annotated[int, "words"], "json"),
        (Annotated[Model, codec("pickle")], "pickle"),
        (Annotated[Annotated[set[int], codec("json")], codec("mine")], "mine"),
        (Any, "any"),
        (object, "any"),
        (Model, "any"),
        (T, "any"),
        (pa.Table | None, "any"),
        (pa.Table | pa.RecordBatch, "arrow"),
        ("unresolved", "any"),
    ],
)
def test_type_spec(annotation: object, spec: str) -> None:
    assert type_spec(annotation) == spec


def test_asking_for_a_codec_imports_no_library() -> None:
    script = """
import sys
from headwater import File
from headwater.artifacts import type_spec, spec_for_value, encode_value, describe_value
assert [type_spec(t) for t in (int, File, list[str], dict)] == ["json", "file", "json", "json"]
describe_value({"a": 1})
print(sorted({"pyarrow", "numpy", "pandas", "polars", "fsspec"} & set(sys.modules)))
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("value", "spec"),
    [
        (pa.table({"a": [1]}), "arrow"),
        (np.zeros(2), "npy"),
        (pd.DataFrame(), "pandas"),
        (pl.Series([1]), "polars"),
        (b"x", "bytes"),
        ("x", "json"),
        (None, "json"),
        (Report(1.0), "json"),
        (File("x"), "file"),
    ],
)
def test_spec_for_value(value: object, spec: str) -> None:
    assert spec_for_value(value) == spec


@pytest.mark.parametrize(
    ("spec", "declared", "value", "words"),
    [
        ("arrow", "pa.Table", [1], "declared pa.Table, returned list"),
        ("arrow", "pa.Table", None, "declared pa.Table, returned NoneType"),
        ("json", "Report", pa.table({"a": [1]}), "declared Report, returned pyarrow.lib.Table"),
        ("json", "str", b"x", "declared str, returned bytes"),
        ("bytes", "", "x", "declared bytes, returned str"),
        ("npy", "", np.ma.masked_array([1], [True]), "returned numpy.ma.MaskedArray"),
        ("file", "File", "x.csv", "declared File, returned str"),
        ("dir", "Dir", File("x"), "declared Dir, returned headwater.artifacts.paths.File"),
        ("pandas", "", pl.DataFrame(), "returned polars.dataframe.frame.DataFrame"),
    ],
)
def test_what_is_declared_and_what_is_returned_must_agree(
    spec: str, declared: str, value: object, words: str, store: Store
) -> None:
    with pytest.raises(ValueNotStorable, match=words):
        encode_value(value, spec, store, declared=declared)


@pytest.mark.parametrize(
    ("value", "words", "hint"),
    [
        (Model(), "test_artifacts.Model cannot be stored", "Annotated"),
        ({"m": [Model()]}, "'m'", "Annotated"),
        ([pa.table({"a": [1]})], "Table cannot be stored", "output of its own"),
        (np.float64(1), "numpy.float64", ".item()"),
        (pl.LazyFrame(), "LazyFrame", "collect"),
        (np.array([object()]), "dtype object", "list"),
        (np.zeros(2, np.longdouble), "dtype", "astype"),
        (pd.DataFrame({"a": [1, "x"]}), "frame", "type"),
        (pd.DataFrame({"a": [Model()]}), "", "type"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "Duplicate", "name"),
        (pd.DataFrame({"a": pd.Series([{"k": 1}, {"j": 2}])}), "others", "astype"),
        (pd.DataFrame({"a": pd.arrays.SparseArray([0, 1])}), "Sparse", "type"),
        (pl.DataFrame({"a": [Model()]}, schema={"a": pl.Object}), "Polars", "plain"),
        (pa.table({"u": pa.UnionArray.from_sparse(pa.array([0], pa.int8()), [pa.array([1])])}), "union", "cast"),
    ],
)
def test_what_cannot_be_stored_is_told_with_a_hint(value: object, words: str, hint: str, store: Store) -> None:
    with pytest.raises(ValueNotStorable) as info:
        encode_value(value, "any", store)
    assert words in str(info.value)
    assert hint in str(info.value.hint)
    assert list(store.objects()) == []


# ------------------------------------------------------------------------------------------------- documents


def test_a_small_body_is_inline_and_not_put(store: Store, tmp_path: Path) -> None:
    small, large = b"x" * INLINE, b"x" * (INLINE + 1)
    artifact = encode_value(small, "bytes", store)
    assert artifact == Artifact(digest_bytes(small), "bytes", INLINE, inline=small)
    assert list(store.objects()) == []
    artifact = encode_value(large, "bytes", store)
    assert artifact == Artifact(digest_bytes(large), "bytes", INLINE + 1)
    assert [info.digest for info in store.objects()] == [artifact.digest]
    for body in (small, large):
        file = tmp_path / "f"
        file.write_bytes(body)
        assert (encode_value(File(file), "file", store).inline == body) == (body is small)


@pytest.mark.parametrize("value", [1, "x" * 5000, Report(0.5)])
def test_a_document_gives_the_artifact_back(value: object, store: Store) -> None:
    artifact = encode_value(value, "any", store)
    assert Artifact.from_document(artifact.document()) == artifact
    assert key.identity({"artifact": artifact.document()}) == list(artifact.identity)


@pytest.mark.parametrize(
    "document", [{}, {"digest": "x", "type": "json"}, {"digest": "", "type": "", "bytes": 1, "inline": "ü"}]
)
def test_a_document_that_is_none_is_corrupt(document: Any) -> None:
    with pytest.raises(Corrupt):
        Artifact.from_document(document)


def test_an_inline_body_is_verified(store: Store, tmp_path: Path) -> None:
    document = encode_value([1, 2], "json", store).document()
    forged = Artifact.from_document({**document, "inline": "WzEsM10="})
    with pytest.raises(Corrupt):
        decode_value(forged, store, scratch=tmp_path)
    with pytest.raises(Corrupt):
        read_json(forged, store)


def test_a_plain_value_is_the_same_artifact_by_every_way(store: Store) -> None:
    value = {"a": [1, (2.0, Kind.GOOD)]}
    artifact = encode_value(value, "json", store)
    assert describe_value(value) == artifact
    document = json_document(values.to_json(value))
    assert (document["digest"], document["type"]) == (artifact.digest, "json")
    assert key.identity({"value": values.to_json(value)}) == key.identity({"artifact": artifact.document()})
    assert artifact.meta == {"types": [f"{__name__}:Kind"]}
    assert read_json(artifact, store) == values.to_json(value)


def test_only_plain_values_have_typed_json(store: Store) -> None:
    with pytest.raises(StepError, match="'bytes' has no fields"):
        read_json(encode_value(b"1", "bytes", store), store)


def test_describing_stores_nothing_and_may_remember_files(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "big.csv"
    file.write_bytes(b"x" * 10_000)
    seen: list[Path] = []

    def digest_file(path: Path) -> str:
        seen.append(path)
        return digest_bytes(path.read_bytes())

    described = describe_value(File(file), "file", digest_file=digest_file)
    assert seen == [file]
    assert described == encode_value(File(file), "file", store)
    table = pa.table({"a": range(500_000)})
    assert describe_value(table) == encode_value(table, "arrow", store)


def test_references_name_every_object(store: Store, tmp_path: Path) -> None:
    folder = Dir.new("d")
    (folder / "a").write_text("a")
    (folder / "b").write_bytes(b"b" * 100_000)
    file = tmp_path / "f.txt"
    file.write_text("f")
    plain = encode_value({"d": [folder], "f": File(file)}, "json", store)
    tree = encode_value(folder, "dir", store)
    members = {digest_bytes(b"a"), digest_bytes(b"b" * 100_000)}
    assert set(references(tree, store)) == {tree.digest, *members}
    assert set(references(plain, store)) == {plain.digest, tree.digest, digest_bytes(b"f"), *members}
    assert {info.digest for info in store.objects()} == {*members, tree.digest, digest_bytes(b"f")}
    assert plain.meta["trees"] == [tree.digest]


# ------------------------------------------------------------------------------------------------- pickles


def test_pickle_only_when_asked_for_and_trusted(store: Store, tmp_path: Path) -> None:
    artifact = encode_value({1, 2}, "pickle", store)
    assert artifact.meta == {"pickle": True}
    with pytest.raises(TrustError):
        decode_value(artifact, store, scratch=tmp_path)
    assert decode_value(artifact, store, scratch=tmp_path, trusted=True) == {1, 2}
    assert pickle.loads(artifact.inline or b"") == {1, 2}
    with pytest.raises(ValueNotStorable, match="cannot be pickled"):
        encode_value(lambda: 1, "pickle", store)


def test_classes_are_loaded_by_who_reads(store: Store, tmp_path: Path) -> None:
    artifact = encode_value(Report(0.5), "json", store)
    asked: list[str] = []

    def load(name: str) -> type:
        asked.append(name)
        return Report

    assert decode_value(artifact, store, scratch=tmp_path, load=load) == Report(0.5)
    assert asked == [f"{__name__}:Report"]


# ------------------------------------------------------------------------------------------- each value is private


def big_frame() -> pd.DataFrame:
    return pd.DataFrame({"a": np.arange(5000.0), "t": ["x"] * 5000})


@pytest.mark.parametrize("place", ["folder", "memory"])
@pytest.mark.parametrize("size", [3, 5000])
def test_changing_a_value_changes_no_other(place: str, size: int, tmp_path: Path) -> None:
    store = open_store(tmp_path / "s" if place == "folder" else f"memory://{tmp_path.name}")
    first, second = tmp_path / "f.txt", Dir(tmp_path / "d")
    first.write_text("f" * size)
    second.path.mkdir()
    (second / "m").write_text("m" * size)

    def change_frame(frame: Any) -> None:
        frame.iloc[0, 0] = 99.0
        frame.loc[1, "t"] = "changed"
        frame.to_numpy(dtype=object)[0, 0] = 98

    def change_series(series: Any) -> None:
        series.iloc[0] = 99.0

    cases: list[tuple[Any, Any, Any]] = [
        (np.arange(float(size)), lambda v: v.__setitem__(0, 9), lambda v: v.tolist()),
        (np.array(5), lambda v: v.__setitem__((), 9), lambda v: v.tolist()),
        (big_frame()[:size], change_frame, lambda v: v.to_dict("list")),
        (big_frame()["a"][:size], change_series, lambda v: v.tolist()),
        (pl.DataFrame({"a": range(size)}), lambda v: v.__setitem__((0, "a"), 99), lambda v: v.to_dicts()),
        ([{"a": [0] * size}], lambda v: v[0]["a"].append(1), repr),
        ({"x" * size: {1: [2]}}, lambda v: v["x" * size].clear(), repr),
        (File(first), lambda v: v.path.write_text("changed"), lambda v: v.read_text()),
        (second, lambda v: (v / "m").write_text("changed"), lambda v: (v / "m").read_text()),
        ([File(first), second], lambda v: v[0].path.unlink(), lambda v: (v[0].read_text(), (v[1] / "m").read_text())),
    ]
    for value, change, look in cases:
        artifact = encode_value(value, "any", store)
        one, two = (decode_value(artifact, store, scratch=tmp_path / "scratch") for _ in range(2))
        assert look(one) == look(two) == look(value)
        before = look(two)
        change(one)
        three = decode_value(artifact, store, scratch=tmp_path / "scratch")
        assert look(two) == before
        assert look(three) == before
        for info in store.objects():
            store.get(info.digest)  # verified


def test_a_table_from_a_folder_is_mapped_and_not_copied(store: Store, tmp_path: Path) -> None:
    rows = 4_000_000
    table = pa.table({"a": np.arange(rows), "b": np.random.default_rng(1).random(rows), "c": np.ones(rows)})
    table = table.append_column("t", pa.array(["some text"]).take(pa.array(np.zeros(rows, "i4"))))
    assert table.nbytes > 100_000_000
    artifact = encode_value(table, "arrow", store)
    before = pa.total_allocated_bytes()
    back = decode_value(artifact, store, scratch=tmp_path)
    assert isinstance(back, pa.Table)
    assert pa.total_allocated_bytes() - before < 1_000_000
    assert back.equals(table)
    assert not list(tmp_path.glob("value-*"))


def test_an_array_from_a_folder_is_mapped(store: Store, tmp_path: Path) -> None:
    artifact = encode_value(np.arange(1_000_000), "npy", store)
    back = decode_value(artifact, store, scratch=tmp_path)
    base: Any = back
    while isinstance(base.base, np.ndarray):
        base = base.base
    assert isinstance(base, np.memmap)


def test_a_large_body_elsewhere_is_fetched_and_mapped(tmp_path: Path) -> None:
    store = open_store(f"memory://{tmp_path.name}")
    table = pa.table({"a": range(2_000_000)})
    artifact = encode_value(table, "arrow", store, scratch=tmp_path / "spool")
    before = pa.total_allocated_bytes()
    back = decode_value(artifact, store, scratch=tmp_path / "scratch")
    assert pa.total_allocated_bytes() - before < 1_000_000
    assert isinstance(back, pa.Table)
    assert back.equals(table)
    assert list((tmp_path / "spool").iterdir()) == []


def test_temporary_files_are_removed_also_after_failure(store: Store, tmp_path: Path) -> None:
    encode_value(np.zeros(3_000_000), "npy", store)
    encode_value(pa.table({"a": range(1_000_000)}), "arrow", store)
    bad = pa.table({"a": range(1_000_000), "u": pa.array([None] * 1_000_000)})
    union = pa.UnionArray.from_sparse(pa.array([0] * 1_000_000, pa.int8()), [pa.array(range(1_000_000))])
    with pytest.raises(ValueNotStorable):
        encode_value(bad.append_column("x", union), "arrow", store)
    assert not list((tmp_path / "store" / "tmp").glob("*"))


# ------------------------------------------------------------------------------------------- codecs of others


class Celsius:
    def __init__(self, degrees: float) -> None:
        self.degrees = degrees


class CelsiusCodec:
    name = "celsius"

    def matches(self, value: object) -> bool:
        return isinstance(value, Celsius)

    def encode(self, value: Any, sink: Any) -> dict[str, Any]:
        sink.write(str(value.degrees).encode())
        return {"unit": "C"}

    def decode(self, source: Any) -> Celsius:
        assert source.meta == {"unit": "C"}
        return Celsius(float(source.read()))


class Point:
    """Stands for an entry point."""

    def __init__(self, target: object) -> None:
        self.target = target

    def load(self) -> object:
        return self.target


def test_a_codec_of_another_package_is_found_by_value_and_by_name(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(providers, "names", lambda kind: {"celsius": Point(CelsiusCodec), "broken": Point(object())})
    assert again(Celsius(21.5), store, tmp_path, "celsius").degrees == 21.5
    with pytest.raises(ProviderError, match="no codec"):
        find_codec("broken")
    monkeypatch.setattr(providers, "names", lambda kind: {"celsius": Point(CelsiusCodec())})
    artifact = encode_value(Celsius(1.0), "any", store)
    assert (artifact.type, artifact.meta) == ("celsius", {"unit": "C"})
    with pytest.raises(ValueNotStorable, match="declared celsius, returned str"):
        encode_value("warm", "celsius", store)


def test_an_unknown_codec_is_told(store: Store, tmp_path: Path) -> None:
    with pytest.raises(ProviderError, match="no codec named 'unheard'"):
        encode_value(1, "unheard", store)
    with pytest.raises(ProviderError, match="no codec named 'unheard'"):
        decode_value(Artifact("0" * 64, "unheard", 1), store, scratch=tmp_path)


def test_a_missing_library_is_told(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    artifact = encode_value(pl.DataFrame({"a": [1]}), "polars", store)
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(ProviderError, match="needs 'polars'") as info:
        decode_value(artifact, store, scratch=tmp_path)
    assert info.value.hint == "pip install polars"


def test_a_class_that_changed_since_is_told(store: Store, tmp_path: Path) -> None:
    artifact = encode_value(Report(1.0), "json", store)
    with pytest.raises(SetupError, match="no longer fits"):
        decode_value(artifact, store, scratch=tmp_path, load=lambda name: Box)
