"""Laws of the codecs: equal values have equal digests, however they were made; and what goes in comes out."""

from __future__ import annotations

import itertools
import json
import os
import random
import subprocess
import sys
import tempfile
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from headwater.artifacts import Dir, File, decode_value, encode_value, tables
from headwater.store import Store, open_store

TYPES = [
    pa.bool_(),
    pa.int8(),
    pa.uint16(),
    pa.int32(),
    pa.int64(),
    pa.float32(),
    pa.float64(),
    pa.decimal128(9, 2),
    pa.decimal256(50, 2),
    pa.date32(),
    pa.timestamp("us", "Europe/Berlin"),
    pa.duration("ns"),
    pa.binary(3),
    pa.string(),
    pa.large_string(),
    pa.binary(),
    pa.string_view(),
    pa.null(),
    pa.list_(pa.int16()),
    pa.large_list(pa.string()),
    pa.list_(pa.list_(pa.bool_())),
    pa.list_(pa.int8(), 3),
    pa.list_(pa.list_(pa.string(), 2), 2),
    pa.list_view(pa.int8()),
    pa.struct([("a", pa.int32()), ("b", pa.string())]),
    pa.struct([pa.field("a", pa.int32(), nullable=False), pa.field("l", pa.list_(pa.int8()), nullable=False)]),
    pa.list_(pa.struct([("a", pa.list_(pa.int8(), 2))])),
    pa.map_(pa.string(), pa.int64()),
    pa.dictionary(pa.int8(), pa.string()),
    pa.dictionary(pa.int32(), pa.int64()),
    pa.list_(pa.dictionary(pa.int16(), pa.string())),
    pa.struct([("d", pa.dictionary(pa.int8(), pa.string()))]),
    pa.run_end_encoded(pa.int32(), pa.int64()),
]


def sample(kind: pa.DataType, rng: random.Random, *, nulls: bool = True) -> object:  # noqa: C901
    """A value of an Arrow type."""
    t = pa.types
    if nulls and rng.random() < 0.3:
        return None
    if t.is_null(kind):
        return None
    if t.is_dictionary(kind) or t.is_run_end_encoded(kind):
        return sample(kind.value_type, rng, nulls=False)
    if t.is_boolean(kind):
        return rng.random() < 0.5
    if t.is_integer(kind):
        return rng.randrange(0, 5) if rng.random() < 0.5 else rng.randrange(0, 2 ** (kind.bit_width - 1))
    if t.is_floating(kind):
        return rng.choice([0.0, -0.0, 1.5, float("inf"), -2.0])
    if t.is_decimal(kind) or t.is_date(kind) or t.is_timestamp(kind) or t.is_duration(kind):
        small = pa.scalar(rng.randrange(0, 5), pa.int32() if kind.bit_width == 32 else pa.int64())
        return Decimal(small.as_py()) if t.is_decimal(kind) else small.cast(kind).as_py()
    if t.is_fixed_size_binary(kind):
        return rng.randbytes(kind.byte_width)
    if t.is_string(kind) or t.is_large_string(kind) or kind == pa.string_view():
        return rng.choice(["", "a", "ä" * 9, "a text of more than twelve bytes", "b"])
    if t.is_binary(kind):
        return rng.randbytes(rng.randrange(4))
    if t.is_map(kind):
        return [(key, sample(kind.item_type, rng)) for key in "abc"[: rng.randrange(4)]]
    if t.is_struct(kind):
        return {f.name: sample(f.type, rng, nulls=f.nullable) for f in kind}
    size = kind.list_size if t.is_fixed_size_list(kind) else rng.randrange(4)
    return [sample(kind.value_type, rng) for _ in range(size)]


def build(items: list[object], kind: pa.DataType) -> pa.Array:
    t = pa.types
    if t.is_dictionary(kind):
        values = list(dict.fromkeys(item for item in items if item is not None))
        indices = pa.array([None if item is None else values.index(item) for item in items], kind.index_type)
        return pa.DictionaryArray.from_arrays(indices, pa.array(values, kind.value_type))
    if t.is_run_end_encoded(kind):
        return pc.run_end_encode(pa.array(items, kind.value_type))
    return pa.array(items, kind)


def disguise(items: list[object], kind: pa.DataType, rng: random.Random) -> pa.Array:
    """An array of the same values with noise around and under them."""
    before = [sample(kind, rng) for _ in range(rng.randrange(4))]
    after = [sample(kind, rng) for _ in range(rng.randrange(4))]
    noisy = noise([*before, *items, *after], kind, rng)
    return noisy.slice(len(before), len(items))


def noise(items: list[object], kind: pa.DataType, rng: random.Random) -> pa.Array:
    t = pa.types
    full = [sample(kind, rng, nulls=False) if item is None else item for item in items]
    if t.is_null(kind) or t.is_run_end_encoded(kind):
        return build(items, kind)
    bits = sum((item is not None) << place for place, item in enumerate(items)) | rng.getrandbits(70) << len(items)
    bitmap = pa.py_buffer(bits.to_bytes(len(items) // 8 + 10, "little"))
    if t.is_dictionary(kind):
        values = [*dict.fromkeys(item for item in full if item is not None), "unused" if "str" in str(kind) else -7]
        rng.shuffle(values)
        values += values[: 3 - len(values) % 3]  # doubles
        indices = pa.array(
            [rng.choice([n for n, v in enumerate(values) if v == item]) for item in full], kind.index_type
        )
        indices = pa.Array.from_buffers(kind.index_type, len(items), [bitmap, *indices.buffers()[1:]])
        return pa.DictionaryArray.from_arrays(indices, pa.array(values, kind.value_type))
    if t.is_struct(kind):
        fields = [noise([item[f.name] for item in full], f.type, rng) for f in kind]  # type: ignore[index]
        return pa.Array.from_buffers(kind, len(items), [bitmap], children=fields)
    if t.is_fixed_size_list(kind):
        inner = noise([part for item in full for part in item], kind.value_type, rng)  # type: ignore[attr-defined]
        return pa.Array.from_buffers(kind, len(items), [bitmap], children=[inner])
    if t.is_list(kind) or t.is_large_list(kind):
        lead = [sample(kind.value_type, rng) for _ in range(3)]
        inner = noise([*lead, *(part for item in full for part in item)], kind.value_type, rng)  # type: ignore[attr-defined]
        starts = [len(lead)]
        for item in full:
            starts.append(starts[-1] + len(item))  # type: ignore[arg-type]
        lane = pa.int64() if t.is_large_list(kind) else pa.int32()
        offsets = pa.array(starts, lane).buffers()[1]
        return pa.Array.from_buffers(kind, len(items), [bitmap, offsets], children=[inner])
    plain = build(full, kind)
    children = [plain.values] if t.is_map(kind) or kind == pa.list_view(pa.int8()) else None  # noqa: PD011
    count = len(plain.buffers()) if children is None else plain.type.num_buffers
    return pa.Array.from_buffers(kind, len(items), [bitmap, *plain.buffers()[1:count]], children=children)


def chunked(array: pa.Array, rng: random.Random) -> pa.ChunkedArray:
    cuts = sorted(rng.randrange(len(array) + 1) for _ in range(rng.randrange(4)))
    edges = [0, *cuts, len(array)]
    return pa.chunked_array([array.slice(a, b - a) for a, b in itertools.pairwise(edges)], array.type)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return open_store(tmp_path_factory.mktemp("values") / "store")


@pytest.fixture(autouse=True)
def few_rows(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Small batches, so that the edges between them are met; and nothing left behind."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(tables, "BATCH_ROWS", 7)
    monkeypatch.setattr(tables.write_table, "__kwdefaults__", {**tables.write_table.__kwdefaults__, "rows": 7})


def again(value: object, store: Store) -> object:
    artifact = encode_value(value, "any", store)
    return decode_value(artifact, store, scratch=Path(tempfile.mkdtemp()))


relaxed = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.parametrize("kind", TYPES, ids=str)
@given(seed=st.integers(0, 2**32), rows=st.integers(0, 30))
@relaxed
def test_equal_columns_have_equal_digests(kind: pa.DataType, seed: int, rows: int, store: Store) -> None:
    rng = random.Random(seed)
    items = [sample(kind, rng) for _ in range(rows)]
    plain = pa.table({"c": build(items, kind)})
    noisy = pa.table({"c": chunked(disguise(items, kind, rng), rng)})
    assert noisy.column(0).to_pylist() == plain.column(0).to_pylist()  # the test's own disguise is honest
    one, two = encode_value(plain, "arrow", store), encode_value(noisy, "arrow", store)
    assert one == two

    back = decode_value(two, store, scratch=Path(tempfile.mkdtemp()))
    assert isinstance(back, pa.Table)
    back.validate(full=True)
    assert back.schema == plain.schema
    assert back.column(0).to_pylist() == plain.column(0).to_pylist()
    assert encode_value(back, "arrow", store) == one


@pytest.mark.parametrize("kind", [kind for kind in TYPES if kind != pa.null()], ids=str)
@given(seed=st.integers(0, 2**32), rows=st.integers(1, 10))
@relaxed
def test_different_columns_have_different_digests(kind: pa.DataType, seed: int, rows: int, store: Store) -> None:
    rng = random.Random(seed)
    one, two = ([sample(kind, rng) for _ in range(rows)] for _ in range(2))
    assume(repr(one) != repr(two))
    digests = {encode_value(pa.table({"c": build(items, kind)}), "arrow", store).digest for items in (one, two)}
    assert len(digests) == 2


def test_dictionaries_may_outgrow_their_indices_together(store: Store) -> None:
    parts = [
        pa.DictionaryArray.from_arrays(pa.array(range(100), pa.int8()), pa.array([f"{start}{n}" for n in range(100)]))
        for start in "ab"
    ]
    table = pa.table({"c": pa.chunked_array(parts)})
    assert again(table, store).column(0).to_pylist() == table.column(0).to_pylist()  # type: ignore[attr-defined]


def test_a_batch_whose_text_no_array_can_hold_is_halved(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    table = pa.table({"t": [str(n) for n in range(12)]})
    joined = tables._joined

    def overflows(column: pa.ChunkedArray) -> pa.Array:
        if len(column) > 3:  # in truth: more than 2 GiB of text
            raise pa.ArrowInvalid("offset overflow while concatenating arrays")
        return joined(column)

    monkeypatch.setattr(tables, "_joined", overflows)
    back = again(table, store)
    assert isinstance(back, pa.Table)
    assert back.equals(table)
    assert [len(chunk) for chunk in back.column(0).chunks] == [3, 2, 2, 2, 3]
    monkeypatch.setattr(tables, "_joined", lambda column: (_ for _ in ()).throw(pa.ArrowInvalid("hopeless")))
    with pytest.raises(pa.ArrowInvalid, match="hopeless"):
        encode_value(table, "arrow", store)


def test_an_ordered_dictionary_keeps_its_order_and_all_its_values(store: Store) -> None:
    array = pa.DictionaryArray.from_arrays(pa.array([2, 0], pa.int8()), pa.array(["c", "b", "a"]), ordered=True)
    back = again(pa.table({"c": array}), store)
    assert isinstance(back, pa.Table)
    assert back.column(0).chunk(0).dictionary.to_pylist() == ["c", "b", "a"]
    assert back.schema.field(0).type.ordered


def test_names_types_and_metadata_count_but_not_their_order_nor_versions(store: Store) -> None:
    def digest(table: pa.Table) -> str:
        return encode_value(table, "arrow", store).digest

    base = pa.table({"a": [1]})
    meta = {"x": "1", "y": "2"}
    turned = dict(reversed(meta.items()))
    assert digest(base.replace_schema_metadata(meta)) == digest(base.replace_schema_metadata(turned))
    inner = [pa.struct([pa.field("i", pa.int8(), metadata=order)]) for order in (meta, turned)]
    nested = [pa.table({"s": pa.array([{"i": 1}], kind)}) for kind in inner]
    assert digest(nested[0]) == digest(nested[1])
    others = [
        base,
        base.replace_schema_metadata(meta),
        pa.table({"b": [1]}),
        pa.table({"a": pa.array([1], pa.int32())}),
        pa.table({"a": [1.0]}),
        pa.table({"a": [1]}, schema=pa.schema([pa.field("a", pa.int64(), nullable=False)])),
        pa.record_batch({"a": [1]}),
    ]
    assert len({encode_value(other, "arrow", store).digest for other in others}) == len(others)
    frames = [
        base.replace_schema_metadata(
            {"pandas": json.dumps({"columns": [], "creator": {"version": v}, "pandas_version": v})}
        )
        for v in "12"
    ]
    assert digest(frames[0]) == digest(frames[1])


arrays = st.one_of(
    hnp.arrays(
        st.one_of(
            hnp.boolean_dtypes(),
            hnp.integer_dtypes(endianness="?"),
            hnp.floating_dtypes(endianness="?", sizes=(16, 32, 64)),
            hnp.complex_number_dtypes(endianness="?", sizes=(64, 128)),
            hnp.unicode_string_dtypes(endianness="?", max_len=3),
            hnp.byte_string_dtypes(max_len=3),
            hnp.datetime64_dtypes(endianness="?"),
            hnp.array_dtypes(hnp.integer_dtypes(endianness="?"), allow_subarrays=True, max_size=3),
        ),
        hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
    )
)


@given(array=arrays)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_arrays_come_back_and_their_layout_does_not_count(array: np.ndarray, store: Store) -> None:
    one = encode_value(array, "npy", store)
    layouts = [array.copy(), np.asfortranarray(array).reshape(array.shape), array.astype(array.dtype.newbyteorder(">"))]
    if array.ndim:
        layouts.append(np.repeat(array, 2, axis=0)[::2])
    assert all(encode_value(layout, "npy", store) == one for layout in layouts)
    back = decode_value(one, store, scratch=Path(tempfile.mkdtemp()))
    assert type(back) is np.ndarray
    assert back.shape == array.shape
    assert back.dtype == array.dtype.newbyteorder("<")
    assert back.tobytes() == np.ascontiguousarray(array, back.dtype).tobytes()
    if back.size:
        back[...] = back.flat[0]  # writable


def test_bytes_between_fields_do_not_count(store: Store) -> None:
    kind = np.dtype({"names": ["a", "b"], "formats": ["i1", "<f8"], "offsets": [0, 8], "itemsize": 24})
    ones = np.frombuffer(bytearray(b"\x01" * 24 * 3), kind)
    other = np.frombuffer(bytearray(b"\x02" * 24 * 3), kind)
    other["a"], other["b"] = ones["a"], ones["b"]
    assert bytes(ones.data) != bytes(other.data)
    assert encode_value(ones, "npy", store) == encode_value(other, "npy", store)


FRAMES = {
    "numbers": pd.DataFrame({"a": [1, 2], "b": [1.5, float("nan")], "c": np.array([1, 2], "f4")}),
    "text": pd.DataFrame({"a": ["x", None, "ä"]}),
    "objects": pd.DataFrame({"a": np.array(["x", None, "y"], dtype=object)}, dtype=object),
    "objects with nan": pd.DataFrame({"a": pd.Series(["x", float("nan")], dtype=object)}),
    "objects of numbers": pd.DataFrame({"a": pd.Series([1, None, 3], dtype=object)}),
    "lists": pd.DataFrame({"a": [[1], [2, 3]]}),
    "categories": pd.DataFrame({"a": pd.Categorical(["x", "y"], categories=["z", "y", "x"], ordered=True)}),
    "unused categories": pd.DataFrame({"a": pd.Categorical(["x", None], categories=["z", "y", "x"])}),
    "zones": pd.DataFrame({"a": pd.date_range("2026", periods=3, tz="Europe/Berlin")}),
    "frequency": pd.DataFrame({"a": [1, 2]}, index=pd.date_range("2026", periods=2, freq="2D")),
    "nullable": pd.DataFrame({"a": pd.array([1, None], dtype="Int64"), "b": pd.array([True, None], dtype="boolean")}),
    "arrow": pd.DataFrame({"a": pd.array(["x", None], dtype=pd.ArrowDtype(pa.string()))}),
    "names": pd.DataFrame({0: [1], 1: [2.0]}),
    "levels": pd.DataFrame({"a": [1, 2]}, index=pd.MultiIndex.from_tuples([("x", 1), ("y", 2)], names=["k", None])),
    "column levels": pd.DataFrame([[1, 2]], columns=pd.MultiIndex.from_tuples([("x", 1), ("y", 2)])),
    "range": pd.DataFrame({"a": [1, 2]}, index=pd.RangeIndex(3, 7, 2, name="q")),
    "text index": pd.DataFrame({"a": [1, 2]}, index=["x", "y"]),
    "periods": pd.DataFrame({"a": pd.period_range("2026", periods=2, freq="M")}),
    "period index": pd.DataFrame({"a": [1, 2]}, index=pd.period_range("2026", periods=2, freq="M")),
    "intervals": pd.DataFrame({"a": pd.interval_range(0, 2)}),
    "empty": pd.DataFrame(),
    "no rows": pd.DataFrame({"a": pd.Series([], dtype="int8"), "b": pd.Series([], dtype=object)}),
    "no columns": pd.DataFrame(index=pd.RangeIndex(3)),
}


@pytest.mark.parametrize("name", FRAMES)
def test_frames_come_back_exactly(name: str, store: Store) -> None:
    frame = FRAMES[name]
    back = again(frame, store)
    assert isinstance(back, pd.DataFrame)
    pd.testing.assert_frame_equal(back, frame, check_freq=True)
    for column in frame.columns:
        assert [type(item) for item in back[column]] == [type(item) for item in frame[column]]


@pytest.mark.parametrize("name", FRAMES)
def test_frames_have_one_digest_however_they_were_made(name: str, store: Store) -> None:
    frame = FRAMES[name]
    half = len(frame) // 2
    copies = [
        frame.copy(),
        frame.iloc[::-1].iloc[::-1].set_axis(frame.index),
        pd.concat([frame.iloc[:half], frame.iloc[half:]]),
    ]
    digests = {
        encode_value(copy, "pandas", store).digest
        for copy in copies
        if copy.index.equals(frame.index) and type(copy.index) is type(frame.index) and copy.dtypes.equals(frame.dtypes)
    }
    assert digests == {encode_value(frame, "pandas", store).digest}


def test_text_in_either_arrow_form_is_the_same_text(store: Store) -> None:
    kinds = [pa.string(), pa.large_string()]
    dtype = pd.StringDtype("pyarrow", na_value=float("nan"))
    series = [
        pd.Series(pd.arrays.ArrowStringArray(pa.chunked_array([pa.array(["x", None], k)]), dtype=dtype)) for k in kinds
    ]
    assert len({encode_value(one, "pandas", store).digest for one in series}) == 1


@pytest.mark.parametrize("name", ["x", None, ("a", 1), 3])
def test_series_come_back_with_their_names(name: object, store: Store) -> None:
    series = pd.Series([1.5, None], index=["p", "q"], name=name)
    pd.testing.assert_series_equal(again(series, store), series)  # type: ignore[arg-type]


POLARS = pl.DataFrame(
    {
        "text": ["x", None],
        "category": pl.Series(["u", "v"], dtype=pl.Categorical),
        "enum": pl.Series(["u", "v"], dtype=pl.Enum(["v", "u", "w"])),
        "list": [[1], [2, 3]],
        "struct": [{"p": 1, "q": None}, {"p": 2, "q": "z"}],
        "null": [None, None],
        "decimal": pl.Series(["1.1", "2.2"]).cast(pl.Decimal(10, 2)),
        "binary": [b"1", None],
        "duration": pl.Series([1, 2]).cast(pl.Duration),
        "array": pl.Series([[1, 2], [3, 4]], dtype=pl.Array(pl.Int64, 2)),
    }
)


def test_polars_frames_come_back_and_chunks_do_not_count(store: Store) -> None:
    back = again(POLARS, store)
    assert isinstance(back, pl.DataFrame)
    assert back.equals(POLARS)
    assert back.schema == POLARS.schema
    pieces = pl.concat([POLARS[:1], POLARS[1:]], rechunk=False)
    longer = pl.concat([POLARS, POLARS])[:2]
    digests = {encode_value(frame, "polars", store).digest for frame in (POLARS, pieces, longer)}
    assert len(digests) == 1
    series = again(POLARS["text"], store)
    assert isinstance(series, pl.Series)
    assert series.equals(POLARS["text"], check_names=True)


SCRIPT = """
import sys
import numpy as np, pandas as pd, polars as pl, pyarrow as pa
from headwater.artifacts import Dir, File, describe_value
folder = sys.argv[1]
for value in [
    pa.table({"a": [1, None], "d": pa.array(["x", "y"]).dictionary_encode(), "s": pa.array([{"k": 1}, None])}),
    np.arange(6.0).reshape(2, 3),
    pd.DataFrame({"a": ["x", None], "c": pd.Categorical(["p", "q"])}),
    pl.DataFrame({"a": [1.5, None]}),
    Dir(folder), File(folder + "/b.csv.gz"),
    {"set": {"a", "b", "c"}, "file": File(folder + "/b.csv.gz")},
]:
    print(describe_value(value).identity)
"""


def test_digests_are_the_same_in_every_process(tmp_path: Path) -> None:
    (tmp_path / "b.csv.gz").write_bytes(b"zipped" * 2000)
    (tmp_path / "a").mkdir()
    outputs = {
        subprocess.run(
            [sys.executable, "-c", SCRIPT, str(tmp_path)],
            check=True,
            capture_output=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("0", "1", "77")
    }
    assert len(outputs) == 1
    assert outputs.pop().count(b"\n") == 7


trees = st.dictionaries(
    st.lists(
        st.text("ab.é ", min_size=1, max_size=3).filter(lambda name: name not in {".", ".."}), min_size=1, max_size=3
    ).map(tuple),
    st.one_of(st.none(), st.binary(max_size=10), st.just(b"x" * 70_000)),
    max_size=6,
)


def fill(folder: Path, tree: dict[tuple[str, ...], bytes | None]) -> bool:
    for path, body in tree.items():
        place = folder.joinpath(*path)
        try:
            (place if body is None else place.parent).mkdir(parents=True, exist_ok=True)
            if body is not None:
                place.write_bytes(body)
        except OSError:  # a file where a folder should be
            return False
    return True


def listing(folder: Path) -> dict[str, bytes | None]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")
    }


@given(tree=trees)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_folders_come_back_and_equal_ones_have_one_digest(
    tree: dict[tuple[str, ...], bytes | None], store: Store
) -> None:
    one, two = (Path(tempfile.mkdtemp()) / name for name in ("one", "other"))
    one.mkdir()
    two.mkdir()
    assume(fill(one, tree))
    assume(fill(two, dict(reversed(tree.items()))))
    assume(listing(one) == listing(two))
    first, second = encode_value(Dir(one), "dir", store), encode_value(Dir(two), "dir", store)
    assert first.identity == second.identity
    back = decode_value(first, store, scratch=Path(tempfile.mkdtemp()))
    assert isinstance(back, Dir)
    assert listing(back.path) == listing(one)
    nested = again({"x": [Dir(one)]}, store)
    assert listing(nested["x"][0].path) == listing(one)  # type: ignore[index]


@given(body=st.one_of(st.binary(), st.just(b"x" * 5000)), suffix=st.sampled_from(["", ".csv", ".csv.gz"]))
@relaxed
def test_files_come_back_under_a_name_that_follows_from_them(body: bytes, suffix: str, store: Store) -> None:
    one, two = (File(Path(tempfile.mkdtemp()) / f"{name}{suffix}") for name in ("one", "other"))
    for file in (one, two):
        file.path.write_bytes(body)
    artifacts = [encode_value(file, "file", store) for file in (one, two)]
    assert artifacts[0].identity == artifacts[1].identity
    backs = [decode_value(artifact, store, scratch=Path(tempfile.mkdtemp())) for artifact in artifacts]
    assert all(isinstance(back, File) and back.read_bytes() == body for back in backs)
    assert backs[0].name == backs[1].name  # type: ignore[attr-defined]
    assert backs[0].name.endswith(suffix)  # type: ignore[attr-defined]
    other = File(one.path.rename(one.path.with_name("one.other")))
    assert encode_value(other, "file", store).identity != artifacts[0].identity
