"""How long a run may still take, from what its steps took before. Pure: time comes in as an argument."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from headwater.graph import predecessors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from headwater.graph import Node
    from headwater.types import StepName


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of a definition as the outlook sees it; a map with its elements is one."""

    name: StepName
    needs: tuple[StepName, ...]
    #: Median seconds of earlier runs, of an element of a map; None where it never ran. 0 for what the loop does itself.
    seconds: float | None
    #: Only a condition can tell whether it runs at all.
    is_guarded: bool = False


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a run has before it."""

    #: In an order in which each stands after what it needs.
    stages: Sequence[Stage]
    #: How many steps may run at once.
    lanes: int = 1


@dataclass(slots=True)
class Progress:
    """How far a run has come; a view keeps it."""

    settled: set[StepName] = field(default_factory=set[str])
    #: Map → how many elements it has.
    sizes: dict[StepName, int] = field(default_factory=dict[str, int])
    #: Map → how many of its elements have ended.
    ended: dict[StepName, int] = field(default_factory=dict[str, int])
    #: Step or element → when it began.
    running: dict[StepName, float] = field(default_factory=dict[str, float])


def outlook_of(nodes: Iterable[Node], expected: Callable[[Node], float | None], lanes: int) -> Outlook:
    """Return what a run of these nodes, in topological order, has before it; ``expected`` gives seconds."""
    stages = [
        Stage(node.name, tuple(sorted(predecessors(node))), expected(node), is_guarded=bool(node.guards))
        for node in nodes
    ]
    return Outlook(stages, lanes)


def time_left(outlook: Outlook, progress: Progress, now: float) -> tuple[float, bool] | None:
    """Return the seconds that are left, and whether they are all that is to be expected; None if nothing is known.

    It is the longest way through what is left, or all of it shared among the lanes, whichever is more. A step that was
    never seen makes it a lower bound.
    """
    finish: dict[StepName, float] = {}
    total, is_whole, is_known = 0.0, True, False
    for stage in outlook.stages:
        begin = max((finish.get(need, 0.0) for need in stage.needs), default=0.0)
        if stage.name in progress.settled:
            finish[stage.name] = 0.0
            continue
        if stage.seconds is None:
            is_whole = is_whole and stage.is_guarded
            finish[stage.name] = begin
            continue
        is_known = is_known or stage.seconds > 0
        work, longest = _remaining(stage.name, stage.seconds, progress, now)
        total += work
        finish[stage.name] = begin + max(longest, work / outlook.lanes)
    if not is_known:
        return None
    return max(max(finish.values(), default=0.0), total / outlook.lanes), is_whole


def _remaining(name: StepName, seconds: float, progress: Progress, now: float) -> tuple[float, float]:
    """Return the work that is left of a stage, and how long its longest part takes, both in seconds."""
    begun = _begun(name, progress.running)
    parts = [max(0.0, seconds - (now - began)) for began in begun]
    if name in progress.sizes:
        waiting = progress.sizes[name] - progress.ended.get(name, 0) - len(begun)
    else:
        waiting = 0 if begun else 1
    return sum(parts) + max(0, waiting) * seconds, max([*parts, seconds if waiting > 0 else 0.0], default=0.0)


def _begun(name: StepName, running: Mapping[StepName, float]) -> list[float]:
    return [began for step, began in running.items() if step.partition("[")[0] == name]
