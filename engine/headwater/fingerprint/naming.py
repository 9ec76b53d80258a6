"""Module-level names: by value where that is plain and nothing changes it, else by what defines them."""

from __future__ import annotations

import ast
import types
from typing import TYPE_CHECKING

from headwater.fingerprint.changing import changers, is_attribute_changed
from headwater.fingerprint.effects import attributed
from headwater.fingerprint.objects import attributes_of, class_target, is_own, own_code_in, plain_items, value_text
from headwater.fingerprint.reading import add_reads, note_reads, reads_of_name
from headwater.fingerprint.resolve import add_form
from headwater.fingerprint.scopes import DEFS, Import
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
    reads = reads_of_name(walk, module, name)
    note_reads(walk, module, name, reads)
    if value is not MISSING and not changes and not reads.is_changing:
        items = plain_items(walk, value)
        if items is not None:
            node.items = items
            node.shown = value_text(walk, name, value)
            node.inline = items[0] if len(items) == 1 and isinstance(items[0], str) else None
            return
    if not places and not changes and value is not MISSING:
        node.items.append(walk.whole(module, f"it is not seen where {name} is bound"))
    _by_expression(walk, node, module, name)
    add_reads(walk, node, reads)
    if value is not MISSING:
        _add_object(walk, node, module, value, is_changing=reads.is_changing)
    _add_changers(walk, node, name, changes)


def _by_expression(walk: Walk, node: Node, module: Module, name: str) -> None:
    """Append the statements that define a name."""
    node.items.append("defined:")
    done: set[ast.AST] = set()
    for source, statement in places_of(module, name):
        tree = source.tree
        top = tree.top_at(statement.lineno) if tree else None
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
                add_form(walk, node, tree.statements([whole]), Context(module, source=source))
    for source in module.sources:
        tree = source.tree
        if tree is not None:
            for statement in attributed(tree, module.globals).get(name, []):
                add_form(walk, node, tree.statements([statement]), Context(module, source=source))


def _add_object(walk: Walk, node: Node, module: Module, value: object, *, is_changing: bool) -> None:
    """Append what the object itself shows: its class, code that it holds, and what it was made with."""
    node.items += own_code_in(walk, value)
    if isinstance(value, types.ModuleType) or is_own(walk, value):
        return
    cls = type(value)
    node.items.append(class_target(walk, cls))
    if is_changing or walk.module_of_class(cls) is None:
        return
    for name, inner in attributes_of(value).items():
        items = None if is_attribute_changed(walk, module, name) else plain_items(walk, inner)
        node.items += [f".{name}", *items] if items else []


def _import_texts(module: Module, imports: list[Import]) -> list[str | Node]:
    return [f"import:{absolute(i, module.globals)}.{i.name or ''}" for i in imports]


def _add_changers(walk: Walk, node: Node, name: str, changes: list[tuple[Source, Change]]) -> None:
    """Take in the functions that change a name at run time."""
    found: dict[Node, None] = {}
    for source, change in changes:
        tree, home = source.tree, walk.module_of_source(source)
        definition = tree.by_node.get(change.function) if tree else None
        if home is not None:
            piece = walk.defined(home, source, definition) if definition else None
            found[piece or walk.whole(home, f"a lambda changes {name}")] = None
    node.loose += found
