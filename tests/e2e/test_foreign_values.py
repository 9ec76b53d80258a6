"""What an unknown key wrote: read as data, never executed."""

from __future__ import annotations

import sys

import pytest

from headwater import Workspace
from headwater.errors import TrustError
from headwater.trust import Keyring

PICKLED = """
from typing import Annotated
from headwater import codec, pipeline, step

@step
def make() -> Annotated[object, codec("pickle")]:
    return {1, 2}

@step
def use(made: object) -> int:
    return len(made)

@pipeline
def main() -> dict[str, object]:
    made = make()
    return {"made": made, "size": use(made)}
"""


@pytest.fixture
def other(project, monkeypatch):
    """Run as somebody else; afterwards this process has a key of its own."""
    place = project.folder.parent
    for name, value in project.environment().items():
        if name.startswith(("HEADWATER_", "XDG_")):
            monkeypatch.setenv(name, value)
    return {"HEADWATER_KEY": str(place / "other" / "key.json")}


def opened(project):
    return Workspace(project=project.folder, store=project.folder / ".headwater", create=False)


def test_a_pickle_of_an_unknown_key_is_not_opened(project, other):
    project.write(pipeline=PICKLED)
    assert project.hw("run", "pipeline.py", **other).status == 0
    found = opened(project).result("latest")
    assert found.value("use") == 2
    for read in (lambda: found.output, lambda: found.value("make")):
        with pytest.raises(TrustError, match="pickle"):
            read()
    debugged = project.hw("debug", "latest", "use", "--no-pdb", "--current")
    assert debugged.status != 0
    assert "pickle" in debugged.err
    Keyring.load().add(project.hw("trust", "export", **other).out, name="colleague")
    assert opened(project).result("latest").output == {"made": {1, 2}, "size": 2}
    assert "gave 2" in project.hw("debug", "latest", "use", "--no-pdb", "--current").out


def test_a_pickle_of_ones_own_is_opened_also_when_it_was_reused(project, other):
    project.write(pipeline=PICKLED)
    for _ in range(2):
        assert project.hw("run", "pipeline.py").status == 0
        assert opened(project).result("latest").output == {"made": {1, 2}, "size": 2}
    assert project.statuses("--force", "make") == {"make": "ran", "use": "reused"}
    assert opened(project).result("latest").value("make") == {1, 2}
    assert "gave 2" in project.hw("debug", "latest", "use", "--no-pdb").out


def test_what_an_unknown_key_wrote_imports_no_module(project, other, tmp_path, monkeypatch):
    (tmp_path / "lib").mkdir()
    monkeypatch.syspath_prepend(tmp_path / "lib")
    code = "from dataclasses import dataclass\n@dataclass\nclass Report:\n    score: float\n"
    (tmp_path / "lib" / "reports_elsewhere.py").write_text(code)
    project.write(
        pipeline="""
        from headwater import pipeline, step
        from reports_elsewhere import Report

        @step
        def make() -> list[Report]:
            return [Report(0.5)]

        @pipeline
        def main() -> list[Report]:
            return make()
        """
    )
    where = {"PYTHONPATH": str(tmp_path / "lib")}
    done = project.hw("run", "pipeline.py", **other, **where)
    assert done.status == 0, done.err
    with pytest.raises(TrustError, match="not trusted"):
        _ = opened(project).result("latest").output
    assert "reports_elsewhere" not in sys.modules
    assert project.hw("run", "pipeline.py", "--force", "make", **where).status == 0
    (report,) = opened(project).result("latest").output
    assert report.score == 0.5
    monkeypatch.delitem(sys.modules, "reports_elsewhere")
