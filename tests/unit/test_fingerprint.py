"""Fingerprints: pieces, secrets, volatile values, the words of a difference, stale modules, projects, distributions."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from headwater.fingerprint import (
    Project,
    closure_of,
    compare,
    find_project,
    fingerprint,
    installed_versions,
    note_loaded,
    stale_modules,
)
from headwater.fingerprint.merkle import Node, digests
from headwater.fingerprint.plain import describe, is_secret


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Write modules into a project and import one of them; they are forgotten afterwards."""
    (tmp_path / "pyproject.toml").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = set(sys.modules)

    def load(name="flow", **files):
        for stem, text in files.items():
            (tmp_path / f"{stem}.py").write_text(textwrap.dedent(text))
        for module in set(sys.modules) - before:
            if str(tmp_path) in str(getattr(sys.modules[module], "__file__", "")):
                del sys.modules[module]
        importlib.invalidate_caches()
        return importlib.import_module(name)

    load.root = tmp_path
    yield load
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def made(function, root, **options):
    return fingerprint(function, Project(root), **options)


FLOW = """
    import numpy as np
    from features import bucket, Model, LIMIT

    def work(x, m=LIMIT):
        return [bucket(v) for v in np.asarray(x)] + Model().fit(x)
"""
FEATURES = """
    LIMIT = 10
    API_TOKEN = "hunter2"

    def bucket(x):
        return x // LIMIT, API_TOKEN

    class Model:
        def fit(self, x): return x
"""


def test_pieces_say_what_and_where(place):
    found = made(place(flow=FLOW, features=FEATURES).work, place.root)
    pieces = {piece.label: piece for piece in found.pieces}
    assert found.pieces[0].label == "flow.work"
    assert [(pieces[n].kind, pieces[n].file, pieces[n].line) for n in ("features.bucket", "features.Model")] == [
        ("function", "features.py", 5),
        ("class", "features.py", 8),
    ]
    assert pieces["features.LIMIT"].shown == "10"
    assert pieces["flow.work(m)"].kind == "default"
    assert set(found.distributions) == {"numpy"}
    assert found.widened == ()
    assert json.loads(json.dumps(found.document())) == found.document()


def test_what_looks_like_a_secret_is_never_shown(place):
    found = made(place(flow=FLOW, features=FEATURES).work, place.root)
    assert {piece.label: piece.shown for piece in found.pieces}["features.API_TOKEN"] is None
    assert "hunter2" not in json.dumps(found.document())
    edited = made(place(flow=FLOW, features=FEATURES.replace("hunter2", "hunter3")).work, place.root)
    assert edited.digest != found.digest
    assert "hunter" not in str(compare(found.document(), edited.document()))


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("LIMIT", 10, False),
        ("PATH", "data/2026/flights.parquet", False),
        ("DB_PASSWORD", "x", True),
        ("URL", "postgres://ann:letmein@db/x", True),
        ("KEY", "AKIAABCDEFGHIJKLMNOP", True),
        ("ID", "f3Gh7kLm9QwErTy2UiOp4AsDfGh6JkLz8X", True),
    ],
)
def test_secrets_are_known_by_name_or_shape(name, value, expected):
    assert is_secret(name, value) is expected


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("LIMIT = 10", "LIMIT = 20", ["constant features.LIMIT (features.py:2) changed: 10 → 20"]),
        ("x // LIMIT", "x % LIMIT", ["helper features.bucket (features.py:5) changed"]),
        ("return x\n", "return -x\n", ["helper features.Model.fit (features.py:9) changed"]),
    ],
)
def test_a_difference_is_told_in_words(place, old, new, words):
    before = made(place(flow=FLOW, features=FEATURES).work, place.root).document()
    after = made(place(flow=FLOW, features=FEATURES.replace(old, new)).work, place.root).document()
    assert [change.text for change in compare(before, after) if change.kind != "default"] == words
    assert compare(before, before) == []


def test_other_differences_in_words(place):
    before = made(place(flow=FLOW, features=FEATURES).work, place.root).document()
    own = made(place(flow=FLOW.replace("+ Model", "* Model"), features=FEATURES).work, place.root).document()
    assert [change.text for change in compare(before, own)] == ["its own code (flow.py:5) changed"]
    gone = made(place(flow=FLOW.replace("+ Model().fit(x)", ""), features=FEATURES).work, place.root).document()
    texts = [change.text for change in compare(before, gone)]
    assert texts[0] == "its own code (flow.py:5) changed"
    assert "class features.Model (features.py:8) is no longer used" in texts
    newer = {**before, "digest": "x", "distributions": {"numpy": "0.1"}}
    assert [change.kind for change in compare(before, newer)] == ["distribution"]
    assert compare(before, {**before, "digest": "x"})[0].text


def test_volatile_values_are_reported(place):
    flow = """
        import os, time
        HOME = os.environ.get("FLOW_HOME", "none")
        START = time.time()
        def work(x): return HOME, START
    """
    found = made(place(flow=flow).work, place.root)
    assert [text.partition(":")[0] for text in found.volatile] == ["flow.HOME", "flow.START"]
    assert "FLOW_HOME" in found.volatile[0]


def test_classes_of_inputs_count_when_they_are_named(place):
    files = {
        "flow": "import shapes\ndef work(x): return x.area()\n",
        "shapes": "class S:\n    def area(self): return 1\n",
    }
    alone = made(place(**files).work, place.root)
    first = made(place().work, place.root, also=[sys.modules["shapes"].S])
    files["shapes"] = files["shapes"].replace("1", "2")
    assert made(place(**files).work, place.root).digest == alone.digest
    second = made(place().work, place.root, also=[sys.modules["shapes"].S])
    assert len({alone.digest, first.digest, second.digest}) == 3


def test_a_class_has_a_fingerprint(place):
    one = made(place("shapes", shapes="class S:\n    n = 1").S, place.root)
    two = made(place("shapes", shapes="class S:\n    n = 2").S, place.root)
    assert one.digest != two.digest
    assert made(Path, place.root).pieces == ()


def test_a_module_that_was_edited_after_it_was_loaded_is_stale(place):
    place(flow="N = 1\n", other="M = 1\n")
    project = Project(place.root)
    note_loaded(project)
    path = place.root / "flow.py"
    assert stale_modules(project) == []
    os.utime(path, (1, 1))
    assert stale_modules(project) == []
    path.write_text("N = 2\n")
    assert stale_modules(project) == [path]
    path.write_text("N = 1\n")
    assert stale_modules(project) == []
    path.unlink()
    assert stale_modules(project) == [path]


def test_a_project_is_a_snapshot(place):
    module = place(flow="def work(x): return x\n")
    project = Project(place.root)
    old = fingerprint(module.work, project)
    (place.root / "flow.py").write_text("def work(x): return -x\n")
    assert fingerprint(module.work, project).digest == old.digest
    assert project.source(place.root / "flow.py").data == b"def work(x): return x\n"
    assert [source.label for source in project.files_used()] == ["flow.py"]


def test_files_of_a_project(tmp_path):
    for name in (
        "a.py",
        "pkg/__init__.py",
        "pkg/b.py",
        "src/c.py",
        "venv/pyvenv.cfg",
        "venv/d.py",
        ".git/e.py",
        "t.txt",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    (tmp_path / "headwater.toml").write_text("")
    project = find_project(tmp_path / "pkg" / "b.py")
    assert project.root == tmp_path
    own = [path for path in project.python_files() if path.is_relative_to(tmp_path)]
    assert [path.relative_to(tmp_path).as_posix() for path in own] == [
        "a.py",
        "pkg/__init__.py",
        "pkg/b.py",
        "src/c.py",
    ]
    assert [project.module_name(path) for path in own] == ["a", "pkg", "pkg.b", "c"]
    assert not project.has(tmp_path / "venv" / "d.py")
    assert not project.has(json.__file__)


def test_a_target_without_a_project_file_is_its_own_folder(tmp_path):
    (tmp_path / "flow.py").write_text("")
    assert find_project(tmp_path / "flow.py").root == tmp_path


def test_requirements_are_followed():
    found = closure_of(["pandas"])
    assert {"pandas", "numpy", "python-dateutil", "six"} <= set(found)
    assert "pytest" not in found
    assert installed_versions(["NumPy", "nowhere-at-all"]) == {"numpy": found["numpy"]}


def test_equal_values_have_equal_texts():
    def text(value):
        return describe(value, str, lambda _: False)

    assert text({1, 2, 3}) == text({3, 2, 1})
    different = [
        1,
        1.0,
        True,
        "1",
        b"1",
        [1],
        (1,),
        {1},
        frozenset({1}),
        {1: 1},
        None,
        1j,
        Path("1"),
        range(1),
        -0.0,
        0.0,
    ]
    assert len({str(text(value)) for value in different}) == len(different)
    assert text(object()) is None
    circle = []
    circle.append(circle)
    assert text(circle) is None


def ring(*texts, start=0):
    nodes = [Node("function", text, "", 0, [text]) for text in texts]
    for one, two in zip(nodes, [*nodes[1:], nodes[0]], strict=True):
        one.items.append(two)
    return digests(nodes)[nodes[start]]


def test_digests_of_circles_do_not_depend_on_where_one_starts_to_look():
    assert ring("a", "b", "c", start=1) == ring("b", "c", "a", start=0)
    assert ring("a", "b", "c") != ring("a", "c", "b")
    assert ring("a", "b") != ring("a", "b", "a", "c")
    assert ring("a") == ring("a", "a") == ring("a", "a", "a")


def test_lines_that_import_the_package_import_nothing_heavy():
    heavy = ["numpy", "pandas", "pyarrow", "dask", "distributed", "fsspec", "structlog", "blake3"]
    code = f"import sys, headwater.fingerprint; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_file_is_parsed_once(place, monkeypatch):
    import ast

    module = place(flow="def work(x): return x + 987\n")
    fingerprint(module.work, Project(place.root))
    monkeypatch.setattr(ast, "parse", None)
    fingerprint(module.work, Project(place.root))
