"""From what, by what, into what: answered from records alone.

A graph has nodes of six kinds: *artifact*, *step* (one execution of a step in one run), *file*, *parameter*, *code*
and, where one begins with it, *run*. An edge goes the way of the data. A step that was reused stands for the execution
that its trace came from: the original run is named, and the graph goes on from there.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, cast

from headwater.digest import canonical, is_digest
from headwater.errors import RequestError
from headwater.key import compare_parts
from headwater.types import StepStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from headwater.digest import Digest, Json
    from headwater.index import Index
    from headwater.record import RunRecord, StepRecord
    from headwater.types import RunId, StepName

Kind: TypeAlias = Literal["artifact", "step", "file", "parameter", "code", "run"]
_SHORT = 12


@dataclass(frozen=True, slots=True)
class Node:
    """A thing that data comes from, goes through or goes to."""

    #: Unique in a graph: the kind and what identifies the thing.
    id: str
    kind: Kind
    #: What a person calls it.
    label: str
    #: Digest, run, step, path, type, seconds, …
    facts: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class Edge:
    """Data that went from one thing to another."""

    source: str
    target: str
    #: Name of the output or of the argument; "" for code.
    name: str


@dataclass(frozen=True, slots=True)
class Lineage:
    """A small graph around one thing."""

    root: str
    direction: Literal["upstream", "downstream"]
    nodes: Mapping[str, Node]
    edges: Sequence[Edge]

    def document(self) -> dict[str, Json]:
        """Return the graph as JSON."""
        return {
            "root": self.root,
            "direction": self.direction,
            "nodes": [
                {"id": node.id, "kind": node.kind, "label": node.label, "facts": dict(node.facts)}
                for node in self.nodes.values()
            ],
            "edges": [{"source": edge.source, "target": edge.target, "name": edge.name} for edge in self.edges],
        }


@dataclass(frozen=True, slots=True)
class Start:
    """Where to begin: an artifact, one execution of a step, or a file. Made by the functions below it."""

    kind: Kind
    digest: Digest = ""
    run: RunId = ""
    step: StepName = ""
    path: str = ""


def of_artifact(digest: Digest) -> Start:
    """Begin with an artifact, by its digest."""
    return Start("artifact", digest=digest)


def of_step(run: RunId, step: StepName) -> Start:
    """Begin with what one run did about a step."""
    return Start("step", run=run, step=step)


def of_run(run: RunId) -> Start:
    """Begin with a whole run: upstream with the steps that end it, downstream with all that it did."""
    return Start("run", run=run)


def of_file(path: str) -> Start:
    """Begin with a source file, by the label under which steps recorded it."""
    return Start("file", path=path)


def upstream(index: Index, start: Start, *, depth: int | None = None) -> Lineage:
    """Return what something was made from, as far back as it is recorded, or ``depth`` step executions."""
    return _walk(index, start, "upstream", depth)


def downstream(index: Index, start: Start, *, depth: int | None = None) -> Lineage:
    """Return what was made from something."""
    return _walk(index, start, "downstream", depth)


class _Graph:
    """A graph while it grows."""

    def __init__(self, index: Index) -> None:
        self.index = index
        self.nodes: dict[str, Node] = {}
        self.edges: dict[Edge, None] = {}
        self._records: dict[tuple[RunId, StepName], StepRecord | None] = {}

    def add(self, node: Node) -> str:
        self.nodes.setdefault(node.id, node)
        return node.id

    def link(self, source: str, target: str, name: str) -> None:
        self.edges.setdefault(Edge(source, target, name))

    def record(self, run: RunId, step: StepName) -> StepRecord | None:
        """Return the execution that stands behind a step: its own, or the one whose trace it reused."""
        key = (run, step)
        if key not in self._records:
            found = self.index.step(run, step)
            if found is not None and found.status is StepStatus.REUSED and found.trace is not None:
                original = self.index.step(found.trace.run, found.trace.step)
                found = original or found
            self._records[key] = found
        return self._records[key]


def _walk(index: Index, start: Start, direction: Literal["upstream", "downstream"], depth: int | None) -> Lineage:
    graph = _Graph(index)
    root, first = _begin_run(graph, start.run, direction) if start.kind == "run" else _begin(graph, start)
    expand: Callable[[_Graph, str], Iterator[str]] = _above if direction == "upstream" else _below
    waiting = deque((node, 0) for node in first)
    seen = set(first)
    while waiting:
        node, steps = waiting.popleft()
        steps += graph.nodes[node].kind == "step"
        if depth is not None and steps > depth:
            continue
        for found in expand(graph, node):
            if found not in seen:
                seen.add(found)
                waiting.append((found, steps))
    return Lineage(root, direction, graph.nodes, list(graph.edges))


def _begin(graph: _Graph, start: Start) -> tuple[str, Sequence[str]]:
    if start.kind == "artifact":
        uses = graph.index.uses(start.digest)
        if not uses:
            raise RequestError("no run made or used this artifact", facts={"digest": start.digest})
        root = graph.add(_artifact(start.digest, {}))
    elif start.kind == "step":
        record = graph.record(start.run, start.step)
        if record is None:
            raise RequestError(f"run {start.run} has no step {start.step!r}", hint=f"see: hw show {start.run}")
        root = graph.add(_step(record))
    else:
        users = graph.index.file_users(start.path)
        if not users:
            raise RequestError(f"no step is recorded to have read {start.path!r}", hint="name it as `hw why` does")
        root = graph.add(Node(f"file:{start.path}", "file", start.path, {"path": start.path}))
    return root, [root]


def _begin_run(graph: _Graph, run: RunId, direction: str) -> tuple[str, Sequence[str]]:
    root = graph.add(Node(f"run:{run}", "run", f"run {run}", {"run": run}))
    steps = {name: step for name, step in graph.index.steps(run).items() if step.elements is None and step.outputs}
    used = {str(source.get("step")) for step in steps.values() for each in step.inputs.values() for source in each}
    first: list[str] = []
    for name in steps:
        record = graph.record(run, name) if direction == "downstream" or name not in used else None
        if record is not None:
            first.append(graph.add(_step(record)))
            graph.link(*((first[-1], root) if direction == "upstream" else (root, first[-1])), "")
    return root, first


def _above(graph: _Graph, node: str) -> Iterator[str]:
    """Add what a node came from, and yield it."""
    found = graph.nodes[node]
    if found.kind == "artifact":
        yield from _makers(graph, node, str(found.facts["digest"]))
    elif found.kind == "step":
        record = graph.record(str(found.facts["run"]), str(found.facts["step"]))
        if record is not None:
            yield from _inputs(graph, node, record)


def _makers(graph: _Graph, node: str, digest: Digest) -> Iterator[str]:
    for use in graph.index.uses(digest):
        if use.role == "made" and (record := graph.record(use.run, use.step)) is not None:
            yield _made(graph, record, use.name, node)


def _made(graph: _Graph, record: StepRecord, output: str, artifact: str) -> str:
    step = graph.add(_step(record))
    graph.link(step, artifact, output)
    return step


def _inputs(graph: _Graph, node: str, record: StepRecord) -> Iterator[str]:
    """Add a step's inputs. Where the record says which step an input came from, only that one is linked to it."""
    for argument, sources in record.inputs.items():
        for source in sources:
            yield from _source(graph, node, record, argument, source)
    if not record.inputs:
        for use in graph.index.uses_of(record.run, record.step):
            if use.role == "used":
                artifact = graph.add(_artifact(use.digest, {}))
                graph.link(artifact, node, use.name)
                yield artifact
    for label, digest in {**_files(record), **record.observed}.items():
        graph.link(graph.add(_file(label, digest)), node, "")
    code = record.parts.get("code")
    if isinstance(code, str) and code:
        graph.link(graph.add(Node(f"code:{code}", "code", f"code {code[:_SHORT]}", {"digest": code})), node, "")


def _source(graph: _Graph, node: str, record: StepRecord, argument: str, source: Mapping[str, Json]) -> Iterator[str]:
    digest = str(source.get("digest", ""))
    if "parameter" in source:
        name = str(source["parameter"])
        facts = {"name": name, "digest": digest}
        graph.link(
            graph.add(Node(f"parameter:{name}:{digest}", "parameter", name, cast("dict[str, Json]", facts))),
            node,
            argument,
        )
    if "file" in source:
        graph.link(graph.add(_file(str(source["file"]), digest)), node, argument)
    elif "parameter" in source:
        return
    elif "step" in source:
        maker = graph.record(record.run, str(source["step"]))
        output = str(source.get("output", ""))
        document = maker.outputs.get(output) if maker is not None else None
        artifact = graph.add(_artifact(digest, document if isinstance(document, dict) else {}))
        graph.link(artifact, node, argument)
        if maker is not None:
            yield _made(graph, maker, output, artifact)
    elif digest:
        graph.link(graph.add(_artifact(digest, {})), node, argument)


def _files(record: StepRecord) -> Mapping[str, str]:
    return cast("dict[str, str]", record.parts.get("files") or {})


def _below(graph: _Graph, node: str) -> Iterator[str]:
    """Add what was made from a node, and yield it."""
    found = graph.nodes[node]
    if found.kind == "step":
        record = graph.record(str(found.facts["run"]), str(found.facts["step"]))
        for output, document in (record.outputs if record is not None else {}).items():
            if isinstance(document, dict):
                artifact = graph.add(_artifact(str(document["digest"]), document))
                graph.link(node, artifact, output)
                yield artifact
    elif found.kind == "artifact":
        yield from _users(graph, node, str(found.facts["digest"]))
    elif found.kind == "file":
        for run, step in graph.index.file_users(str(found.facts["path"])):
            if (record := graph.record(run, step)) is not None:
                yield _used(graph, node, record, "")


def _users(graph: _Graph, node: str, digest: Digest) -> Iterator[str]:
    for use in graph.index.uses(digest):
        record = graph.record(use.run, use.step) if use.role == "used" else None
        if record is not None and _is_from(graph, node, record, use.name):
            yield _used(graph, node, record, use.name)


def _is_from(graph: _Graph, artifact: str, record: StepRecord, argument: str) -> bool:
    """Tell whether an input came from a maker of the artifact in this graph, not from another with equal content."""
    makers = {edge.source for edge in graph.edges if edge.target == artifact}
    named = [
        graph.record(record.run, str(source["step"])) for source in record.inputs.get(argument, ()) if "step" in source
    ]
    sources = {_step(maker).id for maker in named if maker is not None}
    return not makers or not sources or not makers.isdisjoint(sources)


def _used(graph: _Graph, node: str, record: StepRecord, argument: str) -> str:
    step = graph.add(_step(record))
    graph.link(node, step, argument)
    return step


def _artifact(digest: Digest, document: Mapping[str, Json]) -> Node:
    kind = str(document.get("type", ""))
    facts: dict[str, Json] = {"digest": digest, "type": kind, "bytes": document.get("bytes")}
    return Node(f"artifact:{digest}", "artifact", f"{kind or 'artifact'} {digest[:_SHORT]}", facts)


def _step(record: StepRecord) -> Node:
    facts: dict[str, Json] = {
        "run": record.run,
        "step": record.step,
        "status": record.status.value,
        "key": record.key,
        "seconds": record.seconds,
        "time": record.finished,
    }
    return Node(f"step:{record.run}/{record.step}", "step", f"{record.step} in {record.run}", facts)


def _file(label: str, digest: str) -> Node:
    return Node(f"file:{label}:{digest}", "file", label, {"path": label, "digest": digest})


# ------------------------------------------------------------------------------------------------------------ pictures


def as_text(lineage: Lineage) -> str:
    """Draw a graph as an indented tree, from its root on; what was drawn before is only named."""
    following: dict[str, list[tuple[str, str]]] = {}
    for edge in lineage.edges:
        if lineage.direction == "upstream":
            following.setdefault(edge.target, []).append((edge.source, edge.name))
        else:
            following.setdefault(edge.source, []).append((edge.target, edge.name))
    lines: list[str] = []
    drawn: set[str] = set()
    waiting: list[tuple[str, str, int]] = [(lineage.root, "", 0)]
    while waiting:
        node, name, depth = waiting.pop()
        below = following.get(node, [])
        again = node in drawn and bool(below)
        title = f"{name}: " if name else ""
        lines.append(f"{'  ' * depth}{title}{lineage.nodes[node].label}{'  (above)' if again else ''}")
        if not again:
            drawn.add(node)
            waiting.extend((other, label, depth + 1) for other, label in reversed(below))
    return "\n".join(lines) + "\n"


_SHAPES: Mapping[Kind, str] = {
    "artifact": "ellipse",
    "step": "box",
    "file": "note",
    "parameter": "diamond",
    "code": "component",
    "run": "tab",
}


def as_dot(lineage: Lineage) -> str:
    """Draw a graph in the DOT language of Graphviz."""
    lines = ["digraph lineage {", "  rankdir=LR;"]
    lines += [
        f"  {_quoted(node.id)} [label={_quoted(node.label)}, shape={_SHAPES[node.kind]}];"
        for node in lineage.nodes.values()
    ]
    lines += [
        f"  {_quoted(edge.source)} -> {_quoted(edge.target)} [label={_quoted(edge.name)}];" for edge in lineage.edges
    ]
    return "\n".join([*lines, "}"]) + "\n"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


# ---------------------------------------------------------------------------------------------------------- difference


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
