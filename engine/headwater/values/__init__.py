"""The typed canonical form of plain values: equal values give equal bytes, and bytes give back the very value.

A value becomes a *tagged tree* of JSON. None, booleans, text, finite floats, integers of 64 bits, lists, and
dictionaries whose keys are text and do not begin with ``$`` stand for themselves; everything else is
``{"$": tag, "v": ...}``. 1, 1.0, True and "1" differ. The order in which a dictionary or set was filled does not count
and is not kept. What has no form here is refused, and so is any subclass of a plain type: nothing is changed silently.

Classes are named as ``module:Qual.name``, and only dataclasses, NamedTuples and enums are ever looked up. Dataclasses
and NamedTuples are rebuilt from their fields without running ``__init__``, ``__new__`` or ``__post_init__``, so that a
value comes back exactly as it was stored.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, cast

from headwater.digest import canonical
from headwater.errors import Corrupt
from headwater.values.classes import canonical_module, load_type
from headwater.values.decoding import ExtraBack, from_json, untagged
from headwater.values.encoding import BIG, Extra, to_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from headwater.digest import Json

__all__ = [
    "BIG",
    "Extra",
    "ExtraBack",
    "canonical_module",
    "decode",
    "encode",
    "from_json",
    "load_type",
    "parse",
    "to_json",
    "types_in",
    "untagged",
]

_CONTAINERS = frozenset({list, dict})


def encode(value: object) -> bytes:
    """Return the canonical bytes of a value; raises ValueNotStorable, naming the place inside the value."""
    return canonical(to_json(value))


def decode(data: bytes, load: Callable[[str], type] = load_type) -> object:
    """Return the value that canonical bytes stand for; ``load`` gives the class of a ``module:Qual`` name."""
    return from_json(parse(data), load)


def parse(data: bytes) -> Json:
    """Return the tagged tree that canonical bytes hold."""
    try:
        return cast("Json", json.loads(data, parse_constant=_refuse_constant))
    except (ValueError, RecursionError) as error:
        raise Corrupt("these bytes are not a stored value", facts={"because": error}) from error


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} stands bare")


def types_in(tree: Json) -> tuple[str, ...]:
    """Return the names of all classes that a tagged tree speaks of, sorted."""
    return tuple(sorted(set(_names(tree))))


def _names(tree: Json) -> Iterator[str]:
    if isinstance(tree, dict):
        if "$" in tree and isinstance(name := tree.get("t"), str):
            yield name
        for item in tree.values():
            if type(item) in _CONTAINERS:
                yield from _names(item)
    elif isinstance(tree, list) and not _CONTAINERS.isdisjoint(map(type, tree)):
        for item in tree:
            yield from _names(item)
