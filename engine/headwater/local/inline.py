"""The backend ``inline``: each attempt is performed by the call that submits it; made for debuggers."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, Literal

from headwater.backend import INTERFACE, Capabilities, Capability
from headwater.local.here import Here
from headwater.types import Fault, Resources
from headwater.worker.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headwater.backend import Attempt, BackendContext, Handle, Report, StepFailure


class InlineBackend:
    """Performs attempts one by one in the thread that submits them."""

    def __init__(self, context: BackendContext) -> None:
        self._context = context
        self._ledger = Ledger(context.sink)
        self._here = Here(context, self._ledger, extent="shared", most=1)

    @property
    def capabilities(self) -> Capabilities:
        """Limits are kept by step processes; a step that runs here cannot be stopped for certain."""
        can = frozenset({Capability.TIMEOUT, Capability.MEMORY_LIMIT, Capability.OWN_PROCESS})
        return Capabilities(INTERFACE, can, Resources(cpus=self._context.cores))

    def submit(self, attempts: Sequence[Attempt]) -> Sequence[Handle | StepFailure]:
        """Perform the attempts; an interrupt from the keyboard ends the running one, then goes on to the caller."""
        fresh = [attempt for attempt in attempts if self._ledger.take(attempt.attempt_id)]
        for attempt in fresh:
            self._here.perform(attempt, label=self._context.name)
            if self._was_interrupted(attempt.attempt_id):
                self._give_up([each.attempt_id for each in fresh])
                signal.raise_signal(signal.SIGINT)
                break  # whoever handles the signal may let the caller go on
        return [attempt.attempt_id for attempt in attempts]

    def poll(self, handles: Sequence[Handle]) -> Sequence[Report]:
        """Tell how attempts stand."""
        return self._ledger.poll(handles)

    def cancel(self, handles: Sequence[Handle], grace: float) -> None:
        """Stop attempts; called from another thread than the one that performs them."""
        self._here.stop(self._ledger.open(handles), grace)

    def close(self, how: Literal["detach", "cancel"]) -> None:
        """End the step processes; nothing can be left running."""
        del how
        self.cancel(self._ledger.open(), 0)
        self._here.close()

    def _was_interrupted(self, attempt_id: str) -> bool:
        """Tell whether Ctrl-C ended an attempt that nobody cancelled."""
        outcome = self._ledger.poll([attempt_id])[0].outcome
        failure = outcome.failure if outcome is not None else None
        return (
            failure is not None
            and failure.kind == "KeyboardInterrupt"
            and not self._here.was_stopped(attempt_id)
            and threading.current_thread() is threading.main_thread()
        )

    def _give_up(self, attempt_ids: Sequence[str]) -> None:
        for name in attempt_ids:
            self._ledger.fail(name, Fault.CANCELLED, "Cancelled", "the step was cancelled before it began")
