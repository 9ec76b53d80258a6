"""Check that everything in a store is what its name, its chain or its signature says.

Safe beside running drivers: it changes nothing that is right. A corrupt object is moved under ``quarantine/``, which
makes it a missing one: the traces that name it no longer stand, and the step runs again.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias, cast

from headwater.digest import digest_bytes
from headwater.errors import Corrupt, HeadwaterError, ObjectMissing
from headwater.housekeeping.reach import ROOTS, digests_in
from headwater.record import list_runs, read_record
from headwater.record.events import (
    RUN_ENDED,
    STEP_FINISHED,
    chain_before,
    decode_events,
    end_bytes,
    events_path,
    read_claims,
    read_more,
)
from headwater.record.snapshot import snapshot_path, unpack
from headwater.traces import signed_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from headwater.digest import Digest, Json
    from headwater.index import Index
    from headwater.record.events import Claim, Event
    from headwater.store import ObjectInfo, Store
    from headwater.trust import Keyring
    from headwater.types import RunId

#: What is wrong.
Kind: TypeAlias = Literal[
    "corrupt object", "missing object", "broken chain", "lost events", "bad signature", "unreadable", "index differs"
]


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is not as it should be."""

    kind: Kind
    #: The object's digest or the path of the ref.
    where: str
    message: str
    #: What was done about it: quarantined, rebuilt, or "".
    repair: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """What a check found."""

    problems: Sequence[Problem]
    objects: int
    bytes: int
    runs: int
    events: int
    #: Runs whose last line is torn: what a crash leaves behind, and no problem.
    torn: Sequence[RunId]


@dataclass
class _Check:
    store: Store
    keyring: Keyring | None
    repairs: bool
    problems: list[Problem] = field(default_factory=list)
    torn: list[RunId] = field(default_factory=list)
    needed: dict[Digest, str] = field(default_factory=dict)
    events: int = 0

    def report(self, kind: Kind, where: str, message: str, repair: str = "") -> None:
        self.problems.append(Problem(kind, where, message, repair))


def check(store: Store, *, keyring: Keyring | None = None, index: Index | None = None, repair: bool = True) -> Report:
    """Check a store: objects, chains, signatures of known keys, what is named but not there, the index.

    With ``repair`` corrupt objects are moved under ``quarantine/`` and an index that differs is rebuilt.
    """
    work = _Check(store, keyring, repair)
    objects = total = 0
    for info in _objects(work):
        objects, total = objects + 1, total + info.bytes
        _check_object(work, info.digest)
    runs = list_runs(store)
    for run in runs:
        _check_run(work, run)
    for prefix in ROOTS:
        for path in store.list(prefix):
            _check_ref(work, path)
    _check_snapshots(work)
    for digest in sorted(store.missing(work.needed)):
        work.report("missing object", digest, f"named by {work.needed[digest]}, not in the store")
    if index is not None:
        _check_index(work, index, runs)
    return Report(work.problems, objects, total, len(runs), work.events, work.torn)


def _objects(work: _Check) -> Sequence[ObjectInfo]:
    try:
        return list(work.store.objects())
    except Corrupt as error:
        work.report("unreadable", "objects", str(error))
        return []


def _check_object(work: _Check, digest: Digest) -> None:
    try:
        data = work.store.get(digest)
        if digest_bytes(data) == digest:  # a store may be set not to look
            return
        message = f"the content has digest {digest_bytes(data)}"
    except ObjectMissing:  # removed meanwhile
        return
    except Corrupt as error:
        message = str(error.facts.get("reason", error.sentence))
    repair = ""
    if work.repairs:
        work.store.put_aside(digest)
        repair = "quarantined"
    work.report("corrupt object", digest, message, repair)


def _check_run(work: _Check, run: RunId) -> None:
    try:
        claims = read_claims(work.store, run)
    except Corrupt as error:
        work.report("unreadable", f"runs/{run}", error.sentence)
        return
    if not claims:
        work.report("unreadable", f"runs/{run}", "no driver ever claimed this run, or its claim is lost")
    for claim, following in zip(claims, [*claims[1:], None], strict=True):
        if not claim.is_seal:
            _check_epoch(work, run, claim, following)


def _check_epoch(work: _Check, run: RunId, claim: Claim, following: Claim | None) -> None:
    path = events_path(run, claim.epoch)
    try:
        data, _ = work.store.read_log(path)
    except Corrupt as error:
        work.report("lost events", path, error.sentence)
        return
    events, chain, taken = decode_events(data, claim.chain, claim.previous_seq, claim.epoch)
    seq = claim.previous_seq + data[:taken].count(b"\n")
    if b"\n" in data[taken:]:
        work.report("broken chain", path, f"what follows event {seq} was changed, or is not by this driver")
    elif data[taken:]:
        work.torn.append(run)
    if following is not None and seq < following.previous_seq:
        work.report("lost events", path, f"ends with event {seq}; event {following.previous_seq} was seen here")
    elif following is not None and following.is_seal and chain != following.previous_chain:
        work.report("broken chain", path, "the run's seal names another end")
    if events and events[-1].type == RUN_ENDED and work.keyring is not None:
        _check_end(work, run, events[-1], chain_before(data, taken, claim.chain))
    upto = following.previous_seq if following is not None else seq
    for event in events:
        if event.seq <= upto:
            _check_event(work, run, event)


def _check_end(work: _Check, run: RunId, event: Event, chain: str) -> None:
    """Check the signature that a run's end carries over the whole log: anybody can chain events anew."""
    assert work.keyring is not None
    mac = event.facts.get("mac")
    if mac is None:
        work.report("bad signature", f"runs/{run}", "nobody signed its end: the log may have been changed after it")
    elif work.keyring.check(end_bytes(run, event.seq, chain, event.facts), mac) == "bad":
        work.report("bad signature", f"runs/{run}", "the log was changed after its end: a known key signed another one")


def _check_event(work: _Check, run: RunId, event: Event) -> None:
    work.events += 1
    where = f"event {event.seq} of run {run}"
    for digest in _needed(cast("Json", event.facts)):
        work.needed.setdefault(digest, where)
    if work.keyring is None or event.type != STEP_FINISHED or "mac" not in event.facts:
        return
    try:
        data = signed_bytes(run, str(event.facts["step"]), event.facts)
    except KeyError:
        return
    if work.keyring.check(data, event.facts["mac"]) == "bad":
        work.report("bad signature", where, "a known key is named, but did not sign this; the trace does not stand")


def _needed(tree: Json) -> Iterator[Digest]:
    """Yield the objects that a document needs: code, definitions, bodies that do not travel inline, files they name."""
    match tree:
        case {"digest": str(digest), "type": str(), "bytes": int(), **rest}:
            if "inline" not in rest:
                yield digest
            meta = rest.get("meta")
            yield from digests_in(meta.get("refs")) if isinstance(meta, dict) else ()
        case dict():
            yield from (*digests_in(tree.get("bundle")), *digests_in(tree.get("definition")))
            for item in tree.values():
                yield from _needed(item)
        case list():
            for item in tree:
                yield from _needed(item)
        case _:
            pass


def _check_ref(work: _Check, path: str) -> None:
    data = work.store.read(path)
    if data is None:  # removed meanwhile
        return
    try:
        document = cast("Json", json.loads(data))
    except ValueError:
        work.report("unreadable", path, "this is no JSON")
        return
    for digest in _needed(document):
        work.needed.setdefault(digest, path)


def _check_snapshots(work: _Check) -> None:
    number = 1
    while (data := work.store.read(snapshot_path(number))) is not None:
        try:
            snapshot = unpack(data)
        except Corrupt as error:
            work.report("unreadable", snapshot_path(number), error.sentence)
        else:
            for run in snapshot.runs if snapshot else ():
                if snapshot is not None and (batch := read_more(work.store, run)) is not None:
                    copy = read_more(snapshot, run)
                    if copy is None or copy.cursor.chain != batch.cursor.chain:
                        work.report("broken chain", snapshot_path(number), f"differs from the log of run {run}")
        number += 1


def _check_index(work: _Check, index: Index, runs: Sequence[RunId]) -> None:
    index.refresh()
    different = [run for run in runs if _differs(work.store, index, run)]
    if not different:
        return
    repair = ""
    if work.repairs:
        index.rebuild()
        repair = "rebuilt"
    work.report("index differs", different[0], f"from the logs of {len(different)} runs", repair)


def _differs(store: Store, index: Index, run: RunId) -> bool:
    try:
        record = read_record(store, run)
    except HeadwaterError:  # reported with the run itself, or removed meanwhile
        return False
    indexed = index.run(run)
    if indexed is None:
        return True
    if indexed.seq < record.seq and record.ended is None:  # it went on after the index was refreshed
        return False
    return (indexed.seq, indexed.steps, indexed.facts) != (record.seq, record.steps, record.facts)
