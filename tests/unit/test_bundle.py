"""Bundles: canonical bytes by root and path, and nothing that would leave its root."""

import json
from pathlib import Path

import pytest

from headwater.bundle import Bundle, make_bundle
from headwater.digest import digest_bytes
from headwater.errors import Corrupt, RequestError


def test_a_bundle_comes_back_as_it_was():
    files = {
        "project/a.py": b"x = 1\r\n",
        "project/latin.py": b"# -*- coding: latin-1 -*-\nx = '\xe9'\n",
        "made/m.py": b"",
    }
    bundle = Bundle(files)
    again = Bundle.decode(bundle.encode())
    assert again.files == files
    assert again.digest == bundle.digest == digest_bytes(bundle.encode())


def test_equal_files_give_equal_bytes_in_any_order():
    one, two = {"project/a.py": b"1", "project/b.py": b"2"}, {"project/b.py": b"2", "project/a.py": b"1"}
    assert Bundle(one).encode() == Bundle(two).encode()


def test_the_document_is_readable():
    document = json.loads(Bundle({"project/a.py": b"x = 1\n", "project/b.py": b"\xff"}).encode())
    assert document == {
        "headwater": "bundle/1",
        "files": {"project/a.py": {"text": "x = 1\n"}, "project/b.py": {"base64": "/w=="}},
    }


def test_files_go_under_the_innermost_root():
    roots = {"project": Path("/p"), "pkg:lib": Path("/p/vendor/lib/src")}
    sources = {Path("/p/flow.py"): b"1", Path("/p/vendor/lib/src/lib/x.py"): b"2", Path("/p/vendor/other.py"): b"3"}
    bundle = make_bundle(roots, sources, made={"headwater_made_ab.py": b"4"})
    assert dict(bundle.files) == {
        "project/flow.py": b"1",
        "pkg:lib/lib/x.py": b"2",
        "project/vendor/other.py": b"3",
        "made/headwater_made_ab.py": b"4",
    }
    assert bundle.roots() == ("made", "project", "pkg:lib")


def test_a_file_outside_all_roots_is_refused():
    with pytest.raises(RequestError, match="outside the project"):
        make_bundle({"project": Path("/p")}, {Path("/q/a.py"): b""})


@pytest.mark.parametrize("name", ["project/../../etc/x.py", "/project/a.py", "project", "project//a.py", "a\\b/c.py"])
def test_names_that_leave_their_root_are_refused(name):
    document = {"headwater": "bundle/1", "files": {name: {"text": ""}}}
    with pytest.raises(Corrupt):
        Bundle.decode(json.dumps(document).encode())


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"{}", b'{"headwater": "bundle/9", "files": {}}', b'{"headwater":"bundle/1"}']
)
def test_anything_else_is_corrupt(data):
    with pytest.raises(Corrupt):
        Bundle.decode(data)
