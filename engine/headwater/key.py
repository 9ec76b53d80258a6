"""Everything that a step's result depends on, part by part, in typed canonical form.

A *base* is the digest of the declared parts: code, inputs, outputs, environment. A *key* is the base together with the
files and variables that the step was seen to use without declaring them. Equal keys are interchangeable: no time, path,
host, user or run id enters one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, cast

from headwater.digest import digest_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from headwater.digest import Digest, Json

#: The version of the way keys are made. A change of it makes every step run once more.
SCHEME = "1"

_NONE: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class KeyParts:
    """The declared parts of one step's key."""

    #: Kind of step: a function, a command, a condition, …
    kind: str
    #: Digest of the code's fingerprint, of the command's document, or the pinned version.
    code: str
    #: Argument → identity of its value: types and digests, no names of places.
    inputs: Mapping[str, Json]
    #: Output → type.
    outputs: Mapping[str, str] = field(default_factory=lambda: _NONE)
    whole: str | None = None
    #: Python's minor version, ``package:<name>`` → version, ``env:<name>`` → digest of the value, …
    environment: Mapping[str, str] = field(default_factory=lambda: _NONE)
    #: Class that arrives with an input → digest of its code.
    types: Mapping[str, str] = field(default_factory=lambda: _NONE)
    #: Declared file → digest of its content.
    files: Mapping[str, str] = field(default_factory=lambda: _NONE)

    def document(self) -> dict[str, Json]:
        """Return the parts as JSON: what is recorded, and what the base is the digest of."""
        return {
            "scheme": SCHEME,
            "kind": self.kind,
            "code": self.code,
            "inputs": dict(self.inputs),
            "outputs": cast("Json", dict(self.outputs)),
            "whole": self.whole,
            "environment": cast("Json", dict(self.environment)),
            "types": cast("Json", dict(self.types)),
            "files": cast("Json", dict(self.files)),
        }

    def base(self) -> Digest:
        """Return the digest of the declared parts."""
        return digest_of(self.document())


def key_of(base: Digest, observed: Mapping[str, str]) -> Digest:
    """Return the key: the base, and what undeclared files and variables held (label → digest)."""
    return base if not observed else digest_of([SCHEME, base, dict(observed)])


def identity(tree: Json) -> Json:
    """Return what counts of an input tree: types and digests, nested as the tree is.

    A tree is ``{"artifact": document}``, ``{"value": typed JSON}``, ``{"list": [...]}``, ``{"tuple": [...]}``,
    ``{"dict": {...}}`` or ``{"data": {"type": ..., "fields": {...}}}``. A plain value counts as the artifact that it
    would be, so that a constant and an equal result of a step are the same input.
    """
    assert isinstance(tree, dict)
    match tree:
        case {"artifact": dict(document)}:
            meta = document.get("meta")
            suffix = meta.get("suffix") if isinstance(meta, dict) else None
            return [document["type"], document["digest"], *([suffix] if suffix else [])]
        case {"value": value}:
            return ["json", digest_of(value)]
        case {"list": list(items)} | {"tuple": list(items)}:
            return {next(iter(tree)): [identity(item) for item in items]}
        case {"dict": dict(items)}:
            return {"dict": {name: identity(item) for name, item in items.items()}}
        case {"data": dict(data)}:
            fields = cast("dict[str, Json]", data["fields"])
            return {"data": data["type"], "fields": {name: identity(item) for name, item in fields.items()}}
        case _:
            raise TypeError(f"not an input tree: {tree!r}")


@dataclass(frozen=True, slots=True)
class PartChange:
    """One part of a key that differs between two keys."""

    #: ``code``, ``input``, ``environment``, ``output``, ``type``, ``file``, ``kind`` or ``scheme``.
    part: str
    #: Name of the argument, package, variable, …; empty where the part has one value only.
    name: str
    old: Json
    new: Json


def compare_parts(old: Mapping[str, Json], new: Mapping[str, Json]) -> Sequence[PartChange]:
    """Return what differs between two documents of key parts, in a fixed order."""
    changes = [
        PartChange(part, "", old.get(part), new.get(part))
        for part in ("scheme", "kind", "code", "whole")
        if old.get(part) != new.get(part)
    ]
    for part, word in (
        ("inputs", "input"),
        ("files", "file"),
        ("types", "type"),
        ("environment", "environment"),
        ("outputs", "output"),
    ):
        before = cast("Mapping[str, Json]", old.get(part) or {})
        after = cast("Mapping[str, Json]", new.get(part) or {})
        changes.extend(
            PartChange(word, name, before.get(name), after.get(name))
            for name in sorted(before.keys() | after.keys())
            if before.get(name) != after.get(name)
        )
    return changes
