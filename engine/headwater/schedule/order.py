"""What can be said of the steps before any of them runs: that they fit together, their order, what is selected."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from headwater.errors import ConfigError, DefinitionError
from headwater.schedule.capacity import Pool, demand_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from headwater.schedule.spec import Limits, StepSpec
    from headwater.types import StepName


def by_name(tasks: Sequence[StepSpec]) -> dict[StepName, StepSpec]:
    """Index steps by name; refuse steps that do not fit together."""
    specs: dict[StepName, StepSpec] = {}
    for spec in tasks:
        if spec.name in specs:
            raise DefinitionError(f"two steps are called {spec.name!r}", facts={"step": spec.name})
        specs[spec.name] = spec
    for spec in tasks:
        _check_links(spec, specs)
    return specs


def check_limits(limits: Limits) -> None:
    """Refuse limits under which nothing could ever start."""
    if limits.concurrency is not None and limits.concurrency < 1:
        raise ConfigError("a run needs room for at least one attempt", facts={"concurrency": limits.concurrency})
    for group, most in limits.groups.items():
        if most < 1:
            raise ConfigError("a limit must let at least one step through", facts={"limit": group, "most": most})


def check_places(spec: StepSpec, limits: Limits) -> None:
    """Refuse a step whose backend or limit group the run does not have, or that asks for less than nothing."""
    if spec.limit_group is not None and spec.limit_group not in limits.groups:
        known = ", ".join(sorted(limits.groups)) or "none"
        raise ConfigError(
            f"the limit {spec.limit_group!r} of step {spec.name!r} has no number",
            facts={"step": spec.name, "limit": spec.limit_group, "known": known},
            hint="say how many may run at once in the profile's limits",
        )
    if spec.control:
        return
    if spec.backend not in limits.backends:
        known = ", ".join(sorted(limits.backends)) or "none"
        raise ConfigError(
            f"step {spec.name!r} wants to run on {spec.backend!r}, which is not a backend of this run",
            facts={"step": spec.name, "backend": spec.backend, "known": known},
        )
    for name, amount in demand_of(spec.resources):
        if amount < 0:
            raise DefinitionError(f"step {spec.name!r} asks for less than nothing", facts={"resource": name})


def shortages(tasks: Sequence[StepSpec], limits: Limits) -> dict[StepName, str]:
    """Say what even idle backends lack: step → ``"16 cpus of 8"``. Such steps can be reused, but never run."""
    pools = {name: Pool(capacity) for name, capacity in limits.backends.items()}
    lacking = {
        spec.name: pools[spec.backend].shortage(demand_of(spec.resources))
        for spec in tasks
        if not spec.control and spec.backend in pools
    }
    return {name: shortage for name, shortage in lacking.items() if shortage}


def topological(specs: Mapping[StepName, StepSpec]) -> list[StepName]:
    """Put inputs before what takes them, else keep the order of declaration; refuse a cycle."""
    followers, missing = _followers(specs)
    ready = deque(name for name, count in missing.items() if count == 0)
    order: list[StepName] = []
    while ready:
        name = ready.popleft()
        order.append(name)
        for follower in followers.get(name, ()):
            missing[follower] -= 1
            if missing[follower] == 0:
                ready.append(follower)
    if len(order) < len(specs):
        raise _cycle(specs, {name for name, count in missing.items() if count})
    return order


def selected(specs: Mapping[StepName, StepSpec]) -> set[StepName]:
    """Name the steps that are wanted, and what they may take something from. Mere order selects nothing."""
    chosen = {name for name, spec in specs.items() if spec.wanted}
    todo = list(chosen)
    while todo:
        for name in specs[todo.pop()].data_inputs():
            if name not in chosen:
                chosen.add(name)
                todo.append(name)
    return chosen


def ways_to_the_end(specs: Mapping[StepName, StepSpec], order: Sequence[StepName]) -> dict[StepName, float]:
    """Measure the longest way from the start of each step to the end of the run, in expected seconds (1 if unknown)."""
    ways: dict[StepName, float] = {}
    for name in reversed(order):
        spec = specs[name]
        ways[name] = ways.get(name, 0.0) + seconds_of(spec)
        for earlier in _earlier(spec):
            ways[earlier] = max(ways.get(earlier, 0.0), ways[name])
    return ways


def seconds_of(spec: StepSpec) -> float:
    """Say what a step is expected to take; 1 if nobody knows."""
    return 1.0 if spec.expected_seconds is None else spec.expected_seconds


def _earlier(spec: StepSpec) -> list[StepName]:
    return [*spec.data_inputs(), *spec.after]


def _followers(specs: Mapping[StepName, StepSpec]) -> tuple[dict[StepName, list[StepName]], dict[StepName, int]]:
    followers: dict[StepName, list[StepName]] = {}
    missing: dict[StepName, int] = {}
    for name, spec in specs.items():
        earlier = _earlier(spec)
        missing[name] = len(earlier)
        for other in earlier:
            followers.setdefault(other, []).append(name)
    return followers, missing


def _cycle(specs: Mapping[StepName, StepSpec], stuck: set[StepName]) -> DefinitionError:
    # Everything that is stuck has a stuck input, so going backwards must come round.
    way: dict[StepName, None] = {}
    name = next(name for name in specs if name in stuck)
    while name not in way:
        way[name] = None
        name = next(other for other in _earlier(specs[name]) if other in stuck)
    ring = list(way)[list(way).index(name) :]
    text = " → ".join([name, *reversed(ring)])
    return DefinitionError("steps wait for each other in a circle", facts={"circle": text})


def _check_links(spec: StepSpec, specs: Mapping[StepName, StepSpec]) -> None:
    for other in _earlier(spec):
        if other not in specs:
            raise DefinitionError(
                f"step {spec.name!r} depends on {other!r}, which does not exist", facts={"step": spec.name}
            )
    for condition in (*(guard[0] for guard in spec.guards), *(choice[0] for choice in spec.either_needs)):
        if not specs[condition].control or specs[condition].is_map:
            raise DefinitionError(f"{condition!r} is not a condition", facts={"step": spec.name})
    for source in spec.over_maps:
        if not specs[source].is_map:
            raise DefinitionError(f"{source!r} is not a map", facts={"step": spec.name})
    if spec.is_map and spec.control:
        raise DefinitionError(f"{spec.name!r} cannot be both a map and a control step", facts={"step": spec.name})
    if (spec.over_maps or spec.over_needs) and not spec.is_map:
        raise DefinitionError(f"{spec.name!r} has elements but is not a map", facts={"step": spec.name})
    head, bracket, tail = spec.name.partition("[")
    if bracket and head in specs and specs[head].is_map and tail.removesuffix("]").isdigit():
        raise DefinitionError(f"{spec.name!r} is the name of an element of {head!r}", facts={"step": spec.name})
