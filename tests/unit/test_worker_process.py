"""Step processes: warm, bound to their code, and never in each other's way."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from importlib import metadata

import pytest

from headwater.backend import Outcome
from headwater.bundle import PROJECT, make_bundle
from headwater.testing.bench import Bench, is_alive, wait_for
from headwater.types import Fault, Resources
from headwater.worker.frames import Frames, read_frame, write_frame
from headwater.worker.pool import StepPool


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


@pytest.fixture
def pool(bench):
    pool = StepPool(name="trial", project=str(bench.project), most=2)
    yield pool
    pool.close()


def attempt_at(bench, text, function="f", *, on_disk=None, **changes):
    """An attempt at a function of a module `code` of this text."""
    path = bench.project / "code_here.py"
    bundle = make_bundle({PROJECT: bench.project}, {path: text.encode()})
    digest = bench.store.put(bundle.encode())
    call = {"function": f"code_here:{function}"}
    return bench.attempt(function, **({"call": call, "bundle": digest} | changes))


def perform(pool, bench, *attempts):
    outcomes = []
    pool.perform(attempts, on_line=bench.sink, on_outcome=outcomes.append)
    return outcomes


PID = "import os\n\ndef f():\n    return os.getpid()\n"


def test_a_process_is_used_again_for_its_bundle_only(pool, bench):
    same = [attempt_at(bench, PID) for _ in range(2)]
    other = attempt_at(bench, PID + "# other\n")
    first, second, third = (bench.value(outcome) for outcome in perform(pool, bench, *same, other))
    assert first == second != third


def wanting(bench, **packages):
    one = attempt_at(bench, PID)
    return dataclasses.replace(one, environment={**one.environment, "packages": packages})


def test_steps_of_different_packages_share_a_process(pool, bench):
    """Starting a process takes longer than most steps; it is checked for each step what is installed."""
    version = metadata.version("pyarrow")
    attempts = [wanting(bench), wanting(bench, pyarrow=version), wanting(bench, pyarrow="0"), wanting(bench)]
    first, second, third, fourth = perform(pool, bench, *attempts)
    assert third.failure.fault is Fault.CONFIG
    assert bench.value(first) == bench.value(second) == bench.value(fourth)


def test_a_package_that_is_replaced_ages_the_process(pool, bench, tmp_path, monkeypatch):
    place = tmp_path / "more-packages"
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(place), os.environ.get("PYTHONPATH", "")]).rstrip(":"))

    def install(version):
        shutil.rmtree(place, ignore_errors=True)
        made = place / f"toy_thing-{version}.dist-info"
        made.mkdir(parents=True)
        (made / "METADATA").write_text(f"Metadata-Version: 2.1\nName: toy-thing\nVersion: {version}\n")

    install("1.0")
    first, second = perform(pool, bench, wanting(bench), wanting(bench, **{"toy-thing": "1.0"}))
    assert bench.value(first) == bench.value(second)
    install("2.0")
    [third, fourth] = perform(pool, bench, wanting(bench, **{"toy-thing": "2.0"}), wanting(bench))
    assert bench.value(third) == bench.value(fourth) != bench.value(first)


def test_a_strict_step_has_its_process_to_itself(pool, bench):
    attempts = [attempt_at(bench, PID, strict=True) for _ in range(2)]
    pids = [bench.value(outcome) for outcome in perform(pool, bench, *attempts)]
    assert len(set(pids)) == 2
    assert not any(map(is_alive, pids))


def test_what_modules_read_counts_for_every_attempt_and_ages_the_process(pool, bench):
    text = "import os\nWORD = open('word.txt').read()\n\ndef f():\n    return WORD, os.getpid()\n"
    (bench.project / "word.txt").write_text("old")
    first, second = perform(pool, bench, attempt_at(bench, text), attempt_at(bench, text))
    assert list(first.observed) == list(second.observed) == ["project:word.txt"]
    assert bench.value(first) == bench.value(second)
    (bench.project / "word.txt").write_text("new!")
    [third] = perform(pool, bench, attempt_at(bench, text))
    assert bench.value(third)[0] == "new!"
    assert bench.value(third)[1] != bench.value(second)[1]
    assert third.observed != first.observed


def test_what_is_remembered_between_attempts_counts_for_all_that_may_use_it(pool, bench):
    text = "import functools\n\n@functools.cache\ndef word():\n    return open('word.txt').read()\n\n"
    text += "def f():\n    return word()\n\ndef g():\n    return open('other.txt').read()\n"
    (bench.project / "word.txt").write_text("old")
    (bench.project / "other.txt").write_text("other")
    plain = attempt_at(bench, text, "g")
    first, second, third = perform(pool, bench, plain, attempt_at(bench, text), attempt_at(bench, text))
    assert list(first.observed) == ["project:other.txt"]
    assert list(second.observed) == list(third.observed) == ["project:word.txt"]
    (bench.project / "word.txt").write_text("newer")
    [fourth] = perform(pool, bench, attempt_at(bench, text))
    assert bench.value(fourth) == "newer"


def test_no_more_idle_processes_than_asked_for(pool, bench):
    pids = [bench.value(perform(pool, bench, attempt_at(bench, PID + f"# {n}\n"))[0]) for n in range(5)]
    assert sum(map(is_alive, pids)) <= 2
    pool.trim(0)
    assert not any(map(is_alive, pids))


def test_a_step_that_forks_and_comes_back_twice_is_told_once(pool, bench):
    text = "import os\n\ndef f():\n    os.fork()\n    return os.getpid()\n"
    outcomes = perform(pool, bench, attempt_at(bench, text), attempt_at(bench, text))
    assert len({bench.value(outcome) for outcome in outcomes}) == 1


def test_text_of_subprocesses_and_of_native_code_is_taken(pool, bench):
    text = "import ctypes, os\n\ndef f():\n    os.system('echo from a shell')\n    ctypes.CDLL(None).puts(b'from C')\n"
    attempt = attempt_at(bench, text)
    perform(pool, bench, attempt)
    assert sorted(bench.texts(attempt.attempt_id, "stdout")) == ["from C", "from a shell"]


def test_lines_come_while_the_step_runs(pool, bench):
    text = "import time\n\ndef f():\n    print('now')\n    time.sleep(30)\n"
    attempt = attempt_at(bench, text)
    thread = threading.Thread(target=perform, args=(pool, bench, attempt))
    thread.start()
    end = time.monotonic() + 20
    while not bench.lines and time.monotonic() < end:
        time.sleep(0.01)
    pool.stop([attempt.attempt_id])
    thread.join()
    assert [line.text for line in bench.lines] == ["now"]


def test_a_cancelled_step_may_clean_up_within_its_grace(pool, bench):
    mark = bench.outside / "mark"
    text = f"""
import time
from importlib import metadata

def f():
    try:
        open({str(mark)!r}, "w").write("running")
        time.sleep(60)
    finally:
        open({str(mark)!r} + ".clean", "w").write("cleaned")
"""
    outcomes = []
    attempt = attempt_at(bench, text)
    thread = threading.Thread(target=lambda: outcomes.extend(perform(pool, bench, attempt)))
    thread.start()
    wait_for(mark)
    pool.stop([attempt.attempt_id], 20)
    thread.join()
    assert outcomes[0].failure.fault is Fault.CANCELLED
    assert wait_for(mark.with_name("mark.clean")) == "cleaned"


def test_a_step_that_ignores_the_interrupt_is_killed_after_its_grace(pool, bench):
    mark = bench.outside / "mark"
    text = f"""
import signal, time

def f():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    open({str(mark)!r}, "w").write("running")
    time.sleep(60)
"""
    outcomes = []
    attempt = attempt_at(bench, text)
    thread = threading.Thread(target=lambda: outcomes.extend(perform(pool, bench, attempt)))
    thread.start()
    wait_for(mark)
    pool.stop([attempt.attempt_id], 0.2)
    thread.join(20)
    assert outcomes[0].failure.fault is Fault.CANCELLED


def test_an_attempt_cancelled_before_it_began_never_runs(pool, bench):
    mark = bench.outside / "mark"
    attempt = bench.attempt("count", inputs={"path": str(mark)})
    pool.stop([attempt.attempt_id])
    [outcome] = perform(pool, bench, attempt)
    assert outcome.failure.fault is Fault.CANCELLED
    assert not mark.exists()


def test_a_store_or_a_bundle_that_is_not_there_is_a_config_fault(pool, bench):
    nowhere = dataclasses.replace(bench.attempt("limit"), store=str(bench.outside / "none"))
    missing = dataclasses.replace(bench.attempt("limit"), bundle="0" * 64)
    for outcome in perform(pool, bench, nowhere, missing):
        assert outcome.failure.fault is Fault.CONFIG
    assert bench.value(perform(pool, bench, bench.attempt("limit"))[0]) == 3


def test_a_module_that_cannot_be_imported_is_the_users_with_its_lines(pool, bench):
    first, second = perform(pool, bench, attempt_at(bench, "import no_such_module\n"), attempt_at(bench, "x = 1\n"))
    assert (first.failure.fault, first.failure.kind) == (Fault.USER, "ModuleNotFoundError")
    assert "    import no_such_module" in first.failure.traceback
    assert (second.failure.fault, second.failure.kind) == (Fault.USER, "AttributeError")


def test_memory_is_that_of_the_attempt(pool, bench):
    text = "def f(size):\n    return len(bytearray(size))\n"
    large = attempt_at(bench, text, inputs={"size": 300_000_000})
    small = attempt_at(bench, text, inputs={"size": 1_000})
    one, two = perform(pool, bench, large, small)
    assert one.peak_memory > 300_000_000 > two.peak_memory > 1_000_000


def test_children_count_for_the_memory_limit(pool, bench):
    text = "import subprocess, sys\n\ndef f():\n"
    text += "    subprocess.run([sys.executable, '-c', 'x = bytearray(400_000_000); import time; time.sleep(60)'])\n"
    [outcome] = perform(pool, bench, attempt_at(bench, text, resources=Resources(memory="200MB")))
    assert (outcome.failure.fault, outcome.failure.kind) == (Fault.RESOURCE, "MemoryLimit")


def test_a_process_has_a_readable_name_and_its_own_group(pool, bench):
    outcome = perform(pool, bench, attempt_at(bench, PID))[0]
    pid = bench.value(outcome)
    with open(f"/proc/{pid}/cmdline", "rb") as stream:  # noqa: PTH123
        assert b"headwater-step\0trial-0\0" in stream.read()
    assert outcome.worker == "trial-0"
    assert os.getpgid(pid) == pid != os.getpgid(0)


def test_nothing_is_left_in_the_temporary_folder(bench, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", None)
    pool = StepPool(name="trial", project=str(bench.project), most=1)
    text = "import tempfile\n\ndef f():\n    return tempfile.mkdtemp()\n"
    [outcome] = perform(pool, bench, attempt_at(bench, text))
    assert str(bench.value(outcome)).startswith(str(tmp_path / "tmp"))
    pool.close()
    assert list((tmp_path / "tmp").iterdir()) == []


def test_frames_come_together_from_pieces():
    read, write = os.pipe()
    messages = [{"a": 1}, {"text": "é" * 10_000, "odd": "\ud800"}]
    data = b""
    for message in messages:
        threading.Thread(target=write_frame, args=(write, message)).start()
        assert read_frame(read) == message
    os.close(write)
    assert read_frame(read) is None
    os.close(read)
    read, write = os.pipe()
    for message in messages:
        write_frame(write, message)
    os.close(write)
    while piece := os.read(read, 7):
        data += piece
    frames = Frames()
    assert [found for n in range(0, len(data), 5) for found in frames.feed(data[n : n + 5])] == messages
    os.close(read)


def test_modules_see_the_variables_that_their_step_declares(pool, bench):
    text = "import os\nMODE = os.environ.get('MODE', 'none')\n\ndef f():\n    return MODE, os.getpid()\n"
    attempts = [attempt_at(bench, text, env=env) for env in ({"MODE": "c"}, {"MODE": "d"}, {}, {"MODE": "c"})]
    values = [bench.value(outcome) for outcome in perform(pool, bench, *attempts)]
    assert [mode for mode, _ in values] == ["c", "d", "none", "c"]


def test_variables_that_a_step_sets_end_with_it_but_a_modules_stay(pool, bench):
    text = "import os\nos.environ['LOADED'] = 'yes'\nos.environ.pop('GONE', None)\n\n"
    text += "def f():\n    seen = os.environ.get('LEAK'), os.environ.get('LOADED'), os.getpid()\n"
    text += "    os.environ['LEAK'] = os.environ['LOADED'] = 'no'\n    return seen\n"
    first, second = (bench.value(one) for one in perform(pool, bench, *(attempt_at(bench, text) for _ in range(2))))
    assert first == second
    assert list(first[:2]) == [None, "yes"]


READ = "open('word.txt').read()\n"
MEMOS = [
    f"T = None\ndef table():\n    global T\n    if T is None:\n        T = {READ}    return T\n",
    f"T = {{}}\ndef table():\n    if not T:\n        T['word'] = {READ}    return T['word']\n",
    f"class T:\n    word = None\ndef table():\n    T.word = T.word or {READ}    return T.word\n",
    f"class K:\n    word = None\nT = K()\ndef table():\n    T.word = T.word or {READ}    return T.word\n",
    f"def table(seen=[]):\n    if not seen:\n        seen[:] = [{READ.strip()}]\n    return seen[0]\n",
    (
        "import numpy as np\nT = np.zeros(1, dtype='U9')\n"
        f"def table():\n    if not T[0]:\n        T[0] = {READ}    return str(T[0])\n"
    ),
]


@pytest.mark.parametrize("memo", MEMOS)
def test_what_a_module_remembers_in_any_way_counts_for_the_next_attempt(pool, bench, memo):
    text = memo + "\ndef f():\n    import os\n    return table(), os.getpid()\n"
    (bench.project / "word.txt").write_text("old")
    first, second = perform(pool, bench, attempt_at(bench, text), attempt_at(bench, text))
    assert bench.value(first) == bench.value(second)
    assert list(first.observed) == list(second.observed) == ["project:word.txt"]


def test_what_is_not_remembered_counts_once(pool, bench):
    text = "import enum, logging, re\nfrom pathlib import Path\nLOG, WORD = logging.getLogger('x'), re.compile('x')\n"
    text += "PLACE, NAMES = Path('a'), {'a': [1, 'b']}\nclass C(enum.Enum):\n    A = 1\n\n"
    text += "def f():\n    LOG.info('x')\n    WORD.match(str(PLACE))\n    return open('word.txt').read(), C(1).name\n\n"
    text += "def g():\n    return 1\n"
    (bench.project / "word.txt").write_text("old")
    first, second = perform(pool, bench, attempt_at(bench, text), attempt_at(bench, text, "g"))
    assert list(first.observed) == ["project:word.txt"]
    assert first.worker == second.worker
    assert not second.observed


@pytest.mark.parametrize(
    ("start", "change"),
    [("LIMIT = 3", "global LIMIT; LIMIT = 4"), ("LIMIT = {'a': 3}", "LIMIT['a'] = 4"), ("LIMIT = [3]", "LIMIT[0] = 4")],
)
def test_a_constant_that_a_step_changed_is_not_seen_by_the_next(pool, bench, start, change):
    text = f"import os\n{start}\n\ndef f():\n    {change}\n    return LIMIT, os.getpid()\n\n"
    text += "def g():\n    return LIMIT, os.getpid()\n"
    outcomes = perform(pool, bench, *(attempt_at(bench, text, name) for name in ("g", "g", "f", "g")))
    first, second, third, fourth = map(bench.value, outcomes)
    assert first == second
    assert third[0] != first[0] == fourth[0]
    assert first[1] == third[1] != fourth[1]


def test_what_is_remembered_is_told_of_the_attempt_that_read_it(pool, bench):
    text = "import numpy as np\nT, TABLE = {}, np.arange(5)\n\ndef f():\n    T['word'] = open('word.txt').read()\n\n"
    text += "def g():\n    return open('other.txt').read()\n\ndef h():\n    return len(T)\n"
    for name in ("word.txt", "other.txt"):
        (bench.project / name).write_text("x")
    outcomes = perform(pool, bench, *(attempt_at(bench, text, name) for name in "fgh"))
    assert [each.failure for each in outcomes] == [None] * 3
    assert [sorted(each.observed) for each in outcomes] == [
        ["project:word.txt"],
        ["project:other.txt", "project:word.txt"],
        ["project:word.txt"],
    ]
    assert len({each.worker for each in outcomes}) == 1


DAEMON = """
import subprocess, time
from pathlib import Path

def f(mark, seconds):
    child = subprocess.Popen(["sleep", "600"], start_new_session=True)
    # Its own child is an orphan at once.
    subprocess.run(["sh", "-c", f"setsid sleep 600 & echo $! > {mark}.orphan"], start_new_session=True)
    Path(mark).write_text(str(child.pid))
    time.sleep(seconds)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere only the group of the step's process is ended")
@pytest.mark.parametrize("ending", ["timeout", "close"])
def test_children_that_left_the_group_end_with_the_step_process(pool, bench, tmp_path, ending):
    mark = tmp_path / "mark"
    inputs = {"mark": str(mark), "seconds": 600 if ending == "timeout" else 0}
    attempt = attempt_at(bench, DAEMON, inputs=inputs, timeout=2.0 if ending == "timeout" else None, outputs={})
    [outcome] = perform(pool, bench, attempt)
    if ending == "close":
        assert outcome.failure is None
        pool.close()
    else:
        assert outcome.failure.kind == "Timeout"
    pids = [int(path.read_text()) for path in (mark, tmp_path / "mark.orphan")]
    end = time.monotonic() + 5
    while any(is_alive(pid) for pid in pids):
        assert time.monotonic() < end, f"left behind: {pids}"
        time.sleep(0.01)


MODE = "import os\nMODE = os.environ.get('X_MODE', 'none')\n\ndef f():\n    return MODE, os.getpid()\n"


def test_variables_that_modules_read_are_as_the_driver_has_them(pool, bench, monkeypatch):
    monkeypatch.setenv("X_MODE", "here")
    cases = [
        ({}, "here"),
        ({"variables": {"X_MODE": "here"}}, "here"),
        ({"variables": {"X_MODE": "there"}}, "there"),
        ({"variables": {"X_MODE": None}}, "none"),
        ({"variables": {"X_MODE": "there"}, "strict": True}, "there"),
        ({"variables": {"X_MODE": "there"}, "env": {"X_MODE": "declared"}}, "declared"),
    ]
    outcomes = perform(pool, bench, *(attempt_at(bench, MODE, **changes) for changes, _ in cases))
    values = list(map(bench.value, outcomes))
    assert [value for value, _ in values] == [expected for _, expected in cases]
    assert values[0] == values[1]  # what is there already takes no process of its own


def test_a_job_of_its_own_sets_variables_before_it_imports(bench, tmp_path):
    attempt = attempt_at(bench, MODE, variables={"X_MODE": "there"})
    (tmp_path / "job").mkdir()
    program = "import json, sys; from pathlib import Path; from headwater.backend import Attempt\n"
    program += "from headwater.worker import perform_alone\nattempt = Attempt.from_document(json.loads(sys.argv[1]))\n"
    program += "outcome = perform_alone(attempt, project='/nowhere', folder=Path(sys.argv[2]), label='job')\n"
    program += "print(json.dumps(outcome.document()))"
    document = json.dumps(attempt.document())
    command = [sys.executable, "-c", program, document, str(tmp_path / "job")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert bench.value(Outcome.from_document(json.loads(done.stdout)))[0] == "there"


FORKING = """
import multiprocessing, os
from concurrent.futures import ProcessPoolExecutor

POOL = None

def size(name):
    os.listdir(".")
    return len(open(name).read())

def f():
    with ProcessPoolExecutor(1, multiprocessing.get_context("fork")) as pool:
        return list(pool.map(size, ["word.txt"]))

def g():
    global POOL
    POOL = POOL or multiprocessing.get_context("fork").Pool(1)
    return POOL.map(size, ["other.txt"])
"""


def test_what_forked_processes_read_counts(pool, bench):
    for name in ("word.txt", "other.txt"):
        (bench.project / name).write_text("x")
    attempts = [attempt_at(bench, FORKING, name) for name in "fgg"]
    outcomes = perform(pool, bench, *attempts)
    assert [each.failure for each in outcomes] == [None] * 3
    assert [
        name in each.observed for each in outcomes for name in ("project:word.txt", "project:other.txt", "project:.")
    ] == [True, False, True, *([False, True, True] * 2)]
