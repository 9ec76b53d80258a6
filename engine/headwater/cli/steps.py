"""Steps of a run as people name them: a map's name stands for all its elements."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from headwater.cli.text import counted
from headwater.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headwater.record import RunRecord, StepRecord


def steps_of(record: RunRecord, name: str) -> Sequence[StepRecord]:
    """Return the step of a run, or the elements of a map. Raises RequestError for an unknown name."""
    from headwater.workspace import step_of

    step = step_of(record, name)
    return [record.steps[each] for each in step.elements or () if each in record.steps] or [step]


def one_step(record: RunRecord, name: str, *, command: str) -> StepRecord:
    """Return the step of a run; for a map, whose elements are several, raise RequestError that names them."""
    found = steps_of(record, name)
    if found[0].step != name:
        raise RequestError(
            f"step '{name}' is a map of {counted(len(found), 'element')}: name one",
            facts={"run": record.run, "elements": named(found)},
            hint=shlex.join(["hw", *command.split(), record.run, found[0].step]),
        )
    return found[0]


def named(steps: Sequence[StepRecord], most: int = 20) -> str:
    """List the names of steps, the first few of many."""
    more = f", … {len(steps) - most} more" if len(steps) > most else ""
    return ", ".join(step.step for step in steps[:most]) + more
