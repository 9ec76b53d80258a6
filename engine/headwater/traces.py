"""Traces: *this key gave these digests*; written once as an event of a run, shared by all runs.

**Which one stands in.** Traces of one base are ordered by (time, run, number of the event): a total order that every
reader computes alike, the oldest first. So as long as an old trace stands, everybody reuses that one, whatever comes
later. After a step was run though a trace stood (``--force``, or ``fresh=…``), the run appends ``trace.superseded``:
traces of that base that come before the run's own one no longer stand, and the order begins with that one.

**Whose it is.** A trace is signed over all that a caller acts upon. One whose signature is false does not exist. One
that an unknown key signed, or nobody, has ``trusted=False``: its digests may be used as data, but its pickles are not
to be opened and its code is not to be executed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, cast

from headwater.digest import canonical

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from headwater.digest import Digest, Json
    from headwater.trust import Keyring
    from headwater.types import RunId, StepName


@dataclass(frozen=True, slots=True)
class Trace:
    """The fact that a step, under a key, gave these outputs."""

    #: Digest of all parts of the key; ``base`` leaves out the files that were observed. Equal when there were none.
    key: Digest
    base: Digest
    run: RunId
    step: StepName
    #: Number of the run's event that this is.
    seq: int
    #: Seconds since the epoch, by the driver's clock.
    time: float
    #: Output name → artifact document.
    outputs: Mapping[str, Json]
    #: Undeclared files that the step opened: label → digest.
    observed: Mapping[str, str]
    seconds: float
    #: Id of the key that signed it, or "".
    signer: str
    trusted: bool


@dataclass(frozen=True, slots=True)
class TraceRow:
    """A trace as it was found, not yet checked."""

    key: Digest
    base: Digest
    run: RunId
    step: StepName
    seq: int
    time: float
    outputs: Mapping[str, Json]
    observed: Mapping[str, str]
    seconds: float
    mac: Json
    is_superseded: bool


class TraceSource(Protocol):
    """Where traces are looked up: the index."""

    def traces_by_base(self, base: Digest) -> Sequence[TraceRow]:
        """Return the traces of a base, in their order."""
        ...

    def traces_by_key(self, key: Digest) -> Sequence[TraceRow]:
        """Return the traces of a key, in their order."""
        ...


class Traces:
    """Look up traces, checked; those that no longer stand or whose signature is false are left out."""

    def __init__(self, source: TraceSource, keyring: Keyring) -> None:
        self._source, self._keyring = source, keyring

    def by_base(self, base: Digest) -> Sequence[Trace]:
        """Return the traces that stand for a base, the one to prefer first."""
        return self._checked(self._source.traces_by_base(base))

    def by_key(self, key: Digest) -> Sequence[Trace]:
        """Return the traces that stand for a key, the one to prefer first."""
        return self._checked(self._source.traces_by_key(key))

    def _checked(self, rows: Sequence[TraceRow]) -> Sequence[Trace]:
        traces = (check(row, self._keyring) for row in rows if not row.is_superseded)
        return [trace for trace in traces if trace is not None]


def check(row: TraceRow, keyring: Keyring) -> Trace | None:
    """Return a trace with its trust, or None when its signature is false."""
    standing = keyring.check(signed_bytes(row.run, row.step, _facts(row)), row.mac)
    if standing == "bad":
        return None
    return Trace(
        key=row.key,
        base=row.base,
        run=row.run,
        step=row.step,
        seq=row.seq,
        time=row.time,
        outputs=row.outputs,
        observed=row.observed,
        seconds=row.seconds,
        signer=str(row.mac.get("key", "")) if isinstance(row.mac, dict) else "",
        trusted=standing in ("own", "trusted"),
    )


def sign_trace(run: RunId, facts: Mapping[str, Json], keyring: Keyring) -> dict[str, Json]:
    """Return the facts of a ``step.finished`` event of status ``ran`` with the signature that makes it a trace."""
    return {**facts, "mac": keyring.sign(signed_bytes(run, str(facts["step"]), facts))}


def signed_bytes(run: RunId, step: StepName, facts: Mapping[str, Json]) -> bytes:
    """Return what a trace's signature covers: all that a reader acts upon."""
    return canonical(
        {
            "v": 1,
            "what": "trace",
            "run": run,
            "step": step,
            "key": facts["key"],
            "base": facts["base"],
            "outputs": facts.get("outputs") or {},
            "observed": facts.get("observed") or {},
        }
    )


def _facts(row: TraceRow) -> Mapping[str, Json]:
    return {
        "key": row.key,
        "base": row.base,
        "outputs": dict(row.outputs),
        "observed": cast("Json", dict(row.observed)),
    }
