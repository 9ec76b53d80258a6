"""A view that shows nothing: for runs from Python."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headwater.backend import LogLine
    from headwater.run.outlook import Outlook
    from headwater.types import RunId, RunStatus, StepName, StepStatus


class Quiet:
    """Nobody watches."""

    def started(self, run: RunId, pipeline: str, outlook: Outlook) -> None:
        """Show nothing."""

    def expanded(self, step: StepName, elements: int) -> None:
        """Show nothing."""

    def running(self, step: StepName, attempt: int, backend: str | None) -> None:
        """Show nothing."""

    def settled(self, step: StepName, status: StepStatus, reason: str, seconds: float | None) -> None:
        """Show nothing."""

    def line(self, step: StepName, line: LogLine) -> None:
        """Show nothing."""

    def told(self, message: str) -> None:
        """Show nothing."""

    def ended(self, status: RunStatus, seconds: float) -> None:
        """Show nothing."""
