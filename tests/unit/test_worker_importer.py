"""Imports from a bundle: as from disk, but from the bundle's bytes."""

import importlib
import linecache
import runpy
import sys
import textwrap
import traceback
import uuid
import zipfile

import pytest

from headwater.bundle import Bundle
from headwater.worker.importer import BundleFinder


@pytest.fixture
def install(tmp_path):
    """Install a finder for some files of the root `project` (or others), and undo it."""
    state = sys.meta_path[:], sys.path[:], sys.path_hooks[:], set(sys.modules)

    def make(files, *, on_disk=True, places=None):
        named = {
            name if "/" in name and name.split("/")[0] in {"made", "project", "pkg:lib"} else f"project/{name}": text
            for name, text in files.items()
        }
        bundle = Bundle({name: textwrap.dedent(text).encode() for name, text in named.items()})
        places = places if places is not None else ({"project": str(tmp_path)} if on_disk else {})
        finder = BundleFinder(bundle, digest=bundle.digest, places=places)
        finder.install()
        return finder

    yield make
    sys.meta_path[:], sys.path[:], sys.path_hooks[:] = state[:3]
    for name in set(sys.modules) - state[3]:
        del sys.modules[name]
    sys.path_importer_cache.clear()


def unique(stem):
    return f"{stem}_{uuid.uuid4().hex[:8]}"


def test_a_module_has_the_name_of_its_file(install, tmp_path):
    name = unique("flow")
    install({f"{name}.py": "x = 1\n"})
    module = importlib.import_module(name)
    assert module.x == 1
    assert module.__file__ == str(tmp_path / f"{name}.py")
    assert module.__spec__.origin == module.__file__


def test_the_disk_does_not_count(install, tmp_path):
    name = unique("flow")
    (tmp_path / f"{name}.py").write_text("x = 'disk'\n")
    compile((tmp_path / f"{name}.py").read_text(), "x", "exec")
    install({f"{name}.py": "x = 'bundle'\n"})
    assert importlib.import_module(name).x == "bundle"


def test_a_module_that_is_only_on_disk_is_not_found(install, tmp_path):
    new = unique("new")
    (tmp_path / f"{new}.py").write_text("x = 1\n")
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / f"{new}.py").write_text("x = 1\n")
    install({"other.py": ""})
    for wanted in (new, f"inner.{new}"):
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module(wanted)


def test_packages_relative_imports_and_namespaces(install, tmp_path):
    pack, space = unique("pack"), unique("space")
    install(
        {
            f"{pack}/__init__.py": "from .part import value\nfrom . import deep\n",
            f"{pack}/part.py": "value = 7\n",
            f"{pack}/deep/__init__.py": "from ..part import value as again\nname = __package__\n",
            f"{space}/leaf.py": f"from {pack} import value\nhere = __file__\n",
        }
    )
    module = importlib.import_module(pack)
    assert module.value == module.deep.again == 7
    assert module.deep.name == f"{pack}.deep"
    assert module.__path__ == [str(tmp_path / pack)]
    leaf = importlib.import_module(f"{space}.leaf")
    assert leaf.here == str(tmp_path / space / "leaf.py")
    assert list(sys.modules[space].__path__) == [str(tmp_path / space)]
    assert sys.modules[space].__file__ is None


def test_an_installed_package_wins_over_a_folder_of_its_name(install):
    install({"json/notes.py": "", "pathlib/notes.py": ""})
    assert importlib.util.find_spec("pathlib").origin.endswith("pathlib.py")


def test_without_a_project_on_this_machine_names_are_virtual(install):
    name = unique("flow")
    install({f"{name}.py": "def f():\n    raise ValueError('here')\n"}, on_disk=False)
    module = importlib.import_module(name)
    assert module.__file__.startswith("<bundle ")
    try:
        module.f()
    except ValueError:
        assert "    raise ValueError('here')" in traceback.format_exc()


def test_tracebacks_show_the_lines_that_ran(install, tmp_path):
    name = unique("flow")
    install({f"{name}.py": "def f():\n    raise ValueError('old')\n"})
    module = importlib.import_module(name)
    (tmp_path / f"{name}.py").write_text("# a new first line\ndef f():\n    return 'new'\n")
    linecache.checkcache()
    with pytest.raises(ValueError, match="old") as caught:
        module.f()
    assert "raise ValueError('old')" in "".join(traceback.format_exception(caught.value))


def test_code_that_extends_the_path_finds_its_folder(install):
    name, helper = unique("script"), unique("helper")
    text = f"import os, sys\nsys.path.insert(0, os.path.join(os.path.dirname(__file__), 'lib'))\nimport {helper}\n"
    install({f"{name}.py": text, f"lib/{helper}.py": "x = 3\n"})
    importlib.import_module(name)
    assert sys.modules[helper].x == 3


def test_made_modules_come_first_and_roots_are_searched_in_order(install, tmp_path):
    name = unique("m")
    install({f"made/{name}.py": "x = 'made'\n", f"project/{name}.py": "x = 'project'\n"})
    assert importlib.import_module(name).x == "made"


def test_an_editable_install_is_found_where_it_lies(install, tmp_path, monkeypatch):
    top = unique("lib")
    source = tmp_path / "elsewhere" / "src"
    (source / top).mkdir(parents=True)
    (source / top / "__init__.py").write_text("x = 'disk'\n")
    monkeypatch.syspath_prepend(str(source))
    install({f"pkg:lib/{top}/__init__.py": "x = 'bundle'\n"}, places={})
    module = importlib.import_module(top)
    assert module.x == "bundle"
    assert module.__file__ == str(source / top / "__init__.py")


def test_data_beside_the_code_is_read_from_disk_and_code_from_the_bundle(install, tmp_path):
    import importlib.resources
    import pkgutil

    pack = unique("pack")
    (tmp_path / pack).mkdir()
    (tmp_path / pack / "table.csv").write_text("a,b\n")
    (tmp_path / pack / "part.py").write_text("on disk\n")
    install({f"{pack}/__init__.py": "", f"{pack}/part.py": "in_bundle = 1\n"})
    importlib.import_module(pack)
    assert pkgutil.get_data(pack, "table.csv") == b"a,b\n"
    assert pkgutil.get_data(pack, "part.py") == b"in_bundle = 1\n"
    assert importlib.resources.files(pack).joinpath("table.csv").read_text() == "a,b\n"


def test_sources_may_have_any_encoding(install):
    name = unique("latin")
    finder = install({"x.py": ""})
    place = finder.roots[0]
    finder.files[f"{place}/{name}.py"] = "# -*- coding: latin-1 -*-\nx = 'é'\n".encode("latin-1")
    assert importlib.import_module(name).x == "é"


def test_a_syntax_error_names_the_file_and_line(install, tmp_path):
    name = unique("bad")
    install({f"{name}.py": "x = 1\ndef (:\n"})
    with pytest.raises(SyntaxError) as caught:
        importlib.import_module(name)
    assert (caught.value.filename, caught.value.lineno) == (str(tmp_path / f"{name}.py"), 2)


def test_inspect_shows_the_source_that_runs(install, tmp_path):
    import inspect

    name = unique("flow")
    (tmp_path / f"{name}.py").write_text("def f():\n    return 'disk'\n")
    install({f"{name}.py": "def f():\n    return 'bundle'\n"})
    assert "bundle" in inspect.getsource(importlib.import_module(name).f)


def test_the_engine_is_never_taken_from_a_bundle(install):
    import headwater.bundle

    install({"headwater/__init__.py": "raise SystemError\n", "headwater/newer.py": "x = 1\n"})
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("headwater.newer")
    assert importlib.import_module("headwater.bundle") is headwater.bundle


def test_an_editable_install_is_found_by_what_its_installer_wrote(install, tmp_path, monkeypatch):
    """Code below `src`, reached through a link: it is still the bundle's."""
    from headwater.fingerprint.distributions import forget

    top = unique("lib")
    source = tmp_path / "elsewhere" / "src"
    (source / top).mkdir(parents=True)
    (source / top / "__init__.py").write_text("")
    (source / top / "core.py").write_text("x = 'disk'\n")
    (tmp_path / "link").symlink_to(source)
    meta = tmp_path / "site" / "lib-1.0.dist-info"
    meta.mkdir(parents=True)
    (meta / "direct_url.json").write_text(
        '{"url": "file://%s", "dir_info": {"editable": true}}' % (tmp_path / "elsewhere")
    )
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.syspath_prepend(str(tmp_path / "link"))
    forget()
    files = {f"pkg:lib/src/{top}/__init__.py": "", f"pkg:lib/src/{top}/core.py": "x = 'bundle'\n"}
    install(files, places={})
    module = importlib.import_module(f"{top}.core")
    assert module.x == "bundle"
    assert module.__file__ == str(source / top / "core.py")


def test_an_editable_install_that_is_not_on_this_machine_comes_from_the_bundle(install):
    top = unique("lib")
    install({f"pkg:lib/src/{top}/__init__.py": "x = 'bundle'\n"}, places={})
    assert importlib.import_module(top).x == "bundle"


def test_a_script_and_an_archive_are_run_by_their_paths(install, tmp_path):
    install({f"{unique('flow')}.py": "x = 1\n"})
    script = tmp_path / "tool.py"
    script.write_text("x = 2\n")
    with zipfile.ZipFile(tmp_path / "tool.zip", "w") as archive:
        archive.writestr("__main__.py", "x = 3\n")
    assert runpy.run_path(str(script))["x"] == 2
    assert runpy.run_path(str(tmp_path / "tool.zip"))["x"] == 3
