"""What one run is made of, put together by the workspace and carried out by the loop."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol, cast

from headwater.backend import Attempt
from headwater.expr import Either, Gather, Seq, parts, references, walk
from headwater.observed import is_secret
from headwater.run.outlook import outlook_of
from headwater.schedule import Choice, Guard, StepSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from headwater.backend import LogLine
    from headwater.condemned import Saviour
    from headwater.config import Profile
    from headwater.digest import Digest, Json
    from headwater.expr import Expr
    from headwater.graph import Graph, Node
    from headwater.known import Known
    from headwater.plan import Plan
    from headwater.rebuild import Decision, Rebuilder
    from headwater.record import RunLog
    from headwater.run.outlook import Outlook
    from headwater.selection import Selected
    from headwater.store import Store
    from headwater.trust import Keyring
    from headwater.types import RunId, RunStatus, StepName, StepStatus


class View(Protocol):
    """Who watches a run: the terminal's live view, a notebook, nobody."""

    def started(self, run: RunId, pipeline: str, outlook: Outlook) -> None:
        """The run has begun."""
        ...

    def expanded(self, step: StepName, elements: int) -> None:
        """A map has so many elements."""
        ...

    def running(self, step: StepName, attempt: int, backend: str | None) -> None:
        """An attempt was submitted."""
        ...

    def settled(self, step: StepName, status: StepStatus, reason: str, seconds: float | None) -> None:
        """A step came to its end."""
        ...

    def line(self, step: StepName, line: LogLine) -> None:
        """A step wrote something."""
        ...

    def told(self, message: str) -> None:
        """Something is worth a line: a retry, a pause, a listener that failed."""
        ...

    def ended(self, status: RunStatus, seconds: float) -> None:
        """The run is over."""
        ...


@dataclass(frozen=True, slots=True)
class Job:
    """A run that is ready to go."""

    run: RunId
    pipeline: str
    graph: Graph
    definition: Digest
    known: Known
    rebuilder: Rebuilder
    selected: Selected
    profile: Profile
    store: Store
    log: RunLog
    keyring: Keyring
    project: Path
    bundle: Digest
    #: Keeps objects that the run relies on from being removed meanwhile.
    saviour: Saviour
    view: View
    #: Calls a hook by name with its facts.
    announce: Callable[..., None]
    #: Entry as compiled → entry as workers import it, where the two differ.
    entries: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    #: Constants, as ``module.NAME``, that have another value in this process than their source gives them.
    set_here: Callable[[], frozenset[str]] = frozenset
    #: What a saved plan said; the run does that and nothing else.
    plan: Plan | None = None
    fail_fast: bool = True
    #: Median seconds of earlier runs.
    expected: Callable[[str], float | None] = lambda _: None
    #: How many steps may run at once on this machine.
    cores: int = field(default_factory=lambda: os.cpu_count() or 1)
    #: Step → number of attempts that earlier drivers of this run made.
    tried: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))

    def node(self, step: StepName) -> Node:
        """Return the node of a step, or of the map that it is an element of."""
        return self.graph.nodes[step.partition("[")[0]]

    def backend(self, node: Node) -> str | None:
        """Return the backend of a node; None for what the loop performs itself."""
        return backend_of(node, self.profile)

    def outlook(self) -> Outlook:
        """Return what the run has before it."""

        def expected(node: Node) -> float | None:
            if self.backend(node) is None:
                return 0.0
            return self.expected(f"{node.name}[0]" if node.over else node.name)

        return outlook_of(self.graph.nodes.values(), expected, self.profile.concurrency or self.cores)


def backend_of(node: Node, profile: Profile) -> str | None:
    """Return where a node runs: its own word, the profile's for this step, the profile's default."""
    if node.kind not in ("function", "command"):
        return None
    override = profile.for_step(node.name).get("backend")
    return node.options.backend or (str(override) if override is not None else profile.backend)


def step_specs(job: Job) -> list[StepSpec]:
    """Return what the scheduler is told of each step."""
    return [_step_spec(job, node) for node in job.graph.nodes.values()]


def _step_spec(job: Job, node: Node) -> StepSpec:
    needs: set[str] = set()
    choices: list[Choice] = []
    exprs = list(node.inputs.values())
    if node.kind == "condition":
        exprs.append(_condition(node))
    for expr in exprs:
        _gather(expr, needs, choices)
    over_maps: set[str] = set()
    over_needs: set[str] = set()
    for expr in node.over.values():
        _gather_list(expr, needs, choices, over_maps, over_needs)
    backend = job.backend(node)
    return StepSpec(
        name=node.name,
        needs=tuple(sorted(needs)),
        after=node.after,
        guards=tuple(Guard(guard.condition, guard.expected) for guard in node.guards),
        either_needs=tuple(choices),
        is_map=bool(node.over),
        over_maps=tuple(sorted(over_maps)),
        over_needs=tuple(sorted(over_needs)),
        resources=node.options.resources,
        backend=backend,
        limit_group=node.options.limit,
        retry=node.options.retry,
        expected_seconds=job.expected(f"{node.name}[0]" if node.over else node.name),
        priority=node.options.priority,
        control=backend is None,
        fails_run=node.kind == "fail",
        wanted=node.name in job.selected.runnable,
    )


def _condition(node: Node) -> Expr:
    return cast("Expr", node.call)


def _gather(expr: Expr, needs: set[str], choices: list[Choice]) -> None:
    """Note the steps that an expression takes values from; those of an ``either`` on its two sides."""
    if isinstance(expr, Either):
        sides: list[set[str]] = [set(), set()]
        for side, part in zip(sides, (expr.then, expr.otherwise), strict=True):
            _gather(part, side, choices)
        choices.append(Choice(expr.condition, tuple(sorted(sides[0])), tuple(sorted(sides[1]))))
    elif inner := parts(expr):
        for part in inner:
            _gather(part, needs, choices)
    else:
        needs.update(step for step, _ in references(expr))


def _gather_list(expr: Expr, needs: set[str], choices: list[Choice], over_maps: set[str], over_needs: set[str]) -> None:
    """Note what a map's list needs: all of it at once, or element by element."""
    if isinstance(expr, Gather) and not expr.path:
        over_maps.add(expr.step)
    elif isinstance(expr, Seq) and not any(_has_choice(item) for item in expr.items):
        over_needs.update(step for step, _ in references(expr))
    else:
        _gather(expr, needs, choices)


def _has_choice(expr: Expr) -> bool:
    return any(isinstance(part, Either) for part in walk(expr))


def element_needs(node: Node, place: int) -> Iterator[str]:
    """Yield the steps that one element of a map takes values from, of those that only single elements need."""
    for expr in node.over.values():
        if isinstance(expr, Seq) and not any(_has_choice(item) for item in expr.items):
            yield from (step for step, _ in references(expr.items[place]))


def attempt_of(job: Job, decision: Decision, number: int) -> Attempt:
    """Return the document that a backend gets for one try at a step."""
    node = job.node(decision.step)
    environment: dict[str, Json] = {}
    packages: dict[str, Json] = {}
    for name, value in decision.parts.environment.items():
        kind, _, rest = name.partition(":")
        if kind == "package":
            packages[rest] = value
        elif not rest:
            environment[kind] = value
    set_here = job.set_here()
    if isinstance(decision.code, dict) and set_here:
        used = {piece["label"]: piece.get("shown") for piece in cast("list[dict[str, Json]]", decision.code["pieces"])}
        environment["set"] = {name: used[name] for name in sorted(set_here & used.keys())}
    return Attempt(
        attempt_id=f"{job.run}/{decision.step}/{number}",
        step=decision.step,
        call=_call(job, node),
        inputs=dict(decision.inputs),
        outputs={output.name: output.type for output in node.outputs},
        whole=node.whole,
        store=job.store.url,
        bundle=job.bundle,
        environment={**environment, "packages": packages},
        env=node.options.env,
        variables=_variables(decision, node),
        secrets=node.options.secrets,
        resources=node.options.resources,
        timeout=node.options.timeout,
        strict=node.options.strict,
        files=decision.parts.files,
        idempotency_key=f"{job.run}/{decision.step}",
    )


def _variables(decision: Decision, node: Node) -> dict[str, str | None]:
    """Return the variables of this process that a step depends on undeclared, but for those that look like secrets.

    A strict step sees those that its modules read while they are imported: these are in its fingerprint.
    """
    code = decision.code if isinstance(decision.code, dict) else {}
    names = {*cast("list[str]", code.get("variables") or []), *(() if node.options.strict else decision.variables)}
    shown = sorted(name for name in names - {*node.options.secrets} if not is_secret(name))
    return {name: os.environ.get(name) for name in shown}


def _call(job: Job, node: Node) -> dict[str, Json]:
    if isinstance(node.call, str):
        return {"function": job.entries.get(node.call, node.call)}
    return {"command": cast("Json", node.call)}
