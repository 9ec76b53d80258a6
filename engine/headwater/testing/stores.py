"""What every store promises, as tests: inherit :class:`StoreContract` and name the fixture ``store_factory``.

The fixture returns a function: called with a name, it opens the store of that name, making it if absent. Calling it
twice with one name gives two independent clients of one store::

    class TestMyStore(StoreContract):
        @pytest.fixture
        def store_factory(self, tmp_path):
            return lambda name: open_store(f"myprotocol://{tmp_path}/{name}")
"""

from __future__ import annotations

import pickle
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeAlias

import pytest

from headwater.digest import digest_bytes
from headwater.errors import Corrupt, ObjectMissing, StoreError
from headwater.lease import Lease
from headwater.store import Store, open_store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    StoreFactory: TypeAlias = Callable[[str], Store]

ABSENT = "0" * 64
#: Longer than any piece in which a client may send or read at once.
LARGE = bytes(range(256)) * 4_096


class StoreContract:
    """The clauses S1 to S27. A store that passes can hold headwater's objects, refs, logs and leases."""

    @pytest.fixture
    def store_factory(self) -> StoreFactory:
        """Return a function that opens the store of a name; the author's own fixture takes this one's place."""
        pytest.fail("define a fixture 'store_factory' in the class that inherits StoreContract")

    @pytest.fixture(autouse=True)
    def own_cache(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Keep the spools of logs out of the user's cache."""
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    @pytest.fixture
    def store(self, store_factory: StoreFactory) -> Store:
        """Return a client of an empty store."""
        return store_factory("main")

    @pytest.fixture
    def other(self, store: Store, store_factory: StoreFactory) -> Store:
        """Return a second client of the same store."""
        again = store_factory("main")
        assert again.id == store.id
        return again

    # ------------------------------------------------------------------------------------------------------ objects

    @pytest.mark.parametrize("data", [b"", b"x", b"\x00\xff\r\n", LARGE], ids=["empty", "one", "binary", "large"])
    def test_object_comes_back_under_its_digest(self, store: Store, other: Store, data: bytes) -> None:
        """S1: an object is found under the BLAKE3 of its bytes, whole, by every client."""
        digest = store.put(data)
        assert digest == digest_bytes(data)
        assert (other.get(digest), other.size(digest), other.has(digest)) == (data, len(data), True)

    def test_object_is_stored_once(self, store: Store, other: Store) -> None:
        """S2: putting the same bytes again, from anywhere and in any way, adds nothing."""
        digests = {store.put(b"same"), other.put(b"same"), *other.put_many([b"same", b"same"])}
        assert [(info.digest, info.bytes) for info in store.objects()] == [(digest, 4) for digest in digests]

    def test_absent_object_is_missing(self, store: Store, tmp_path: Path) -> None:
        """S3: an object that is not there raises ObjectMissing with its digest, in every way of reading."""
        for read in (
            lambda: store.get(ABSENT),
            lambda: store.size(ABSENT),
            lambda: store.open(ABSENT),
            lambda: store.read_range(ABSENT, 0, 1),
            lambda: store.fetch(ABSENT, tmp_path / "absent"),
            lambda: store.get_many([ABSENT]),
        ):
            with pytest.raises(ObjectMissing) as caught:
                read()
            assert caught.value.facts["digest"] == ABSENT
        assert not store.has(ABSENT)
        assert store.local_path(ABSENT) is None
        assert not (tmp_path / "absent").exists()

    def test_damaged_object_is_refused(self, store: Store, other: Store, tmp_path: Path) -> None:
        """S4: bytes that are not what their digest says are never handed out: Corrupt, with the digest and the path."""
        digest = store.put(b"right")
        _damage(store, digest, b"wrong")
        for read in (
            lambda: other.get(digest),
            lambda: other.get_many([digest]),
            lambda: other.fetch(digest, tmp_path / "damaged"),
        ):
            with pytest.raises(Corrupt, match="hw fsck") as caught:
                read()
            assert caught.value.facts["digest"] == digest
            assert digest[2:] in str(caught.value.facts["path"])
        assert not (tmp_path / "damaged").exists()

    def test_file_is_copied_in(self, store: Store, other: Store, tmp_path: Path) -> None:
        """S5: put_file stores a copy: the user's file may change, and its permissions stay."""
        file = tmp_path / "data.bin"
        file.write_bytes(LARGE)
        mode = file.stat().st_mode
        assert store.put_file(file) == (digest_bytes(LARGE), len(LARGE))
        assert file.stat().st_mode == mode
        file.write_bytes(b"changed")
        assert other.get(digest_bytes(LARGE)) == LARGE
        with pytest.raises(StoreError, match="could not be stored"):
            store.put_file(tmp_path / "nowhere")

    def test_object_is_copied_out(self, store: Store, tmp_path: Path) -> None:
        """S6: fetch gives a file of the caller's own, replacing what was there; changing it leaves the store alone."""
        target = tmp_path / "new" / "folder" / "copy"
        for digest in (store.put(LARGE), *store.put_pack([b"small", b""])):
            store.fetch(digest, target)
            assert target.read_bytes() == store.get(digest)
            target.write_bytes(b"mine now")
            assert digest_bytes(store.get(digest)) == digest
        assert [path.name for path in target.parent.iterdir()] == ["copy"]

    def test_parts_can_be_read(self, store: Store) -> None:
        """S7: a part of an object can be read, cut short at its end; an opened object can be read and sought."""
        for digest in (store.put(b"0123456789"), *store.put_pack([b"abcdefghij"])):
            data = store.get(digest)
            assert [store.read_range(digest, *part) for part in [(0, 4), (8, 5), (10, 1), (20, 3), (3, 0)]] == [
                data[:4],
                data[8:],
                b"",
                b"",
                b"",
            ]
            with store.open(digest) as file:
                assert file.read(3) == data[:3]
                file.seek(5)
                assert file.read() == data[5:]

    def test_many_objects_at_once(self, store: Store, other: Store) -> None:
        """S8: put_many, get_many and missing do for many what put, get and has do for one."""
        bodies = [str(number).encode() for number in range(40)]
        digests = store.put_many(bodies)
        assert digests == [digest_bytes(data) for data in bodies]
        assert other.get_many(digests) == dict(zip(digests, bodies, strict=True))
        assert other.missing([*digests, ABSENT]) == {ABSENT}
        assert (other.get_many([]), other.missing([]), store.put_many([])) == ({}, set(), [])

    def test_packed_objects_are_objects(self, store: Store, other: Store) -> None:
        """S9: objects in a pack are found, read and listed like any others, also by clients that were there before."""
        assert not other.has(digest_bytes(b"one"))
        digests = store.put_pack([b"one", b"two", b"", b"one"])
        assert digests == [digest_bytes(data) for data in (b"one", b"two", b"", b"one")]
        for client in (store, other):
            assert [client.get(digest) for digest in digests] == [b"one", b"two", b"", b"one"]
            assert [client.size(digest) for digest in digests] == [3, 3, 0, 3]
            assert client.missing([*digests, ABSENT]) == {ABSENT}
            assert client.get_many(digests)[digests[1]] == b"two"
        store.put(b"one")
        assert sorted(info.bytes for info in other.objects()) == [0, 3, 3]
        assert store.put_pack([]) == []

    def test_large_pack(self, store: Store, other: Store) -> None:
        """S10: a pack may hold thousands of objects."""
        bodies = [str(number).encode() for number in range(3_000)]
        digests = store.put_pack(bodies)
        assert other.missing(digests) == set()
        assert other.get(digests[2_999]) == b"2999"

    def test_objects_are_deleted(self, store: Store, other: Store) -> None:
        """S11: a deleted object is gone, alone or in a pack; its neighbours stay, and others find them."""
        loose = store.put(b"loose")
        first, second, third = store.put_pack([b"first", b"second", b"third"])
        store.put_pack([b"first", b"fourth"])
        assert other.get(second) == b"second"
        store.delete_objects([loose, first])
        for client in (store, other):
            assert client.missing([loose, first, second, third]) == {loose, first}
            assert client.get(second) == b"second"
        store.delete_object(second)
        store.delete_object(second)
        store.delete_object(third)
        assert sorted(other.get(info.digest) for info in other.objects()) == [b"fourth"]

    def test_object_can_be_put_again_after_deletion(self, store: Store, other: Store) -> None:
        """S12: a client that knew an object stores it anew when somebody has deleted it."""
        (digest,) = store.put_pack([b"again"])
        other.delete_object(digest)
        assert store.put(b"again") == digest
        assert other.get(digest) == b"again"

    def test_objects_are_listed_with_their_age(self, store: Store) -> None:
        """S13: objects() tells size and time of writing, on the same clock as now()."""
        before = store.now()
        store.put(b"listed")
        (info,) = store.objects()
        assert (info.digest, info.bytes) == (digest_bytes(b"listed"), 6)
        assert before - 2 <= info.modified <= store.now() + 2

    @pytest.mark.parametrize("digest", ["", "abc", "../../etc/passwd", "Z" * 64, "A" * 64])
    def test_digest_is_validated(self, store: Store, digest: str) -> None:
        """S14: what is not a digest is refused before anything is looked for."""
        for ask in (store.get, store.has, store.size, store.open, store.local_path, store.delete_object):
            with pytest.raises(StoreError, match="is not a digest"):
                ask(digest)

    # --------------------------------------------------------------------------------------------------------- refs

    @pytest.mark.parametrize("data", [b"first", b""], ids=["bytes", "empty"])
    def test_ref_is_created_once(self, store: Store, other: Store, data: bytes) -> None:
        """S15: create makes a ref or says False; a refused create changes nothing."""
        assert store.create("pipelines/train/1", data)
        assert not other.create("pipelines/train/1", b"second")
        assert not store.create("pipelines/train/1", data)
        assert other.read("pipelines/train/1") == data

    def test_one_of_many_creates_wins(self, store: Store, other: Store) -> None:
        """S16: of many clients that create one ref at the same time, exactly one is told that it did, and did."""
        for round_number in range(5):
            path = f"race/{round_number}"
            start = threading.Barrier(16)

            def attempt(number: int, path: str = path, start: threading.Barrier = start) -> bool:
                start.wait()
                return (store, other)[number % 2].create(path, b"%d" % number)

            with ThreadPoolExecutor(16) as pool:
                won = [number for number, done in enumerate(pool.map(attempt, range(16))) if done]
            assert [b"%d" % number for number in won] == [store.read(path)]

    def test_refs_are_read_replaced_and_deleted(self, store: Store, other: Store) -> None:
        """S17: an absent ref reads as None; replace and delete do what they say, and deleting twice is no error."""
        assert store.read("a/b") is None
        store.replace("a/b", b"1")
        store.replace("a/b", b"2")
        assert other.read("a/b") == b"2"
        other.delete("a/b")
        other.delete("a/b")
        assert store.read("a/b") is None
        assert (store.list("a"), store.children("a"), store.children("")) == ([], [], [])
        assert store.create("a/b", b"3")

    def test_refs_are_listed(self, store: Store, other: Store) -> None:
        """S18: list gives all paths below a folder, sorted, and those after a path; children gives names."""
        paths = ["runs/1/a", "runs/1/b/c", "runs/10/a", "runs/2/a", "runs-old/x", "top"]
        for path in reversed(paths):
            store.create(path, b"")
        store.put(b"an object is not a ref")
        assert other.list("") == sorted(paths)
        assert other.list("runs") == other.list("runs/") == paths[:4]
        assert other.list("runs", after="runs/1/b/c") == ["runs/10/a", "runs/2/a"]
        assert other.list("runs", after="runs/1/b") == ["runs/1/b/c", "runs/10/a", "runs/2/a"]
        assert other.list("runs", after="runs/3") == []
        assert other.list("", after="runs/2") == ["runs/2/a", "top"]
        assert other.children("runs") == ["1", "10", "2"]
        assert other.children("runs/1") == ["a", "b"]
        assert other.children("") == ["runs", "runs-old", "top"]
        assert (other.list("nowhere"), other.children("nowhere")) == ([], [])

    def test_listings_are_fresh(self, store: Store, other: Store) -> None:
        """S19: what one client created, the next listing of another shows; nothing is remembered."""
        for number in range(3):
            store.create(f"fresh/{number}", b"")
            assert other.children("fresh") == [str(each) for each in range(number + 1)]
            assert len(other.list("fresh")) == number + 1
        store.delete("fresh/0")
        assert other.children("fresh") == ["1", "2"]

    @pytest.mark.parametrize("path", ["a b", "train[0]", "ünïcode", "a=b,c+d@e", "~x", "100%", "a*?", "#1"])
    def test_odd_names_are_names(self, store: Store, other: Store, path: str) -> None:
        """S20: names with blanks, brackets, other scripts and signs mean themselves."""
        assert store.create(f"odd/{path}", b"1")
        assert not other.create(f"odd/{path}", b"2")
        assert (other.read(f"odd/{path}"), other.children("odd")) == (b"1", [path])
        other.delete(f"odd/{path}")
        assert store.list("odd") == []

    @pytest.mark.parametrize(
        "path", ["", "/etc/x", "../x", "a/../x", "a//x", "./x", "a\\x", "a\nx", "objects/x", "format", "tmp/x"]
    )
    def test_bad_names_are_refused(self, store: Store, path: str) -> None:
        """S21: a name that could leave the store, or touch what is the store's own, is refused."""
        for ask in (store.read, store.delete, store.modified, store.read_log, store.appender):
            with pytest.raises(StoreError, match="cannot name anything"):
                ask(path)
        for write in (store.create, store.replace):
            with pytest.raises(StoreError, match="cannot name anything"):
                write(path, b"")

    # --------------------------------------------------------------------------------------------------------- logs

    def test_log_is_read_while_it_grows(self, store: Store, other: Store) -> None:
        """S22: what was appended and synced is read by others, in order, from any offset on."""
        assert other.read_log("runs/1/events") == (b"", 0)
        log = store.appender("runs/1/events")
        offset, seen, whole = 0, b"", b""
        for number in range(4):
            for part in (b"%d one\n" % number, b"%d two\n" % number):
                log.append(part)
                whole += part
            log.sync()
            data, offset = other.read_log("runs/1/events", offset)
            seen += data
            assert (seen, offset) == (whole, len(whole))
        log.close()
        assert other.read_log("runs/1/events", offset) == (b"", offset)
        assert store.read_log("runs/1/events", 3) == (whole[3:], len(whole))
        assert other.children("runs/1") == ["events"]
        assert abs(other.modified("runs/1/events") - other.now()) < 10

    def test_log_goes_on_after_reopening(self, store: Store, other: Store) -> None:
        """S23: a log that is opened again goes on where it ended; its bytes come back as they are, torn or not."""
        with_torn_end = [b'{"a":1}\n{"b', b'":2}\n', b"\xff\x00 torn"]
        for part in with_torn_end:
            log = other.appender("log")
            log.append(part)
            log.close()
            log.close()
        assert store.read_log("log") == (b"".join(with_torn_end), 23)

    def test_log_is_appended_to_by_threads(self, store: Store) -> None:
        """S24: threads share an appender; no append is cut apart or lost, whoever syncs meanwhile."""
        log = store.appender("threads")

        def write(number: int) -> None:
            for index in range(25):
                log.append(b"%d:%d\n" % (number, index))
                if index % 10 == number:
                    log.sync()

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(write, range(4)))
        log.close()
        lines = store.read_log("threads")[0].splitlines()
        for number in range(4):
            own = [line for line in lines if line.startswith(b"%d:" % number)]
            assert own == [b"%d:%d" % (number, index) for index in range(25)]

    def test_log_is_deleted(self, store: Store) -> None:
        """S25: a deleted log leaves nothing behind and can begin anew."""
        for text in (b"old", b"newer"):
            log = store.appender("runs/9/events")
            log.append(text)
            log.close()
            assert store.read_log("runs/9/events") == (text, len(text))
            store.delete_log("runs/9/events")
            store.delete_log("runs/9/events")
            assert store.children("runs") == []

    # ---------------------------------------------------------------------------------------------------- the whole

    def test_store_is_one_place(self, store: Store, store_factory: StoreFactory) -> None:
        """S26: a store keeps its id, travels as its address, and shares nothing with its neighbours."""
        digest = store.put(b"here")
        store.flush()
        copy: Store = pickle.loads(pickle.dumps(store))  # noqa: S301  our own bytes
        assert (copy.id, copy.url, copy.get(digest)) == (store.id, store.url, b"here")
        assert open_store(store.url, create=False).id == store.id
        neighbour = store_factory("neighbour")
        assert neighbour.id != store.id
        assert not neighbour.has(digest)
        assert store.sweep(age=3600) == 0
        assert store.is_writable

    def test_lease_has_one_holder(self, store: Store, other: Store) -> None:
        """S27: exclusive create and the store's clock carry leases: one holder, until it ends or lets go."""
        assert abs(store.now() - other.now()) < 3
        lease = Lease.acquire(store, "train", "one", seconds=60)
        assert lease is not None
        assert Lease.acquire(other, "train", "two", seconds=60) is None
        assert Lease.holder(other, "train") == "one"
        assert lease.renew()
        lease.release()
        assert Lease.holder(other, "train") is None
        short = Lease.acquire(other, "train", "two", seconds=0.01)
        assert short is not None
        time.sleep(0.05)
        assert Lease.acquire(store, "train", "three", seconds=60) is not None
        assert not short.renew()
        assert Lease.holder(other, "train") == "three"


def _damage(store: Store, digest: str, data: bytes) -> None:
    path = f"objects/{digest[:2]}/{digest[2:]}"
    store._files.write(path, data)  # noqa: SLF001  no public way leads here
