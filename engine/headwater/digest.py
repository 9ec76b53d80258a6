"""Canonical JSON bytes and BLAKE3: the only place that hashes.

A digest is the BLAKE3-256 of some bytes, written as 64 lowercase hexadecimal digits. Envelopes (definitions, keys,
manifests) are hashed as canonical JSON: keys sorted by code point, no white space, UTF-8, no NaN or infinity
(RFC 8785's rules, but for numbers, which keep Python's spelling so that 1 and 1.0 differ). Values of steps have a
richer canonical form: see :mod:`headwater.values`.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import IO, Protocol

    class Hasher(Protocol):
        """An incremental BLAKE3 hasher."""

        def update(self, data: bytes | memoryview, /) -> object:
            """Take in more bytes."""
            ...

        def hexdigest(self) -> str:
            """Return the digest of all bytes so far."""
            ...


#: BLAKE3-256 as 64 lowercase hexadecimal digits.
Digest: TypeAlias = str

#: What JSON can say.
Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

DIGEST_LENGTH = 64
_CHUNK = 1 << 20


def new_hasher() -> Hasher:
    """Return an incremental BLAKE3 hasher, for data that arrives in pieces."""
    import blake3

    return blake3.blake3()


def digest_bytes(data: bytes | memoryview) -> Digest:
    """Return the digest of some bytes."""
    import blake3

    return blake3.blake3(data).hexdigest()


def digest_stream(stream: IO[bytes]) -> tuple[Digest, int]:
    """Return the digest of everything left in a binary stream, and the number of bytes read."""
    hasher, size = new_hasher(), 0
    while chunk := stream.read(_CHUNK):
        hasher.update(chunk)
        size += len(chunk)
    return hasher.hexdigest(), size


def canonical(document: object) -> bytes:
    """Return the canonical JSON bytes of a JSON document.

    Raises ValueError for NaN or an infinity and TypeError for what JSON cannot say.
    """
    return json.dumps(document, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def digest_of(document: object) -> Digest:
    """Return the digest of a JSON document's canonical bytes."""
    return digest_bytes(canonical(document))


def digest_all(digests: Iterable[Digest]) -> Digest:
    """Return one digest for an ordered sequence of digests."""
    return digest_bytes("\n".join(digests).encode())


def is_digest(text: str) -> bool:
    """Tell whether a text has the form of a digest."""
    return len(text) == DIGEST_LENGTH and all(char in "0123456789abcdef" for char in text)


def chain_link(previous: str, data: bytes) -> str:
    """Return the SHA-256 that binds a record to the one before it (hexadecimal)."""
    return hashlib.sha256(previous.encode() + b"\n" + data).hexdigest()


def sign(secret: bytes, data: bytes) -> str:
    """Return the HMAC-SHA-256 of some bytes (RFC 2104), hexadecimal."""
    return hmac.new(secret, data, hashlib.sha256).hexdigest()


def is_signed(secret: bytes, data: bytes, signature: str) -> bool:
    """Tell whether a signature is the HMAC-SHA-256 of some bytes, in constant time."""
    return hmac.compare_digest(sign(secret, data), signature)
