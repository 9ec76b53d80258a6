"""Module-level names: by value where that is plain and nothing changes it, else by what defines them."""

from __future__ import annotations

import ast
import types
from typing import TYPE_CHECKING

from headwater.fingerprint.changing import changers
from headwater.fingerprint.effects import attributed
from headwater.fingerprint.objects import class_target, is_own, own_code_in, plain_items, value_text
from headwater.fingerprint.resolve import add_form
from headwater.fingerprint.scopes import DEFS, Import
from headwater.fingerprint.volatility import volatile_reads
from headwater.fingerprint.walk import MISSING, Context, Module, absolute, places_of

if TYPE_CHECKING:
    from headwater.fingerprint.merkle import Node
    from headwater.fingerprint.project import Source
    from headwater.fingerprint.state import Change
    from headwater.fingerprint.walk import Walk


def build_name(walk: Walk, node: Node, payload: tuple[Module, str]) -> None:
    """Fill in the piece of a module-level name."""
    module, name = payload
    walk.reach(module)
    value = module.globals.get(name, MISSING)
    places = places_of(module, name)
    node.line = places[-1][1].lineno if places else 0
    changes = changers(walk, module, name)
    volatile = volatile_reads(walk, module, name, set()) if places else set[str]()
    for reading in sorted(volatile):
        walk.note_volatile(module, f"{name} ({reading})")
    node.shown = None
    if value is not MISSING and not changes and "changing" not in volatile:
        items = plain_items(walk, value)
        if items is not None:
            node.items = items
            node.shown = value_text(walk, name, value)
            node.inline = items[0] if len(items) == 1 and isinstance(items[0], str) else None
            return
    _by_expression(walk, node, module, name, value)
    for source, change in changes:
        _add_changer(walk, node, source, change)


def _by_expression(walk: Walk, node: Node, module: Module, name: str, value: object) -> None:
    node.items.append("defined:")
    done: set[ast.AST] = set()
    for source, statement in places_of(module, name):
        tree = source.tree
        top = tree.top_at(statement.lineno) if tree else None
        context = Context(module, source=source, is_import_time=True)
        if tree is None:
            continue
        if isinstance(statement, DEFS):
            definition = tree.by_node.get(statement)
            node.items += [walk.static(module, source, definition)] if definition else []
        elif isinstance(statement, ast.Import | ast.ImportFrom):
            node.items += _import_texts(module, tree.imports.get(name, []))
        else:
            whole = statement if top is None or statement in tree.tree.body else top
            if whole not in done:
                done.add(whole)
                add_form(walk, node, tree.statements([whole]), context)
                _add_files(walk, node, module, whole)
    for source in module.sources:
        tree = source.tree
        for statement in attributed(tree, module.globals).get(name, []) if tree else []:
            add_form(walk, node, tree.statements([statement]), Context(module, source=source, is_import_time=True))  # type: ignore[union-attr]
    if value is MISSING:
        return
    node.items += own_code_in(walk, value)
    if not isinstance(value, types.ModuleType) and not is_own(walk, value):
        node.items.append(class_target(walk, type(value)))


def _import_texts(module: Module, imports: list[Import]) -> list[str | Node]:
    return [f"import:{absolute(i, module.globals)}.{i.name or ''}" for i in imports]


def _add_files(walk: Walk, node: Node, module: Module, statement: ast.stmt) -> None:
    """Take in the content of project files that an import-time expression names, such as a table that is loaded."""
    folder = module.sources[0].path.parent if module.sources and module.sources[0].path else None
    for inner in ast.walk(statement):
        text = inner.value if isinstance(inner, ast.Constant) and isinstance(inner.value, str) else ""
        if not 0 < len(text) < 200 or "\n" in text or "\0" in text:
            continue
        for base in (folder, walk.project.root):
            if base is not None and (base / text).is_file():
                node.items.append(f"file:{walk.project.file_digest(base / text)}")
                break


def _add_changer(walk: Walk, node: Node, source: Source, change: Change) -> None:
    """Take in a function that changes a name at run time."""
    tree = source.tree
    definition = tree.by_node.get(change.function) if tree else None
    home = walk.module_of_source(source)
    if definition is None or home is None:
        return
    node.items.append(walk.defined(home, source, definition))
