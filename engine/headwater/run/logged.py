"""A view that also writes the engine's own log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from headwater.logs import logger

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from headwater.backend import LogLine
    from headwater.run.job import View
    from headwater.run.outlook import Outlook
    from headwater.types import RunId, RunStatus, StepName, StepStatus


def logged(view: View) -> View:
    """Return a view that logs what it shows, where somebody asked for a log; else the view itself."""
    log = logger()
    return view if log is None else _Logged(view, log)


@dataclass(frozen=True, slots=True)
class _Logged:
    view: View
    log: FilteringBoundLogger

    def started(self, run: RunId, pipeline: str, outlook: Outlook) -> None:
        self.log.info("run.started", run=run, pipeline=pipeline)
        self.view.started(run, pipeline, outlook)

    def expanded(self, step: StepName, elements: int) -> None:
        self.log.debug("step.expanded", step=step, elements=elements)
        self.view.expanded(step, elements)

    def running(self, step: StepName, attempt: int, backend: str | None) -> None:
        self.log.debug("attempt.submitted", step=step, attempt=attempt, backend=backend)
        self.view.running(step, attempt, backend)

    def settled(self, step: StepName, status: StepStatus, reason: str, seconds: float | None) -> None:
        self.log.info("step.finished", step=step, status=status.value, reason=reason, seconds=seconds)
        self.view.settled(step, status, reason, seconds)

    def line(self, step: StepName, line: LogLine) -> None:
        self.log.debug("step.text", step=step, stream=line.stream, text=line.text)
        self.view.line(step, line)

    def told(self, message: str) -> None:
        self.log.warning("run.told", message=message)
        self.view.told(message)

    def ended(self, status: RunStatus, seconds: float) -> None:
        self.log.info("run.ended", status=status.value, seconds=seconds)
        self.view.ended(status, seconds)
