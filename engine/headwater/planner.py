"""Plan a request, and tell what is wrong with one, before anything of it runs."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from headwater.backend import Capability
from headwater.errors import PlanMismatch, RequestError
from headwater.evidence import Evidence
from headwater.expr import Const, Either, Param, parts, walk
from headwater.graph import expressions
from headwater.plan import Plan, agree, foresee
from headwater.types import Resources

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from headwater.expr import Expr
    from headwater.graph import Node
    from headwater.plan import Foreseen
    from headwater.request import Request


def make_plan(evidence: Evidence) -> Plan:
    """Say what a run would do.

    Raises ProviderError for a backend that nobody provides, RequestError for a step that will need more than there is.
    """
    from headwater.run import backend_of

    request = evidence.request
    check_backends(request)
    steps = foresee(
        request.graph,
        evidence.known,
        evidence.rebuilder,
        request.selected,
        backend_of=lambda node: backend_of(node, request.profile),
        expected=evidence.expected.get,
    )
    _check_room(evidence, steps)
    selection = asdict(request.options.selection)
    return Plan(
        pipeline=request.definition.name,
        definition=request.definition.digest,
        bundle=evidence.packed.digest,
        params=request.params,
        steps=steps,
        target=request.compiled.target,
        selection={name: list(steps) for name, steps in selection.items()},
    )


def check(evidence: Evidence) -> None:
    """Tell what is wrong with a request before a run of it exists.

    Raises PlanMismatch where a saved plan does not hold any more, ProviderError for a backend that nobody provides,
    RequestError for a file that is not there, or for a step that will need more than its backend can ever give.
    """
    _check_plan(evidence)
    check_backends(evidence.request)
    if _lacking(evidence.request):  # rare; whether such a step runs at all is what a plan tells
        make_plan(Evidence(evidence.opened, evidence.request))
    _check_sources(evidence)


def check_backends(request: Request) -> None:
    """Raise ProviderError for a backend that nobody provides, RequestError for one that cannot do what a step asks.

    Nothing is imported for a backend that is there and of which nothing particular is asked.
    """
    from headwater import providers
    from headwater.run import Places, backend_of

    for name in request.backends:
        if name not in providers.names("backend"):
            providers.find("backend", name)
    places = Places(request.profile.settings, "", str(request.compiled.root))  # asked what they can do, never begun
    for node in request.graph.nodes.values():
        backend, wanted = backend_of(node, request.profile), _wanted(node)
        if backend is None or not wanted or node.name not in request.selected.runnable:
            continue
        can = places.capabilities(backend).can
        for capability, asked in wanted.items():
            if capability not in can:
                raise RequestError(
                    f"step '{node.name}' asks for {asked}, but backend '{backend}' cannot do that",
                    facts={"lacking": capability.value, "line": node.line},
                    hint=f"leave out {asked}, or run the step on another backend",
                )


def _wanted(node: Node) -> dict[Capability, str]:
    """Return what a backend must be able to do for a step, by what the step says; its memory is a request only."""
    options, wanted = node.options, {}
    if options.timeout is not None:
        wanted[Capability.TIMEOUT] = f"timeout={options.timeout:g}"
    if options.strict:
        wanted[Capability.OWN_PROCESS] = "strict=True"
    return wanted


def _lacking(request: Request) -> dict[str, str]:
    """Return what even idle backends lack for steps that were asked for: step → ``"16 cpus of 8"``."""
    from headwater.run import Places, backend_of
    from headwater.schedule import Limits, StepSpec, shortages

    usual = Resources()
    specs = [
        StepSpec(node.name, resources=node.options.resources, backend=backend_of(node, request.profile))
        for node in request.graph.nodes.values()
        if node.name in request.selected.runnable and node.options.resources != usual
    ]
    if not specs:
        return {}
    places = Places(request.profile.settings, "", str(request.compiled.root))  # asked what they can do, never begun
    names = sorted({spec.backend for spec in specs if spec.backend is not None})
    return shortages(specs, Limits(backends={name: places.capacity(name) for name in names}))


def _check_room(evidence: Evidence, steps: Sequence[Foreseen]) -> None:
    """Raise RequestError for a step that is sure to run, and cannot where it would; what is reused needs no room."""
    from headwater.run import backend_of

    request = evidence.request
    lacking = _lacking(request)
    for step in steps if lacking else ():
        name = step.name.partition("[")[0]
        if name not in lacking or not _is_sure(step, evidence):
            continue
        node = request.graph.nodes[name]
        raise RequestError(
            f"step '{name}' asks for more than backend '{backend_of(node, request.profile)}' can ever give",
            facts={"lacking": lacking[name], "line": node.line},
            hint="ask for less with resources=..., or run the step on another backend",
        )


def _is_sure(step: Foreseen, evidence: Evidence) -> bool:
    """Tell whether a step runs whatever comes of those before it."""
    if step.action != "unknown":
        return step.action == "run"
    node = evidence.request.graph.nodes[step.name.partition("[")[0]]
    if node.guards or any(isinstance(part, Either) for _, expr in expressions(node) for part in walk(expr)):
        return False
    told = evidence.rebuilder.foretell(node, f"{step.name}[0]" if node.over and step.name == node.name else step.name)
    return told is None or bool(told)


def _check_plan(evidence: Evidence) -> None:
    request = evidence.request
    plan = request.options.plan
    if plan is None:
        return
    for what, planned, now in (
        ("pipeline's definition", plan.definition, request.definition.digest),
        ("project's code", plan.bundle, evidence.packed.digest),
    ):
        if planned != now:
            raise PlanMismatch(
                f"the {what} changed after the plan was made",
                facts={"planned": planned[:16], "now": now[:16]},
                hint=f"plan again: hw plan {plan.target or 'TARGET'} -o plan.json",
            )
    # Everything else that a plan was made from: files, the environment, what the store holds.
    again = replace(request, options=replace(request.options, plan=None))
    for step in make_plan(Evidence(evidence.opened, again)):
        agree(plan, step)


def _check_sources(evidence: Evidence) -> None:
    """Raise RequestError for a file that is not there and that a step is sure to take.

    What a condition may leave out is looked for when its step is decided.
    """
    request = evidence.request
    for node in request.graph.nodes.values():
        if node.guards or node.name not in request.selected.runnable:
            continue
        for name, expr in expressions(node):
            for part in _certain(expr):
                try:
                    evidence.known.tree(part)
                except RequestError as error:
                    taken = f"parameter {part.name}" if isinstance(part, Param) else f"input {name}"
                    facts = {"step": node.name, "named by": taken, "line": node.line} | dict(error.facts)
                    raise RequestError(error.sentence, facts=facts, hint=error.hint) from None


def _certain(expr: Expr) -> Iterator[Const | Param]:
    """Yield what an expression takes whatever its conditions say."""
    if isinstance(expr, Const | Param):
        yield expr
    elif not isinstance(expr, Either):
        for part in parts(expr):
            yield from _certain(part)
