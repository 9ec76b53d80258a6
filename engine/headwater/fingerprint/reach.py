"""From a function to its fingerprint: walk, add import-time effects, digest."""

from __future__ import annotations

import types
from typing import TYPE_CHECKING

from headwater.errors import DefinitionError
from headwater.fingerprint.classes import build_class
from headwater.fingerprint.distributions import closure_of
from headwater.fingerprint.effects import build_effect, effects_of, modules_imported, note_unused_imports
from headwater.fingerprint.functions import build_function, build_static, cells_of, source_of
from headwater.fingerprint.merkle import Node, digests, own_digest
from headwater.fingerprint.naming import build_name
from headwater.fingerprint.objects import callable_target, class_target, given, wrapped_of
from headwater.fingerprint.report import Fingerprint, Piece
from headwater.fingerprint.resolve import add_form, resolve
from headwater.fingerprint.staleness import note_loaded
from headwater.fingerprint.walk import Context, Module, Walk, absolute

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from headwater.fingerprint.project import Project, Source
    from headwater.fingerprint.writing import Form

#: The version of what a fingerprint is made of.
SCHEME = 1
_PLAIN_RETURNS = frozenset({"int", "float", "str", "bool", "list", "dict", "object", "Any", "None", "complex"})


def fingerprint(function: Callable[..., object], project: Project, *, also: Sequence[type] = ()) -> Fingerprint:
    """Return the fingerprint of a step's function, or of a class: what it is and all that it can reach.

    ``also`` names classes whose instances it is given: their methods can be reached too.
    """
    note_loaded(project)
    walk = Walk(project)
    root = _walk(walk, function, also)
    while not walk.seen <= walk.sees:  # what code can see counts everywhere: look again
        walk = Walk(project, walk.sees | walk.seen)
        root = _walk(walk, function, also)
    return _report(walk, root)


def _walk(walk: Walk, function: Callable[..., object], also: Sequence[type]) -> Node:
    target = callable_target(walk, function)
    if target is None:
        raise DefinitionError(
            f"{function!r} cannot be fingerprinted: it is neither a function nor a class",
            hint="write a `def` that calls it",
        )
    root = Node("step", "", "", 0, [f"scheme {SCHEME}", target])
    _add_signature(walk, root, function)
    for cls in sorted(also, key=lambda c: (c.__module__, c.__qualname__)):
        root.items += ["also", class_target(walk, cls)]
    _drain(walk)
    for module in _effective(walk):
        effect = Node("effect", f"import of {module.name}", module.label, 0)
        root.items += ["effect", walk.request("effect", (id(module.globals),), module, effect)]
        _drain(walk)
    return root


def _drain(walk: Walk) -> None:
    """Build every piece that was asked for."""
    builders: dict[str, Callable[..., None]] = {
        "function": build_function,
        "static": build_static,
        "class": build_class,
        "name": build_name,
        "module": _build_module,
        "file": _build_file,
        "effect": build_effect,
    }
    while walk.queue:
        job, node, payload = walk.queue.popleft()
        builders[job](walk, node, payload)


def _effective(walk: Walk) -> Iterable[Module]:
    """Yield the reached modules, and what they import, that do something at import; more may be reached meanwhile."""
    done: set[str] = set()
    todo: list[Module] = []
    while True:
        todo += [module for name, module in walk.reached.items() if name not in done and module not in todo]
        if not todo:
            return
        module = todo.pop(0)
        if module.name in done:
            continue
        done.add(module.name)
        if module.is_entered:  # what was tried in other cells is no part of a step
            continue
        note_unused_imports(walk, module)
        todo += [m for m in modules_imported(walk, module) if m.name not in done]
        if any(effects_of(tree, module.globals) for tree in module.trees):
            yield module


def _build_module(walk: Walk, node: Node, module: Module) -> None:
    """Fill in the piece of a whole module."""
    walk.reach(module)
    for source in module.sources:
        tree = source.tree
        if tree is None:
            node.items.append(source.digest)
            continue
        node.items.append(" ".join(sorted(tree.bindings)))
        add_form(walk, node, tree.whole, Context(module, source=source))


def _build_file(walk: Walk, node: Node, payload: tuple[str, Source]) -> None:
    """Fill in the piece of a file that could not be imported, and of what it imports."""
    name, source = payload
    tree = source.tree
    if tree is None:
        node.items.append(source.digest)
        return
    package = name if source.label.endswith("__init__.py") else name.rpartition(".")[0]
    module = Module(name, {"__name__": name, "__package__": package}, [source])
    add_form(walk, node, tree.whole, Context(module, source=source))
    for imported in tree.whole.imports:
        path = absolute(imported, module.globals)
        for place in {path, f"{path}.{imported.name}" if imported.name else imported.loads}:
            below = walk.file(place, f"it is imported by {source.label}")
            node.items += [below] if below is not None else []
        if walk.project.module_path(path) is None:
            node.items.append(walk.external(path))


def _add_signature(walk: Walk, root: Node, function: Callable[..., object]) -> None:
    """Take in the step's own annotations as far as they act: project classes, and what is returned."""
    plain = _plain_function(function)
    module = walk.module_of(plain.__globals__) if plain is not None else None
    source = source_of(walk, plain.__code__, module) if plain is not None and module is not None else None
    tree = source.tree if source else None
    if plain is None or module is None or tree is None:
        return
    for definition in tree.code_definitions(plain.__code__)[:1]:
        context = Context(module, cells_of(plain), source, definition)
        for name, annotation in tree.function(definition).annotations:
            _add_annotation(walk, root, name, annotation, context)


def _add_annotation(walk: Walk, root: Node, name: str, form: Form, context: Context) -> None:
    is_plain = len(form.parts) == 2 and form.refs[0].name in _PLAIN_RETURNS
    if name == "return" and form.refs and not is_plain:
        root.items.append("returns")
        add_form(walk, root, form, context)
        return
    for ref in form.refs:
        targets = [t for t in resolve(walk, ref, context) if isinstance(t, Node) and t.kind == "class"]
        root.items += [f"takes {name}", *targets] if targets else []


def _plain_function(value: object) -> types.FunctionType | None:
    """Return the function below wrappers."""
    for _ in range(20):
        below = wrapped_of(value) or given(value, "__func__") or given(value, "func")
        if below is None:
            return value if isinstance(value, types.FunctionType) else None
        value = below
    return None


def _report(walk: Walk, root: Node) -> Fingerprint:
    found = digests([root])
    pieces: dict[Node, Piece] = {}
    stack: list[Node] = [root]
    seen = {root}
    while stack:
        node = stack.pop()
        if node.kind not in ("step", "group"):
            pieces[node] = Piece(node.label, node.kind, node.file, node.line, own_digest(node), node.shown)
        for item in reversed([*node.items, *node.loose]):
            if isinstance(item, Node) and item not in seen:
                seen.add(item)
                stack.append(item)
    return Fingerprint(
        digest=found[root],
        pieces=tuple(pieces.values()),
        distributions=closure_of(walk.distributions),
        volatile=tuple(sorted(walk.volatile)),
        variables=tuple(sorted(walk.variables)),
        widened=tuple(walk.widened),
    )
