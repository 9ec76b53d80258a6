"""A fingerprint as data, its document, and the difference of two documents in words."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, cast

from headwater.excerpt import differing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from headwater.digest import Digest, Json

#: What a kind of piece is called in a sentence.
_WORDS = {
    "function": "helper",
    "class": "class",
    "constant": "constant",
    "default": "default",
    "closure": "captured value",
    "value": "captured value",
    "module": "module",
    "effect": "what runs at",
}


@dataclass(frozen=True, slots=True)
class Piece:
    """One thing that a step's code is made of."""

    #: ``features.bucket``.
    label: str
    #: function, class, constant, default, closure, value, module or effect.
    kind: str
    #: The project file, relative; and the line it starts at.
    file: str
    line: int
    #: Of the piece by itself: what it refers to counts by label.
    digest: Digest
    #: A short text of a plain value; None for other pieces and for what looks like a secret.
    shown: str | None = None

    def document(self) -> dict[str, Json]:
        """Return it as JSON."""
        found: dict[str, Json] = {
            "label": self.label,
            "kind": self.kind,
            "file": self.file,
            "line": self.line,
            "digest": self.digest,
        }
        return found | ({"shown": self.shown} if self.shown is not None else {})


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What a step's code is, transitively."""

    #: Depends on nothing but what the code does: not on names, places, order or process.
    digest: Digest
    #: The step's own function comes first.
    pieces: tuple[Piece, ...]
    #: Third-party distributions that the code reaches, with all that they need → version.
    distributions: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    #: Module-level values that are read from the environment, the clock or the like at import.
    volatile: tuple[str, ...] = ()
    #: Environment variables that modules read while they are imported: their values are in the digest.
    variables: tuple[str, ...] = ()
    #: Why more was taken in than is certainly used.
    widened: tuple[str, ...] = ()

    def document(self) -> dict[str, Json]:
        """Return it as JSON, for the record."""
        return {
            "version": 1,
            "digest": self.digest,
            "pieces": [piece.document() for piece in self.pieces],
            "distributions": dict(self.distributions),
            "volatile": list(self.volatile),
            "variables": list(self.variables),
            "widened": list(self.widened),
        }


@dataclass(frozen=True, slots=True)
class Change:
    """One difference between two fingerprints, in words."""

    text: str
    kind: str
    label: str
    file: str
    line: int


def compare(old: Mapping[str, Json], new: Mapping[str, Json]) -> list[Change]:
    """Return what changed between two fingerprint documents; empty if their digests are equal."""
    if old.get("digest") == new.get("digest") and old.get("distributions") == new.get("distributions"):
        return []
    before, after = _pieces(old), _pieces(new)
    own = next(iter(after), None)
    found = [
        _changed(before[key], after[key], is_own=key == own)
        for key in after
        if key in before and _digests(before[key]) != _digests(after[key])
    ]
    found += _come_and_gone(before, after)
    found += _distributions(old, new)
    if not found:
        found = [Change("what the pieces refer to changed", "order", "", "", 0)]
    return found


def _pieces(document: Mapping[str, Json]) -> dict[tuple[str, str], list[dict[str, Json]]]:
    found: dict[tuple[str, str], list[dict[str, Json]]] = {}
    for piece in cast("Sequence[dict[str, Json]]", document.get("pieces", ())):
        found.setdefault((str(piece["kind"]), str(piece["label"])), []).append(piece)
    return found


def _digests(pieces: list[dict[str, Json]]) -> list[str]:
    return sorted(str(piece["digest"]) for piece in pieces)


def _changed(old: list[dict[str, Json]], new: list[dict[str, Json]], *, is_own: bool) -> Change:
    was, now = old[0], new[0]
    values = ""
    if "shown" in was and "shown" in now:
        before, after = str(was["shown"]), str(now["shown"])
        # Equal: both were cut before the difference.
        is_seen = before != after
        values = f": {' → '.join(differing(before, after))}" if is_seen else f" after {len(after) - 1} characters"
    name = f"its own code ({_place(now)})" if is_own else _name(now)
    return _change(f"{name} changed{values}", now)


def _come_and_gone(
    before: Mapping[tuple[str, str], list[dict[str, Json]]], after: Mapping[tuple[str, str], list[dict[str, Json]]]
) -> list[Change]:
    """Return the pieces that only one side has, but for those that merely moved or have another name."""
    gone = [p for key, several in before.items() if key not in after for p in several]
    come = [p for key, several in after.items() if key not in before for p in several]
    same = {str(p["digest"]) for p in gone} & {str(p["digest"]) for p in come}
    found = [_change(f"{_name(p)} is now used", p) for p in come if p["digest"] not in same]
    return found + [_change(f"{_name(p)} is no longer used", p) for p in gone if p["digest"] not in same]


def _name(piece: Mapping[str, Json]) -> str:
    word = _WORDS.get(str(piece["kind"]), str(piece["kind"]))
    place = _place(piece)
    return f"{word} {piece['label']} ({place})" if place else f"{word} {piece['label']}"


def _place(piece: Mapping[str, Json]) -> str:
    return f"{piece['file']}:{piece['line']}" if piece.get("file") else ""


def _change(text: str, piece: Mapping[str, Json]) -> Change:
    line = piece.get("line", 0)
    return Change(
        text, str(piece["kind"]), str(piece["label"]), str(piece["file"]), line if isinstance(line, int) else 0
    )


def _distributions(old: Mapping[str, Json], new: Mapping[str, Json]) -> list[Change]:
    was = cast("Mapping[str, str]", old.get("distributions", {}))
    now = cast("Mapping[str, str]", new.get("distributions", {}))
    found: list[Change] = []
    for name in sorted({*was, *now}):
        if was.get(name) != now.get(name):
            text = f"package {name}: {was.get(name, 'not used')} → {now.get(name, 'not used')}"
            found.append(Change(text, "distribution", name, "", 0))
    return found
