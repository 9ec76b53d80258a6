"""Which name belongs to which scope, read from a syntax tree alone (pure)."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

FunctionNode: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
DefNode: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
Comprehension: TypeAlias = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
DEFS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)

#: Names of builtins that can see the names of local variables.
SEES_LOCALS = frozenset({"locals", "vars", "eval", "exec", "dir"})


@dataclass(frozen=True, slots=True)
class Import:
    """What an import binds: a module, or a name in a module."""

    module: str
    name: str | None
    level: int
    #: The module that is loaded by it: ``a.b`` for ``import a.b``, which binds ``a``.
    loads: str


@dataclass(slots=True, eq=False)
class Scope:
    """One scope: the names it binds, and where it lies."""

    node: ast.AST
    kind: Literal["module", "function", "class", "comprehension"]
    parent: Scope | None
    #: Name → how many statements bind it.
    bound: dict[str, int] = field(default_factory=dict[str, int])
    parameters: set[str] = field(default_factory=set[str])
    #: Names of nested functions and classes.
    definitions: set[str] = field(default_factory=set[str])
    imports: dict[str, Import] = field(default_factory=dict[str, Import])
    globals: set[str] = field(default_factory=set[str])
    nonlocals: set[str] = field(default_factory=set[str])
    #: Something in it, or in a scope inside it, may look at local names.
    is_rigid: bool = False

    def bind(self, name: str) -> None:
        """Count one more binding of a name."""
        self.bound[name] = self.bound.get(name, 0) + 1


def owner_of(scope: Scope, name: str) -> Scope | None:
    """Return the scope that a name used in ``scope`` belongs to; None for a global name."""
    here: Scope | None = scope
    while here is not None and here.kind != "module":
        visible = here.kind != "class" or here is scope
        if visible and name in here.globals:
            return None
        if visible and name in here.bound and name not in here.nonlocals:
            return here
        here = here.parent
    return None


def import_of(scope: Scope, name: str) -> Import | None:
    """Return what a local name was imported from, when that is its only binding."""
    return scope.imports.get(name) if scope.bound.get(name) == 1 else None


def imports_in(node: ast.Import | ast.ImportFrom) -> list[tuple[str, Import]]:
    """Return the names that an import statement binds, and to what; ``*`` for a star import."""
    found: list[tuple[str, Import]] = []
    for alias in node.names:
        if isinstance(node, ast.ImportFrom):
            module = node.module or ""
            found.append((alias.asname or alias.name, Import(module, alias.name, node.level, module)))
        elif alias.asname:
            found.append((alias.asname, Import(alias.name, None, 0, alias.name)))
        else:
            top = alias.name.partition(".")[0]
            found.append((top, Import(top, None, 0, alias.name)))
    return found


def scopes_in(top: ast.AST) -> dict[ast.AST, Scope]:
    """Return the scopes of a module-level statement (or a whole module) by their nodes; the module's is under ``top``.

    Names bound at the module's own level are global, so they are not collected.
    """
    builder = _Builder(Scope(top, "module", None))
    if isinstance(top, ast.Module):
        for statement in top.body:
            builder.visit(statement)
    else:
        builder.visit(top)
    found = builder.found
    found[top] = found.get(top) or builder.scope
    return found


class _Builder(ast.NodeVisitor):
    def __init__(self, root: Scope) -> None:
        self.scope = root
        self.found: dict[ast.AST, Scope] = {}

    def _within(self, node: ast.AST, kind: Literal["function", "class", "comprehension"]) -> Scope:
        scope = Scope(node, kind, self.scope)
        self.found[node] = scope
        return scope

    def _bind(self, name: str) -> None:
        self.scope.bind(name)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self._bind(node.name)
        self.scope.definitions.add(node.name)
        for decorator in node.decorator_list:
            self.visit(decorator)
        self._function(node, node.body)

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._function(node, [node.body])

    def _function(self, node: FunctionNode, body: list[ast.stmt] | list[ast.expr]) -> None:
        arguments = node.args
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        every += [a for a in (arguments.vararg, arguments.kwarg) if a is not None]
        for default in [*arguments.defaults, *[d for d in arguments.kw_defaults if d is not None]]:
            self.visit(default)
        annotations = [a.annotation for a in every if a.annotation is not None]
        returns = getattr(node, "returns", None)
        for annotation in [*annotations, *([returns] if returns is not None else [])]:
            self.visit(annotation)
        outer, self.scope = self.scope, self._within(node, "function")
        for argument in every:
            self._bind(argument.arg)
            self.scope.parameters.add(argument.arg)
        for statement in body:
            self.visit(statement)
        self._leave(outer)

    def _leave(self, outer: Scope) -> None:
        outer.is_rigid = outer.is_rigid or self.scope.is_rigid
        self.scope = outer

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._bind(node.name)
        self.scope.definitions.add(node.name)
        for part in [*node.decorator_list, *node.bases, *[k.value for k in node.keywords]]:
            self.visit(part)
        outer, self.scope = self.scope, self._within(node, "class")
        for statement in node.body:
            self.visit(statement)
        self._leave(outer)

    def _comprehension(self, node: Comprehension) -> None:
        first = node.generators[0]
        self.visit(first.iter)
        outer, self.scope = self.scope, self._within(node, "comprehension")
        for number, generator in enumerate(node.generators):
            self.visit(generator.target)
            if number:
                self.visit(generator.iter)
            for condition in generator.ifs:
                self.visit(condition)
        if isinstance(node, ast.DictComp):
            self.visit(node.key)
            self.visit(node.value)
        else:
            self.visit(node.elt)
        self._leave(outer)

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = _comprehension

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        inner, home = self.scope, self.scope
        while home.kind == "comprehension" and home.parent is not None:
            home = home.parent
        home.bind(node.target.id)
        self.scope = inner
        self.visit(node.value)

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Load):
            self.scope.is_rigid = self.scope.is_rigid or node.id in SEES_LOCALS
        else:
            self._bind(node.id)

    def visit_Global(self, node: ast.Global) -> None:
        self.scope.globals.update(node.names)

    def visit_Nonlocal(self, node: ast.Nonlocal) -> None:
        self.scope.nonlocals.update(node.names)

    def _import(self, node: ast.Import | ast.ImportFrom) -> None:
        for name, target in imports_in(node):
            self._bind(name)
            self.scope.imports[name] = target

    visit_Import = visit_ImportFrom = _import

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        if node.name:
            self._bind(node.name)
        self.generic_visit(node)

    def visit_MatchAs(self, node: ast.MatchAs) -> None:
        if node.name:
            self._bind(node.name)
        self.generic_visit(node)

    def visit_MatchStar(self, node: ast.MatchStar) -> None:
        if node.name:
            self._bind(node.name)

    def visit_MatchMapping(self, node: ast.MatchMapping) -> None:
        if node.rest:
            self._bind(node.rest)
        self.generic_visit(node)
