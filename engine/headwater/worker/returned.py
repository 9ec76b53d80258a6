"""Whether a function gave what its annotation says, as far as that can be told at a glance: the outermost plain class.

``int`` where ``str`` was declared would be stored and reused, and break a later step far from the mistake.
"""

from __future__ import annotations

import types
import typing
from typing import TYPE_CHECKING

from headwater.types import Fault
from headwater.worker.failure import failed

if TYPE_CHECKING:
    from collections.abc import Callable

#: Declared class → classes of results that are as good. Others, and protocols, are left to the codecs.
_ACCEPTED: dict[object, tuple[type, ...]] = {
    bool: (bool,),
    int: (int,),
    float: (float, int),
    complex: (complex, float, int),
    str: (str,),
    bytes: (bytes,),
    list: (list,),
    tuple: (tuple,),
    dict: (dict,),
    set: (set,),
    frozenset: (frozenset,),
    types.NoneType: (types.NoneType,),
}


def check_returned(function: Callable[..., object], result: object) -> None:
    """End the attempt with a ``user`` failure if a result is of another class than the one that is declared."""
    try:
        declared = typing.get_type_hints(function).get("return", typing.Any)
    except Exception:  # noqa: BLE001  an annotation may name what is not there at run time
        return
    accepted = _accepted(declared)
    # What is like a declared class without being one, such as a NumPy number, is the codecs' to judge.
    if accepted is None or type(result) not in _ACCEPTED or isinstance(result, accepted):
        return
    told = declared.__name__ if isinstance(declared, type) and not typing.get_args(declared) else str(declared)
    shown = type(result).__name__ if result is not None else "None"
    raise failed(Fault.USER, "WrongResult", f"declared {told}, returned {shown}: mend the step, or its annotation")


def _accepted(declared: object) -> tuple[type, ...] | None:
    """Return the classes that fit a declared type; None where that cannot be told."""
    origin = typing.get_origin(declared)
    if origin is typing.Annotated:
        return _accepted(typing.get_args(declared)[0])
    if origin in (typing.Union, types.UnionType):
        parts = [_accepted(part) for part in typing.get_args(declared)]
        known = [part for part in parts if part is not None]
        return sum(known, ()) if len(known) == len(parts) else None
    return _ACCEPTED.get(origin or declared)
