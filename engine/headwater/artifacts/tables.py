# pyright: reportUnknownParameterType=false
# pyarrow ships no types.

"""The codec of Arrow tables: the IPC file format, uncompressed, so that a local read maps the file and copies nothing.

Rows are cut into batches of a fixed number, and each batch is put into canonical form (:mod:`.columns`), so that equal
tables give equal bytes; one batch at a time, so that a table larger than memory can pass. Schema metadata is kept,
sorted; versions of libraries that pandas notes in it are left out.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

from headwater.artifacts.columns import Place, canonical_array, has_dictionary
from headwater.digest import canonical
from headwater.errors import ValueNotStorable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pyarrow as pa

    from headwater.artifacts.seam import Sink, Source
    from headwater.digest import Json

#: Rows of a batch; the last of a table has what is left.
BATCH_ROWS = 1 << 18
#: Schema metadata under which codecs keep what Arrow cannot say.
NOTE = b"headwater"

_IN_MEMORY = 1 << 20
_PANDAS = b"pandas"
#: What pandas' metadata says of libraries, not of the table.
_VERSIONS = ("creator", "pandas_version")


class TableCodec:
    """``pyarrow.Table`` and ``pyarrow.RecordBatch``."""

    name = "arrow"

    def matches(self, value: object) -> bool:
        """Tell whether the value is a table or a record batch."""
        kind = type(value)
        return kind.__module__.partition(".")[0] == "pyarrow" and kind.__qualname__ in {"Table", "RecordBatch"}

    def encode(self, value: object, sink: Sink) -> Mapping[str, Json]:
        """Write the table in canonical form."""
        import pyarrow as pa

        if isinstance(value, pa.RecordBatch):
            table = pa.Table.from_batches([value])
            write_table(table, sink, note={"kind": "batch"}, rows=max(1, table.num_rows))
        else:
            write_table(cast("pa.Table", value), sink)
        return {}

    def decode(self, source: Source) -> pa.Table | pa.RecordBatch:
        """Return the table; immutable, so that mapping the stored file is as good as a copy of it."""
        import pyarrow as pa

        table, note = read_table(source)
        if note.get("kind") != "batch":
            return table
        batches = table.to_batches()
        return batches[0] if batches else pa.RecordBatch.from_pylist([], schema=table.schema)


def write_table(
    table: pa.Table,
    sink: Sink,
    *,
    note: Mapping[str, Json] | None = None,
    keep_unused: bool = False,
    rows: int = BATCH_ROWS,
) -> None:
    """Write a table in canonical form, with a note of the codec's own in its schema's metadata."""
    import pyarrow as pa

    table = _settled(table, keep_unused=keep_unused)
    schema = _canonical_schema(table.schema, note)
    options = pa.ipc.IpcWriteOptions(metadata_version=pa.ipc.MetadataVersion.V5, compression=None, use_threads=False)
    small = table.nbytes <= _IN_MEMORY
    target = pa.BufferOutputStream() if small else pa.OSFile(str(sink.file()), "wb")
    with target:
        with pa.ipc.new_file(target, schema, options=options) as writer:
            for start in range(0, table.num_rows, rows):
                for batch in _batches(table.slice(start, rows), schema):
                    writer.write_batch(batch)
        if small:
            sink.write(memoryview(target.getvalue()))


def read_table(source: Source) -> tuple[pa.Table, Mapping[str, Json]]:
    """Return a stored table, and the note that was written with it."""
    import pyarrow as pa

    path = source.local()
    body = pa.memory_map(str(path), "r") if path is not None else pa.py_buffer(source.read())
    table = pa.ipc.open_file(body).read_all()
    metadata = dict(table.schema.metadata or {})
    note = cast("Mapping[str, Json]", json.loads(metadata.pop(NOTE, b"{}")))
    return (table.replace_schema_metadata(metadata or None) if note else table), note


def _settled(table: pa.Table, *, keep_unused: bool) -> pa.Table:
    """Return a table in which each dictionary is the same for the whole column, as the file format wants it."""
    for number, field in enumerate(table.schema):
        if has_dictionary(field.type):
            whole = _joined(table.column(number))
            clean = canonical_array(whole, Place(settle=True, keep_unused=keep_unused))
            table = table.set_column(number, field.with_type(clean.type), clean)
    return table


def _batches(window: pa.Table, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Yield a window of a table as one canonical batch, or as halves where one array cannot hold its text."""
    import pyarrow as pa

    try:
        arrays = [canonical_array(_joined(column), Place()) for column in window.columns]
    except pa.ArrowInvalid:
        if window.num_rows < 2:
            raise
        half = window.num_rows // 2
        yield from _batches(window.slice(0, half), schema)
        yield from _batches(window.slice(half), schema)
        return
    yield pa.RecordBatch.from_arrays(arrays, schema=schema)


def _joined(column: pa.ChunkedArray) -> pa.Array:
    import pyarrow as pa
    from pyarrow import types

    chunks = column.chunks
    if len(chunks) == 1:
        return chunks[0]
    if not chunks:
        return pa.array([], column.type)
    try:
        return pa.concat_arrays(chunks)
    except pa.ArrowInvalid:
        if not types.is_dictionary(column.type) or column.type.index_type == pa.int32():
            raise
        # Together the dictionaries outgrow their indices.
        wide = pa.dictionary(pa.int32(), column.type.value_type, ordered=column.type.ordered)
        return pa.concat_arrays([chunk.cast(wide) for chunk in chunks])
    except pa.ArrowNotImplementedError:
        raise ValueNotStorable(
            f"a column of the Arrow type {column.type} in several chunks cannot be stored",
            hint="combine its chunks, or cast it to another type",
        ) from None


# --------------------------------------------------------------------------------------------------------- schemas


def _canonical_schema(schema: pa.Schema, note: Mapping[str, Json] | None) -> pa.Schema:
    import pyarrow as pa

    metadata = dict(schema.metadata or {})
    metadata.pop(NOTE, None)
    if _PANDAS in metadata:
        metadata[_PANDAS] = _without_versions(metadata[_PANDAS])
    if note:
        metadata[NOTE] = canonical(dict(note))
    return pa.schema([_canonical_field(field) for field in schema], metadata=_sorted(metadata))


def _sorted(metadata: Mapping[bytes, bytes] | None) -> dict[bytes, bytes] | None:
    return dict(sorted(metadata.items())) if metadata else None


def _without_versions(text: bytes) -> bytes:
    try:
        document = json.loads(text)
        return canonical({key: item for key, item in document.items() if key not in _VERSIONS})
    except (ValueError, AttributeError):
        return text


def _canonical_field(field: pa.Field) -> pa.Field:
    return field.with_type(_canonical_type(field.type)).with_metadata(_sorted(field.metadata))


def _canonical_type(kind: pa.DataType) -> pa.DataType:
    """Return a type in which the metadata of inner fields is sorted."""
    import pyarrow as pa
    from pyarrow import types

    if isinstance(kind, pa.BaseExtensionType) or not any(_has_metadata(field) for field in _fields(kind)):
        return kind
    fields = [_canonical_field(field) for field in _fields(kind)]
    if types.is_struct(kind):
        return pa.struct(fields)
    if types.is_fixed_size_list(kind):
        return pa.list_(fields[0], kind.list_size)
    wraps: Sequence[tuple[Any, Any]] = ((types.is_list, pa.list_), (types.is_large_list, pa.large_list))
    return next((wrap(fields[0]) for test, wrap in wraps if test(kind)), kind)


def _has_metadata(field: pa.Field) -> bool:
    return bool(field.metadata) or any(_has_metadata(inner) for inner in _fields(field.type))


def _fields(kind: pa.DataType) -> list[pa.Field]:
    return [kind.field(number) for number in range(kind.num_fields)]
