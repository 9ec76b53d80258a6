"""A lineage as text and as a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headwater.lineage.walk import Kind, Lineage


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
