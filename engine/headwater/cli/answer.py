"""What a pipeline gave, as the lines that end ``hw run``: plain values as JSON, all else by how to get it."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

from headwater.cli import text
from headwater.values import untagged

if TYPE_CHECKING:
    from headwater.digest import Json

#: A longer answer is not printed: it would push away what was told of the run.
_MOST_LINES = 60


def answer(tree: Json, *, get: str = "hw get") -> str:
    """Lay out a recorded output as text, empty for none; what is large or not plain by its type, size and digest.

    ``get`` is the command that copies an artifact of this store.
    """
    shown = plain(tree, get)
    if shown is None:
        return ""
    lines = json.dumps(shown, indent=2, ensure_ascii=False).splitlines()
    left_out = [f"… {len(lines) - _MOST_LINES} more lines"] if len(lines) > _MOST_LINES else []
    return "\n".join([*lines[:_MOST_LINES], *left_out])


def plain(tree: Json, get: str = "hw get") -> Json:
    """Return a recorded tree for reading: without what tells classes and tuples apart; None where there is nothing."""
    match tree:
        case {"value": value}:
            return untagged(value)
        case {"artifact": {"type": "json", "inline": str(body)}}:
            return untagged(json.loads(base64.b64decode(body)))
        case {"artifact": {"type": str(kind), "bytes": int(size), "digest": str(digest)}}:
            return f"{kind} of {text.size(size)}: {get} {digest[:12]}"
        case {"list": list(items)} | {"tuple": list(items)}:
            return [plain(item, get) for item in items]
        case {"dict": dict(items)} | {"data": {"fields": dict(items)}}:
            return {name: plain(item, get) for name, item in items.items()}
        case _:
            return None
