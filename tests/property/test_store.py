"""Stores under random data, random orders, threads, processes and kill -9."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from headwater.digest import digest_bytes
from headwater.lease import Lease
from headwater.store import open_store

SETTINGS = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
BODIES = st.lists(st.binary(max_size=40), max_size=12)
NAMES = st.text(
    st.characters(codec="utf-8", exclude_categories=["C", "Z"], exclude_characters="/\\"), min_size=1, max_size=8
)
PATHS = (
    st.lists(NAMES.filter(lambda name: name not in {".", ".."}), min_size=1, max_size=3)
    .map("/".join)
    .filter(lambda path: path.split("/")[0] not in {"objects", "packs", "tmp", "format"})
)


@pytest.fixture(params=["folder", "memory"])
def new_store(request, tmp_path, monkeypatch):
    """A function that opens a new, empty store, or one of the same address again."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def make(url=None):
        name = uuid.uuid4().hex
        return open_store(url or (str(tmp_path / name) if request.param == "folder" else f"memory://{name}/s"))

    return make


@SETTINGS
@given(single=BODIES, many=BODIES, packed=BODIES, files=st.lists(st.binary(max_size=3000), max_size=2))
def test_what_is_put_comes_back(new_store, tmp_path, single, many, packed, files):
    store = new_store()
    digests = [store.put(data) for data in single] + store.put_many(many) + store.put_pack(packed)
    for data in files:
        (tmp_path / "file").write_bytes(data)
        digests.append(store.put_file(tmp_path / "file")[0])
    bodies = [*single, *many, *packed, *files]
    for client in (store, new_store(store.url)):
        assert [client.get(digest) for digest in digests] == bodies
        assert [client.size(digest) for digest in digests] == [len(data) for data in bodies]
        assert client.get_many(digests) == dict(zip(digests, bodies, strict=True))
        assert client.missing(digests) == set()
        assert {(info.digest, info.bytes) for info in client.objects()} == {
            (digest_bytes(data), len(data)) for data in bodies
        }
        assert len(list(client.objects())) == len(set(bodies))


@SETTINGS
@given(bodies=st.lists(st.binary(min_size=1, max_size=20), unique=True, max_size=12), data=st.data())
def test_what_is_deleted_is_gone_and_the_rest_stays(new_store, bodies, data):
    store = new_store()
    for index, body in enumerate(bodies):
        store.put(body) if index % 3 == 0 else None
    store.put_pack(bodies[::2])
    store.put_pack(bodies)
    doomed = set(data.draw(st.lists(st.sampled_from(bodies)))) if bodies else set()
    other = new_store(store.url)
    other.missing(map(digest_bytes, bodies))
    store.delete_objects(map(digest_bytes, doomed))
    for client in (store, other):
        assert client.missing(map(digest_bytes, bodies)) == set(map(digest_bytes, doomed))
        assert all(client.get(digest_bytes(body)) == body for body in bodies if body not in doomed)


@SETTINGS
@given(body=st.binary(max_size=50), start=st.integers(0, 60), length=st.integers(0, 60))
def test_a_range_is_a_slice(new_store, body, start, length):
    store = new_store()
    for digest in (store.put(body), *new_store().put_pack([body])):
        assert store.read_range(digest, start, length) == body[start : start + length]
    packed = new_store()
    (digest,) = packed.put_pack([body])
    assert packed.read_range(digest, start, length) == body[start : start + length]


@SETTINGS
@given(paths=st.lists(PATHS, max_size=8), after=PATHS)
def test_listing_is_the_sorted_set_of_names(new_store, paths, after):
    store = new_store()
    made = set()
    for path in paths:
        # A name is a ref or a folder, never both.
        if not any(path.startswith(f"{other}/") or other.startswith(f"{path}/") for other in made):
            assert store.create(path, path.encode()) == (path not in made)
            made.add(path)
    assert store.list("") == sorted(made)
    assert store.list("", after=after) == sorted(path for path in made if path > after)
    assert store.children("") == sorted({path.split("/")[0] for path in made})
    for top in store.children(""):
        assert store.list(top) == sorted(path for path in made if path.startswith(f"{top}/"))
    assert all(store.read(path) == path.encode() for path in made)


class LogMachine(RuleBasedStateMachine):
    """A log that is appended to, synced, reopened and read from anywhere, against a plain byte string."""

    @initialize(kind=st.sampled_from(["folder", "memory"]))
    def begin(self, kind):
        name = uuid.uuid4().hex
        self.url = os.path.join(os.environ["XDG_CACHE_HOME"], name) if kind == "folder" else f"memory://{name}"  # noqa: PTH118
        self.store = open_store(self.url)
        self.reader = open_store(self.url)
        self.log = self.store.appender("log")
        self.model = b""
        self.shipped = 0
        self.offset = 0
        self.seen = b""

    @rule(data=st.binary(max_size=30))
    def append(self, data):
        self.log.append(data)
        self.model += data

    @rule()
    def sync(self):
        self.log.sync()
        self.shipped = len(self.model)

    @rule()
    def reopen(self):
        self.log.close()
        self.log = open_store(self.url).appender("log")
        self.shipped = len(self.model)

    @rule()
    def follow(self):
        data, self.offset = self.reader.read_log("log", self.offset)
        self.seen += data
        assert self.offset == len(self.seen)

    @rule(offset=st.integers(0, 200))
    def read_from(self, offset):
        data, end = open_store(self.url).read_log("log", offset)
        assert (data == b"" and end == offset) or data == self.model[offset:end]

    @invariant()
    def nothing_synced_is_lost(self):
        if not hasattr(self, "store"):
            return
        whole, end = self.store.read_log("log")
        assert self.model.startswith(whole)
        assert end == len(whole) >= self.shipped
        assert self.model.startswith(self.seen)

    def teardown(self):
        if hasattr(self, "log"):
            self.log.close()
            assert self.reader.read_log("log")[0] == self.model


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_logs_are_byte_strings():
    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(LogMachine, settings=settings(max_examples=40, stateful_step_count=25, deadline=None))


# -------------------------------------------------------------------------------------------------------------- leases


class Interrupted:
    """A store whose every call lets something else happen first."""

    def __init__(self, inner, before_each_call):
        self._inner = inner
        self._before_each_call = before_each_call

    def __getattr__(self, name):
        self._before_each_call()
        return getattr(self._inner, name)


class Actors:
    """Four who want one lease; whatever one of them asks the store, the others and the clock may come between."""

    ACTS = ("acquire", "acquire", "renew", "release", "wait")

    def __init__(self, seed):
        self.time = 1000.0
        self.chance = random.Random(seed)
        self.quiet = open_store(f"memory://{uuid.uuid4().hex}", clock=lambda: self.time)
        self.store = Interrupted(self.quiet, self.interrupt)
        self.leases = {}
        self.busy = set()
        self.most = 0

    def interrupt(self):
        actor = self.chance.randrange(4)
        if actor not in self.busy and self.chance.random() < 0.4:
            self.step(actor, self.chance.choice(self.ACTS))

    def step(self, actor, act):
        self.busy.add(actor)
        getattr(self, act)(actor)
        self.busy.discard(actor)
        self.check()

    def acquire(self, actor):
        if actor not in self.leases:
            seconds = self.chance.choice([1, 5, 20])
            lease = Lease.acquire(self.store, "key", f"{actor}", seconds=seconds)
            if lease is not None:
                self.leases[actor] = lease

    def renew(self, actor):
        if actor in self.leases and not self.leases[actor].renew():
            del self.leases[actor]

    def release(self, actor):
        if actor in self.leases:
            self.leases.pop(actor).release()

    def wait(self, actor):
        self.time += self.chance.choice([0.5, 3, 30])

    def check(self):
        live = [lease for lease in self.leases.values() if lease.until > self.time and not lease._claim.released]
        assert len(live) <= 1
        if live:
            assert Lease.holder(self.quiet, "key") == live[0].owner
        self.most = max(self.most, len(live))


@settings(SETTINGS, max_examples=150)
@given(
    seed=st.integers(0, 2**32), acts=st.lists(st.tuples(st.integers(0, 3), st.sampled_from(Actors.ACTS)), max_size=40)
)
def test_a_lease_never_has_two_live_holders(seed, acts):
    actors = Actors(seed)
    for actor, act in acts:
        actors.step(actor, act)


def test_the_actors_of_that_test_do_get_the_lease():
    actors = Actors(seed=7)
    for number in range(100):
        actors.step(number % 4, Actors.ACTS[number % 5])
    assert actors.most == 1


# --------------------------------------------------------------------------------------------- processes and kill -9


def start(code, *arguments):
    return subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)], stdout=subprocess.PIPE)


CREATE = """
import sys, time
from headwater.store import open_store
store = open_store(sys.argv[1])
print("ready", flush=True)
while store.read("go") is None: time.sleep(0.001)
won = [number for number in range(50) if store.create(f"race/{number}", sys.argv[2].encode() * 1000)]
print(won, flush=True)
"""


def test_one_of_eight_processes_creates_each_ref(tmp_path):
    store = open_store(tmp_path / "store")
    processes = [start(CREATE, store.root, name) for name in "abcdefgh"]
    for process in processes:
        assert process.stdout.readline() == b"ready\n"
    store.create("go", b"")
    while len(names := store.children("race")) < 50:
        for name in names:  # whoever looks while they race sees a whole ref
            assert len(store.read(f"race/{name}")) == 1000
    won = {name: json.loads(process.communicate()[0]) for name, process in zip("abcdefgh", processes, strict=True)}
    assert sorted(number for numbers in won.values() for number in numbers) == list(range(50))
    for name, numbers in won.items():
        for number in numbers:
            assert store.read(f"race/{number}") == name.encode() * 1000


PUT = """
import sys
from pathlib import Path
from headwater.store import open_store
store = open_store(sys.argv[1])
print("ready", flush=True)
number = 0
while True:
    store.put(b"%d" % number * 50_000)
    store.put_file(Path(sys.argv[2]))
    store.put_pack([b"%d:%d" % (number, index) for index in range(50)])
    store.create(f"refs/{number}", b"ref" * 20_000)
    Path(sys.argv[2]).open("ab").write(b"more")
    number += 1
"""


@pytest.mark.chaos
@pytest.mark.parametrize("seed", range(6))
def test_kill_9_leaves_nothing_half_made(tmp_path, seed):
    file = tmp_path / "file"
    file.write_bytes(os.urandom(8 << 20))
    process = start(PUT, tmp_path / "store", file)
    assert process.stdout.readline() == b"ready\n"
    time.sleep(random.Random(seed).uniform(0.01, 0.3))
    process.send_signal(signal.SIGKILL)
    process.wait()
    store = open_store(tmp_path / "store")
    for info in store.objects():
        assert len(store.get(info.digest)) == info.bytes  # get verifies
    for name in store.list("refs"):
        assert store.read(name) == b"ref" * 20_000
    left = list((store.root / "tmp").iterdir()) if (store.root / "tmp").exists() else []
    assert store.sweep(age=-60) == len(left)


def test_killed_in_the_middle_of_put_file_leaves_no_object(tmp_path):
    """The copy is slow here because its source is a pipe that runs dry; then the process is killed."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    code = "import sys; from pathlib import Path; from headwater.store import open_store\n"
    process = start(code + "open_store(sys.argv[1]).put_file(Path(sys.argv[2]))", tmp_path / "store", pipe)
    with pipe.open("wb") as writer:
        writer.write(b"x" * 300_000)
        writer.flush()
        part = next(path for path in iter_until(tmp_path / "store" / "tmp") if path.stat().st_size)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert process.returncode == -signal.SIGKILL
    store = open_store(tmp_path / "store", create=False)
    assert list(store.objects()) == []
    assert part.stat().st_size > 0
    assert store.sweep(age=-60) == 1
    assert not part.exists()


def iter_until(folder, seconds=30):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if folder.is_dir():
            yield from folder.iterdir()
        time.sleep(0.005)
    pytest.fail(f"nothing appeared in {folder}")


def test_threads_put_and_get_the_same_objects(tmp_path):
    store = open_store(tmp_path / "store")
    bodies = [b"%d" % number * 100 for number in range(60)]

    def work(number):
        own = bodies[:]
        random.Random(number).shuffle(own)
        for index, body in enumerate(own):
            if index % 20 == 0:
                store.put_pack(own[index : index + 5])
                store.flush()
            assert store.get(store.put(body)) == body

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert sorted(store.get(info.digest) for info in store.objects()) == sorted(bodies)
