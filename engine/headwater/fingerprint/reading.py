"""What code reads while its module is imported: the environment, clocks, random sources, files."""

from __future__ import annotations

import ast
import os
import types
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from headwater.fingerprint.objects import is_own
from headwater.fingerprint.scopes import DEFS
from headwater.fingerprint.syntax import dotted, last_name
from headwater.fingerprint.walk import MISSING, places_of

if TYPE_CHECKING:
    from pathlib import Path

    from headwater.fingerprint.merkle import Node
    from headwater.fingerprint.project import Source
    from headwater.fingerprint.walk import Module, Walk

_ENVIRONMENT = ("os.environ", "os.getenv", "os.environb", "os.getcwd", "pathlib.Path.cwd", "pathlib.Path.home")
_CHANGING = (
    "time.",
    "random.",
    "uuid.uuid1",
    "uuid.uuid4",
    "secrets.",
    "os.getpid",
    "os.getppid",
    "os.urandom",
    "os.times",
    "tempfile.",
    "numpy.random.",
    "socket.gethostname",
    "platform.node",
    "getpass.getuser",
    "threading.get_ident",
    "datetime.datetime.now",
    "datetime.datetime.utcnow",
    "datetime.datetime.today",
    "datetime.date.today",
)
_STEADY = ("time.strftime", "time.sleep", "time.struct_time", "time.mktime", "time.strptime", "time.timezone")
_MAKERS = ("__new__", "__init__", "__post_init__")
_MOST = 500
_LONGEST_NAME = 200


@dataclass(slots=True)
class Reads:
    """What some import-time code reads, itself and through project functions."""

    #: A clock, a random source or the like: the value differs from process to process.
    is_changing: bool = False
    #: The environment or the working folder.
    is_environment: bool = False
    #: Names of environment variables that it reads.
    variables: set[str] = field(default_factory=set[str])
    #: Project files whose names stand in it.
    files: set[Path] = field(default_factory=set["Path"])
    done: set[tuple[int, str]] = field(default_factory=set[tuple[int, str]])


def reads_of_name(walk: Walk, module: Module, name: str) -> Reads:
    """Return what the definition of a module-level name reads."""
    found = Reads()
    _add_name(walk, module, name, found)
    return found


def reads_of(walk: Walk, module: Module, source: Source, statements: list[ast.stmt]) -> Reads:
    """Return what module-level statements read."""
    found = Reads()
    for statement in statements:
        _add(walk, module, source, statement, found)
    return found


def add_reads(walk: Walk, node: Node, reads: Reads) -> None:
    """Append to a piece the values of the variables and the content of the files that it reads."""
    for name in sorted(reads.variables):
        node.items.append(f"env {name}={walk.project.strip(os.environ.get(name, '<unset>'))!r}")
    node.items += sorted(f"file {walk.project.file_digest(path)}" for path in reads.files)


def note_reads(walk: Walk, module: Module, what: str, reads: Reads) -> None:
    """Report what a value reads that may change."""
    walk.variables |= reads.variables
    if reads.is_changing:
        walk.note_volatile(f"{module.name}.{what}: a clock, a random source or the like")
    if reads.is_environment:
        names = ", ".join(sorted(reads.variables))
        walk.note_volatile(f"{module.name}.{what}: the environment{f' ({names})' if names else ''}")


def _add_name(walk: Walk, module: Module, name: str, found: Reads) -> None:
    key = (id(module.globals), name)
    if key in found.done or len(found.done) > _MOST:
        return
    found.done.add(key)
    for source, statement in places_of(module, name):
        if not isinstance(statement, (*DEFS, ast.Import, ast.ImportFrom)):
            _add(walk, module, source, statement, found)


def _add(walk: Walk, module: Module, source: Source, node: ast.AST, found: Reads) -> None:
    tree = source.tree
    if tree is None:
        return
    stack: list[ast.AST] = [node]
    while stack:
        here = stack.pop()
        place = dotted(here) if isinstance(here, ast.Attribute | ast.Name) else None
        if place is not None:
            if isinstance(here, ast.Attribute | ast.Name) and isinstance(here.ctx, ast.Load):
                _add_path(walk, module, source, (place[0].id, *place[1]), found)
            continue
        _add_variable(here, found)
        _add_file(walk, source, here, found)
        stack += ast.iter_child_nodes(here)


def _add_path(walk: Walk, module: Module, source: Source, path: tuple[str, ...], found: Reads) -> None:
    """Note what a dotted name stands for: something foreign that reads, or project code that may."""
    value = module.globals.get(path[0], MISSING)
    imports = source.tree.imports.get(path[0], []) if source.tree else []
    is_ours = walk.live_module(value) is not None if isinstance(value, types.ModuleType) else is_own(walk, value)
    if imports and not is_ours:
        for imported in imports:
            head = f"{imported.module}.{imported.name}" if imported.name else imported.module
            full = ".".join([head, *path[1:]])
            found.is_environment = found.is_environment or full.startswith(_ENVIRONMENT)
            changing = full.startswith(_CHANGING) and not full.startswith(_STEADY)
            found.is_changing = found.is_changing or changing
    if value is not MISSING:
        _add_value(walk, module, path, value, found)


def _add_value(walk: Walk, module: Module, path: tuple[str, ...], value: object, found: Reads) -> None:
    name, *below = path
    if isinstance(value, types.ModuleType):
        live = walk.live_module(value)
        inner = vars(value).get(below[0], MISSING) if below else MISSING
        if live is not None and inner is not MISSING:
            _add_value(walk, live, tuple(below), inner, found)
    elif isinstance(value, types.FunctionType):
        _add_function(walk, value, found)
    elif isinstance(value, type):
        for maker in _MAKERS:
            function = vars(value).get(maker)
            if isinstance(function, types.FunctionType) and is_own(walk, value):
                _add_function(walk, function, found)
    else:
        _add_name(walk, module, name, found)


def _add_function(walk: Walk, function: types.FunctionType, found: Reads) -> None:
    home = walk.module_of(function.__globals__)
    source = walk.project.source(function.__code__.co_filename)
    tree = source.tree if source else None
    key = (id(function), function.__qualname__)
    if home is None or source is None or tree is None or key in found.done:
        return
    found.done.add(key)
    for definition in tree.code_definitions(function.__code__):
        _add(walk, home, source, definition.node, found)


def _add_variable(node: ast.AST, found: Reads) -> None:
    """Note the variable in ``os.environ["X"]``, ``os.environ.get("X")`` and ``os.getenv("X")``."""
    match node:
        case ast.Subscript(value=target, slice=ast.Constant(value=str(name))) if last_name(target) == "environ":
            found.variables.add(name)
        case ast.Call(func=ast.Attribute(value=target), args=[ast.Constant(value=str(name)), *_]) if (
            last_name(target) == "environ"
        ):
            found.variables.add(name)
        case ast.Call(func=target, args=[ast.Constant(value=str(name)), *_]) if last_name(target) == "getenv":
            found.variables.add(name)
        case _:
            pass


def _add_file(walk: Walk, source: Source, node: ast.AST, found: Reads) -> None:
    """Note the project file that a text names, seen from its module's folder or the project's."""
    text = node.value if isinstance(node, ast.Constant) else None
    if not isinstance(text, str) or not 0 < len(text) < _LONGEST_NAME or "\n" in text or "\0" in text:
        return
    for base in (source.path.parent if source.path else None, walk.project.root):
        if base is not None and (base / text).is_file():
            found.files.add(base / text)
            return
