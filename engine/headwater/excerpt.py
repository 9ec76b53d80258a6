"""Two values side by side, short: the parts of their texts around the first difference."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, TypeAlias, cast

from headwater.expr import Const, describe

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from headwater.digest import Json

    #: A folder's artifact → what is in it, path by path; None where it cannot be read any more.
    ListFolder: TypeAlias = Callable[[Mapping[str, Json]], Mapping[str, Json] | None]


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


def files_that_differ(old: Mapping[str, Json], new: Mapping[str, Json]) -> str:
    """Name the first file that differs between two folders (path → what it holds), and how many more do; "" for none.

    A file that is in both comes before one that was added or removed.
    """
    names = [name for name in sorted(old.keys() | new.keys()) if old.get(name) != new.get(name)]
    told = [name for name in names if name in old and name in new]
    told += [f"{name} {'removed' if name in old else 'added'}" for name in names if not (name in old and name in new)]
    if not told:
        return ""
    return told[0] + (f" (and {len(told) - 1} more)" if len(told) > 1 else "")


def folder_change(old: Json, new: Json, list_folder: ListFolder) -> str:
    """Name the files that differ between two input trees; "" where they are no folders, or cannot be read."""
    match old, new:
        case {"artifact": {"type": "dir"} as one}, {"artifact": {"type": "dir"} as other}:
            before, after = list_folder(cast("Mapping[str, Json]", one)), list_folder(cast("Mapping[str, Json]", other))
            return files_that_differ(before, after) if before is not None and after is not None else ""
        case _:
            return ""


def name_of(tree: Json) -> str:
    """Return what an input tree is called that is a file or a folder, ``folder data``; "" for other values."""
    match tree:
        case {"artifact": {"type": "file" | "dir" as kind, "meta": {"name": str(name)}}}:
            return f"{'file' if kind == 'file' else 'folder'} {name}"
        case _:
            return ""


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
