# pyright: reportUnknownParameterType=false
# pyarrow ships no types.

"""Codecs of pandas and Polars: frames and series, by way of Arrow.

What comes back is exactly what went in, or it is refused when it is stored: Arrow has no form for some columns, and
would turn others into something near.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from headwater import values
from headwater.artifacts.tables import read_table, write_table
from headwater.errors import ValueNotStorable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import pandas as pd
    import polars as pl
    import pyarrow as pa

    from headwater.artifacts.seam import Sink, Source
    from headwater.digest import Json

_KINDS = frozenset({"DataFrame", "Series"})
#: Name of the only column of a frame that stands for a series.
_SERIES = "values"


class PandasCodec:
    """``pandas.DataFrame`` and ``pandas.Series``, with their index."""

    name = "pandas"

    def matches(self, value: object) -> bool:
        """Tell whether the value is a frame or series, and no subclass that would be lost."""
        kind = type(value)
        return kind.__module__.partition(".")[0] == "pandas" and kind.__qualname__ in _KINDS

    def encode(self, value: object, sink: Sink) -> Mapping[str, Json]:
        """Write the frame as a table; categories are kept as they are."""
        import pandas as pd

        note: dict[str, Json] = {"kind": "frame"}
        if isinstance(value, pd.Series):
            note = {"kind": "series", "name": values.to_json(value.name)}
            frame = value.to_frame(name=_SERIES)
            frame.attrs = value.attrs
        else:
            frame = cast("pd.DataFrame", value)
        note |= _index_note(frame)
        table, columns = _to_table(frame)
        note["columns"] = columns
        _check_frame(frame, _from_table(table.slice(0, 0), note, rows=False))
        write_table(table, sink, note=note, keep_unused=True)
        return {}

    def decode(self, source: Source) -> pd.DataFrame | pd.Series:
        """Return a frame of its own."""
        table, note = read_table(source)
        frame = _from_table(table, note)
        if max((column.num_chunks for column in table.columns), default=0) <= 1:
            frame = frame.copy()  # a column in one piece may still be a view of the stored file
        if note["kind"] != "series":
            return frame
        series = frame[_SERIES]
        series.name = cast("Any", values.from_json(note["name"]))
        series.attrs = frame.attrs
        return series


def _index_note(frame: pd.DataFrame) -> dict[str, Json]:
    """Return what Arrow would not keep of the index and of the columns' names: ranges and frequencies."""
    import pandas as pd

    note: dict[str, Json] = {}
    for key, index in (("rows", frame.index), ("names", frame.columns)):
        if isinstance(index, pd.RangeIndex):
            note[key] = [index.start, index.stop, index.step, values.to_json(index.name)]
    has_freq = isinstance(frame.index, pd.DatetimeIndex | pd.TimedeltaIndex)
    if has_freq and (freq := cast("Any", frame.index).freqstr):
        note["freq"] = freq
    return note


def _to_table(frame: pd.DataFrame) -> tuple[pa.Table, dict[str, Json]]:
    """Return a frame as a table, and how the columns were that Arrow alone would bring back as others."""
    import pandas as pd
    import pyarrow as pa

    columns: dict[str, Json] = {}
    for number, dtype in enumerate(frame.dtypes):
        if dtype == "object":
            columns[str(number)] = _missing_of(frame.iloc[:, number])
        elif isinstance(dtype, pd.ArrowDtype):
            columns[str(number)] = "arrow"
    try:
        table = pa.Table.from_pandas(frame)
    except (pa.ArrowException, TypeError, ValueError, NotImplementedError) as error:
        raise ValueNotStorable(
            "this pandas frame cannot be stored",
            facts={"because": " ".join(map(str, error.args))},
            hint="give each column one type and a name of its own, or return a File",
        ) from error
    table = _with_wide_text(table, columns)
    for place, how in columns.items():
        if how != "arrow":
            _check_objects(frame.iloc[:, int(place)], table.column(int(place)), how)
    return table, columns


def _with_wide_text(table: pa.Table, columns: Mapping[str, Json]) -> pa.Table:
    """Text that pandas regards as equal may lie in Arrow's string or large_string: always take the latter."""
    import pyarrow as pa
    from pyarrow import types

    for number, field in enumerate(table.schema):
        kind = field.type
        if columns.get(str(number)) == "arrow":
            continue  # there the Arrow type is the column's type
        if types.is_string(kind):
            kind = pa.large_string()
        elif types.is_dictionary(kind) and types.is_string(kind.value_type):
            kind = pa.dictionary(kind.index_type, pa.large_string(), ordered=kind.ordered)
        if kind != field.type:
            table = table.set_column(number, field.with_type(kind), table.column(number).cast(kind))
    return table


def _from_table(table: pa.Table, note: Mapping[str, Json], *, rows: bool = True) -> pd.DataFrame:
    """Return the frame that a table and its note stand for; without its own ``rows``, one that has none."""
    import pandas as pd

    frame = cast("pd.DataFrame", table.to_pandas())
    if "rows" in note:
        index = _range(note["rows"])
        frame = frame.set_axis(index if rows else index[:0]) if len(frame.columns) else pd.DataFrame(index=index)
    for number, how in cast("Mapping[str, str]", note["columns"]).items():
        column = table.column(int(number))
        if how == "arrow":
            series = pd.Series(pd.arrays.ArrowExtensionArray(column), index=frame.index)
        else:
            series = pd.Series(_objects(column, how), index=frame.index, dtype=object)
        frame.isetitem(int(number), series)
    if "names" in note:
        frame.columns = _range(note["names"])
    if "freq" in note and rows:
        cast("Any", frame.index).freq = note["freq"]
    return frame


def _range(note: Json) -> pd.RangeIndex:
    import pandas as pd

    start, stop, step, name = cast("list[Any]", note)
    return pd.RangeIndex(start, stop, step, name=cast("Any", values.from_json(name)))


def _objects(column: pa.ChunkedArray, missing: str) -> list[object]:
    items = cast("list[object]", column.to_pylist())
    return [float("nan") if item is None else item for item in items] if missing == "nan" else items


def _missing_of(column: pd.Series) -> str:
    """Return how a column of objects writes what is missing."""
    return "nan" if any(isinstance(item, float) and item != item for item in column) else "none"  # noqa: PLR0124  NaN


def _check_objects(column: pd.Series, stored: pa.ChunkedArray, missing: Json) -> None:
    """Refuse a column of objects that would not come back as the same objects."""
    try:
        same = values.encode(list(column)) == values.encode(_objects(stored, cast("str", missing)))
    except ValueNotStorable as error:
        same, because = False, error.sentence
    else:
        because = "Arrow would turn its objects into others"
    if not same:
        raise ValueNotStorable(
            f"the column {column.name!r} of this pandas frame holds objects that cannot be stored",
            facts={"because": because},
            hint="give the column a type with .astype(...), or return a File",
        )


def _check_frame(frame: pd.DataFrame, again: pd.DataFrame) -> None:
    """Refuse a frame whose types, names or attributes would change; ``again`` is the stored form of no rows of it."""
    checks: list[tuple[str, Callable[[pd.DataFrame], object]]] = [
        ("types of columns", lambda one: list(one.dtypes)),
        ("type of the columns' names", lambda one: (_index_kind(one.columns), list(one.columns.names))),
        ("names of columns", lambda one: list(one.columns)),
        ("index", lambda one: (_index_kind(one.index), list(one.index.names))),
        ("attributes", lambda one: one.attrs),
    ]
    for what, look in checks:
        if look(frame) != look(again):
            raise ValueNotStorable(
                f"the {what} of this pandas frame cannot be stored",
                facts={"is": look(frame), "would be": look(again)},
                hint="use plain types and names, reset the index, or return a File",
            )


def _index_kind(index: pd.Index) -> object:
    import pandas as pd

    kinds = list(index.dtypes) if isinstance(index, pd.MultiIndex) else [index.dtype]
    return type(index).__name__, kinds


class PolarsCodec:
    """``polars.DataFrame`` and ``polars.Series``."""

    name = "polars"

    def matches(self, value: object) -> bool:
        """Tell whether the value is an eager frame or series."""
        kind = type(value)
        return kind.__module__.partition(".")[0] == "polars" and kind.__qualname__ in _KINDS

    def encode(self, value: object, sink: Sink) -> Mapping[str, Json]:
        """Write the frame as a table."""
        import polars as pl

        kind = "series" if isinstance(value, pl.Series) else "frame"
        frame = value.to_frame() if isinstance(value, pl.Series) else cast("pl.DataFrame", value)
        try:
            table = frame.to_arrow()
            again = cast("pl.DataFrame", pl.from_arrow(table.slice(0, 0))).schema
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
            raise ValueNotStorable(
                "this Polars frame cannot be stored", facts={"because": error}, hint="cast its columns to plain types"
            ) from error
        if again != frame.schema:
            changed = [name for name, dtype in frame.schema.items() if again.get(name) != dtype]
            raise ValueNotStorable(
                "columns of this Polars frame have types that cannot be stored",
                facts={"columns": ", ".join(changed)},
                hint="cast them to plain types",
            )
        write_table(table, sink, note={"kind": kind})
        return {}

    def decode(self, source: Source) -> pl.DataFrame | pl.Series:
        """Return the frame; Polars never changes memory that it shares."""
        import polars as pl

        table, note = read_table(source)
        frame = cast("pl.DataFrame", pl.from_arrow(table, rechunk=False))
        return frame.to_series(0) if note["kind"] == "series" else frame
