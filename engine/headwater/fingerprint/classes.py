"""Pieces of classes: a class that is reached counts whole."""

from __future__ import annotations

import abc
import ast
import dataclasses
import enum
import functools
import types
from typing import TYPE_CHECKING

from headwater.fingerprint.functions import add_decorator, cells_of
from headwater.fingerprint.objects import callable_target, class_target, is_own, own_code_in, plain_items
from headwater.fingerprint.resolve import add_form
from headwater.fingerprint.state import changes_in
from headwater.fingerprint.walk import Context, Module

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headwater.fingerprint.forms import ClassForm
    from headwater.fingerprint.merkle import Node
    from headwater.fingerprint.project import Source
    from headwater.fingerprint.trees import Definition, SourceTree
    from headwater.fingerprint.walk import Walk

_PLAIN_METACLASSES = (type, abc.ABCMeta, enum.EnumType)


def build_class(walk: Walk, node: Node, cls: type) -> None:
    """Fill in the piece of a class."""
    module = walk.module_of_class(cls)
    if module is None:
        return
    walk.reach(module)
    node.items.append(f"class {cls.__qualname__}")
    if "names" in walk.sees or _is_stored_by_name(cls):
        node.items.append(f"in {module.name}")
    live = dict(_live_functions(cls))
    found = list(_definitions(walk, cls, module, live))
    named = {name for _, _, d in found for name in _names_of(d)}
    used: set[int] = set()
    for source, tree, definition in found:
        node.line, node.file = node.line or definition.node.lineno, source.label
        cells = {k: v for f, _ in live.values() for k, v in cells_of(f).items() if k != "__class__"}
        context = Context(module, cells, source, definition)
        used |= _add_definition(walk, node, tree, definition, context, live, cls)
    _add_bases(walk, node, cls)
    _add_live(walk, node, cls, named, used, live)


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


def _definitions(
    walk: Walk, cls: type, module: Module, live: dict[int, tuple[types.FunctionType, str]]
) -> Iterator[tuple[Source, SourceTree, Definition]]:
    """Find the class statements that a class can have come from."""
    lines = {(f.__code__.co_filename, f.__code__.co_firstlineno) for f, _ in live.values()}
    for source in reversed(module.sources):
        tree = source.tree
        several = tree.definitions.get(cls.__qualname__, []) if tree else []
        several = [d for d in several if isinstance(d.node, ast.ClassDef)]
        sure = [d for d in several if any(_holds(d, line) for _, line in lines)]
        for definition in sure or several:
            if tree is not None:
                yield source, tree, definition
        if several:
            return


def _holds(definition: Definition, line: int) -> bool:
    return definition.node.lineno <= line <= (definition.node.end_lineno or 0)


def _live_functions(cls: type) -> Iterator[tuple[int, tuple[types.FunctionType, str]]]:
    for name, value in vars(cls).items():
        for function in _functions_in(value):
            yield id(function), (function, name)


def _functions_in(value: object) -> Iterator[types.FunctionType]:
    """Yield the functions that an attribute of a class is made of."""
    match value:
        case types.FunctionType():
            yield value
            if isinstance(vars(value).get("__wrapped__"), types.FunctionType):
                yield from _functions_in(vars(value)["__wrapped__"])
        case staticmethod() | classmethod():
            yield from _functions_in(value.__func__)  # pyright: ignore
        case property():
            for part in (value.fget, value.fset, value.fdel):
                yield from _functions_in(part)
        case functools.cached_property() | functools.partialmethod():
            yield from _functions_in(value.func)  # pyright: ignore
        case functools.singledispatchmethod():
            yield from _functions_in(value.func)  # pyright: ignore
        case _ if hasattr(value, "__wrapped__") and not isinstance(value, type):
            yield from _functions_in(getattr(value, "__wrapped__", None))


def _add_definition(
    walk: Walk,
    node: Node,
    tree: SourceTree,
    definition: Definition,
    context: Context,
    live: dict[int, tuple[types.FunctionType, str]],
    cls: type,
) -> set[int]:
    form = tree.klass(definition)
    if "docs" in walk.sees or not _is_quiet(cls):
        node.items.append(f"doc {form.doc!r}")
    for decorator in form.decorators:
        add_decorator(walk, node, decorator, context)
    add_form(walk, node, form.head, context)
    add_form(walk, node, form.body, context)
    used: set[int] = set()
    for method in _ordered(walk, form, cls):
        match = next((f for f, _ in live.values() if _is_from(tree, f, method)), None)
        node.items.append(f"method {method.name}")
        if match is not None and context.source is not None:
            used.add(id(match))
            node.items.append(walk.function(match))
        elif context.source is not None:
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
    import sys  # noqa: PLC0415

    known = sys.stdlib_module_names | {str(cls.__module__).partition(".")[0]}
    return not has_hook and homes <= known


def _add_bases(walk: Walk, node: Node, cls: type) -> None:
    for base in cls.__mro__[1:-1]:
        node.items += ["base", class_target(walk, base)]
    if type(cls) is not type:
        node.items += ["metaclass", class_target(walk, type(cls))]
    if "subclasses" in walk.sees:
        for sub in sorted(cls.__subclasses__(), key=lambda c: (c.__module__, c.__qualname__)):
            node.items += ["subclass", class_target(walk, sub)]


def _add_live(
    walk: Walk,
    node: Node,
    cls: type,
    named: set[str],
    used: set[int],
    live: dict[int, tuple[types.FunctionType, str]],
) -> None:
    """Take in what was put on a class after its statement: patched methods and values."""
    for function, name in live.values():
        if id(function) not in used and is_own(walk, function) and not _is_generated(walk, function):
            target = callable_target(walk, function)
            node.items += [f"patched {name}", *([target] if target is not None else [])]
    home = walk.module_of_class(cls)
    changed = {name for tree in (home.trees if home else []) for name in changes_in(tree).attributes}
    for name, value in vars(cls).items():
        if name.startswith("__") or isinstance(value, types.FunctionType) or issubclass(cls, enum.Enum):
            continue
        if isinstance(value, list | dict | set):
            node.items += own_code_in(walk, value)
        elif name not in named and name not in changed and not _functions_of_any(value):
            items = plain_items(walk, value)
            node.items += [f"value {name}", *items] if items else []
        elif name in named and name not in changed:
            items = plain_items(walk, value)
            # A literal of the class statement reads the same here; a value put there later does not.
            node.items += [f"value {name}", *items] if items and isinstance(value, int | float | str | bytes) else []


def _is_generated(walk: Walk, function: types.FunctionType) -> bool:
    """Tell whether a function was generated, as a dataclass's are, from what counts already."""
    inner = vars(function).get("__wrapped__")
    if isinstance(inner, types.FunctionType) and _is_generated(walk, inner):
        return True
    name = function.__code__.co_filename
    return name.startswith("<") and walk.project.entered(name) is None


def _functions_of_any(value: object) -> bool:
    return any(True for _ in _functions_in(value))
