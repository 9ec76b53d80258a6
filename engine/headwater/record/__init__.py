"""What one run did: append-only, chained events; everything else about a run is a view of them.

``runs/<run>/epochs/<n>``   claim of the n-th driver, by exclusive create; or the seal of a run that has ended
``runs/<run>/events-<n>``   the events that this driver appended: one JSON object a line
``runs/<run>/text-<n>``     what steps wrote, line by line; not chained
``runs/<run>/alive``        a driver's heartbeat; thrown away at will

An event is ``{"v": 1, "seq": …, "t": seconds, "type": …, …facts, "chain": …}``. The chain stands last: it is the
SHA-256 link of the line's text before it to the chain of the event before (of an epoch's first event: to the claim,
which itself names the chain it goes on from). A torn or unchained tail is dropped on reading, so every prefix of a log
is a valid run. A claim also states the last event that its driver saw; what an older driver appended after that
was never part of the run. The end of a run is claimed in the same way (the *seal*), so a run either ends or goes on.

Events and their facts. ``?``: may be absent. Readers skip types that they do not know and keep facts that they do not
know. Times are seconds since the epoch.

| type | facts |
|---|---|
| ``run.started`` | pipeline, version?, definition, params {name: typed JSON}, bundle?, profile?, command?, git? {commit, dirty, diff}, files? {label: digest}, environment?, parent?, resumes? |
| ``step.decided`` | step, action ``reuse`` or ``run``, reason?, changes? [..], key?, base?, parts? {..}, code?, inputs? {argument: [source]}, trees? {argument: input tree}, trace? {run, step, seq} |
| ``step.expanded`` | step, elements [step names] |
| ``attempt.submitted`` | attempt, step, backend?: the intent, appended before the backend is told |
| ``attempt.accepted`` | attempt, step?, handle |
| ``attempt.ended`` | attempt, step?, fault?, error? {class, message, traceback}, seconds?, started?, ended?, cpu?, memory?, worker? |
| ``step.finished`` | step, status, outputs? {name: artifact document}, key?, base?, observed? {label: digest}, seconds?, backend?, attempts?, error?, reason?, mac? |
| ``trace.superseded`` | step, base, reason?: appended together with the end of the step; traces of that base before its own no longer stand in |
| ``cancel.requested`` | by? |
| ``fault.noted`` | kind, message, step?: something odd that the run survived |
| ``run.ended`` | status, seconds?, output?, error?, mac?: signature over this event and the chain before it |

A *source* of an input is ``{"digest": …}`` together with one of ``{"step": …, "output": …}``, ``{"parameter": …}`` and
``{"file": …}``, or none of them for a constant. ``step.finished`` with status ``ran`` and a key is a trace.
"""  # noqa: E501  the rows of a table

from __future__ import annotations

from headwater.record.alive import Driver, is_alive
from headwater.record.events import Event
from headwater.record.fold import AttemptRecord, RunRecord, StepRecord, TraceId
from headwater.record.log import RunLog, new_run_id
from headwater.record.read import TextLine, TextPage, has_run, list_runs, read_events, read_record, read_text

__all__ = [
    "AttemptRecord",
    "Driver",
    "Event",
    "RunLog",
    "RunRecord",
    "StepRecord",
    "TextLine",
    "TextPage",
    "TraceId",
    "has_run",
    "is_alive",
    "list_runs",
    "new_run_id",
    "read_events",
    "read_record",
    "read_text",
]
