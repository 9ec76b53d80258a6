"""Which module-level names functions change at run time, read from the trees of the whole project (pure)."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from headwater.fingerprint.scopes import FUNCTIONS, Import, Scope, import_of, owner_of
from headwater.fingerprint.syntax import dotted

if TYPE_CHECKING:
    from headwater.fingerprint.trees import SourceTree

#: Methods that change a container in place.
MUTATORS = frozenset(
    "append appendleft extend extendleft insert pop popleft popitem remove clear update setdefault add discard sort "  # noqa: SIM905  one word a line would hide them
    "reverse rotate subtract move_to_end intersection_update difference_update symmetric_difference_update "
    "__setitem__ __delitem__ seek write".split()
)


@dataclass(frozen=True, slots=True)
class Change:
    """One place in a function that changes something reached from a module-level name."""

    root: str
    chain: tuple[str, ...]
    #: Set where the function itself imports the root.
    imported: Import | None
    #: The outermost function or method around it.
    function: ast.AST
    is_rebinding: bool


@dataclass(slots=True)
class Changes:
    """All such places in one source."""

    by_root: dict[str, list[Change]] = field(default_factory=dict[str, list[Change]])
    #: Names of attributes that functions, but for initialisers, change on anything.
    attributes: set[str] = field(default_factory=set[str])


_FOUND: dict[str, Changes] = {}


def changes_in(tree: SourceTree) -> Changes:
    """Return what the functions of a source change, worked out once per source."""
    if tree.digest not in _FOUND:
        found = Changes()
        for top in tree.tree.body:
            scopes = tree.scopes(top)
            _Finder(scopes, found, Scope(tree.tree, "module", None)).visit(top)
        _FOUND[tree.digest] = found
    return _FOUND[tree.digest]


class _Finder(ast.NodeVisitor):
    def __init__(self, scopes: dict[ast.AST, Scope], found: Changes, outer: Scope) -> None:
        self.scopes = scopes
        self.found = found
        self.scope = outer
        self.function: ast.AST | None = None

    def _scoped(self, node: ast.AST) -> None:
        outer, function = self.scope, self.function
        self.scope = self.scopes.get(node, outer)
        if self.function is None and isinstance(node, FUNCTIONS):
            self.function = node
        self.generic_visit(node)
        self.scope, self.function = outer, function

    visit_FunctionDef = visit_AsyncFunctionDef = visit_Lambda = visit_ClassDef = _scoped
    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = _scoped

    def _note(self, target: ast.expr, *, is_rebinding: bool) -> None:
        if self.function is None:
            return
        while isinstance(target, ast.Subscript):
            target = target.value
        place = dotted(target)
        if place is None:
            return
        name, chain = place[0].id, place[1]
        owner = owner_of(self.scope, name)
        imported = import_of(owner, name) if owner is not None else None
        if owner is not None and imported is None:
            return
        change = Change(name, chain, imported, self.function, is_rebinding)
        self.found.by_root.setdefault(name, []).append(change)

    def _note_attribute(self, node: ast.expr) -> None:
        if self.function is not None and isinstance(node, ast.Attribute):
            self.found.attributes.add(node.attr)

    def _is_initialiser(self) -> bool:
        return getattr(self.function, "name", "") in ("__init__", "__post_init__", "__new__", "__setstate__")

    def visit_Name(self, node: ast.Name) -> None:
        if not isinstance(node.ctx, ast.Load):
            self._note(node, is_rebinding=True)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if not isinstance(node.ctx, ast.Load):
            if not (isinstance(node.value, ast.Name) and node.value.id == "self" and self._is_initialiser()):
                self._note_attribute(node)
            self._note(node, is_rebinding=True)
        self.generic_visit(node)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        if not isinstance(node.ctx, ast.Load):
            self._note_attribute(node.value)
            self._note(node.value, is_rebinding=False)
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        if isinstance(node.func, ast.Attribute) and node.func.attr in MUTATORS:
            self._note_attribute(node.func.value)
            self._note(node.func.value, is_rebinding=False)
        self.generic_visit(node)

    def _import(self, node: ast.Import | ast.ImportFrom) -> None:
        """A function that imports a name it declares global rebinds it."""
        if self.function is None:
            return
        for alias in node.names:
            name = alias.asname or alias.name.partition(".")[0]
            if owner_of(self.scope, name) is None and self.scope.kind == "function":
                change = Change(name, (), None, self.function, is_rebinding=True)
                self.found.by_root.setdefault(name, []).append(change)

    visit_Import = visit_ImportFrom = _import
