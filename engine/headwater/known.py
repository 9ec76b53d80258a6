"""What is known so far, in a plan or a run: parameters, outputs, verdicts; and what follows from it for an input.

An input of a step becomes a *tree*: artifacts by digest, and plain values, nested as the author wrote them. Trees are
what an attempt carries, and what a key is made of.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias, cast

from headwater.expr import (
    RESULT,
    Const,
    Data,
    Dict,
    Either,
    Gather,
    Out,
    Param,
    Seq,
    evaluate,
    is_true,
    parts,
    pick_value,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from headwater.digest import Json
    from headwater.expr import Expr, Leaf
    from headwater.graph import Node

    Tree: TypeAlias = dict[str, Json]
    #: An artifact's document.
    Document: TypeAlias = Mapping[str, Json]


class Known:
    """Parameters and outputs by name; filled as steps end.

    ``read`` gives the typed JSON that a ``json`` artifact holds; ``ingest`` gives the artifact of a source file or
    folder that the author named by its path.
    """

    def __init__(
        self,
        nodes: Mapping[str, Node],
        params: Mapping[str, Json],
        *,
        read: Callable[[Document], Json],
        ingest: Callable[[Mapping[str, Json]], Document],
    ) -> None:
        self._nodes = nodes
        self._params = params
        self._read = read
        self._ingest = ingest
        #: Step → output → artifact document.
        self.outputs: dict[str, Mapping[str, Document]] = {}
        #: Map → its elements' steps, once it is known how many there are.
        self.elements: dict[str, Sequence[str]] = {}
        self._lists: dict[int, Sequence[Tree]] = {}

    def tree(self, expr: Expr) -> Tree:
        """Return the input tree of an expression whose parts are all known."""
        match expr:
            case Const(value):
                return self._lift(value)
            case Param(name, path):
                return self._lift(pick_value(self._params[name], path))
            case Out(step, output, ()):
                return {"artifact": dict(self.outputs[step][output])}
            case Gather(step, ()):
                return {"list": [self.whole(element) for element in self.elements[step]]}
            case Seq(kind, items):
                return _joined(kind, [self.tree(item) for item in items])
            case Dict(items):
                return _joined_fields("dict", None, {key: self.tree(item) for key, item in items.items()})
            case Data(type_, fields, _):
                return _joined_fields("data", type_, {key: self.tree(item) for key, item in fields.items()})
            case Gather(step, path):
                return self._gathered(step, path)
            case Either(condition, then, otherwise):
                return self.tree(then if self.verdict(condition) else otherwise)
            case _:
                return {"value": self.value(expr)}

    def has(self, expr: Expr) -> bool:
        """Tell whether every value that an expression takes is known."""
        if isinstance(expr, Either):
            if expr.condition not in self.outputs:
                return False
            return self.has(expr.then if self.verdict(expr.condition) else expr.otherwise)
        if isinstance(expr, Gather):
            return all(element in self.outputs for element in self.elements.get(expr.step, [""]))
        if isinstance(expr, Out):
            return expr.step in self.outputs
        return all(map(self.has, parts(expr)))

    def whole(self, step: str) -> Tree:
        """Return the tree of everything that one step, or one element of a map, gave."""
        node = self._nodes[step.partition("[")[0]]
        outputs: dict[str, Json] = {name: {"artifact": dict(doc)} for name, doc in self.outputs[step].items()}
        if node.whole == "tuple":
            return {"tuple": list(outputs.values())}
        if node.whole is not None:
            return {"data": {"type": node.whole, "fields": outputs}}
        return cast("Tree", outputs[RESULT]) if outputs else {"value": None}

    def value(self, expr: Expr) -> Json:
        """Return the typed JSON of an expression; artifacts that it needs are read."""
        return evaluate(expr, self._look_up)

    def verdict(self, condition: str) -> bool:
        """Return how a condition came out."""
        return is_true(self._read(self.outputs[condition][RESULT]))

    def parameter(self, name: str) -> Json:
        """Return the typed JSON of a parameter."""
        return self._params[name]

    def _look_up(self, leaf: Leaf) -> Json:
        match leaf:
            case Param(name, _):
                return self._params[name]
            case Out(step, output, _):
                return self._read(self.outputs[step][output])
            case Gather(step, _):
                return [self.plain(self.whole(element)) for element in self.elements[step]]

    def plain(self, tree: Json) -> Json:
        """Return a tree as one typed JSON value; artifacts are read."""
        match tree:
            case {"value": value}:
                return value
            case {"artifact": dict(document)}:
                return self._read(document)
            case {"list": list(items)}:
                return [self.plain(item) for item in items]
            case {"tuple": list(items)}:
                return {"$": "tuple", "v": [self.plain(item) for item in items]}
            case {"dict": dict(items)}:
                return {key: self.plain(item) for key, item in items.items()}
            case {"data": {"type": kind, "fields": dict(fields)}}:
                return {"$": "data", "t": kind, "v": {key: self.plain(item) for key, item in fields.items()}}
            case _:
                raise TypeError(f"not an input tree: {tree!r}")

    def _gathered(self, step: str, path: tuple[str | int, ...]) -> Tree:
        element = self.elements[step][cast("int", path[0])]
        if len(path) == 1:
            return self.whole(element)
        if path[1] in self.outputs[element]:
            return self.tree(Out(element, str(path[1]), path[2:]))
        return self.tree(Out(element, RESULT, path[1:]))

    def count(self, expr: Expr) -> int:
        """Return how many elements a list has that a map runs over."""
        match expr:
            case Gather(step, ()):
                return len(self.elements[step])
            case Seq(_, items):
                return len(items)
            case _:
                return len(self._items(expr))

    def item(self, expr: Expr, place: int) -> Tree:
        """Return the tree of one element of such a list; the others need not be known yet."""
        match expr:
            case Gather(step, ()):
                return self.whole(self.elements[step][place])
            case Seq(_, items):
                return self.tree(items[place])
            case _:
                return self._items(expr)[place]

    def _items(self, expr: Expr) -> Sequence[Tree]:
        if id(expr) not in self._lists:
            match self.tree(expr):
                case {"list": list(items)} | {"tuple": list(items)}:
                    self._lists[id(expr)] = cast("list[Tree]", items)
                case tree:
                    self._lists[id(expr)] = [{"value": item} for item in _sequence(self.plain(tree))]
        return self._lists[id(expr)]

    def _lift(self, value: Json) -> Tree:
        """Turn typed JSON into a tree, in which sources named by their path become artifacts."""
        if not _names_source(value):
            return {"value": value}
        match value:
            case {"$": "file" | "dir"}:
                return {"artifact": dict(self._ingest(cast("Mapping[str, Json]", value)))}
            case list(items):
                return {"list": [self._lift(item) for item in items]}
            case {"$": "tuple", "v": list(items)}:
                return {"tuple": [self._lift(item) for item in items]}
            case {"$": "data" | "named", "t": kind, "v": dict(fields)}:
                return {"data": {"type": kind, "fields": {key: self._lift(item) for key, item in fields.items()}}}
            case dict(items) if "$" not in items:
                return {"dict": {key: self._lift(item) for key, item in items.items()}}
            case _:
                raise TypeError("a file or folder cannot stand inside a set or as a dictionary's key")


def _names_source(value: Json) -> bool:
    if isinstance(value, list):
        return any(map(_names_source, value))
    if not isinstance(value, dict):
        return False
    if value.get("$") in ("file", "dir"):
        return "path" in value
    return any(map(_names_source, value.values()))


def _sequence(value: Json) -> Sequence[Json]:
    if isinstance(value, dict) and value.get("$") in ("tuple", "set", "frozenset"):
        value = value["v"]
    if not isinstance(value, list):
        raise TypeError("over(...) takes a list")
    return value


def _joined(kind: str, items: list[Tree]) -> Tree:
    if all("value" in item for item in items):
        values = [item["value"] for item in items]
        return {"value": values if kind == "list" else {"$": "tuple", "v": values}}
    return {kind: cast("Json", items)}


def _joined_fields(kind: str, type_: str | None, fields: dict[str, Tree]) -> Tree:
    if type_ is not None:
        return {"data": {"type": type_, "fields": cast("Json", fields)}}
    if all("value" in item for item in fields.values()) and not any(key.startswith("$") for key in fields):
        return {"value": {key: item["value"] for key, item in fields.items()}}
    return {kind: cast("Json", fields)}
