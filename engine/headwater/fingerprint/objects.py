"""What a live object is to a fingerprint: a function, a class, a plain value, something foreign, or opaque."""

from __future__ import annotations

import dataclasses
import enum
import functools
import operator
import sys
import types
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from headwater.fingerprint.distributions import ENGINE
from headwater.fingerprint.merkle import Node
from headwater.fingerprint.plain import describe, shown
from headwater.fingerprint.walk import is_module

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headwater.fingerprint.walk import Target, Walk

_BUILTIN_FUNCTIONS = (
    types.BuiltinFunctionType,
    types.MethodDescriptorType,
    types.WrapperDescriptorType,
    types.ClassMethodDescriptorType,
    types.GetSetDescriptorType,
    types.MemberDescriptorType,
)
#: The type of functions decorated with ``functools.lru_cache``.
LRU_CACHE = type(functools.lru_cache(len))
_OPERATORS = (operator.attrgetter, operator.itemgetter, operator.methodcaller)
_CONTAINERS = (list, tuple, dict, set, frozenset)
_MOST_MEMBERS = 10_000
#: Flag of types that were made while Python ran, unlike those of compiled code (``Py_TPFLAGS_HEAPTYPE``).
_MADE_BY_PYTHON = 1 << 9
#: Types whose instances never make a difference to a result.
_INERT = frozenset(
    {
        "logging.Logger",
        "logging.LoggerAdapter",
        "_thread.lock",
        "_thread.RLock",
        "threading.Event",
        "threading.Condition",
        "threading.local",
        "_thread._local",
        "_contextvars.ContextVar",
        "_io.TextIOWrapper",
        "builtins.object",
    }
)


def is_engine(value: object) -> bool:
    """Tell whether an object is one of the engine's own, such as a step."""
    return str(type(value).__module__).partition(".")[0] == ENGINE


def given(value: object, name: str) -> object:
    """Return an attribute of any object, or None: some objects raise whatever they like when they are asked."""
    try:
        return cast("object", getattr(value, name, None))
    except Exception:  # noqa: BLE001
        return None


def wrapped_of(value: object) -> object | None:
    """Return what an object says that it wraps; None if it says nothing."""
    try:
        found = cast("object", vars(value).get("__wrapped__"))
    except TypeError:
        found = None
    if found is None and is_engine(value):
        found = given(value, "__wrapped__")
    return found


def callable_target(walk: Walk, value: object) -> Target | None:
    """Return what a function, method, class, partial, … stands for; None for other objects."""
    match value:
        case types.FunctionType():
            return _function(walk, value)
        case type():
            return class_target(walk, value)
        case types.MethodType():
            return _group(walk, "method", [value.__func__, value.__self__])
        case functools.partial() | functools.partialmethod():
            # The mapping is a mutable detail of the object: its order is that of the call.
            return _group(walk, "partial", [value.func, value.args, dict(value.keywords)])  # pyright: ignore[reportUnknownArgumentType, reportUnknownMemberType]
        case staticmethod() | classmethod():
            return _group(walk, type(value).__name__, [value.__func__])  # pyright: ignore[reportUnknownMemberType]
        case property():
            return _group(walk, "property", [value.fget, value.fset, value.fdel])
        case functools.cached_property():
            return _group(walk, "cached", [value.func])  # pyright: ignore[reportUnknownMemberType]
        case functools.singledispatchmethod():
            return _group(walk, "dispatch", [value.func, value.dispatcher])  # pyright: ignore[reportUnknownMemberType]
        case types.GenericAlias() | types.UnionType():
            origin = value.__origin__ if isinstance(value, types.GenericAlias) else types.UnionType
            return _group(walk, "generic", [origin, *value.__args__])
        case _:
            return _other(walk, value)


def _other(walk: Walk, value: object) -> Target | None:
    if isinstance(value, _OPERATORS):
        return f"operator:{value!r}"
    if isinstance(value, _BUILTIN_FUNCTIONS):
        return _builtin(walk, value)
    wrapped = wrapped_of(value)
    if wrapped is not None:
        if is_engine(value) or isinstance(value, LRU_CACHE):
            return callable_target(walk, wrapped)
        return _group(walk, "wrapper", [type(value), wrapped])
    path = _path_of(value)
    return walk.external(path) if path is not None and callable(value) else None


def _function(walk: Walk, function: types.FunctionType) -> Target:
    registry = vars(function).get("registry")
    if registry is not None and "dispatch" in vars(function):
        cases = sorted(registry.items(), key=lambda item: (item[0].__module__, item[0].__qualname__))
        return _group(walk, "dispatch", [vars(function).get("__wrapped__"), *[x for case in cases for x in case]])
    if walk.module_of(function.__globals__) is not None:
        return walk.function(function)
    inner = [cell for cell in _cells(function) if is_own(walk, cell)]
    wrapped = wrapped_of(function)
    inner += [wrapped] if is_own(walk, wrapped) and wrapped not in inner else []
    # Not `__module__`, which `functools.wraps` overwrites.
    path = walk.external(f"{function.__globals__.get('__name__')}.{function.__code__.co_qualname}")
    return _group(walk, path, inner) if inner else path


def _cells(function: types.FunctionType) -> Iterator[object]:
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:
            continue


def class_target(walk: Walk, cls: type) -> Target:
    """Return what a class stands for."""
    if walk.module_of_class(cls) is not None:
        return walk.klass(cls)
    path = f"{cls.__module__}.{cls.__qualname__}"
    if not cls.__flags__ & _MADE_BY_PYTHON or _stands_at(cls):
        return walk.external(path)
    key = ("made", id(cls))
    if key not in walk.nodes:
        node = walk.nodes[key] = Node("class", path, "", 0, [walk.external(path)])
        walk.keep(cls)
        node.items += [part for base in cls.__bases__ for part in ("base", class_target(walk, base))]
        node.items += made_items(walk, cls)
    return walk.nodes[key]


def _stands_at(cls: type) -> bool:
    """Tell whether a class is found under the name that it gives itself; one that a call made may not be."""
    found: object = sys.modules.get(str(cls.__module__))
    for part in cls.__qualname__.split("."):
        found = given(found, part)
    return found is cls


def made_items(walk: Walk, cls: type) -> list[str | Node]:
    """Return what a call gave a class that no statement describes: an enum's members, fields, plain attributes."""
    own = vars(cls).items()
    made = {name: value for name, value in own if not name.startswith("__") and not isinstance(value, cls)}
    if issubclass(cls, enum.Enum):
        made = {f"member {name}": member.value for name, member in cls.__members__.items()}
    if dataclasses.is_dataclass(cls):
        for field in dataclasses.fields(cls):
            made[f"field {field.name}"] = (field.type, field.init, field.repr, field.compare, field.kw_only)
            for what in ("default", "default_factory"):
                if (value := given(field, what)) is not dataclasses.MISSING:
                    made[f"{what} {field.name}"] = value
    items: list[str | Node] = []
    for name, value in made.items():
        plain = plain_items(walk, value)
        items += [f"made {name}", *plain] if plain is not None else [f"made {name} of {type(value).__qualname__}"]
    return items


def _builtin(walk: Walk, value: object) -> Target | None:
    owner = given(value, "__self__") or given(value, "__objclass__")
    name = str(given(value, "__qualname__") or given(value, "__name__"))
    if is_module(owner):
        return walk.external(f"{owner.__name__}.{name}")
    if isinstance(owner, type):
        if walk.module_of_class(owner) is not None:
            return walk.klass(owner)
        return walk.external(f"{owner.__module__}.{name}")
    module = given(value, "__module__")
    return walk.external(f"{module}.{name}") if isinstance(module, str) and owner is None else None


def _path_of(value: object) -> str | None:
    """Return the dotted name that an object gives itself, as functions of compiled libraries do."""
    module: object = given(value, "__module__") or type(value).__module__
    name = given(value, "__qualname__") or given(value, "__name__")
    return f"{module}.{name}" if isinstance(module, str) and isinstance(name, str) else None


def _group(walk: Walk, text: str, parts: list[object]) -> Node:
    """Return a piece made of several objects."""
    node = Node("group", f"<{text}>", "", 0, [text])
    for part in parts:
        node.items.append(
            part if isinstance(part, str) and part.startswith("ext:") else object_target(walk, part, text)
        )
    return node


def object_target(walk: Walk, value: object, where: str) -> Target:
    """Return what any object stands for: as closely as it can be seen, else all project files."""
    if is_module(value):
        module = walk.live_module(value)
        return walk.whole(module, f"{where} holds the module") if module else walk.external(value.__name__)
    target = callable_target(walk, value)
    if target is not None:
        return target
    items = plain_items(walk, value)
    if items is not None:
        return Node("value", where, "", 0, items)
    return _instance(walk, value, where)


def _instance(walk: Walk, value: object, where: str) -> Target:
    cls = type(value)
    name = f"{cls.__module__}.{cls.__qualname__}"
    if name in _INERT or is_engine(value):
        return f"inert:{name}"
    key = ("instance", id(value))
    if key in walk.nodes:
        return walk.nodes[key]
    node = walk.nodes[key] = Node("value", where, "", 0, ["instance", class_target(walk, cls)])
    walk.keep(value)
    if walk.module_of_class(cls) is not None:
        for attribute, inner in attributes_of(value).items():
            node.items += [f".{attribute}", object_target(walk, inner, where)]
    elif isinstance(value, _CONTAINERS):
        for inner in _members(value):
            node.items.append(object_target(walk, inner, where))
    else:
        node.items.append(walk.everything(f"{where} holds a {name}, which has no plain value"))
    return node


def _members(value: object) -> list[object]:
    """Return what is in a container, keys of mappings too."""
    if isinstance(value, dict):
        return [part for pair in cast("dict[object, object]", value).items() for part in pair]
    return list(cast("list[object]", value))


def attributes_of(value: object) -> dict[str, object]:
    """Return what an instance holds, in its dictionary and its slots."""
    slots = [name for base in type(value).__mro__ for name in _slots(base)]
    own: dict[str, object] = dict(cast("dict[str, object]", given(value, "__dict__") or {}))
    return own | {name: given(value, name) for name in slots}


def _slots(base: type) -> list[str]:
    slots: object = base.__dict__.get("__slots__", ())
    names = [slots] if isinstance(slots, str) else list(cast("tuple[str, ...]", slots))
    return [name for name in names if name not in ("__dict__", "__weakref__")]


def plain_items(walk: Walk, value: object) -> list[str | Node] | None:
    """Return the text of a plain value, with pieces for functions and classes in it; None if it is not plain."""
    found = describe(value, walk.project.strip, _may_stand)
    if found is None:
        return None
    items: list[str | Node] = []
    for item in found:
        target = item if isinstance(item, str) else callable_target(walk, item[0])
        if target is None:
            return None
        items.append(target)
    return items


def _may_stand(value: object) -> bool:
    """Tell whether an object may stand in a plain value: it is code, not state."""
    kinds = (types.FunctionType, type, types.MethodType, functools.partial, types.GenericAlias, types.UnionType)
    return isinstance(value, (*kinds, *_BUILTIN_FUNCTIONS, *_OPERATORS)) or wrapped_of(value) is not None


def is_own(walk: Walk, value: object) -> bool:
    """Tell whether an object is a function or class of the project, or wraps one."""
    if isinstance(value, type):
        return walk.module_of_class(value) is not None
    if isinstance(value, types.FunctionType) and walk.module_of(value.__globals__) is not None:
        return True
    if isinstance(value, types.MethodType):
        return is_own(walk, value.__func__) or is_own(walk, type(value.__self__))
    if isinstance(value, functools.partial):
        return is_own(walk, value.func)  # pyright: ignore[reportUnknownMemberType]
    wrapped = wrapped_of(value)
    return wrapped is not None and is_own(walk, wrapped)


def _qualname(value: object) -> str:
    return str(given(value, "__qualname__"))


@dataclass(frozen=True, slots=True)
class _Key:
    """The key of a registry under which code stands."""

    text: str


def own_code_in(walk: Walk, value: object) -> list[Target]:
    """Return the project's functions and classes in a container or an object, which may be a registry."""
    found: list[Target] = []
    stack: list[tuple[object, int]] = [(value, 0)]
    done: set[int] = set()
    while stack:
        here, foreign = stack.pop()
        if isinstance(here, _Key):
            found.append(here.text)
        elif id(here) not in done and len(done) < _MOST_MEMBERS:
            done.add(id(here))
            if is_own(walk, here):
                target = callable_target(walk, here)
                found += [target] if target is not None else []
                continue
            if walk.module_of_class(type(here)) is not None:
                found.append(walk.klass(type(here)))
            elif not isinstance(here, _CONTAINERS):
                foreign += 1
            stack += [(inner, foreign) for inner in reversed(_inside(walk, here, foreign))]
    return found


def _inside(walk: Walk, value: object, foreign: int) -> list[object]:
    """Return what an object holds; little of a foreign one, whose inside may lead anywhere."""
    if isinstance(value, dict):
        found: list[object] = []
        for key, inner in cast("dict[object, object]", value).items():
            found += [_Key(repr(key)) if isinstance(key, str | int) and is_own(walk, inner) else key, inner]
        return found
    if isinstance(value, list | tuple):
        return _members(value)
    if isinstance(value, set | frozenset):
        return sorted(_members(value), key=_qualname)
    name = f"{type(value).__module__}.{type(value).__qualname__}"
    is_closed = foreign > 1 or name in _INERT or isinstance(value, types.ModuleType | type) or is_engine(value)
    return [] if is_closed else list(attributes_of(value).values())


def value_text(walk: Walk, name: str, value: object) -> str | None:
    """Return a short text of a value for people."""
    return shown(name, value, walk.project.strip)
