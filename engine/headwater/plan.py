"""Say for each step *reuse / run / unknown until …*, and why, before anything runs.

Planning walks the definition in order, with the same rebuilder that the run asks, as far as the contents of inputs are
known. It runs no step, starts no backend and opens no connection but the store's.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Literal, TypeAlias, cast

from headwater.artifacts import json_document
from headwater.errors import DefinitionError, HeadwaterError, PlanMismatch, RequestError, StepError
from headwater.expr import RESULT, Either, Gather, parts, references
from headwater.selection import Selection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from headwater.digest import Digest, Json
    from headwater.expr import Expr
    from headwater.graph import Graph, Node
    from headwater.known import Known, Tree
    from headwater.rebuild import Decision, Rebuilder
    from headwater.selection import Selected

FORMAT = "plan/1"
Action: TypeAlias = Literal["reuse", "run", "unknown", "skip"]


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What is foreseen for one step."""

    name: str
    action: Action
    reason: str
    changes: tuple[str, ...] = ()
    key: Digest | None = None
    backend: str | None = None
    #: Median seconds of earlier runs, or None.
    expected_seconds: float | None = None

    def document(self) -> dict[str, Json]:
        """Return it as JSON. A step that a condition leaves out is an ``unknown`` that says ``skip``."""
        return {
            "name": self.name,
            "action": "unknown" if self.action == "skip" else self.action,
            "skip": self.action == "skip",
            "reason": self.reason,
            "changes": list(self.changes),
            "key": self.key,
            "backend": self.backend,
            "expected_seconds": self.expected_seconds,
        }


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run would do, step by step, and what it was made from."""

    pipeline: str
    definition: Digest
    #: Digest of the code bundle that was planned for.
    bundle: Digest
    #: Parameters as typed JSON.
    params: Mapping[str, Json]
    steps: Sequence[Foreseen]
    #: TARGET as it was asked for, so that ``hw run --plan`` finds the pipeline again.
    target: str = ""
    selection: Mapping[str, Json] = field(default_factory=dict)

    def document(self) -> dict[str, Json]:
        """Return the plan as JSON: what ``hw plan --json`` prints and ``-o`` writes."""
        return {
            "headwater": FORMAT,
            "pipeline": self.pipeline,
            "definition": self.definition,
            "bundle": self.bundle,
            "params": dict(self.params),
            "target": self.target,
            "selection": dict(self.selection),
            "steps": [step.document() for step in self.steps],
        }

    @staticmethod
    def from_document(document: Mapping[str, Json]) -> Plan:
        """Read a plan; raises RequestError for what is none."""
        try:
            if document["headwater"] != FORMAT:
                raise RequestError(f"this plan has the format {document['headwater']!r}; {FORMAT!r} can be read")
            steps = cast("list[dict[str, Json]]", document["steps"])
            return Plan(
                pipeline=cast("str", document["pipeline"]),
                definition=cast("str", document["definition"]),
                bundle=cast("str", document["bundle"]),
                params=cast("dict[str, Json]", document["params"]),
                steps=[_read_step(step) for step in steps],
                target=cast("str", document["target"]),
                selection=cast("dict[str, Json]", document["selection"]),
            )
        except (KeyError, TypeError) as error:
            raise RequestError("this file is not a plan", hint="make one with `hw plan TARGET -o plan.json`") from error

    def chosen(self) -> Selection:
        """Return the selection that the plan was made for."""
        return Selection(**{name: tuple(cast("list[str]", names)) for name, names in self.selection.items()})

    def __iter__(self) -> Iterator[Foreseen]:
        """Go through the steps."""
        return iter(self.steps)

    def __str__(self) -> str:
        """Lay the plan out as text, a line a step."""
        width = max((len(step.name) for step in self.steps), default=0)
        place = max((len(step.backend or "") for step in self.steps), default=0)
        lines: list[str] = []
        for step in self.steps:
            where = f"{step.backend or '':<{place}}  {_expected(step):>8}"
            lines.append(f"{step.action:<8} {step.name:<{width}}  {where}  {step.reason}")
            if len(step.changes) > 1:
                lines.extend(f"{'':<{width + place + 23}}{change}" for change in step.changes)
        counts: dict[Action, int] = {action: sum(step.action == action for step in self.steps) for action in _ACTIONS}
        total = ", ".join(f"{count} {action}" for action, count in counts.items() if count)
        return "\n".join([*lines, f"{self.pipeline}: {total or 'nothing to do'}"])

    def _repr_pretty_(self, printer: object, cycle: bool) -> None:  # noqa: FBT001  IPython's own protocol
        cast("_Printer", printer).text("…" if cycle else str(self))


class _Printer:
    def text(self, text: str) -> None: ...


_ACTIONS: tuple[Action, ...] = ("run", "unknown", "reuse", "skip")


def _expected(step: Foreseen) -> str:
    """Return how long a step may take, from earlier runs; nothing for what will not run."""
    if step.expected_seconds is None or step.action in ("reuse", "skip"):
        return ""
    return f"~{step.expected_seconds:.2f}s"


def _read_step(step: Mapping[str, Json]) -> Foreseen:
    return Foreseen(
        name=cast("str", step["name"]),
        action="skip" if step["skip"] else cast("Action", step["action"]),
        reason=cast("str", step["reason"]),
        changes=tuple(cast("list[str]", step["changes"])),
        key=cast("str | None", step["key"]),
        backend=cast("str | None", step["backend"]),
        expected_seconds=cast("float | None", step["expected_seconds"]),
    )


def foresee(
    graph: Graph,
    known: Known,
    rebuilder: Rebuilder,
    selected: Selected,
    *,
    backend_of: Callable[[Node], str | None],
    expected: Callable[[str], float | None],
) -> list[Foreseen]:
    """Return what a run would do, in order; ``known`` is filled with what turns out to be reusable."""
    survey = _Survey(graph, known, rebuilder, selected, backend_of, expected)
    for node in graph.nodes.values():
        survey.visit(node)
    return survey.steps


@dataclass(slots=True)
class _Survey:
    """One walk over a graph. A step's fate is known, or names the step that has to run first."""

    graph: Graph
    known: Known
    rebuilder: Rebuilder
    selected: Selected
    backend_of: Callable[[Node], str | None]
    expected: Callable[[str], float | None]
    steps: list[Foreseen] = field(default_factory=list)
    #: Step → what it waits for, where its outputs are not known.
    waits: dict[str, str] = field(default_factory=dict)
    skipped: set[str] = field(default_factory=set)

    def visit(self, node: Node) -> None:
        """Foresee one node."""
        if node.name not in self.selected.runnable | self.selected.needed:
            self._add(node, node.name, "unknown", "it was not asked for")
            self.waits[node.name] = node.name
            return
        skip = self._skip_reason(node)
        if skip is not None:
            self.skipped.add(node.name)
            self._add(node, node.name, "skip", skip)
            return
        wait = next((self.waits[guard.condition] for guard in node.guards if guard.condition in self.waits), None)
        if node.over and wait is None:
            wait = next(filter(None, (self.list_wait(expr) for expr in node.over.values())), None)
        if wait is not None:
            self._unknown(node, node.name, wait)
        elif node.over:
            self._visit_map(node)
        else:
            self._visit_one(node, node.name, None)

    def _visit_map(self, node: Node) -> None:
        count = elements_of(node, self.known)
        names = [f"{node.name}[{place}]" for place in range(count)]
        self.known.elements[node.name] = names
        for place, name in enumerate(names):
            self._visit_one(node, name, place)
        unknown = next((self.waits[name] for name in names if name in self.waits), None)
        if unknown is not None:
            self.waits[node.name] = unknown
        if not names:
            self._add(node, node.name, "reuse", "it has no elements")

    def _visit_one(self, node: Node, name: str, place: int | None) -> None:
        wait = self._input_wait(node, place)
        if wait is not None:
            self._unknown(node, name, wait, place)
            return
        decision = self.rebuilder.decide(node, inputs_of(node, self.known, place), step=name)
        if decision.action == "run" and node.name in self.selected.needed:
            raise RequestError(
                f"step '{name}' was not asked for, but has no result that could be reused",
                facts={"because": decision.reason},
                hint="run without --only or --from, or with --until",
            )
        self._add_decision(node, decision)
        if decision.trace is not None:
            self.known.outputs[name] = cast("Mapping[str, Mapping[str, Json]]", decision.trace.outputs)
        elif node.kind == "condition":
            self.known.outputs[name] = verdict_of(node, self.known)
        else:
            self.waits[name] = name

    def _skip_reason(self, node: Node) -> str | None:
        for guard in node.guards:
            if guard.condition in self.skipped:
                return f"condition '{guard.condition}' is skipped"
            if guard.condition not in self.waits and self.known.verdict(guard.condition) != guard.expected:
                return f"condition '{guard.condition}' is {str(not guard.expected).lower()}"
        exprs = [*node.inputs.values(), *node.over.values()]
        missing = next((step for expr in exprs for step in self._sources(expr) if step in self.skipped), None)
        return None if missing is None else f"'{missing}' is skipped"

    def _input_wait(self, node: Node, place: int | None) -> str | None:
        """Return the step that must run before the inputs of a node, or of one element of it, are known."""
        exprs = list(node.inputs.values())
        if node.kind == "condition":
            exprs.append(cast("Expr", node.call))
        for name in (step for expr in exprs for step in self._sources(expr)):
            if name in self.waits:
                return self.waits[name]
        if place is None:
            return None
        items = (source for expr in node.over.values() for source in self._item_sources(expr, place))
        return next((self.waits[source] for source in items if source in self.waits), None)

    def list_wait(self, expr: Expr) -> str | None:
        """Return the step that must run before a list's length is known."""
        if isinstance(expr, Gather) and not expr.path and expr.step in self.known.elements:
            return None
        return next((self.waits[step] for step in self._sources(expr) if step in self.waits), None)

    def _sources(self, expr: Expr) -> Iterator[str]:
        """Yield the steps that an expression takes values from; of an `either`, only the side that is taken."""
        if isinstance(expr, Either):
            yield expr.condition
            if expr.condition not in self.waits and expr.condition not in self.skipped:
                yield from self._sources(expr.then if self.known.verdict(expr.condition) else expr.otherwise)
            return
        inner = parts(expr)
        if not inner:
            yield from (step for step, _ in references(expr))
        for part in inner:
            yield from self._sources(part)

    def _known_inputs(self, node: Node, place: int | None) -> dict[str, Tree]:
        """Return those inputs of a node, or of one element of it, that are known though others are not."""
        found: dict[str, Tree] = {}
        readings = [(name, expr, self._sources(expr), self.known.tree) for name, expr in node.inputs.items()]
        if place is not None:
            item = partial(self.known.item, place=place)
            readings += [(name, expr, self._item_sources(expr, place), item) for name, expr in node.over.items()]
        for name, expr, sources, read in readings:
            if not any(source in self.waits for source in sources):
                # A value that cannot be had, and that a condition may leave out, is told when its step is decided.
                with suppress(HeadwaterError):
                    found[name] = read(expr)
        return found

    def _item_sources(self, expr: Expr, place: int) -> Iterator[str]:
        """Yield the steps that one element of a list comes from."""
        if isinstance(expr, Gather) and not expr.path:
            yield self.known.elements[expr.step][place]
        else:
            yield from self._sources(expr)

    def _unknown(self, node: Node, name: str, wait: str, place: int | None = None) -> None:
        self.waits[name] = wait
        # A map is remembered by its elements.
        step = f"{name}[0]" if node.over and name == node.name else name
        changes = self.rebuilder.foretell(node, step, self._known_inputs(node, place))
        if changes is None:
            guards = [guard.condition for guard in node.guards]
            unless = f" and condition '{guards[0]}' asks for it" if guards else ""
            reason = f"it has not run before: it runs when '{wait}' has run{unless}"
        elif changes:
            reason = f"{changes[0]}; the rest is known when '{wait}' has run"
        else:
            reason = f"until '{wait}' has run: if its result is the same, this is reused"
        self._add(node, name, "unknown", reason, changes or ())

    def _add(self, node: Node, name: str, action: Action, reason: str, changes: tuple[str, ...] = ()) -> None:
        self.steps.append(
            Foreseen(name, action, reason, changes, backend=self.backend_of(node), expected_seconds=self.expected(name))
        )

    def _add_decision(self, node: Node, decision: Decision) -> None:
        self.steps.append(
            Foreseen(
                name=decision.step,
                action=decision.action,
                reason=decision.reason,
                changes=decision.changes,
                key=decision.key,
                backend=self.backend_of(node),
                expected_seconds=self.expected(decision.step),
            )
        )


def elements_of(node: Node, known: Known) -> int:
    """Return how many elements a map has; raises DefinitionError where lists that go together differ in length."""
    counts = {name: known.count(expr) for name, expr in node.over.items()}
    if len(set(counts.values())) > 1:
        raise DefinitionError(
            f"step '{node.name}' is mapped over lists of different lengths",
            facts={"lengths": ", ".join(f"{name}: {count}" for name, count in counts.items()), "line": node.line},
        )
    return next(iter(counts.values()))


def inputs_of(node: Node, known: Known, place: int | None) -> dict[str, Tree]:
    """Return the input trees of a step, or of one element of a map."""
    inputs = {name: known.tree(expr) for name, expr in node.inputs.items()}
    if node.kind == "condition":
        inputs["condition"] = {"value": known.value(cast("Expr", node.call))}
    if place is not None:
        inputs |= {name: known.item(expr, place) for name, expr in node.over.items()}
    return inputs


def verdict_of(node: Node, known: Known) -> Mapping[str, Mapping[str, Json]]:
    """Return the outputs of a condition."""
    value = known.value(cast("Expr", node.call))
    if not isinstance(value, bool):
        raise StepError(f"condition '{node.name}' is neither true nor false", facts={"value": value, "line": node.line})
    return {RESULT: json_document(value)}


def agree(plan: Plan, now: Decision | Foreseen) -> None:
    """Raise PlanMismatch if a run is about to do something else than a saved plan foresaw."""
    name = now.name if isinstance(now, Foreseen) else now.step
    foreseen = next((step for step in plan.steps if step.name == name), None)
    if foreseen is None or "unknown" in (foreseen.action, now.action):
        return
    if foreseen.action != now.action or (foreseen.key is not None and foreseen.key != now.key):
        told = f"now be: {now.action}; the plan said: {foreseen.action}"
        if foreseen.action == now.action:
            told = f"now {now.action} from something else than was planned"
        raise PlanMismatch(
            f"step '{name}' would {told}",
            facts={"planned": foreseen.reason, "now": now.reason},
            hint=f"plan again: hw plan {plan.target or 'TARGET'} -o plan.json",
        )
