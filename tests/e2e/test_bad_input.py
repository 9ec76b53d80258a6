"""Every bad input gives one message (what, where, what to do), its exit status, and loses nothing.

The pipeline has a step ``good`` whose result must survive whatever the other step does: after each case the store is
checked, and the mended pipeline reuses what was done.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from textwrap import dedent, indent
from typing import Any

import pytest

from tests.projects import Done, Project

HEAD = """
    import os, sys, time
    from pathlib import Path
    from headwater import File, over, pipeline, step, when

    @step
    def good() -> int:
        return 1

"""
MENDED = (
    HEAD
    + """
    @step
    def second(x: int) -> int:
        return x + 1

    @pipeline
    def main() -> int:
        return second(good())
"""
)


def body(text: str) -> str:
    """Return a pipeline file: the good step, and what the case adds."""
    return dedent(HEAD) + dedent(text)


def told(done: Done, status: int, *parts: str) -> None:
    """Check the exit status, and that one message says all of these, without a traceback of headwater itself."""
    assert done.status == status, done.err + done.out
    for part in parts:
        assert re.search(part, done.err), f"{part!r} is not in:\n{done.err}"
    assert "engine/headwater" not in done.err, done.err


def nothing_is_lost(project: Project, *, reused: bool = True) -> None:
    """Check the store, and that the mended pipeline uses what was done before."""
    checked = project.hw("fsck", "--json")
    assert checked.status == 0, checked.out + checked.err
    project.write(pipeline=MENDED)
    assert project.statuses()["good"] == ("reused" if reused else "ran")


@pytest.fixture
def warm(project: Project) -> Project:
    """A project whose good step has run."""
    project.write(pipeline=MENDED)
    assert project.statuses() == {"good": "ran", "second": "ran"}
    return project


# ---------------------------------------------------------------------------------------------- the pipeline file


def test_a_syntax_error(warm: Project) -> None:
    (warm.folder / "pipeline.py").write_text("def broken(:\n    pass\n")
    told(warm.hw("run", "pipeline.py"), 2, "syntax error", r"pipeline\.py:1", r"def broken\(:", "hint: mend")
    nothing_is_lost(warm)


def test_a_file_that_raises(warm: Project) -> None:
    (warm.folder / "pipeline.py").write_text(body("raise RuntimeError('no luck')\n"))
    told(warm.hw("run", "pipeline.py"), 2, "raised RuntimeError", "no luck", r"pipeline\.py:10", "hint")
    nothing_is_lost(warm)


def test_a_file_that_exits(warm: Project) -> None:
    (warm.folder / "pipeline.py").write_text("import sys\nsys.exit(0)\n")
    told(warm.hw("run", "pipeline.py"), 2, "raised SystemExit", r"pipeline\.py:2", "hint")


def test_a_pipeline_function_that_raises(warm: Project) -> None:
    (warm.folder / "pipeline.py").write_text(body("@pipeline\ndef main() -> int:\n    return 1 // 0\n"))
    told(warm.hw("run", "pipeline.py"), 2, "ZeroDivisionError", r"pipeline\.py:1[0-9]", "hint")
    nothing_is_lost(warm)


def test_an_import_that_is_not_installed(warm: Project) -> None:
    (warm.folder / "pipeline.py").write_text("import nonesuch_library\n")
    told(warm.hw("run", "pipeline.py"), 2, "imports 'nonesuch_library', which is not installed", "pip install")


def test_names_not_found(warm: Project) -> None:
    told(warm.hw("run", "pipelin.py"), 2, r"there is no file pipelin\.py", r"did you mean pipeline\.py")
    told(warm.hw("run", "pipeline.py:mian"), 2, "no pipeline named 'mian'", "did you mean pipeline.py:main")
    told(warm.hw("run", "no.such.module:main"), 2, "there is no module 'no'", "hint")
    told(warm.hw("run", "main@7"), 2, "there is no definition main@7", "versions", "hw definitions")
    told(warm.hw("run", "pipeline.py", "--only", "secnd"), 2, "no step.* 'secnd'", "second")
    told(warm.hw("show", "20991231"), 2, "there is no run '20991231'", "hw runs")
    told(warm.hw("show", "latest", "goood"), 2, "has no step 'goood'", "did you mean 'good'")
    told(warm.hw("rum"), 2, "no command named 'rum'", "did you mean 'hw run'")
    told(warm.hw("run", "pipeline.py", "--profile", "cloud"), 2, "no profile named 'cloud'", "headwater.toml")
    told(warm.hw("lineage", "nonesuch.csv"), 2, "nothing in this store is called 'nonesuch.csv'", "hint")


def test_a_cycle(warm: Project) -> None:
    document = warm.hw("compile", "pipeline.py").json
    steps = {step["name"]: step for step in document["steps"]}
    steps["good"]["after"] = ["second"]
    (warm.folder / "cyclic.json").write_text(json.dumps(document))
    told(warm.hw("run", "cyclic.json"), 2, "steps wait for each other: good ← second ← good", "hint")
    nothing_is_lost(warm)


def test_two_outputs_of_one_name(warm: Project) -> None:
    document = warm.hw("compile", "pipeline.py").json
    steps = {step["name"]: step for step in document["steps"]}
    steps["good"]["outputs"] *= 2
    (warm.folder / "twice.json").write_text(json.dumps(document))
    told(warm.hw("run", "twice.json"), 2, "step 'good' has two outputs of the name 'result'", "hint")
    nothing_is_lost(warm)


# ------------------------------------------------------------------------------------------------------- parameters

PARAMETERS = """
@step
def second(x: int, depth: int) -> int:
    return x + depth

@pipeline
def main(depth: int, name: str = "x") -> int:
    return second(good(), depth)
"""


def test_parameters(warm: Project) -> None:
    (warm.folder / "pipeline.py").write_text(body(PARAMETERS))
    told(warm.hw("run", "pipeline.py", "depth=deep"), 2, "depth", "deep", "allowed  an integer")
    told(warm.hw("run", "pipeline.py"), 2, "depth", "no value|missing|needs", "depth=")
    told(warm.hw("run", "pipeline.py", "depth=1", "dpth=2"), 2, "no parameter.*'dpth'", "did you mean.*depth")
    told(warm.hw("run", "pipeline.py", "depth=1", "--params", "none.json"), 2, "none.json")
    assert warm.statuses("depth=1") == {"good": "reused", "second": "ran"}
    nothing_is_lost(warm)


def test_settings(warm: Project) -> None:
    warm.write(headwater_toml='backend = "inline"\ncolour = "red"\n')
    told(warm.hw("run", "pipeline.py"), 2, "no setting 'colour'", "headwater.toml", "hint")
    warm.write(headwater_toml="backend = [\n")
    told(warm.hw("run", "pipeline.py"), 2, "not valid TOML", "headwater.toml", "hint")
    warm.write(headwater_toml='backend = "inline"\n')
    nothing_is_lost(warm)


def test_a_missing_input_file(warm: Project) -> None:
    code = "@step\ndef second(x: int, f: File) -> int:\n    return x\n"
    code += "@pipeline\ndef main(f: File = File('data.csv')) -> int:\n    return second(good(), f)\n"
    (warm.folder / "pipeline.py").write_text(body(code))
    told(warm.hw("run", "pipeline.py"), 2, r"there is no file data\.csv", "second", "parameter f", "looked for", "hint")
    nothing_is_lost(warm)


def test_a_missing_file_of_a_branch_that_is_not_taken_is_not_missed(warm: Project) -> None:
    code = "@step\ndef read(f: File) -> int:\n    return 1\n"
    code += "@pipeline\ndef main(whether: bool = False) -> int:\n    n = good()\n    with when(whether):\n"
    code += "        read(File('data.csv'))\n    return n\n"
    (warm.folder / "pipeline.py").write_text(body(code))
    assert warm.hw("run", "pipeline.py").status == 0
    told(warm.hw("run", "pipeline.py", "whether=true"), 1, "'read' failed", r"there is no file data\.csv", "hint")
    nothing_is_lost(warm)


# ------------------------------------------------------------------------------------------------------------ steps

BACKENDS = ["inline", "threads"]


def failing(code: str, *, options: str = "") -> str:
    """Return a pipeline whose second step has that body."""
    head = f"@step{options}\ndef second(x: int) -> int:\n"
    return body(head + indent(code, "    ") + "\n\n@pipeline\ndef main() -> int:\n    return second(good())\n")


@pytest.mark.slow
@pytest.mark.parametrize("backend", [*BACKENDS, "dask"])
@pytest.mark.parametrize(
    ("code", "options", "parts"),
    [
        pytest.param("raise ValueError(f'bad {x}')", "", ["ValueError: bad 1", r"py\", line", "raise V"], id="raises"),
        pytest.param("return object()", "", ["declared int, returned object|cannot be stored"], id="not storable"),
        pytest.param("return 'text'", "", ["WrongResult: declared int, returned str"], id="wrong type"),
        pytest.param("sys.exit(3)", "", ["SystemExit", r"sys\.exit\(3\)"], id="sys.exit"),
        pytest.param("time.sleep(600)\nreturn x", "(timeout=1)", ["Timeout|timeout|time limit", "1"], id="hangs"),
        pytest.param("while True: pass", "(timeout=1)", ["Timeout|timeout|time limit", "1"], id="spins"),
        pytest.param("os._exit(4)", "(timeout=60)", ["exit", "4"], id="os._exit"),
        pytest.param("os.abort()", "(timeout=60)", ["SIGABRT|signal 6|abort"], id="aborts"),
    ],
)  # fmt: skip
def test_a_step_that_fails(warm: Project, backend: str, code: str, options: str, parts: list[str]) -> None:
    (warm.folder / "pipeline.py").write_text(failing(code, options=options))
    done = warm.hw("run", "pipeline.py", "--backend", backend, "--json")
    told(done, 1, r"step 'second' failed", *parts, "hint: hw logs .* hw debug")
    steps = {step["name"]: step for step in done.json["steps"]}
    assert done.json["status"] == "failed"
    assert (steps["good"]["status"], steps["second"]["status"]) == ("reused", "failed")
    assert steps["second"]["error"]["message"]
    nothing_is_lost(warm)


def test_a_step_that_exits_the_process_it_shares(warm: Project) -> None:
    """os._exit on an in-process backend ends the driver; the record stays, and the next run goes on from it."""
    (warm.folder / "pipeline.py").write_text(failing("os._exit(7)"))
    assert warm.hw("run", "pipeline.py", "--backend", "inline").status == 7
    assert warm.hw("show", "--json").json["status"] == "interrupted"
    nothing_is_lost(warm)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_step_that_changes_its_input_in_place(project: Project, backend: str) -> None:
    project.write(
        pipeline="""
        from headwater import pipeline, step

        @step
        def numbers() -> list[int]:
            return [1, 2, 3]

        @step
        def spoil(values: list[int]) -> int:
            values.clear()
            return len(values)

        @step
        def total(values: list[int]) -> int:
            return sum(values)

        @pipeline
        def main() -> int:
            values = numbers()
            spoilt = spoil(values)
            return total.using(after=[spoilt])(values)
        """
    )
    done = project.hw("run", "pipeline.py", "--backend", backend)
    assert done.status == 0, done.err
    assert project.hw("get", "latest", "total").json == 6


# ------------------------------------------------------------------------------------------------------- full disks


@pytest.fixture
def small_disk(tmp_path: Path):
    """A file system of 2 MB."""
    place = tmp_path / "small"
    place.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip("a small file system cannot be mounted here")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=False)


def test_a_step_that_fills_its_disk(warm: Project, small_disk: Path) -> None:
    code = f"Path({str(small_disk)!r}, 'x').write_bytes(bytes(4_000_000))\nreturn x"
    (warm.folder / "pipeline.py").write_text(failing(code))
    told(warm.hw("run", "pipeline.py"), 1, "step 'second' failed", "No space left", "hint")
    nothing_is_lost(warm)


def test_a_store_whose_disk_is_full(project: Project, small_disk: Path) -> None:
    project.write(headwater_toml=f'backend = "inline"\nstore = "{small_disk}/store"\n', pipeline=MENDED)
    assert project.statuses() == {"good": "ran", "second": "ran"}
    code = "@step\ndef second(x: int) -> bytes:\n    return os.urandom(4_000_000)\n"
    code += "@pipeline\ndef main() -> bytes:\n    return second(good())\n"
    (project.folder / "pipeline.py").write_text(body(code))
    done = project.hw("run", "pipeline.py")
    told(done, done.status, "space")
    assert done.status in (1, 3)
    nothing_is_lost(project)


def test_a_store_without_any_room(project: Project, small_disk: Path) -> None:
    project.write(headwater_toml=f'backend = "inline"\nstore = "{small_disk}/store"\n', pipeline=MENDED)
    assert project.statuses() == {"good": "ran", "second": "ran"}
    (small_disk / "ballast").write_bytes(b"")
    with (small_disk / "ballast").open("wb", buffering=0) as ballast:
        for size in (65536, 4096, 512):
            try:
                while True:
                    ballast.write(bytes(size))
            except OSError:
                pass
    told(project.hw("run", "pipeline.py", "--force"), 3, "space", str(small_disk))
    (small_disk / "ballast").unlink()
    nothing_is_lost(project)


# ------------------------------------------------------------------------------------------------------------ stores


def test_a_store_that_is_missing(project: Project) -> None:
    for words in (["show"], ["why"], ["logs"], ["fsck"], ["gc"], ["runs"], ["lineage"]):
        told(project.hw(*words, "--store", "none"), 3, "there is no store", "none", "hint: check the address")
        assert not (project.folder / "none").exists()


def test_a_store_that_is_something_else(project: Project) -> None:
    project.write(pipeline=MENDED)
    told(project.hw("run", "pipeline.py", "--store", "pipeline.py"), 3, "should be a folder", "pipeline.py")
    told(project.hw("run", "pipeline.py", "--store", "."), 3, "holds something else", "pipeline.py", "hint")
    told(project.hw("run", "pipeline.py", "--store", "gopher://x/y"), 3, "gopher")


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("s3fs") is None, reason="s3fs is not installed")
def test_a_store_without_exclusive_create(project: Project, tmp_path: Path) -> None:
    """A real server that takes conditional writes for plain ones."""
    rclone = shutil.which("rclone", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if rclone is None:
        pytest.skip("rclone is not installed")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    (tmp_path / "buckets" / "bucket").mkdir(parents=True)
    command = [rclone, "serve", "s3", "--addr", address, "--auth-key", "test,testtest", str(tmp_path / "buckets")]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(100):
            with socket.socket() as client:
                if client.connect_ex(("127.0.0.1", int(address.rpartition(":")[2]))) == 0:
                    break
            time.sleep(0.1)
        project.write(pipeline=MENDED)
        variables = {
            "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "testtest", "AWS_ENDPOINT_URL": f"http://{address}",
            "AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true",
        }  # fmt: skip
        done = project.hw("run", "pipeline.py", "--store", "s3://bucket/store", **variables)
        told(done, 3, "ignores exclusive create", "s3://bucket/store", "hint: use a server that honours")
    finally:
        server.kill()
        server.wait()


@pytest.mark.skipif(not shutil.which("bwrap"), reason="bwrap shows a folder as read-only")
def test_a_store_that_is_read_only(warm: Project) -> None:
    place = str(warm.folder.parent)
    store = str(warm.folder / ".headwater")
    command = ["bwrap", "--dev-bind", "/", "/", "--bind", place, place, "--ro-bind", store, store]

    def inside(*words: str) -> Done:
        done = subprocess.run(
            [*command, sys.executable, "-m", "headwater", *words],
            cwd=warm.folder, env=warm.environment(), capture_output=True, text=True, check=False,
        )  # fmt: skip
        return Done(done.returncode, done.stdout, done.stderr)

    if inside("--version").status:
        pytest.skip("bwrap may not make a name space here")
    told(inside("run", "pipeline.py"), 3, "[Rr]ead-only", re.escape(store))
    assert inside("show").status == 0
    assert inside("plan", "pipeline.py").status == 0
    nothing_is_lost(warm)


def test_a_store_from_a_newer_version(warm: Project) -> None:
    form = warm.folder / ".headwater" / "format"
    before = form.read_bytes()
    document = json.loads(before)
    form.chmod(0o644)
    form.write_text(json.dumps({**document, "reader": 99, "writer": 99}))
    told(warm.hw("run", "pipeline.py"), 3, "newer headwater", "99", "pip install --upgrade")
    told(warm.hw("show"), 3, "newer headwater")
    form.write_text(json.dumps({**document, "writer": 99}))
    told(warm.hw("run", "pipeline.py"), 3, "can only be read", "99", "pip install --upgrade")
    assert warm.hw("show").status == 0
    form.write_text("not json")
    told(warm.hw("run", "pipeline.py"), 3, "'format' of the store cannot be read")
    form.write_bytes(before)
    nothing_is_lost(warm)


# ------------------------------------------------------------------------------------------------------- corruption

TABLE = """
@step
def second(x: int) -> bytes:
    return bytes(range(256)) * 100

@step
def third(data: bytes, n: int) -> int:
    return len(data) + n

@pipeline
def main(n: int = 0) -> int:
    return third(second(good()), n)
"""


def objects(project: Project) -> list[Path]:
    return [path for path in (project.folder / ".headwater" / "objects").rglob("*") if path.is_file()]


def test_a_corrupted_object(project: Project) -> None:
    (project.folder / "pipeline.py").write_text(body(TABLE))
    project.statuses()
    digest = project.hw("show", "--json").json["steps"][1]["outputs"]["result"]["digest"]
    path = next(path for path in objects(project) if digest in path.as_posix().replace("/", ""))
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.chmod(0o644)
    path.write_bytes(data)
    done = project.hw("run", "pipeline.py", "n=1")
    told(done, 1, "third", "[Cc]orrupt|not what|digest", "hw fsck")
    assert project.hw("fsck").status == 1
    assert project.statuses("n=1") == {"good": "reused", "second": "ran", "third": "ran"}
    assert project.hw("fsck").status == 0


def test_a_corrupted_log(warm: Project) -> None:
    (run,) = json.loads(warm.hw("runs", "--json").out)
    events = next((warm.folder / ".headwater" / "runs" / run["run"]).glob("events-*"))
    data = events.read_bytes()
    events.chmod(0o644)
    events.write_bytes(data.replace(b'"succeeded"', b'"Succeeded"').replace(b'"good"', b'"evil"'))
    checked = warm.hw("fsck")
    assert checked.status == 1
    assert "broken chain" in checked.out
    assert run["run"] in checked.out
    # What was changed counts for nothing: the steps run again, and the other runs are as they were.
    assert warm.statuses() == {"good": "ran", "second": "ran"}
    assert warm.statuses() == {"good": "reused", "second": "reused"}


def test_a_torn_log(warm: Project) -> None:
    (run,) = json.loads(warm.hw("runs", "--json").out)
    events = next((warm.folder / ".headwater" / "runs" / run["run"]).glob("events-*"))
    events.chmod(0o644)
    with events.open("ab") as stream:
        stream.write(b'{"v":1,"seq":99,"t":1')
    nothing_is_lost(warm)


def test_a_corrupted_index(warm: Project) -> None:
    index = [path for path in (warm.folder.parent / "cache").rglob("*") if path.is_file() and "index" in path.parts]
    assert index
    for path in index:
        path.write_bytes(b"garbage" * 1000)
    assert warm.statuses() == {"good": "reused", "second": "reused"}
    nothing_is_lost(warm)


# ------------------------------------------------------------------------------------------------ backends and extras


def test_an_unknown_backend(warm: Project) -> None:
    told(
        warm.hw("run", "pipeline.py", "--force", "--backend", "moon"),
        3, "no backend named 'moon'", "dask, inline, threads", "hint",
    )  # fmt: skip
    nothing_is_lost(warm)


BLOCKER = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Blocker())
"""


def without(project: Project, *blocked: str) -> str:
    """Return a PYTHONPATH on which these modules are missing."""
    place = project.folder.parent / "blocker"
    place.mkdir(exist_ok=True)
    (place / "sitecustomize.py").write_text(BLOCKER.format(blocked=set(blocked)))
    return os.pathsep.join([str(place), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)


def test_a_missing_extra(warm: Project) -> None:
    path = without(warm, "s3fs")
    told(
        warm.hw("run", "pipeline.py", "--store", "s3://bucket/store", PYTHONPATH=path),
        3, "s3fs", r"pip install 'headwater\[s3\]'",
    )  # fmt: skip
    path = without(warm, "distributed")
    told(
        warm.hw("run", "pipeline.py", "--force", "--backend", "dask", PYTHONPATH=path),
        3, "backend 'dask' needs 'distributed'", "pip install",
    )  # fmt: skip
    assert warm.hw("run", "pipeline.py", "--force", PYTHONPATH=path).status == 0
    nothing_is_lost(warm)


# ------------------------------------------------------------------------------------------------------------- --json


def test_errors_are_json_too(warm: Project) -> None:
    done = warm.hw("run", "pipelin.py", "--json")
    assert done.status == 2
    error = done.json["error"]
    assert error["class"] == "TargetError"
    assert error["exit_status"] == 2
    assert "pipelin.py" in error["message"]
    assert error["hint"]
    assert warm.hw("run", "--no-such-option", "--json").json["error"]["class"] == "RequestError"
    assert warm.hw("show", "--store", "none", "--json").json["error"]["exit_status"] == 3


@pytest.mark.parametrize(
    ("words", "place"),
    [
        (["plan", "pipeline.py"], "nowhere/x.json"),
        (["compile", "pipeline.py"], "nowhere/x.json"),
        (["get", "latest", "one"], "pipeline.py/x.json"),
    ],
)
def test_a_place_that_cannot_be_written_is_named(project: Project, words: list[str], place: str) -> None:
    project.write(
        pipeline="""
        from headwater import pipeline, step

        @step
        def one() -> int:
            return 1

        @pipeline
        def main() -> int:
            return one()
        """
    )
    project.statuses()
    done = project.hw(*words, "-o", place)
    assert done.status == 2
    assert done.err.startswith(f"error: {place} cannot be written\n")
    assert "Traceback" not in done.err


# ----------------------------------------------------------------------------------------- a file that runs itself

ITSELF = """
    from headwater import pipeline, step

    @step
    def one(x: int) -> int:
        return x + 1

    @pipeline
    def main(x: int = 1) -> int:
        return one(x)

    print(main.run(x=3).output)
"""


def test_a_file_that_runs_its_pipeline_when_it_is_imported(project: Project) -> None:
    project.write(pipeline=ITSELF, headwater_toml='backend = "dask"\n')
    for words in (["run", "pipeline.py"], ["plan", "pipeline.py"], ["run", "pipeline.py", "--backend", "inline"]):
        told(project.hw(*words), 2, "runs its pipeline when it is imported", r"pipeline\.py:11", "__main__")
    command = [sys.executable, "pipeline.py"]
    options: Any = {"cwd": project.folder, "env": project.environment(), "capture_output": True, "text": True}
    done = subprocess.run(command, **options, timeout=120, check=False)
    assert done.returncode == 1
    assert "runs its pipeline when it is imported" in done.stderr
    assert len(list((project.folder / ".headwater" / "runs").iterdir())) == 1
    guarded = ITSELF.replace("    print(", '    if __name__ == "__main__":\n        print(')
    project.write(pipeline=guarded)
    done = subprocess.run(command, **options, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (0, "4\n"), done.stderr
