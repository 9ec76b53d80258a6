"""Normal forms: what a piece of syntax says, without what cannot act (pure).

A form is text cut into parts; between two parts stands a reference to something outside the piece. Comments,
formatting, docstrings, annotations that do not act and the names of local variables are not in it.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from headwater.fingerprint.scopes import Import, Scope, import_of, owner_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

Use: TypeAlias = Literal["call", "quiet", "value", "store"]

#: Calls that take a function and cannot tell its name to anybody.
_QUIET = frozenset(
    ["map", "filter", "sorted", "min", "max", "reduce", "partial", "partialmethod", "starmap", "submit", "apply", "applymap", "transform", "pipe", "wraps", "update_wrapper", "isinstance", "issubclass", "type", "super", "callable", "id", "len", "lru_cache", "cache", "cached_property", "property", "staticmethod", "classmethod", "register", "takewhile", "dropwhile", "groupby", "defaultdict", "singledispatch", "singledispatchmethod", "field", "contextmanager"]
)
#: Decorators that cannot act upon annotations or docstrings; others may.
QUIET_DECORATORS = frozenset(
    ["staticmethod", "classmethod", "property", "setter", "getter", "deleter", "wraps", "lru_cache", "cache", "cached_property", "abstractmethod", "contextmanager", "asynccontextmanager", "override", "final", "overload", "step", "pipeline", "total_ordering", "dataclass", "unique"]
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


@dataclass(frozen=True, slots=True)
class FunctionForm:
    """A function in parts: the body always counts, the rest by circumstances."""

    name: str
    line: int
    body: Form
    decorators: tuple[Form, ...]
    defaults: tuple[tuple[str, Form], ...]
    #: Parameter (or ``return``) → its annotation.
    annotations: tuple[tuple[str, Form], ...]
    doc: str | None
    is_quiet: bool


@dataclass(frozen=True, slots=True)
class ClassForm:
    """A class in parts; methods are told apart from the rest of its body."""

    name: str
    line: int
    head: Form
    decorators: tuple[Form, ...]
    body: Form
    methods: tuple[ast.FunctionDef | ast.AsyncFunctionDef, ...]
    doc: str | None
    #: Names that statements of its body bind.
    names: frozenset[str]


def form_of(nodes: Iterable[ast.AST], scopes: Mapping[ast.AST, Scope], scope: Scope) -> Form:
    """Return the form of statements or expressions that lie in ``scope``."""
    writer = _Writer(scopes, scope, inside=())
    every = list(nodes)
    if every and all(isinstance(node, ast.stmt) for node in every):
        writer.body([node for node in every if isinstance(node, ast.stmt)])
    else:
        for node in every:
            writer.visit(node)
    return writer.finish()


def form_of_function(
    node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda, scopes: Mapping[ast.AST, Scope]
) -> FunctionForm:
    """Return the form of a function or lambda."""
    scope = scopes[node]
    outer = scope.parent or scope
    writer = _Writer(scopes, scope, inside=(scope,))
    writer.out(type(node).__name__)
    writer.signature(node.args, defaults=False)
    decorators: list[ast.expr] = []
    annotations: list[tuple[str, ast.expr]] = []
    if isinstance(node, ast.Lambda):
        writer.visit(node.body)
        name, doc = "<lambda>", None
    else:
        writer.body(node.body)
        name, doc, decorators = node.name, ast.get_docstring(node), node.decorator_list
        annotations = [(a.arg, a.annotation) for a in _arguments(node.args) if a.annotation is not None]
        annotations += [("return", node.returns)] if node.returns is not None else []
    return FunctionForm(
        name=name,
        line=node.lineno,
        body=writer.finish(),
        decorators=tuple(form_of([d], scopes, outer) for d in decorators),
        defaults=tuple((name, form_of([d], scopes, outer)) for name, d in _defaults(node.args)),
        annotations=tuple((name, annotation_form(a, scopes, outer)) for name, a in annotations),
        doc=doc,
        is_quiet=_is_quiet(decorators),
    )


def form_of_class(node: ast.ClassDef, scopes: Mapping[ast.AST, Scope]) -> ClassForm:
    """Return the form of a class."""
    scope = scopes[node]
    outer = scope.parent or scope
    head = _Writer(scopes, outer, inside=())
    head.items(node.bases)
    head.items(node.keywords)
    body = _Writer(scopes, scope, inside=(scope,))
    rest = [s for s in node.body if not isinstance(s, ast.FunctionDef | ast.AsyncFunctionDef)]
    body.body(rest)
    methods = tuple(s for s in node.body if isinstance(s, ast.FunctionDef | ast.AsyncFunctionDef))
    return ClassForm(
        name=node.name,
        line=node.lineno,
        head=head.finish(),
        decorators=tuple(form_of([d], scopes, outer) for d in node.decorator_list),
        body=body.finish(),
        methods=methods,
        doc=ast.get_docstring(node),
        names=frozenset(scope.bound),
    )


def annotation_form(node: ast.expr, scopes: Mapping[ast.AST, Scope], scope: Scope) -> Form:
    """Return the form of an annotation; text in it is read as the annotation it stands for."""
    writer = _Writer(scopes, scope, inside=())
    writer.annotation(node)
    return writer.finish()


def joined(forms: Sequence[Form]) -> Form:
    """Return one form for several in a row."""
    parts, refs, imports = [""], list[Ref](), list[Import]()
    for form in forms:
        parts[-1] += ";" + form.parts[0]
        parts += form.parts[1:]
        refs += form.refs
        imports += form.imports
    return Form(tuple(parts), tuple(refs), tuple(imports), frozenset[str]().union(*(f.sees for f in forms)))


def _arguments(arguments: ast.arguments) -> list[ast.arg]:
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    return every + [a for a in (arguments.vararg, arguments.kwarg) if a is not None]


def _defaults(arguments: ast.arguments) -> list[tuple[str, ast.expr]]:
    positional = [*arguments.posonlyargs, *arguments.args]
    found = list(zip([a.arg for a in positional][len(positional) - len(arguments.defaults) :], arguments.defaults))
    return found + [(a.arg, d) for a, d in zip(arguments.kwonlyargs, arguments.kw_defaults) if d is not None]


def last_name(node: ast.expr) -> str:
    """Return the last word of a dotted name or of a call of one; empty for anything else."""
    match node:
        case ast.Call(func=func):
            return last_name(func)
        case ast.Attribute(attr=attr):
            return attr
        case ast.Name(id=name):
            return name
        case _:
            return ""


def _is_quiet(decorators: Sequence[ast.expr]) -> bool:
    return all(last_name(decorator) in QUIET_DECORATORS for decorator in decorators)


def is_type_checking(node: ast.AST) -> bool:
    """Tell whether a statement is ``if TYPE_CHECKING:``."""
    return isinstance(node, ast.If) and last_name(node.test) == "TYPE_CHECKING"


def is_idle(node: ast.stmt) -> bool:
    """Tell whether a statement does nothing: ``pass``, a docstring or another lone constant."""
    return isinstance(node, ast.Pass) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))


def dotted(node: ast.expr) -> tuple[ast.Name, tuple[str, ...]] | None:
    """Return the name and the attributes of ``a.b.c``; None for anything else."""
    chain: list[str] = []
    while isinstance(node, ast.Attribute):
        chain.append(node.attr)
        node = node.value
    return (node, tuple(reversed(chain))) if isinstance(node, ast.Name) else None


class _Writer:
    """Writes the form of one piece while walking through its tree."""

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
        self.buffer.append(text)

    def finish(self) -> Form:
        self.parts.append(" ".join(self.buffer))
        return Form(tuple(self.parts), tuple(self.refs), tuple(self.imports), frozenset(self.sees))

    def ref(self, ref: Ref) -> None:
        self.parts.append(" ".join(self.buffer))
        self.buffer = []
        self.refs.append(ref)

    def visit(self, node: ast.AST, use: Use = "value") -> None:
        kind = type(node).__name__
        special: Callable[[ast.AST, Use], None] | None = getattr(self, f"on_{kind}", None)
        if special is not None:
            special(node, use)
            return
        self.out(kind + "(")
        for field in node._fields:
            if field not in _SKIPPED:
                self.value(getattr(node, field, None))
        self.out(")")

    def value(self, value: object) -> None:
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
        self.out("[")
        for item in items:
            self.value(item)
        self.out("]")

    def body(self, statements: Sequence[ast.stmt]) -> None:
        self.out("{")
        for statement in statements:
            if not (is_idle(statement) or is_type_checking(statement)):
                self.visit(statement)
            elif isinstance(statement, ast.If) and statement.orelse:
                self.body(statement.orelse)
        self.out("}")

    # Names

    def on_Name(self, node: ast.Name, use: Use) -> None:
        self.name(node.id, (), use if isinstance(node.ctx, ast.Load) else "store", node.lineno)

    def name(self, name: str, chain: tuple[str, ...], use: Use, line: int, argument: str | None = None) -> None:
        owner = owner_of(self.scope, name)
        if owner is None:
            self.ref(Ref(name, chain, use, line, argument=argument))
            return
        imported = import_of(owner, name) if owner.kind == "function" else None
        if imported is not None:
            self.ref(Ref(name, chain, use, line, "import", imported, argument))
        elif owner not in self.inside and owner.kind != "class":
            self.ref(Ref(name, chain, use, line, "free"))
        else:
            self.out(self.local(owner, name) + "".join(f".{attribute}" for attribute in chain))

    def local(self, owner: Scope, name: str) -> str:
        number = self.numbers.setdefault(owner, len(self.numbers))
        literal = owner.kind == "class" or owner.is_rigid or name in owner.parameters or name in owner.definitions
        if literal:
            return f"${number}:{name}"
        return f"${number}.{self.locals.setdefault((owner, name), len(self.locals))}"

    def binding(self, name: str | None, line: int) -> None:
        """Write a name that a statement binds without a Name node: ``except … as x``, a match capture."""
        if name is None:
            self.out("~")
        else:
            self.name(name, (), "store", line)

    def on_Attribute(self, node: ast.Attribute, use: Use) -> None:
        self._see(node)
        found = dotted(node)
        if found is not None:
            self.name(found[0].id, found[1], use if isinstance(node.ctx, ast.Load) else "store", node.lineno)
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

    def on_Constant(self, node: ast.Constant, _use: Use) -> None:
        self.out(constant_token(node.value))

    def on_UnaryOp(self, node: ast.UnaryOp, _use: Use) -> None:
        operand = node.operand
        is_number = isinstance(operand, ast.Constant) and type(operand.value) in (int, float)
        if is_number and isinstance(node.op, ast.USub):
            self.out(constant_token(-operand.value))  # type: ignore[union-attr,operator]
            return
        self.out(f"UnaryOp( {type(node.op).__name__}")
        self.visit(operand)
        self.out(")")

    # Calls

    def on_Call(self, node: ast.Call, _use: Use) -> None:
        called = last_name(node.func)
        self.out("Call(")
        if called in ("getattr", "hasattr") and self._attribute_by_name(node):
            return
        chain = dotted(node.func)
        if chain is not None:
            self._see(node.func) if isinstance(node.func, ast.Attribute) else None
            first = node.args[0] if node.args else None
            text = first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else None
            self.name(chain[0].id, chain[1], "call", node.lineno, text)
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

    def on_Subscript(self, node: ast.Subscript, _use: Use) -> None:
        self.out("Subscript(")
        found = dotted(node.value)
        key = node.slice.value if isinstance(node.slice, ast.Constant) else None
        if found is not None and isinstance(key, str) and last_name(node.value) in ("environ", "environb"):
            self.name(found[0].id, found[1], "value", node.lineno, key)
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
        self.name(found[0].id, (*found[1], attribute), "value", node.lineno)
        self.sees |= _SEEING.get(attribute, set())
        self.items(rest)
        self.out(")")
        return True

    # Functions and classes inside the piece

    def on_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef, _use: Use) -> None:
        self.out(type(node).__name__)
        self.items_called(node.decorator_list)
        self.binding(node.name, node.lineno)
        if not _is_quiet(node.decorator_list):
            self._annotations(node)
        self._function(node, node.body)

    on_AsyncFunctionDef = on_FunctionDef

    def _annotations(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        for argument in _arguments(node.args):
            if argument.annotation is not None:
                self.out(argument.arg)
                self.annotation(argument.annotation)
        if node.returns is not None:
            self.annotation(node.returns)
        self.out(repr(ast.get_docstring(node)))

    def items_called(self, nodes: Sequence[ast.expr]) -> None:
        self.out("[")
        for node in nodes:
            self.visit(node, "call")
        self.out("]")

    def on_Lambda(self, node: ast.Lambda, _use: Use) -> None:
        self.out("Lambda")
        self._function(node, None)

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda, body: list[ast.stmt] | None) -> None:
        for _name, default in _defaults(node.args):
            self.visit(default)
        outer = self._enter(node)
        self.signature(node.args, defaults=True)
        if body is None:
            self.visit(node.body)  # type: ignore[arg-type]
        else:
            self.body(body)
        self.scope = outer

    def _enter(self, node: ast.AST) -> Scope:
        outer, self.scope = self.scope, self.scopes[node]
        self.inside.add(self.scope)
        return outer

    def signature(self, arguments: ast.arguments, *, defaults: bool) -> None:
        """Write the names and kinds of parameters, and which of them have defaults."""
        optional = {name for name, _ in _defaults(arguments)}
        marks = [(a, "/") for a in arguments.posonlyargs] + [(a, "") for a in arguments.args]
        marks += [(arguments.vararg, "*")] if arguments.vararg else []
        marks += [(a, "=") for a in arguments.kwonlyargs]
        marks += [(arguments.kwarg, "**")] if arguments.kwarg else []
        texts = [f"{mark}{a.arg}{'?' if a.arg in optional else ''}" for a, mark in marks]
        self.out(f"({','.join(texts)}){'d' if defaults else ''}")

    def on_ClassDef(self, node: ast.ClassDef, _use: Use) -> None:
        self.out("ClassDef")
        self.items_called(node.decorator_list)
        self.binding(node.name, node.lineno)
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

    on_ListComp = on_SetComp = on_DictComp = on_GeneratorExp = _comprehension

    # Statements

    def on_AnnAssign(self, node: ast.AnnAssign, _use: Use) -> None:
        if self.scope.kind == "class":
            self.out("Field(")
            self.visit(node.target)
            self.annotation(node.annotation)
            self.value(node.value)
            self.out(")")
        elif node.value is not None:
            self.visit(ast.copy_location(ast.Assign([node.target], node.value), node))

    def annotation(self, node: ast.expr) -> None:
        """Write an annotation; texts in it are parsed, so that postponed evaluation makes no difference."""
        self.visit(_Unquoted().visit(ast.parse(ast.unparse(node), mode="eval").body))

    def _import(self, node: ast.Import | ast.ImportFrom, _use: Use) -> None:
        from headwater.fingerprint.scopes import imports_in  # noqa: PLC0415

        for name, target in imports_in(node):
            owner = owner_of(self.scope, name)
            self.imports.append(target)
            if owner is not None and import_of(owner, name) is None:
                self.out("Import")
                self.binding(name, node.lineno)
                self.ref(Ref(name, (), "value", node.lineno, "import", target))
            elif owner is None and self.scope.kind != "module":
                self.ref(Ref(name, (), "store", node.lineno))
                self.ref(Ref(name, (), "value", node.lineno, "import", target))

    on_Import = on_ImportFrom = _import

    def on_Global(self, _node: ast.AST, _use: Use) -> None:
        """Scopes know it already."""

    on_Nonlocal = on_Global

    def on_ExceptHandler(self, node: ast.ExceptHandler, _use: Use) -> None:
        self.out("except(")
        self.value(node.type)
        self.binding(node.name, node.lineno)
        self.body(node.body)
        self.out(")")

    def on_MatchAs(self, node: ast.MatchAs, _use: Use) -> None:
        self.out("MatchAs(")
        self.value(node.pattern)
        self.binding(node.name, node.lineno)
        self.out(")")

    def on_MatchStar(self, node: ast.MatchStar, _use: Use) -> None:
        self.out("MatchStar")
        self.binding(node.name, node.lineno)

    def on_MatchMapping(self, node: ast.MatchMapping, _use: Use) -> None:
        self.out("MatchMapping(")
        self.items(node.keys)
        self.items(node.patterns)
        self.binding(node.rest, node.lineno)
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


def constant_token(value: object) -> str:
    """Write a literal so that values of different types differ."""
    return f"={type(value).__name__}:{value!r}"
