"""What is reached: every digest that a run's log or a registration names, and what those objects themselves name.

A digest counts wherever it stands in a document: nothing has to know all the facts of all events, and a new fact can
never let an object go that is needed. Tree objects of folders are read for the files that they name, be they objects
or bodies that travel inline.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from headwater.digest import is_digest
from headwater.errors import Corrupt, ObjectMissing
from headwater.record.events import read_more
from headwater.record.read import is_run_id
from headwater.record.snapshot import snapshot_path, unpack

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from headwater.digest import Digest, Json
    from headwater.record.events import Batch, LogSource
    from headwater.store import Store
    from headwater.types import RunId

#: Refs under which any digest is needed.
ROOTS = ("pipelines", "models", "audit", "pins")


@dataclass
class Reach:
    """Digests that are reached, and those among them that are of tree objects."""

    digests: set[Digest] = field(default_factory=set)
    trees: set[Digest] = field(default_factory=set)


def reach(store: Store, *, without: Collection[RunId] = ()) -> set[Digest]:
    """Return every digest that runs and registrations reach; runs in ``without`` count as removed."""
    found = Reach()
    for run, batch in logs(store):
        if run not in without:
            for event in batch.events:
                note(cast("Json", event.facts), found)
    for prefix in ROOTS:
        for path in store.list(prefix):
            note(_document(store.read(path)), found)
    _follow(store, found)
    return found.digests


def logs(store: Store) -> Iterator[tuple[RunId, Batch]]:
    """Yield every run's log, ended ones from snapshots where there are any."""
    runs = {name for name in store.children("runs") if is_run_id(name)}
    number = 1
    while (data := store.read(snapshot_path(number))) is not None:
        number += 1
        try:
            snapshot = unpack(data)
        except Corrupt:
            continue
        for run in sorted(runs.intersection(snapshot.runs if snapshot else ())):
            batch = read_more(cast("LogSource", snapshot), run)
            if batch is not None:
                runs.discard(run)
                yield run, batch
    for run in sorted(runs):
        batch = read_more(store, run)
        if batch is not None:
            yield run, batch


def note(tree: Json, found: Reach) -> None:
    """Add every digest in a JSON tree, also in bodies that travel inline."""
    match tree:
        case str():
            if is_digest(tree):
                found.digests.add(tree)
        case list():
            for item in tree:
                note(item, found)
        case dict():
            _note_trees(tree, found)
            for item in tree.values():
                note(item, found)
        case _:
            pass


def digests_in(tree: Json) -> set[Digest]:
    """Return every digest in a JSON tree."""
    found = Reach()
    note(tree, found)
    return found.digests


def _note_trees(document: Mapping[str, Json], found: Reach) -> None:
    match document:
        case {"type": str(), "digest": str(), "inline": str(body)}:
            note(_document(base64.b64decode(body)), found)
        case {"type": "dir", "digest": str(digest)} | {"$": "dir", "v": {"digest": str(digest)}}:
            found.trees.add(digest)
        case {"trees": list(digests)}:
            found.trees.update(digest for digest in digests if isinstance(digest, str))
        case _:
            pass


def _follow(store: Store, found: Reach) -> None:
    """Read the tree objects; they name files, never each other."""
    for digest in sorted(digest for digest in found.trees if is_digest(digest)):
        try:
            note(_document(store.get(digest)), found)
        except (ObjectMissing, Corrupt):
            continue


def _document(data: bytes | None) -> Json:
    try:
        return None if data is None else cast("Json", json.loads(data))
    except ValueError:
        return None
