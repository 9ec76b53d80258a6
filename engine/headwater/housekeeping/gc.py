"""Collect garbage: remove the runs that the policy does not keep, then the objects that nothing reaches.

Objects go in two visits at least ``wait`` apart: see :mod:`headwater.condemned` for why a writer beside it loses
nothing. Objects that are younger than ``age``, or than the oldest run that still goes on, are let alone: what they are
for may not be recorded yet.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from headwater.condemned import clear, close, condemn, condemnations, finish
from headwater.housekeeping.pins import kept
from headwater.housekeeping.reach import logs, reach
from headwater.housekeeping.removal import erase, take_out
from headwater.record.alive import is_alive
from headwater.record.fold import begin
from headwater.types import RunStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from headwater.condemned import Condemnation
    from headwater.digest import Digest
    from headwater.record.events import Batch
    from headwater.store import ObjectInfo, Store
    from headwater.types import RunId

#: Seconds between condemning and sweeping: longer than any writer takes from finding an object to recording its use.
WAIT = 3600.0
#: Seconds for which every object is let alone after it was written.
AGE = 86400.0
_DAY = 86400.0
_MARGIN = 60.0
_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Policy:
    """Which ended runs stay: of each pipeline the newest ``keep``, and all younger than ``days``.

    With neither, all do. The newest run of a pipeline that succeeded always stays, and so do kept runs, and those that
    made what a staying run reused.
    """

    keep: int | None = None
    days: float | None = None


@dataclass(frozen=True, slots=True)
class Collected:
    """What a collection did; or would do, when it was a dry run."""

    #: Runs that the policy let go.
    runs: Sequence[RunId]
    #: Objects that were removed now.
    swept: int
    swept_bytes: int
    #: Objects that nothing reaches, to be removed by a collection after the wait.
    condemned: int
    condemned_bytes: int
    #: Objects that were on a list and stay: reached again, saved by a writer, or written anew.
    saved: int
    #: Seconds until the next list can be swept; None when there is none.
    next_in: float | None


@dataclass(frozen=True, slots=True)
class _Run:
    run: RunId
    pipeline: str
    status: RunStatus
    started: float
    #: Runs that made what this one reused.
    sources: frozenset[RunId] = frozenset()


def collect(
    store: Store,
    *,
    policy: Policy | None = None,
    wait: float = WAIT,
    age: float = AGE,
    dry_run: bool = False,
) -> Collected:
    """Remove what may go. With ``dry_run`` nothing is changed and the bytes that would go are counted.

    ``wait`` and ``age`` may only be made shorter when nobody else uses the store.
    """
    runs = [_summary(store, run, batch) for run, batch in logs(store)]
    living = [run for run in runs if run.status is RunStatus.RUNNING]
    removable = _removable(runs, policy or Policy(), kept(store), store.now())
    if not dry_run:
        _finish_removals(store)
        if removable:
            take_out(store, removable, reach(store, without=removable))
        clear(store, age=_DAY)
    begun = store.now()
    reached = reach(store, without=removable)
    found = {one.digest: one for one in store.objects()}
    visit = _sweep_due(store, found, reached, before=begun - wait, dry_run=dry_run)
    cutoff = min([begun - age, *(run.started - _MARGIN for run in living)])
    spared = reached | visit.swept | {digest for one in visit.waiting for digest in one.digests}
    doomed = {digest for digest, info in found.items() if digest not in spared and info.modified <= cutoff}
    waiting = [*visit.waiting, *([condemn(store, doomed)] if doomed and not dry_run else [])]
    return Collected(
        runs=removable,
        swept=len(visit.swept),
        swept_bytes=_total(visit.swept, found),
        condemned=len(doomed),
        condemned_bytes=_total(doomed, found),
        saved=visit.saved,
        next_in=max(0.0, min(one.time for one in waiting) + wait - store.now()) if waiting else None,
    )


@dataclass(frozen=True, slots=True)
class _Visit:
    """What became of the lists of earlier collections."""

    swept: set[Digest]
    saved: int
    #: Lists that are not due.
    waiting: Sequence[Condemnation]


def _sweep_due(
    store: Store, found: Mapping[Digest, ObjectInfo], reached: set[Digest], *, before: float, dry_run: bool
) -> _Visit:
    swept: set[Digest] = set()
    saved = 0
    waiting: list[Condemnation] = []
    for one in condemnations(store):
        if one.time > before:
            waiting.append(one)
            continue
        present = one.digests.intersection(found)
        again = {digest for digest in present if found[digest].modified > one.time}
        gone = present - reached - again if dry_run else _sweep(store, one, reached | again)
        swept |= gone
        saved += len(present - gone)
    return _Visit(swept, saved, waiting)


def _total(digests: Iterable[Digest], found: Mapping[Digest, ObjectInfo]) -> int:
    return sum(found[digest].bytes for digest in digests if digest in found)


def _summary(store: Store, run: RunId, batch: Batch) -> _Run:
    document = begin(run, batch.claims)
    pipeline, status = "", RunStatus.RUNNING
    sources: set[RunId] = set()
    for event in batch.events:
        if event.type == "run.started":
            pipeline = str(event.facts.get("pipeline", ""))
        elif event.type == "run.ended":
            status = RunStatus(str(event.facts["status"]))
        elif event.type == "step.decided" and isinstance(trace := event.facts.get("trace"), dict):
            sources.add(str(trace["run"]))
    if status is RunStatus.RUNNING and not is_alive(store, run):
        status = RunStatus.INTERRUPTED
    started = document.get("started")
    return _Run(run, pipeline, status, started if isinstance(started, float) else 0.0, frozenset(sources))


def _removable(runs: Sequence[_Run], policy: Policy, marked: set[RunId], now: float) -> Sequence[RunId]:
    if policy.keep is None and policy.days is None:
        return []
    by_pipeline: dict[str, list[_Run]] = {}
    for run in sorted(runs, key=lambda run: (run.started, run.run), reverse=True):
        by_pipeline.setdefault(run.pipeline, []).append(run)
    gone: list[RunId] = []
    for members in by_pipeline.values():
        best = next((run.run for run in members if run.status is RunStatus.SUCCEEDED), None)
        for place, run in enumerate(members):
            is_recent = (policy.keep is not None and place < policy.keep) or (
                policy.days is not None and now - run.started < policy.days * _DAY
            )
            if not (is_recent or run.run == best or run.run in marked or run.status is RunStatus.RUNNING):
                gone.append(run.run)
    # The traces that a staying run reused are what the next run will reuse: they stay with it.
    needed = {source for run in runs if run.run not in gone for source in run.sources}
    return sorted(set(gone) - needed)


def _finish_removals(store: Store) -> None:
    """Remove what is left of runs whose removal was cut short."""
    present = set(store.children("runs"))
    for path in store.list("removals"):
        run = path.rpartition("/")[2]
        if run in present:
            erase(store, run)


def _sweep(store: Store, condemnation: Condemnation, reached: set[Digest]) -> set[Digest]:
    """Remove what is on a list, is not reached, and was not saved before the list was closed; return what went."""
    closed = close(store, condemnation)
    if closed is None:
        return set()
    until, saved = closed
    doomed = sorted(condemnation.digests - reached - saved)
    gone: set[Digest] = set()
    for start in range(0, len(doomed), _AT_ONCE):
        if store.now() > until:  # writers no longer wait for us: what is left is condemned anew
            break
        batch = doomed[start : start + _AT_ONCE]
        store.delete_objects(batch)
        gone.update(batch)
    finish(store, condemnation)
    return gone
