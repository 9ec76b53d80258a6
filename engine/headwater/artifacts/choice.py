"""Which codec stores a value: chosen by its declared type, else by the value itself."""

from __future__ import annotations

import dataclasses
import importlib
import types
import typing
from collections import abc
from enum import Enum
from typing import TYPE_CHECKING, TypeVar, cast

from headwater import values
from headwater.artifacts.seam import Codec, codec
from headwater.errors import ProviderError, ValueNotStorable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from headwater.digest import Json

#: The type of an output that nothing is said about: the value decides.
ANY = "any"

#: Name of each codec of ours → where it is.
OWN = {
    "json": ("plain", "JsonCodec"),
    "bytes": ("plain", "BytesCodec"),
    "pickle": ("plain", "PickleCodec"),
    "file": ("trees", "FileCodec"),
    "dir": ("trees", "DirCodec"),
    "arrow": ("tables", "TableCodec"),
    "npy": ("arrays", "ArrayCodec"),
    "pandas": ("frames", "PandasCodec"),
    "polars": ("frames", "PolarsCodec"),
}

#: Codecs that make a value from plain data, and run no code that the data chooses, but for classes that it names.
_DATA = frozenset(OWN) - {"pickle"}

#: Package and class → codec. By name, so that no library is imported to ask whether a value is one of its own.
_BY_CLASS = {
    ("builtins", "bytes"): "bytes",
    ("headwater", "File"): "file",
    ("headwater", "Dir"): "dir",
    ("pyarrow", "Table"): "arrow",
    ("pyarrow", "RecordBatch"): "arrow",
    ("numpy", "ndarray"): "npy",
    ("numpy", "memmap"): "npy",
    ("pandas", "DataFrame"): "pandas",
    ("pandas", "Series"): "pandas",
    ("polars", "DataFrame"): "polars",
    ("polars", "Series"): "polars",
}

_PLAIN = frozenset({type(None), bool, int, float, complex, str, list, tuple, dict, set, frozenset})
_PLAIN_MODULES = frozenset({"datetime", "decimal", "uuid", "pathlib"})
#: Collections that may be declared where a plain one is returned.
_COLLECTIONS = frozenset(
    {abc.Sequence, abc.MutableSequence, abc.Mapping, abc.MutableMapping, abc.Set, abc.Collection, abc.Iterable}
)


def type_spec(annotation: object) -> str:
    """Return the type of an output with this annotation: the name of a codec, or ``any`` where nothing is said.

    Nothing is imported for it.
    """
    if typing.get_origin(annotation) is typing.Annotated:
        inner, *marks = typing.get_args(annotation)
        chosen = [mark.name for mark in marks if isinstance(mark, codec)]
        return chosen[-1] if chosen else type_spec(inner)
    alias = getattr(annotation, "__value__", getattr(annotation, "__supertype__", None))
    if alias is not None:  # `type X = …` and NewType
        return type_spec(alias)
    if annotation is None:
        return "json"
    if isinstance(annotation, TypeVar | str):  # text that could not be resolved
        return ANY
    origin = typing.get_origin(annotation)
    if origin in (typing.Union, types.UnionType):
        return _shared([type_spec(choice) for choice in typing.get_args(annotation)])
    if origin is typing.Literal:
        return "json"
    cls = origin or annotation
    # Whatever else there is (Any, a missing annotation, object, a protocol) leaves it to the value.
    return _spec_of_class(cls) if isinstance(cls, type) else ANY


def _shared(specs: Sequence[str]) -> str:
    return specs[0] if len(set(specs)) == 1 else ANY


def _spec_of_class(cls: type) -> str:
    own = _BY_CLASS.get((cls.__module__.partition(".")[0], cls.__qualname__))
    if own is not None:
        return own
    return "json" if _is_plain(cls) or cls in _COLLECTIONS else ANY


def _is_plain(cls: type) -> bool:
    return (
        cls in _PLAIN
        or cls.__module__.partition(".")[0] in _PLAIN_MODULES
        or issubclass(cls, Enum)
        or dataclasses.is_dataclass(cls)
        or (issubclass(cls, tuple) and hasattr(cls, "_fields"))
        or typing.is_typeddict(cls)
    )


def spec_for_value(value: object) -> str:
    """Return the name of the codec for a value; raises ValueNotStorable where there is none."""
    cls = type(value)
    spec = _spec_of_class(cls)
    if spec != ANY:
        return spec
    from headwater import providers

    for name in providers.names("codec"):
        if name not in OWN and find_codec(name).matches(value):
            return name
    if cls.__module__.partition(".")[0] == "polars" and cls.__qualname__ == "LazyFrame":
        raise ValueNotStorable("a Polars LazyFrame cannot be stored", hint="return its .collect()")
    values.to_json(value)  # no codec takes it, and this says why
    return "json"


def is_data(document: Mapping[str, Json]) -> bool:
    """Tell whether the body of an artifact's document is plain data, so that it may be read whoever wrote it."""
    return document.get("type") in _DATA


def find_codec(name: str) -> Codec:
    """Return the codec of a name; raises ProviderError where there is none."""
    if name in OWN:
        module, attribute = OWN[name]
        return cast("Codec", getattr(importlib.import_module(f"headwater.artifacts.{module}"), attribute)())
    from headwater import providers

    found = providers.find("codec", name)
    instance: object = found() if isinstance(found, type) else found
    if not isinstance(instance, Codec):
        raise ProviderError(
            f"codec {name!r} cannot be used: it is no codec",
            facts={"found": repr(found)},
            hint="a codec has name, matches, encode and decode: see headwater.artifacts.Codec",
        )
    return instance


def choose_codec(value: object, spec: str, *, declared: str = "") -> Codec:
    """Return the codec for a value under a declared type; raises ValueNotStorable where the two disagree."""
    if spec == ANY:
        return find_codec(spec_for_value(value))
    chosen = find_codec(spec)
    own = _spec_of_class(type(value))
    if not chosen.matches(value) or (spec == "json" and own not in ("json", ANY)):
        raise ValueNotStorable(
            f"declared {declared or spec}, returned {_type_name(value)}",
            hint="return what the annotation says, or change the annotation",
        )
    return chosen


def _type_name(value: object) -> str:
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
