"""Two values side by side, short: the parts of their texts around the first difference."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

from headwater.expr import Const, describe

if TYPE_CHECKING:
    from headwater.digest import Json


def differing(old: str, new: str, *, width: int = 60) -> tuple[str, str]:
    """Return two texts, cut to a width in characters where they are longer, so that their first difference is seen."""
    if max(len(old), len(new)) <= width:
        return old, new
    pairs = enumerate(zip(old, new, strict=False))
    first = next((place for place, (one, other) in pairs if one != other), min(len(old), len(new)))
    start = 0 if first < width - width // 4 else min(first - width // 4, max(len(old), len(new)) - width)
    return _cut(old, start, width), _cut(new, start, width)


def _cut(text: str, start: int, width: int) -> str:
    end = start + width
    return ("…" if start else "") + text[start:end] + ("…" if len(text) > end else "")


def text_of(tree: Json) -> str | None:
    """Return an input tree of plain values and small stored ones as its author would write it; None for others."""
    match tree:
        case {"value": value}:
            return describe(Const(value))
        case {"artifact": dict(document)}:
            return text_of_artifact(document)
        case {"list": list(items)}:
            return _joined("[{}]", [text_of(item) for item in items])
        case {"tuple": list(items)}:
            return _joined("({})", [text_of(item) for item in items])
        case {"data": {"type": str(kind), "fields": dict(fields)}}:
            texts = [None if (text := text_of(part)) is None else f"{name}={text}" for name, part in fields.items()]
            return _joined(kind.rpartition(":")[2].rpartition(".")[2] + "({})", texts)
        case _:
            return None


def _joined(form: str, parts: list[str | None]) -> str | None:
    return None if None in parts else form.format(", ".join(filter(None, parts)))


def text_of_artifact(document: Json) -> str | None:
    """Return a plain value that travels inside an artifact's document as text; None for what is large or not plain."""
    match document:
        case {"type": "json", "inline": str(body)}:
            return describe(Const(json.loads(base64.b64decode(body))))
        case _:
            return None
