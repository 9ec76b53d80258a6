"""Which steps of a graph somebody asked for (``--only``, ``--from``, ``--until``), and which run anew (``--force``)."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headwater.errors import RequestError
from headwater.expr import Const, Seq
from headwater.graph import ancestors, descendants

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from headwater.expr import Expr
    from headwater.graph import Graph

#: ``--force`` without a name: every step that was asked for.
EVERYTHING = "*"


@dataclass(frozen=True, slots=True)
class Selection:
    """What to run of a pipeline; empty means all of it."""

    #: Just these steps; what they take must be reusable.
    only: tuple[str, ...] = ()
    #: These steps and all that come after them; what they take must be reusable.
    start: tuple[str, ...] = ()
    #: These steps and all that they need.
    until: tuple[str, ...] = ()
    #: Steps that run although an earlier result could stand in.
    force: tuple[str, ...] = ()

    @property
    def is_all(self) -> bool:
        """Tell whether every step was asked for."""
        return not (self.only or self.start or self.until)


@dataclass(frozen=True, slots=True)
class Selected:
    """A selection applied to a graph."""

    #: Steps that may run.
    runnable: frozenset[str]
    #: Steps that may only be reused, because what is runnable needs them.
    needed: frozenset[str]
    forced: frozenset[str]

    def is_forced(self, step: str) -> bool:
        """Tell whether a step, or the map that it is an element of, has to run anew."""
        return step in self.forced or step.partition("[")[0] in self.forced


def select(graph: Graph, selection: Selection) -> Selected:
    """Apply a selection; raises RequestError for a step that is not in the graph, or is forced but not asked for."""
    for name in selection.force:
        _check(graph, name)
    for name in (*selection.only, *selection.start, *selection.until):
        _check(graph, name)
        if "[" in name:
            raise RequestError(
                f"{name!r} cannot be picked alone: it is an element of a map",
                hint=f"name the map: {name.partition('[')[0]}; its other elements are reused where nothing changed",
            )
    runnable = set(graph.nodes)
    if selection.until:
        runnable &= ancestors(graph, selection.until) | set(selection.until)
    if selection.start:
        runnable &= descendants(graph, selection.start) | set(selection.start)
    if selection.only:
        runnable &= set(selection.only)
    for name in selection.force:
        if name != EVERYTHING and name.partition("[")[0] not in runnable:
            raise RequestError(
                f"step '{name}' is forced but was not asked for",
                facts={"asked for": _listed(each for each in graph.nodes if each in runnable)},
                hint="ask for it too with --only, --from or --until, or leave out its --force",
            )
    forced = runnable if EVERYTHING in selection.force else set(map(_map_of, selection.force)) | set(selection.force)
    return Selected(frozenset(runnable), frozenset(ancestors(graph, runnable) - runnable), frozenset(forced))


def _map_of(name: str) -> str:
    return name if "[" not in name else ""


def _check(graph: Graph, name: str) -> None:
    if name == EVERYTHING or name in graph.nodes or _is_element(graph, name):
        return
    near: Sequence[str] = difflib.get_close_matches(name, graph.nodes, 3)
    raise RequestError(
        f"there is no step named {name!r} in this pipeline",
        facts={"steps": _listed(graph.nodes)},
        hint=f"did you mean {near[0]!r}?" if near else "use the names that `hw plan` shows",
    )


def _is_element(graph: Graph, name: str) -> bool:
    """Tell whether a name may be that of an element; how many a map has may be known in the run only."""
    node, place = graph.nodes.get(name.partition("[")[0]), name.partition("[")[2].removesuffix("]")
    if node is None or not node.over or not place.isdecimal():
        return False
    return all(int(place) < count for count in map(_count, node.over.values()) if count is not None)


def _count(expr: Expr) -> int | None:
    """Return the length of a list, where it is known before the run."""
    match expr:
        case Seq(_, items):
            return len(items)
        case Const(list(items)):
            return len(items)
        case _:
            return None


def _listed(names: Iterable[str]) -> str:
    shown = list(names)
    return ", ".join(shown[:20]) + (f", and {len(shown) - 20} more" if len(shown) > 20 else "")
