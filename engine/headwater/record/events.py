"""Events as bytes: one chained JSON line each; claims of epochs; where things of a run lie in the store."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, cast

from headwater.digest import canonical, chain_link
from headwater.errors import Corrupt

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from headwater.digest import Json
    from headwater.types import RunId

#: Version of an event's form.
VERSION = 1
RUN_STARTED = "run.started"
STEP_DECIDED = "step.decided"
STEP_EXPANDED = "step.expanded"
ATTEMPT_SUBMITTED = "attempt.submitted"
ATTEMPT_ACCEPTED = "attempt.accepted"
ATTEMPT_ENDED = "attempt.ended"
STEP_FINISHED = "step.finished"
TRACE_SUPERSEDED = "trace.superseded"
CANCEL_REQUESTED = "cancel.requested"
FAULT_NOTED = "fault.noted"
RUN_ENDED = "run.ended"

_RESERVED = frozenset({"v", "seq", "t", "type", "chain"})
_CHAIN_TAIL = len(',"chain":""}') + 64


class LogSource(Protocol):
    """Where claims and logs are read from: a store, or a snapshot that holds copies of them."""

    def read(self, path: str) -> bytes | None:
        """Return a ref's bytes, or None."""
        ...

    def read_log(self, path: str, offset: int = 0) -> tuple[bytes, int]:
        """Return a log's bytes from an offset on, and the new offset."""
        ...


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened in a run."""

    seq: int
    #: Seconds since the epoch, by the driver's clock.
    time: float
    type: str
    facts: Mapping[str, Json]
    #: Which driver of the run appended it, counted from 1.
    epoch: int


@dataclass(frozen=True, slots=True)
class Claim:
    """A driver's claim of an epoch, or the seal of a run that has ended."""

    epoch: int
    driver: Mapping[str, Json]
    time: float
    #: Sequence number and chain of the last event before; 0 and "" for the first epoch.
    previous_seq: int
    previous_chain: str
    is_seal: bool
    #: The chain that the epoch's first event links to: it binds the claim and all before it.
    chain: str


def run_path(run: RunId) -> str:
    """Return where everything of a run lies."""
    return f"runs/{run}"


def claim_path(run: RunId, epoch: int) -> str:
    """Return where the claim of an epoch lies."""
    return f"runs/{run}/epochs/{epoch:04d}"


def events_path(run: RunId, epoch: int) -> str:
    """Return where an epoch's events lie."""
    return f"runs/{run}/events-{epoch:04d}"


def text_path(run: RunId, epoch: int) -> str:
    """Return where the text lies that steps wrote in an epoch."""
    return f"runs/{run}/text-{epoch:04d}"


def encode_event(chain: str, seq: int, time: float, kind: str, facts: Mapping[str, Json]) -> tuple[bytes, str]:
    """Return an event's line and its chain. Raises ValueError for facts that an event cannot hold."""
    if not _RESERVED.isdisjoint(facts):
        raise ValueError(f"an event's own names cannot be facts: {sorted(_RESERVED & facts.keys())}")
    body = canonical({**facts, "v": VERSION, "seq": seq, "t": time, "type": kind})
    link = chain_link(chain, body)
    return body[:-1] + b',"chain":"' + link.encode() + b'"}\n', link


def end_bytes(run: RunId, seq: int, chain: str, facts: Mapping[str, Json]) -> bytes:
    """Return what the signature of a run's end covers: its own facts, and by the chain before it the whole log."""
    told = {name: value for name, value in facts.items() if name != "mac"}
    return canonical({"v": 1, "what": "end of run", "run": run, "seq": seq, "chain": chain, "facts": told})


def chain_before(data: bytes, end: int, first: str) -> str:
    """Return the chain before the line of a sound log that ends at ``end``; ``first`` is that of the epoch's claim."""
    line = data.rfind(b"\n", 0, end - 1)
    return first if line < 0 else data[line - 66 : line - 2].decode()


def decode_events(data: bytes, chain: str, seq: int, epoch: int) -> tuple[list[Event], str, int]:
    """Read the lines that chain on from ``chain`` and follow ``seq``.

    Returns the events, the last chain, and how many bytes were taken: up to the first line that is torn or unchained.
    """
    events: list[Event] = []
    taken = 0
    while (end := data.find(b"\n", taken)) >= 0:
        line = data[taken:end]
        found = _decode_line(line, chain)
        if found is None:
            break
        document, link = found
        if document.get("seq") != seq + 1:
            break
        seq, chain, taken = seq + 1, link, end + 1
        if document.get("v") == VERSION:
            events.append(_event(document, epoch))
    return events, chain, taken


def _decode_line(line: bytes, chain: str) -> tuple[dict[str, Json], str] | None:
    if len(line) <= _CHAIN_TAIL:
        return None
    body = line[:-_CHAIN_TAIL] + b"}"
    link = chain_link(chain, body)
    if line[-_CHAIN_TAIL:] != b',"chain":"' + link.encode() + b'"}':
        return None
    return cast("dict[str, Json]", json.loads(body)), link


def _event(document: dict[str, Json], epoch: int) -> Event:
    facts = {name: value for name, value in document.items() if name not in _RESERVED}
    return Event(
        seq=cast("int", document["seq"]),
        time=float(cast("float", document["t"])),
        type=str(document["type"]),
        facts=facts,
        epoch=epoch,
    )


def encode_claim(
    driver: Mapping[str, Json], time: float, previous_seq: int, previous_chain: str, *, is_seal: bool = False
) -> bytes:
    """Return the bytes of a claim."""
    return canonical(
        {
            "v": VERSION,
            "driver": dict(driver),
            "t": time,
            "previous": {"seq": previous_seq, "chain": previous_chain},
            "seal": is_seal,
        }
    )


def decode_claim(data: bytes, epoch: int) -> Claim:
    """Read a claim. Raises Corrupt when it is none."""
    try:
        document = json.loads(data)
        previous = document["previous"]
        return Claim(
            epoch=epoch,
            driver=document["driver"],
            time=float(document["t"]),
            previous_seq=int(previous["seq"]),
            previous_chain=str(previous["chain"]),
            is_seal=bool(document["seal"]),
            chain=chain_link(str(previous["chain"]), data),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise Corrupt("the claim of a run's epoch cannot be read", facts={"epoch": epoch}) from error


def read_claim(source: LogSource, run: RunId, epoch: int) -> Claim | None:
    """Return the claim of one epoch, or None where nobody has claimed it."""
    data = source.read(claim_path(run, epoch))
    return None if data is None else decode_claim(data, epoch)


def read_claims(source: LogSource, run: RunId) -> Sequence[Claim]:
    """Return all claims of a run, in order; the seal, if any, is the last."""
    claims: list[Claim] = []
    while (claim := read_claim(source, run, len(claims) + 1)) is not None:
        claims.append(claim)
        if claim.is_seal:
            break
    return claims


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a run's log has been read."""

    #: The epoch being read; 0 before anything was.
    epoch: int = 0
    offset: int = 0
    seq: int = 0
    chain: str = ""
    #: The run has ended, and nothing can follow.
    is_sealed: bool = False


@dataclass(frozen=True, slots=True)
class Batch:
    """What was new in a run's log."""

    events: Sequence[Event]
    cursor: Cursor
    #: Claims of the epochs that began in this batch.
    claims: Sequence[Claim]
    #: Events read earlier turned out not to be part of the run: forget them, this batch begins anew.
    is_restart: bool = False


def read_more(source: LogSource, run: RunId, cursor: Cursor | None = None) -> Batch | None:
    """Read what a run's log has beyond a cursor; None where there is no such run."""
    cursor = cursor or Cursor()
    events: list[Event] = []
    claims: list[Claim] = []
    claim = None
    if cursor.epoch == 0:
        claim = read_claim(source, run, 1)
        if claim is None:
            return None
        claims.append(claim)
        cursor = Cursor(epoch=1, chain=claim.chain)
    while not cursor.is_sealed:
        # The next claim is read first: what it states as seen is then sure to be in the log that is read after it.
        following = read_claim(source, run, cursor.epoch + 1)
        if following is not None and following.previous_seq < cursor.seq:
            again = read_more(source, run)
            return None if again is None else Batch(again.events, again.cursor, again.claims, is_restart=True)
        found, cursor = _read_epoch(source, run, cursor, following)
        events.extend(found)
        if following is None:
            break
        claims.append(following)
        cursor = Cursor(following.epoch, 0, following.previous_seq, following.chain, following.is_seal)
    return Batch(events, cursor, claims)


def _read_epoch(source: LogSource, run: RunId, cursor: Cursor, following: Claim | None) -> tuple[list[Event], Cursor]:
    data, _ = source.read_log(events_path(run, cursor.epoch), cursor.offset)
    events, chain, taken = decode_events(data, cursor.chain, cursor.seq, cursor.epoch)
    if following is not None:
        events = [event for event in events if event.seq <= following.previous_seq]
    seq = events[-1].seq if events else cursor.seq
    return events, Cursor(cursor.epoch, cursor.offset + taken, seq, chain)
