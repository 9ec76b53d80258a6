"""An artifact as a file of the user's: tables in the format that the file's name asks for, all else as it is."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from headwater.artifacts import decode_value
from headwater.errors import RequestError
from headwater.values import load_type

if TYPE_CHECKING:
    from collections.abc import Callable

    from headwater.artifacts import Artifact
    from headwater.digest import Json
    from headwater.store import Store

#: Types of artifacts that hold rows and columns.
TABLES: Final = frozenset({"arrow", "pandas", "polars"})
#: Type → suffix of a file that holds its body as it is.
_SUFFIXES = {"json": ".json", "npy": ".npy", "pickle": ".pickle", "bytes": ".bin"}


def suggested_name(artifact: Artifact, name: str) -> str:
    """Return the file name that fits an artifact: its own, or ``name`` with a suffix."""
    own = artifact.meta.get("name")
    if isinstance(own, str) and own and "/" not in own:
        return own
    suffix = artifact.meta.get("suffix")
    if artifact.type in TABLES:
        return f"{name}.parquet"
    return name + (suffix if isinstance(suffix, str) else _SUFFIXES.get(artifact.type, ""))


def body(artifact: Artifact, store: Store) -> bytes:
    """Return the stored bytes of an artifact, verified. Nothing is decoded."""
    return store.get(artifact.digest) if artifact.inline is None else artifact.inline


def as_json(artifact: Artifact, store: Store) -> Json:
    """Return a plain value as JSON; what JSON does not have is tagged. Raises RequestError for another type."""
    if artifact.type != "json":
        raise RequestError(
            f"an artifact of type {artifact.type!r} cannot be printed", hint="write it to a file: hw get … -o FILE"
        )
    return cast("Json", json.loads(body(artifact, store)))


def save(artifact: Artifact, store: Store, to: Path) -> None:
    """Write an artifact to a file, or a folder of files to a folder.

    A table is written as Parquet, CSV or Arrow by the suffix of the name. A pickle is written as it is and not opened.
    Raises RequestError when the place or the suffix does not fit.
    """
    if to.is_dir() and (artifact.type != "dir" or any(to.iterdir())):
        raise RequestError(f"{to} is a folder that is there already", hint="name a new one")
    to.absolute().parent.mkdir(parents=True, exist_ok=True)
    if artifact.type in TABLES:
        _save_table(artifact, store, to)
    elif artifact.type == "dir":
        with tempfile.TemporaryDirectory(prefix="headwater-") as scratch:
            found = decode_value(artifact, store, scratch=Path(scratch), load=load_type)
            shutil.copytree(str(found), to, dirs_exist_ok=True)
    elif artifact.type == "json":
        to.write_text(json.dumps(as_json(artifact, store), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    elif artifact.inline is not None:
        to.write_bytes(artifact.inline)
    else:
        store.fetch(artifact.digest, to)


def _save_table(artifact: Artifact, store: Store, to: Path) -> None:
    write = _WRITERS.get(to.suffix.lower())
    if write is None:
        raise RequestError(
            f"a table cannot be written as {to.suffix or to.name!r}",
            facts={"formats": ", ".join(_WRITERS)},
            hint=f"name the file {to.stem}.parquet",
        )
    with tempfile.TemporaryDirectory(prefix="headwater-") as scratch:
        write(_as_table(decode_value(artifact, store, scratch=Path(scratch), load=load_type)), str(to))


def _as_table(value: Any) -> Any:
    """Return a table, whatever library its value belongs to."""
    import pyarrow as pa

    if isinstance(value, pa.RecordBatch):
        return pa.Table.from_batches([value])
    if isinstance(value, pa.Array | pa.ChunkedArray):
        return pa.table({"value": value})
    if isinstance(value, pa.Table):
        return value
    if hasattr(value, "to_frame"):  # a series, of either library
        value = value.to_frame()
    return value.to_arrow() if hasattr(value, "to_arrow") else pa.Table.from_pandas(value)


def _write_parquet(table: Any, to: str) -> None:
    from pyarrow import parquet

    parquet.write_table(table, to)


def _write_csv(table: Any, to: str) -> None:
    from pyarrow import csv

    csv.write_csv(table, to)


def _write_arrow(table: Any, to: str) -> None:
    from pyarrow import feather

    feather.write_feather(table, to, compression="uncompressed")


_WRITERS: dict[str, Callable[[Any, str], None]] = {
    ".parquet": _write_parquet,
    ".csv": _write_csv,
    ".arrow": _write_arrow,
    ".feather": _write_arrow,
}
