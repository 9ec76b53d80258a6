"""From raw tables to what a model can learn from: joined rows, and for each month a table of numbers."""

from __future__ import annotations

from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headwater import step

#: What the model sees, in this order. The first two are codes of categories, the others are quantities.
FEATURES = (
    "carrier",
    "origin",
    "hour",
    "minute_of_day",
    "weekday",
    "days_to_holiday",
    "departures",
    "distance",
    "dest_lat",
    "dest_lon",
    "dest_alt",
    "plane_age",
    "seats",
    "temp",
    "dewp",
    "humid",
    "wind_speed",
    "precip",
    "pressure",
    "visib",
)
CATEGORIES = ("carrier", "origin")
WEATHER = ("temp", "dewp", "humid", "wind_speed", "precip", "pressure", "visib")


@step
def join(flights: pa.Table, *, weather: pa.Table, planes: pa.Table, airports: pa.Table, airlines: pa.Table) -> pa.Table:
    """Add to each flight the weather at its hour and origin, its plane, its destination and its airline's number."""
    joined = flights.select(["month", "day", "hour", "minute", "origin", "distance", "arr_delay"])
    joined = add(joined, {"carrier": look_up(flights["carrier"], airlines["carrier"])})
    hours = look_up(place_and_hour(flights), place_and_hour(weather))
    joined = add(joined, {name: weather[name].take(hours) for name in WEATHER})
    plane = look_up(flights["tailnum"], planes["tailnum"])
    joined = add(joined, {"built": planes["year"].take(plane), "seats": planes["seats"].take(plane)})
    dest = look_up(flights["dest"], airports["faa"])
    joined = add(joined, {f"dest_{name}": airports[name].take(dest) for name in ("lat", "lon", "alt")})
    return add(joined, {"departures": departures(flights)})


@step
def select_month(joined: pa.Table, month: int) -> pa.Table:
    """Cut one month out, so that a change in one month stays in that month."""
    return joined.filter(pc.equal(joined["month"], month))


@step
def make_features(flights: pa.Table, *, holidays: list[date], late_after: int) -> pa.Table:
    """Make the model's numbers of one month: features, and whether the flight was more than so many minutes late."""
    minute_of_day = pc.add(pc.multiply(flights["hour"], 60), flights["minute"])
    made = {
        "origin": pc.index_in(flights["origin"], pa.array(origins())),
        "minute_of_day": minute_of_day,
        "weekday": pa.array([day.weekday() for day in days(flights)]),
        "days_to_holiday": pa.array([days_to_holiday(day, holidays) for day in days(flights)]),
        "plane_age": pc.subtract(2013, flights["built"]),
    }
    columns = {name: made[name] if name in made else flights[name] for name in FEATURES}
    table = pa.table({name: pc.cast(column, pa.float32()) for name, column in columns.items()})
    return table.append_column("late", pc.greater(flights["arr_delay"], late_after))


def days_to_holiday(day: date, holidays: list[date]) -> int:
    """Count the days to the nearest holiday, a week at most."""
    return min(7, *(abs((day - holiday).days) for holiday in holidays))


def days(flights: pa.Table) -> list[date]:
    """Give each flight's date."""
    return [
        date(2013, month, day)
        for month, day in zip(flights["month"].to_pylist(), flights["day"].to_pylist(), strict=True)
    ]


def origins() -> list[str]:
    """List the airports of departure; a code is a place in this list."""
    return ["EWR", "JFK", "LGA"]


def departures(flights: pa.Table) -> pa.Array:
    """Count for each flight those that are to leave from the same airport in the same hour."""
    place = pc.dictionary_encode(place_and_hour(flights)).combine_chunks().indices.to_numpy()
    return pa.array(np.bincount(place)[place])


def place_and_hour(table: pa.Table) -> pa.ChunkedArray:
    """Name an airport and an hour in one text."""
    return pc.binary_join_element_wise(table["origin"], pc.cast(table["time_hour"], pa.string()), "|")


def look_up(wanted: pa.ChunkedArray, known: pa.ChunkedArray) -> pa.Array:
    """Give for each wanted name its row among the known ones, or null; unlike a hash join this keeps the order."""
    return pc.index_in(wanted, known.combine_chunks()).combine_chunks()


def add(table: pa.Table, columns: dict[str, pa.ChunkedArray]) -> pa.Table:
    """Append columns."""
    for name, column in columns.items():
        table = table.append_column(name, column)
    return table
