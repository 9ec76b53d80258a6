"""Whether what is loaded in this process is what the sources say: a long-lived process may have gone its own way.

A source may have been edited since its module was imported, and a constant may have been set from outside. Modules are
compared with their sources, not with notes of when they were loaded: nobody may have been there to take them.
"""

from __future__ import annotations

import ast
import inspect
import os
import sys
from contextlib import suppress
from functools import lru_cache
from importlib.machinery import SourceFileLoader
from importlib.util import cache_from_source
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import TYPE_CHECKING, TypeGuard, cast

from headwater.fingerprint.staleness import note_loaded, stale_modules
from headwater.fingerprint.state import MUTATORS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from headwater.fingerprint.project import Project, Source


def outdated_modules(project: Project) -> list[Path]:
    """Return the project's sources of which something else is loaded here than they say now, sorted."""
    found = set(stale_modules(project))
    codes: dict[str, frozenset[CodeType]] = {}
    for path, code in _loaded_codes(project):
        if path not in codes:
            source = project.source(path)
            codes[path] = _codes_of(source.data) if source is not None else frozenset()
        if _plain(code) not in codes[path]:
            found.add(Path(path))
    note_loaded(project)
    return sorted(found | set(_hidden(project)))


def _hidden(project: Project) -> Iterator[Path]:
    """Yield the project's top-level modules in whose place one of another project is loaded here."""
    for base in (project.root, project.root / "src"):
        for entry in os.scandir(base) if base.is_dir() else ():
            module = sys.modules.get(entry.name.removesuffix(".py"))
            file = getattr(module, "__dict__", {}).get("__file__")
            if not isinstance(file, str) or project.has(file) or _is_installed(file):
                continue
            own = project.module_path(entry.name.removesuffix(".py"))
            if own is not None:
                yield own


def _is_installed(file: str) -> bool:
    prefixes = {sys.prefix, sys.base_prefix, os.path.dirname(os.__file__)}  # noqa: PTH120
    return "-packages" in file or any(file.startswith(prefix + os.sep) for prefix in prefixes)


def constants_set_here(project: Project) -> frozenset[str]:
    """Name the constants, as ``module.NAME``, that have another plain value here than their source gives them."""
    found: set[str] = set()
    for module, source in _loaded(project):
        name = project.canonical_module(module.__name__)
        for constant, value in _plain_constants(source.data):
            live = vars(module).get(constant, value)
            if type(live) is not type(value) or repr(live) != repr(value):
                found.add(f"{name}.{constant}")
    return frozenset(found)


def drop_outdated_bytecode(project: Project) -> None:
    """Remove bytecode that is older than its source but would be loaded for it.

    Python tells them apart by size and by whole seconds: what is edited to the same size in the second in which it was
    imported would be imported as it was.
    """
    for path in project.python_files():
        cached = Path(cache_from_source(str(path)))
        with suppress(OSError):
            if cached.stat().st_mtime_ns <= path.stat().st_mtime_ns:
                cached.unlink()


def _loaded(project: Project) -> list[tuple[ModuleType, Source]]:
    """Return the modules of the project that were loaded from their sources as these stand, with the sources."""
    inside = tuple({str(place) for root in project.roots for place in (root.base, root.given, *root.paths)})
    found: list[tuple[ModuleType, Source]] = []
    for module in list(sys.modules.values()):
        names = getattr(module, "__dict__", {})
        path = names.get("__file__")
        # Others, such as a test framework's, rewrite what they load.
        if (
            not isinstance(path, str)
            or not path.endswith(".py")
            or type(names.get("__loader__")) is not SourceFileLoader
        ):
            continue
        if path.startswith(inside) or _real_folder(os.path.dirname(path)).startswith(inside):  # noqa: PTH120  many
            source = project.source(path)
            if source is not None:
                found.append((module, source))
    return found


@lru_cache(maxsize=4096)
def _real_folder(folder: str) -> str:
    return os.path.realpath(folder)


def _loaded_codes(project: Project) -> Iterator[tuple[str, CodeType]]:
    """Yield the code of functions and methods that names of modules stand for, with the project file it is from."""
    loaded = _loaded(project)
    spaces = [vars(module) for module, _ in loaded]
    if (main := sys.modules.get("__main__")) is not None and not hasattr(main, "__file__"):
        spaces.append(vars(main))  # a notebook's names may stand for functions of a module that was loaded anew
    own = {module.__name__: str(vars(module)["__file__"]) for module, _ in loaded}
    files = set(own.values())
    for names in spaces:
        for function in _functions(names, own):
            if function.__code__.co_filename in files:
                yield function.__code__.co_filename, function.__code__


def _functions(names: Mapping[str, object], own: Collection[str]) -> Iterator[FunctionType]:
    for value in list(names.values()):
        if isinstance(value, type):
            if value.__module__ in own:
                yield from _functions(
                    {key: each for key, each in vars(value).items() if not isinstance(each, type)}, own
                )
            continue
        plain = inspect.unwrap(value) if callable(value) and hasattr(value, "__wrapped__") else value
        if isinstance(plain, FunctionType):
            yield plain


@lru_cache(maxsize=1024)
def _codes_of(data: bytes) -> frozenset[CodeType]:
    try:
        whole = compile(data, "", "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return frozenset()
    return frozenset(map(_plain, _codes_in(whole)))


def _codes_in(code: CodeType) -> Iterator[CodeType]:
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield inner
            yield from _codes_in(inner)


def _plain(code: CodeType) -> CodeType:
    """Return a code without its place: lines may move."""
    consts = tuple(_plain(each) if isinstance(each, CodeType) else each for each in code.co_consts)
    return code.replace(co_filename="", co_firstlineno=1, co_linetable=b"", co_consts=consts)


@lru_cache(maxsize=1024)
def _plain_constants(data: bytes) -> Sequence[tuple[str, object]]:
    """Return the names that a module gives a literal value, once and nowhere else."""
    try:
        tree = ast.parse(data)
    except (SyntaxError, ValueError):
        return ()
    bound: dict[str, list[ast.expr | None]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Global):
            for name in node.names:
                bound.setdefault(name, []).append(None)
    for statement in tree.body:
        for name, value in _bindings(statement):
            bound.setdefault(name, []).append(value)
    for name in _filled(tree) & bound.keys():  # by the module's own code, maybe while it is imported
        bound[name].append(None)
    return tuple(_literals({name: values[0] for name, values in bound.items() if len(values) == 1}))


def _filled(tree: ast.Module) -> set[str]:
    """Return the names of what is changed in place: by a call of a method, or through an index."""
    calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    places = [function.value for function in calls if _is_mutator(function)]
    places += [node.value for node in ast.walk(tree) if isinstance(node, ast.Subscript) and _is_stored(node)]
    places += [node.target for node in ast.walk(tree) if isinstance(node, ast.AugAssign)]
    return {place.id for place in places if isinstance(place, ast.Name)}


def _is_mutator(function: ast.expr) -> TypeGuard[ast.Attribute]:
    return isinstance(function, ast.Attribute) and function.attr in MUTATORS


def _is_stored(node: ast.Subscript) -> bool:
    return isinstance(node.ctx, ast.Store | ast.Del)


def _literals(bound: Mapping[str, ast.expr | None]) -> Iterator[tuple[str, object]]:
    for name, value in bound.items():
        if value is not None:
            with suppress(ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
                yield name, cast("object", ast.literal_eval(value))


def _bindings(statement: ast.stmt) -> Iterator[tuple[str, ast.expr | None]]:
    """Yield name and expression of what a statement binds; None where it is more than one plain assignment."""
    if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
        target = statement.targets[0]
        if isinstance(target, ast.Name):
            yield target.id, statement.value
            return
        if (
            isinstance(target, ast.Tuple)
            and isinstance(statement.value, ast.Tuple)
            and len(target.elts) == len(statement.value.elts)
        ):
            for part, value in zip(target.elts, statement.value.elts, strict=True):
                if isinstance(part, ast.Name):
                    yield part.id, value
            return
    if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name) and statement.value is not None:
        yield statement.target.id, statement.value
        return
    for node in ast.walk(statement):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store | ast.Del):
            yield node.id, None
