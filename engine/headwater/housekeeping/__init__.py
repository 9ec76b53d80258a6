"""Keep a store in order: which runs stay, what may go, and whether everything is what its name says."""

from __future__ import annotations

from headwater.housekeeping.fsck import Problem, Report, check
from headwater.housekeeping.gc import Collected, Policy, collect
from headwater.housekeeping.pins import Pin, keep, kept, pin, pins, unkeep, unpin
from headwater.housekeeping.removal import remove_runs

__all__ = [
    "Collected",
    "Pin",
    "Policy",
    "Problem",
    "Report",
    "check",
    "collect",
    "keep",
    "kept",
    "pin",
    "pins",
    "remove_runs",
    "unkeep",
    "unpin",
]
