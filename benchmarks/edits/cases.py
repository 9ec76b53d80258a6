"""The edits that are measured: most from the table of tests/edits, some that need more than code."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

from tests.edits.row import Row, read_rows
from tests.edits.table import ROWS

#: A row of tests/edits → how the published table calls it.
CHOSEN = {
    "a comment": "a comment in a helper",
    "a docstring": "a docstring",
    "formatting": "formatting",
    "an unrelated function is edited": "an unrelated function",
    "an unrelated constant": "an unrelated constant",
    "a local variable is renamed": "a local variable of a helper is renamed",
    "a helper is renamed": "a helper is renamed",
    "a helper moves": "a helper moves to another module",
    "nothing but other bytes on disk": "the files are written again, unchanged",
    "the project lies elsewhere": "the project lies in another folder",
    "a helper": "a helper, same module",
    "a helper of a helper": "a helper's helper, same module",
    "a helper elsewhere": "a helper, other module (`from … import`)",
    "an unrelated helper elsewhere": "an unrelated helper, other module",
    "a constant": "a constant, same module",
    "its constant": "a constant of a helper, other module",
    "a constant by module": "a constant, other module (`import … as`)",
    "a default": "a default of a helper",
    "a closure's value": "a value in a closure",
    "a partial's argument": "an argument of a `partial`",
    "a lambda": "a lambda",
    "a nested function": "a function nested in a helper",
    "a decorator": "a decorator of a helper",
    "what a registry holds": "a function in a registry",
    "a method": "a method",
    "an inherited method": "an inherited method",
    "a method of the class that nothing calls": "a method that nothing calls",
    "a new field": "a field more in a dataclass",
    "a member's value": "the value of an enum's member",
    "a docstring that is read": "a docstring that the code reads",
    "an import inside": "behind an import inside the step",
    "an import by a computed name": "behind an import by a computed name",
    "getattr with a computed name": "behind `getattr` with a computed name",
    "a method is patched at import": "a method patched at import",
    "an editable package": "an editable package's code",
    "an environment variable": "an environment variable read at import",
}


@dataclass(frozen=True)
class Side:
    """A project on one side of the edit, said without any tool's words."""

    #: What stands before the step in its module: imports and definitions.
    head: str
    #: The step itself: `def work(x: int): …`, undecorated.
    step: str
    #: The other files; `site:` and `beside:` as in tests/edits.
    files: dict[str, str]
    #: What the step is called with, as Python writes it.
    argument: str = "15"
    #: A file that is declared as the step's input instead of the argument.
    data: str | None = None
    env: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    """One edit: the two sides and what else it does."""

    name: str
    before: Side
    after: Side
    moved: bool = False
    #: These files are written again though their bytes are the same.
    touched: tuple[str, ...] = ()


def cases() -> list[Case]:
    """List the edits in the order of the published table."""
    rows = {row.name: row for row in ROWS}
    first, second, *others = read_rows(Path(__file__).with_name("own.edits"))
    shared = [_case(title, rows[name]) for name, title in CHOSEN.items()]
    own = [_case(row.name, row) for row in others]
    return [_case(first.name, first), _case(second.name, second), *shared, *own, *_parameters(), *_inputs()]


def _case(title: str, row: Row) -> Case:
    files = {path: text for path, text in (row.before | row.after).items() if text is not None}
    return Case(
        title,
        _side(row.before, row.env),
        _side(files, row.env_after),
        moved=row.moved,
        touched=tuple(row.before) if row.touched else (),
    )


def _side(files: dict[str, str], env: dict[str, str]) -> Side:
    head, step = re.fullmatch(
        r"from headwater import pipeline, step\n(.*)@step\n(def work\(.*?)@pipeline\n.*", files["flow.py"], re.DOTALL
    ).groups()
    assert "@step" not in head + step, "a case has one step"
    return Side(head.strip() + "\n", step.strip() + "\n", {k: v for k, v in files.items() if k != "flow.py"}, env=env)


def _parameters() -> list[Case]:
    step = "def work(x):\n    return x\n"
    one = Side("", step, {}, argument="1")
    others = {
        "2": "a parameter: 1 becomes 2",
        "1.0": "a parameter: 1 becomes 1.0",
        "True": "a parameter: 1 becomes True",
    }
    return [Case(name, one, Side("", step, {}, argument=text)) for text, name in others.items()]


def _inputs() -> list[Case]:
    step = "def work(data):\n    return open(data).read()\n"
    one, two = (Side("", step, {"data.txt": text}, data="data.txt") for text in ("one", "two"))
    return [
        Case("an input file is touched", one, one, touched=("data.txt",)),
        Case("an input file changes", one, two),
    ]


def instrumented(step: str, mark: str) -> str:
    """Let the step leave a line in the file `mark` whenever it runs, and return its value as text."""
    head, body = step.split("\n", 1)
    writes = f"    with open({json.dumps(mark)}, 'a') as mark:\n        mark.write('ran\\n')\n"
    body = re.sub(r"^    return (.*)$", r"    return repr(\1)", body, flags=re.MULTILINE)
    return f"{head}\n{writes}{body}"
