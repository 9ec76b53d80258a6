"""Pieces of functions: body, defaults, decorators, closure and attributes."""

from __future__ import annotations

import hashlib
import types
from typing import TYPE_CHECKING

from headwater.fingerprint.changing import is_attribute_changed
from headwater.fingerprint.distributions import ENGINE
from headwater.fingerprint.merkle import Node
from headwater.fingerprint.objects import callable_target, object_target, plain_items, value_text
from headwater.fingerprint.plain import is_mutable
from headwater.fingerprint.resolve import add_form, resolve
from headwater.fingerprint.walk import MISSING, Context, Module

if TYPE_CHECKING:
    from headwater.fingerprint.forms import FunctionForm
    from headwater.fingerprint.project import Source
    from headwater.fingerprint.trees import Definition
    from headwater.fingerprint.walk import Walk
    from headwater.fingerprint.writing import Form


def build_function(walk: Walk, node: Node, function: types.FunctionType) -> None:
    """Fill in the piece of a live function."""
    module = walk.module_of(function.__globals__)
    if module is None:
        return
    walk.reach(module)
    source = source_of(walk, function.__code__, module)
    tree = source.tree if source else None
    found = tree.code_definitions(function.__code__) if tree else []
    if source is None or tree is None or not found:
        _by_code(walk, node, function, module)
        return
    if len(found) > 1:
        walk.widen(f"all lambdas of {source.label}:{node.line} count: they cannot be told apart")
    for definition in found:
        context = Context(module, cells_of(function), source, definition, function)
        _add_function(walk, node, tree.function(definition), context)
    _add_attributes(walk, node, function, module)


def build_static(walk: Walk, node: Node, payload: tuple[Module, Source, Definition]) -> None:
    """Fill in the piece of a function or class of which only the source is known."""
    module, source, definition = payload
    walk.reach(module)
    tree = source.tree
    if tree is None:
        return
    context = Context(module, source=source, definition=definition)
    if definition.qualname in {d.qualname for d in tree.by_node.values()} and _is_class(definition):
        form = tree.klass(definition)
        node.items.append(f"class {form.name}")
        for part in (*form.decorators, form.head, form.body):
            add_form(walk, node, part, context)
        for method in form.methods:
            node.items += [f"method {method.name}", walk.static(module, source, tree.by_node[method])]
    else:
        _add_function(walk, node, tree.function(definition), context)


def source_of(walk: Walk, code: types.CodeType, module: Module) -> Source | None:
    """Return the source that a code object was compiled from."""
    source = walk.project.source(code.co_filename) or walk.project.entered(code.co_filename)
    if source is not None and source.path is None and source not in module.sources and module.is_entered:
        module.sources.append(source)
    return source


def cells_of(function: types.FunctionType) -> dict[str, object]:
    """Return the values that a function has closed over, by name; empty cells are left out."""
    found: dict[str, object] = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            found[name] = cell.cell_contents
        except ValueError:
            continue
    return found


def _is_class(definition: Definition) -> bool:
    return type(definition.node).__name__ == "ClassDef"


def _add_function(walk: Walk, node: Node, form: FunctionForm, context: Context) -> None:
    if "names" in walk.sees:
        qualname = context.definition.qualname if context.definition else form.name
        node.items.append(f"name {context.module.name}.{qualname}")
    if "docs" in walk.sees or not form.is_quiet:
        node.items.append(f"doc {form.doc!r}")
    add_form(walk, node, form.body, context)
    for decorator in form.decorators:
        add_decorator(walk, node, decorator, context)
    for name, default in form.defaults:
        _add_default(walk, node, name, default, context)
    if "annotations" in walk.sees or not form.is_quiet:
        for name, annotation in form.annotations:
            node.items.append(f"annotation {name}")
            add_form(walk, node, annotation, context)


def add_decorator(walk: Walk, node: Node, form: Form, context: Context) -> None:
    """Append a decorator, unless it is one of the engine's own, whose options do not change a result."""
    if form.refs and _is_engine(walk, form, context):
        return
    node.items.append("decorator")
    add_form(walk, node, form, context)


def _is_engine(walk: Walk, form: Form, context: Context) -> bool:
    first = resolve(walk, form.refs[0], context)[0]
    return isinstance(first, str) and first.startswith((f"ext:{ENGINE}.", f"ext:{ENGINE}:", f"inert:{ENGINE}."))


def _add_default(walk: Walk, node: Node, name: str, form: Form, context: Context) -> None:
    node.items.append(f"default {name}")
    value = _default_of(context.function, name)
    items = None if value is MISSING or not form.refs or is_mutable(value) else plain_items(walk, value)
    if items is None:
        add_form(walk, node, form, context)
        return
    piece = Node("default", f"{node.label}({name})", node.file, node.line, items, shown=value_text(walk, name, value))
    piece.inline = items[0] if len(items) == 1 and isinstance(items[0], str) else None
    node.items.append(piece)


def _default_of(function: object, name: str) -> object:
    if not isinstance(function, types.FunctionType):
        return MISSING
    code, values = function.__code__, function.__defaults__ or ()
    positional = code.co_varnames[: code.co_argcount]
    by_name = dict(zip(positional[len(positional) - len(values) :], values, strict=True)) | (
        function.__kwdefaults__ or {}
    )
    return by_name.get(name, MISSING)


def _add_attributes(walk: Walk, node: Node, function: types.FunctionType, module: Module) -> None:
    """Take in what was attached to a function, but for what functions attach at run time."""
    for name, value in vars(function).items():
        if name.startswith("__") or is_attribute_changed(walk, module, name):
            continue
        target = callable_target(walk, value)
        items = [target] if target is not None else plain_items(walk, value)
        node.items += [f"attribute {name}", *(items or [])]


def _by_code(walk: Walk, node: Node, function: types.FunctionType, module: Module) -> None:
    """Take in a function without source by its byte code, which the key's Python version goes with."""
    walk.widen(f"{node.label} counts by its byte code: it has no source")
    names: set[str] = set()
    node.items.append(_code_text(function.__code__, names))
    for name in sorted(names):
        value = module.globals.get(name, MISSING)
        if value is not MISSING:
            node.items += [f"name {name}", object_target(walk, value, f"{module.name}.{name}")]
    for name, value in cells_of(function).items():
        node.items += [f"cell {name}", object_target(walk, value, f"{node.label}.{name}")]
    for value in (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()):
        node.items.append(object_target(walk, value, f"{node.label}()"))


def _code_text(code: types.CodeType, names: set[str]) -> str:
    names.update(code.co_names)
    constants = [_code_text(c, names) if isinstance(c, types.CodeType) else _constant_text(c) for c in code.co_consts]
    # hashlib, not the project's digest: this is only a shorter spelling of the bytes.
    body = hashlib.sha256(code.co_code).hexdigest()
    flags = (code.co_argcount, code.co_kwonlyargcount, code.co_flags)
    return f"code({body} {flags} {code.co_varnames} {code.co_names} {code.co_freevars} {constants})"


def _constant_text(value: object) -> str:
    return f"{sorted(map(repr, value))}" if isinstance(value, frozenset) else f"{type(value).__name__}:{value!r}"
