"""Pieces of classes: a class that is reached counts whole."""

from __future__ import annotations

import abc
import ast
import dataclasses
import enum
import functools
import sys
import types
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headwater.fingerprint.changing import is_attribute_changed
from headwater.fingerprint.functions import add_decorator, cells_of
from headwater.fingerprint.objects import (
    callable_target,
    class_target,
    is_own,
    made_items,
    own_code_in,
    plain_items,
    wrapped_of,
)
from headwater.fingerprint.resolve import add_form
from headwater.fingerprint.walk import Context, Module

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headwater.fingerprint.forms import ClassForm
    from headwater.fingerprint.merkle import Node
    from headwater.fingerprint.project import Source
    from headwater.fingerprint.trees import Definition, SourceTree
    from headwater.fingerprint.walk import Walk

_LITERALS = (int, float, str, bytes)
_PLAIN_METACLASSES = (type, abc.ABCMeta, enum.EnumType)


@dataclass(frozen=True, slots=True)
class _Live:
    """A class as it is now: its functions, with the attributes that hold them."""

    cls: type
    functions: tuple[tuple[types.FunctionType, str], ...]


def build_class(walk: Walk, node: Node, cls: type) -> None:
    """Fill in the piece of a class."""
    module = walk.module_of_class(cls)
    if module is None:
        return
    walk.reach(module)
    node.items.append(f"class {cls.__qualname__}")
    if "names" in walk.sees or _is_stored_by_name(cls):
        node.items.append(f"in {module.name}")
    live = _Live(cls, tuple((f, name) for name, value in vars(cls).items() for f in _functions_in(value)))
    found = list(_definitions(module, live))
    named = {name for _, _, d in found for name in _names_of(d)}
    used: set[int] = set()
    for source, tree, definition in found:
        node.line, node.file = node.line or definition.node.lineno, source.label
        cells = {k: v for f, _ in live.functions for k, v in cells_of(f).items() if k != "__class__"}
        used |= _add_definition(walk, node, tree, Context(module, cells, source, definition), live)
    _add_bases(walk, node, cls)
    _add_patched(walk, node, live, used)
    _add_values(walk, node, cls, named)
    if not found or "<locals>" in cls.__qualname__:
        node.items += made_items(walk, cls)


def _names_of(definition: Definition) -> Iterator[str]:
    body = definition.node.body if isinstance(definition.node, ast.ClassDef) else []
    for statement in body:
        for inner in ast.walk(statement):
            if isinstance(inner, ast.Name) and not isinstance(inner.ctx, ast.Load):
                yield inner.id
            elif isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                yield inner.name


def _is_stored_by_name(cls: type) -> bool:
    """Tell whether results may hold instances of a class, which are stored under its module's name."""
    is_tuple = issubclass(cls, tuple) and hasattr(cls, "_fields")
    return dataclasses.is_dataclass(cls) or issubclass(cls, enum.Enum) or is_tuple


def _definitions(module: Module, live: _Live) -> Iterator[tuple[Source, SourceTree, Definition]]:
    """Find the class statements that a class can have come from."""
    lines = {f.__code__.co_firstlineno for f, _ in live.functions}
    for source in reversed(module.sources):
        tree = source.tree
        several = tree.definitions.get(live.cls.__qualname__, []) if tree else []
        several = [d for d in several if isinstance(d.node, ast.ClassDef)]
        sure = [d for d in several if any(_holds(d, line) for line in lines)]
        for definition in sure or several:
            if tree is not None:
                yield source, tree, definition
        if several:
            return


def _holds(definition: Definition, line: int) -> bool:
    return definition.node.lineno <= line <= (definition.node.end_lineno or 0)


def _functions_in(value: object) -> Iterator[types.FunctionType]:
    """Yield the functions that an attribute of a class is made of."""
    match value:
        case types.FunctionType():
            yield value
            if isinstance(vars(value).get("__wrapped__"), types.FunctionType):
                yield from _functions_in(vars(value)["__wrapped__"])
        case staticmethod() | classmethod():
            yield from _functions_in(value.__func__)  # pyright: ignore[reportUnknownMemberType]
        case property():
            for part in (value.fget, value.fset, value.fdel):
                yield from _functions_in(part)
        case functools.cached_property() | functools.partialmethod():
            yield from _functions_in(value.func)  # pyright: ignore[reportUnknownMemberType]
        case functools.singledispatchmethod():
            yield from _functions_in(value.func)  # pyright: ignore[reportUnknownMemberType]
        case _ if not isinstance(value, type) and wrapped_of(value) is not None:
            yield from _functions_in(wrapped_of(value))
        case _:
            pass


def _add_definition(walk: Walk, node: Node, tree: SourceTree, context: Context, live: _Live) -> set[int]:
    """Append a class statement; return the identities of the live functions that are its methods."""
    used: set[int] = set()
    if context.definition is None or context.source is None:
        return used
    form = tree.klass(context.definition)
    if "docs" in walk.sees or not _is_quiet(live.cls):
        node.items.append(f"doc {form.doc!r}")
    for decorator in form.decorators:
        add_decorator(walk, node, decorator, context)
    add_form(walk, node, form.head, context)
    add_form(walk, node, form.body, context)
    for method in _ordered(walk, form, live.cls):
        match = next((f for f, _ in live.functions if _is_from(tree, f, method)), None)
        node.items.append(f"method {method.name}")
        if match is not None:
            used.add(id(match))
            node.items.append(walk.function(match))
        else:
            node.items.append(walk.static(context.module, context.source, tree.by_node[method]))
    return used


def _is_from(tree: SourceTree, function: types.FunctionType, method: ast.AST) -> bool:
    return any(d.node is method for d in tree.code_definitions(function.__code__))


def _ordered(walk: Walk, form: ClassForm, cls: type) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Return the methods, by name where nothing can see their order."""
    sees_order = "order" in walk.sees or type(cls) not in _PLAIN_METACLASSES or not _is_quiet(cls)
    return list(form.methods) if sees_order else sorted(form.methods, key=lambda method: method.name)


def _is_quiet(cls: type) -> bool:
    """Tell whether nothing foreign was told about a class when it was made."""
    homes = {str(base.__module__).partition(".")[0] for base in (*cls.__mro__, type(cls))}
    has_hook = any("__init_subclass__" in vars(base) for base in cls.__mro__[1:-1])
    known = sys.stdlib_module_names | {str(cls.__module__).partition(".")[0]}
    return not has_hook and homes <= known


def _add_bases(walk: Walk, node: Node, cls: type) -> None:
    for base in cls.__mro__[1:-1]:
        node.items += ["base", class_target(walk, base)]
    if type(cls) is not type:
        node.items += ["metaclass", class_target(walk, type(cls))]
    if "subclasses" in walk.sees:
        found: list[type] = cls.__subclasses__()
        for sub in sorted(found, key=lambda c: (c.__module__, c.__qualname__)):
            node.items += ["subclass", class_target(walk, sub)]


def _add_patched(walk: Walk, node: Node, live: _Live, used: set[int]) -> None:
    """Take in functions that were put on a class after its statement."""
    for function, name in live.functions:
        if id(function) not in used and is_own(walk, function) and not _is_generated(walk, function):
            target = callable_target(walk, function)
            node.items += [f"patched {name}", *([target] if target is not None else [])]


def _add_values(walk: Walk, node: Node, cls: type, named: set[str]) -> None:
    """Take in plain values as they are now, but for those that functions change, and code in containers."""
    home = walk.module_of_class(cls)
    if home is None:
        return
    for name, value in vars(cls).items():
        if name.startswith("__") or issubclass(cls, enum.Enum) or any(True for _ in _functions_in(value)):
            continue
        if isinstance(value, list | dict | set):
            node.items += own_code_in(walk, value)
        elif not is_attribute_changed(walk, home, name) and (name not in named or isinstance(value, _LITERALS)):
            items = plain_items(walk, value)
            node.items += [f"value {name}", *items] if items else []


def _is_generated(walk: Walk, function: types.FunctionType) -> bool:
    """Tell whether a function was generated, as a dataclass's are, from what counts already."""
    inner = vars(function).get("__wrapped__")
    if isinstance(inner, types.FunctionType) and _is_generated(walk, inner):
        return True
    name = function.__code__.co_filename
    return name.startswith("<") and walk.project.entered(name) is None
