"""One edit of a project and which of its steps must run again; the shape of the table."""

from __future__ import annotations

from dataclasses import dataclass, field
from textwrap import dedent, indent

#: What a step does after the edit.
RUN, REUSE = "run", "reuse"


@dataclass(frozen=True)
class Row:
    """A project before and after an edit.

    Paths are relative to the project's folder; those that begin with ``site:`` lie in a folder of installed packages
    beside it. The text ``{tmp}`` in a file stands for the folder that holds both.
    """

    name: str
    before: dict[str, str]
    #: Files that the edit writes; None deletes one.
    after: dict[str, str | None]
    #: Step → run or reuse; a bare word is for the step ``work``.
    expect: dict[str, str]
    #: The file with the steps and the pipeline ``main``.
    main: str = "flow.py"
    env: dict[str, str] = field(default_factory=dict)
    env_after: dict[str, str] | None = None
    #: The project lies in another folder after the edit.
    moved: bool = False
    #: Files are written again with the same bytes.
    touched: bool = False
    #: More counts than is certainly used, and the fingerprint says so.
    wide: bool = False
    #: The module is run as a script after the edit rather than imported.
    as_script: bool = False


def row(name: str, before: dict[str, str], after: dict[str, str | None], expect: str | dict[str, str], **more) -> Row:
    """Write a row; texts are dedented."""
    steps = {"work": expect} if isinstance(expect, str) else expect
    return Row(name, _clean(before), _clean(after), steps, **more)


def flow(imports: str = "", body: str = "return x", *, more: str = "") -> str:
    """Write the usual ``flow.py``: one step ``work`` with some imports, a body and definitions before it."""
    return "\n".join(
        [
            "from headwater import pipeline, step",
            dedent(imports).strip(),
            "",
            dedent(more).strip(),
            "",
            "@step",
            "def work(x: int):",
            indent(dedent(body).strip(), "    "),
            "",
            "@pipeline",
            "def main(x: int = 3):",
            "    return work(x)",
            "",
        ]
    )


def helper(imports: str, call: str, before: str, after: str, expect: str, name: str, **more) -> Row:
    """Write a row whose step calls into ``features.py``, which is what the edit changes."""
    main = {"flow.py": flow(imports, f"return {call}")}
    return row(name, main | {"features.py": before}, {"features.py": after}, expect, **more)


def own(name: str, before: str, after: str, expect: str, **more) -> Row:
    """Write a row that edits the definitions in front of the step, which returns ``use(x)``."""
    texts = [flow("", "return use(x)", more=text) for text in (before, after)]
    return row(name, {"flow.py": texts[0]}, {"flow.py": texts[1]}, expect, **more)


def _clean(files):
    return {path: text if text is None else dedent(text).lstrip("\n") for path, text in files.items()}
