"""From what, by what, into what: answered from records alone.

A graph has nodes of six kinds: *artifact*, *step* (one execution of a step in one run), *file*, *parameter*, *code*
and, where one begins with it, *run*. An edge goes the way of the data. A step that was reused stands for the execution
that its trace came from: the original run is named, and the graph goes on from there.
"""

from __future__ import annotations

import os
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias, cast

from headwater.errors import RequestError
from headwater.expr import Const, describe
from headwater.observed import is_file, path_of
from headwater.types import StepStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from headwater.digest import Digest, Json
    from headwater.index import Index
    from headwater.record import StepRecord
    from headwater.types import RunId, StepName

Kind: TypeAlias = Literal["artifact", "step", "file", "parameter", "code", "run"]
_SHORT = 12
#: A parameter's value is shown up to so many characters.
_VALUE = 60


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
    #: Labels under which steps recorded one file.
    labels: tuple[str, ...] = ()


def of_artifact(digest: Digest) -> Start:
    """Begin with an artifact, by its digest."""
    return Start("artifact", digest=digest)


def of_step(run: RunId, step: StepName) -> Start:
    """Begin with what one run did about a step; about a map: about each of its elements."""
    return Start("step", run=run, step=step)


def of_run(run: RunId) -> Start:
    """Begin with a whole run: upstream with the steps that end it, downstream with all that it did."""
    return Start("run", run=run)


def of_file(*labels: str) -> Start:
    """Begin with a source file, by the labels under which steps recorded it."""
    return Start("file", labels=labels)


def file_labels(index: Index, text: str, project: Path) -> tuple[str, ...]:
    """Return the labels under which steps recorded a file; none if there is no such file.

    ``text`` is its path, relative to the working directory or to the project, or else how its path ends. Raises
    RequestError where the paths of several files end so.
    """
    places = {label: _place(label, project) for label in index.file_labels()}
    wanted = _meant(text, project)
    exact = tuple(label for label, place in places.items() if label == text or place in wanted)
    if exact:
        return exact
    parts = Path(text).parts
    ending = {label: place for label, place in places.items() if place.parts[-len(parts) :] == parts} if parts else {}
    if len(set(ending.values())) > 1:
        raise RequestError(
            f"steps read several files {text!r}",
            facts={"found": "\n".join(sorted({str(place) for place in ending.values()}))},
            hint="name one of them by its path",
        )
    return tuple(ending)


def folder_around(index: Index, text: str, project: Path) -> str | None:
    """Return the innermost folder that steps took as a whole and that a path lies in, by its label, or None."""
    above = {folder for path in _meant(text, project) for folder in path.parents}
    places = {label: _place(label, project) for label in index.file_labels()}
    around = [label for label, place in places.items() if place in above]
    return _shown(max(around, key=lambda label: len(places[label].parts))) if around else None


def _meant(text: str, project: Path) -> set[Path]:
    return {*map(_normal, (Path(text).absolute(), project / text)), Path(text).expanduser().resolve()}


def _place(label: str, project: Path) -> Path:
    """Return where the file of a label lies: labels of inputs are paths as they were given, others say their kind."""
    if label.startswith(("project:", "file:")):
        return path_of(label, str(project))
    return Path(label) if "://" in label else _normal(project / label)


def _normal(path: Path) -> Path:
    return Path(os.path.normpath(path))


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
        self._params: dict[RunId, Mapping[str, Json]] = {}

    def add(self, node: Node) -> str:
        self.nodes.setdefault(node.id, node)
        return node.id

    def link(self, source: str, target: str, name: str) -> None:
        self.edges.setdefault(Edge(source, target, name))

    def params(self, run: RunId) -> Mapping[str, Json]:
        """Return the parameters of a run."""
        if run not in self._params:
            found = self.index.run(run)
            self._params[run] = {} if found is None else found.params
        return self._params[run]

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
    root, first = _begin_run(graph, start.run, direction) if start.kind == "run" else _begin(graph, start, direction)
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


def _begin(graph: _Graph, start: Start, direction: str) -> tuple[str, Sequence[str]]:
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
        if record.elements:
            return root, _begin_map(graph, root, record, direction)
    else:
        if not any(map(graph.index.file_users, start.labels)):
            raise RequestError(f"no step is recorded to have read {start.labels}", hint="name it as `hw why` does")
        first, *others = start.labels
        facts: dict[str, Json] = {"path": _shown(first), "labels": [first, *others]}
        root = graph.add(Node(f"file:{first}", "file", _shown(first), facts))
    return root, [root]


def _begin_map(graph: _Graph, root: str, record: StepRecord, direction: str) -> Sequence[str]:
    """Begin with the elements of a map: it has neither inputs nor outputs of its own."""
    first: list[str] = []
    for name in record.elements or ():
        element = graph.record(record.run, name)
        if element is not None:
            first.append(graph.add(_step(element)))
            graph.link(*((first[-1], root) if direction == "upstream" else (root, first[-1])), "")
    return first


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
        if is_file(label):
            graph.link(graph.add(_file(label, digest)), node, "")
    code = record.parts.get("code")
    if isinstance(code, str) and code:
        graph.link(graph.add(Node(f"code:{code}", "code", f"code {code[:_SHORT]}", {"digest": code})), node, "")


def _source(graph: _Graph, node: str, record: StepRecord, argument: str, source: Mapping[str, Json]) -> Iterator[str]:
    digest = str(source.get("digest", ""))
    if "file" in source:
        file = graph.add(_file(str(source["file"]), digest))
        graph.link(file, node, argument)
        if "parameter" in source:
            graph.link(graph.add(_parameter(graph, record, argument, source)), file, "")
    elif "parameter" in source:
        graph.link(graph.add(_parameter(graph, record, argument, source)), node, argument)
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


def _parameter(graph: _Graph, record: StepRecord, argument: str, source: Mapping[str, Json]) -> Node:
    """Return a parameter as a step got it: a map's element gets one of its values, a condition a verdict on it."""
    name, digest = str(source["parameter"]), str(source.get("digest", ""))
    tree = record.trees.get(argument)
    is_whole = len(record.inputs.get(argument, ())) == 1 and argument != "condition"
    facts: dict[str, Json] = {"name": name, "digest": digest}
    if is_whole and isinstance(tree, dict) and "value" in tree:
        facts["value"] = tree["value"]
    else:
        params = graph.params(record.run)
        if name in params:
            facts["value"] = params[name]
    text = f" = {describe(Const(facts['value']))}" if "value" in facts else ""
    label = f"parameter {name}{text}"
    return Node(f"parameter:{name}:{digest}", "parameter", label[:_VALUE] + ("…" if label[_VALUE:] else ""), facts)


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
        for label in cast("list[str]", found.facts.get("labels") or [found.facts["path"]]):
            for run, step in graph.index.file_users(label):
                if (record := graph.record(run, step)) is not None:
                    yield _used(graph, node, record, _argument(record, label))


def _argument(record: StepRecord, file: str) -> str:
    """Return the argument by which a step was given a file; "" where it opened it by itself."""
    sources = record.inputs.items()
    return next((name for name, found in sources if any(one.get("file") == file for one in found)), "")


def _users(graph: _Graph, node: str, digest: Digest) -> Iterator[str]:
    for use in graph.index.uses(digest):
        record = graph.record(use.run, use.step) if use.role == "used" else None
        if record is not None and _is_from(graph, node, record, use.name):
            yield _used(graph, node, record, use.name)


def _is_from(graph: _Graph, artifact: str, record: StepRecord, argument: str) -> bool:
    """Tell whether an input came from a maker of the artifact in this graph, not from another with equal content."""
    makers = {edge.source for edge in graph.edges if edge.target == artifact}
    if not makers or argument not in record.inputs:
        return True
    # A parameter or a constant of equal content did not come from the maker either.
    named = [graph.record(record.run, str(source["step"])) for source in record.inputs[argument] if "step" in source]
    return not makers.isdisjoint(_step(maker).id for maker in named if maker is not None)


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
    count = (
        f", {len(record.elements)} {'element' if len(record.elements) == 1 else 'elements'}" if record.elements else ""
    )
    return Node(f"step:{record.run}/{record.step}", "step", f"{record.step} in {record.run}{count}", facts)


def _file(label: str, digest: str) -> Node:
    return Node(f"file:{label}:{digest}", "file", _shown(label), {"path": _shown(label), "digest": digest})


def _shown(label: str) -> str:
    """Return a file's path without the word that says how it was recorded."""
    return label.removeprefix("project:").removeprefix("file:")
