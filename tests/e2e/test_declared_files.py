"""Files that steps declare are what their results are kept under, whoever changes them and when."""

from __future__ import annotations

import pytest

from tests.projects import Project

pytestmark = pytest.mark.slow

#: Somebody edits the file while the step is under way: after it was decided, before it reads.
EDITED = """
    from pathlib import Path
    from headwater import over, pipeline, step

    MARK = Path({mark!r})

    @step(files=["conf/*.txt"])
    def reads(k: int) -> str:
        if MARK.exists():
            MARK.unlink()
            Path("conf/a.txt").write_text("new")
        return Path("conf/a.txt").read_text()

    @pipeline
    def main() -> list[str]:
        return reads.map(over([1, 2]))
"""


@pytest.mark.parametrize("backend", ["inline", "threads", "dask"])
def test_a_file_that_is_edited_after_the_decision_counts_as_it_was_read(project: Project, backend: str) -> None:
    mark = project.folder.parent / "mark"
    mark.touch()
    conf = project.folder / "conf"
    conf.mkdir()
    (conf / "a.txt").write_text("old")
    project.write(pipeline=EDITED.format(mark=str(mark)))
    done = project.hw("run", "pipeline.py", "--backend", backend, "--json")
    assert done.status == 0, done.err
    assert project.hw("get", "latest", "reads[1]").out == '"new"\n'
    assert project.statuses() == {"reads[0]": "reused", "reads[1]": "reused"}
    (conf / "a.txt").write_text("old")
    assert project.statuses("--backend", backend)["reads[0]"] == "ran"
    assert project.hw("get", "latest", "reads[0]").out == '"old"\n'
    assert project.hw("fsck").status == 0


def test_a_step_that_changes_what_it_declares_fails_and_says_so(project: Project) -> None:
    (project.folder / "count.txt").write_text("0")
    project.write(
        pipeline="""
        from pathlib import Path
        from headwater import pipeline, step

        @step(files=["count.txt"])
        def counts() -> int:
            number = int(Path("count.txt").read_text()) + 1
            Path("count.txt").write_text(str(number))
            return number

        @pipeline
        def main() -> int:
            return counts()
        """
    )
    done = project.hw("run", "pipeline.py")
    assert done.status == 1
    assert "count.txt, which the step declares, changed" in done.err
    assert (project.folder / "count.txt").read_text() == "2"


def test_a_command_gets_the_files_that_its_patterns_name(project: Project) -> None:
    lib = project.folder / "lib"
    (lib / "more").mkdir(parents=True)
    (project.folder / "main.sh").write_text(". lib/a.sh; . lib/more/b.sh; a; b")
    (lib / "a.sh").write_text("a() { echo a; }\n")
    (lib / "more" / "b.sh").write_text("b() { echo b; }\n")
    project.write(
        pipeline="""
        from headwater import command, pipeline

        both = command("sh main.sh", outputs=".txt", stdout="out", files=["main.sh", "lib/*"], name="both")

        @pipeline
        def main():
            return both()
        """
    )
    assert project.statuses() == {"both": "ran"}
    (lib / "more" / "b.sh").write_text("b() { echo changed; }\n")
    assert project.statuses() == {"both": "ran"}
    out = project.folder / "out.txt"
    assert project.hw("get", "latest", "both", "-o", str(out)).status == 0
    assert out.read_text() == "a\nchanged\n"
    assert project.hw("debug", "latest", "both").status == 0


def test_a_folder_that_is_declared_counts_with_all_that_is_in_it(project: Project) -> None:
    lib = project.folder / "lib" / "deep"
    lib.mkdir(parents=True)
    (lib / "a.txt").write_text("a")
    project.write(
        pipeline="""
        from pathlib import Path
        from headwater import pipeline, step

        @step(files=["lib"], strict=True)
        def names() -> list[str]:
            return sorted(path.read_text() for path in Path("lib/deep").iterdir())

        @pipeline
        def main() -> list[str]:
            return names()
        """
    )
    assert project.statuses() == {"names": "ran"}
    (lib / "a.txt").write_text("changed")
    assert project.statuses() == {"names": "ran"}
    (lib / "b.txt").write_text("b")
    assert project.statuses() == {"names": "ran"}
    assert project.statuses() == {"names": "reused"}
