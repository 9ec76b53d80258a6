"""How two runs differ: a view of their records."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from headwater.digest import canonical, is_digest
from headwater.key import compare_parts
from headwater.types import StepStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from headwater.digest import Json
    from headwater.record import RunRecord, StepRecord
    from headwater.types import RunId, StepName

_SHORT = 12


@dataclass(frozen=True, slots=True)
class StepDifference:
    """One step that two runs did not do alike."""

    step: StepName
    #: Status in the first and in the second run; "" where it does not occur.
    statuses: tuple[str, str]
    #: Parts of the key that differ: {part, name, old, new}.
    parts: Sequence[Mapping[str, Json]]
    #: Outputs that differ: name → digests in the first and in the second run, "" where there is none.
    outputs: Mapping[str, tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Difference:
    """How two runs differ."""

    runs: tuple[RunId, RunId]
    #: Facts of the runs that differ: status, definition, bundle, …
    facts: Mapping[str, tuple[Json, Json]]
    #: Parameters that differ.
    params: Mapping[str, tuple[Json, Json]]
    #: Steps whose key parts or outputs differ, or that only one of them has.
    steps: Sequence[StepDifference]

    def document(self) -> dict[str, Json]:
        """Return the difference as JSON."""
        return {
            "runs": list(self.runs),
            "facts": {name: list(pair) for name, pair in self.facts.items()},
            "params": {name: list(pair) for name, pair in self.params.items()},
            "steps": [
                {
                    "step": one.step,
                    "statuses": list(one.statuses),
                    "parts": [dict(part) for part in one.parts],
                    "outputs": {name: list(pair) for name, pair in one.outputs.items()},
                }
                for one in self.steps
            ],
        }


_COMPARED = ("status", "definition", "version", "bundle", "profile", "environment")


def diff(old: RunRecord, new: RunRecord) -> Difference:
    """Return how two runs differ. That one reused what the other ran is no difference in itself."""
    before = {**old.facts, "status": old.status.value}
    after = {**new.facts, "status": new.status.value}
    names = [*old.steps, *(name for name in new.steps if name not in old.steps)]
    steps = [_step_difference(name, old.steps.get(name), new.steps.get(name)) for name in names]
    return Difference(
        runs=(old.run, new.run),
        facts={name: (before.get(name), after.get(name)) for name in _COMPARED if before.get(name) != after.get(name)},
        params=_pairs(old.params, new.params),
        steps=[one for one in steps if one is not None],
    )


def _pairs(old: Mapping[str, Json], new: Mapping[str, Json]) -> dict[str, tuple[Json, Json]]:
    names: Iterable[str] = sorted(old.keys() | new.keys())
    return {name: (old.get(name), new.get(name)) for name in names if old.get(name) != new.get(name)}


_DONE = {StepStatus.RAN, StepStatus.REUSED}


def _step_difference(name: StepName, old: StepRecord | None, new: StepRecord | None) -> StepDifference | None:
    changes = compare_parts(old.parts, new.parts) if old is not None and new is not None else []
    outputs = {
        output: (str(pair[0] or ""), str(pair[1] or ""))
        for output, pair in _pairs(_digests(old), _digests(new)).items()
    }
    statuses = ("" if old is None else old.status.value, "" if new is None else new.status.value)
    alike = statuses[0] == statuses[1] or (old is not None and new is not None and {old.status, new.status} <= _DONE)
    if alike and not changes and not outputs:
        return None
    parts = [{"part": one.part, "name": one.name, "old": one.old, "new": one.new} for one in changes]
    return StepDifference(name, statuses, parts, outputs)


def _digests(record: StepRecord | None) -> Mapping[str, Json]:
    outputs = record.outputs if record is not None else {}
    return {name: document["digest"] for name, document in outputs.items() if isinstance(document, dict)}


def diff_text(difference: Difference) -> str:
    """Say in lines how two runs differ."""
    lines = [f"{difference.runs[0]}  →  {difference.runs[1]}"]
    for name, (old, new) in difference.facts.items():
        lines.append(f"  {name}: {_brief(old)} → {_brief(new)}")
    for name, (old, new) in difference.params.items():
        lines.append(f"  parameter {name}: {_brief(old)} → {_brief(new)}")
    for step in difference.steps:
        old_status, new_status = (status or "not there" for status in step.statuses)
        lines.append(f"  {step.step}: {old_status} → {new_status}")
        for part in step.parts:
            title = f"{part['part']} {part['name']}".strip()
            lines.append(f"    {title}: {_brief(part['old'])} → {_brief(part['new'])}")
        for name, pair in step.outputs.items():
            lines.append(f"    output {name}: {_brief(pair[0])} → {_brief(pair[1])}")
    if len(lines) == 1:
        lines.append("  no difference")
    return "\n".join(lines) + "\n"


def _brief(value: Json) -> str:
    if value is None or value == "":
        return "none"
    if isinstance(value, str):
        return value[:_SHORT] if is_digest(value) else value
    text = canonical(value).decode()
    return text if len(text) <= 60 else text[:57] + "…"
