"""Random modules: what cannot act never changes a fingerprint, a constant that is reached always does."""

from __future__ import annotations

import ast
import itertools
import os
import random
import sys
import textwrap
import types
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from headwater.fingerprint import Project, fingerprint

NUMBERS = itertools.count()
#: More in the long form of the suites.
EXAMPLES = 200 if os.environ.get("HYPOTHESIS_PROFILE") == "thorough" else 25
SETTINGS = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

#: Ways to use a callee and a number in a function's body. ``{k}`` is a constant, ``{f}`` something to call or ``x``.
BODIES = [
    "    return {f} + {k}",
    "    y = {f}\n    for i in range(3):\n        y += i * {k}\n    return y",
    "    return [v + {k} for v in [{f}, x] if v != {k}]",
    "    def inner(a, b={k}):\n        return a - b\n    return inner({f})",
    "    match x:\n        case {k}:\n            return {f}\n        case [a, *b]:\n            return a",
    "    try:\n        return {f} // {k}\n    except TypeError as error:\n        return str(error)",
    "    if (y := x) == {k}:\n        return y\n    return {f}",
    "    return (lambda z, *a, **b: z * {k})({f})",
    "    with open(str({f})) as stream:\n        return stream.read({k})",
    "    class Inner:\n        n = {k}\n        def go(self): return self.n\n    return Inner().go(), {f}",
    "    global COUNT\n    COUNT = {k}\n    return {f}",
    "    return f'{{x:>{k}}}', {f}",
]
#: Ways to hold a body.
WRAPPERS = ["def f{n}(x):\n{b}", "class C{n}:\n    def go(self, x):\n{i}\ndef f{n}(x): return C{n}().go(x)"]


@st.composite
def modules(draw):
    """A module as a list of top-level definitions; the last is reached from ``work``."""
    size = draw(st.integers(1, 5))
    constants = [draw(st.integers(-9, 99)) for _ in range(size)]
    parts = ["import math", "COUNT = 0"]
    for number in range(size):
        callee = draw(st.sampled_from([f"f{n}(x)" for n in range(number)] or ["x"]))
        is_named = draw(st.booleans())
        body = draw(st.sampled_from([b for b in BODIES if not (is_named and ("case {k}" in b or "{{x" in b))]))
        if "case {k}" in body or "{{x" in body:
            constants[number] = abs(constants[number])
        constant = f"N{number}" if is_named else str(constants[number])
        if is_named:
            parts.append(f"N{number} = {constants[number]}")
        wrapper = draw(st.sampled_from(WRAPPERS))
        text = body.format(f=callee, k=constant)
        parts.append(wrapper.format(n=number, b=text, i=textwrap.indent(text, "    ")))
    calls = " or ".join(f"f{n}(x)" for n in range(size))
    parts.append(f"def work(x):\n    return {calls}")
    return parts


@pytest.fixture
def measure(tmp_path):
    """Return the digest of ``work`` in a module with a text."""
    made = []

    def digest(text):
        name = f"random_module_{next(NUMBERS)}"
        place = Path(tmp_path, name)
        place.mkdir()
        path = place / "mod.py"
        path.write_text(text)
        module = types.ModuleType("mod")
        module.__file__ = str(path)
        sys.modules["mod"] = module
        made.append("mod")
        exec(compile(text, str(path), "exec"), vars(module))
        found = fingerprint(module.work, Project(place))
        assert found.widened == ()
        return found.digest

    yield digest
    for name in made:
        sys.modules.pop(name, None)


@SETTINGS
@given(parts=modules(), seed=st.integers(0, 1000))
def test_what_cannot_act_changes_nothing(parts, seed, measure):
    text = "\n".join(parts)
    old = measure(text)
    for change in (unparsed, commented, documented, reordered, joined_by_others, renamed):
        assert measure(change(parts, random.Random(seed))) == old, change.__name__


def unparsed(parts, _rng):
    return ast.unparse(ast.parse("\n".join(parts)))


def commented(parts, _rng):
    lines = [f"{line}  # note" for line in "\n".join(parts).splitlines()]
    return "# first\n" + "\n\n".join(lines) + "\n"


def documented(parts, _rng):
    tree = ast.parse("\n".join(parts))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            node.body.insert(0, ast.Expr(ast.Constant("Say what.")))
        if isinstance(node, ast.FunctionDef):
            for argument in node.args.args:
                argument.annotation = ast.Name("int", ast.Load())
    return ast.unparse(ast.fix_missing_locations(tree))


def reordered(parts, rng):
    """Definitions in another order; nothing is called at import."""
    mixed = parts[:]
    rng.shuffle(mixed)
    return "\n".join(mixed)


def joined_by_others(parts, rng):
    others = ["def other(x):\n    return f0(x) + 12345", "UNUSED = [1, 2]", "class Unused:\n    n = 1"]
    mixed = [*parts, *others]
    rng.shuffle(mixed)
    return "\n".join(mixed)


def renamed(parts, _rng):
    """Module-level functions and constants under other names."""
    tree = ast.parse("\n".join(parts))
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id[0] in "fN" and node.id[1:].isdigit():
            node.id = "renamed_" + node.id
        if isinstance(node, ast.FunctionDef) and node.name[0] == "f" and node.name[1:].isdigit():
            node.name = "renamed_" + node.name
    return ast.unparse(tree)


@SETTINGS
@given(parts=modules(), data=st.data())
def test_a_constant_that_is_reached_always_counts(parts, data, measure):
    tree = ast.parse("\n".join(parts))
    reached = [statement for statement in tree.body if ast.unparse(statement) != "COUNT = 0"]
    every = [node for statement in reached for node in ast.walk(statement)]
    where = [node for node in every if isinstance(node, ast.Constant) and type(node.value) is int]
    assume(where)
    old = measure(ast.unparse(tree))
    chosen = data.draw(st.sampled_from(where))
    chosen.value += 1000
    assert measure(ast.unparse(tree)) != old


@SETTINGS
@given(parts=modules())
def test_a_fingerprint_is_the_same_again(parts, measure):
    text = "\n".join(parts)
    assert measure(text) == measure(text)
