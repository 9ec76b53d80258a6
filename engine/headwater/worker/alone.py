"""Perform one attempt in a process that does nothing else: what a job on another machine calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headwater.backend import Outcome
from headwater.store import open_store
from headwater.worker.bind import bind
from headwater.worker.current import dedicate
from headwater.worker.failure import failure_of
from headwater.worker.loading import load
from headwater.worker.perform import perform
from headwater.worker.surroundings import set_variables

if TYPE_CHECKING:
    from pathlib import Path

    from headwater.backend import Attempt


def perform_alone(attempt: Attempt, *, project: str, folder: Path, label: str) -> Outcome:
    """Perform an attempt from its document and the store alone; never raises for what happens in it.

    ``folder`` is empty and the caller's to remove; ``project`` is where the project would lie, and may be absent.
    """
    dedicate()
    set_variables({**attempt.variables, **attempt.env})  # before any module is imported that may read them
    scratch = folder / "scratch"
    scratch.mkdir()
    try:
        store = open_store(attempt.store, create=False)
        strict_files = tuple(attempt.files) if attempt.strict else None
        place = bind(
            attempt.bundle, store=store, project=project, folder=str(folder), label=label, strict_files=strict_files
        )
    except Exception as error:  # noqa: BLE001  the outcome tells it
        return Outcome(attempt.attempt_id, None, failure_of(error, in_body=False), worker=label)
    return perform(attempt, store=store, load=load, scratch=scratch, place=place)
