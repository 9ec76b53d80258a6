"""Make a small project that works: a pipeline of three steps, its data, its settings.

hw init weather && cd weather
hw run pipeline.py
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from headwater.cli import options
from headwater.errors import RequestError

if TYPE_CHECKING:
    import argparse

_PIPELINE = '''\
"""Which station is the warmest? Read, summarise, report.

hw run pipeline.py
hw run pipeline.py unit=F      # runs only what the parameter touches
hw why                         # says why each step ran, or was reused
"""

import csv
from pathlib import Path

from headwater import File, pipeline, step


@step
def read(source: File) -> list[tuple[str, float]]:
    """Read station and temperature of each row."""
    with Path(source).open() as lines:
        return [(row["station"], float(row["celsius"])) for row in csv.DictReader(lines)]


@step
def average(readings: list[tuple[str, float]]) -> dict[str, float]:
    """Return each station's mean temperature."""
    stations = sorted({station for station, _ in readings})
    values = {name: [value for station, value in readings if station == name] for name in stations}
    return {name: round(sum(found) / len(found), 2) for name, found in values.items()}


@step
def report(means: dict[str, float], unit: str) -> File:
    """Write a page of text: change the title below, run again, and only this step runs."""
    page = File.new("report.txt")
    lines = [f"{name:<10}{value * 9 / 5 + 32 if unit == 'F' else value:6.1f} {unit}" for name, value in means.items()]
    Path(page).write_text("\\n".join(["Means", *lines]) + "\\n")
    return page


@pipeline
def main(source: File = File("readings.csv"), unit: str = "C") -> File:
    """Wire the steps; this runs once, before any of them, and does no work itself."""
    return report(average(read(source)), unit)
'''

_SETTINGS = """\
# Where steps run and where things are kept. What a step needs stands in the code: @step(retry=..., resources=...).

store = ".headwater"    # or s3://bucket/prefix
backend = "dask"        # or threads, inline
"""

_DATA = """\
station,celsius
north,14.2
south,19.8
north,15.1
south,22.4
coast,17.3
coast,16.9
"""

_IGNORED = """\
/.headwater/
__pycache__/
"""

#: File → content.
FILES = {"pipeline.py": _PIPELINE, "headwater.toml": _SETTINGS, "readings.csv": _DATA, ".gitignore": _IGNORED}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("folder", metavar="FOLDER", nargs="?", default=".", help="default: this one")
    options.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Carry the command out."""
    folder = Path(args.folder)
    if folder.exists() and not folder.is_dir():
        raise RequestError(f"{folder} is no folder", hint="name a new folder")
    present = [name for name in FILES if (folder / name).exists()]
    if present:
        raise RequestError(
            f"nothing was written: {folder} has {', '.join(present)} already",
            facts={"folder": folder.resolve()},
            hint="name a new folder: hw init NAME",
        )
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in FILES.items():
        (folder / name).write_text(text, encoding="utf-8")
    if args.json:
        options.print_json({"folder": str(folder), "files": list(FILES)})
    else:
        print(f"made {', '.join(str(folder / name) for name in FILES)}")
        print("next: " + (f"cd {folder} && " if args.folder != "." else "") + "hw run pipeline.py")
    return 0
