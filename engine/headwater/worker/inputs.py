"""From an attempt's input trees to the arguments of its function, and from its result to stored outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from headwater.types import Fault
from headwater.worker.failure import failed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from headwater.backend import Attempt
    from headwater.digest import Json
    from headwater.store import Store

    Load = Callable[[str], object]


def decode_inputs(attempt: Attempt, *, store: Store, scratch: Path, load: Load) -> dict[str, object]:
    """Return argument name → value. Every value is decoded anew: changing it in place changes nothing stored."""
    if not attempt.inputs:
        return {}
    return {name: _decode(tree, store, scratch, load) for name, tree in attempt.inputs.items()}


def _decode(tree: Json, store: Store, scratch: Path, load: Load) -> object:
    from headwater.artifacts import Artifact, decode_value, json_document

    match tree:
        case {"artifact": dict(document)}:
            return decode_value(
                Artifact.from_document(document),
                store,
                scratch=scratch,
                load=cast("Callable[[str], type]", load),
                trusted=True,
            )
        case {"value": value}:
            artifact = Artifact.from_document(json_document(value))
            return decode_value(artifact, store, scratch=scratch, load=cast("Callable[[str], type]", load))
        case {"list": list(items)}:
            return [_decode(item, store, scratch, load) for item in items]
        case {"tuple": list(items)}:
            return tuple(_decode(item, store, scratch, load) for item in items)
        case {"dict": dict(items)}:
            return {name: _decode(item, store, scratch, load) for name, item in items.items()}
        case {"data": {"type": str(name), "fields": dict(fields)}}:
            kind = cast("Callable[..., object]", load(name))
            return kind(**{field: _decode(item, store, scratch, load) for field, item in fields.items()})
        case _:
            raise failed(Fault.CONTRACT, "BadInput", f"not an input tree: {tree!r}")


def encode_outputs(attempt: Attempt, result: object, *, store: Store, scratch: Path, load: Load) -> Mapping[str, Json]:
    """Store a step's result and return output name → artifact document."""
    parts = _parts(attempt, result, load)
    if not parts:
        return {}
    from headwater.artifacts import encode_value

    outputs: dict[str, Json] = {}
    for name, value in parts.items():
        outputs[name] = encode_value(value, attempt.outputs[name], store, scratch=scratch).document()
    return outputs


def _parts(attempt: Attempt, result: object, load: Load) -> dict[str, object]:
    """Return output name → value. Raises a ``user`` failure if the result is not what was declared."""
    names = list(attempt.outputs)
    if not names:
        return {}
    if attempt.whole is None and len(names) > 1:  # a command's named files
        return cast("dict[str, object]", result)
    if attempt.whole is None:
        return {names[0]: result}
    if attempt.whole == "tuple":
        if not isinstance(result, tuple) or len(result) != len(names):
            shown = f"a tuple of {len(result)}" if isinstance(result, tuple) else f"a {type(result).__qualname__}"
            raise failed(Fault.USER, "WrongResult", f"the step returned {shown}; it declares a tuple of {len(names)}")
        return dict(zip(names, result, strict=True))
    kind = load(attempt.whole)
    if not isinstance(kind, type) or not isinstance(result, kind):
        declared = attempt.whole.partition(":")[2]
        raise failed(
            Fault.USER, "WrongResult", f"the step returned a {type(result).__qualname__}; it declares {declared}"
        )
    return {name: getattr(result, name) for name in names}
