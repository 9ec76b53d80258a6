"""Frames between a step process and its parent: four bytes of length, then JSON."""

from __future__ import annotations

import json
import os
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headwater.digest import Json

_HEAD = struct.Struct(">I")


def write_frame(fd: int, message: dict[str, Json]) -> None:
    """Write one frame; blocks until the other side has taken it. Raises OSError where it is gone."""
    body = json.dumps(message, ensure_ascii=False).encode("utf-8", "surrogatepass")
    data = memoryview(_HEAD.pack(len(body)) + body)
    while data:
        data = data[os.write(fd, data) :]


def read_frame(fd: int) -> dict[str, Json] | None:
    """Read one frame; None when the other side has closed its end."""
    head = _read(fd, _HEAD.size)
    if head is None:
        return None
    body = _read(fd, _HEAD.unpack(head)[0])
    return None if body is None else parse(body)


def parse(body: bytes) -> dict[str, Json]:
    """Return the message in a frame's body."""
    message: dict[str, Json] = json.loads(body.decode("utf-8", "surrogatepass"))
    return message


class Frames:
    """Puts frames together from pieces, for a reader that must not block."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def feed(self, data: bytes) -> Iterator[dict[str, Json]]:
        """Take what came, and yield every message that it completes."""
        self._pending += data
        while len(self._pending) >= _HEAD.size:
            end = _HEAD.size + _HEAD.unpack_from(self._pending)[0]
            if len(self._pending) < end:
                return
            body = bytes(self._pending[_HEAD.size : end])
            del self._pending[:end]
            yield parse(body)


def _read(fd: int, size: int) -> bytes | None:
    data = bytearray()
    while len(data) < size:
        piece = os.read(fd, size - len(data))
        if not piece:
            return None
        data += piece
    return bytes(data)
