"""The results as a document, and as the table that is published."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.edits.measure import Outcome

Json = Any
BEGIN, END = "<!-- measured: python -m benchmarks.edits -->", "<!-- end of what is measured -->"

#: A verdict → what the table says.
WORDS = {
    "ran": "ran",
    "reused": "reused",
    "stale": "**STALE**",
    "needless": "*reran*",
    "never": "*never reuses*",
    "wrong": "**WRONG**",
    "failed": "failed",
}


def verdict(outcome: Outcome, *, before: str, after: str) -> str:
    """Judge by the values: what a project gives without any tool before and after the edit."""
    if outcome.before is None or outcome.again is None or outcome.after is None:
        return "failed"
    if outcome.before.value != before or outcome.again.value != before:
        return "wrong"
    if outcome.after.value != after:
        return "wrong" if outcome.after.ran else "stale"
    if outcome.again.ran:
        return "never"
    if not outcome.after.ran:
        return "reused"
    return "needless" if before == after else "ran"


def cell(outcome: Outcome, *, before: str, after: str) -> Json:
    """Write down what one tool did with one case."""
    seen = {name: getattr(outcome, name) for name in ("before", "again", "after")}
    told = {name: {"ran": one.ran, "value": one.value} for name, one in seen.items() if one is not None}
    found = {"verdict": verdict(outcome, before=before, after=after), **told}
    return found | ({"failure": outcome.failure} if outcome.failure else {})


def table(results: Json) -> str:
    """Render all rows, a column for each tool that was measured."""
    names = list(results["peers"])
    lines = ["| edit | right | " + " | ".join(names) + " |", "|---" * (len(names) + 2) + "|"]
    for row in results["rows"]:
        right = "reuse" if row["before"] == row["after"] else "run"
        words = [WORDS[row["cells"][name]["verdict"]] if name in row["cells"] else "not run" for name in names]
        lines.append(f"| {row['name']} | {right} | " + " | ".join(words) + " |")
    return "\n".join(lines)


def counts(results: Json) -> str:
    """Render how often each tool was right, stale and needless."""
    lines = [
        "| tool | version | measured | edits | right | stale | needless | other |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, peer in results["peers"].items():
        if "not_run" in peer:
            lines.append(f"| {name} | | not run: {peer['not_run']} | | | | | |")
            continue
        found = Counter(row["cells"][name]["verdict"] for row in results["rows"] if name in row["cells"])
        right, needless = found["ran"] + found["reused"], found["needless"] + found["never"]
        other = found["failed"] + found["wrong"]
        figures = [name, peer["version"], peer["date"], found.total(), right, found["stale"], needless, other]
        lines.append(f"| {' | '.join(map(str, figures))} |")
    return "\n".join(lines)


def summary(results: Json) -> str:
    """Say in a sentence how many edits were stale with each tool: the line that other pages may cite."""
    rows = results["rows"]
    must = sum(row["before"] != row["after"] for row in rows)
    measured = [name for name, peer in results["peers"].items() if "not_run" not in peer]
    stale = {name: sum(row["cells"][name]["verdict"] == "stale" for row in rows) for name in measured}
    return (
        f"{len(rows)} edits, of which {must} change the result; Python {results['python']} on {results['system']}. "
        f"Stale: {', '.join(f'{name} {number}' for name, number in stale.items())}."
    )


def page(text: str, results: Json) -> str:
    """Put what was measured between the two marks of the page."""
    start, end = text.index(BEGIN) + len(BEGIN), text.index(END)
    return f"{text[:start]}\n\n{summary(results)}\n\n{counts(results)}\n\n{table(results)}\n\n{text[end:]}"


def load(path: Path) -> Json:
    """Read results; there may be none yet."""
    return json.loads(path.read_text()) if path.exists() else {"peers": {}, "rows": []}


def merged(old: Json, new: Json, order: list[str]) -> Json:
    """Keep what was measured earlier, of other tools on the same rows."""
    known = {row["name"]: row for row in old["rows"]}
    rows = []
    for row in new["rows"]:
        was = known.get(row["name"])
        same = was is not None and (was["before"], was["after"]) == (row["before"], row["after"])
        rows.append({**row, "cells": {**(was["cells"] if same else {}), **row["cells"]}})
    peers = old["peers"] | new["peers"]
    return {**new, "peers": {name: peers[name] for name in order if name in peers}, "rows": rows}


def save(results: Json, path: Path) -> None:
    """Write results, so that a run that is stopped loses one tool at most."""
    rows = ",\n".join(json.dumps(row) for row in results["rows"])  # a row a line: a change can be read
    rest = {name: text for name, text in results.items() if name != "rows"}
    path.write_text(f'{json.dumps(rest, indent=1)[:-2]},\n "rows": [\n{rows}\n ]\n}}\n')
