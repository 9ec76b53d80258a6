"""One pipeline with every kind of value and of step; every backend has to give the same results."""

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from shared import SCALE, Colour, Settings, scaled

from headwater import Dir, File, command, either, otherwise, over, pipeline, step, when


@dataclass(frozen=True)
class Report:
    mean: float
    rows: int
    table: pa.Table
    page: File


class Split(NamedTuple):
    low: list[int]
    high: list[int]


@step
def read(source: File) -> pa.Table:
    with source.open() as lines:
        rows = [line.strip().split(",") for line in lines][1:]
    return pa.table({"name": [name for name, _ in rows], "value": [int(value) for _, value in rows]})


@step
def values_of(table: pa.Table) -> list[int]:
    return table["value"].to_pylist()


@step
def dict_of(values: list[int]) -> dict[str, list[int]]:
    return {"values": values}


@step
def array_of(values: list[int]) -> np.ndarray:
    return np.array(values, dtype=np.float64).reshape(2, -1) * SCALE


@step
def frame_of(table: pa.Table) -> pd.DataFrame:
    return table.to_pandas()


@step
def split(values: list[int]) -> Split:
    return Split([value for value in values if value < 3], [value for value in values if value >= 3])


@step
def settings(name: str) -> Settings:
    return Settings(name, Colour.RED, {"b": (1, 2), "a": 1.0})


@step
def describe(given: Settings, factor: float) -> dict[str, object]:
    return {"name": given.name, "colour": given.colour.name, "sum": scaled(given.weights["a"]) * factor}


@step
def write(values: list[int]) -> File:
    out = File.new("values.json")
    out.path.write_text(json.dumps(values))
    return out


@step
def tree(source: Dir, values: list[int]) -> Dir:
    out = Dir.new("tree")
    shutil.copytree(source, out / "copy")
    (out / "values.txt").write_text("\n".join(map(str, values)))
    (out / "empty").mkdir()
    return out


# What follows changes what it was given; nobody else may see that.


@step
def spoil_list(values: list[int]) -> int:
    values.clear()
    return len(values)


@step
def spoil_array(array: np.ndarray) -> str:
    try:
        array[:] = -1
    except ValueError:
        return "changed or refused"
    return "changed or refused"


@step
def spoil_frame(frame: pd.DataFrame) -> int:
    frame["value"] = 0
    frame.loc[0, "name"] = "spoilt"
    del frame["name"]
    return 0


@step
def spoil_dict(given: dict[str, list[int]]) -> int:
    given["more"] = [9]
    given["values"].append(9)
    return 0


@step
def spoil_table(table: pa.Table) -> str:
    buffer = table["value"].chunk(0).buffers()[1]
    try:
        np.frombuffer(buffer, dtype=np.int64)[:] = -1
    except ValueError:
        return "changed or refused"
    return "changed or refused"


@step
def spoil_file(file: File) -> str:
    try:
        file.path.write_text("spoilt")
    except OSError:
        subprocess.run([sys.executable, "-c", "import os, sys; os.unlink(sys.argv[1])", str(file)], check=True)
    return "changed or refused"


@step
def spoil_folder(folder: Dir) -> str:
    for path in sorted(folder.path.rglob("*"), reverse=True):
        if path.is_file():
            path.unlink()
    (folder / "more.txt").write_text("spoilt")
    return "changed or refused"


@step
def total_list(values: list[int]) -> int:
    return sum(values)


@step
def total_array(array: np.ndarray) -> float:
    return float(array.sum())


@step
def total_frame(frame: pd.DataFrame) -> str:
    return f"{len(frame)} {frame['value'].sum()} {frame['name'].iloc[0]}"


@step
def total_dict(given: dict[str, list[int]]) -> int:
    return sum(sum(values) for values in given.values())


@step
def total_table(table: pa.Table) -> int:
    return pc.sum(table["value"]).as_py()


@step
def total_file(file: File) -> int:
    return sum(json.loads(file.read_text()))


@step
def total_folder(folder: Dir) -> list[str]:
    names = [path.relative_to(folder.path).as_posix() for path in folder.path.rglob("*") if path.is_file()]
    return sorted(names)


@step
def square(value: int) -> int:
    return value * value


@step
def fraction(value: int, of: int) -> float:
    return value / of


@step
def maximum(values: list[float]) -> float:
    return max(values)


@step
def small(value: float) -> str:
    return f"small {value!r}"


@step
def large(value: float) -> str:
    return f"large {value!r}"


@step
def report(table: pa.Table, counted: File) -> Report:
    page = File.new("page.html")
    page.path.write_text(f"<p>{table.num_rows} rows, {counted.read_text().strip()} lines</p>")
    kept = table.filter(pc.greater(table["value"], 1))
    return Report(pc.mean(table["value"]).as_py(), table.num_rows, kept, page)


count = command("sh count.sh {source} {out}", outputs=".txt", files=["count.sh"], name="count")


@pipeline
def everything(
    source: File = File("data.csv"),  # noqa: B008  a default names a file; nothing is read
    folder: Dir = Dir("folder"),  # noqa: B008
    name: str = "first",
    factor: float = 2.0,
) -> dict[str, object]:
    table = read(source)
    values = values_of(table)
    array, frame, file, made = array_of(values), frame_of(table), write(values), tree(folder, values)
    named = dict_of(values)
    parts = split(values)

    spoilt = [spoil_list(values), spoil_array(array), spoil_frame(frame), spoil_file(file), spoil_folder(made)]
    spoilt += [spoil_dict(named), spoil_table(table)]
    after = {"after": spoilt}
    totals = [
        total_list.using(**after)(values),
        total_array.using(**after)(array),
        total_frame.using(**after)(frame),
        total_dict.using(**after)(named),
        total_table.using(**after)(table),
        total_file.using(**after)(file),
        total_folder.using(**after)(made),
    ]

    fixed = square.map(over([1, 2, 3]))
    many = square.using(name="many").map(over(list(range(24))))  # on Dask, several travel as one task
    dynamic = fraction.map(over(square.map(over(parts.high))), of=totals[0])
    best = maximum(dynamic)
    with when(best > 0.5) as big:
        a = large(best)
    with otherwise(big):
        b = small(best)

    made_report = report(table, count(source=source))
    return {
        "totals": totals,
        "fixed": fixed,
        "many": many,
        "low": parts.low,
        "verdict": either(big, a, b),
        "described": describe(settings(name), factor),
        "mean": made_report.mean,
        "page": made_report.page,
    }


if __name__ == "__main__":
    result = everything.run(profile=sys.argv[1], store=sys.argv[2])
    Path(sys.argv[3]).write_text(json.dumps(result.document()))
