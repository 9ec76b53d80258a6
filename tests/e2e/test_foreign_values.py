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


CODEC = """
import os
from pathlib import Path

class Model:
    pass

class ModelCodec:
    name = "model"

    def matches(self, value):
        return type(value) is Model

    def encode(self, value, sink):
        sink.write(b"model")
        return {}

    def decode(self, source):
        with Path(os.environ["DECODED"]).open("a") as file:
            file.write("decoded ")
        return Model()
"""


def test_a_value_of_an_unknown_key_is_not_given_to_the_codec_of_a_third_party(project, other, tmp_path):
    info = tmp_path / "lib" / "models-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: models\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[headwater.codecs]\nmodel = models_elsewhere:ModelCodec\n")
    (tmp_path / "lib" / "models_elsewhere.py").write_text(CODEC)
    project.write(
        pipeline="""
        from headwater import pipeline, step
        from models_elsewhere import Model

        @step
        def make() -> Model:
            return Model()

        @step(reuse=False)
        def use(made: Model) -> int:
            return 1

        @pipeline
        def main() -> int:
            return use(make())
        """
    )
    where = {"PYTHONPATH": str(tmp_path / "lib"), "DECODED": str(tmp_path / "decoded")}
    done = project.hw("run", "pipeline.py", **other, **where)
    assert done.status == 0, done.err
    planned = project.hw("plan", "pipeline.py", **where)
    assert "model written by the untrusted key" in planned.out, planned.out
    (tmp_path / "decoded").unlink()
    debugged = project.hw("debug", "latest", "use", "--no-pdb", "--current", **where)
    assert debugged.status != 0
    assert "not trusted" in debugged.err
    assert not (tmp_path / "decoded").exists()
    Keyring.load().add(project.hw("trust", "export", **other).out, name="colleague")
    assert "untrusted" not in project.hw("plan", "pipeline.py", **where).out


def test_planning_imports_no_module_that_an_unknown_key_names(project, other, tmp_path):
    (tmp_path / "lib").mkdir()
    code = """
import os
from dataclasses import dataclass
from pathlib import Path
Path(os.environ["IMPORTED"]).touch()

@dataclass
class Report:
    score: float
"""
    (tmp_path / "lib" / "reports_elsewhere.py").write_text(code)
    project.write(
        pipeline="""
        from headwater import pipeline, step

        @step
        def make() -> object:
            from reports_elsewhere import Report
            return Report(0.5)

        @step
        def use(made: object) -> int:
            return 1

        @pipeline
        def main() -> int:
            return use(make())
        """
    )
    where = {"PYTHONPATH": str(tmp_path / "lib"), "IMPORTED": str(tmp_path / "imported")}
    done = project.hw("run", "pipeline.py", **other, **where)
    assert done.status == 0, done.err
    (tmp_path / "imported").unlink()
    planned = project.hw("plan", "pipeline.py", **where)
    assert planned.status == 0, planned.err
    assert "reports_elsewhere:Report" in planned.out, planned.out
    assert not (tmp_path / "imported").exists()
