"""How two runs differ: a view of their records."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from headwater.digest import canonical, is_digest
from headwater.excerpt import differing, folder_change, name_of, text_of, text_of_artifact
from headwater.expr import Const, describe
from headwater.key import compare_parts
from headwater.types import StepStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from headwater.digest import Json
    from headwater.excerpt import ListFolder
    from headwater.key import PartChange
    from headwater.record import RunRecord, StepRecord
    from headwater.types import RunId, StepName

_SHORT = 12


@dataclass(frozen=True, slots=True)
class StepDifference:
    """One step that two runs did not do alike."""

    step: StepName
    #: Status in the first and in the second run; "" where it does not occur.
    statuses: tuple[str, str]
    #: Parts of the key that differ: {part, name, old, new}, {shown: [old, new]} for small plain
    #: values, and {told: words} for files and folders.
    parts: Sequence[Mapping[str, Json]]
    #: Outputs that differ: name → digests in the first and in the second run, "" where there is none.
    outputs: Mapping[str, tuple[str, str]]
    #: Small plain outputs among these: name → values as text in the first and in the second run.
    values: Mapping[str, tuple[str, str]]


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
                    "values": {name: list(pair) for name, pair in one.values.items()},
                }
                for one in self.steps
            ],
        }


_COMPARED = ("status", "definition", "version", "bundle", "profile", "environment")


def diff(old: RunRecord, new: RunRecord, list_folder: ListFolder = lambda _: None) -> Difference:
    """Return how two runs differ. That one reused what the other ran is no difference in itself.

    ``list_folder`` gives what is in a folder, so that the files in it that differ can be named.
    """
    before = {**old.facts, "status": old.status.value}
    after = {**new.facts, "status": new.status.value}
    names = [*old.steps, *(name for name in new.steps if name not in old.steps)]
    steps = [_step_difference(name, old.steps.get(name), new.steps.get(name), list_folder) for name in names]
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


def _step_difference(
    name: StepName, old: StepRecord | None, new: StepRecord | None, list_folder: ListFolder
) -> StepDifference | None:
    # A step that was skipped, or that no one came to, has no key.
    changes: Sequence[PartChange] = []
    if old is not None and new is not None and old.parts and new.parts:
        changes = compare_parts(old.parts, new.parts)
    outputs = {
        output: (str(pair[0] or ""), str(pair[1] or ""))
        for output, pair in _pairs(_digests(old), _digests(new)).items()
    }
    statuses = ("" if old is None else old.status.value, "" if new is None else new.status.value)
    alike = statuses[0] == statuses[1] or (old is not None and new is not None and {old.status, new.status} <= _DONE)
    if alike and not changes and not outputs:
        return None
    parts: list[dict[str, Json]] = []
    for one in changes:
        parts.append({"part": one.part, "name": one.name, "old": one.old, "new": one.new})
        if one.part == "input" and old is not None and new is not None:
            parts[-1].update(_in_words(old.trees.get(one.name), new.trees.get(one.name), list_folder))
    values: dict[str, tuple[str, str]] = {}
    for output in outputs:
        before, after = (text_of_artifact(one.outputs.get(output)) if one is not None else None for one in (old, new))
        if before is not None and after is not None and before != after:
            values[output] = before, after
    return StepDifference(name, statuses, parts, outputs, values)


def _in_words(old: Json, new: Json, list_folder: ListFolder) -> dict[str, Json]:
    """Return an input of two runs as a person would write it, or what is to be said of a file or a folder."""
    pair = text_of(old), text_of(new)
    if None not in pair and pair[0] != pair[1]:
        return {"shown": list(pair)}
    names = name_of(old), name_of(new)
    if not all(names):
        return {}
    files = folder_change(old, new, list_folder)
    what = f"{names[1]} changed" if names[0] == names[1] else f"{names[0]} → {names[1]}"
    return {"told": what + (f": {files}" if files else "")}


def _digests(record: StepRecord | None) -> Mapping[str, Json]:
    outputs = record.outputs if record is not None else {}
    return {name: document["digest"] for name, document in outputs.items() if isinstance(document, dict)}


def diff_text(
    difference: Difference, *, code: Mapping[StepName, Sequence[str]] | None = None, is_full: bool = False
) -> str:
    """Say how two runs differ, in a line a step; if it is to be full, in a line for each part.

    ``code`` says in words what changed in the code of steps.
    """
    lines = [f"{difference.runs[0]}  →  {difference.runs[1]}"]
    for name, (old, new) in difference.facts.items():
        lines.append(f"  {name}: {_brief(old)} → {_brief(new)}")
    for name, (old, new) in difference.params.items():
        lines.append(f"  parameter {name}: {_arrow(describe(Const(old)), describe(Const(new)))}")
    for step in difference.steps:
        changes = list((code or {}).get(step.step, ()))
        lines.extend(_full(step, changes) if is_full else [_line(step, changes)])
    if len(lines) == 1:
        lines.append("  no difference")
    return "\n".join(lines) + "\n"


def _line(step: StepDifference, code: Sequence[str]) -> str:
    """Say what differs in one line: how it ended, the first cause, what it gave."""
    old, new = (status or "not there" for status in step.statuses)
    causes = [*code, *(_cause(part) for part in step.parts if not (code and part["part"] == "code"))]
    told = [] if {old, new} <= _DONE or old == new else [f"{old} → {new}"]
    told += [causes[0] + (f" (and {len(causes) - 1} more)" if len(causes) > 1 else "")] if causes else []
    if step.values:
        told += [f"{name} {_arrow(*pair)}" for name, pair in step.values.items()]
    elif step.outputs:
        told.append("another result" if {old, new} <= _DONE else "")
    elif {old, new} <= _DONE:
        told.append("the same result")
    return f"  {step.step}: {'; '.join(filter(None, told))}"


def _cause(part: Mapping[str, Json]) -> str:
    title = f"{part['part']} {part['name']}".strip()
    match part:
        case {"shown": [str(old), str(new)]}:
            return f"{title} {_arrow(old, new)}"
        case {"told": str(told)}:
            return f"{title}: {told}"
        case {"part": "environment", "old": str(old), "new": str(new)} if not is_digest(old):
            return f"{part['name']} {old} → {new}"
        case _:
            return f"{title} changed"


def _full(step: StepDifference, code: Sequence[str]) -> list[str]:
    old, new = (status or "not there" for status in step.statuses)
    lines = [f"  {step.step}: {old} → {new}", *(f"    {change}" for change in code)]
    for part in step.parts:
        title = f"{part['part']} {part['name']}".strip()
        match part:
            case {"shown": [str(before), str(after)]}:
                lines.append(f"    {title}: {before} → {after}")
            case {"told": str(told)}:
                lines.append(f"    {title}: {told}")
            case _:
                lines.append(f"    {title}: {_brief(part['old'])} → {_brief(part['new'])}")
    for name, pair in step.outputs.items():
        before, after = step.values.get(name) or (_brief(pair[0]), _brief(pair[1]))
        lines.append(f"    output {name}: {before} → {after}")
    return lines


def _arrow(old: str, new: str) -> str:
    return " → ".join(differing(old, new, width=40))


def _brief(value: Json) -> str:
    if value is None or value == "":
        return "none"
    match value:
        case [str(kind), str(digest), *_] if is_digest(digest):  # what counts of a stored input
            return f"{kind} {digest[:_SHORT]}"
        case _:
            pass
    if isinstance(value, str):
        return value[:_SHORT] if is_digest(value) else value
    text = canonical(value).decode()
    return text if len(text) <= 60 else text[:57] + "…"
