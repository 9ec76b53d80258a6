"""The reading side of runs' logs: everything here works while a run is going on, and on any prefix of its log."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headwater.errors import RequestError
from headwater.record.alive import is_alive
from headwater.record.events import read_claim, read_claims, read_more, text_path
from headwater.record.fold import apply, begin, run_record

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from headwater.record.events import Batch, Event
    from headwater.record.fold import Document, RunRecord
    from headwater.store import Store
    from headwater.types import RunId, StepName

_RUN_ID = re.compile(r"\d{8}-\d{6}-[0-9a-z]+")


@dataclass(frozen=True, slots=True)
class TextLine:
    """A piece of text that a step wrote."""

    step: StepName
    attempt: str
    #: ``stdout``, ``stderr`` or ``log``.
    stream: str
    time: float
    text: str


@dataclass(frozen=True, slots=True)
class TextPage:
    """Text that steps wrote, and where to go on reading."""

    lines: Sequence[TextLine]
    cursor: str


def list_runs(store: Store) -> Sequence[RunId]:
    """Return the ids of all runs, oldest first."""
    return [name for name in store.children("runs") if _RUN_ID.fullmatch(name)]


def is_run_id(name: str) -> bool:
    """Tell whether a name has the form of a run's id."""
    return _RUN_ID.fullmatch(name) is not None


def has_run(store: Store, run: RunId) -> bool:
    """Tell whether there is such a run."""
    return read_claim(store, run, 1) is not None


def read_events(store: Store, run: RunId, *, after: int = 0) -> Iterator[Event]:
    """Yield a run's events with numbers above ``after``. Raises RequestError when there is no such run."""
    for event in _read(store, run).events:
        if event.seq > after:
            yield event


def read_record(store: Store, run: RunId) -> RunRecord:
    """Return what a run did, so far. Raises RequestError when there is no such run."""
    document, steps = fold(_read(store, run), run)
    living = document["status"] == "running" and is_alive(store, run)
    return run_record(document, steps, is_alive=living)


def fold(batch: Batch, run: RunId) -> tuple[Document, dict[StepName, Document]]:
    """Return the documents that a whole log adds up to."""
    document = begin(run, batch.claims)
    steps: dict[StepName, Document] = {}
    for event in batch.events:
        apply(document, steps, event)
    return document, steps


def _read(store: Store, run: RunId) -> Batch:
    batch = read_more(store, run)
    if batch is None:
        raise RequestError(f"there is no run {run}", hint="list the runs with: hw runs")
    return batch


def read_text(store: Store, run: RunId, *, step: StepName | None = None, after: str = "") -> TextPage:
    """Return the text that steps of a run wrote, of one step or of all, from a page's cursor on."""
    first, _, start = after.partition(":")
    epoch, offset = int(first or 1), int(start or 0)
    last = max((claim.epoch for claim in read_claims(store, run) if not claim.is_seal), default=0)
    lines: list[TextLine] = []
    while epoch <= last:
        data, _ = store.read_log(text_path(run, epoch), offset)
        end = data.rfind(b"\n") + 1
        lines.extend(_text_lines(data[:end], step))
        offset += end
        if epoch == last:
            break
        epoch, offset = epoch + 1, 0
    return TextPage(lines, f"{epoch}:{offset}")


def _text_lines(data: bytes, step: StepName | None) -> Iterator[TextLine]:
    for line in data.splitlines():
        try:
            document = json.loads(line)
            found = TextLine(
                step=str(document["step"]),
                attempt=str(document["attempt"]),
                stream=str(document["stream"]),
                time=float(document["t"]),
                text=str(document["text"]),
            )
        except (ValueError, KeyError, TypeError):  # torn by a crash: text is a help, not the record
            continue
        if step in (None, found.step):
            yield found
