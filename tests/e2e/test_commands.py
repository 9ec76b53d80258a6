"""The commands that read, copy, tidy and explain, on one project that has run three times."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.projects import HW, Project

PIPELINE = """
    import csv
    from pathlib import Path
    import pyarrow as pa
    from headwater import Dir, File, notify, over, pipeline, step

    SCALE = 2

    @step
    def read(source: File) -> list[int]:
        with Path(source).open() as lines:
            return [int(row["value"]) for row in csv.DictReader(lines)]

    @step
    def table(values: list[int], scale: int) -> pa.Table:
        return pa.table({"value": [value * scale * SCALE for value in values]})

    @step
    def page(data: pa.Table) -> File:
        out = File.new("page.txt")
        Path(out).write_text(f"{data.num_rows} rows")
        return out

    @step
    def several(data: pa.Table) -> tuple[int, Dir]:
        folder = Dir.new("parts")
        (Path(folder) / "a.txt").write_text("a")
        return data.num_rows, folder

    @step
    def fails(values: list[int], break_it: bool) -> int:
        if break_it:
            raise ValueError(f"broken by {values}")
        return len(values)

    @pipeline
    def main(source: File = File("data.csv"), scale: int = 1, break_it: bool = False) -> File:
        values = read(source)
        data = table(values, scale)
        several(data)
        fails(values, break_it)
        notify("done")
        return page(data)
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Project:
    folder = tmp_path_factory.mktemp("commands") / "project"
    folder.mkdir()
    project = Project(folder)
    project.write(headwater_toml='backend = "inline"\n', pipeline=PIPELINE, data_csv="value\n1\n2\n3\n")
    assert project.hw("run", "pipeline.py").status == 0
    assert project.hw("run", "pipeline.py", "scale=5").status == 0
    code = project.folder / "pipeline.py"
    code.write_text(code.read_text().replace("SCALE = 2", "SCALE = 3"))
    assert project.hw("run", "pipeline.py", "break_it=true").status == 1
    return project


def runs(project: Project) -> list[str]:
    return [run["run"] for run in reversed(project.hw("runs", "--json").json)]


def test_diff(ran: Project) -> None:
    first, second, third = runs(ran)
    found = ran.hw("diff", first, second, "--json").json
    assert found["params"] == {"scale": [1, 5]}
    assert {step["step"] for step in found["steps"]} == {"table", "several", "page"}
    text = ran.hw("diff", first, second).out
    assert "parameter scale: 1 → 5" in text
    latest = ran.hw("diff").out
    assert second in latest
    assert third in latest
    assert re.search(r"constant .*SCALE \(pipeline.py:6\)", latest), latest
    assert "fails: reused → failed" in latest or "fails: ran → failed" in latest


def test_lineage(ran: Project) -> None:
    first = runs(ran)[0]
    up = ran.hw("lineage", first, "page").out
    assert up.splitlines()[0].startswith(f"page in {first}")
    assert "data.csv" in up
    assert "code" in up
    assert ran.hw("lineage", f"{first}/page").out == up
    down = ran.hw("lineage", "data.csv", "--down", "--json").json
    assert {"read", "table", "page"} <= {node["facts"].get("step") for node in down["nodes"]}
    whole = ran.hw("lineage", first, "--dot").out
    assert whole.startswith("digraph")
    digest = ran.hw("show", first, "--json").json["steps"][0]["outputs"]["result"]["digest"]
    assert "read in" in ran.hw("lineage", digest[:12]).out
    assert ran.hw("lineage", first, "--up", "--down").status == 2
    assert "scale: parameter scale = 1" in ran.hw("lineage", first, "table").out
    assert "parameter source = data.csv" in up


def test_lineage_of_files(ran: Project, tmp_path: Path) -> None:
    """A file is named by its path, however the run was told of it; a copy of a result by its content."""
    first = runs(ran)[0]
    down = ran.hw("lineage", "data.csv").out
    assert f"source: read in {first}" in down
    assert ran.hw("lineage", str(ran.folder / "data.csv")).out == down
    assert ran.hw("lineage", "../project/data.csv").out == down
    assert ran.hw("lineage", "data.csv", "--down").out == down
    assert ran.hw("lineage", "data.csv", "--up").out.splitlines() == ["data.csv"]
    copy = Project(tmp_path / "project")
    shutil.copytree(ran.folder, copy.folder, ignore=shutil.ignore_patterns(".headwater"))
    (tmp_path / "other.csv").write_text("value\n8\n")
    assert copy.hw("run", "pipeline.py", "source=../other.csv").status == 0
    assert copy.hw("lineage", "../other.csv").out == copy.hw("lineage", "other.csv").out != ""
    assert "page in" in copy.hw("lineage", str(tmp_path / "other.csv")).out
    assert copy.hw("get", "latest", "page", "-o", "mine.txt").status == 0
    assert "result: page in" in copy.hw("lineage", "mine.txt").out
    assert "nothing in this store is called 'nonesuch.csv'" in copy.hw("lineage", "nonesuch.csv").err


def test_get(ran: Project, tmp_path: Path) -> None:
    first = runs(ran)[0]
    assert ran.hw("get", first, "read").json == [1, 2, 3]
    for name in ("t.csv", "t.parquet", "t.arrow"):
        assert ran.hw("get", first, "table", "-o", str(tmp_path / name)).status == 0
    assert (tmp_path / "t.csv").read_text() == '"value"\n2\n4\n6\n'
    from pyarrow import feather, parquet

    assert parquet.read_table(tmp_path / "t.parquet").to_pydict() == {"value": [2, 4, 6]}
    assert feather.read_table(tmp_path / "t.arrow").to_pydict() == {"value": [2, 4, 6]}
    wrong = ran.hw("get", first, "table", "-o", "t.xlsx")
    assert wrong.status == 2
    assert ".parquet, .csv" in wrong.err
    assert ran.hw("get", first, "page", "-o", "-").out == "3 rows"
    digest = ran.hw("show", first, "--json").json["steps"][0]["outputs"]["result"]["digest"]
    assert ran.hw("get", digest[:10]).json == [1, 2, 3]
    names = list(ran.hw("show", first, "several", "--json").json["outputs"])
    assert ran.hw("get", first, "several", names[1], "-o", str(tmp_path / "parts")).status == 0
    assert (tmp_path / "parts" / "a.txt").read_text() == "a"
    assert ran.hw("get", first, "several", names[1], "-o", str(tmp_path / "parts")).status == 2
    assert ran.hw("get", first, "several", "nope").status == 2


def test_debug(ran: Project) -> None:
    first, _, third = runs(ran)
    done = ran.hw("debug", first, "table", "--no-pdb")
    assert done.status == 0, done.err
    assert "[[2,4,6]]" in done.out  # the code of then: SCALE was 2
    assert "changed since: pipeline.py; with the code of then" in done.err
    assert "[[3,6,9]]" in ran.hw("debug", first, "table", "--no-pdb", "--current").out
    done = ran.hw("debug", third, "fails", "--no-pdb")
    assert done.status == 1
    assert "ValueError: broken by [1, 2, 3]" in done.err
    done = ran.hw("debug", third, "fails", text="p 'values are', values\nc\np 'post mortem', values\nq\n")
    assert "('values are', [1, 2, 3])" in done.out
    assert "('post mortem', [1, 2, 3])" in done.out
    assert done.status == 1
    assert ran.hw("debug", first, "table", text="q\n").status == 0
    refused = ran.hw("debug", first, "notify")
    assert refused.status == 2
    assert "is a notify" in refused.err


def test_debug_does_not_execute_foreign_code(ran: Project, tmp_path: Path) -> None:
    first = runs(ran)[0]
    other = {"HEADWATER_KEY": str(tmp_path / "other" / "key.json")}
    refused = ran.hw("debug", first, "table", "--no-pdb", **other)
    assert refused.status == 3
    assert "not signed by a key that you trust" in refused.err
    exported = ran.hw("trust", "export").out
    assert ran.hw("trust", "add", "-", "--name", "ann", text=exported, **other).status == 0
    assert ran.hw("debug", first, "table", "--no-pdb", **other).status == 0
    (own, ann) = ran.hw("trust", "--json", **other).json
    assert (own["is_own"], ann["name"]) == (True, "ann")
    assert ran.hw("trust", "remove", ann["id"], **other).status == 0
    assert ran.hw("debug", first, "table", "--no-pdb", **other).status == 3
    assert ran.hw("trust", "remove", own["id"], **other).status == 3


def test_trust_export_to_a_file(ran: Project, tmp_path: Path) -> None:
    file = tmp_path / "me.key"
    assert ran.hw("trust", "export", str(file)).status == 0
    assert file.stat().st_mode & 0o777 == 0o600
    assert ran.hw("trust", "export", str(file)).status == 2
    assert ran.hw("trust", "add", "nonesuch").status == 2


def test_definitions(ran: Project) -> None:
    (only,) = ran.hw("definitions", "--json").json
    assert (only["name"], only["version"]) == ("main", 1)
    assert "table" in ran.hw("definitions", "show", "main@1").out
    before = (ran.folder / "pipeline.py").read_text()
    try:
        (ran.folder / "pipeline.py").write_text(before.replace("scale: int = 1", "scale: int = 2"))
        assert ran.hw("compile", "pipeline.py", "--publish").status == 0
    finally:
        (ran.folder / "pipeline.py").write_text(before)
    found = ran.hw("definitions", "diff", "main@1", "main@2", "--json").json
    assert found["changes"] == [{"what": "parameter", "name": "scale", "field": "default", "old": 1, "new": 2}]
    assert "parameter scale: default\n  - 1\n  + 2" in ran.hw("definitions", "diff", "main@1", "main").out
    assert ran.hw("definitions", "show", "main@9").status == 2
    assert ran.hw("definitions", "show").status == 2


def test_gc_and_fsck(ran: Project, tmp_path: Path) -> None:
    copy = Project(tmp_path / "project")
    shutil.copytree(ran.folder, copy.folder)
    # What the newest run reused stays; one that made everything itself needs none of the others.
    assert copy.hw("run", "pipeline.py", "--force", "-q").status == 0
    before = copy.hw("runs", "--json").json
    dry = copy.hw("gc", "--keep", "1", "--dry-run", "--json").json
    assert dry["dry_run"] is True
    assert len(dry["runs"]) >= 1
    assert copy.hw("runs", "--json").json == before
    done = copy.hw("gc", "--keep", "1", "--alone", "--json").json
    assert done["runs"] == dry["runs"]
    assert len(copy.hw("runs", "--json").json) == len(before) - len(dry["runs"])
    assert copy.hw("fsck").status == 0
    assert "all is well" in copy.hw("fsck").out
    victim = next(path for path in (copy.folder / ".headwater" / "objects").rglob("*") if path.is_file())
    victim.chmod(0o644)
    victim.write_bytes(b"spoilt")
    found = copy.hw("fsck", "--no-repair", "--json")
    assert found.status == 1
    assert found.json["problems"][0]["kind"] == "corrupt object"
    assert found.json["problems"][0]["repair"] == ""


def test_doctor_and_plugins(ran: Project, tmp_path: Path) -> None:
    found = ran.hw("doctor", "--json")
    assert found.status == 0, found.out
    assert {"python", "cores", "packages", "store", "cache", "key", "backend"} <= {each["check"] for each in found.json}
    assert {each["grade"] for each in found.json} <= {"ok", "warn"}
    key = tmp_path / "key.json"
    key.write_text("{}")
    key.chmod(0o644)
    bad = ran.hw("doctor", HEADWATER_KEY=str(key))
    assert bad.status == 3
    assert f"chmod 600 {key}" in bad.out
    assert ran.hw("doctor", "--store", str(ran.folder / "pipeline.py")).status == 3
    listed = {(each["kind"], each["name"]): each for each in ran.hw("plugins", "--json").json}
    assert listed["backend", "dask"]["state"] == "registered"
    assert listed["codec", "arrow"]["place"].startswith("headwater.artifacts")
    assert ran.hw("plugins", "--check").status == 0


def test_init(tmp_path: Path) -> None:
    outside = Project(tmp_path)
    assert outside.hw("init", "weather").status == 0
    project = Project(tmp_path / "weather")
    assert set(project.statuses("--backend", "inline").values()) == {"ran"}
    assert set(project.statuses("--backend", "inline").values()) == {"reused"}
    assert project.statuses("--backend", "inline", "unit=F") == {"read": "reused", "average": "reused", "report": "ran"}
    again = outside.hw("init", "weather")
    assert again.status == 2
    assert "pipeline.py" in again.err
    assert (project.folder / ".gitignore").read_text().startswith("/.headwater/")


# -------------------------------------------------------------------------------------------------------- completions


def complete(project: Project, *words: str) -> list[str]:
    return project.hw("--complete", *words).out.split()


def test_candidates(ran: Project) -> None:
    assert {"run", "plan", "resume", "definitions"} <= set(complete(ran, ""))
    assert complete(ran, "de") == ["definitions", "debug"]
    assert complete(ran, "run", "pi") == ["pipeline.py"]
    assert complete(ran, "run", "pipeline.py:") == ["pipeline.py:main"]
    assert complete(ran, "run", "pipeline.py", "s") == ["source=", "scale="]
    assert complete(ran, "run", "pipeline.py", "--back") == ["--backend"]
    assert complete(ran, "run", "pipeline.py", "--backend", "th") == ["threads"]
    assert complete(ran, "run", "pipeline.py", "--only", "ta") == ["table"]
    assert set(runs(ran)) < set(complete(ran, "show", ""))
    assert complete(ran, "show", "latest", "pa") == ["page"]
    assert complete(ran, "runs", "ke") == ["keep"]
    assert complete(ran, "nonesuch", "") == []
    assert complete(ran, "definitions", "show", "main@1") == ["main@1"]


def shell_environment(project: Project, tmp_path: Path) -> dict[str, str]:
    place = tmp_path / "bin"
    place.mkdir()
    (place / "hw").write_text(f'#!/bin/sh\nexec {" ".join(HW)} "$@"\n')
    (place / "hw").chmod(0o755)
    return {**project.environment(), "PATH": f"{place}{os.pathsep}{os.environ['PATH']}", "HOME": str(tmp_path)}


BASH = r"""
eval "$(hw completions bash)"
try() {
    COMP_LINE="$1" COMP_POINT=${#1} COMPREPLY=()
    # Bash splits at : and = as well; this does as it does.
    read -ra COMP_WORDS <<< "$(sed 's/[:=]/ & /g' <<< "$1")"
    [[ "$1" == *' ' ]] && COMP_WORDS+=("")
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
    _hw 2>/dev/null
    echo "$1|${COMPREPLY[*]}"
}
try 'hw de'
try 'hw run pipeline.py sc'
try 'hw run pipeline.py:ma'
try 'hw run pipeline.py:'
try 'hw run pipeline.py --only pa'
complete -p hw
"""


@pytest.mark.skipif(not shutil.which("bash"), reason="bash is not installed")
def test_bash_completes(ran: Project, tmp_path: Path) -> None:
    done = subprocess.run(
        ["bash", "--norc", "-c", BASH],
        cwd=ran.folder, env=shell_environment(ran, tmp_path), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.splitlines() == [
        "hw de|definitions debug",
        "hw run pipeline.py sc|scale=",
        "hw run pipeline.py:ma|main",
        "hw run pipeline.py:|main",
        "hw run pipeline.py --only pa|page",
        "complete -o default -F _hw hw",
    ], done.stderr


@pytest.mark.skipif(not shutil.which("fish"), reason="fish is not installed")
def test_fish_completes(ran: Project, tmp_path: Path) -> None:
    code = "hw completions fish | source; complete -C 'hw de'; complete -C 'hw run pipeline.py sc'"
    done = subprocess.run(
        ["fish", "--no-config", "-c", code],
        cwd=ran.folder, env=shell_environment(ran, tmp_path), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert {"definitions", "debug", "scale="} <= set(done.stdout.split()), done.stderr


ZSH = r"""
import os, pty, sys, time, select
pid, fd = pty.fork()
if pid == 0:
    os.execvp("zsh", ["zsh", "-f", "-i"])
def say(text, wait):
    os.write(fd, text.encode())
    seen, end = b"", time.time() + wait
    while time.time() < end:
        if select.select([fd], [], [], 0.1)[0]:
            try:
                seen += os.read(fd, 65536)
            except OSError:
                break
    return seen.decode(errors="replace")
say("PS1='> '; autoload -Uz compinit; compinit -u; eval \"$(hw completions zsh)\"\n", 6)
print(say("hw defin\t", 6))
print(say("show main@1\t\n", 6))
os.write(fd, b"exit\n")
"""


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("zsh"), reason="zsh is not installed")
def test_zsh_completes(ran: Project, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ZSH],
        cwd=ran.folder, env=shell_environment(ran, tmp_path) | {"TERM": "dumb"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "definitions" in done.stdout, done.stdout + done.stderr
    assert "parameter scale" in done.stdout


# ------------------------------------------------------------------------------------------------------------ listeners

LISTENER = """
import json, os
from headwater.hooks import hookimpl

def _note(**facts):
    with open(os.environ["HEARD"], "a") as stream:
        stream.write(json.dumps(facts) + "\\n")

@hookimpl
def headwater_run_started(run, pipeline, params):
    _note(what="started", pipeline=pipeline, params=params)

@hookimpl
def headwater_step_finished(run, step, status, facts):
    _note(what="step", step=step, status=status, has_mac="mac" in facts)

@hookimpl
def headwater_run_ended(run, pipeline, status, seconds):
    _note(what="ended", status=status)

@hookimpl
def headwater_notify(run, step, message, value):
    _note(what="notify", message=message)
    raise RuntimeError("the listener is broken")
"""


def test_a_listener_of_a_third_party_hears_and_cannot_break_the_run(project: Project, tmp_path: Path) -> None:
    """A package with an entry point, as somebody else would install it."""
    site = tmp_path / "site"
    info = site / "ears-1.2.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ears\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text("[headwater.hooks]\nears = ears_of_others\n")
    (site / "ears_of_others.py").write_text(LISTENER)
    heard = tmp_path / "heard"
    variables = {"PYTHONPATH": str(site), "HEARD": str(heard)}
    project.write(pipeline=PIPELINE, data_csv="value\n1\n")
    done = project.hw("run", "pipeline.py", "scale=2", **variables)
    assert done.status == 0, done.err
    assert "a listener failed: RuntimeError: the listener is broken" in done.err
    facts = [json.loads(line) for line in heard.read_text().splitlines()]
    assert facts[0]["what"] == "started"
    assert facts[0]["params"]["scale"] == 2
    assert facts[-1] == {"what": "ended", "status": "succeeded"}
    assert {"what": "notify", "message": "done"} in facts
    steps = {fact["step"]: fact for fact in facts if fact["what"] == "step"}
    assert steps["read"] == {"what": "step", "step": "read", "status": "ran", "has_mac": False}
    (ears,) = [each for each in project.hw("plugins", "--json", **variables).json if each["kind"] == "hook"]
    assert (ears["name"], ears["package"], ears["version"], ears["state"]) == ("ears", "ears", "1.2", "registered")
    before = heard.read_text()
    assert project.hw("run", "pipeline.py", HEADWATER_PLUGINS="none", **variables).status == 0
    assert heard.read_text() == before
