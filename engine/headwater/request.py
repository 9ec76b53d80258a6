"""What is asked for: a compiled pipeline with parameters, chosen steps and the profile's word on where they run."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from headwater.selection import Selection, select
from headwater.types import Resources, Retry, parse_seconds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from headwater.config import Profile
    from headwater.definition import Definition
    from headwater.digest import Json
    from headwater.graph import Graph, Node
    from headwater.plan import Plan
    from headwater.run import View
    from headwater.selection import Selected
    from headwater.targets import Compiled


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How a run is carried out; none of it changes a result."""

    selection: Selection = field(default_factory=Selection)
    #: Stop starting steps once one has failed; else go on with all that does not depend on it.
    fail_fast: bool = True
    #: Parameters as text, ``name=value``, as on the command line.
    words: Sequence[str] = ()
    #: Parameters from a file.
    file: Mapping[str, object] = field(default_factory=dict)
    #: Do what this plan says and nothing else.
    plan: Plan | None = None
    view: View | None = None
    #: The command line, for the record.
    command: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Request:
    """All that a plan or a run is asked for; nothing in it was looked up in a store."""

    compiled: Compiled
    profile: Profile
    options: RunOptions
    #: The definition's graph with the profile's overrides; no key depends on them.
    graph: Graph
    #: Parameters as typed JSON.
    params: Mapping[str, Json]
    #: The steps that were asked for.
    selected: Selected

    @property
    def definition(self) -> Definition:
        """The definition as it was compiled."""
        return self.compiled.definition

    @property
    def backends(self) -> tuple[str, ...]:
        """The backends that steps of this pipeline name."""
        from headwater.run import backend_of

        found = {backend_of(node, self.profile) for node in self.graph.nodes.values()}
        return tuple(sorted(name for name in found if name is not None))


def make_request(
    compiled: Compiled,
    profile: Profile,
    options: RunOptions,
    given: Mapping[str, object] | None = None,
    *,
    params: Mapping[str, Json] | None = None,
) -> Request:
    """Return what is asked for; ``given`` are parameters as values, ``params`` all of them as they were recorded.

    Raises ParameterError for a parameter that is wrong or missing, RequestError for a step that is not there.
    """
    graph = _configured(compiled.definition.graph, profile)
    if params is None and options.plan is not None:
        params = options.plan.params
    if params is None:
        params = _params(graph, options, given or {})
    return Request(compiled, profile, options, graph, dict(params), select(graph, options.selection))


def _params(graph: Graph, options: RunOptions, given: Mapping[str, object]) -> dict[str, Json]:
    from headwater.parameters import resolve

    found = resolve(graph.parameters, words=options.words, values=given, file=options.file)
    chosen = {word.partition("=")[0].partition(".")[0] for word in options.words} | set(given)
    return {name: _absolute(value) if name in chosen else value for name, value in found.items()}


def _absolute(value: Json) -> Json:
    """Make the paths of files that were given for this run absolute: they are relative to the working directory."""
    match value:
        case {"$": "file" | "dir" as kind, "path": str(path)} if "://" not in path:
            return {"$": kind, "path": str(Path(path).expanduser().absolute())}
        case dict(inside):
            return {name: _absolute(inner) for name, inner in inside.items()}
        case list(items):
            return [_absolute(item) for item in items]
        case _:
            return value


def _configured(graph: Graph, profile: Profile) -> Graph:
    """Return a graph with the profile's word on where and how steps run."""
    return replace(graph, nodes={name: _with_profile(node, profile) for name, node in graph.nodes.items()})


def _with_profile(node: Node, profile: Profile) -> Node:
    override = profile.for_step(node.name)
    if not override:
        return node
    options = node.options
    if "resources" in override:
        options = replace(options, resources=Resources(**cast("Any", override["resources"])))
    if "timeout" in override:
        options = replace(options, timeout=parse_seconds(cast("str", override["timeout"])))
    if "retry" in override:
        options = replace(options, retry=Retry(cast("int", override["retry"])))
    if "priority" in override:
        options = replace(options, priority=cast("int", override["priority"]))
    return replace(node, options=options)
