"""Values that differ from process to process or place to place when a module is imported."""

from __future__ import annotations

import ast
import os
import types
from typing import TYPE_CHECKING

from headwater.fingerprint.objects import is_own
from headwater.fingerprint.scopes import DEFS
from headwater.fingerprint.syntax import dotted
from headwater.fingerprint.walk import MISSING, places_of

if TYPE_CHECKING:
    from headwater.fingerprint.project import Source
    from headwater.fingerprint.walk import Module, Walk

_ENVIRONMENT = ("os.environ", "os.getenv", "os.environb")
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
_PLAIN_TIME = ("time.strftime", "time.sleep", "time.struct_time", "time.mktime", "time.strptime", "time.timezone")


def volatility_of(path: str) -> str | None:
    """Return what a foreign name reads that may change: ``environment`` or ``clock``; None if it does not."""
    if path.startswith(_ENVIRONMENT):
        return "environment"
    if path.startswith(_CHANGING) and not path.startswith(_PLAIN_TIME):
        return "changing"
    return None


def environment_value(path: str, name: str | None) -> str | None:
    """Return the value that ``os.environ["NAME"]`` and its like give now; None for any other name."""
    if name is None or path not in (
        "os.environ",
        "os.getenv",
        "os.environ.get",
        "os.environ.pop",
        "os.environ.setdefault",
    ):
        return None
    return os.environ.get(name, "<unset>")


def volatile_reads(walk: Walk, module: Module, name: str, done: set[tuple[int, str]]) -> set[str]:
    """Return what changing things a name's definition reads, through project functions and other names."""
    if (id(module.globals), name) in done or len(done) > 500:
        return set()
    done.add((id(module.globals), name))
    found: set[str] = set()
    for source, statement in places_of(module, name):
        if not isinstance(statement, (*DEFS, ast.Import, ast.ImportFrom)):
            found |= _volatile_in(walk, module, source, statement, done)
    return found


def _volatile_in(
    walk: Walk, module: Module, source: Source, statement: ast.AST, done: set[tuple[int, str]]
) -> set[str]:
    found: set[str] = set()
    tree = source.tree
    for inner in _outermost_names(statement):
        place = dotted(inner)
        if place is None or tree is None:
            continue
        root, chain = place[0].id, place[1]
        value = module.globals.get(root, MISSING)
        imports = tree.imports.get(root, [])
        if imports and not _is_project(walk, value):
            head = [f"{i.module}.{i.name}" if i.name else i.module for i in imports]
            reads = {volatility_of(".".join([h, *chain])) for h in head}
            found |= {r for r in reads if r}
        elif value is not MISSING and isinstance(inner, ast.Name | ast.Attribute):
            found |= _volatile_of_value(walk, module, (root, *chain), value, done)
    return found


def _volatile_of_value(
    walk: Walk, module: Module, path: tuple[str, ...], value: object, done: set[tuple[int, str]]
) -> set[str]:
    if isinstance(value, types.ModuleType) and len(path) > 1:
        live = walk.live_module(value)
        inner = vars(value).get(path[1], MISSING)
        is_known = live is not None and inner is not MISSING
        return _volatile_of_value(walk, live, path[1:], inner, done) if live and is_known else set()
    if isinstance(value, types.FunctionType):
        return _volatile_of_function(walk, value, done)
    return volatile_reads(walk, module, next(iter(path), ""), done)


def _volatile_of_function(walk: Walk, function: types.FunctionType, done: set[tuple[int, str]]) -> set[str]:
    home = walk.module_of(function.__globals__)
    source = walk.project.source(function.__code__.co_filename)
    tree = source.tree if source else None
    key = (id(function), function.__qualname__)
    if home is None or source is None or tree is None or key in done:
        return set()
    done.add(key)
    found = [_volatile_in(walk, home, source, d.node, done) for d in tree.code_definitions(function.__code__)]
    return set[str]().union(*found)


def _is_project(walk: Walk, value: object) -> bool:
    if isinstance(value, types.ModuleType):
        return walk.live_module(value) is not None
    return is_own(walk, value)


def _outermost_names(node: ast.AST) -> list[ast.expr]:
    """Return the dotted names in some syntax, each as long as it goes, but for those only stored to."""
    found: list[ast.expr] = []
    stack: list[ast.AST] = [node]
    while stack:
        here = stack.pop()
        if isinstance(here, ast.Attribute | ast.Name) and dotted(here) is not None:
            if isinstance(here.ctx, ast.Load):
                found.append(here)
            continue
        stack += ast.iter_child_nodes(here)
    return found
