"""The steps of the flights example, called as the plain functions that they are outside a pipeline."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from types import ModuleType

import pyarrow as pa
import pytest

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "flights"
HOLIDAYS = [date.fromisoformat(line) for line in (FOLDER / "holidays.txt").read_text().split()]
MODULES = ["tables", "features", "learning", "report", "pipeline"]


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, ModuleType]]:
    """The example's modules, imported afresh and gone afterwards: their names are anybody's."""
    monkeypatch.syspath_prepend(str(FOLDER))
    before = {name: sys.modules.pop(name) for name in MODULES if name in sys.modules}
    yield {name: __import__(name) for name in MODULES[:4]}
    for name in MODULES:
        sys.modules.pop(name, None)
    sys.modules.update(before)


def flights(**columns: list[object]) -> pa.Table:
    row = {
        "year": 2013, "month": 7, "day": 3, "hour": 9, "minute": 30, "carrier": "UA", "origin": "JFK", "dest": "SFO",
        "tailnum": "N1", "distance": 2586, "arr_delay": 20, "time_hour": "2013-07-03T13:00:00Z",
    }  # fmt: skip
    length = len(next(iter(columns.values())))
    return pa.table({name: columns.get(name, [value] * length) for name, value in row.items()})


def joined(example: dict[str, ModuleType], table: pa.Table) -> pa.Table:
    hour = {name: [50.0] for name in example["features"].WEATHER}
    weather = {**hour, "temp": [71.5], "origin": ["JFK"], "time_hour": ["2013-07-03T13:00:00Z"]}
    return example["features"].join(
        table,
        weather=pa.table(weather),
        planes=pa.table({"tailnum": ["N1"], "year": [2001], "seats": [180]}),
        airports=pa.table({"faa": ["SFO"], "lat": [37.6], "lon": [-122.4], "alt": [13]}),
        airlines=pa.table({"carrier": ["AA", "UA"]}),
    )


def test_join_keeps_the_order_and_leaves_unknown_planes_empty(example: dict[str, ModuleType]) -> None:
    table = joined(example, flights(tailnum=["N1", None, "N2"], day=[3, 4, 5]))
    assert table["day"].to_pylist() == [3, 4, 5]
    assert table["seats"].to_pylist() == [180, None, None]
    assert table["temp"].to_pylist() == [71.5] * 3
    assert table["departures"].to_pylist() == [3, 3, 3]


def test_features_are_numbers_of_one_month(example: dict[str, ModuleType]) -> None:
    features = example["features"]
    table = features.select_month(joined(example, flights(month=[7, 8, 7], arr_delay=[20, 20, 15])), 7)
    made = features.make_features(table, holidays=[date(2013, 7, 4)], late_after=15)
    assert made.column_names == [*features.FEATURES, "late"]
    assert made["late"].to_pylist() == [True, False]
    assert made["minute_of_day"].to_pylist() == [570.0, 570.0]
    assert made["plane_age"].to_pylist() == [12.0, 12.0]
    assert made["carrier"].to_pylist() == [1.0, 1.0]


@pytest.mark.parametrize(
    ("day", "count"), [(date(2013, 7, 4), 0), (date(2013, 7, 3), 1), (date(2013, 7, 20), 7), (date(2013, 12, 24), 1)]
)
def test_days_to_holiday(example: dict[str, ModuleType], day: date, count: int) -> None:
    assert example["features"].days_to_holiday(day, HOLIDAYS) == count


def test_validate_drops_cancelled_flights_and_refuses_impossible_ones(example: dict[str, ModuleType]) -> None:
    validate = example["tables"].validate
    assert validate(flights(arr_delay=[1, None, 3])).num_rows == 2
    with pytest.raises(ValueError, match="hour is between 9 and 25"):
        validate(flights(hour=[9, 25]))
    with pytest.raises(ValueError, match="1 flights have no dest"):
        validate(flights(dest=["SFO", None]))


def test_evaluate_measures_a_perfect_and_a_reversed_prediction(example: dict[str, ModuleType]) -> None:
    evaluate = example["learning"].evaluate
    right = pa.table({"probability": [0.1, 0.2, 0.3, 0.9], "late": [False, False, False, True], "hour": [9.0] * 4})
    report = evaluate(right)
    assert (report.auc, report.f1, report.flights, report.late_share) == (1.0, 1.0, 4, 0.25)
    wrong = right.set_column(0, "probability", pa.array([0.9, 0.8, 0.7, 0.1]))
    assert evaluate(wrong).auc == 0.0


@pytest.mark.slow
def test_the_raw_tables_are_all_there(example: dict[str, ModuleType]) -> None:
    tables = example["tables"]
    assert tables.load_flights().num_rows == 336_776
    assert tables.load_weather().num_rows == 26_115
    assert tables.load_planes().num_rows == 3_322
    assert tables.load_airports().num_rows == 1_458
    assert tables.load_airlines().num_rows == 16
    assert tables.validate(tables.load_flights()).num_rows == 327_346
