"""From an attempt's input trees to the arguments of its function, and from its result to stored outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from headwater.errors import TrustError
from headwater.types import Fault
from headwater.worker.failure import failed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from headwater.backend import Attempt
    from headwater.digest import Json
    from headwater.store import Store

    Load = Callable[[str], object]
    #: Tells of an artifact's document whether its writer is trusted, so that reading it may run code.
    Trusts = Callable[[Mapping[str, Json]], bool]


def _nobody(_: Mapping[str, Json]) -> bool:
    return False


def decode_inputs(
    attempt: Attempt, *, store: Store, scratch: Path, load: Load, trusts: Trusts = _nobody
) -> dict[str, object]:
    """Return argument name → value. Every value is decoded anew: changing it in place changes nothing stored."""
    return {
        name: decode_tree(tree, store=store, scratch=scratch, load=load, trusts=trusts)
        for name, tree in attempt.inputs.items()
    }


def decode_tree(
    tree: Json, *, store: Store, scratch: Path, load: Load, trusts: Trusts = _nobody, careful: Load | None = None
) -> object:
    """Return the value of one input tree; files and folders are made in ``scratch``.

    Pickles are opened only if their writer is trusted. ``careful`` gives the classes that other values name.
    """
    from headwater.artifacts import json_document

    def part(tree: Json) -> object:
        return decode_tree(tree, store=store, scratch=scratch, load=load, trusts=trusts, careful=careful)

    match tree:
        case {"artifact": dict(document)}:
            trusted = trusts(document) if _may_run_code(document) else False
            classes = load if trusted or careful is None else careful
            return _value(document, store, scratch, classes, trusted=trusted)
        case {"value": value}:
            return _value(json_document(value), store, scratch, load, trusted=False)
        case {"list": list(items)}:
            return [part(item) for item in items]
        case {"tuple": list(items)}:
            return tuple(part(item) for item in items)
        case {"dict": dict(items)}:
            return {name: part(item) for name, item in items.items()}
        case {"data": {"type": str(name), "fields": dict(fields)}}:
            return _whole(load(name), {field: part(item) for field, item in fields.items()})
        case _:
            raise failed(Fault.CONTRACT, "BadInput", f"not an input tree: {tree!r}")


def _may_run_code(document: Mapping[str, Json]) -> bool:
    """Tell whether it matters who wrote a value: not where the body is bytes, numbers, columns or plain values."""
    from headwater.artifacts import is_data

    meta = document.get("meta")
    return not is_data(document) or (isinstance(meta, dict) and bool(meta.get("types")))


def _value(document: Mapping[str, Json], store: Store, scratch: Path, load: Load, *, trusted: bool) -> object:
    """Decode an artifact; one that nobody trusted wrote runs no code."""
    from headwater.artifacts import Artifact, decode_value, is_data

    artifact = Artifact.from_document(document)
    if not trusted and not is_data(document):
        raise TrustError(
            f"this value is a {artifact.type} from a writer that is not trusted, and reading it may run code",
            facts={"digest": artifact.digest},
            hint="trust the writer with `hw trust`, or run the step again here",
        )
    types = cast("Callable[[str], type]", load)
    return decode_value(artifact, store, scratch=scratch, load=types, trusted=trusted)


def _whole(kind: object, fields: Mapping[str, object]) -> object:
    """Put a result together from its parts as it was, without running its class's code again."""
    if isinstance(kind, type) and issubclass(kind, tuple):
        return tuple.__new__(kind, [fields[name] for name in cast("tuple[str, ...]", kind.__dict__["_fields"])])
    value = object.__new__(cast("type[object]", kind))
    for name, item in fields.items():
        object.__setattr__(value, name, item)
    return value


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
