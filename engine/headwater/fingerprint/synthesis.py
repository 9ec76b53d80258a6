"""Module sources for functions that cannot be imported by name: closures, notebook cells, lines at a prompt."""

from __future__ import annotations

import ast
import copy
import dataclasses
import datetime as dt
import decimal
import enum
import fractions
import functools
import math
import re
import types
import uuid
from pathlib import PurePath
from typing import TYPE_CHECKING, cast

from headwater.errors import DefinitionError
from headwater.fingerprint.functions import cells_of, source_of
from headwater.fingerprint.objects import LRU_CACHE, is_engine, wrapped_of
from headwater.fingerprint.plain import is_frozen_data
from headwater.fingerprint.walk import MISSING, Module, Walk, absolute

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from headwater.fingerprint.project import Project
    from headwater.fingerprint.trees import Definition, SourceTree
    from headwater.fingerprint.writing import Form, Ref

_BY_REPR = {
    **dict.fromkeys((dt.date, dt.datetime, dt.time, dt.timedelta), "datetime"),
    dt.timezone: "datetime",
    decimal.Decimal: "decimal",
    fractions.Fraction: "fractions",
    uuid.UUID: "uuid",
}
_ATOMS = (type(None), bool, int, str, bytes, complex, type(Ellipsis), range, slice)


def is_importable(step: Callable[..., object], project: Project) -> bool:
    """Tell whether workers can import a function by its module and name from the project's files."""
    function = _plain(step)
    module, qualname = getattr(function, "__module__", None), getattr(function, "__qualname__", "")
    if not isinstance(function, types.FunctionType) or "<" in qualname or not module:
        return False
    walk = Walk(project)
    home = walk.module_of(function.__globals__)
    if home is not None and home.is_entered:
        return False
    here: object = function.__globals__.get(qualname.split(".")[0])
    for part in qualname.split(".")[1:]:
        here = getattr(here, part, None)
    return here is function or _plain(here) is function


def synthesise(function: Callable[..., object], project: Project) -> str:
    """Return the source of a module that defines a function by its name, and all that it needs.

    Raises DefinitionError where it holds a value that cannot be written down.
    """
    maker = _Maker(project)
    plain = _plain(function)
    if not isinstance(plain, types.FunctionType):
        raise DefinitionError(f"{function!r} is not a function that can be written down")
    name = maker.function(plain)
    wanted = plain.__name__
    if name != wanted:
        last = f"{wanted} = {name}" if wanted.isidentifier() else f"globals()[{wanted!r}] = {name}"
        maker.lines.append(last)
    return "\n".join(["from __future__ import annotations", "", *sorted(maker.imports), "", *maker.lines, ""])


def _plain(function: object) -> object:
    return wrapped_of(function) if is_engine(function) and wrapped_of(function) is not None else function


class _Maker:
    """Writes one module; each object is written once."""

    def __init__(self, project: Project) -> None:
        self.walk = Walk(project)
        self.imports: set[str] = set()
        self.lines: list[str] = []
        #: Identity of an object → the name it has in the module.
        self.names: dict[int, str] = {}
        self.taken: dict[str, int] = {}

    def fresh(self, wanted: str, value: object) -> str:
        """Return a name for an object that no other object has."""
        name = wanted if wanted.isidentifier() else "_lambda"
        while self.taken.setdefault(name, id(value)) != id(value):
            name += "_"
        self.names[id(value)] = name
        self.walk.keep(value)
        return name

    def function(self, function: types.FunctionType) -> str:
        """Write a function; return its name."""
        if id(function) in self.names:
            return self.names[id(function)]
        home, tree, definition = self.located(function)
        node = copy.deepcopy(definition.node)
        _Absolute(home).visit(node)
        form = tree.function(definition)
        forms = [form.body]
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            node.decorator_list = []
        if not isinstance(node, ast.ClassDef):
            forms += self.defaults(node, dict(form.defaults), function)
        name = self.fresh(function.__name__, function)
        cells = {k: v for k, v in cells_of(function).items() if v is not function}
        text = f"{name} = {ast.unparse(node)}" if isinstance(node, ast.Lambda) else _renamed(node, name)
        self.write(name, text, home, forms=forms, cells=cells, definition=definition)
        return name

    def defaults(
        self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda, forms: Mapping[str, Form], function: object
    ) -> list[Form]:
        """Put the live values of defaults in the place of their expressions; return the forms of those that stay."""
        if not isinstance(function, types.FunctionType):
            return []
        values = list(function.__defaults__ or ())
        stay: list[Form] = []
        arguments = [*node.args.posonlyargs, *node.args.args][-len(values) :] if values else []
        for place, (argument, value) in enumerate(zip(arguments, values, strict=True)):
            written = self.attempt(value)
            if written is not None:
                node.args.defaults[place] = written
            else:
                stay.append(forms[argument.arg])
        for place, argument in enumerate(node.args.kwonlyargs):
            written = self.attempt((function.__kwdefaults__ or {}).get(argument.arg, MISSING))
            if written is not None:
                node.args.kw_defaults[place] = written
            elif argument.arg in forms:
                stay.append(forms[argument.arg])
        return stay

    def attempt(self, value: object) -> ast.expr | None:
        """Return a value as an expression; None if it cannot be written."""
        try:
            return None if value is MISSING else ast.parse(self.expression(value, "default"), mode="eval").body
        except DefinitionError:
            return None

    def located(self, function: types.FunctionType) -> tuple[Module, SourceTree, Definition]:
        """Find the source of a function. Raises DefinitionError where there is none."""
        home = self.walk.module_of(function.__globals__)
        source = source_of(self.walk, function.__code__, home) if home is not None else None
        tree = source.tree if source else None
        found = tree.code_definitions(function.__code__) if tree else []
        if home is None or tree is None or len(found) != 1:
            raise DefinitionError(
                f"{function.__qualname__!r} cannot travel to a worker: its source is not known",
                hint="define it with `def` in a file of the project, or in a notebook cell",
            )
        return home, tree, found[0]

    def klass(self, cls: type) -> str:
        """Write a class; return its name."""
        if id(cls) in self.names:
            return self.names[id(cls)]
        home = self.walk.module_of_class(cls)
        for tree in reversed(home.trees if home else []):
            found = [d for d in tree.definitions.get(cls.__qualname__, []) if isinstance(d.node, ast.ClassDef)]
            if home is not None and found:
                return self.write_class(cls, home, tree, found[-1])
        raise DefinitionError(
            f"class {cls.__qualname__!r} cannot travel to a worker: its source is not known",
            hint="define it in a file of the project",
        )

    def write_class(self, cls: type, home: Module, tree: SourceTree, definition: Definition) -> str:
        """Write a class statement."""
        form = tree.klass(definition)
        methods = [tree.function(tree.by_node[m]) for m in form.methods]
        forms = [form.head, form.body, *form.decorators, *[m.body for m in methods]]
        forms += [f for m in methods for f in (*m.decorators, *[d for _, d in m.defaults])]
        cells: dict[str, object] = {}
        for value in vars(cls).values():
            inner = getattr(value, "__func__", value)
            is_own = isinstance(inner, types.FunctionType) and tree.code_definitions(inner.__code__)
            if isinstance(inner, types.FunctionType) and is_own:  # not what a dataclass generates
                cells |= {k: v for k, v in cells_of(inner).items() if k != "__class__" and v is not cls}
        name = self.fresh(cls.__name__, cls)
        if name != cls.__name__:
            raise DefinitionError(f"two classes named {cls.__name__!r} are used", hint="rename one of them")
        node = copy.deepcopy(definition.node)
        _Absolute(home).visit(node)
        self.write(name, ast.unparse(node), home, forms=forms, cells=cells, definition=definition)
        return name

    def write(
        self,
        name: str,
        text: str,
        home: Module,
        *,
        forms: Iterable[Form],
        cells: Mapping[str, object],
        definition: Definition,
    ) -> None:
        """Write a definition after what it needs; in a function of its own where it has closed over values."""
        refs = [ref for form in forms for ref in form.refs if ref.where == "global" and ref.name != name]
        if home.is_entered and not cells:
            for ref in refs:
                self.bind_global(ref, home)
            self.lines += ["", *text.splitlines()]
            return
        inner = [f"from {home.name} import {n}" for n in _names_in(refs, home)] if not home.is_entered else []
        if home.is_entered:
            for ref in refs:
                self.bind_global(ref, home)
        values = {n: self.expression(v, f"{definition.qualname}.{n}") for n, v in cells.items()}
        body = [*inner, *text.splitlines(), f"return {name}"]
        maker = f"_make_{len(self.names)}_{name}"
        self.lines += ["", f"def {maker}({', '.join(values)}):", *[f"    {line}" for line in body]]
        self.lines += ["", f"{name} = {maker}({', '.join(values.values())})"]

    def bind_global(self, ref: Ref, home: Module) -> None:
        """Give a module-level name of entered code the value that it has now."""
        value = home.globals.get(ref.name, MISSING)
        if value is MISSING or ref.name.startswith("__"):
            return
        if isinstance(value, types.ModuleType):
            self.import_module(value, ref.name)
            return
        known = self.names.get(id(value)) if not _is_shared(value) else None
        text = known or self.expression(value, ref.name)
        if text != ref.name and self.taken.setdefault(ref.name, id(value)) == id(value):
            line = f"{ref.name} = {text}"
            self.lines += [line] if line not in self.lines else []

    def import_module(self, module: types.ModuleType, name: str) -> str:
        """Import a module under a name."""
        self.imports.add(f"import {module.__name__} as {name}")
        return name

    def expression(self, value: object, where: str) -> str:
        """Return an expression for a value. Raises DefinitionError if it cannot be written down."""
        plain = self.plain(value, where)
        if plain is not None:
            return plain
        if isinstance(value, types.ModuleType):
            return self.import_module(value, f"_module_{value.__name__.replace('.', '_')}")
        value = _plain(value)
        imported = self.imported(value)
        if imported is not None:
            return imported
        if isinstance(value, types.FunctionType):
            return self.function(value)
        if isinstance(value, type):
            return self.klass(value)
        if isinstance(value, LRU_CACHE):
            self.imports.add("import functools")
            limits = value.cache_parameters()
            return f"functools.lru_cache(**{limits!r})({self.expression(value.__wrapped__, where)})"
        if isinstance(value, functools.partial):
            self.imports.add("import functools")
            parts = [value.func, *value.args]
            texts = [self.expression(part, where) for part in parts]
            texts += [f"{k}={self.expression(v, where)}" for k, v in value.keywords.items()]
            return f"functools.partial({', '.join(texts)})"
        raise DefinitionError(
            f"{where!r} holds a value that cannot travel to a worker: {type(value).__qualname__}",
            hint="pass it as an input of the step, or make it inside the step",
        )

    def plain(self, value: object, where: str) -> str | None:
        """Return a plain value as an expression; None for any other."""
        kind = type(value)
        if kind in _ATOMS:
            return repr(value)
        if kind is float:
            return repr(value) if math.isfinite(cast(float, value)) else f"float('{value!r}')"
        if kind in (list, tuple, set, frozenset):
            members = list(cast("list[object]", value))
            items = [self.expression(item, f"{where}[{n}]") for n, item in enumerate(members)]
            return f"{kind.__name__}([{', '.join(sorted(items) if kind in (set, frozenset) else items)}])"
        if kind is dict:
            pairs = [
                (self.expression(k, where), self.expression(v, f"{where}[{k!r}]"))
                for k, v in cast("dict[object, object]", value).items()
            ]
            return "{" + ", ".join(f"{k}: {v}" for k, v in pairs) + "}"
        return self.rich(value, where)

    def rich(self, value: object, where: str) -> str | None:
        """Return an enum member, date, path, pattern or frozen dataclass as an expression; None for any other."""
        kind = type(value)
        if isinstance(value, enum.Enum):
            return f"{self.expression(kind, where)}[{value.name!r}]"
        if kind in _BY_REPR:
            module = _BY_REPR[kind]
            self.imports |= {f"import {module}", f"from {module} import {kind.__name__}"}
            return repr(value)
        if isinstance(value, PurePath):
            self.imports.add("import pathlib")
            return f"pathlib.{kind.__name__.replace('Posix', '').replace('Windows', '')}({str(value)!r})"
        if isinstance(value, re.Pattern):
            self.imports.add("import re")
            return f"re.compile({value.pattern!r}, {value.flags})"
        if is_frozen_data(value) and not isinstance(value, type):
            fields = [f for f in dataclasses.fields(value) if f.init]  # type: ignore[arg-type]
            texts = [f"{f.name}={self.expression(getattr(value, f.name), f'{where}.{f.name}')}" for f in fields]
            return f"{self.expression(kind, where)}({', '.join(texts)})"
        return None

    def imported(self, value: object) -> str | None:
        """Import a function or class that has a name in an importable module; None for any other."""
        module, qualname = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
        if not isinstance(module, str) or not isinstance(qualname, str) or "<" in qualname:
            return None
        scope = value.__globals__ if isinstance(value, types.FunctionType) else None
        import sys  # noqa: PLC0415

        home = sys.modules.get(module)
        own = self.walk.module_of(scope if scope is not None else vars(home)) if home is not None else None
        if home is None or (own is not None and own.is_entered):
            return None
        here: object = home
        for part in qualname.split("."):
            here = getattr(here, part, None)
        if here is not value and _plain(here) is not value:
            return None
        top, _, rest = qualname.partition(".")
        alias = f"_{(own.name if own else module).replace('.', '_')}_{top}"
        self.imports.add(f"from {own.name if own else module} import {top} as {alias}")
        text = alias + (f".{rest}" if rest else "")
        return text if here is value else f"{text}.__wrapped__"  # a step: its function


def _is_shared(value: object) -> bool:
    """Tell whether equal values of a type may be one object, so that identity says nothing."""
    return isinstance(value, (*_ATOMS, float, tuple, frozenset))


def _names_in(refs: Iterable[Ref], home: Module) -> list[str]:
    found = {ref.name: None for ref in refs if ref.name in home.globals and not ref.name.startswith("__")}
    return list(found)


def _renamed(node: ast.AST, name: str) -> str:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        node.name = name
    return ast.unparse(node)


class _Absolute(ast.NodeTransformer):
    """Makes relative imports absolute, because the text moves to another module."""

    def __init__(self, home: Module) -> None:
        self.home = home

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.ImportFrom:
        if node.level:
            from headwater.fingerprint.scopes import Import  # noqa: PLC0415

            node.module = absolute(Import(node.module or "", None, node.level, ""), self.home.globals)
            node.level = 0
        return node
