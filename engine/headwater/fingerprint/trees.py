"""Syntax trees of sources and what stands where in them (pure; each source is parsed once per process)."""

from __future__ import annotations

import ast
from bisect import bisect_right
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from headwater.digest import digest_bytes
from headwater.fingerprint.forms import (
    ClassForm,
    FunctionForm,
    form_of,
    form_of_class,
    form_of_function,
)
from headwater.fingerprint.scopes import DEFS, FUNCTIONS, FunctionNode, Import, Scope, imports_in, scopes_in
from headwater.fingerprint.syntax import is_idle, is_type_checking
from headwater.fingerprint.writing import Form

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import CodeType


#: Statements that hold other statements of the same scope.
_BLOCKS = (ast.If, ast.Try, ast.TryStar, ast.With, ast.AsyncWith, ast.For, ast.AsyncFor, ast.While, ast.Match)


@dataclass(frozen=True, slots=True, eq=False)
class Definition:
    """A function or class in a source, with what encloses it."""

    node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda
    qualname: str
    #: The enclosing functions and classes, outermost first.
    outer: tuple[ast.AST, ...]
    #: The module-level statement it lies in.
    top: ast.stmt


@dataclass(eq=False)
class SourceTree:
    """One parsed source and indexes over it, each made when first asked for."""

    digest: str
    tree: ast.Module
    _scopes: dict[ast.AST, dict[ast.AST, Scope]] = field(default_factory=dict[ast.AST, dict[ast.AST, Scope]])
    _functions: dict[ast.AST, FunctionForm] = field(default_factory=dict[ast.AST, FunctionForm])
    _classes: dict[ast.AST, ClassForm] = field(default_factory=dict[ast.AST, ClassForm])
    _statements: dict[tuple[ast.AST, ...], Form] = field(default_factory=dict[tuple[ast.AST, ...], Form])
    _lambdas: dict[ast.stmt, list[Definition]] = field(default_factory=dict[ast.stmt, list[Definition]])

    @cached_property
    def definitions(self) -> dict[str, list[Definition]]:
        """Functions and classes by qualified name (lambdas are found by line)."""
        found: dict[str, list[Definition]] = {}
        for top in self.tree.body:
            for definition in _definitions([top], (), "", top):
                found.setdefault(definition.qualname, []).append(definition)
        return found

    @cached_property
    def by_node(self) -> dict[ast.AST, Definition]:
        """Functions and classes by their nodes."""
        return {d.node: d for several in self.definitions.values() for d in several}

    @cached_property
    def bindings(self) -> dict[str, list[ast.stmt]]:
        """Module-level name → the statements that bind it, outermost simple statement each."""
        found: dict[str, list[ast.stmt]] = {}
        for statement in module_statements(self.tree.body):
            for name in bound_names(statement):
                found.setdefault(name, []).append(statement)
        return found

    @cached_property
    def imports(self) -> dict[str, list[Import]]:
        """Module-level name → what it is imported from; ``*`` → the star imports."""
        found: dict[str, list[Import]] = {}
        for statement in module_statements(self.tree.body):
            if isinstance(statement, ast.Import | ast.ImportFrom):
                for name, target in imports_in(statement):
                    found.setdefault(name, []).append(target)
        return found

    @cached_property
    def identifiers(self) -> frozenset[str]:
        """Every name that the source uses as a name or attribute."""
        found: set[str] = set()
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Name):
                found.add(node.id)
            elif isinstance(node, ast.Attribute):
                found.add(node.attr)
            elif isinstance(node, ast.Global):
                found.update(node.names)
        return frozenset(found)

    def scopes(self, top: ast.AST) -> dict[ast.AST, Scope]:
        """Return the scopes in a module-level statement."""
        if top not in self._scopes:
            self._scopes[top] = scopes_in(top)
        return self._scopes[top]

    def function(self, definition: Definition) -> FunctionForm:
        """Return the form of a function."""
        node = definition.node
        if node not in self._functions and not isinstance(node, ast.ClassDef):
            self._functions[node] = form_of_function(node, self.scopes(definition.top))
        return self._functions[node]

    def klass(self, definition: Definition) -> ClassForm:
        """Return the form of a class."""
        node = definition.node
        if node not in self._classes and isinstance(node, ast.ClassDef):
            self._classes[node] = form_of_class(node, self.scopes(definition.top))
        return self._classes[node]

    def statements(self, nodes: Iterable[ast.AST]) -> Form:
        """Return the form of module-level statements or expressions in them."""
        key = tuple(nodes)
        if key not in self._statements:
            scopes: dict[ast.AST, Scope] = {}
            for node in key:
                scopes |= self.scopes(node)
            self._statements[key] = form_of(key, scopes, Scope(self.tree, "module", None))
        return self._statements[key]

    @cached_property
    def whole(self) -> Form:
        """The form of everything in the source."""
        return form_of(self.tree.body, scopes_in(self.tree), Scope(self.tree, "module", None))

    def code_definitions(self, code: CodeType) -> list[Definition]:
        """Return the definitions that a code object can have come from; one, unless lambdas share a line."""
        if code.co_name == "<lambda>":
            return self._lambdas_of(code)
        named = self.definitions.get(code.co_qualname, [])
        return [d for d in named if first_line(d.node) == code.co_firstlineno and not isinstance(d.node, ast.ClassDef)]

    def _lambdas_of(self, code: CodeType) -> list[Definition]:
        top = self.top_at(code.co_firstlineno)
        if top is None:
            return []
        if top not in self._lambdas:
            self._lambdas[top] = list(_lambdas(top))
        found = [d for d in self._lambdas[top] if d.node.lineno == code.co_firstlineno]
        if len(found) < 2:
            return found
        same = [d for d in found if _is_inside(code, d.node)]
        return same or found

    def top_at(self, line: int) -> ast.stmt | None:
        """Return the module-level statement at a line."""
        place = bisect_right(self._starts, line) - 1
        return self.tree.body[place] if place >= 0 else None

    @cached_property
    def _starts(self) -> list[int]:
        return [first_line(statement) for statement in self.tree.body]


_PARSED: dict[str, SourceTree | None] = {}


def parse(data: bytes, digest: str | None = None) -> SourceTree | None:
    """Return the tree of a source, parsed once per process for the same bytes; None for a syntax error."""
    digest = digest or digest_bytes(data)
    if digest not in _PARSED:
        try:
            _PARSED[digest] = SourceTree(digest, ast.parse(data))
        except (SyntaxError, ValueError, RecursionError):
            _PARSED[digest] = None
    return _PARSED[digest]


def first_line(node: ast.AST) -> int:
    """Return the line a definition starts at, as its code object counts: that of the first decorator."""
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    line: int = getattr(node, "lineno", 0)
    return decorators[0].lineno if decorators else line


def _definitions(
    statements: Iterable[ast.AST], outer: tuple[ast.AST, ...], prefix: str, top: ast.stmt
) -> Iterator[Definition]:
    for node in statements:
        if isinstance(node, DEFS):
            qualname = prefix + node.name
            yield Definition(node, qualname, outer, top)
            inner = qualname + ("." if isinstance(node, ast.ClassDef) else ".<locals>.")
            yield from _definitions(node.body, (*outer, node), inner, top)
        elif isinstance(node, _BLOCKS):
            yield from _definitions(_blocks(node), outer, prefix, top)


def _blocks(node: ast.AST) -> Iterator[ast.stmt]:
    """Yield the statements directly inside a compound statement."""
    for name in ("body", "handlers", "orelse", "finalbody", "cases"):
        inner: list[ast.AST] = getattr(node, name, [])
        for item in inner:
            if isinstance(item, ast.ExceptHandler | ast.match_case):
                yield from item.body
            elif isinstance(item, ast.stmt):
                yield item


def _lambdas(top: ast.stmt) -> Iterator[Definition]:
    stack: list[tuple[ast.AST, tuple[ast.AST, ...]]] = [(top, ())]
    while stack:
        node, outer = stack.pop()
        if isinstance(node, ast.Lambda):
            yield Definition(node, "<lambda>", outer, top)
        within = (*outer, node) if isinstance(node, (*FUNCTIONS, ast.ClassDef)) else outer
        stack += [(child, within) for child in ast.iter_child_nodes(node)]


def _is_inside(code: CodeType, node: FunctionNode | ast.AST) -> bool:
    """Tell whether a code object's columns lie in a lambda, and not merely in one around it."""
    spans = [(top, left, end, right) for top, end, left, right in code.co_positions() if right is not None]
    body = getattr(node, "body", None)
    if not spans or not isinstance(body, ast.expr):
        return False
    spans = [s for s in spans if s[0] != s[2] or s[1] != s[3]]
    start, end = min((s[0], s[1]) for s in spans), max((s[2], s[3]) for s in spans)
    return start == (body.lineno, body.col_offset) and end == (body.end_lineno, body.end_col_offset)


def module_statements(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield a module's own statements, those within ``if``, ``try``, ``with`` and loops included."""
    for statement in body:
        if is_type_checking(statement):
            yield from module_statements(statement.orelse if isinstance(statement, ast.If) else [])
            continue
        yield statement
        if isinstance(statement, _BLOCKS):
            yield from module_statements(_blocks(statement))


def bound_names(statement: ast.stmt) -> set[str]:
    """Return the names that a statement binds by itself, apart from the statements inside it."""
    if isinstance(statement, DEFS):
        return {statement.name}
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return {name for name, _ in imports_in(statement)}
    found: set[str] = set()
    stack: list[ast.AST] = [statement]
    while stack:
        node = stack.pop()
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            found.add(node.id)
        elif (isinstance(node, ast.MatchAs | ast.MatchStar) and node.name) or (
            isinstance(node, ast.ExceptHandler) and node.name
        ):
            found.add(node.name)
        inner = ast.iter_child_nodes(node)
        skipped = (*FUNCTIONS, ast.ClassDef, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
        stack += [c for c in inner if not isinstance(c, (ast.stmt, *skipped)) or isinstance(c, ast.ExceptHandler)]
    return found


def is_main_guard(statement: ast.stmt) -> bool:
    """Tell whether a statement is ``if __name__ == "__main__":``."""
    match statement:
        case ast.If(test=ast.Compare(left=ast.Name(id="__name__"), ops=[ast.Eq()])):
            return True
        case _:
            return False


def is_declaration(statement: ast.stmt) -> bool:
    """Tell whether a module-level statement only defines, imports or does nothing."""
    kinds = (*DEFS, ast.Import, ast.ImportFrom, ast.Global, ast.Delete, ast.Assert)
    return isinstance(statement, kinds) or is_idle(statement) or is_main_guard(statement) or is_type_checking(statement)
