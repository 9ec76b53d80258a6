"""Writes the form of a piece of syntax while walking through its tree (pure)."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from headwater.fingerprint.scopes import Import, Scope, import_of, imports_in, owner_of
from headwater.fingerprint.syntax import (
    arguments_of,
    constant_token,
    defaults_of,
    dotted,
    is_idle,
    is_quiet,
    is_type_checking,
    last_name,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

Use: TypeAlias = Literal["call", "quiet", "value", "store"]

#: Calls that take a function and cannot tell its name to anybody.
_QUIET = frozenset(
    "map filter sorted min max reduce partial partialmethod starmap submit apply applymap transform pipe wraps "  # noqa: SIM905  one word a line would hide them
    "update_wrapper isinstance issubclass type super callable id len lru_cache cache cached_property property "
    "staticmethod classmethod register takewhile dropwhile groupby defaultdict singledispatch singledispatchmethod "
    "field contextmanager".split()
)
#: Attributes through which code sees what a form leaves out.
_SEEING = {
    "__name__": {"names"},
    "__qualname__": {"names"},
    "__module__": {"names"},
    "__doc__": {"docs"},
    "__annotations__": {"annotations"},
    "__code__": {"names", "docs"},
    "__dict__": {"order"},
    "__subclasses__": {"subclasses"},
}
_SKIPPED = frozenset({"ctx", "type_comment", "kind", "lineno"})


@dataclass(frozen=True, slots=True)
class Ref:
    """One use of something that the piece itself does not define."""

    name: str
    #: Attributes taken from it, as far as they are plain: ``("random", "seed")`` for ``np.random.seed``.
    chain: tuple[str, ...]
    use: Use
    line: int
    #: Where the name is looked up: among the module's names, in the closure, or by a function's own import.
    where: Literal["global", "free", "import"] = "global"
    imported: Import | None = None
    #: The first argument of the call, when it is a literal text.
    argument: str | None = None


@dataclass(frozen=True, slots=True)
class Form:
    """The normal form of some syntax: ``parts[0] refs[0] parts[1] … parts[-1]``."""

    parts: tuple[str, ...]
    refs: tuple[Ref, ...] = ()
    #: What functions in it import.
    imports: tuple[Import, ...] = ()
    #: What it can see that forms leave out: names, docs, annotations, order, subclasses.
    sees: frozenset[str] = frozenset()


class Writer:
    """Writes the form of one piece; lives as long as that takes."""

    def __init__(self, scopes: Mapping[ast.AST, Scope], scope: Scope, *, inside: tuple[Scope, ...]) -> None:
        self.scopes = scopes
        self.scope = scope
        self.inside = set(inside)
        self.numbers: dict[Scope, int] = {}
        self.locals: dict[tuple[Scope, str], int] = {}
        self.buffer: list[str] = []
        self.parts: list[str] = []
        self.refs: list[Ref] = []
        self.imports: list[Import] = []
        self.sees: set[str] = set()

    def out(self, text: str) -> None:
        """Append a word."""
        self.buffer.append(text)

    def finish(self) -> Form:
        """Return the form of what was written."""
        self.parts.append(" ".join(self.buffer))
        return Form(tuple(self.parts), tuple(self.refs), tuple(self.imports), frozenset(self.sees))

    def _ref(self, ref: Ref) -> None:
        self.parts.append(" ".join(self.buffer))
        self.buffer = []
        self.refs.append(ref)

    def visit(self, node: ast.AST, use: Use = "value") -> None:
        """Write any node; ``use`` says what is done with its value."""
        kind = type(node).__name__
        special: Callable[[ast.AST, Use], None] | None = getattr(self, f"_on_{kind}", None)
        if special is not None:
            special(node, use)
            return
        self.out(kind + "(")
        for field in node._fields:
            if field not in _SKIPPED:
                self._value(getattr(node, field, None))
        self.out(")")

    def _value(self, value: object) -> None:
        if isinstance(value, ast.AST):
            self.visit(value)
        elif isinstance(value, list):
            items: list[object] = value
            if items and isinstance(items[0], ast.stmt):
                self.body([item for item in items if isinstance(item, ast.stmt)])
            else:
                self.items(items)
        else:
            self.out("~" if value is None else repr(value))

    def items(self, items: Sequence[object]) -> None:
        """Write a list of nodes and plain values."""
        self.out("[")
        for item in items:
            self._value(item)
        self.out("]")

    def body(self, statements: Sequence[ast.stmt], *, of_function: bool = False) -> None:
        """Write statements, but for those that do nothing, and imports that a function begins with."""
        self.out("{")
        is_start = of_function
        for statement in statements:
            if is_start and isinstance(statement, ast.Import | ast.ImportFrom):
                self._imported(statement, is_start=True)
            elif not (is_idle(statement) or is_type_checking(statement)):
                is_start = False
                self.visit(statement)
            elif isinstance(statement, ast.If) and statement.orelse:
                self.body(statement.orelse)
        self.out("}")

    # Names

    def _on_Name(self, node: ast.Name, use: Use) -> None:
        self._name(node.id, (), use if isinstance(node.ctx, ast.Load) else "store", node.lineno)

    def _name(self, name: str, chain: tuple[str, ...], use: Use, line: int, argument: str | None = None) -> None:
        owner = owner_of(self.scope, name)
        if owner is None:
            self._ref(Ref(name, chain, use, line, argument=argument))
            return
        imported = import_of(owner, name) if owner.kind == "function" else None
        if imported is not None:
            self._ref(Ref(name, chain, use, line, "import", imported, argument))
        elif owner not in self.inside and owner.kind != "class":
            self._ref(Ref(name, chain, use, line, "free"))
        else:
            self.out(self._local(owner, name) + "".join(f".{attribute}" for attribute in chain))

    def _local(self, owner: Scope, name: str) -> str:
        number = self.numbers.setdefault(owner, len(self.numbers))
        literal = owner.kind == "class" or owner.is_rigid or name in owner.parameters or name in owner.definitions
        if literal:
            return f"${number}:{name}"
        return f"${number}.{self.locals.setdefault((owner, name), len(self.locals))}"

    def _binding(self, name: str | None, line: int) -> None:
        """Write a name that a statement binds without a Name node: ``except … as x``, a match capture."""
        if name is None:
            self.out("~")
        else:
            self._name(name, (), "store", line)

    def _on_Attribute(self, node: ast.Attribute, use: Use) -> None:
        self._see(node)
        found = dotted(node)
        if found is not None:
            self._name(found[0].id, found[1], use if isinstance(node.ctx, ast.Load) else "store", node.lineno)
            return
        self.out("Attribute(")
        self.visit(node.value)
        self.out(f"{node.attr} )")

    def _see(self, node: ast.Attribute) -> None:
        here: ast.expr = node
        while isinstance(here, ast.Attribute):
            below = here.value
            of_class = last_name(below) in ("type", "__class__", "cls") and here.attr in ("__name__", "__qualname__")
            if not of_class:  # the names of classes count anyway
                self.sees |= _SEEING.get(here.attr, set())
            here = below

    def _on_Constant(self, node: ast.Constant, _use: Use) -> None:
        self.out(constant_token(node.value))

    def _on_UnaryOp(self, node: ast.UnaryOp, _use: Use) -> None:
        operand = node.operand
        is_number = isinstance(operand, ast.Constant) and type(operand.value) in (int, float)
        if is_number and isinstance(node.op, ast.USub):
            self.out(constant_token(ast.literal_eval(node)))
            return
        self.out(f"UnaryOp( {type(node.op).__name__}")
        self.visit(operand)
        self.out(")")

    # Calls

    def _on_Call(self, node: ast.Call, _use: Use) -> None:
        called = last_name(node.func)
        self.out("Call(")
        if called in ("getattr", "hasattr") and self._attribute_by_name(node):
            return
        chain = dotted(node.func)
        if chain is not None:
            self._see(node.func) if isinstance(node.func, ast.Attribute) else None
            first = node.args[0] if node.args else None
            text = first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else None
            self._name(chain[0].id, chain[1], "call", node.lineno, text)
        else:
            self.visit(node.func, "call")
        use: Use = "quiet" if called in _QUIET else "value"
        for argument in node.args:
            is_logger_name = called == "getLogger" and isinstance(argument, ast.Name) and argument.id == "__name__"
            if not is_logger_name:
                self.visit(argument, use)
        for keyword in node.keywords:
            self.out(f"{keyword.arg or '**'} =")
            self.visit(keyword.value, "quiet" if keyword.arg in ("key", "default_factory") else use)
        self.out(")")

    def _on_Subscript(self, node: ast.Subscript, _use: Use) -> None:
        self.out("Subscript(")
        found = dotted(node.value)
        key = node.slice.value if isinstance(node.slice, ast.Constant) else None
        if found is not None and isinstance(key, str) and last_name(node.value) in ("environ", "environb"):
            self._name(found[0].id, found[1], "value", node.lineno, key)
        else:
            self.visit(node.value)
        self.visit(node.slice)
        self.out(")")

    def _attribute_by_name(self, node: ast.Call) -> bool:
        """Write ``getattr(module, "name")`` as the attribute it is; False where it is something else."""
        match node:
            case ast.Call(func=ast.Name(id=called), args=[target, ast.Constant(value=str(attribute)), *rest]):
                found = dotted(target)
            case _:
                return False
        if found is None or owner_of(self.scope, called) is not None:
            return False
        self.out(called)
        self._name(found[0].id, (*found[1], attribute), "value", node.lineno)
        self.sees |= _SEEING.get(attribute, set())
        self.items(rest)
        self.out(")")
        return True

    # Functions and classes inside the piece

    def _on_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef, _use: Use) -> None:
        self.out(type(node).__name__)
        self._items_called(node.decorator_list)
        self._binding(node.name, node.lineno)
        if not is_quiet(node.decorator_list):
            self._annotations(node)
        self._function(node, node.body)

    _on_AsyncFunctionDef = _on_FunctionDef

    def _annotations(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        for argument in arguments_of(node.args):
            if argument.annotation is not None:
                self.out(argument.arg)
                self.annotation(argument.annotation)
        if node.returns is not None:
            self.annotation(node.returns)
        self.out(repr(ast.get_docstring(node)))

    def _items_called(self, nodes: Sequence[ast.expr]) -> None:
        self.out("[")
        for node in nodes:
            self.visit(node, "call")
        self.out("]")

    def _on_Lambda(self, node: ast.Lambda, _use: Use) -> None:
        self.out("Lambda")
        self._function(node, None)

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda, body: list[ast.stmt] | None) -> None:
        for _name, default in defaults_of(node.args):
            self.visit(default)
        outer = self._enter(node)
        self.signature(node.args, defaults=True)
        if body is None:
            self.visit(node.body)  # type: ignore[arg-type]
        else:
            self.body(body, of_function=True)
        self.scope = outer

    def _enter(self, node: ast.AST) -> Scope:
        outer, self.scope = self.scope, self.scopes[node]
        self.inside.add(self.scope)
        return outer

    def signature(self, arguments: ast.arguments, *, defaults: bool) -> None:
        """Write the names and kinds of parameters, and which of them have defaults."""
        optional = {name for name, _ in defaults_of(arguments)}
        marks = [(a, "/") for a in arguments.posonlyargs] + [(a, "") for a in arguments.args]
        marks += [(arguments.vararg, "*")] if arguments.vararg else []
        marks += [(a, "=") for a in arguments.kwonlyargs]
        marks += [(arguments.kwarg, "**")] if arguments.kwarg else []
        texts = [f"{mark}{a.arg}{'?' if a.arg in optional else ''}" for a, mark in marks]
        self.out(f"({','.join(texts)}){'d' if defaults else ''}")

    def _on_ClassDef(self, node: ast.ClassDef, _use: Use) -> None:
        self.out("ClassDef")
        self._items_called(node.decorator_list)
        self._binding(node.name, node.lineno)
        self.items(node.bases)
        self.items(node.keywords)
        outer = self._enter(node)
        self.body(node.body)
        self.scope = outer

    def _comprehension(self, node: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp, _use: Use) -> None:
        self.out(type(node).__name__ + "(")
        self.visit(node.generators[0].iter)
        outer = self._enter(node)
        for number, generator in enumerate(node.generators):
            self.out("async" if generator.is_async else "for")
            self.visit(generator.target)
            if number:
                self.visit(generator.iter)
            self.items(generator.ifs)
        for element in (node.key, node.value) if isinstance(node, ast.DictComp) else (node.elt,):
            self.visit(element)
        self.scope = outer
        self.out(")")

    _on_ListComp = _on_SetComp = _on_DictComp = _on_GeneratorExp = _comprehension

    # Statements

    def _on_AnnAssign(self, node: ast.AnnAssign, _use: Use) -> None:
        if self.scope.kind == "class":
            self.out("Field(")
            self.visit(node.target)
            self.annotation(node.annotation)
            self._value(node.value)
            self.out(")")
        elif node.value is not None:
            self.visit(ast.copy_location(ast.Assign([node.target], node.value), node))

    def annotation(self, node: ast.expr) -> None:
        """Write an annotation; texts in it are parsed, so that postponed evaluation makes no difference."""
        self.visit(_Unquoted().visit(ast.parse(ast.unparse(node), mode="eval").body))

    def _import(self, node: ast.Import | ast.ImportFrom, _use: Use) -> None:
        self._imported(node, is_start=False)

    def _imported(self, node: ast.Import | ast.ImportFrom, *, is_start: bool) -> None:
        for name, target in imports_in(node):
            self.imports.append(target)
            if self.scope.kind == "module":
                continue
            owner = owner_of(self.scope, name)
            is_only = owner is not None and import_of(owner, name) is not None
            if not (is_only and is_start):
                self.out("Import")
                self._binding_of_import(name, node.lineno)
            if not is_only:
                self._ref(Ref(name, (), "value", node.lineno, "import", target))

    def _binding_of_import(self, name: str, line: int) -> None:
        owner = owner_of(self.scope, name)
        if owner is None:
            self._ref(Ref(name, (), "store", line))
        else:
            self.out(self._local(owner, name))

    _on_Import = _on_ImportFrom = _import

    def _on_Global(self, _node: ast.AST, _use: Use) -> None:
        """Scopes know it already."""

    _on_Nonlocal = _on_Global

    def _on_ExceptHandler(self, node: ast.ExceptHandler, _use: Use) -> None:
        self.out("except(")
        self._value(node.type)
        self._binding(node.name, node.lineno)
        self.body(node.body)
        self.out(")")

    def _on_MatchAs(self, node: ast.MatchAs, _use: Use) -> None:
        self.out("MatchAs(")
        self._value(node.pattern)
        self._binding(node.name, node.lineno)
        self.out(")")

    def _on_MatchStar(self, node: ast.MatchStar, _use: Use) -> None:
        self.out("MatchStar")
        self._binding(node.name, node.lineno)

    def _on_MatchMapping(self, node: ast.MatchMapping, _use: Use) -> None:
        self.out("MatchMapping(")
        self.items(node.keys)
        self.items(node.patterns)
        self._binding(node.rest, node.lineno)
        self.out(")")


class _Unquoted(ast.NodeTransformer):
    """Replaces texts in an annotation by what they stand for, but not inside ``Literal[…]`` and ``Annotated[T, …]``."""

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        if isinstance(node.value, str):
            try:
                return ast.parse(node.value, mode="eval").body
            except SyntaxError:
                return node
        return node

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        kind = last_name(node.value)
        if kind == "Literal":
            return node
        if kind == "Annotated" and isinstance(node.slice, ast.Tuple) and node.slice.elts:
            first, *rest = node.slice.elts
            return ast.Subscript(node.value, ast.Tuple([self.visit(first), *rest], ast.Load()), ast.Load())
        visited = self.generic_visit(node)
        return visited if isinstance(visited, ast.expr) else node
