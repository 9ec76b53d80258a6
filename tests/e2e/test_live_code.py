"""Code that changes under a process: between plan and run, in a session, in a notebook, on a warm cluster.

Whatever happens, no result of old code stands under a new key, nor the reverse.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from tests.projects import Document, Site, until

pytestmark = pytest.mark.slow

FILES = {
    "flow__py": """
        from headwater import File, Resources, over, pipeline, step
        from helpers import OFFSET, shifted
        import helpers

        @step
        def first(n: int) -> int:
            return shifted(n)

        @step(env={"OWN": "process"})
        def apart(n: int) -> int:
            return shifted(n) + 100

        @step
        def by_module(n: int) -> int:
            return helpers.OFFSET + helpers.shifted(n)

        @pipeline
        def main(n: int = 1, data: File = File("data.txt")):
            return [first(n), apart(n), by_module(n)]
    """,
    "helpers__py": """
        OFFSET = 1

        def shifted(n):
            return n + 10
    """,
    "data__txt": "data\n",
    "headwater__toml": """
        backend = "threads"
        [backends.dask]
        threads = 2
    """,
}
SESSION = """
import importlib, json, os, pathlib, sys
sys.path.insert(0, os.getcwd())
import flow, helpers
from headwater import Workspace

def edit(name, old, new):
    path = pathlib.Path(name)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))

def go(**options):
    result = Workspace(backend=BACKEND, **options).run(flow.main)
    return [result.output, [s.step for s in result.steps if s.status == "ran"], result.status]

answers = []
"""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path / "project", tmp_path / "cache")
    made.write(**FILES)
    yield made
    made.leaves_nothing()


def session(site: Site, backend: str, text: str) -> list[Any]:
    """Run lines in one Python process; each value given to `answers.append` comes back."""
    tail = f"\npathlib.Path({str(site.cache / 'answers.json')!r}).write_text(json.dumps(answers, default=str))\n"
    site.cache.mkdir(exist_ok=True)
    script = f"BACKEND = {backend!r}\n{SESSION}{dedent(text)}{tail}"
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=site.folder,
        env=site.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads((site.cache / "answers.json").read_text())


def fresh(site: Site, *words: str) -> tuple[Any, list[str]]:
    """Run in a new process: what stands in the store by now must be what the code on disk gives."""
    found = site.run("flow.py", *words)
    values = [json.loads(site.hw("get", found["run"], step).stdout) for step in ("first", "apart", "by_module")]
    return values, found.names("ran")


# ----------------------------------------------------------------------------------------------- between plan and run


def test_an_unchanged_plan_is_done_exactly(site: Site) -> None:
    site.hw("plan", "flow.py", "n=5", "-o", "plan.json")
    planned = {step["name"]: step for step in json.loads((site.folder / "plan.json").read_text())["steps"]}
    found = Document(json.loads(site.hw("run", "--plan", "plan.json", "--json").stdout))
    assert {name for name, step in planned.items() if step["action"] == "run"} == set(found.names("ran"))
    assert found["params"]["n"] == 5
    assert {name: step["key"] for name, step in planned.items()} == {n: s["key"] for n, s in found.steps.items()}


@pytest.mark.parametrize(
    ("name", "old", "new", "words"),
    [
        ("helpers.py", "n + 10", "n + 20", "code changed"),
        ("helpers.py", "OFFSET = 1", "OFFSET = 2", "code changed"),
        ("flow.py", "return [first(n), apart(n)", "return [first(2), apart(n)", "definition changed"),
        ("flow.py", "n: int = 1", "n: int = 7", "definition changed"),
        ("data.txt", "data", "other", "data|use"),
    ],
    ids=["helper", "constant", "wiring", "default", "input file"],
)
def test_what_changed_since_a_plan_refuses_it(site: Site, name: str, old: str, new: str, words: str) -> None:
    if name == "data.txt":
        site.edit("flow.py", "by_module(n)]", "by_module(n), use(data)]")
        site.edit(
            "flow.py", "@pipeline", "@step\ndef use(data: File) -> str:\n    return data.read_text()\n\n@pipeline"
        )
    site.hw("plan", "flow.py", "-o", "plan.json")
    site.edit(name, old, new)
    done = site.hw("run", "--plan", "plan.json", status=2)
    assert re.search(words, done.stderr), done.stderr
    assert "plan again" in done.stderr
    assert not list((site.folder / ".headwater").glob("runs/*"))


def test_a_result_that_came_meanwhile_refuses_a_plan_that_says_run(site: Site) -> None:
    site.hw("plan", "flow.py", "-o", "plan.json")
    site.run("flow.py")
    done = site.hw("run", "--plan", "plan.json", status=2)
    assert "would now be: reuse; the plan said: run" in done.stderr


# ---------------------------------------------------------------------------------------------------- in one process


@pytest.mark.parametrize("backend", ["inline", "threads", "dask"])
def test_a_module_edited_on_disk_counts_as_it_is_there(site: Site, backend: str) -> None:
    one, plan, two, three = session(
        site,
        backend,
        """
        answers.append(go())
        edit("helpers.py", "n + 10", "n + 20")
        answers.append({s.name: s.action for s in Workspace(backend=BACKEND).plan(flow.main)})
        answers.append(go())
        answers.append(go())
        """,
    )
    assert one[:2] == [[11, 111, 12], ["first", "apart", "by_module"]]
    assert set(plan.values()) == {"run"}
    assert two[:2] == [[21, 121, 22], ["first", "apart", "by_module"]]
    assert three[:2] == [[21, 121, 22], []]
    assert fresh(site) == ([21, 121, 22], [])


@pytest.mark.parametrize("backend", ["inline", "threads", "dask"])
def test_a_module_that_was_reloaded_counts_where_its_names_were_taken_anew(site: Site, backend: str) -> None:
    half, whole = session(
        site,
        backend,
        """
        go()
        edit("helpers.py", "n + 10", "n + 20")
        edit("helpers.py", "OFFSET = 1", "OFFSET = 2")
        importlib.reload(helpers)   # flow still has the old `shifted`
        answers.append(go())
        importlib.reload(flow)
        answers.append(go())
        """,
    )
    assert half[0] == whole[0] == [21, 121, 23]
    assert whole[1] == []
    assert fresh(site) == ([21, 121, 23], [])


@pytest.mark.parametrize("backend", ["inline", "threads", "dask"])
def test_a_constant_that_is_set_in_the_process_counts_or_is_refused(site: Site, backend: str) -> None:
    [before, after] = session(
        site,
        backend,
        """
        answers.append(go())
        helpers.OFFSET = 5
        result = Workspace(backend=BACKEND).run(flow.main)
        answers.append({
            s.step: [s.status, str((s.error or {}).get("message")), result.value(s.step) if s.outputs else None]
            for s in result.steps
        })
        """,
    )
    assert before[0] == [11, 111, 12]
    status, message, value = after["by_module"]
    if backend == "dask":
        assert status == "failed"
        assert "helpers.OFFSET was set to 5 after its module had been imported" in message
    else:
        assert (status, value) == ("ran", 16)
    assert fresh(site) == ([11, 111, 12], [])
    site.edit("helpers.py", "OFFSET = 1", "OFFSET = 5")
    assert fresh(site)[0] == [11, 111, 16]


TOLD = """
@dataclass(frozen=True)
class Place:
    x: int
    y: tuple[float, ...] = ()

@step
def told(when: date, at: Place, data: File) -> str:
    return f'{when!r} {at!r} {data.read_text()}'

@pipeline
"""


def test_parameters_go_to_the_fresh_process_as_they_are(site: Site) -> None:
    site.edit("flow.py", "n: int = 1,", "n: int = 1, when: date = date(2026, 1, 1), at: Place = Place(1),")
    site.edit(
        "flow.py", "import helpers\n", "import helpers\nfrom datetime import date\nfrom dataclasses import dataclass\n"
    )
    site.edit("flow.py", "by_module(n)]", "by_module(n), told(when, at, data)]")
    site.edit("flow.py", "@pipeline\n", TOLD)
    (site.folder / "other.txt").write_text("other")
    [told] = session(
        site,
        "threads",
        """
        from datetime import date
        from headwater import File
        edit("helpers.py", "n + 10", "n + 20")
        given = dict(n=3, when=date(2026, 2, 3), at=flow.Place(2, (1.0, float("inf"))), data=File("other.txt"))
        result = Workspace(backend=BACKEND).run(flow.main, **given)
        answers.append([result.output, list(result.record.params)])
        """,
    )
    assert told[0] == [23, 123, 24, "datetime.date(2026, 2, 3) Place(x=2, y=(1.0, inf)) other"]


def test_what_is_wrong_in_the_fresh_process_is_told_here(site: Site) -> None:
    [error] = session(
        site,
        "threads",
        """
        from headwater.errors import HeadwaterError
        edit("helpers.py", "def shifted", "def shifted(")
        try:
            go()
        except HeadwaterError as error:
            answers.append([type(error).__name__, str(error)])
        """,
    )
    assert error[0] == "TargetError"
    assert "syntax error" in error[1]
    assert "helpers.py:3" in error[1]


def test_bytecode_that_only_looks_current_is_not_loaded(site: Site) -> None:
    """Python takes a source of the same size and second for the one it has compiled."""
    moment = 1_790_000_000
    path = site.folder / "helpers.py"
    os.utime(path, ns=(moment * 10**9, moment * 10**9))
    assert fresh(site, "--backend", "inline")[0] == [11, 111, 12]
    [cached] = (site.folder / "__pycache__").glob("helpers.*.pyc")
    os.utime(cached, ns=(moment * 10**9 + 5, moment * 10**9 + 5))
    site.edit("helpers.py", "n + 10", "n + 20")
    os.utime(path, ns=(moment * 10**9 + 9, moment * 10**9 + 9))
    assert fresh(site, "--backend", "inline")[0] == [21, 121, 22]


# -------------------------------------------------------------------------------------------------- a warm cluster


def test_a_warm_cluster_performs_the_code_as_it_is_now(site: Site, tmp_path: Path) -> None:
    file = tmp_path / "scheduler.json"
    python, loopback = [sys.executable, "-m"], ["--host", "127.0.0.1", "--dashboard-address", "127.0.0.1:0"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": tmp_path}
    words = [*python, "distributed.cli.dask_scheduler", "--port", "0", "--scheduler-file", str(file), *loopback]
    scheduler = subprocess.Popen(words, **quiet)
    words = [*python, "distributed.cli.dask_worker", "--nthreads", "2", "--scheduler-file", str(file), *loopback]
    worker = subprocess.Popen([*words, "--no-nanny"], **quiet)
    try:
        address = json.loads(until(lambda: file.exists() and file.read_text()))["address"]
        settings = site.folder / "headwater.toml"
        settings.write_text(f'[backends.dask]\naddress = "{address}"\n')
        for number, expected in enumerate((10, 20, 30, 10)):
            if number:
                site.edit("helpers.py", f"n + {(10, 20, 30, 10)[number - 1]}", f"n + {expected}")
            values, names = fresh(site, "--backend", "dask")
            assert values == [1 + expected, 101 + expected, 2 + expected]
            assert names == ([] if number == 3 else ["first", "apart", "by_module"])
    finally:
        for process in (worker, scheduler):
            process.kill()
            process.wait()


# ------------------------------------------------------------------------------------------------------- notebooks

CELLS = {
    "imports": "from headwater import pipeline, step, Workspace\nimport helpers",
    "helper": "FACTOR = 2\n\ndef grown(n):\n    return n * FACTOR",
    "step": (
        "@step\ndef grow(n: int) -> int:\n    return grown(n)\n\n"
        "@step\ndef shift(n: int) -> int:\n    return helpers.shifted(n)"
    ),
    "pipeline": "@pipeline\ndef main(n: int = 3):\n    return [grow(n), shift(n)]",
    "run": (
        "result = Workspace(backend=BACKEND).run(main)\n"
        "print(result.output, [s.step for s in result.steps if s.status == 'ran'])"
    ),
}


@pytest.mark.parametrize("backend", ["threads", "dask"])
def test_a_notebook_reruns_what_a_changed_cell_touches(site: Site, backend: str) -> None:
    pytest.importorskip("ipykernel")
    client = pytest.importorskip("nbclient")
    import nbformat

    def cell(text: str) -> Any:
        notebook.cells.append(nbformat.v4.new_code_cell(text))
        kernel.execute_cell(notebook.cells[-1], len(notebook.cells) - 1)
        return "".join(out.get("text", "") for out in notebook.cells[-1].outputs if out.get("name") == "stdout").strip()

    notebook = nbformat.v4.new_notebook()
    kernel = client.NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": site.folder}}
    )
    with kernel.setup_kernel(
        env=site.environment | {"PYTHONPATH": os.environ.get("PYTHONPATH", "")}, cwd=str(site.folder)
    ):
        cell(f"BACKEND = {backend!r}")
        for name in ("imports", "helper", "step", "pipeline"):
            cell(CELLS[name])
        assert cell(CELLS["run"]) == "[6, 13] ['grow', 'shift']"
        assert cell(CELLS["run"]) == "[6, 13] []"
        for name in ("helper", "step", "pipeline"):  # run again unchanged
            cell(CELLS[name])
        assert cell(CELLS["run"]) == "[6, 13] []"
        cell("# a remark\n" + CELLS["helper"])
        assert cell(CELLS["run"]) == "[6, 13] []"
        cell(CELLS["helper"].replace("n * FACTOR", "n * FACTOR + 1"))
        assert cell(CELLS["run"]) == "[7, 13] ['grow']"
        cell("FACTOR = 3")
        assert cell(CELLS["run"]) == "[10, 13] ['grow']"
        site.edit("helpers.py", "n + 10", "n + 20")
        with pytest.raises(client.exceptions.CellExecutionError, match="not what its file says any more"):
            cell(CELLS["run"])
        cell("import importlib; importlib.reload(helpers)")
        assert cell(CELLS["run"]) == "[10, 23] ['shift']"


# -------------------------------------------------------------------------------------------------------- recorded code


def test_a_stored_version_runs_its_own_code_in_a_process_that_has_loaded_another(site: Site) -> None:
    old, new, again = session(
        site,
        "threads",
        """
        work = Workspace(backend=BACKEND)
        work.publish("flow.py")
        edit("helpers.py", "n + 10", "n + 20")
        importlib.reload(helpers)
        importlib.reload(flow)
        answers.append(work.run("main@1").output)
        answers.append(work.run("flow.py").output)
        answers.append(work.run("main@1").output)
        """,
    )
    assert old == again == [11, 111, 12]
    assert new == [21, 121, 22]
