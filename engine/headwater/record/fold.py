"""Events → what they add up to: documents that grow event by event, and typed views of them.

``apply`` is the only place that knows what an event means. A whole log folded at once, and an index that is fed what
is new now and then, come to the same documents.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, cast

from headwater.record.events import (
    ATTEMPT_ACCEPTED,
    ATTEMPT_ENDED,
    ATTEMPT_SUBMITTED,
    CANCEL_REQUESTED,
    FAULT_NOTED,
    RUN_ENDED,
    RUN_STARTED,
    STEP_DECIDED,
    STEP_EXPANDED,
    STEP_FINISHED,
)
from headwater.types import RunStatus, StepStatus

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping, Sequence

    from headwater.digest import Json
    from headwater.record.events import Claim, Event
    from headwater.types import RunId, StepName

#: Type → facts without which an event means nothing.
_DEMANDED = {
    RUN_ENDED: {"status"},
    STEP_DECIDED: {"step"},
    STEP_EXPANDED: {"step", "elements"},
    STEP_FINISHED: {"step", "status"},
    ATTEMPT_SUBMITTED: {"attempt"},
    ATTEMPT_ACCEPTED: {"attempt"},
    ATTEMPT_ENDED: {"attempt"},
}

#: What the events of a run, or of one of its steps, add up to: JSON.
Document: TypeAlias = "dict[str, Json]"


@dataclass(frozen=True, slots=True)
class TraceId:
    """Where a trace was made: the event that it is."""

    run: RunId
    step: StepName
    seq: int


@dataclass(frozen=True, slots=True)
class AttemptRecord:
    """One try at one step."""

    attempt: str
    backend: str
    #: The backend's name for it, or None while it was only meant to be submitted.
    handle: str | None
    submitted: float
    ended: float | None
    fault: str | None
    #: Class, message and traceback of what went wrong.
    error: Mapping[str, Json] | None
    #: The event's own facts, as the worker gave them: started, seconds, cpu, memory, worker, …
    facts: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class StepRecord:
    """What one run did about one step."""

    run: RunId
    step: StepName
    status: StepStatus
    #: ``reuse`` or ``run``, or "" before it was decided.
    action: str
    reason: str
    changes: Sequence[Json]
    key: str
    base: str
    #: The document of the key's parts.
    parts: Mapping[str, Json]
    #: Digest of the document of the code's fingerprint, or "".
    code: str
    #: Argument → sources.
    inputs: Mapping[str, Sequence[Mapping[str, Json]]]
    #: Argument → input tree.
    trees: Mapping[str, Json]
    #: The trace that stood in, when it was reused.
    trace: TraceId | None
    #: Output name → artifact document.
    outputs: Mapping[str, Json]
    observed: Mapping[str, str]
    #: Names of the elements of a map, once known.
    elements: Sequence[StepName] | None
    attempts: Sequence[AttemptRecord]
    backend: str
    error: Mapping[str, Json] | None
    decided: float | None
    finished: float | None
    seconds: float | None
    #: Number of the event that finished it; 0 before.
    seq: int


@dataclass(frozen=True, slots=True)
class RunRecord:
    """What one run did."""

    run: RunId
    status: RunStatus
    pipeline: str
    version: Json
    definition: str
    #: Parameter → typed JSON.
    params: Mapping[str, Json]
    started: float
    ended: float | None
    seconds: float | None
    output: Json
    driver: Mapping[str, Json]
    #: How many drivers it had.
    epochs: int
    is_cancel_requested: bool
    #: Odd things that the run survived: kind, message, step.
    faults: Sequence[Mapping[str, Json]]
    #: Every fact of ``run.started`` and ``run.ended``: bundle, profile, command, git, files, environment, parent, …
    facts: Mapping[str, Json]
    steps: Mapping[StepName, StepRecord]
    #: Number and time of the last event.
    seq: int
    last: float


def begin(run: RunId, claims: Sequence[Claim], document: Document | None = None) -> Document:
    """Return a run's document before its first event, or an older one with what further claims say."""
    document = document or {"run": run, "status": "running", "seq": 0, "faults": [], "facts": {}}
    for claim in claims:
        if not claim.is_seal:
            document["driver"] = dict(claim.driver)
            document["epochs"] = claim.epoch
            document.setdefault("started", claim.time)
            document.setdefault("last", claim.time)
    return document


def apply(run: Document, steps: MutableMapping[StepName, Document], event: Event) -> None:
    """Let one event act on a run's document and on the documents of its steps.

    An event that lacks a fact which its type demands is passed over, like one of an unknown type.
    """
    run["seq"], run["last"] = event.seq, event.time
    if not _DEMANDED.get(event.type, set()) <= event.facts.keys():
        return
    facts = dict(event.facts)
    if event.type in {RUN_STARTED, RUN_ENDED, CANCEL_REQUESTED, FAULT_NOTED}:
        _apply_to_run(run, event, facts)
    elif event.type in {ATTEMPT_SUBMITTED, ATTEMPT_ACCEPTED, ATTEMPT_ENDED}:
        _apply_to_attempt(_step(run, steps, _step_of_attempt(facts)), event, facts)
    elif event.type in {STEP_DECIDED, STEP_EXPANDED, STEP_FINISHED}:
        name = str(facts.pop("step"))
        _apply_to_step(_step(run, steps, name), event, facts)


def _apply_to_run(run: Document, event: Event, facts: Document) -> None:
    known = cast("Document", run["facts"])
    if event.type == RUN_STARTED:
        if not known:
            run["started"] = event.time
        known.update(facts)
        run["status"] = "running"
    elif event.type == RUN_ENDED:
        run["status"], run["ended"] = str(facts.pop("status")), event.time
        known.update(facts)
    elif event.type == CANCEL_REQUESTED:
        run["cancel"] = True
    else:
        cast("list[Json]", run["faults"]).append({**facts, "t": event.time})


def _step(run: Document, steps: MutableMapping[StepName, Document], name: StepName) -> Document:
    document = steps.get(name)
    if document is None:
        document = {"run": run["run"], "step": name, "status": "pending", "attempts": {}}
        steps[name] = document
    return document


def _step_of_attempt(facts: Document) -> StepName:
    """Return the step that an attempt is for: said by the event, or by the id ``<run>/<step>/<try>``."""
    step = facts.pop("step", None)
    return str(facts["attempt"]).split("/", 1)[-1].rpartition("/")[0] if step is None else str(step)


def _apply_to_step(step: Document, event: Event, facts: Document) -> None:
    if event.type == STEP_EXPANDED:
        step["elements"] = facts["elements"]
    elif event.type == STEP_DECIDED:
        for stale in ("finished", "elements"):
            step.pop(stale, None)
        step["status"] = "pending"
        step["decided"] = {**facts, "t": event.time}
    else:
        step["status"] = str(facts.pop("status"))
        step["finished"] = {**facts, "t": event.time, "seq": event.seq}


def _apply_to_attempt(step: Document, event: Event, facts: Document) -> None:
    attempts = cast("dict[str, Document]", step["attempts"])
    name = str(facts.pop("attempt"))
    attempt = attempts.setdefault(name, {})
    if event.type == ATTEMPT_SUBMITTED:
        if "finished" not in step:
            step["status"] = "running"
        attempt.update(facts, submitted=event.time)
    elif event.type == ATTEMPT_ACCEPTED:
        attempt.update(facts)
    else:
        attempt.update({"facts": facts, "ended": event.time})


def step_record(document: Document) -> StepRecord:
    """Return the typed view of a step's document."""
    decided = cast("Document", document.get("decided") or {})
    finished = cast("Document", document.get("finished") or {})
    trace = cast("Document | None", decided.get("trace") or finished.get("trace"))
    attempts = cast("dict[str, Document]", document["attempts"])
    return StepRecord(
        run=str(document["run"]),
        step=str(document["step"]),
        status=StepStatus(str(document["status"])),
        action=_text(decided, "action"),
        reason=_text(finished, "reason") or _text(decided, "reason"),
        changes=cast("list[Json]", decided.get("changes") or []),
        key=_text(finished, "key") or _text(decided, "key"),
        base=_text(finished, "base") or _text(decided, "base"),
        parts=cast("Document", decided.get("parts") or {}),
        code=_text(decided, "code"),
        inputs=cast("dict[str, list[Document]]", decided.get("inputs") or {}),
        trees=cast("Document", decided.get("trees") or {}),
        trace=_trace_id(trace),
        outputs=cast("Document", finished.get("outputs") or {}),
        observed=cast("dict[str, str]", finished.get("observed") or {}),
        elements=cast("list[str] | None", document.get("elements")),
        attempts=[_attempt_record(name, attempt) for name, attempt in attempts.items()],
        backend=_text(finished, "backend"),
        error=cast("Document | None", finished.get("error")),
        decided=_number(decided, "t"),
        finished=_number(finished, "t"),
        seconds=_number(finished, "seconds"),
        seq=cast("int", finished.get("seq", 0)),
    )


def _trace_id(document: Document | None) -> TraceId | None:
    if not document:
        return None
    return TraceId(str(document["run"]), str(document["step"]), cast("int", document.get("seq", 0)))


def _attempt_record(name: str, document: Document) -> AttemptRecord:
    facts = cast("Document", document.get("facts") or {})
    handle = document.get("handle")
    return AttemptRecord(
        attempt=name,
        backend=_text(document, "backend"),
        handle=None if handle is None else str(handle),
        submitted=_number(document, "submitted") or 0.0,
        ended=_number(document, "ended"),
        fault=_text(facts, "fault") or None,
        error=cast("Document | None", facts.get("error")),
        facts=facts,
    )


def run_record(document: Document, steps: Mapping[StepName, Document], *, is_alive: bool) -> RunRecord:
    """Return the typed view of a run's documents; without an end and without a driver it was interrupted."""
    facts = cast("Document", document["facts"])
    status = RunStatus(str(document["status"]))
    if status is RunStatus.RUNNING and not is_alive:
        status = RunStatus.INTERRUPTED
    return RunRecord(
        run=str(document["run"]),
        status=status,
        pipeline=_text(facts, "pipeline"),
        version=facts.get("version"),
        definition=_text(facts, "definition"),
        params=cast("Document", facts.get("params") or {}),
        started=_number(document, "started") or 0.0,
        ended=_number(document, "ended"),
        seconds=_number(facts, "seconds"),
        output=facts.get("output"),
        driver=cast("Document", document.get("driver") or {}),
        epochs=cast("int", document.get("epochs", 0)),
        is_cancel_requested=bool(document.get("cancel")),
        faults=cast("list[Document]", document["faults"]),
        facts=facts,
        steps={name: step_record(step) for name, step in steps.items()},
        seq=cast("int", document["seq"]),
        last=_number(document, "last") or 0.0,
    )


def _text(document: Mapping[str, Json], name: str) -> str:
    value = document.get(name)
    return "" if value is None else str(value)


def _number(document: Mapping[str, Json], name: str) -> float | None:
    value = document.get(name)
    return float(value) if isinstance(value, int | float) else None
