"""Runs rows through a real workspace, in processes that were forked before any project's code was loaded.

Reads one JSON document a line, and writes one back. A request is a list of turns, which are taken in one process: each
says which files to write, where the project lies then, which variables there are, and whether to run it as a script.
The answer is for each turn what the steps did, why, and what they gave; or the error.
"""

from __future__ import annotations

import importlib
import json
import os
import site
import sys
import traceback
from pathlib import Path

from headwater import Workspace
from tests.edits.measure import load
from tests.edits.places import write

#: Imported once, for all children.
LOADED = [
    importlib.import_module(name) for name in ("headwater.worker.perform", "headwater_dask.backend", "distributed")
]


def main():
    for line in sys.stdin:
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reader)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            with os.fdopen(writer, "w") as stream:
                json.dump(answer(json.loads(line)), stream)
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader) as stream:
            print(stream.read(), flush=True)
        os.waitpid(child, 0)


def answer(request):
    try:
        hook = Path(request["tmp"], "hook")
        hook.mkdir(exist_ok=True)
        (hook / "sitecustomize.py").write_text(f"import site\nsite.addsitedir({request['site']!r})\n")
        os.environ |= {"PYTHONPATH": str(hook), "HEADWATER_CACHE": str(hook.parent / "cache")}
        os.environ |= {"HEADWATER_KEY": str(hook.parent / "key.json")}
        return [take(request, turn) for turn in request["turns"]]
    except BaseException:  # noqa: BLE001  the answer is the error
        return {"error": traceback.format_exc()}


def take(request, turn):
    for name in request["variables"]:
        os.environ.pop(name, None)
    os.environ.update(turn["env"])
    write(turn["files"], Path(turn["root"]))
    site.addsitedir(request["site"])
    project = Path(turn["root"], "project")
    os.chdir(project)
    flow = project / "flow.py"
    target = load(flow, as_script=True).main if turn["as_script"] else str(flow)
    workspace = Workspace(project=project, store=request["store"], backend=request["backend"])
    result = workspace.run(target)
    done = {step.step: step for step in result.steps}
    return {
        "status": {name: str(step.status) for name, step in done.items()},
        "reasons": {name: step.reason for name, step in done.items()},
        "errors": {name: step.error and step.error.get("message") for name, step in done.items()},
        "values": {name: repr(result.value(name)) for name, step in done.items() if step.outputs},
    }


if __name__ == "__main__":
    main()
