"""Steps that the loop performs itself: register a model, notify, fail."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, cast

from headwater.digest import canonical
from headwater.errors import StepError
from headwater.values import untagged

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headwater.digest import Json
    from headwater.graph import Node
    from headwater.known import Document, Known, Tree
    from headwater.run.job import Job
    from headwater.store import Store

FORMAT: Final = "model/1"
#: The value of a notification is shown up to so many characters.
_LONGEST: Final = 200


def perform(job: Job, node: Node, step: str) -> Mapping[str, Document]:
    """Perform a control step whose inputs are known; returns its outputs. Raises StepError when it fails."""
    inputs = {name: job.known.tree(expr) for name, expr in node.inputs.items()}
    match node.kind:
        case "register":
            _register(job, inputs, step)
        case "notify":
            _notify(job, inputs, step)
        case "fail":
            raise StepError(_text(job.known, inputs["message"]))
        case _:
            raise ValueError(f"not a control step: {node.kind}")
    return {}


def _register(job: Job, inputs: Mapping[str, Tree], step: str) -> None:
    """Make the next version of a model: an entry that names the artifact, its metrics and the run."""
    name = _text(job.known, inputs["name"])
    if not name or not all(char.isalnum() or char in "._-" for char in name) or name.startswith("."):
        raise StepError(f"{name!r} cannot be the name of a model", hint="use letters, digits, '.', '_' and '-'")
    metrics = job.known.plain(inputs["metrics"]) if "metrics" in inputs else None
    entry: dict[str, Json] = {
        "headwater": FORMAT,
        "name": name,
        "artifact": cast("Json", dict(inputs["artifact"])),
        "metrics": metrics,
        "run": job.run,
        "step": step,
        "time": job.store.now(),
    }
    existing = versions(job.store, name)
    # A driver that died after registering and before recording it must not register twice.
    if any((one["run"], one["step"]) == (job.run, step) for one in existing.values()):
        return
    number = max(existing, default=0) + 1
    while not job.store.create(model_path(name, number), canonical({**entry, "version": number})):
        number += 1
    job.view.told(f"{name}: registered version {number}")


def model_path(name: str, version: int) -> str:
    """Return where a version of a model is kept."""
    return f"models/{name}/{version:06d}"


def names(store: Store) -> list[str]:
    """Return the names of all models."""
    return store.children("models")


def versions(store: Store, name: str) -> dict[int, Mapping[str, Json]]:
    """Return every version of a model, by number."""
    found: dict[int, Mapping[str, Json]] = {}
    for child in store.children(f"models/{name}"):
        data = store.read(f"models/{name}/{child}")
        if data is not None:
            found[int(child)] = json.loads(data)
    return found


def _notify(job: Job, inputs: Mapping[str, Tree], step: str) -> None:
    message = _text(job.known, inputs["message"])
    value = job.known.plain(inputs["value"]) if "value" in inputs else None
    job.view.told(f"{step}: {message}" + (f": {shown_value(value)}" if value is not None else ""))
    job.announce("headwater_notify", run=job.run, step=step, message=message, value=value)


def shown_value(value: Json) -> str:
    """Return the value of a notification, typed JSON, as a line of text, cut where it is long."""
    text = value if isinstance(value, str) else json.dumps(untagged(value), ensure_ascii=False)
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"


def _text(known: Known, tree: Tree) -> str:
    value = known.plain(tree)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
