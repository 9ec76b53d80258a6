"""What the user says must stay: kept runs (``keep/<run>``) and pinned artifacts (``pins/<name>``)."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headwater.digest import canonical
from headwater.errors import RequestError
from headwater.record import has_run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from headwater.digest import Json
    from headwater.store import Store
    from headwater.types import RunId

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


@dataclass(frozen=True, slots=True)
class Pin:
    """An artifact under a name that keeps it."""

    name: str
    artifact: Mapping[str, Json]
    #: Where it came from: run, step, output.
    source: Mapping[str, Json]


def keep(store: Store, run: RunId) -> None:
    """Keep a run whatever the policy says. Raises RequestError when there is no such run."""
    if not has_run(store, run):
        raise RequestError(f"there is no run {run}", hint="list the runs with: hw runs")
    store.create(f"keep/{run}", canonical({"v": 1, "t": store.now()}))


def unkeep(store: Store, run: RunId) -> None:
    """Leave a run to the policy again."""
    store.delete(f"keep/{run}")


def kept(store: Store) -> set[RunId]:
    """Return the runs that are kept."""
    return set(store.children("keep"))


def pin(store: Store, name: str, artifact: Mapping[str, Json], *, source: Mapping[str, Json] | None = None) -> Pin:
    """Pin an artifact under a new name. Raises RequestError when the name is taken or unusable."""
    if not _NAME.fullmatch(name):
        raise RequestError(f"{name!r} cannot name a pin", hint="use letters, digits, '-', '_' and '.'")
    made = Pin(name, artifact, source or {})
    document = {"v": 1, "artifact": dict(made.artifact), "source": dict(made.source), "t": store.now()}
    if not store.create(f"pins/{name}", canonical(document)):
        raise RequestError(f"there is already a pin {name!r}", hint="remove it first: hw runs unpin NAME")
    return made


def unpin(store: Store, name: str) -> None:
    """Remove a pin. Raises RequestError when there is none of that name."""
    if not _NAME.fullmatch(name) or store.read(f"pins/{name}") is None:
        raise RequestError(f"there is no pin {name!r}", facts={"pins": ", ".join(store.children("pins")) or "none"})
    store.delete(f"pins/{name}")


def pins(store: Store) -> Sequence[Pin]:
    """Return all pins."""
    found: list[Pin] = []
    for name in store.children("pins"):
        data = store.read(f"pins/{name}")
        if data is not None:
            document = json.loads(data)
            found.append(Pin(name, document["artifact"], document["source"]))
    return found
