"""The tools: how each wants the same project written down, and what starts it.

Every adapter gets the same helper modules and the same function bodies; it adds the decorator, the import and the
file of rules that its tool asks for. The recommended options are those of the tool's own documentation for results
that are to outlive a process.
"""

from __future__ import annotations

import ast
import json
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmarks.edits.cases import Side

#: A project in one tool's form: the path of each file, with its text.
Files = dict[str, str]


@dataclass(frozen=True)
class Reach:
    """What an adapter may look at after a run: the project, what was printed, and further commands."""

    project: Path
    printed: str
    #: Runs a command as the run was run, and returns what it printed.
    ask: Callable[..., str]


@dataclass(frozen=True)
class Peer:
    """One column of the table."""

    name: str
    #: The environment that it runs in; two columns may share one.
    venv: str
    #: What pip installs there; the first is the one whose version counts.
    packages: tuple[str, ...]
    #: The project's side, with its step instrumented, → its files.
    write: Callable[[Side], Files]
    #: The command of one run, and where its value is found afterwards.
    command: tuple[str, ...]
    value: Callable[[Reach], str]
    #: Is given once, in the new project.
    once: tuple[str, ...] = ()
    #: Needs its server on this machine while it runs.
    served: bool = False
    #: The column whose result stands for this one too where both write the same project.
    twin: str = ""


def _others(side: Side) -> Files:
    return dict(side.files)


def _call(side: Side) -> str:
    return side.argument if side.data is None else repr(side.data)


def _plain(side: Side) -> Files:
    site = "import os, site\nif 'EDITS_SITE' in os.environ:\n    site.addsitedir(os.environ['EDITS_SITE'])\n"
    run = f"{site}import flow\nprint(flow.work({_call(side)}))\n"
    return _others(side) | {"flow.py": f"{side.head}\n{side.step}", "run.py": run}


def _headwater(side: Side) -> Files:
    call = side.argument if side.data is None else f"File({side.data!r})"
    names = "pipeline, step" if side.data is None else "File, pipeline, step"
    main = f"@pipeline\ndef main():\n    return work({call})\n"
    return _others(side) | {"flow.py": f"from headwater import {names}\n{side.head}\n@step\n{side.step}\n{main}"}


def _joblib(side: Side) -> Files:
    cached = "from joblib import Memory\nmemory = Memory('cache', verbose=0)\n"
    run = f"from flow import work\nprint(work({_call(side)}))\n"
    return _others(side) | {"flow.py": f"{cached}{side.head}\n@memory.cache\n{side.step}", "run.py": run}


def _redun(side: Side) -> Files:
    call = side.argument if side.data is None else f"File({side.data!r})"
    step = side.step.replace("open(data)", "data.open()")  # redun's File is not a path
    head = f"from redun import File, task\nredun_namespace = 'edits'\n{side.head}"
    return _others(side) | {"flow.py": f"{head}\n@task()\n{step}\n@task()\ndef main():\n    return work({call})\n"}


def _hamilton(side: Side) -> Files:
    head, step, nodes, inputs = side.head, side.step, "flow.work", f"{{'x': {side.argument}}}"
    if side.data is not None:  # a loader that is always run; what it returns is what counts
        head += (
            "from hamilton.function_modifiers import cache\n"
            "@cache(behavior='recompute')\n"
            f"def data() -> str:\n    with open({side.data!r}) as stream:\n        return stream.read()\n"
        )
        step, nodes, inputs = step.replace("open(data).read()", "data"), "flow.work, flow.data", "{}"
        step = step.replace("def work(data):", "def work(data: str) -> str:")
    typed = step.replace("def work(x: int):", "def work(x: int) -> str:").replace("(x):", "(x: object) -> str:")
    run = (
        "from hamilton import ad_hoc_utils, driver\nimport flow\n"
        f"nodes = ad_hoc_utils.create_temporary_module({nodes}, module_name='nodes')\n"
        "dr = driver.Builder().with_modules(nodes).with_cache().build()\n"
        f"print(dr.execute(['work'], inputs={inputs})['work'])\n"
    )
    return _others(side) | {"flow.py": f"{head}\n{typed}", "run.py": run}


def _prefect(side: Side) -> Files:
    head = "from prefect import flow, task\nfrom prefect.cache_policies import INPUTS, TASK_SOURCE\n"
    deco = "@task(cache_policy=INPUTS + TASK_SOURCE, persist_result=True)\n"
    main = f"@flow\ndef main():\n    return work({_call(side)})\n"
    return _others(side) | {
        "flow.py": f"{head}{side.head}\n{deco}{side.step}\n{main}",
        "run.py": "from flow import main\nprint(main())\n",
    }


def _modules(side: Side) -> list[str]:
    return sorted(path for path in side.files if path.endswith(".py") and ":" not in path)


def _snakemake(side: Side, *, modules: bool) -> Files:
    inputs = [f"data={side.data!r}"] if side.data is not None else []
    if modules and _modules(side):
        inputs.append(f"modules={_modules(side)!r}")
    rule = ["rule work:", *([f"    input: {', '.join(inputs)}"] if inputs else [])]
    call = "snakemake.input.data"
    if side.data is None:
        rule.append(f"    params: x={side.argument}")
        call = "snakemake.params.x"
    rule += ['    output: "value.txt"', '    script: "flow.py"', ""]
    end = f"with open(snakemake.output[0], 'w') as out:\n    out.write(work({call}))\n"
    return _others(side) | {"flow.py": f"{side.head}\n{side.step}\n{end}", "Snakefile": "\n".join(rule)}


def _dvc(side: Side, *, modules: bool) -> Files:
    deps = ["flow.py", *([side.data] if side.data else []), *(_modules(side) if modules else [])]
    stage = {"cmd": "python flow.py", "deps": deps, "outs": ["value.txt"]}
    call, params, load = repr(side.data), {}, ""
    if side.data is None:
        stage["params"] = ["x"]
        params = {"params.yaml": json.dumps({"x": ast.literal_eval(side.argument)})}
        call, load = "dvc.api.params_show()['x']", "    import dvc.api\n"
    end = (
        f"if __name__ == '__main__':\n{load}    with open('value.txt', 'w') as out:\n        out.write(work({call}))\n"
    )
    rules = {"flow.py": f"{side.head}\n{side.step}\n{end}", "dvc.yaml": json.dumps({"stages": {"work": stage}})}
    return _others(side) | params | rules  # JSON is YAML


def _printed(reach: Reach) -> str:
    return reach.printed.strip().splitlines()[-1]


def _file(reach: Reach) -> str:
    return (reach.project / "value.txt").read_text()


def _unquoted(reach: Reach) -> str:
    return ast.literal_eval(reach.printed.strip())  # the command prints the value's repr


def _from_store(reach: Reach) -> str:
    run = json.loads(reach.printed)
    return json.loads(reach.ask("python", "-m", "headwater", "get", run["run"], "work"))


_RUN = ("python", "run.py")
_SNAKEMAKE = ("snakemake", "--cores", "1", "--quiet", "all")
_INIT = ("dvc", "init", "--no-scm", "--quiet")

#: What a project gives without any tool: the truth.
PLAIN = Peer("plain", "plain", (), _plain, _RUN, _printed)

PEERS = [
    Peer(
        "headwater",
        "headwater",
        (),
        _headwater,
        ("python", "-m", "headwater", "run", "flow.py", "--json", "--backend", "inline"),
        _from_store,
    ),
    Peer("joblib", "joblib", ("joblib",), _joblib, _RUN, _printed),
    Peer("redun", "redun", ("redun",), _redun, ("redun", "run", "flow.py", "main"), _unquoted),
    Peer("Hamilton", "hamilton", ("sf-hamilton",), _hamilton, _RUN, _printed),
    # With fastapi 0.140 or later, Prefect 3.8.8 cannot start its server: Body(min_items=…) is gone there.
    Peer("Prefect", "prefect", ("prefect", "fastapi<0.140"), _prefect, _RUN, _printed, served=True),
    Peer("Snakemake", "snakemake", ("snakemake",), partial(_snakemake, modules=False), _SNAKEMAKE, _file),
    Peer(
        "Snakemake +",
        "snakemake",
        ("snakemake",),
        partial(_snakemake, modules=True),
        _SNAKEMAKE,
        _file,
        twin="Snakemake",
    ),
    Peer("DVC", "dvc", ("dvc",), partial(_dvc, modules=False), ("dvc", "repro"), _file, _INIT),
    Peer("DVC +", "dvc", ("dvc",), partial(_dvc, modules=True), ("dvc", "repro"), _file, _INIT, twin="DVC"),
]
