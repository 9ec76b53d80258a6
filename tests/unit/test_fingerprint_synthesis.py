"""Functions that cannot be imported become modules that can, with the same results."""

from __future__ import annotations

import linecache
import sys
import types

import pytest

from headwater.errors import DefinitionError
from headwater.fingerprint import Project, fingerprint, is_importable, synthesise

CLOSURES = """
import math
from dataclasses import dataclass
from enum import Enum

import other

N = 2

@dataclass(frozen=True)
class Box:
    size: int

class Colour(Enum):
    RED = "r"

def plain(x):
    return x + N

def make(n, f=plain, box=Box(3), colour=Colour.RED):
    def inner(x, *, k=[N]):
        return (f(x) * n + box.size + len(k) + math.floor(other.half(x)), colour.value)
    return inner

def make_recursive():
    def down(x):
        return 0 if x <= 0 else 1 + down(x - 1)
    return down

def make_holding(handle):
    def inner(x):
        return handle
    return inner

made = make(5)
recursive = make_recursive()
holding = make_holding(object())
nested = make(7, f=recursive)
with_lambda = make(7, f=lambda v: v * 3 + N)
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    (tmp_path / "pyproject.toml").write_text("")
    (tmp_path / "closures.py").write_text(CLOSURES)
    (tmp_path / "other.py").write_text("def half(x): return x / 2\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield Project(tmp_path)
    for name in ("closures", "other"):
        sys.modules.pop(name, None)


def run(text: str) -> dict[str, object]:
    module = types.ModuleType("headwater_made_x")
    sys.modules[module.__name__] = module
    try:
        exec(compile(text, "made.py", "exec"), vars(module))
    finally:
        del sys.modules[module.__name__]
    return vars(module)


@pytest.mark.parametrize("name", ["made", "recursive", "nested", "with_lambda"])
def test_a_closure_becomes_a_module(project, name):
    import closures

    function = getattr(closures, name)
    text = synthesise(function, project)
    assert run(text)[function.__name__](4) == function(4)
    assert text == synthesise(function, project)
    assert str(project.root) not in text


def test_a_value_that_cannot_be_written_is_named(project):
    import closures

    with pytest.raises(DefinitionError, match="handle") as caught:
        synthesise(closures.holding, project)
    assert "input of the step" in str(caught.value)


def test_what_can_be_imported_is_known(project):
    import closures

    assert is_importable(closures.plain, project)
    assert not is_importable(closures.made, project)
    assert not is_importable(closures.with_lambda, project)


CELLS = [
    """
import math
from dataclasses import dataclass
from pathlib import Path
from headwater import step
import other
RATE = 3
HERE = Path("data")
""",
    """
@dataclass(frozen=True)
class Trees:
    depth: int = 2
    def twice(self): return self.depth * RATE
""",
    """
def helper(x):
    return even(x) + Trees(x).twice()

def even(x, seen=()):
    return 1 if x <= 0 else helper(x - 1) + math.floor(1.5) + other.half(2)

@step
def work(x: int) -> int:
    "What it does."
    return helper(x) + len(HERE.name)
""",
]


class Notebook:
    """Runs cells as a kernel does: code without a file, in ``__main__``, its text in linecache."""

    def __init__(self, monkeypatch):
        self.module = types.ModuleType("__main__")
        monkeypatch.setitem(sys.modules, "__main__", self.module)
        self.count = 0

    def run(self, text):
        self.count += 1
        name = f"<ipython-input-{self.count}-abc>"
        lines = text.splitlines(keepends=True)
        linecache.cache[name] = (len(text), None, lines, name)
        exec(compile(text, name, "exec"), vars(self.module))

    def __getattr__(self, name):
        return getattr(self.module, name)


@pytest.fixture
def notebook(project, monkeypatch):
    before = set(linecache.cache)
    made = Notebook(monkeypatch)
    for cell in CELLS:
        made.run(cell)
    yield made
    for name in set(linecache.cache) - before:
        del linecache.cache[name]


def test_a_notebook_function_becomes_a_module(project, notebook):
    work = notebook.work.function
    assert not is_importable(work, project)
    text = synthesise(work, project)
    assert run(text)["work"](3) == work(3)


def test_a_cell_that_is_run_again_changes_nothing(project, notebook):
    old = fingerprint(notebook.work.function, project)
    for cell in CELLS[1:]:
        notebook.run(cell)
    notebook.run("exploring = 1 + 1\nprint\n")
    assert fingerprint(notebook.work.function, Project(project.root)).digest == old.digest
    assert old.widened == ()


@pytest.mark.parametrize(
    ("cell", "before", "after"),
    [(0, "RATE = 3", "RATE = 4"), (1, "depth * RATE", "depth + RATE"), (2, "x <= 0", "x <= 1"), (2, "+ len", "- len")],
)
def test_a_cell_that_is_edited_changes_the_step(project, notebook, cell, before, after):
    old = fingerprint(notebook.work.function, project)
    notebook.run(CELLS[cell].replace(before, after))
    assert fingerprint(notebook.work.function, Project(project.root)).digest != old.digest


def test_code_at_a_prompt_counts_by_its_byte_code(project, monkeypatch):
    module = types.ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", module)

    def enter(text):
        exec(compile(text, "<stdin>", "exec"), vars(module))

    enter("N = 1\ndef use(x): return x + N")
    first = fingerprint(module.use, project)
    enter("def use(x): return x + N")
    assert fingerprint(module.use, project).digest == first.digest
    assert any("byte code" in why for why in first.widened)
    enter("N = 2")
    assert fingerprint(module.use, project).digest != first.digest
    with pytest.raises(DefinitionError, match="source is not known"):
        synthesise(module.use, project)
