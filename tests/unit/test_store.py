"""The store's edges in a folder: what opening refuses, what is on the disk, what flush does."""

from __future__ import annotations

import errno
import json
import os
import pickle
import stat
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from headwater.digest import digest_bytes
from headwater.errors import Corrupt, ObjectMissing, ProviderError, StoreError
from headwater.store import open_store
from headwater.store.objects import _EMPTY


@pytest.fixture
def store(tmp_path):
    return open_store(tmp_path / "store")


def object_path(store, digest):
    return store.root / "objects" / digest[:2] / digest[2:]


# ------------------------------------------------------------------------------------------------------------ opening


def test_the_format_says_what_is_needed_to_read_and_write(store):
    document = json.loads((store.root / "format").read_text())
    assert document == {
        "headwater": "store/1",
        "id": store.id,
        "reader": 1,
        "writer": 1,
        "exclusive_create": "link",
    }


@pytest.mark.parametrize("spell", [str, Path, lambda path: f"file://{path}", lambda path: path.as_uri()])
def test_a_folder_has_many_spellings(tmp_path, spell):
    folder = tmp_path / "with blank"
    store = open_store(spell(folder))
    assert (store.root, store.url, store.is_local) == (folder, str(folder), True)
    assert open_store(folder, create=False).id == store.id


def test_a_relative_folder_is_made_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store = open_store(".headwater/store")
    monkeypatch.chdir("/")
    assert store.create("a", b"1")
    assert (tmp_path / ".headwater/store/a").read_bytes() == b"1"


def test_a_missing_store_is_not_made_unasked(tmp_path):
    with pytest.raises(StoreError, match="there is no store"):
        open_store(tmp_path / "none", create=False)
    with pytest.raises(StoreError, match="there is no store"):
        open_store("memory://nothing-here/x", create=False)
    assert not (tmp_path / "none").exists()


def test_a_file_is_not_a_store(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="a file is there"):
        open_store(tmp_path / "file")


def test_a_file_in_the_way_to_a_store_is_told(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError):
        open_store(tmp_path / "file" / "below")


def test_a_folder_with_other_things_is_not_taken(tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(StoreError, match="holds something else") as caught:
        open_store(tmp_path)
    assert caught.value.facts["found"] == "thesis.tex"
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_an_empty_folder_is_taken(tmp_path):
    assert open_store(tmp_path).create("a", b"")


@pytest.mark.parametrize("text", ["", "{}", "[]", "not json", '{"headwater": "store/1"}', '"store/1"'])
def test_a_broken_format_is_told(store, text):
    (store.root / "format").write_text(text)
    with pytest.raises(StoreError, match="cannot be read"):
        open_store(store.url)


@pytest.mark.parametrize(
    "change", [{"reader": 2, "writer": 2}, {"headwater": "warehouse/1"}], ids=["newer version", "other name"]
)
def test_a_store_from_the_future_is_refused(store, change):
    document = json.loads((store.root / "format").read_text()) | change
    (store.root / "format").write_text(json.dumps(document))
    with pytest.raises(StoreError, match="newer headwater") as caught:
        open_store(store.url)
    assert str(document["reader"]) in str(caught.value.facts["reader needed"])
    assert "1" in str(caught.value.facts["reader here"])
    assert document["headwater"] in str(caught.value.facts["reader needed"])


def test_a_store_that_only_a_newer_one_writes_is_read(store):
    digest = store.put(b"old")
    document = json.loads((store.root / "format").read_text()) | {"writer": 2}
    (store.root / "format").write_text(json.dumps(document))
    again = open_store(store.url)
    assert again.get(digest) == b"old"
    assert not again.is_writable
    for write in (
        lambda: again.put(b"x"),
        lambda: again.create("x", b""),
        lambda: again.delete("x"),
        lambda: again.appender("x"),
        lambda: again.put_file(Path(__file__)),
        lambda: again.delete_object(digest),
        lambda: again.sweep(age=0),
    ):
        with pytest.raises(StoreError, match="can only be read"):
            write()


def test_many_who_make_one_store_agree(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        ids = set(pool.map(lambda _: open_store(tmp_path / "store").id, range(16)))
    assert len(ids) == 1


@pytest.mark.parametrize("url", ["nonsense://x/y", "gibberish+x://y"])
def test_an_unknown_kind_of_store_is_named(url):
    with pytest.raises(ProviderError, match="no store of kind") as caught:
        open_store(url)
    assert "s3://" in str(caught.value.hint)


def test_without_its_package_s3_names_the_extra():
    code = (
        "import sys; sys.modules['s3fs'] = None\n"
        "from headwater.errors import ProviderError\n"
        "from headwater.store import open_store\n"
        "try: open_store('s3://bucket/x')\n"
        "except ProviderError as error: print(error.hint)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "pip install 'headwater[s3]'"


def test_a_folder_needs_no_fsspec(tmp_path):
    code = (
        "import sys\nfrom headwater.store import open_store\n"
        f"store = open_store({str(tmp_path / 's')!r}); store.put(b'x'); store.flush()\n"
        "print({'fsspec', 's3fs', 'asyncio'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.fixture
def as_nobody():
    """Run a function in a child process that is not root, and return what it returned or raised."""

    def run(act):
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                if os.getuid() == 0:
                    os.setgid(65534)
                    os.setuid(65534)
                try:
                    result = act()
                except Exception as error:  # noqa: BLE001  it is the result
                    result = error
                os.write(write, pickle.dumps(result))
            finally:
                os._exit(0)
        os.close(write)
        os.waitpid(child, 0)
        with os.fdopen(read, "rb") as pipe:
            return pickle.loads(pipe.read())

    return run


@pytest.fixture
def open_folder():
    """A folder that other users can reach, unlike pytest's own and one below a private TMPDIR."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_a_read_only_folder_is_read_but_not_written(open_folder, as_nobody):
    store = open_store(open_folder / "store")
    digest = store.put(b"here")
    store.create("a/b", b"1")
    (open_folder / "empty").mkdir()
    for folder, names, _ in os.walk(open_folder):
        for name in names:
            (Path(folder) / name).chmod(0o555)

    def read():
        other = open_store(open_folder / "store")
        return other.get(digest), other.read("a/b"), other.list("a"), other.has("0" * 64)

    assert as_nobody(read) == (b"here", b"1", ["a/b"], False)
    for write in (
        lambda: open_store(open_folder / "store").put(b"new"),
        lambda: open_store(open_folder / "store").create("c", b"1"),
        lambda: open_store(open_folder / "store").replace("a/b", b"1"),
        lambda: open_store(open_folder / "store").delete("a/b"),
        lambda: open_store(open_folder / "store").appender("log"),
        lambda: open_store(open_folder / "empty"),
    ):
        error = as_nobody(write)
        assert isinstance(error, StoreError)
        assert "does not allow" in error.sentence
        assert "permissions" in str(error.hint)


# ------------------------------------------------------------------------------------------------------------ objects


def test_an_object_is_one_read_only_file(store, tmp_path):
    (tmp_path / "file").write_bytes(b"from a file")
    for digest in (store.put(b"from bytes"), store.put_file(tmp_path / "file")[0]):
        path = object_path(store, digest)
        assert store.local_path(digest) == path
        assert stat.S_IMODE(path.stat().st_mode) == 0o444 & ~_umask()
        assert path.stat().st_nlink == 1
    assert list((store.root / "tmp").iterdir()) == []


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_a_present_object_is_not_written_again(store, tmp_path):
    digest = store.put(b"once")
    before = object_path(store, digest).stat()
    (tmp_path / "file").write_bytes(b"once")
    store.put(b"once")
    store.put_file(tmp_path / "file")
    store.put_many([b"once"])
    store.put_pack([b"once"])
    after = object_path(store, digest).stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    assert store.children("") == []
    assert not (store.root / "packs").exists()


def test_a_torn_object_counts_as_missing_and_is_made_again(store):
    digest = store.put(b"whole")
    path = object_path(store, digest)
    path.chmod(0o644)
    path.write_bytes(b"")  # what some file systems leave after a loss of power
    assert not store.has(digest)
    assert store.missing([digest]) == {digest}
    with pytest.raises(ObjectMissing):
        store.size(digest)
    for read in (store.get, store.open, store.local_path):
        with pytest.raises(Corrupt):
            read(digest)
    store.put(b"whole")
    assert store.get(digest) == b"whole"


def test_the_empty_object_is_not_torn(store):
    assert digest_bytes(b"") == _EMPTY
    digest = store.put(b"")
    assert (store.has(digest), store.size(digest), store.missing([digest])) == (True, 0, set())
    assert store.open(digest).read() == b""


def test_an_object_of_another_size_than_known_is_refused(store):
    digest = store.put(b"12345")
    assert store.local_path(digest, size=5) is not None
    for read in (store.local_path, store.open):
        with pytest.raises(Corrupt, match="5 bytes instead of 6"):
            read(digest, size=6)


@pytest.mark.parametrize(
    ("verify", "same_size", "other_size"),
    [("always", False, False), ("size", True, False), ("never", True, True)],
)
def test_what_is_verified_in_a_folder_is_chosen(tmp_path, verify, same_size, other_size):
    store = open_store(tmp_path / "store", verify=verify)
    for damaged, accepted in ((b"wrong", same_size), (b"too long", other_size)):
        digest = store.put(b"right")
        path = object_path(store, digest)
        path.chmod(0o644)
        path.write_bytes(damaged)
        if accepted:
            assert store.get(digest, size=5) == damaged
        else:
            with pytest.raises(Corrupt):
                store.get(digest, size=5)
        path.unlink()
    assert pickle.loads(pickle.dumps(store))._verify == verify


def test_a_broken_pack_is_corrupt(store):
    (digest,) = store.put_pack([b"packed"])
    (pack,) = (store.root / "packs").iterdir()
    whole = pack.read_bytes()
    for broken in (whole[:-1], whole[:20], whole.replace(b"pack/1", b"pack/2"), whole.replace(b"[0", b"[x")):
        pack.chmod(0o644)
        pack.write_bytes(broken)
        with pytest.raises(Corrupt, match="hw fsck"):
            open_store(store.url).get(digest)
    pack.write_bytes(whole.replace(b"packed", b"pocked"))
    with pytest.raises(Corrupt) as caught:
        open_store(store.url).get(digest)
    assert caught.value.facts["path"] == pack


def test_a_sparse_file_is_stored_as_it_reads(store, tmp_path):
    file = tmp_path / "sparse"
    with file.open("wb") as opened:
        opened.seek(3 << 20)
        opened.write(b"end")
    digest, size = store.put_file(file)
    assert (size, store.get(digest)) == (file.stat().st_size, file.read_bytes())


def test_a_folder_cannot_be_put(store, tmp_path):
    with pytest.raises(StoreError, match="could not be stored"):
        store.put_file(tmp_path)
    assert list((store.root / "tmp").iterdir()) == []


def test_fetch_tells_when_it_cannot_write(store, tmp_path):
    digest = store.put(b"x")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_text("")
    with pytest.raises(StoreError, match="could not be copied"):
        store.fetch(digest, tmp_path / "folder")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "store"]


# --------------------------------------------------------------------------------------------------------------- refs


def test_a_ref_below_a_ref_is_refused(store):
    store.create("a", b"")
    for write in (store.create, store.replace):
        with pytest.raises(StoreError):
            write("a/b", b"")
    assert store.read("a/b") is None
    assert store.list("a/b") == []
    assert store.read("a") == b""


def test_a_name_that_the_system_refuses_is_told(store):
    with pytest.raises(StoreError):
        store.create("x" * 300, b"")


def test_the_age_of_nothing_is_told(store):
    store.create("a/b", b"")
    assert abs(store.modified("a/b") - time.time()) < 60
    with pytest.raises(StoreError, match="nothing of that name"):
        store.modified("a/c")


def test_creating_beside_deleting_always_succeeds(store):
    """Deleting prunes empty folders; a create that needs one at that moment makes it again."""

    def work(number):
        for index in range(100):
            assert store.create(f"a/b/{number}-{index}", b"")
            store.delete(f"a/b/{number}-{index}")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert store.list("") == []


def test_a_lost_answer_of_link_is_recognised(store, monkeypatch):
    """Over NFS a link may be made and its answer lost; asking again says that the name exists."""
    real = os.link

    def link(source, target):
        real(source, target)
        raise FileExistsError(errno.EEXIST, "exists", target)

    monkeypatch.setattr(os, "link", link)
    assert store.create("a", b"1")
    monkeypatch.setattr(os, "link", real)
    assert not store.create("a", b"2")


def test_a_file_system_without_hard_links_is_recognised(tmp_path, monkeypatch):
    def link(source, target):
        raise OSError(errno.EPERM, "no links here", target)

    monkeypatch.setattr(os, "link", link)
    store = open_store(tmp_path / "store")
    assert store.exclusive_create == "o_excl"
    assert store.create("a", b"1")
    assert not store.create("a", b"2")
    assert open_store(store.url).read("a") == b"1"


# --------------------------------------------------------------------------------------------------------- durability


def test_flush_syncs_each_file_and_folder_once(store, monkeypatch):
    store.flush()
    synced = []
    real = os.fsync

    def fsync(fd):
        synced.append(str(Path(f"/proc/self/fd/{fd}").readlink()))
        real(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    digest = store.put(b"object")
    store.create("runs/1/claim", b"")
    store.replace("runs/1/claim", b"2")
    assert synced == []
    store.flush()
    root = str(store.root)
    folders = [root, f"{root}/objects", f"{root}/objects/{digest[:2]}", f"{root}/runs", f"{root}/runs/1"]
    files = [str(object_path(store, digest)), f"{root}/runs/1/claim"]
    assert sorted(synced) == sorted([*files, *folders])
    assert set(synced[:2]) == set(files)
    store.flush()
    assert len(synced) == 7
    open_store(store.url).put(b"object")
    store.put(b"object")  # somebody else may have written it and not flushed: our flush must take it in
    store.flush()
    assert str(object_path(store, digest)) in synced[7:]


def test_a_failed_flush_is_never_forgotten(store, monkeypatch):
    """After EIO the kernel drops the pages: a second fsync would succeed and lie."""

    def fsync(_):
        raise OSError(errno.EIO, "input/output error")

    store.put(b"lost")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        with pytest.raises(StoreError, match="input/output error"):
            store.flush()
    with pytest.raises(StoreError, match="input/output error"):
        store.flush()


def test_a_full_disk_is_told_and_leaves_nothing(store, monkeypatch):
    def write(fd, data):
        raise OSError(errno.ENOSPC, "no space left")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", write)
        for act in (lambda: store.put(b"x"), lambda: store.create("a", b"1"), lambda: store.replace("a", b"1")):
            with pytest.raises(StoreError, match="no room left"):
                act()
    assert list((store.root / "tmp").iterdir()) == []
    assert (store.has(digest_bytes(b"x")), store.list("")) == (False, [])


def test_sweep_removes_what_the_dead_left_half_made(store):
    old, new = store.root / "tmp" / "1-old", store.root / "tmp" / "1-new"
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 7200,) * 2)
    assert store.sweep(age=3600) == 1
    assert (old.exists(), new.exists()) == (False, True)


def test_the_clock_can_be_replaced(tmp_path):
    assert open_store(tmp_path / "store", clock=lambda: 12.5).now() == 12.5
    assert abs(open_store(tmp_path / "store").now() - time.time()) < 5


def test_a_damaged_file_is_not_given_out(store):
    """Who maps an object's file reads it without looking; so it is hashed before, and again once it was touched."""
    digest = store.put(b"right")
    path = object_path(store, digest)
    assert store.local_path(digest) == path
    path.chmod(0o644)
    path.write_bytes(b"wrong")
    for read in (store.local_path, store.open):
        with pytest.raises(Corrupt):
            read(digest, size=5)
    path.write_bytes(b"right")
    assert store.open(digest, size=5).read() == b"right"


def test_a_file_is_hashed_once(store, monkeypatch):
    digest = store.put(b"right")
    assert store.local_path(digest) is not None
    monkeypatch.setattr("headwater.store.objects.digest_stream", None)
    assert store.local_path(digest) is not None


def test_a_corrupt_object_is_put_aside_and_made_again(store):
    digest = store.put(b"right")
    assert not store.put_aside(digest)
    path = object_path(store, digest)
    path.chmod(0o644)
    path.write_bytes(b"wrong")
    assert store.put_aside(digest)
    assert not store.put_aside(digest)
    assert store.missing([digest]) == {digest}
    assert store.read(f"quarantine/{digest}") == b"wrong"
    store.put(b"right")
    assert store.get(digest) == b"right"


def spoil(store, digest):
    path = object_path(store, digest)
    path.chmod(0o644)
    path.write_bytes(b"x" * path.stat().st_size)


def test_what_is_put_again_replaces_a_corrupt_object(store, tmp_path):
    source = tmp_path / "source"
    source.write_bytes(b"of a file")
    digests = [store.put(b"right"), *store.put_many([b"one", b"two"]), store.put_file(source)[0]]
    for digest in digests:
        spoil(store, digest)
    with object_path(store, digests[0]).open("rb") as opened:
        assert digests == [store.put(b"right"), *store.put_many([b"one", b"two"]), store.put_file(source)[0]]
        assert opened.read() == b"x" * 5  # who had it open is not disturbed: another file took its place
    assert [store.get(digest) for digest in digests] == [b"right", b"one", b"two", b"of a file"]


def test_what_is_put_again_replaces_a_corrupt_object_of_a_pack(store):
    for again in (
        lambda body: [store.put(body)],
        lambda body: store.put_many([body]),
        lambda body: store.put_pack([body]),
    ):
        bodies = [b"small", b"other"]
        digests = store.put_pack(bodies)
        [pack] = (store.root / "packs").iterdir()
        pack.chmod(0o644)
        pack.write_bytes(pack.read_bytes().replace(b"small", b"SMALL"))
        assert again(b"small") == digests[:1]
        for opened in (store, open_store(store.url)):
            assert [opened.get(digest) for digest in digests] == bodies
        store.delete_objects(digests)


def test_a_right_object_is_not_written_again(store):
    digest = store.put(b"right")
    before = object_path(store, digest).stat()
    store.put(b"right")
    assert object_path(store, digest).stat() == before
