"""Remove runs: what other runs still need is copied out first, and readers see a run whole or not at all."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, cast

from headwater.errors import RequestError
from headwater.housekeeping.pins import kept
from headwater.housekeeping.reach import reach
from headwater.record import is_alive, new_run_id
from headwater.record.events import claim_path, events_path, read_more, run_path, text_path

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from headwater.digest import Digest, Json
    from headwater.store import Store
    from headwater.types import RunId


def remove_runs(store: Store, runs: Sequence[RunId]) -> None:
    """Remove runs with their logs; their objects go with the next collection of garbage.

    Raises RequestError, and removes none, when one of them is kept, still running, or not there.
    """
    marked = kept(store)
    for run in runs:
        if read_more(store, run) is None:
            raise RequestError(f"there is no run {run}", hint="list the runs with: hw runs")
        if run in marked:
            raise RequestError(f"run {run} is kept", hint=f"let go of it first: hw runs unkeep {run}")
        if is_alive(store, run):
            raise RequestError(f"run {run} is still running", hint=f"cancel it first: hw cancel {run}")
    take_out(store, runs, reach(store, without=runs))


def take_out(store: Store, runs: Collection[RunId], needed: Collection[Digest]) -> None:
    """Remove runs whose inline bodies are stored first where others need them."""
    for run in sorted(runs):
        bodies = dict(_inline_bodies(store, run))
        store.put_many([body for digest, body in bodies.items() if digest in needed])
    store.flush()
    for run in sorted(runs):
        # Its name alone tells the indexes of other machines, which do not list all runs.
        store.create(f"removals/{new_run_id(store.now())}/{run}", b"{}")
        erase(store, run)


def erase(store: Store, run: RunId) -> None:
    """Remove a run's files; the first claim goes first, so that from then on no reader sees it."""
    store.delete(claim_path(run, 1))
    epochs = {
        int(name.rpartition("-")[2]) for name in store.children(run_path(run)) if name.rpartition("-")[2].isdecimal()
    }
    for epoch in sorted(epochs):
        store.delete_log(events_path(run, epoch))
        store.delete_log(text_path(run, epoch))
    for path in store.list(run_path(run)):
        store.delete(path)


def _inline_bodies(store: Store, run: RunId) -> Iterator[tuple[Digest, bytes]]:
    batch = read_more(store, run)
    for event in batch.events if batch else ():
        yield from _bodies_in(cast("Json", event.facts))


def _bodies_in(tree: Json) -> Iterator[tuple[Digest, bytes]]:
    match tree:
        case {"digest": str(digest), "inline": str(body)}:
            yield digest, base64.b64decode(body)
        case dict():
            for item in tree.values():
                yield from _bodies_in(item)
        case list():
            for item in tree:
                yield from _bodies_in(item)
        case _:
            pass
