"""What a pipeline gave, as the lines that end ``hw run``: plain values as JSON, all else by how to get it."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

from headwater.cli import text

if TYPE_CHECKING:
    from headwater.digest import Json

#: A longer answer is not printed: it would push away what was told of the run.
_MOST_LINES = 60


def answer(tree: Json) -> str:
    """Lay out a recorded output as text, empty for none; what is large or not plain by its type, size and digest."""
    shown = _plain(tree)
    if shown is None:
        return ""
    lines = json.dumps(shown, indent=2, ensure_ascii=False).splitlines()
    left_out = [f"… {len(lines) - _MOST_LINES} more lines"] if len(lines) > _MOST_LINES else []
    return "\n".join([*lines[:_MOST_LINES], *left_out])


def _plain(tree: Json) -> Json:
    match tree:
        case {"value": value}:
            return _untagged(value)
        case {"artifact": {"type": "json", "inline": str(body)}}:
            return _untagged(json.loads(base64.b64decode(body)))
        case {"artifact": {"type": str(kind), "bytes": int(size), "digest": str(digest)}}:
            return f"{kind} of {text.size(size)}: hw get {digest[:12]}"
        case {"list": list(items)} | {"tuple": list(items)}:
            return [_plain(item) for item in items]
        case {"dict": dict(items)} | {"data": {"fields": dict(items)}}:
            return {name: _plain(item) for name, item in items.items()}
        case _:
            return None


def _untagged(value: Json) -> Json:
    """Leave out what tells tuples from lists and classes from dictionaries: this is for reading."""
    match value:
        case {"$": str(), "v": inner}:
            return _untagged(inner)
        case list(items):
            return [_untagged(item) for item in items]
        case dict(items):
            return {name: _untagged(item) for name, item in items.items()}
        case _:
            return value
