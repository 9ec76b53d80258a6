"""What the loop writes about steps and attempts: decisions, outcomes and ends as facts of events."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from headwater.digest import canonical, digest_bytes, digest_of
from headwater.expr import Const, Gather, Out, Param, walk
from headwater.history import keep
from headwater.key import identity, key_of
from headwater.record import events as kinds
from headwater.schedule import Reason
from headwater.traces import sign_trace
from headwater.types import StepStatus

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from headwater.backend import Outcome, StepFailure
    from headwater.digest import Json
    from headwater.expr import Expr
    from headwater.graph import Node
    from headwater.rebuild import Decision
    from headwater.run.job import Job
    from headwater.schedule import Settled, StepSummary

    Facts = dict[str, Json]


def decided(node: Node, decision: Decision, job: Job) -> Facts:
    """Return the facts of a decision: what was looked up, what it came to, and from where each input came."""
    facts: Facts = {
        "step": decision.step,
        "action": decision.action,
        "reason": decision.reason,
        "changes": list(decision.changes),
        "key": decision.key,
        "base": decision.base,
        "parts": decision.parts.document(),
        "inputs": {name: list(_sources(node, name, tree, job)) for name, tree in decision.inputs.items()},
        "trees": cast("Json", decision.inputs),
    }
    if decision.code is not None:
        facts["code"] = _keep(job, decision.code)
    if decision.trace is not None:
        trace = decision.trace
        facts["trace"] = {"run": trace.run, "step": trace.step, "seq": trace.seq}
    return facts


def is_own(decision: Decision, job: Job) -> bool:
    """Tell whether a decision is to reuse what an earlier driver of this very run did: that is recorded already."""
    return decision.trace is not None and (decision.trace.run, decision.trace.step) == (job.run, decision.step)


def _keep(job: Job, document: Json) -> str:
    """Store a fingerprint's document, once however many steps share it."""
    data = canonical(document)
    digest = digest_bytes(data)
    if not job.store.has(digest):
        job.store.put(data)
    keep([data], job.store, job.saviour)
    return digest


def _sources(node: Node, argument: str, tree: Mapping[str, Json], job: Job) -> Iterator[Json]:
    """Yield where an input came from: steps, parameters and files, each with its digest."""
    expr = node.inputs.get(argument) or node.over.get(argument)
    if expr is None and node.kind == "condition":
        expr = cast("Expr", node.call)
    for part in walk(expr) if expr is not None else ():
        match part:
            case Out(step, output, _) if step in job.known.outputs:
                yield {"step": step, "output": output, "digest": job.known.outputs[step][output]["digest"]}
            case Gather(step, _):
                yield from _gathered(step, tree, job, is_element=argument in node.over)
            case Param(name, _):
                yield {"parameter": name, "digest": _digest(tree), **_file_of(job.known.parameter(name))}
            case Const({"$": "file" | "dir", "path": str(path)}):
                yield {"file": path, "digest": _digest(tree)}
            case _:
                pass


def _file_of(value: Json) -> Facts:
    match value:
        case {"$": "file" | "dir", "path": str(path)}:
            return {"file": path}
        case _:
            return {}


def _gathered(step: str, tree: Mapping[str, Json], job: Job, *, is_element: bool) -> Iterator[Json]:
    wanted = set(_digests(cast("Json", dict(tree)))) if is_element else None
    for element in job.known.elements.get(step, ()):
        for output, document in job.known.outputs.get(element, {}).items():
            if wanted is None or document["digest"] in wanted:
                yield {"step": element, "output": output, "digest": document["digest"]}


def _digests(tree: Json) -> Iterator[str]:
    if isinstance(tree, dict):
        if isinstance(tree.get("artifact"), dict):
            yield str(cast("Facts", tree["artifact"])["digest"])
        for inner in tree.values():
            yield from _digests(inner)
    elif isinstance(tree, list):
        for inner in tree:
            yield from _digests(inner)


def _digest(tree: Mapping[str, Json]) -> str:
    match tree:
        case {"artifact": {"digest": str(digest)}}:
            return digest
        case {"value": value}:
            return digest_of(value)
        case _:
            return digest_of(identity(cast("Json", dict(tree))))


def attempt_ended(step: str, outcome: Outcome, failure: StepFailure | None) -> Facts:
    """Return the facts of the end of an attempt."""
    facts: Facts = {
        "attempt": outcome.attempt_id,
        "step": step,
        "seconds": outcome.seconds,
        "started": outcome.started,
        "ended": outcome.ended,
        "cpu": outcome.cpu_seconds,
        "memory": outcome.peak_memory,
        "worker": outcome.worker,
    }
    if failure is not None:
        facts["fault"] = failure.fault.value
        facts["error"] = error_of(failure)
    return facts


def error_of(failure: StepFailure) -> Facts:
    """Return a failure as data."""
    return {
        "class": failure.kind,
        "message": failure.message,
        "fault": failure.fault.value,
        "traceback": list(failure.traceback),
    }


def contract_problem(node: Node, outcome: Outcome) -> str | None:
    """Return what is wrong with an outcome that claims success, or None."""
    names = [output.name for output in node.outputs]
    if outcome.outputs is None:
        return "the backend reported neither outputs nor a failure"
    if set(outcome.outputs) != set(names):
        return f"the backend gave outputs {sorted(outcome.outputs)}; the step has {sorted(names)}"
    return None


def finished(action: Settled, *, job: Job, decision: Decision | None, outcome: Outcome | None, attempts: int) -> Facts:
    """Return the facts of a step's end."""
    step, node = action.step, job.node(action.step)
    facts: Facts = {"step": step, "status": action.status.value, "attempts": attempts, "backend": job.backend(node)}
    if action.status in (StepStatus.RAN, StepStatus.REUSED) and step in job.known.outputs:
        facts["outputs"] = cast("Json", {name: dict(doc) for name, doc in job.known.outputs[step].items()})
    if decision is not None:
        facts["base"], facts["key"], facts["reason"] = decision.base, decision.key, decision.reason
    if outcome is not None:
        facts["seconds"] = outcome.seconds
        if outcome.observed and decision is not None:
            facts["observed"] = cast("Json", dict(outcome.observed))
            facts["key"] = key_of(decision.base, outcome.observed)
    if action.status not in (StepStatus.RAN, StepStatus.REUSED):
        facts["reason"] = _told(action.reason, action.because, action.message)
        if action.fault is not None:
            failure = None if outcome is None else outcome.failure
            if failure is not None and failure.fault is action.fault:
                facts["reason"] = f"{failure.kind}: {failure.message}".partition("\n")[0]
            facts["error"] = (
                error_of(failure)
                if failure is not None and failure.fault is action.fault
                else {"class": action.fault.value, "message": action.message, "fault": action.fault.value}
            )
    return facts


def settled_events(job: Job, facts: Facts, decision: Decision | None) -> Sequence[tuple[str, Mapping[str, Json]]]:
    """Return the events of a step's end: a trace when it ran, and what that trace supersedes."""
    if facts["status"] != StepStatus.RAN.value or decision is None or "key" not in facts:
        return [(kinds.STEP_FINISHED, facts)]
    trace = sign_trace(job.run, {**facts, "outputs": facts.get("outputs") or {}}, job.keyring)
    # A newer result takes the place of an older one that stood in so far (--force, or one that was not fresh).
    supersedes = {"step": facts["step"], "base": decision.base, "reason": decision.reason}
    return (
        [(kinds.TRACE_SUPERSEDED, supersedes), (kinds.STEP_FINISHED, trace)]
        if decision.displaces
        else [(kinds.STEP_FINISHED, trace)]
    )


def never_began(step: str, summary: StepSummary) -> Facts:
    """Return the facts of a step that was still waiting when the run ended."""
    reason = _told(summary.reason, summary.because, summary.message)
    return {"step": step, "status": StepStatus.PENDING.value, "reason": reason, "attempts": summary.attempts}


def _told(reason: Reason | None, because: str | None, message: str) -> str:
    """Say in words why a step stands where it stands."""
    match reason:
        case None:
            return message
        case Reason.BLOCKED:
            return f"'{because}' did not succeed"
        case Reason.STOPPED:
            return f"the run stopped after '{because}' failed"
        case Reason.NOT_SELECTED:
            return "it was not asked for"
        case Reason.CONDITION:
            return f"condition '{because}' came out the other way"
        case Reason.INPUT_SKIPPED:
            return f"what it takes was skipped: condition '{because}' came out the other way"
        case Reason.FAULT:
            return message.partition("\n")[0]
        case Reason.ELEMENT:
            return f"its element '{because}' did not succeed"
        case Reason.ASKED:
            return "the run was cancelled"


def shown(facts: Mapping[str, Json]) -> Facts:
    """Return what listeners get of a step's end: no signatures."""
    return {name: value for name, value in facts.items() if name != "mac"}
