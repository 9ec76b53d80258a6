"""From pieces that refer to each other to digests that do not depend on names or order (pure).

A piece's digest is made of its own text and the digests of what it refers to. Pieces that refer to each other in a
circle are told apart step by step: at first by their text alone, then also by how their neighbours were told apart, and
so on until nothing changes (partition refinement). What is then still alike behaves alike.
"""

from __future__ import annotations

from collections import ChainMap
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from headwater.digest import Digest, digest_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclass(slots=True, eq=False)
class Node:
    """A piece while its neighbours are still being found."""

    kind: str
    label: str
    file: str
    line: int
    #: Its text, with the pieces that it refers to where they stand.
    items: list[str | Node] = field(default_factory=list["str | Node"])
    #: Further pieces that it refers to, in no order.
    loose: list[Node] = field(default_factory=list["Node"])
    #: A short text of its value, where that may be shown.
    shown: str | None = None
    #: Stands for the piece wherever it is referred to: a constant is the same as the literal.
    inline: str | None = None

    @property
    def targets(self) -> list[Node]:
        """The pieces that it refers to."""
        return [item for item in (*self.items, *self.loose) if isinstance(item, Node) and item.inline is None]


def own_digest(node: Node) -> Digest:
    """Return the digest of a piece by itself: what it refers to counts by label only."""
    texts = [item if isinstance(item, str) else f"\x04{item.label}" for item in node.items]
    return _digest([*texts, *sorted(f"\x04{item.label}" for item in node.loose)])


def digests(roots: Iterable[Node]) -> dict[Node, Digest]:
    """Return the digest of every piece that can be reached."""
    found: dict[Node, Digest] = {}
    for component in _components(roots):
        node = component[0]
        if len(component) == 1 and node not in node.targets:
            found[node] = _mark(node, found)
        else:
            found.update(_refined(component, found))
    return found


def _refined(component: list[Node], known: dict[Node, Digest]) -> dict[Node, Digest]:
    """Return the digests of pieces in a circle."""
    marks: dict[Node, Digest] = dict.fromkeys(component, "")
    kinds = 1
    while True:
        view = ChainMap(marks, known)
        marks = {node: _mark(node, view) for node in component}
        if len(set(marks.values())) == kinds:
            break
        kinds = len(set(marks.values()))
    # All marks together say how each kind refers to the others: two circles that agree in them behave alike.
    whole = sorted(set(marks.values()))
    return {node: _digest([mark, *whole]) for node, mark in marks.items()}


def _mark(node: Node, known: Mapping[Node, Digest]) -> Digest:
    texts = [item if isinstance(item, str) else item.inline or f"\x03{known[item]}" for item in node.items]
    return _digest([*texts, *sorted(item.inline or f"\x03{known[item]}" for item in node.loose)])


def _digest(texts: list[str]) -> Digest:
    # One space between any two words, so that a named constant and a literal read the same.
    return digest_bytes(" ".join(filter(None, texts)).encode("utf-8", "surrogatepass"))


def _components(roots: Iterable[Node]) -> list[list[Node]]:
    """Return the strongly connected components, those referred to first (Tarjan, without recursion)."""
    numbers: dict[Node, int] = {}
    lowest: dict[Node, int] = {}
    stack: list[Node] = []
    stacked: set[Node] = set()
    found: list[list[Node]] = []
    for root in roots:
        if root in numbers:
            continue
        work = [(root, iter(root.targets))]
        numbers[root] = lowest[root] = len(numbers)
        stack.append(root)
        stacked.add(root)
        while work:
            node, targets = work[-1]
            for target in targets:
                if target not in numbers:
                    numbers[target] = lowest[target] = len(numbers)
                    stack.append(target)
                    stacked.add(target)
                    work.append((target, iter(target.targets)))
                    break
                if target in stacked:
                    lowest[node] = min(lowest[node], numbers[target])
            else:
                work.pop()
                if work:
                    above = work[-1][0]
                    lowest[above] = min(lowest[above], lowest[node])
                if lowest[node] == numbers[node]:
                    place = stack.index(node)
                    component = stack[place:]
                    del stack[place:]
                    stacked.difference_update(component)
                    found.append(component)
    return found
