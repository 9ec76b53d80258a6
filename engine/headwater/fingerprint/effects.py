"""What importing a module does beyond defining names."""

from __future__ import annotations

import ast
import logging
import sys
import types
from collections import deque
from typing import TYPE_CHECKING

from headwater.fingerprint.distributions import ENGINE, is_standard
from headwater.fingerprint.objects import given, is_engine
from headwater.fingerprint.reading import add_reads, note_reads, reads_of
from headwater.fingerprint.resolve import add_form
from headwater.fingerprint.scopes import DEFS
from headwater.fingerprint.syntax import dotted, last_name
from headwater.fingerprint.trees import bound_names, is_declaration, is_main_guard, module_statements
from headwater.fingerprint.walk import Context, Module, absolute

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from headwater.fingerprint.merkle import Node
    from headwater.fingerprint.scopes import DefNode
    from headwater.fingerprint.trees import SourceTree
    from headwater.fingerprint.walk import Walk

_CONTAINERS = (list, dict, set, deque)
_INERT_ROOTS = frozenset({"print", "logging", "warnings", "faulthandler", "pprint", "structlog", "typing", "rich"})
_INERT = ("sys.path.", "sys.stdout.", "sys.stderr.", "sys.setrecursionlimit", "sys.dont_write_bytecode")


def build_effect(walk: Walk, node: Node, module: Module) -> None:
    """Fill in the piece of what importing a module does."""
    for source in module.sources:
        tree = source.tree
        statements = effects_of(tree, module.globals) if tree else []
        if tree is not None and statements:
            node.line = node.line or statements[0].lineno
            add_form(walk, node, tree.statements(statements), Context(module, source=source))
            reads = reads_of(walk, module, source, statements)
            note_reads(walk, module, "import", reads)
            add_reads(walk, node, reads)


def effects_of(tree: SourceTree, scope: Mapping[str, object]) -> list[ast.stmt]:
    """Return the module-level statements that do something beyond defining names."""
    return [statement for statement in tree.tree.body if _acts(statement, scope)]


def attributed(tree: SourceTree, scope: Mapping[str, object]) -> dict[str, list[ast.stmt]]:
    """Return the module-level statements that only fill one of the module's own containers, by its name."""
    found: dict[str, list[ast.stmt]] = {}
    for statement in tree.tree.body:
        inner = [] if is_main_guard(statement) else list(module_statements([statement]))
        for name in {name for s in inner if (name := _filled(s, scope)) is not None}:
            found.setdefault(name, []).append(statement)
    return found


def _acts(statement: ast.stmt, scope: Mapping[str, object]) -> bool:
    if is_declaration(statement):
        return isinstance(statement, DEFS) and _is_registered(statement, scope)
    inner = list(module_statements([statement]))
    if len(inner) > 1 or not isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign | ast.Expr):
        return any(_acts(s, scope) for s in inner if s is not statement and not _is_block(s))
    if isinstance(statement, ast.Expr):
        return _filled(statement, scope) is None and not _is_inert(statement.value, scope)
    targets = _targets(statement)
    if all(isinstance(target, ast.Name | ast.Tuple | ast.List | ast.Starred) for target in targets):
        names = bound_names(statement)
        return names == {"_"} and isinstance(statement.value, ast.Call)
    return _filled(statement, scope) is None and not _is_path(targets)


def _is_registered(node: DefNode, scope: Mapping[str, object]) -> bool:
    """Tell whether a decorator hands a definition to a foreign registry, as ``@library.register_thing`` does."""
    for decorator in node.decorator_list:
        place = dotted(decorator.func if isinstance(decorator, ast.Call) else decorator)
        value = scope.get(place[0].id) if place else None
        is_foreign = isinstance(value, types.ModuleType) and vars(value).get("__file__") is not None
        if is_foreign and last_name(decorator).startswith("register"):
            return True
    return False


def _is_block(statement: ast.stmt) -> bool:
    return hasattr(statement, "body") or isinstance(statement, ast.Match)


def _targets(statement: ast.Assign | ast.AnnAssign | ast.AugAssign) -> list[ast.expr]:
    return statement.targets if isinstance(statement, ast.Assign) else [statement.target]


def _is_path(targets: list[ast.expr]) -> bool:
    texts = [ast.unparse(target) for target in targets]
    return all(text.startswith("sys.path") for text in texts)


def _filled(statement: ast.stmt, scope: Mapping[str, object]) -> str | None:
    """Return the module's own container that a statement only fills; None for any other statement."""
    match statement:
        case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id=name)))):
            pass
        case ast.Assign(targets=[ast.Subscript(value=ast.Name(id=name))]):
            pass
        case ast.AugAssign(target=ast.Subscript(value=ast.Name(id=name))):
            pass
        case _:
            return None
    return name if isinstance(scope.get(name), _CONTAINERS) else None


def _is_inert(node: ast.expr, scope: Mapping[str, object]) -> bool:
    if not isinstance(node, ast.Call):
        return isinstance(node, ast.Constant | ast.Name | ast.Attribute)
    place = dotted(node.func)
    if place is None:
        return False
    root, text = place[0].id, ".".join([place[0].id, *place[1]])
    value = scope.get(root)
    if isinstance(value, logging.Logger) or (value is not None and is_engine(value)):
        return True
    if isinstance(value, types.ModuleType):
        text = ".".join([value.__name__, *place[1]])
        return text.partition(".")[0] in (_INERT_ROOTS | {ENGINE}) or text.startswith(_INERT)
    home = given(value, "__module__") if value is not None else "builtins"
    return root == "print" or str(home).partition(".")[0] in (_INERT_ROOTS | {ENGINE})


def modules_imported(walk: Walk, module: Module) -> Iterator[Module]:
    """Yield the loaded project modules that a module imports at its own level, with the packages around them."""
    for tree in module.trees:
        for several in tree.imports.values():
            for imported in several:
                yield from _loaded(walk, module, imported.loads if not imported.level else None, imported)


def _loaded(walk: Walk, module: Module, loads: str | None, imported: object) -> Iterator[Module]:
    from headwater.fingerprint.scopes import Import  # noqa: PLC0415

    if not isinstance(imported, Import):
        return
    name = absolute(imported, module.globals)
    full = [loads or name, f"{name}.{imported.name}" if imported.name else name]
    for path in full:
        parts = path.split(".")
        for length in range(1, len(parts) + 1):
            loaded = sys.modules.get(".".join(parts[:length]))
            live = walk.live_module(loaded) if isinstance(loaded, types.ModuleType) else None
            if live is not None:
                yield live


def note_unused_imports(walk: Walk, module: Module) -> None:
    """Note foreign modules that are imported and never mentioned: they are imported for what that does."""
    for tree in module.trees:
        for name, several in tree.imports.items():
            for imported in several:
                path = imported.loads
                is_foreign = not imported.level and imported.name is None and not is_standard(path)
                if is_foreign and name not in tree.identifiers and walk.project.module_path(path) is None:
                    walk.external(path)
