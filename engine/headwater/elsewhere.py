"""Plan and run in a fresh process, where this one has loaded code that is not what the files say any more.

Nothing of this process is needed there but what was asked for: the target as a file, parameters as typed JSON, options.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from headwater import errors
from headwater.errors import HeadwaterError, Interrupted, RequestError, SetupError
from headwater.values import from_json, to_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from headwater.digest import Json
    from headwater.request import RunOptions

_CODE = "from headwater.workspace import answer; answer()"


@dataclass(frozen=True, slots=True)
class Request:
    """What a fresh process is asked for: plain data."""

    verb: str
    target: str
    #: Arguments of the workspace.
    workspace: Mapping[str, Any]
    #: Parameters by name, and those of a file, as typed JSON.
    params: Mapping[str, Json]
    file: Mapping[str, Json]
    words: Sequence[str]
    selection: Mapping[str, Sequence[str]]
    fail_fast: bool
    command: Sequence[str]
    plan: Mapping[str, Json] | None

    def options(self) -> RunOptions:
        """Return the options of a run."""
        from headwater.plan import Plan
        from headwater.request import RunOptions
        from headwater.selection import Selection

        return RunOptions(
            selection=Selection(**{name: tuple(steps) for name, steps in self.selection.items()}),
            fail_fast=self.fail_fast,
            words=self.words,
            file=values_of(self.file),
            plan=None if self.plan is None else Plan.from_document(self.plan),
            command=self.command,
        )


def read_request(source: int) -> Request:
    """Read what is asked for."""
    with os.fdopen(source, encoding="utf-8") as requests:
        return Request(**json.load(requests))


def ask(
    verb: str,
    target: object,
    stale: Sequence[Path],
    options: RunOptions,
    params: Mapping[str, object],
    *,
    workspace: Mapping[str, object],
) -> Json:
    """Plan or run in a process of its own, and return its answer: a plan's document, or the id of a run.

    Raises what was raised there, and RequestError for a pipeline that lives in this process alone.
    """
    request = Request(
        verb=verb,
        target=_name_of(target, stale),
        workspace=workspace,
        params={name: to_json(value, extra=_source) for name, value in params.items()},
        file={name: to_json(value, extra=_source) for name, value in options.file.items()},
        words=list(options.words),
        selection=asdict(options.selection),
        fail_fast=options.fail_fast,
        command=list(options.command),
        plan=None if options.plan is None else options.plan.document(),
    )
    # Through pipes of its own: what steps and modules print goes where this process's output goes.
    there, here = os.pipe()
    back, answer = os.pipe()
    command = [sys.executable, "-c", _CODE, f"{there},{answer}"]
    with subprocess.Popen(command, pass_fds=(there, answer)) as process:
        os.close(there)
        os.close(answer)
        with os.fdopen(here, "w", encoding="utf-8") as requests, suppress(BrokenPipeError):
            json.dump(asdict(request), requests)
        with os.fdopen(back, encoding="utf-8") as answers:
            text = _patiently(answers)
    return _read(text, process.returncode)


def _patiently(answers: Iterable[str]) -> str:
    """Read to the end: an interrupt from the keyboard is also the other process's, which ends by it."""
    lines: list[str] = []
    iterator = iter(answers)
    while True:
        with suppress(KeyboardInterrupt):
            lines.extend(iterator)
            return "".join(lines)


def _read(text: str, status: int) -> Json:
    if not text:
        if status == Interrupted.exit_status:
            raise Interrupted("interrupted")
        raise SetupError("the process that was to run the pipeline has died", facts={"exit status": status})
    answer = cast("dict[str, Any]", json.loads(text))
    if "error" not in answer:
        return cast("Json", answer["answer"])
    kind = getattr(errors, answer["error"]["class"], HeadwaterError)
    raise kind(answer["error"]["message"], facts=answer["error"]["facts"], hint=answer["error"]["hint"])


def reply(sink: int, answer: Json | HeadwaterError) -> None:
    """Give the asking process its answer."""
    document: dict[str, Json] = {"answer": answer} if not isinstance(answer, HeadwaterError) else {}
    if isinstance(answer, HeadwaterError):
        facts: dict[str, Json] = {name: str(fact) for name, fact in answer.facts.items()}
        document["error"] = {
            "class": type(answer).__name__,
            "message": answer.sentence,
            "facts": facts,
            "hint": answer.hint,
        }
    with os.fdopen(sink, "w", encoding="utf-8") as answers:
        json.dump(document, answers)


def values_of(trees: Mapping[str, Json]) -> dict[str, object]:
    """Return the values of parameters that came as typed JSON."""
    return {name: from_json(tree, extra=_restored) for name, tree in trees.items()}


def _name_of(target: object, stale: Sequence[Path]) -> str:
    """Return a target that another process can find."""
    if isinstance(target, str | Path):
        return str(target)
    function = getattr(target, "function", None)
    module = sys.modules.get(getattr(function, "__module__", ""))
    file = getattr(module, "__file__", None)
    names = [name for name, value in vars(module).items() if value is target] if module is not None else []
    if file is not None and names and os.path.isfile(file):  # noqa: PTH113  as it was given
        return f"{file}:{names[0]}"
    raise RequestError(
        "this process has loaded code that is not what its file says any more",
        facts={"files": "\n".join(map(str, stale))},
        hint="importlib.reload(…) those modules and run what imports from them again, or restart",
    )


def _source(value: object) -> Json | None:
    from headwater.artifacts import Dir, File

    if isinstance(value, File | Dir):
        source = value.source if "://" in value.source else str(Path(value.source).expanduser().absolute())
        return {"$": "file" if isinstance(value, File) else "dir", "path": source}
    return None


def _restored(tree: Mapping[str, Json]) -> object:
    from headwater.artifacts import Dir, File

    return {"file": File, "dir": Dir}[str(tree["$"])](str(tree["path"]))
