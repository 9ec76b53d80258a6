"""What a plan tells of inputs that are known before anything runs: parameters, files, and what is reused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.projects import Project

if TYPE_CHECKING:
    from pathlib import Path

PIPELINE = """
    from pathlib import Path
    from headwater import File, over, pipeline, step

    @step
    def one(x: int) -> int:
        return x + 1

    @step
    def kept(x: int) -> int:
        return x * 2

    @step
    def two(a: int, b: int, rate: float, f: File) -> float:
        return (a + b) * rate + len(Path(f).read_text())

    @step
    def each(value: int, a: int, rate: float) -> float:
        return value + a + rate

    @pipeline
    def main(x: int = 1, rate: float = 0.5, values: list[int] = [1, 2], f: File = File("data.txt")) -> float:
        a = one(x)
        each.map(over(values), a, rate)
        return two(a, kept(x), rate, f)
"""


@pytest.fixture
def ran(tmp_path: Path) -> Project:
    """A project with one run, and a step edited after it so that its result stays the same."""
    project = Project(tmp_path)
    project.write(headwater_toml='backend = "inline"\n', pipeline=PIPELINE)
    (tmp_path / "data.txt").write_text("abc")
    done = project.hw("run", "pipeline.py")
    assert done.status == 0, done.err
    source = tmp_path / "pipeline.py"
    source.write_text(source.read_text().replace("x + 1", "1 + x"))
    return project


def plan(project: Project, *words: str) -> dict[str, tuple[str, str]]:
    done = project.hw("plan", "pipeline.py", *words, "--json")
    assert done.status == 0, done.err
    return {step["name"]: (step["action"], step["reason"]) for step in done.json["steps"]}


def test_a_parameter_that_changed_is_told_beside_a_step_that_did(ran: Project) -> None:
    told = plan(ran, "rate=0.9")
    changed = ("unknown", "parameter rate changed: 0.5 → 0.9; the rest is known when 'one' has run")
    assert told["two"] == told["each[0]"] == told["each[1]"] == changed
    assert ran.statuses("rate=0.9")["two"] == "ran"


def test_elements_of_a_map_are_told_apart(ran: Project) -> None:
    told = plan(ran, "values=[1, 3]")
    assert told["each[0]"][1] == "until 'one' has run: if its result is the same, this is reused"
    assert told["each[1]"][1].endswith("changed: 2 → 3; the rest is known when 'one' has run"), told["each[1]"]


def test_a_file_that_changed_is_told_beside_a_step_that_did(ran: Project) -> None:
    (ran.folder / "data.txt").write_text("abcd")
    told = plan(ran)
    assert told["two"][1] == "file data.txt (parameter f) changed; the rest is known when 'one' has run"


def test_what_did_not_change_waits_for_the_step_before(ran: Project) -> None:
    told = plan(ran)
    assert told["two"] == ("unknown", "until 'one' has run: if its result is the same, this is reused")
    assert ran.statuses()["two"] == "reused"


FOLDERS = """
    from pathlib import Path
    from headwater import Dir, File, pipeline, step

    @step
    def total(folder: Dir, notes: File) -> File:
        out = File.new("total.txt")
        texts = [path.read_text() for path in sorted(Path(folder).iterdir()) if path.is_file()]
        Path(out).write_text("".join(texts) + Path(notes).read_text())
        return out

    @step
    def make(n: int) -> Dir:
        out = Dir.new("made")
        (Path(out) / "n.txt").write_text(str(n))
        return out

    @step
    def take(made: Dir) -> int:
        return int((Path(made) / "n.txt").read_text())

    @pipeline
    def main(folder: Dir = Dir("data"), notes: File = File("notes.txt"), n: int = 1) -> File:
        take(make(n))
        return total(folder, notes)
"""


@pytest.fixture(params=[0, 60], ids=["small", "large"])
def folders(tmp_path: Path, request: pytest.FixtureRequest) -> Project:
    """A project with one run that took a folder, small or with more files than travel inside its document."""
    project = Project(tmp_path)
    project.write(headwater_toml='backend = "inline"\n', pipeline=FOLDERS)
    (tmp_path / "notes.txt").write_text("notes")
    (tmp_path / "data").mkdir()
    for name in ("jan", "feb", "mar", *(f"more-{place}" for place in range(request.param))):
        (tmp_path / "data" / f"{name}.csv").write_text(name)
    done = project.hw("run", "pipeline.py")
    assert done.status == 0, done.err
    return project


def test_the_files_of_a_folder_that_changed_are_named(folders: Project) -> None:
    (folders.folder / "data" / "feb.csv").write_text("other")
    reason = "folder data (parameter folder) changed: feb.csv"
    assert plan(folders)["total"] == ("run", reason)
    (folders.folder / "data" / "apr.csv").write_text("new")
    (folders.folder / "data" / "mar.csv").unlink()
    reason += " (and 2 more)"
    assert plan(folders)["total"] == ("run", reason)
    ran = folders.hw("run", "pipeline.py", "n=2")
    assert f"({reason})" in ran.err + ran.out
    assert "input made (from make) changed: n.txt" in ran.err + ran.out
    assert reason in folders.hw("why", "total").out


def test_two_runs_differ_in_words(folders: Project) -> None:
    (folders.folder / "data" / "feb.csv").write_text("other")
    assert folders.hw("run", "pipeline.py").status == 0
    (folders.folder / "data" / "may.csv").write_text("new")
    (folders.folder / "notes.txt").write_text("others")
    assert folders.hw("run", "pipeline.py").status == 0
    full = folders.hw("diff", "--full").out
    assert "    input folder: folder data changed: may.csv added\n" in full
    assert "    input notes: file notes.txt changed\n" in full
    assert "  total: input folder: folder data changed: may.csv added (and 1 more); another result" in (
        folders.hw("diff").out
    )


def test_a_folder_of_many_files_is_taken_once(folders: Project) -> None:
    assert set(folders.statuses().values()) == {"reused"}


def test_a_file_inside_a_folder_is_traced_by_the_folder(folders: Project) -> None:
    refused = folders.hw("lineage", "data/feb.csv")
    assert refused.status == 2
    assert "it lies in data, which steps read: hw lineage data\n" in refused.err
    assert "total in " in folders.hw("lineage", "data").out
    assert "data" not in folders.hw("lineage", "elsewhere/feb.csv").err
