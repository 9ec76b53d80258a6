"""Plan a request, and tell what is wrong with one, before anything of it runs."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from headwater.errors import PlanMismatch, RequestError
from headwater.evidence import Evidence
from headwater.expr import Const, Either, Param, parts
from headwater.graph import expressions
from headwater.plan import Plan, agree, foresee

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headwater.expr import Expr
    from headwater.request import Request


def make_plan(evidence: Evidence) -> Plan:
    """Say what a run would do. Raises ProviderError for a backend that nobody provides."""
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
    RequestError for a file that is not there.
    """
    _check_plan(evidence)
    check_backends(evidence.request)
    _check_sources(evidence)


def check_backends(request: Request) -> None:
    """Raise ProviderError for a backend that nobody provides; nothing is imported for one that is there."""
    from headwater import providers

    for name in request.backends:
        if name not in providers.names("backend"):
            providers.find("backend", name)


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
