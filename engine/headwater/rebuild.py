"""Given a step and its inputs: which trace may stand in, or why none; the rebuilder of *Build Systems à la Carte*.

Traces are constructive: they say which outputs a key gave, so a result is reused wherever it was computed. What the
rebuilder needs to look up comes in as small protocols, so that plans, runs and tests ask the same code.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, Protocol, cast

from headwater.artifacts import is_data
from headwater.digest import digest_of
from headwater.excerpt import differing, folder_change, name_of, text_of
from headwater.expr import Gather, Out, Param, describe, walk
from headwater.key import KeyParts, compare_parts, identity, key_of
from headwater.observed import WHETHER, question_of, variable_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from headwater.digest import Digest, Json
    from headwater.excerpt import ListFolder
    from headwater.expr import Expr
    from headwater.graph import Node
    from headwater.key import PartChange
    from headwater.known import Tree
    from headwater.traces import Trace

_NONE: Mapping[str, Tree] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Code:
    """What a node's code comes to: the parts of a key that do not depend on its inputs."""

    digest: str
    environment: Mapping[str, str]
    files: Mapping[str, str]
    #: The fingerprint piece by piece, as JSON; None where the code is not a Python function.
    document: Json = None


class Codes(Protocol):
    """Fingerprints of the nodes of one definition."""

    def code(self, node: Node) -> Code:
        """Return the code of a node."""
        ...

    def forget_files(self, node: Node) -> None:
        """Look at the files that a node declares anew when its code is next asked for."""
        ...

    def type_digest(self, name: str) -> str:
        """Return the digest of the code of a class, named ``module:qualname``."""
        ...

    def knows_type(self, name: str) -> bool:
        """Tell whether a class is the project's own or of a module that is loaded."""
        ...


@dataclass(frozen=True, slots=True)
class Past:
    """The last time that a step of this name was decided and came to an end."""

    run: str
    status: str
    parts: Mapping[str, Json]
    #: Argument → input tree.
    inputs: Mapping[str, Json]
    #: The fingerprint's document, or None.
    code: Json
    observed: Mapping[str, str]


class History(Protocol):
    """What earlier runs tell of steps and results."""

    def by_base(self, base: Digest) -> Sequence[Trace]:
        """Return the traces of a base, the one to prefer first."""
        ...

    def last(self, step: str) -> Past | None:
        """Return the last time that a step of this name ended, in this pipeline."""
        ...

    def lost(self, trace: Trace) -> bool:
        """Tell whether an output of a trace is not in the store any more."""
        ...


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a step runs or an earlier result stands in, and why."""

    step: str
    action: Literal["reuse", "run"]
    #: One sentence.
    reason: str
    base: Digest
    key: Digest
    parts: KeyParts
    inputs: Mapping[str, Tree]
    #: What changed since the last time, one line each; empty for a reuse.
    changes: tuple[str, ...] = ()
    #: What stands in, for a reuse.
    trace: Trace | None = None
    #: The fingerprint's document.
    code: Json = None
    #: Environment variables that the step was seen to look up, the last time and whenever a trace was made of it.
    variables: tuple[str, ...] = ()
    #: A trace that stood so far gives way to the one that this run will make.
    displaces: bool = False


class Rebuilder:
    """Decides, step by step, from traces alone."""

    def __init__(
        self,
        codes: Codes,
        history: History,
        *,
        observe: Callable[[str], str],
        now: Callable[[], float],
        compare_code: Callable[[Json, Json], Iterable[str]],
        list_folder: ListFolder,
        forced: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self._codes = codes
        self._history = history
        self._observe = observe
        self._now = now
        self._compare_code = compare_code
        self._list_folder = list_folder
        self._forced = forced

    def decide(self, node: Node, inputs: Mapping[str, Tree], *, step: str | None = None) -> Decision:
        """Decide about one step whose inputs are known; ``step`` names an element of a map."""
        parts, code = self._parts(node, inputs)
        base = parts.base()
        question = _Question(node, step or node.name, inputs, parts, base, code)
        obstacle = self._obstacle(question)
        traces = self._history.by_base(base)
        if obstacle is not None:
            return self._run(question, obstacle, displaces=bool(traces))
        refusals: list[str] = []
        for trace in traces:
            refusal = self._refusal(node, trace)
            if refusal is None:
                return _reuse(question, trace)
            refusals.append(refusal)
        return self._run(question, None, refusals, displaces=self._is_stale(node, traces))

    def decide_anew(self, node: Node, inputs: Mapping[str, Tree], *, step: str) -> Decision:
        """Decide about a step that is to run once more since a file that it declares changed meanwhile."""
        self._codes.forget_files(node)
        again = self.decide(node, inputs, step=step)
        if again.action == "run":
            return again
        reason = "a file that it declares changed while it ran"
        return replace(again, action="run", reason=reason, key=again.base, trace=None)

    def _is_stale(self, node: Node, traces: Sequence[Trace]) -> bool:
        return node.options.fresh is not None and bool(traces)

    def foretell(self, node: Node, step: str, inputs: Mapping[str, Tree] = _NONE) -> tuple[str, ...] | None:
        """Return what changed since the last time of what is known while some of the inputs are not.

        ``inputs`` are those that are known: argument → tree. None: it has not run before.
        """
        past = self._history.last(step)
        if past is None:
            return None
        parts, code = self._parts(node, inputs)
        question = _Question(node, step, inputs, parts, "", code)
        known = {name: past.parts.get(name) for name in ("scheme", "kind", "code", "environment", "files")}
        unknown = {*node.inputs, *node.over, *(["condition"] if node.kind == "condition" else [])} - inputs.keys()
        before = cast("Mapping[str, Json]", past.parts.get("inputs") or {})
        known["inputs"] = {name: part for name, part in before.items() if name not in unknown}
        types = cast("Mapping[str, Json]", past.parts.get("types") or {})
        known["types"] = {name: part for name, part in types.items() if name in parts.types}
        return self._changes(question, replace(past, parts=known))

    def _parts(self, node: Node, inputs: Mapping[str, Tree]) -> tuple[KeyParts, Code]:
        code = self._codes.code(node)
        parts = KeyParts(
            kind=node.kind,
            code=code.digest,
            inputs={name: identity(tree) for name, tree in inputs.items()},
            outputs={output.name: output.type for output in node.outputs},
            whole=node.whole,
            environment=code.environment,
            types={name: self._codes.type_digest(name) for name in sorted(types_in(inputs.values()))},
            files=code.files,
        )
        return parts, code

    def _obstacle(self, question: _Question) -> str | None:
        """Return why no trace is asked for at all, or None."""
        node = question.node
        if self._forced(question.step):
            return "it was asked to run again (--force)"
        if not node.options.reuse:
            return "its results are never reused (reuse=False)"
        if node.kind == "fail":
            return "it ends the run"
        if not node.outputs and node.options.effect != "once":
            return 'it is an effect: it gives nothing, and is not marked effect="once"'
        return None

    def _refusal(self, node: Node, trace: Trace) -> str | None:
        """Return why a trace of the right base may not stand in, or None."""
        for label, recorded in trace.observed.items():
            if self._observe(label) != recorded:
                return f"{_shown(label)} undeclared, changed"
        age = self._now() - trace.time
        if node.options.fresh is not None and age > node.options.fresh:
            return f"its result is {_duration(age)} old; at most {_duration(node.options.fresh)} was allowed"
        if not trace.trusted and (danger := self._danger(trace)) is not None:
            return f"its stored result is {danger} written by the untrusted key {trace.signer}"
        if self._history.lost(trace):
            return "its stored result is gone"
        return None

    def _danger(self, trace: Trace) -> str | None:
        """Return what of a stranger's trace would run code where it is read, or None."""
        for document in cast("Iterable[Mapping[str, Json]]", trace.outputs.values()):
            if not is_data(document):
                return f"a {document.get('type')}"
        for name in sorted(types_in({"artifact": document} for document in trace.outputs.values())):
            if not self._codes.knows_type(name):
                return f"of the class {name}, whose module is not loaded,"
        return None

    def _run(
        self, question: _Question, obstacle: str | None, refusals: Sequence[str] = (), *, displaces: bool
    ) -> Decision:
        past = self._history.last(question.step)
        changes = () if past is None else self._changes(question, past)
        reason = obstacle or _reason(past, changes, refusals)
        return Decision(
            step=question.step,
            action="run",
            reason=reason,
            base=question.base,
            key=question.base,
            parts=question.parts,
            inputs=question.inputs,
            changes=changes,
            code=question.code.document,
            variables=_looked_up(past, self._history.by_base(question.base)),
            displaces=displaces,
        )

    def _changes(self, question: _Question, past: Past) -> tuple[str, ...]:
        lines: list[str] = []
        new = {name: part for name, part in question.parts.document().items() if name in past.parts}
        for change in compare_parts(past.parts, new):
            if change.part == "code":
                lines.extend(self._code_changes(question, past))
            else:
                lines.append(_told(change, question, past, self._list_folder))
        return tuple(lines)

    def _code_changes(self, question: _Question, past: Past) -> Sequence[str]:
        if past.code is None or question.code.document is None:
            return ["its code or pinned version changed"]
        return list(self._compare_code(past.code, question.code.document)) or ["its code changed"]


@dataclass(frozen=True, slots=True)
class _Question:
    node: Node
    step: str
    inputs: Mapping[str, Tree]
    parts: KeyParts
    base: Digest
    code: Code


def _reuse(question: _Question, trace: Trace) -> Decision:
    return Decision(
        step=question.step,
        action="reuse",
        reason=f"unchanged since run {trace.run}",
        base=question.base,
        key=key_of(question.base, trace.observed),
        parts=question.parts,
        inputs=question.inputs,
        trace=trace,
        code=question.code.document,
    )


def _looked_up(past: Past | None, traces: Sequence[Trace]) -> tuple[str, ...]:
    labels = {label for each in (past, *traces) if each is not None for label in each.observed}
    return tuple(sorted({name for label in labels if (name := variable_of(label)) is not None}))


def _reason(past: Past | None, changes: Sequence[str], refusals: Sequence[str]) -> str:
    if refusals:
        return refusals[-1]
    if past is None:
        return "it has not run before"
    if changes:
        return changes[0] if len(changes) == 1 else f"{changes[0]} (and {len(changes) - 1} more)"
    if past.status not in ("ran", "reused"):
        return f"it did not succeed in run {past.run} ({past.status})"
    return f"the trace of run {past.run} is gone"


def _told(change: PartChange, question: _Question, past: Past, list_folder: ListFolder) -> str:
    """Say one change of a key's part in words."""
    match change.part:
        case "input":
            return _input_told(change, question, past, list_folder)
        case "environment":
            kind, _, name = change.name.partition(":")
            if kind == "package":
                return f"package {name} changed: {change.old or 'not used'} → {change.new or 'not used'}"
            if kind == "env":
                return f"environment variable {name} changed"
            return f"{change.name} changed: {change.old} → {change.new}"
        case "file":
            return f"declared file {change.name} changed"
        case "type":
            return f"class {change.name.rpartition(':')[2]}, which comes with an input, changed"
        case "output":
            return f"output {change.name} is declared differently: {change.old} → {change.new}"
        case "scheme":
            return "headwater makes keys in a new way"
        case _:
            return f"its {change.part} changed: {change.old} → {change.new}"


def _input_told(change: PartChange, question: _Question, past: Past, list_folder: ListFolder) -> str:
    if change.old is None:
        return f"input {change.name} is new"
    if change.new is None:
        return f"input {change.name} is gone"
    expr = question.node.inputs.get(change.name) or question.node.over.get(change.name)
    subject = f"input {change.name}" + (f" (from {_origin(expr)})" if expr is not None else "")
    if isinstance(expr, Param):
        file = name_of(question.inputs.get(change.name))
        subject = f"{file} (parameter {expr.name})" if file else f"parameter {expr.name}"
    files = folder_change(past.inputs.get(change.name), question.inputs.get(change.name), list_folder)
    if files:
        return f"{subject} changed: {files}"
    old, new = text_of(past.inputs.get(change.name)), text_of(question.inputs.get(change.name))
    if old is None or new is None or old == new:
        return f"{subject} changed"
    return f"{subject} changed: {' → '.join(differing(old, new, width=40))}"


def _origin(expr: Expr) -> str:
    """Name what an input comes from: the steps, where a value is put together from what several gave."""
    steps = dict.fromkeys(part.step for part in walk(expr) if isinstance(part, Out | Gather))
    return describe(expr) if isinstance(expr, Out | Gather) or not steps else ", ".join(steps)


def types_in(trees: Iterable[Json]) -> set[str]:
    """Return every class, as ``module:qualname``, whose instances are in some input trees."""
    found: set[str] = set()
    todo: list[Json] = list(trees)
    while todo:
        match todo.pop():
            case {"artifact": {"meta": {"types": list(names)}}}:
                found.update(cast("list[str]", names))
            case {"$": "data" | "named" | "enum", "t": str(name), "v": inner}:
                found.add(name)
                todo.append(inner)
            case {"data": {"type": str(name), "fields": dict(fields)}}:
                found.add(name)
                todo.extend(fields.values())
            case dict(inside):
                todo.extend(inside.values())
            case list(items):
                todo.extend(items)
            case _:
                pass
    return found


def _shown(label: str) -> str:
    kind, _, rest = label.partition(":")
    if kind in ("env", "env?"):
        return f"environment variable {rest}, which it read"
    if (what := question_of(label)) is not None:
        return f"{'whether there is' if what == WHETHER else 'the size of'} {rest}, which it asked"
    return f"{rest if kind in ('project', 'file') else label}, which it opened"


def _duration(seconds: float) -> str:
    for size, unit in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} seconds"


def code_of_document(kind: str, document: Json, environment: Mapping[str, str] | None = None) -> Code:
    """Return the code of a node that is data: a command, a condition, a control step."""
    return Code(digest_of([kind, document]), environment or MappingProxyType({}), MappingProxyType({}))
