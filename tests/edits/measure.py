"""Answers requests for fingerprints, each in a fresh child process; run with its own PYTHONHASHSEED.

Reads one JSON document a line: the folder of a project, a folder of packages, the main file, the environment and the
names of steps. Writes one back: step → fingerprint document, or the error.
"""

from __future__ import annotations

import importlib
import json
import os
import site
import sys
import traceback
import types
from pathlib import Path

from headwater.fingerprint import find_project, fingerprint


def main():
    sys.dont_write_bytecode = True
    for line in sys.stdin:
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reader)
            with os.fdopen(writer, "w") as stream:
                json.dump(answer(json.loads(line)), stream)
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader) as stream:
            print(stream.read(), flush=True)
        os.waitpid(child, 0)


def answer(request):
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    try:
        os.environ.update(request["env"])
        os.chdir(request["project"])
        sys.path.insert(0, request["project"])
        site.addsitedir(request["site"])
        module = load(Path(request["project"], request["main"]), request["as_script"])
        project = find_project(Path(request["project"], request["main"]))
        steps = {name: getattr(module, name) for name in request["steps"]}
        return {name: fingerprint(step.function, project).document() for name, step in steps.items()}
    except BaseException:  # noqa: BLE001  the answer is the error
        return {"error": traceback.format_exc()}


def load(path, as_script):
    if not as_script:
        return importlib.import_module(path.stem)
    module = types.ModuleType("__main__")
    module.__file__ = str(path)
    sys.modules["__main__"] = module
    exec(compile(path.read_bytes(), str(path), "exec"), vars(module))
    return module


if __name__ == "__main__":
    main()
