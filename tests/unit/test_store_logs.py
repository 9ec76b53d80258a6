"""Logs: the spool of stores that are elsewhere, what a dead process left in it, and two writers of one log."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import uuid
from pathlib import Path

import pytest

from headwater.errors import Corrupt, StoreError
from headwater.store import open_store


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def remote():
    return open_store(f"memory://{uuid.uuid4().hex}/store")


def spooled(cache):
    return sorted(path for path in cache.rglob("*") if path.name.isdigit())


def leave_behind(store, path, *parts):
    """Append as a process that dies without a word: the spool stays, its lock is let go."""
    log = store.appender(path)
    for part in parts:
        log.append(part)
    os.close(log._lock)
    return log


def test_a_local_append_is_with_the_system_at_once(tmp_path):
    store = open_store(tmp_path / "store")
    log = store.appender("runs/1/events")
    log.append(b"one\n")
    assert (store.root / "runs/1/events").read_bytes() == b"one\n"
    log.append(b"")
    log.append(b"two\n")
    assert store.read_log("runs/1/events", 4) == (b"two\n", 8)
    log.close()


def test_local_appends_survive_sigkill(tmp_path):
    code = (
        "import os, signal, sys\nfrom headwater.store import open_store\n"
        "log = open_store(sys.argv[1]).appender('events')\n"
        "for number in range(100): log.append(b'%d\\n' % number)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "store")], check=False)
    assert done.returncode == -signal.SIGKILL
    data, _ = open_store(tmp_path / "store").read_log("events")
    assert data == b"".join(b"%d\n" % number for number in range(100))


def test_a_failed_local_append_is_told(tmp_path, monkeypatch):
    log = open_store(tmp_path / "store").appender("events")
    os.close(log._fd)
    with pytest.raises(StoreError, match="could not be written"):
        log.append(b"x")
    with pytest.raises(StoreError, match="could not be written"):
        log.sync()
    log._fd = -1


def test_a_remote_append_is_spooled_at_once_and_shipped_on_sync(remote, cache):
    log = remote.appender("runs/1/events")
    log.append(b"one\n")
    log.append(b"two\n")
    (spool,) = spooled(cache)
    assert spool.read_bytes() == b"one\ntwo\n"
    assert remote.read_log("runs/1/events") == (b"", 0)
    log.sync()
    log.sync()
    assert spooled(cache) == []
    assert remote.list("runs/1") == ["runs/1/events/000000000000"]
    log.append(b"three\n")
    log.close()
    assert remote.read_log("runs/1/events", 6) == (b"o\nthree\n", 14)
    assert [path for path in cache.rglob("*") if path.is_file()] == []


def test_what_could_not_be_shipped_stays_spooled(remote, cache, monkeypatch):
    log = remote.appender("events")

    def create(path, data):
        raise StoreError("the network is down")

    with monkeypatch.context() as patch:
        patch.setattr(remote._files, "create", create)
        for text in (b"one ", b"two "):
            log.append(text)
            with pytest.raises(StoreError, match="network"):
                log.sync()
    assert [path.read_bytes() for path in spooled(cache)] == [b"one ", b"two "]
    log.append(b"three")
    log.close()
    assert remote.read_log("events")[0] == b"one two three"
    assert len(remote.list("events")) == 3


def test_the_spool_of_the_dead_is_recovered(remote):
    leave_behind(remote, "runs/1/events", b"one\n", b"tw")
    assert remote.recover_spool().shipped == ("runs/1/events",)
    assert remote.read_log("runs/1/events") == (b"one\ntw", 6)
    assert remote.recover_spool() == type(remote.recover_spool())((), ())


def test_reopening_a_log_ships_what_the_dead_left(remote):
    leave_behind(remote, "events", b"one\n")
    log = remote.appender("events")
    assert remote.read_log("events")[0] == b"one\n"
    log.append(b"two\n")
    log.close()
    assert remote.read_log("events")[0] == b"one\ntwo\n"


def test_a_segment_that_was_shipped_before_the_death_is_not_shipped_twice(remote, cache):
    leave_behind(remote, "events", b"one\n")
    remote._files.create("events/000000000000", b"one\n")
    assert remote.recover_spool().shipped == ("events",)
    assert (spooled(cache), remote.read_log("events")[0]) == ([], b"one\n")


def test_the_spool_of_the_living_is_left_alone(remote):
    log = remote.appender("events")
    log.append(b"one\n")
    assert remote.recover_spool().shipped == ()
    with pytest.raises(StoreError, match="being written by another"):
        remote.appender("events")
    log.close()
    assert remote.read_log("events")[0] == b"one\n"
    remote.appender("events").close()


def test_a_log_that_was_taken_over_is_not_written(remote, cache):
    log = remote.appender("events")
    log.append(b"mine")
    remote._files.create("events/000000000000", b"theirs")
    for _ in range(2):
        with pytest.raises(StoreError, match="taken this log over"):
            log.sync()
    with pytest.raises(StoreError, match="taken this log over"):
        log.close()
    assert remote.recover_spool().refused == ("events",)
    assert remote.read_log("events")[0] == b"theirs"
    assert [path.read_bytes() for path in spooled(cache)] == [b"mine"]


def test_a_process_killed_between_append_and_sync_loses_nothing(tmp_path, cache):
    """The spool is a file of the system's, not of the process: kill -9, then ship it from here."""
    store = open_store(f"memory://{uuid.uuid4().hex}")
    code = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom headwater.store.logs import SpooledAppender\n"
        "from headwater.store.remote import RemoteFiles\n"
        "log = SpooledAppender(RemoteFiles('memory://x'), 'runs/1/events', Path(sys.argv[1]))\n"
        "for number in range(50): log.append(b'%d\\n' % number)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(cache / "headwater/spool" / store.id)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert store.recover_spool().shipped == ("runs/1/events",)
    assert store.read_log("runs/1/events")[0] == b"".join(b"%d\n" % number for number in range(50))


def test_the_cache_folder_follows_the_environment(remote, monkeypatch, tmp_path):
    assert remote._spool == tmp_path / "cache/headwater/spool" / remote.id
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert remote._spool == Path.home() / ".cache/headwater/spool" / remote.id


def test_a_gap_ends_a_log(remote):
    for number in (0, 1, 3):
        remote._files.create(f"events/{number:012}", b"%d" % number)
    assert remote.read_log("events") == (b"01", 2)
    remote._files.create("events/000000000002", b"2")
    assert remote.read_log("events", 2) == (b"23", 4)


def test_a_segment_that_went_is_told(remote):
    for number in range(3):
        remote._files.create(f"events/{number:012}", b"%d" % number)
    assert remote.read_log("events")[0] == b"012"
    remote._files.delete("events/000000000001")
    with pytest.raises(Corrupt, match="segment"):
        remote.read_log("events")


def test_a_log_is_followed_while_it_is_written(remote):
    """A reader that polls sees every byte once, in order."""
    log = remote.appender("events")
    other = open_store(remote.url)
    done = threading.Event()

    def write():
        for number in range(200):
            log.append(b"%d\n" % number)
            if number % 7 == 0:
                log.sync()
        log.close()
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen, offset = b"", 0
    while True:
        was_done = done.is_set()
        data, offset = other.read_log("events", offset)
        seen += data
        if was_done and not data:
            break
    writer.join()
    assert seen == b"".join(b"%d\n" % number for number in range(200))
    assert offset == len(seen)
