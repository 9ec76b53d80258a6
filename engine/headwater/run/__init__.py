"""Carry out a run: the loop, the backends it feeds, the steps it performs itself."""

from headwater.run.job import Job, View, backend_of
from headwater.run.logged import logged
from headwater.run.loop import execute
from headwater.run.places import Places, Stop
from headwater.run.quiet import Quiet
from headwater.run.reader import Reader
from headwater.run.result import RunResult
from headwater.run.signals import Signals

__all__ = [
    "Job",
    "Places",
    "Quiet",
    "Reader",
    "RunResult",
    "Signals",
    "Stop",
    "View",
    "backend_of",
    "execute",
    "logged",
]
