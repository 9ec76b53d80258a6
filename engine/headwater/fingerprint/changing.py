"""Which functions of the project change what a module-level name holds."""

from __future__ import annotations

import types
from typing import TYPE_CHECKING

from headwater.fingerprint.objects import callable_target
from headwater.fingerprint.state import Change, changes_in
from headwater.fingerprint.walk import Module, absolute

if TYPE_CHECKING:
    from headwater.fingerprint.project import Source
    from headwater.fingerprint.scopes import Import
    from headwater.fingerprint.walk import Walk


def changers(walk: Walk, module: Module, name: str) -> list[tuple[Source, Change]]:
    """Return the places in the project's functions that change a module-level name."""
    key = ("changers", module.name, name)
    if key not in walk.answers:
        walk.answers[key] = [
            (source, change)
            for source in walk.sources_with(name, module)
            for change in _changes_of(module, name, source)
        ]
    return walk.answers[key]  # type: ignore[return-value]


def _changes_of(module: Module, name: str, source: Source) -> list[Change]:
    tree = source.tree
    if tree is None or name not in tree.identifiers:
        return []
    found = changes_in(tree).by_root
    # What is done to attributes of a class or function leaves the name itself as it is.
    is_code = isinstance(module.globals.get(name), type | types.FunctionType)
    if source in module.sources:
        own = [c for c in found.get(name, []) if c.imported is None]
        return [c for c in own if not c.chain] if is_code else own
    scope: dict[str, object] = {"__name__": source.label.removesuffix(".py").replace("/", ".")}
    if source.label.endswith("__init__.py"):
        scope = {"__name__": source.label.removesuffix("/__init__.py").replace("/", "."), "__path__": ()}
    result: list[Change] = []
    for root, several in found.items():
        for change in several:
            imports = [change.imported] if change.imported else tree.imports.get(root, [])
            if any(_names(i, scope, change.chain, module, name, exactly=is_code) for i in imports):
                result.append(change)
    return result


def _names(
    imported: Import, scope: dict[str, object], chain: tuple[str, ...], module: Module, name: str, *, exactly: bool
) -> bool:
    """Tell whether an imported root with attributes is the given name of the given module."""
    full = (absolute(imported, scope), *([imported.name] if imported.name else []), *chain)
    text = ".".join(full)
    wanted = f"{module.name}.{name}"
    tails = (wanted, f"{module.name.rpartition('.')[2]}.{name}")
    return any(text == tail or (not exactly and text.startswith(tail + ".")) for tail in tails)


def needs_expression(walk: Walk, module: Module, name: str, value: object) -> bool:
    """Tell whether a name that holds code also has to be seen by what defines it: a class made by a call, say."""
    if isinstance(value, types.FunctionType | type) and value.__qualname__.rpartition(".")[2] == name:
        return isinstance(value, type) and not any(value.__qualname__ in t.definitions for t in module.trees)
    return callable_target(walk, value) is None


def is_state(walk: Walk, module: Module, name: str) -> bool:
    """Tell whether functions of the project change what a module-level name holds."""
    return bool(changers(walk, module, name))


def is_attribute_changed(walk: Walk, module: Module, name: str) -> bool:
    """Tell whether functions of the project, but for initialisers, change an attribute of this name of anything."""
    key = ("attribute", name)
    if key not in walk.answers:
        sources = walk.sources_with(name, module)
        walk.answers[key] = any(name in changes_in(s.tree).attributes for s in sources if s.tree is not None)
    return bool(walk.answers[key])
