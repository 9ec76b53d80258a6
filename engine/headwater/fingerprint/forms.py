"""Normal forms: what a piece of syntax says, without what cannot act (pure).

A form is text cut into parts; between two parts stands a reference to something outside the piece. Comments,
formatting, docstrings, annotations that do not act and the names of local variables are not in it.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headwater.fingerprint.scopes import Import
from headwater.fingerprint.syntax import arguments_of, defaults_of, is_quiet
from headwater.fingerprint.writing import Form, Ref, Writer

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from headwater.fingerprint.scopes import Scope


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
    writer = Writer(scopes, scope, inside=())
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
    writer = Writer(scopes, scope, inside=(scope,))
    writer.out(type(node).__name__)
    writer.signature(node.args, defaults=False)
    decorators: list[ast.expr] = []
    annotations: list[tuple[str, ast.expr]] = []
    if isinstance(node, ast.Lambda):
        writer.visit(node.body)
        name, doc = "<lambda>", None
    else:
        writer.body(node.body, of_function=True)
        name, doc, decorators = node.name, ast.get_docstring(node), node.decorator_list
        annotations = [(a.arg, a.annotation) for a in arguments_of(node.args) if a.annotation is not None]
        annotations += [("return", node.returns)] if node.returns is not None else []
    return FunctionForm(
        name=name,
        line=node.lineno,
        body=writer.finish(),
        decorators=tuple(form_of([d], scopes, outer) for d in decorators),
        defaults=tuple((name, form_of([d], scopes, outer)) for name, d in defaults_of(node.args)),
        annotations=tuple((name, annotation_form(a, scopes, outer)) for name, a in annotations),
        doc=doc,
        is_quiet=is_quiet(decorators),
    )


def form_of_class(node: ast.ClassDef, scopes: Mapping[ast.AST, Scope]) -> ClassForm:
    """Return the form of a class."""
    scope = scopes[node]
    outer = scope.parent or scope
    head = Writer(scopes, outer, inside=())
    head.items(node.bases)
    head.items(node.keywords)
    body = Writer(scopes, scope, inside=(scope,))
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
    writer = Writer(scopes, scope, inside=())
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
