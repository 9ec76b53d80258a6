"""The scheduler: a pure state machine, events in and actions out.

``Scheduler(tasks, limits, fail_fast=…)``; ``start()`` and ``handle(event)`` return the actions to carry out.
"""

from headwater.schedule.messages import (
    Action,
    Cancel,
    CancelRequested,
    ConditionKnown,
    Decide,
    Event,
    Expand,
    Expanded,
    Failed,
    Finished,
    Miss,
    Pause,
    Reason,
    Refused,
    Resumed,
    Reuse,
    Settled,
    Start,
    Started,
    Succeeded,
    Wait,
    Withdrawn,
    Woken,
)
from headwater.schedule.order import shortages
from headwater.schedule.scheduler import Scheduler
from headwater.schedule.spec import Choice, Element, Guard, Limits, Patience, StepSpec
from headwater.schedule.summary import StepSummary, Summary

__all__ = [
    "Action",
    "Cancel",
    "CancelRequested",
    "Choice",
    "ConditionKnown",
    "Decide",
    "Element",
    "Event",
    "Expand",
    "Expanded",
    "Failed",
    "Finished",
    "Guard",
    "Limits",
    "Miss",
    "Patience",
    "Pause",
    "Reason",
    "Refused",
    "Resumed",
    "Reuse",
    "Scheduler",
    "Settled",
    "Start",
    "Started",
    "StepSpec",
    "StepSummary",
    "Succeeded",
    "Summary",
    "Wait",
    "Withdrawn",
    "Woken",
    "shortages",
]
