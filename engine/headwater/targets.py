"""TARGET: what a pipeline is called on the command line, and how it is found.

``file.py`` (its only pipeline, or the one named ``main``), ``file.py:name``, ``package.module:name``, ``file.json``,
``name@version``.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib
import json
import re
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from headwater.author.pipeline import Pipeline
from headwater.definition import Definition
from headwater.errors import HeadwaterError, TargetError
from headwater.fingerprint import find_project

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import FrameType, ModuleType

    from headwater.author.pipeline import Compiled as Drawn
    from headwater.digest import Digest
    from headwater.fingerprint import Project
    from headwater.worker.observe import Observer

_STORED = re.compile(r"(?P<name>[A-Za-z0-9_.-]+)@(?P<version>\d+|latest)")


@dataclass(frozen=True, slots=True)
class Compiled:
    """A pipeline ready to be planned: a definition and the functions that it names."""

    definition: Definition
    functions: Mapping[str, Callable[..., object]]
    project: Project
    #: TARGET as it was given, if it was.
    target: str
    #: Where files that the pipeline names are looked for; the code itself may lie elsewhere.
    root: Path
    #: Compiled entry → entry in the code bundle, where functions were written into modules of their own.
    entries: Mapping[str, str] | None = None
    #: Digest of the code, where it is a recorded one.
    bundle: Digest | None = None
    #: What the project's modules read while they were imported here.
    reads: Observer | None = None


def stored_name(target: str) -> tuple[str, int | None] | None:
    """Return name and version of a target ``name@version``; None for version ``latest``, None for other targets."""
    match = _STORED.fullmatch(target)
    if match is None:
        return None
    version = match["version"]
    return match["name"], None if version == "latest" else int(version)


def project_of(target: str) -> Project:
    """Return the project that a target belongs to; that of the working directory where it names no file."""
    file, _, _ = target.partition(":") if not re.match(r"^[A-Za-z]:\\", target) else (target, "", "")
    return find_project(Path(file) if file.endswith((".py", ".json")) else Path.cwd())


def load_target(target: str, project: Project) -> Pipeline[..., object] | Definition:
    """Find a pipeline by its target (but ``name@version``, which the store knows).

    Raises TargetError that names the file, and what to do.
    """
    place, _, name = target.rpartition(":") if ":" in target else (target, "", "")
    if place.endswith(".json"):
        return _load_document(Path(place))
    if place.endswith(".py"):
        return _choose(_import_file(Path(place), project), name, place)
    if not name:
        raise TargetError(
            f"{target!r} is not a pipeline",
            facts={"understood": "file.py, file.py:name, package.module:name, file.json, name@version"},
            hint="name a file that ends in .py or .json" if not Path(target).exists() else f"try {target}/pipeline.py",
        )
    with on_path(project.root):
        module = _import(place, target)
    return _choose(module, name, place)


def refuse_while_imported() -> None:
    """Raise TargetError if a file that the engine imports asks for a plan or a run: each import would, without end.

    A worker imports the modules of its steps, and so does whoever looks for a pipeline in a file.
    """
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001
    running: FrameType | None = None
    while frame is not None:
        module = str(frame.f_globals.get("__name__", ""))
        if frame.f_code.co_name == "<module>" and module != "__main__":
            running = frame
        elif running is not None and (module == __name__ or module.startswith("headwater.worker.")):
            raise TargetError(
                "this file runs its pipeline when it is imported, and it is imported to find and to run its steps",
                facts={"file": f"{running.f_code.co_filename}:{running.f_lineno}"},
                hint="put that line below `if __name__ == '__main__':`",
            )
        frame = frame.f_back


def _load_document(path: Path) -> Definition:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise _missing(path) from None
    except (ValueError, OSError) as error:
        raise TargetError(f"{path} is not JSON", facts={"file": path, "error": error}) from None
    return Definition.from_document(document)


def _import_file(path: Path, project: Project) -> ModuleType:
    if not path.is_file():
        raise _missing(path)
    with on_path(project.root):
        return _import(project.module_name(path.resolve()), str(path), path.resolve())


def _missing(path: Path) -> TargetError:
    near = [str(each) for each in sorted(path.parent.glob(f"*{path.suffix}"))] if path.parent.is_dir() else []
    return TargetError(
        f"there is no file {path}",
        facts={"looked in": path.parent.resolve()},
        hint=f"did you mean {near[0]}?" if near else "check the path",
    )


@contextlib.contextmanager
def on_path(root: Path) -> Iterator[None]:
    """Put a project's folder first on ``sys.path``, for good: later imports inside functions need it, too."""
    text = str(root)
    if text in sys.path:
        sys.path.remove(text)
    sys.path.insert(0, text)
    yield


def _import(module: str, target: str, file: Path | None = None) -> ModuleType:
    """Import a module of the project; what its code raises becomes one message that names file and line."""
    loaded = sys.modules.get(module)
    if loaded is not None and file is not None and not _is_from(loaded, file):
        # Another project in the same process has a module of this name.
        del sys.modules[module]
    try:
        with _prints_aside():
            return importlib.import_module(module)
    except HeadwaterError:
        raise
    except SyntaxError as error:
        raise TargetError(
            f"{target} has a syntax error: {error.msg}",
            facts={"file": f"{error.filename}:{error.lineno}", "line": (error.text or "").strip()},
            hint="mend that line",
        ) from error
    except ModuleNotFoundError as error:
        raise _not_found(error, module, target) from error
    except (Exception, SystemExit) as error:
        raise TargetError(
            f"{target} raised {type(error).__name__} when it was imported: {error}",
            facts={"file": _place_of(error)},
            hint="mend it, or keep work out of the top of the module: a pipeline file is imported to be planned",
        ) from error


def _prints_aside() -> contextlib.AbstractContextManager[object]:
    """Send what the author's code prints to stderr while it is imported or drawn: stdout is the command's answer."""
    return contextlib.redirect_stdout(sys.stderr)


def _is_from(module: ModuleType, file: Path) -> bool:
    found = getattr(module, "__file__", None)
    return found is not None and Path(found).resolve() == file


def _not_found(error: ModuleNotFoundError, module: str, target: str) -> TargetError:
    if error.name is not None and (module == error.name or module.startswith(f"{error.name}.")):
        return TargetError(
            f"there is no module {error.name!r}",
            facts={"target": target, "looked in": sys.path[0]},
            hint="name a module of the project, or a file that ends in .py",
        )
    return TargetError(
        f"{target} imports {error.name!r}, which is not installed",
        facts={"file": _place_of(error)},
        hint=f"pip install {str(error.name).partition('.')[0]}",
    )


def _place_of(error: BaseException) -> str:
    """Return the innermost line that is not Python's own import machinery."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "importlib" not in frame.filename]
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "unknown"


def _choose(module: ModuleType, name: str, place: str) -> Pipeline[..., object]:
    """Return a module's pipeline of that name; without a name its only one, or the one called ``main``."""
    found = {
        key: cast("Pipeline[..., object]", value)
        for key, value in vars(module).items()
        if isinstance(value, Pipeline) and (name or _is_own(cast("Any", value), module))
    }
    if name in found:
        return found[name]
    if not name and len(found) == 1:
        return next(iter(found.values()))
    if not name and "main" in found:
        return found["main"]
    near = difflib.get_close_matches(name, found, 1)
    sentence = f"{place} has no pipeline named {name!r}" if name else f"{place} has {len(found) or 'no'} pipelines"
    if near:
        hint = f"did you mean {place}:{near[0]}?"
    elif found:
        hint = f"name one of them: {place}:{next(iter(found))}"
    else:
        hint = "put @pipeline above the function that wires the steps"
    raise TargetError(sentence, facts={"pipelines": ", ".join(found) or "none"}, hint=hint)


def draw(pipeline: Pipeline[..., object]) -> Drawn:
    """Call a pipeline's function once; what the author's code raises becomes one message that names file and line."""
    try:
        with _prints_aside():
            return pipeline.compile()
    except HeadwaterError:
        raise
    except (Exception, SystemExit) as error:
        raise TargetError(
            f"pipeline {pipeline.function.__name__!r} raised {type(error).__name__} when it was drawn: {error}",
            facts={"file": _place_of(error)},
            hint="mend it; a pipeline function only wires steps, and what they give is known when they have run",
        ) from error


def _is_own(pipeline: Pipeline[..., object], module: ModuleType) -> bool:
    return pipeline.function.__module__ == module.__name__


def functions_of(definition: Definition, entries: Mapping[str, str] | None = None) -> dict[str, Callable[..., object]]:
    """Import the functions that a definition names; raises TargetError where one is not there."""
    from headwater.author.step import function_of

    found: dict[str, Callable[..., object]] = {}
    for node in definition.graph.nodes.values():
        if node.kind != "function":
            continue
        entry = cast("str", node.call)
        module, _, path = (entries or {}).get(entry, entry).partition(":")
        thing: object = _import(module, entry)
        for part in path.split("."):
            thing = getattr(thing, part, None)
        if not callable(thing):
            raise TargetError(
                f"step '{node.name}' needs {node.call!r}, which is not there",
                hint="the code changed since this definition was made; run the version that goes with it: name@version",
            )
        found[node.name] = function_of(thing)
    return found
