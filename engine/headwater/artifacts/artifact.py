"""What is known of a stored value without reading it."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias, cast

from headwater.digest import canonical, digest_bytes
from headwater.errors import Corrupt

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headwater.digest import Digest, Json

    #: Within `Artifact`, the word names the size.
    Bytes: TypeAlias = bytes

#: A body of up to so many bytes travels within its artifact's document instead of being an object of its own.
INLINE = 4096

_NOTHING: Mapping[str, Json] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Artifact:
    """A stored value: the digest of its body, the codec that reads it, and what that codec noted."""

    digest: Digest
    #: Name of the codec.
    type: str
    #: Size of the body.
    bytes: int
    #: What the codec noted: ``suffix`` and ``name`` of a file; ``types``, ``refs`` and ``trees`` of a plain value.
    meta: Mapping[str, Json] = field(default_factory=lambda: _NOTHING)
    #: The body itself, where it is small; then the store need not have it.
    inline: Bytes | None = None

    @property
    def identity(self) -> tuple[str, ...]:
        """What tells this value from others: artifacts of equal identity are interchangeable."""
        suffix = self.meta.get("suffix")
        return (self.type, self.digest, suffix) if isinstance(suffix, str) and suffix else (self.type, self.digest)

    def document(self) -> dict[str, Json]:
        """Return the artifact as JSON; an inline body is in base64."""
        document: dict[str, Json] = {"digest": self.digest, "type": self.type, "bytes": self.bytes}
        if self.meta:
            document["meta"] = dict(self.meta)
        if self.inline is not None:
            document["inline"] = base64.b64encode(self.inline).decode()
        return document

    @classmethod
    def from_document(cls, document: Mapping[str, Json]) -> Artifact:
        """Return the artifact that a document describes; raises Corrupt where it describes none."""
        try:
            inline = document.get("inline")
            return cls(
                digest=cast("str", document["digest"]),
                type=cast("str", document["type"]),
                bytes=cast("int", document["bytes"]),
                meta=cast("Mapping[str, Json]", document.get("meta", _NOTHING)),
                inline=None if inline is None else base64.b64decode(cast("str", inline), validate=True),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise Corrupt("this document describes no artifact", facts={"found": document}) from error


def json_document(tree: Json) -> dict[str, Json]:
    """Return the document of the artifact that a plain value is, from its typed JSON; the body is inline."""
    body = canonical(tree)
    return Artifact(digest_bytes(body), "json", len(body), inline=body).document()
