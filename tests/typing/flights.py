"""The pipeline that the documentation explains, as an author types it: both checkers pass it without a word."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from headwater import Dir, File, Resources, Retry, notify, otherwise, over, pipeline, register, step, when


@dataclass(frozen=True)
class Trees:
    """How to grow them."""

    depth: int
    seed: int = 0


@dataclass(frozen=True)
class Report:
    """How good a model is."""

    f1: float
    rows: int


@step(retry=Retry(3, wait="10s"), secrets=["FLIGHTS_API_KEY"], fresh="1d")
def fetch(month: str) -> Dir:
    """Fetch a month's flights."""
    folder = Dir.new("raw")
    (folder / "flights.csv").write_text(month)
    return folder


@step
def clean(raw: Dir, *, drop_cancelled: bool = True) -> pa.Table:
    """Read and clean them."""
    return pa.table({"names": [path.name for path in raw.path.iterdir()], "dropped": [drop_cancelled]})


@step(resources=Resources(cpus=4, memory="16GiB", gpus=1), env={"OMP_NUM_THREADS": "4"})
def train(data: pa.Table, trees: Trees) -> File:
    """Train one model."""
    model = File.new("model.joblib")
    model.path.write_text(f"{data.num_rows} {trees.depth}")
    return model


@step
def best(models: list[File], data: pa.Table) -> File:
    """Choose one."""
    return models[int(data.num_rows) % len(models)]


@step
def evaluate(model: File, data: pa.Table) -> Report:
    """Measure it."""
    return Report(len(model.read_bytes()) / 10, data.num_rows)


@pipeline
def flights(month: str = "2026-01", min_f1: float = 0.8) -> Report:
    """Train on a month of flights, and register the best model if it is good enough."""
    data = clean(fetch(month))
    models = train.map(data, over([Trees(4), Trees(8)]))
    model = best(models, data)
    report = evaluate(model, data)
    with when(report.f1 >= min_f1) as good:
        register.using(backend="sagemaker")(model, name="delay")
    with otherwise(good):
        notify("delay: f1 too low", report)
    return report
