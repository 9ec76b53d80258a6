"""One edit of a project and which of its steps must run again; and the reader of the `.edits` files.

A row of an `.edits` file:

    === a constant of a helper | run
    @@ flow.py
    from features import bucket
    @step
    def work(x: int):
        return bucket(x)
    @@ features.py
    LIMIT = 10
    def bucket(x): return x // LIMIT
    --- becomes
    @@ features.py
    LIMIT = 20
    def bucket(x): return x // LIMIT

After the name stands what the step `work` does (`run`, `reuse`), or each step by name (`work run, other reuse`); then
circumstances: `moved` (the project lies elsewhere after the edit), `touched` (written again with the same bytes),
`observed` (the steps run all the same, for what they were seen to read), `wide` (more counts than is certainly used,
and the fingerprint says so), `as script`, `X=1` and `then X=2` (the environment). `@@ old.py deleted` deletes. Text
before any `@@` stands in `flow.py` before a step `work` that returns `use(x)`. What `flow.py` lacks is added: the
import of headwater, and a pipeline `main` that calls `work`. Paths that begin with `site:` lie in a folder of
installed packages, with `beside:` next to the project; `{tmp}` is the folder around them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

RUN, REUSE = "run", "reuse"

_HEAD = "from headwater import pipeline, step\n"
_USE = "\n@step\ndef work(x: int):\n    return use(x)\n"
_FOOT = "\n@pipeline\ndef main(x: int = 3):\n    return work(x)\n"


@dataclass(frozen=True)
class Row:
    """A project before and after an edit, and what its steps do then."""

    name: str
    #: Path → text.
    before: dict[str, str]
    #: Files that the edit writes; None deletes one.
    after: dict[str, str | None]
    #: Step → run or reuse.
    expect: dict[str, str]
    env: dict[str, str] = field(default_factory=dict)
    env_after: dict[str, str] = field(default_factory=dict)
    moved: bool = False
    touched: bool = False
    wide: bool = False
    as_script: bool = False
    observed: bool = False


def read_rows(path: Path) -> list[Row]:
    """Read the rows of an `.edits` file."""
    blocks = re.split(r"^=== ", path.read_text(), flags=re.MULTILINE)
    assert not blocks[0].strip(), f"{path.name} begins with a row"
    return [_row(block) for block in blocks[1:]]


def _row(block: str) -> Row:
    head, _, body = block.partition("\n")
    name, expect, *flags = [part.strip() for part in head.split("|")]
    before, _, after = body.partition("--- becomes\n")
    words = [word.strip() for flag in flags for word in flag.split(",")]
    settings = [word for word in words if "=" in word]
    kinds = {word.replace(" ", "_"): True for word in words if "=" not in word}
    env = dict(word.split("=") for word in settings if not word.startswith("then "))
    later = dict(word.removeprefix("then ").split("=") for word in settings if word.startswith("then "))
    return Row(name, _files(before), _files(after), _steps(expect), env, env | later, **kinds)


def _steps(text: str) -> dict[str, str]:
    words = [part.split() for part in text.split(",")]
    steps = {"work": words[0][0]} if len(words[0]) == 1 else dict(words)
    assert set(steps.values()) <= {RUN, REUSE}, text
    return steps


def _files(text: str) -> dict[str, str | None]:
    plain, *sections = re.split(r"^@@ ", text, flags=re.MULTILINE)
    files: dict[str, str | None] = {}
    if plain.strip():
        files["flow.py"] = _flow(plain.strip("\n") + "\n" + _USE)
    for section in sections:
        name, _, body = section.partition("\n")
        body = body.strip("\n") + "\n" if body.strip("\n") else ""
        name, _, fate = name.strip().partition(" ")
        files[name] = None if fate == "deleted" else _flow(body) if name == "flow.py" else body
    return files


def _flow(text: str) -> str:
    head = "" if "from headwater import pipeline" in text else _HEAD
    return head + text + ("" if "@pipeline" in text else _FOOT)
