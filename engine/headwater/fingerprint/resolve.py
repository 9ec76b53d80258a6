"""From a reference in a form to what it stands for now: a piece of the project, or text for something foreign."""

from __future__ import annotations

import builtins
import sys
import types
from dataclasses import replace
from typing import TYPE_CHECKING

from headwater.fingerprint.changing import is_state, needs_expression
from headwater.fingerprint.merkle import Node
from headwater.fingerprint.objects import callable_target, class_target, is_own, object_target, plain_items, value_text
from headwater.fingerprint.scopes import Import
from headwater.fingerprint.walk import MISSING, Context, Module, absolute, is_module

if TYPE_CHECKING:
    from headwater.fingerprint.walk import Target, Walk
    from headwater.fingerprint.writing import Form, Ref

#: Builtins that see a module's names, or can run any text.
_WIDE = frozenset({"globals", "eval", "exec"})
#: Names every module has.
_OF_MODULES = frozenset({"__name__", "__file__", "__package__", "__path__", "__spec__", "__loader__", "__cached__"})
#: Foreign names that see what forms leave out.
_SEEING = {
    "inspect": {"names", "docs", "annotations", "order"},
    "pydoc": {"names", "docs", "annotations"},
    "pickle": {"names"},
    "cloudpickle": {"names"},
    "dill": {"names"},
    "joblib": {"names"},
    "shelve": {"names"},
    "typing.get_type_hints": {"annotations"},
    "sys._getframe": {"names"},
    "builtins.help": {"names", "docs"},
    "builtins.vars": {"order"},
}
_IMPORTERS = frozenset({"importlib.import_module", "importlib.__import__", "builtins.__import__"})
_FINDER = "importlib.util.find_spec"
_ANY_CODE = ("runpy.", "pkgutil.", "importlib.util.", "importlib.machinery.", "importlib.reload", "sys.modules")


def add_form(walk: Walk, node: Node, form: Form, context: Context) -> None:
    """Append a form to a piece, each reference resolved."""
    walk.see(form.sees)
    for part, ref in zip(form.parts[:-1], form.refs, strict=True):
        node.items.append(part)
        node.items += resolve(walk, ref, context)
    node.items.append(form.parts[-1])
    for imported in form.imports:
        node.items += _reach_import(walk, imported, context)


def resolve(walk: Walk, ref: Ref, context: Context) -> list[Target]:
    """Return what a reference stands for, with the attributes that are left over."""
    if ref.where == "import" and ref.imported is not None:
        return _imported(walk, ref, ref.imported, context)
    if ref.where == "free":
        return _free(walk, ref, context)
    value = context.module.globals.get(ref.name, MISSING)
    if ref.name in _OF_MODULES:
        return [_of_module(walk, ref.name, context), *_rest(ref.chain)]
    if value is MISSING:
        return _builtin(walk, ref, context)
    return _member(walk, context.module, ref.name, ref, context)


def _rest(chain: tuple[str, ...]) -> list[Target]:
    return [f".{attribute}" for attribute in chain]


def _of_module(walk: Walk, name: str, context: Context) -> Target:
    module = context.module
    if name in ("__name__", "__package__"):
        return f"{name}={module.name if name == '__name__' else module.name.rpartition('.')[0]}"
    if name in ("__file__", "__path__", "__cached__"):
        return f"{name}={module.label}"
    return walk.whole(module, f"{name} is used")


def _builtin(walk: Walk, ref: Ref, context: Context) -> list[Target]:
    name = ref.name
    value = getattr(builtins, name, MISSING)
    if value is MISSING:
        if is_state(walk, context.module, name):
            return [walk.name(context.module, name), *_rest(ref.chain)]
        return [f"missing:{name}", *_rest(ref.chain)]
    if is_own(walk, value):
        return [callable_target(walk, value) or "?", *_rest(ref.chain)]
    if name in _WIDE:
        return [f"builtin:{name}", walk.whole(context.module, f"{name}() is used at {_place(ref, context)}")]
    return _foreign(walk, f"builtins.{name}", ref, context)


def _place(ref: Ref, context: Context) -> str:
    file = context.source.label if context.source else context.module.label
    return f"{file}:{ref.line}"


def _free(walk: Walk, ref: Ref, context: Context) -> list[Target]:
    """Resolve a name of an enclosing function: its value now, or else the enclosing function itself."""
    value = context.cells.get(ref.name, MISSING)
    definition, source = context.definition, context.source
    if value is MISSING or _is_rebound(ref.name, context):
        if definition is None or source is None or not definition.outer:
            return [f"free:{ref.name}", *_rest(ref.chain)]
        tree = source.tree
        outer = tree.by_node.get(definition.outer[-1]) if tree else None
        place = [walk.static(context.module, source, outer)] if outer is not None else []
        extra = own_state(walk, value) if value is not MISSING else []
        return [f"free:{ref.name}", *place, *extra, *_rest(ref.chain)]
    if is_module(value):
        return _through(walk, value, ref, context)
    if ref.name == "__class__" and isinstance(value, type):
        return [class_target(walk, value), *_rest(ref.chain)]
    where = f"{definition.qualname if definition else '?'}.{ref.name}"
    return [_closure_piece(walk, value, where, ref), *_named(value, ref), *_rest(ref.chain)]


def own_state(walk: Walk, value: object) -> list[Target]:
    """Return the project's code in a value that changes at run time."""
    from headwater.fingerprint.objects import own_code_in  # noqa: PLC0415

    return own_code_in(walk, value)


def _closure_piece(walk: Walk, value: object, where: str, ref: Ref) -> Target:
    target = callable_target(walk, value)
    if target is not None:
        return target
    items = plain_items(walk, value)
    if items is None:
        return object_target(walk, value, where)
    piece = Node("closure", where, "", ref.line, items, shown=value_text(walk, ref.name, value))
    piece.inline = items[0] if len(items) == 1 and isinstance(items[0], str) else None
    return piece


def _is_rebound(name: str, context: Context) -> bool:
    definition, source = context.definition, context.source
    tree = source.tree if source else None
    if definition is None or tree is None:
        return False
    return any(name in scope.nonlocals for scope in tree.scopes(definition.top).values())


def _named(value: object, ref: Ref) -> list[Target]:
    """Return a function's own name where the code that gets it may tell the name to somebody."""
    if ref.use == "value" and isinstance(value, types.FunctionType) and not ref.chain:
        return [f"named:{value.__name__}"]
    return []


def _imported(walk: Walk, ref: Ref, imported: Import, context: Context) -> list[Target]:
    """Resolve a name that a function imports by itself."""
    name = absolute(imported, context.module.globals)
    module = walk.load(name)
    if module is None:
        if walk.project.module_path(name) is not None:
            file = walk.file(name, f"it could not be imported for {_place(ref, context)}")
            return [file or f"missing:{name}", f"{imported.name}", *_rest(ref.chain)]
        path = f"{name}.{imported.name}" if imported.name else name
        return _foreign(walk, path, ref, context)
    if imported.name is None and imported.loads != name:
        walk.load(imported.loads)
    chain = (imported.name, *ref.chain) if imported.name else ref.chain
    return _through(walk, module, replace(ref, chain=chain), context)


def _reach_import(walk: Walk, imported: Import, context: Context) -> list[Target]:
    """Note the modules that a function imports: their import-time effects count; return those that fail."""
    name = absolute(imported, context.module.globals)
    below = f"{name}.{imported.name}" if imported.name else imported.loads
    failed: list[Target] = []
    for place in dict.fromkeys((name, below)):
        module = walk.load(place)
        live = walk.live_module(module) if module is not None else None
        if live is not None:
            walk.reach(live)
        elif place not in sys.modules:
            file = walk.file(place, "it is imported by a function, and that fails")
            failed += [file] if file is not None else []
    return failed


def _through(walk: Walk, module: types.ModuleType, ref: Ref, context: Context) -> list[Target]:
    """Follow attributes through a module object."""
    live = walk.live_module(module)
    if live is None:
        return _foreign(walk, module.__name__, ref, context)
    if not ref.chain:
        if ref.use == "store":
            return [f"module:{live.name}"]
        return [walk.whole(live, f"the module itself is passed on at {_place(ref, context)}")]
    name, below = ref.chain[0], replace(ref, chain=ref.chain[1:])
    if name in _OF_MODULES or name == "__dict__":
        return [walk.whole(live, f"{name} of the module is used at {_place(ref, context)}")]
    if name in live.globals:
        return _member(walk, live, name, below, context)
    inner = walk.load(f"{module.__name__}.{name}") if "__path__" in live.globals else None
    if inner is not None:
        return _through(walk, inner, below, context)
    return _lazy(walk, live, name, below.chain)


def _lazy(walk: Walk, module: Module, name: str, rest: tuple[str, ...]) -> list[Target]:
    """Resolve a name that a module does not hold: its ``__getattr__`` may give it."""
    getter = module.globals.get("__getattr__")
    if isinstance(getter, types.FunctionType):
        try:
            value = getter(name)
        except Exception:  # noqa: BLE001  whatever the user's function raises
            value = MISSING
        found = [] if value is MISSING else [object_target(walk, value, f"{module.name}.{name}")]
        return [walk.function(getter), f"lazy:{name}", *found, *_rest(rest)]
    walk.reach(module)
    if is_state(walk, module, name):
        return [walk.name(module, name), *_rest(rest)]
    return [f"missing:{module.name}.{name}", *_rest(rest)]


def _member(walk: Walk, module: Module, name: str, ref: Ref, context: Context) -> list[Target]:
    """Resolve a name that a module holds."""
    value = module.globals[name]
    if is_module(value):
        if walk.live_module(value) is None:
            return _foreign(walk, _import_path(module, name, value), ref, context)
        return _through(walk, value, ref, context)
    home, origin = origin_of(walk, module, name, value)
    if home is None:
        return _foreign(walk, origin, ref, context)
    walk.reach(home)
    if is_own(walk, value) and not is_state(walk, home, origin):
        target = callable_target(walk, value)
        if target is not None:
            extra = [walk.name(home, origin)] if needs_expression(walk, home, origin, value) else []
            return [target, *extra, *_named(value, ref), *_rest(ref.chain)]
    return [walk.name(home, origin), *_rest(ref.chain)]


def origin_of(walk: Walk, module: Module, name: str, value: object) -> tuple[Module | None, str]:
    """Follow imports to the module and name that a value was defined under; no module and a path if it is foreign."""
    seen: set[tuple[str, str]] = set()
    while (module.name, name) not in seen:
        seen.add((module.name, name))
        found = _origin_step(walk, module, name, value)
        if found is None:
            break
        if found[0] is None:
            return found
        module, name = found[0], found[1]
    return module, name


def _origin_step(walk: Walk, module: Module, name: str, value: object) -> tuple[Module | None, str] | None:
    """Follow one import; None where the name is bound otherwise."""
    for tree in reversed(module.trees):
        bound, imports = tree.bindings.get(name, []), tree.imports.get(name, [])
        if bound and not imports:
            return None
        for imported in imports or tree.imports.get("*", []):
            if imported.name is None:
                continue
            wanted = name if imported.name == "*" else imported.name
            home = absolute(imported, module.globals)
            loaded = sys.modules.get(home)
            if loaded is None or not _gives(walk, loaded, wanted, value, is_only=len(bound) == 1):
                continue
            live = walk.live_module(loaded)
            if live is not None:
                return live, wanted
            if not is_own(walk, value):
                return None, f"{home}.{wanted}"
    return None


def _gives(walk: Walk, module: types.ModuleType, name: str, value: object, *, is_only: bool) -> bool:
    """Tell whether an import from a module gave a value; the only import of a name did, if the module is foreign."""
    return vars(module).get(name, MISSING) is value or (is_only and walk.live_module(module) is None)


def _import_path(module: Module, name: str, value: types.ModuleType) -> str:
    """Return the name under which a foreign module was imported, as written."""
    paths = {
        f"{i.module}.{i.name}" if i.name else i.module for tree in module.trees for i in tree.imports.get(name, [])
    }
    path = paths.pop() if len(paths) == 1 else value.__name__
    return path if sys.modules.get(path, value) is value else value.__name__


def _foreign(walk: Walk, path: str, ref: Ref, context: Context) -> list[Target]:
    """Resolve a name outside the project, unless the project has put something of its own there."""
    full = ".".join([path, *ref.chain])
    found: list[Target] = list(_patched(walk, full))
    text = full.removeprefix("builtins.")
    if full in _IMPORTERS:
        return [f"ext:{full}", *_dynamic(walk, ref, context)]
    if full == _FINDER and ref.argument is not None:
        return [f"ext:{full}", *_found(walk, ref.argument, _place(ref, context))]
    if full.startswith(_ANY_CODE):
        return [f"ext:{full}", walk.everything(f"{full} is used at {_place(ref, context)}")]
    for prefix, sees in _SEEING.items():
        if full == prefix or full.startswith(prefix + "."):
            walk.see(sees)
    return [walk.external(full) if path != "builtins" else f"builtin:{text}", *found]


def _found(walk: Walk, name: str, place: str) -> list[Target]:
    """Resolve ``find_spec("name")``: what it finds, and no other module."""
    if name.startswith("."):
        return [walk.everything(f"{_FINDER} is used with a relative name at {place}")]
    if walk.project.module_path(name) is not None:
        return [walk.file(name, f"it is looked for by name at {place}") or "?"]
    return [walk.external(name)]


def _patched(walk: Walk, path: str) -> list[Target]:
    """Return the project's own code that stands under a foreign name."""
    top, *rest = path.split(".")
    here: object = sys.modules.get(top)
    for name in rest:
        if is_module(here) or isinstance(here, type):
            here = vars(here).get(name, MISSING)
        else:
            return []
        if here is MISSING:
            return []
        if is_own(walk, here):
            target = callable_target(walk, here)
            return [target] if target is not None else []
    return []


def _dynamic(walk: Walk, ref: Ref, context: Context) -> list[Target]:
    """Resolve ``import_module("name")``."""
    if ref.use == "store" or ref.argument is None:
        if ref.use in ("call", "value", "quiet"):
            return [walk.everything(f"modules are imported by computed names at {_place(ref, context)}")]
        return []
    level = len(ref.argument) - len(ref.argument.lstrip("."))
    name = absolute(Import(ref.argument.lstrip("."), None, level, ""), context.module.globals)
    module = walk.load(name)
    live = walk.live_module(module) if module is not None else None
    if live is not None:
        return [walk.whole(live, f"it is imported by name at {_place(ref, context)}")]
    if walk.project.module_path(name) is not None:
        return [walk.file(name, f"it is imported by name at {_place(ref, context)}") or "?"]
    return [walk.external(name)]
