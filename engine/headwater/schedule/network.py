"""The steps of a run, tied together so that each one that is settled can tell those that wait for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headwater.schedule import order
from headwater.schedule.messages import Reason
from headwater.schedule.spec import Element
from headwater.schedule.state import Edge, Link, Phase, StepState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from headwater.schedule.messages import Expanded
    from headwater.schedule.ready import ReadyQueue
    from headwater.schedule.spec import Limits, StepSpec
    from headwater.types import StepName

_PLAIN = Element()


def build(tasks: Sequence[StepSpec], limits: Limits, queue: ReadyQueue) -> dict[StepName, StepState]:
    """Make the state of every step; refuse what does not fit together."""
    specs = order.by_name(tasks)
    ways = order.ways_to_the_end(specs, order.topological(specs))
    chosen = order.selected(specs)
    steps: dict[StepName, StepState] = {}
    for number, (name, spec) in enumerate(specs.items()):
        rank = (-spec.priority, -ways[name], number, 0)
        if name in chosen:
            order.check_places(spec, limits)
            steps[name] = StepState(name, spec, rank, queue.lane_for(spec))
        else:
            steps[name] = StepState(name, spec, rank, None, phase=Phase.LEFT_OUT, reason=Reason.NOT_SELECTED)
    for step in steps.values():
        if step.phase is Phase.WAITING:
            _tie(step, steps)
    return steps


def elements_of(
    step: StepState, event: Expanded, steps: Mapping[StepName, StepState]
) -> list[tuple[StepState, list[StepState]]] | str:
    """Make the elements of a map, each with what it alone takes; or say why that cannot be."""
    count = event.count
    if event.elements and len(event.elements) != count:
        return f"{step.name} has {count} elements, but {len(event.elements)} were described"
    sources: list[list[StepState]] = []
    for name in step.spec.over_maps:
        source = steps[name].elements or []
        if len(source) != count:
            return f"{step.name} has {count} elements, but {name}, which it goes along with, has {len(source)}"
        sources.append(source)
    announced = set(step.spec.over_needs)
    elements: list[tuple[StepState, list[StepState]]] = []
    for index in range(count):
        element = event.elements[index] if event.elements else _PLAIN
        for name in element.needs:
            if name not in announced:
                return f"element {index} of {step.name} takes {name}, which {step.name} did not announce"
        takes = [source[index] for source in sources] + [steps[name] for name in element.needs]
        elements.append((_element(step, index, element), takes))
    return elements


def _element(step: StepState, index: int, element: Element) -> StepState:
    priority, way, number, _ = step.rank
    if element.expected_seconds is not None:
        way -= element.expected_seconds - order.seconds_of(step.spec)
    rank = (priority, way, number, index)
    return StepState(f"{step.name}[{index}]", step.spec, rank, step.lane, parent=step)


def _tie(step: StepState, steps: Mapping[StepName, StepState]) -> None:
    spec = step.spec
    edges = [(name, Edge(Link.NEED, step)) for name in spec.needs]
    edges += [(name, Edge(Link.GUARD, step, expected=expected)) for name, expected in spec.guards]
    edges += [(choice[0], Edge(Link.CHOICE, step, choice=choice)) for choice in spec.either_needs]
    edges += [(name, Edge(Link.OVER, step)) for name in spec.over_maps]
    # What is not selected will not run: waiting for it would be for ever.
    edges += [(name, Edge(Link.AFTER, step)) for name in spec.after if steps[name].phase is not Phase.LEFT_OUT]
    for name, edge in edges:
        steps[name].edges.append(edge)
    step.missing = len(edges)
