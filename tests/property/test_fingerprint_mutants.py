"""Never a false hit: the projects of the edit table are broken at random; a result that differs needs a new digest."""

from __future__ import annotations

import ast
import decimal
import importlib
import math
import os
import random
import re
import sys

import pytest

from headwater.author.step import Step
from headwater.fingerprint import Project, fingerprint
from tests.edits.table import ROWS

MUTANTS = 40
OPERATORS = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.FloorDiv: ast.Mult,
    ast.Lt: ast.Gt,
    ast.LtE: ast.Lt,
    ast.Eq: ast.NotEq,
    ast.Or: ast.And,
    ast.And: ast.Or,
}
#: Rows whose results differ by themselves, or that need more than Python files.
LEFT_OUT = ("clock", "random number", "time that", "virtual environment")
PROJECTS = [
    row
    for row in ROWS
    if all(name.endswith(".py") and ":" not in name for name in row.before)
    and not row.env
    and not any(word in row.name for word in LEFT_OUT)
]


@pytest.mark.parametrize("seed", range(2))
def test_a_mutant_with_another_result_has_another_fingerprint(seed, tmp_path, monkeypatch):
    rng = random.Random(seed)
    told_apart = 0
    for number in range(MUTANTS):
        files = dict(rng.choice(PROJECTS).before)
        name = rng.choice(sorted(files))
        tree = ast.parse(files[name])
        files[name] = ast.unparse(tree)
        if not mutated(tree, rng):
            continue
        text = ast.unparse(ast.fix_missing_locations(tree))
        old = outcome(files, tmp_path / f"{number}-old")
        new = outcome(files | {name: text}, tmp_path / f"{number}-new")
        if old is not None and new is not None and old[0] != new[0]:
            assert old[1] != new[1], f"{old[0]} became {new[0]}\n{files[name]}\n-----\n{text}"
            told_apart += 1
    assert told_apart > MUTANTS // 10


def mutated(tree, rng):
    """Change one thing; True if something was found to change."""
    places = [(parent, name) for parent in ast.walk(tree) for name, _ in ast.iter_fields(parent)]
    places = [(parent, name, place) for parent, name in places for place in indices(getattr(parent, name))]
    rng.shuffle(places)
    return any(mutated_at(tree, *place, rng) for place in places)


def indices(value):
    return range(len(value)) if isinstance(value, list) else [None]


def mutated_at(tree, parent, name, place, rng):
    inside = getattr(parent, name)
    node = inside if place is None else inside[place]
    dice = rng.random()
    if isinstance(node, ast.Constant) and not isinstance(parent, ast.JoinedStr):
        node.value = another(node.value)
        return True
    if type(node) in OPERATORS:
        put(parent, name, place, OPERATORS[type(node)]())
        return True
    if isinstance(node, ast.stmt) and place is not None and len(inside) > 1 and dice < 0.3:
        del inside[place]
        return True
    if isinstance(node, ast.stmt) and place is not None and place + 1 < len(inside) and dice < 0.7:
        inside[place], inside[place + 1] = inside[place + 1], inside[place]
        return True
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and name != "decorator_list" and dice < 0.6:
        others = [n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and n.id != node.id]
        node.id = rng.choice(others) if others else node.id
        return bool(others)
    if isinstance(node, ast.expr) and place is not None and name in ("args", "elts", "bases") and dice < 0.5:
        del inside[place]
        return True
    return False


def another(value):
    match value:
        case bool():
            return not value
        case int() | float():
            return value + 1
        case str():
            return value + "x"
        case _:
            return 7


def put(parent, name, place, node):
    if place is None:
        setattr(parent, name, node)
    else:
        getattr(parent, name)[place] = node


def outcome(files, root):
    """What `work(3)` gives, and its digest; None where the module cannot be imported."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    with pytest.MonkeyPatch.context() as patch, decimal.localcontext():
        patch.setattr(sys, "path", [str(root), *sys.path])
        patch.setattr(sys, "modules", sys.modules.copy())
        patch.setattr(sys, "dont_write_bytecode", True)
        patch.setattr(math, "sqrt", math.sqrt)
        patch.setattr(os, "environ", os.environ.copy())
        importlib.invalidate_caches()
        random.seed(5)
        try:
            work = importlib.import_module("flow").work
        except Exception:  # noqa: BLE001  a mutant may raise anything
            return None
        if not isinstance(work, Step):
            return None
        digest = fingerprint(work.function, Project(root)).digest
        try:
            result = repr(work.function(3))
        except Exception as error:  # noqa: BLE001
            result = f"raises {type(error).__name__}"
        return re.sub(r"0x[0-9a-f]+", "", result).replace(str(root), ""), digest
