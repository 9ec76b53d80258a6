"""What a reader wants to see: two plots and a page that holds them."""

from __future__ import annotations

import base64
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from headwater import File, step
from learning import Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@step
def plot_calibration(predictions: pa.Table) -> File:
    """Draw how often flights were late against how likely the model called it."""
    probability, late = predictions["probability"].to_numpy(), predictions["late"].to_numpy()
    # A small model says few different things: groups that would be empty are left out.
    edges = np.unique(np.quantile(probability, np.linspace(0, 1, calibration_bins() + 1)))
    place = np.clip(np.searchsorted(edges, probability, side="right") - 1, 0, len(edges) - 2)
    count = np.bincount(place, minlength=len(edges) - 1)
    said = np.bincount(place, weights=probability, minlength=len(edges) - 1) / count
    was = np.bincount(place, weights=late, minlength=len(edges) - 1) / count
    figure, axes = canvas("Calibration", "probability of being late, as predicted", "share that was late")
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    axes.plot(said, was, marker="o", color="tab:blue")
    axes.set_xlim(0, max(said.max(), was.max()) * 1.1)
    axes.set_ylim(0, max(said.max(), was.max()) * 1.1)
    return save(figure, "calibration.png")


@step
def plot_hours(predictions: pa.Table) -> File:
    """Draw the share of late flights by the hour of departure, as it was and as predicted."""
    hour = predictions["hour"].to_numpy().astype(int)
    count = np.bincount(hour)
    hours = np.flatnonzero(count)
    was = np.bincount(hour, weights=predictions["late"].to_numpy())[hours] / count[hours]
    said = np.bincount(hour, weights=predictions["probability"].to_numpy())[hours] / count[hours]
    figure, axes = canvas("Late flights by hour", "scheduled hour of departure", "share of flights")
    axes.bar(hours, was, color="0.8", label="was late")
    axes.plot(hours, said, marker="o", color="tab:blue", label="predicted")
    axes.set_xticks(hours)
    axes.legend()
    return save(figure, "hours.png")


@step
def write_page(report: Report, importances: dict[str, float], plots: list[File]) -> File:
    """Write one page with the figures and the plots inside."""
    page = File.new("report.html")
    images = "\n".join(f'<img src="data:image/png;base64,{encoded(plot)}">' for plot in plots)
    body = "\n".join(
        [
            "<!doctype html><meta charset='utf-8'><title>Flight delays</title>",
            "<style>body{font:16px sans-serif;max-width:60em;margin:2em auto}td{padding:0 1em}img{width:48%}</style>",
            f"<h1>Flight delays</h1><p>{report.flights:,} flights of months that the model has not seen.</p>",
            images,
            table("How well", {name: getattr(report, name) for name in Report.__dataclass_fields__}),
            table("What it goes by (AUC lost when shuffled)", importances),
        ]
    )
    Path(page).write_text(body + "\n", encoding="utf-8")
    return page


def calibration_bins() -> int:
    """Say into how many groups of equal size the predictions are put."""
    return 12


def canvas(title: str, across: str, up: str) -> tuple[Figure, Axes]:
    """Make an empty plot; not through pyplot, which keeps figures in the process."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set(title=title, xlabel=across, ylabel=up)
    return figure, axes


def save(figure: Figure, name: str) -> File:
    """Write a plot; without the version of the library, so that equal plots are equal files."""
    file = File.new(name)
    figure.savefig(Path(file), metadata={"Software": None})
    return file


def encoded(plot: File) -> str:
    """Give a file's bytes as text."""
    return base64.b64encode(Path(plot).read_bytes()).decode("ascii")


def table(title: str, rows: dict[str, float]) -> str:
    """Lay out names and numbers."""
    lines = "".join(f"<tr><td>{escape(name)}<td>{number:,.4g}" for name, number in rows.items())
    return f"<h2>{escape(title)}</h2><table>{lines}</table>"
