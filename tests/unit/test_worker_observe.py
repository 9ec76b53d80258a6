"""Undeclared reads: what counts, what does not, and what they are worth."""
# The very calls that are to be seen:
# ruff: noqa: PTH104, PTH110, PTH123, PTH208

import inspect
import os
import pickle
import runpy
import sqlite3
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from headwater.digest import digest_bytes
from headwater.observed import ABSENT, UNSTABLE, current, label_of, path_of, value_of
from headwater.worker import observe
from headwater.worker.current import Performance, performing
from headwater.worker.observe import Observer, importing, install, observing
from headwater.worker.variables import Variables


@pytest.fixture
def project(tmp_path):
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "data.csv").write_text("a,b\n")
    (folder / "flow.py").write_text("x = 1\n")
    return folder


@pytest.fixture
def watch(project, tmp_path, monkeypatch):
    """Run a function as the body of an attempt and return what it was seen to read."""
    monkeypatch.chdir(project)
    install()

    def run(body, **options):
        code = {str(project / "flow.py")}
        observer = Observer(project=str(project), skip=(str(tmp_path / "scratch"),), code=code, **options)
        with performing(Performance()), observing(observer):
            body()
        return observer.values()

    return run


DATA = digest_bytes(b"a,b\n")


@pytest.mark.parametrize(
    "read",
    [
        lambda: Path("data.csv").read_text(),
        lambda: open("data.csv", "rb").close(),
        lambda: os.close(os.open("data.csv", os.O_RDONLY)),
        lambda: Path("../project/data.csv").read_bytes(),
        lambda: open(b"data.csv").close(),
        lambda: __import__("numpy").loadtxt("data.csv", dtype=str, delimiter=","),
        lambda: __import__("pandas").read_csv("data.csv"),
        lambda: __import__("pyarrow.csv", fromlist=["csv"]).read_csv("data.csv"),
        lambda: __import__("pyarrow.csv", fromlist=["csv"]).open_csv("data.csv").close(),
        lambda: __import__("pyarrow").memory_map("data.csv").close(),
        lambda: __import__("pyarrow").OSFile("data.csv").close(),
        lambda: __import__("pyarrow.fs", fromlist=["fs"]).LocalFileSystem().open_input_file("data.csv").close(),
        lambda: __import__("polars").read_csv("data.csv"),
        lambda: __import__("polars").scan_csv("data.csv").collect(),
    ],
)
def test_a_read_of_a_project_file_is_seen(watch, read):
    assert watch(read) == {"project:data.csv": DATA}


def test_readers_of_parquet_are_seen_with_all_files_of_a_dataset(watch, project):
    import pyarrow as pa
    import pyarrow.dataset
    import pyarrow.feather
    import pyarrow.parquet as pq

    table = pa.table({"a": [1]})
    (project / "set").mkdir()
    pq.write_table(table, project / "set" / "one.parquet")
    pq.write_table(table, project / "set" / "two.parquet")
    pyarrow.feather.write_feather(table, str(project / "x.feather"))
    assert set(watch(lambda: pq.read_table("set/one.parquet"))) == {"project:set/one.parquet"}
    assert set(watch(lambda: pq.ParquetFile("set/one.parquet").close())) == {"project:set/one.parquet"}
    whole = {"project:set", "project:set/one.parquet", "project:set/two.parquet"}
    assert set(watch(lambda: pyarrow.dataset.dataset("set").to_table())) == whole
    assert set(watch(lambda: pyarrow.feather.read_table("x.feather"))) == {"project:x.feather"}
    import pandas as pd

    assert set(watch(lambda: pd.read_parquet("set/two.parquet"))) == {"project:set/two.parquet"}


def test_listings_databases_and_threads_are_seen(watch, project):
    (project / "in").mkdir()
    (project / "in" / "x").write_text("1")
    sqlite3.connect(project / "base.db").execute("create table t (x)").connection.close()
    assert list(watch(lambda: os.listdir("in"))) == ["project:in"]
    assert list(watch(lambda: [*Path("in").glob("*")])) == ["project:in"]
    assert list(watch(lambda: [*os.scandir("in")])) == ["project:in"]
    assert list(watch(lambda: sqlite3.connect("base.db").execute("select * from t"))) == ["project:base.db"]

    def in_thread():
        thread = threading.Thread(target=Path("data.csv").read_text)
        thread.start()
        thread.join()

    assert list(watch(in_thread)) == ["project:data.csv"]


def test_what_is_no_undeclared_read(watch, project, tmp_path, monkeypatch):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.syspath_prepend(str(project))
    monkeypatch.delitem(sys.modules, "flow", raising=False)
    (scratch / "input.csv").write_text("x")

    def body():
        (scratch / "input.csv").read_text()
        import flow  # noqa: F401

        inspect.getsource(sys.modules["flow"])  # the bundle's code, as a traceback shows it
        Path(os.__file__).read_bytes()  # the standard library
        Path("/proc/self/status").read_text()
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "own").write_text("1")
            Path(folder, "own").read_text()
            os.listdir(folder)
        Path("made.txt").write_text("mine")
        Path("made.txt").read_text()
        os.rename("made.txt", "moved.txt")
        Path("moved.txt").read_text()
        Path("new").mkdir()
        os.listdir("new")
        with open("log", "a+") as stream:
            stream.write("x")
        import wave  # noqa: F401  an import reads files

    assert watch(body) == {}
    del sys.modules["flow"]


def test_what_is_looked_up_to_tell_a_foreign_file_is_no_read(watch, monkeypatch):
    monkeypatch.setattr(observe._PLACES, "state", None)
    assert watch(lambda: observe.is_foreign("/somewhere")) == {}


@pytest.mark.parametrize("read", [lambda: Path("flow.py").read_text(), lambda: runpy.run_path("flow.py")])
def test_code_that_is_read_as_a_file_counts(watch, read):
    assert watch(read) == {"project:flow.py": digest_bytes(b"x = 1\n")}
    with pytest.raises(PermissionError, match=r"flow\.py"):
        watch(read, is_strict=True)


def test_declared_files_may_be_read(watch):
    read = Path("data.csv").read_text
    assert watch(read, declared=("data.csv",)) == {}
    assert watch(read, declared=("data.csv",), is_strict=True) == {}


def test_a_strict_step_may_not(watch):
    def body():
        with pytest.raises(PermissionError, match=r"data\.csv.*@step\(files=\['data\.csv'\]\)"):
            Path("data.csv").read_text()

    assert watch(body, is_strict=True) == {}


def test_an_absent_file_counts_too(watch):
    def body():
        with pytest.raises(FileNotFoundError):
            Path("settings.toml").read_text()

    assert watch(body) == {"project:settings.toml": ABSENT}


def test_a_file_that_is_read_and_then_written_counts_as_it_was_read(watch, project):
    def body():
        text = Path("data.csv").read_text()
        Path("data.csv").write_text(text + "more\n")

    assert watch(body) == {"project:data.csv": DATA}


def test_a_file_that_others_change_meanwhile_is_unstable(watch, project):
    def body():
        Path("data.csv").read_text()
        subprocess.run([sys.executable, "-c", "open('data.csv', 'a').write('more')"], check=True)

    assert watch(body) == {"project:data.csv": UNSTABLE}


def test_a_folder_counts_as_it_was_listed(watch, project):
    (project / "in").mkdir()
    before = value_of(project / "in")

    def body():
        os.listdir("in")
        Path("in", "result").write_text("1")

    assert watch(body) == {"project:in": before}
    assert value_of(project / "in") != before


def test_a_file_outside_the_project_is_named_by_its_path(watch, tmp_path):
    other = tmp_path / "other.txt"
    other.write_text("x")
    assert watch(other.read_text) == {f"file:{other}": digest_bytes(b"x")}


def test_modules_read_while_they_are_imported(project, monkeypatch):
    (project / "configured.py").write_text("import json\nCONFIG = open('config.json').read()\n")
    (project / "config.json").write_text("{}")
    monkeypatch.chdir(project)
    monkeypatch.syspath_prepend(str(project))
    with importing(str(project)) as reads:
        import configured  # noqa: F401
    assert list(reads.values()) == ["project:config.json"]
    assert reads.is_current()
    (project / "config.json").write_text("{'changed': 1}")
    assert not reads.is_current()
    del sys.modules["configured"]


def test_labels_and_their_values_now(project):
    assert label_of(str(project / "a" / "b"), str(project)) == "project:a/b"
    assert path_of("project:a/b", str(project)) == project / "a" / "b"
    assert path_of("file:/a/b", str(project)) == Path("/a/b")
    assert current("project:data.csv", str(project)) == DATA
    assert current("project:nothing", str(project)) == ABSENT
    assert current("project:flow.py/nothing", str(project)) == ABSENT
    listing = current("project:.", str(project))
    (project / "__pycache__").mkdir()
    assert current("project:.", str(project)) == listing
    (project / "new").write_text("")
    assert current("project:.", str(project)) != listing


def test_nothing_is_watched_outside_attempts(project):
    install()
    observer = Observer(project=str(project))
    with observing(observer):
        (project / "data.csv").read_text()
    assert observer.values() == {}


def appended(path):
    with open(path, "a") as stream:
        stream.write("more")


def appended_raw(path):
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
    os.write(descriptor, b"more")
    os.close(descriptor)


def changed_within(path):
    with open(path, "r+") as stream:
        stream.write("b")


def read_and_appended(path):
    with open(path, "a+") as stream:
        stream.write("more")


@pytest.mark.parametrize("write", [appended, appended_raw, changed_within, read_and_appended])
def test_what_is_added_to_a_file_depends_on_what_was_there(watch, project, write):
    def body():
        write("data.csv")
        Path("data.csv").read_text()

    assert watch(body) == {"project:data.csv": DATA}


@pytest.mark.parametrize("write", [appended, appended_raw])
def test_to_add_to_a_log_is_no_read(watch, write):
    assert watch(lambda: write("data.csv")) == {}


def test_a_file_that_is_written_anew_is_the_steps_own(watch, project):
    assert watch(lambda: Path("data.csv").write_text("other")) == {}


BODIES = {
    "os.environ['X_MODE']": ("env:X_MODE", digest_bytes(b"on")),
    "os.environ.get('X_MODE')": ("env:X_MODE", digest_bytes(b"on")),
    "os.getenv('X_MODE', 'off')": ("env:X_MODE", digest_bytes(b"on")),
    "os.environ.get('X_NONE', 'off')": ("env:X_NONE", ABSENT),
    "os.environb.get(b'X_MODE')": ("env:X_MODE", digest_bytes(b"on")),
    "'X_MODE' in os.environ": ("env?:X_MODE", "present"),
    "'X_NONE' in os.environ": ("env?:X_NONE", ABSENT),
    "os.environ.setdefault('X_NONE', 'off')": ("env?:X_NONE", ABSENT),
    "os.environ['X_API_KEY']": ("env?:X_API_KEY", "present"),
    "list(map(os.environ.get, ['X_MODE']))": ("env:X_MODE", digest_bytes(b"on")),
    "{'a': inner() for _ in 'a'}": ("env:X_MODE", digest_bytes(b"on")),
    # No look-ups of the project's:
    "dict(os.environ)['X_MODE']": None,
    "{**os.environ}": None,
    "os.environ.copy()": None,
    "sorted(os.environ.items())": None,
    "{name: os.environ[name] for name in os.environ if name.startswith('X_')}": None,
    "subprocess.run(['true'], env={**os.environ, 'A': 'b'})": None,
    "tempfile.gettempdir() + os.path.expanduser('~/x') + str(shutil.which('true'))": None,
    "os.environ.update(X_NONE='1') or os.environ['X_NONE']": None,
    "os.environ['OMP_NUM_THREADS'] if False else os.environ.get('HEADWATER_CACHE')": None,
    "os.environ.get('X_GIVEN')": None,
}


@pytest.mark.parametrize("body", BODIES)
def test_which_variables_a_body_reads_is_seen(project, monkeypatch, body):

    for name, value in {"X_MODE": "on", "X_API_KEY": "hush", "X_GIVEN": "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("X_NONE", raising=False)
    install()
    file = str(project / "flow.py")
    text = "import os, shutil, subprocess, tempfile\ndef inner(): return os.environ['X_MODE']\n"
    text += f"def f(): return {body}\n"
    scope = {"__name__": "flow"}
    exec(compile(text, file, "exec"), scope)
    for code, expected in ({file}, BODIES[body]), ({"other.py"}, None):
        variables = Variables(code=code, skip={"X_GIVEN"})
        observer = Observer(project=str(project), variables=variables)
        with performing(Performance()), observing(observer):
            scope["f"]()
        os.environ.pop("X_NONE", None)
        assert observer.values() == ({} if expected is None else dict([expected]))
        if expected is not None:
            assert current(expected[0], str(project)) == expected[1]


def test_what_a_module_reads_while_it_is_imported_is_the_fingerprints_affair(project, monkeypatch):

    (project / "late_reader.py").write_text("import os\ndef g(): return os.environ.get('X_MODE')\nX = g()\n")
    (project / "flow.py").write_text("def f():\n    import late_reader\n    return late_reader.X\n")
    monkeypatch.syspath_prepend(str(project))
    install()
    scope = {"__name__": "flow"}
    exec(compile((project / "flow.py").read_text(), str(project / "flow.py"), "exec"), scope)
    observer = Observer(project=str(project), variables=Variables(project=str(project)))
    with performing(Performance()), observing(observer):
        scope["f"]()
        assert observer.values() == {}
        sys.modules.pop("late_reader").g()
    assert observer.values() == {"env:X_MODE": ABSENT}


def test_a_thread_of_an_earlier_steps_executor_reads_for_the_step_that_asks(watch):
    with ThreadPoolExecutor(1) as executor:
        assert watch(lambda: executor.submit(os.getpid).result()) == {}
        assert watch(lambda: executor.submit(Path("data.csv").read_text).result()) == {"project:data.csv": DATA}
        executor.submit(Path("data.csv").read_text).result()


# ---------------------------------------------------------------------------------------- questions and programs


@pytest.mark.parametrize(
    ("ask", "expected"),
    [
        ("os.path.exists('data.csv')", {"project?:data.csv": "file"}),
        ("os.path.isdir('data.csv')", {"project?:data.csv": "file"}),
        ("os.access('data.csv', os.R_OK)", {"project?:data.csv": "file"}),
        ("Path('data.csv').is_file()", {"project?:data.csv": "file"}),
        ("Path('none').exists()", {"project?:none": "absent"}),
        ("os.path.exists('sub')", {"project?:sub": "folder"}),
        ("os.path.getsize('data.csv')", {"project#:data.csv": "4"}),
        ("Path('data.csv').stat().st_size", {"project#:data.csv": "4"}),
        ("(os.path.exists('data.csv'), os.stat('data.csv').st_size)", {"project#:data.csv": "4"}),
        ("(os.path.exists('data.csv'), open('data.csv').read())", {"project:data.csv": DATA}),
        ("(os.path.exists('made'), os.makedirs('made'))", {}),
        ("(os.path.exists('made'), open('made', 'w').write('x'))", {}),
        ("os.path.exists(sys.executable)", {}),
        ("os.stat(0)", {}),
        ("shutil.which('sh')", {}),
        ("subprocess.run(['cat', 'data.csv'], stdout=subprocess.DEVNULL)", {"project:data.csv": DATA}),
        ("subprocess.run('cat data.csv', shell=True, stdout=subprocess.DEVNULL)", {"project:data.csv": DATA}),
        ("subprocess.run(['dd', 'if=data.csv', 'of=out'], stderr=subprocess.DEVNULL)", {"project:data.csv": DATA}),
        ("subprocess.run(['cat', '../data.csv'], cwd='sub', stdout=subprocess.DEVNULL)", {"project:data.csv": DATA}),
        ("subprocess.run(['cp', 'data.csv', 'old.csv'])", {"project:data.csv": DATA}),
        ("subprocess.run(['sh', '-c', 'exit 0', '.', 'sub', 'none'])", {}),
    ],
)
def test_what_is_asked_of_files_and_programs_are_told_counts(watch, project, ask, expected):
    (project / "sub").mkdir()
    (project / "old.csv").write_text("to be overwritten")
    source = f"import os, shutil, subprocess, sys\nfrom pathlib import Path\ndef body():\n    {ask}\n"
    (project / "flow.py").write_text(source)
    names: dict[str, object] = {}
    exec(compile(source, str(project / "flow.py"), "exec"), names)
    variables = Variables(code={str(project / "flow.py")})
    found = watch(names["body"], variables=variables)
    assert {label: value for label, value in found.items() if not label.startswith("env")} == expected
    for label, value in expected.items():
        assert current(label, str(project)) == value


def test_what_a_library_asks_of_files_is_its_own_affair(watch):
    assert watch(lambda: os.path.exists("data.csv")) == {}  # no code of the project


def test_questions_stay_functions_that_can_be_sent(watch):
    watch(lambda: None)
    assert pickle.loads(pickle.dumps(os.stat)) is os.stat
    assert os.stat in os.supports_dir_fd
