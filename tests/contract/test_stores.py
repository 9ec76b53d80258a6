"""Every store in the tree against the contract; and what only S3 and its lookalikes do."""

from __future__ import annotations

import uuid

import pytest

from headwater.errors import StoreError
from headwater.store import open_store
from headwater.testing import StoreContract


class TestFolder(StoreContract):
    @pytest.fixture
    def store_factory(self, tmp_path):
        return lambda name: open_store(tmp_path / "stores" / name)


class TestFolderWithoutHardLinks(StoreContract):
    @pytest.fixture
    def store_factory(self, tmp_path, monkeypatch):
        """A store that was made on a file system without hard links: its format says so, and create follows it."""

        def open_one(name):
            store = open_store(tmp_path / name)
            form = tmp_path / name / "format"
            form.write_text(form.read_text().replace('"link"', '"o_excl"'))
            store = open_store(tmp_path / name)
            assert store.exclusive_create == "o_excl"
            return store

        return open_one


class TestMemory(StoreContract):
    @pytest.fixture
    def store_factory(self):
        place = uuid.uuid4().hex
        return lambda name: open_store(f"memory://{place}/{name}")


class TestS3(StoreContract):
    @pytest.fixture
    def store_factory(self, s3_bucket):
        place = uuid.uuid4().hex
        return lambda name: open_store(f"s3://{s3_bucket}/{place}/{name}")


class TestS3AtTheTopOfABucket:
    def test_the_bucket_itself_is_the_store(self, s3_new_bucket):
        store = open_store(f"s3://{s3_new_bucket}")
        assert store.create("a/b", b"1")
        assert store.get(store.put(b"object")) == b"object"
        assert open_store(f"s3://{s3_new_bucket}/").list("") == ["a/b"]
        assert store.list("a", after="a/a") == ["a/b"]


def test_a_missing_bucket_is_named(s3_bucket):
    with pytest.raises(StoreError, match="does not exist") as caught:
        open_store("s3://no-such-bucket-here/store")
    assert "create the bucket" in str(caught.value.hint)


def test_an_unreachable_server_is_told(s3_bucket, monkeypatch, free_port):
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    options = {"config_kwargs": {"connect_timeout": 1, "retries": {"max_attempts": 0}}}
    with pytest.raises(StoreError, match="could not be reached"):
        open_store(f"s3://{s3_bucket}/x", options=options)


class TestThroughAProxy:
    """A server that behaves in the ways that S3's documentation, or other servers, know."""

    def test_a_server_that_ignores_the_condition_is_refused(self, s3_bucket, s3_proxy):
        s3_proxy.drop_condition = True
        with pytest.raises(StoreError, match="ignores exclusive create") as caught:
            open_store(f"s3://{s3_bucket}/{uuid.uuid4().hex}")
        assert caught.value.hint

    def test_a_refusal_without_its_reason_is_a_refusal(self, s3_bucket, s3_proxy):
        s3_proxy.strip_reason = True
        store = open_store(f"s3://{s3_bucket}/{uuid.uuid4().hex}")
        assert store.create("x", b"1")
        assert not store.create("x", b"2")

    def test_a_conflict_is_tried_again(self, s3_bucket, s3_proxy):
        store = open_store(f"s3://{s3_bucket}/{uuid.uuid4().hex}")
        s3_proxy.conflicts = 2
        assert store.create("x", b"1")
        s3_proxy.conflicts = 2
        assert not store.create("x", b"2")
        assert store.read("x") == b"1"
        assert s3_proxy.conflicts == 0

    def test_endless_conflicts_are_told(self, s3_bucket, s3_proxy, monkeypatch):
        monkeypatch.setattr("headwater.store.remote._CONFLICT_TRIES", 2)
        store = open_store(f"s3://{s3_bucket}/{uuid.uuid4().hex}")
        s3_proxy.conflicts = 2
        with pytest.raises(StoreError, match="others write the same name"):
            store.create("x", b"1")

    def test_a_lost_answer_does_not_lose_a_segment(self, s3_bucket, s3_proxy, tmp_path, monkeypatch):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        store = open_store(f"s3://{s3_bucket}/{uuid.uuid4().hex}")
        log = store.appender("events")
        log.append(b"one\n")
        s3_proxy.lose_answers = 1  # the client tries again and is told that somebody else was first
        log.sync()
        log.append(b"two\n")
        log.close()
        assert store.read_log("events") == (b"one\ntwo\n", 8)
        assert s3_proxy.lose_answers == 0

    def test_a_listing_after_a_path_asks_for_no_more(self, s3_bucket, s3_proxy):
        store = open_store(f"s3://{s3_bucket}/{uuid.uuid4().hex}")
        for number in range(5):
            store.create(f"traces/{number}", b"")
        s3_proxy.requests.clear()
        assert store.list("traces", after="traces/2") == ["traces/3", "traces/4"]
        (request,) = s3_proxy.requests
        assert request.startswith("GET")
        assert "start-after" in request

    def test_polling_a_log_is_one_request(self, s3_bucket, s3_proxy, tmp_path, monkeypatch):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        store = open_store(f"s3://{s3_bucket}/{uuid.uuid4().hex}")
        log = store.appender("events")
        for number in range(3):
            log.append(b"%d\n" % number)
            log.sync()
        _, offset = store.read_log("events")
        s3_proxy.requests.clear()
        assert store.read_log("events", offset) == (b"", offset)
        assert len(s3_proxy.requests) == 1
        log.close()

    def test_reading_a_pack_lists_once(self, s3_bucket, s3_proxy):
        url = f"s3://{s3_bucket}/{uuid.uuid4().hex}"
        digests = open_store(url).put_pack([b"%d" % number for number in range(50)])
        store = open_store(url)
        s3_proxy.requests.clear()
        for digest in digests:
            store.get(digest)
        listings = [request for request in s3_proxy.requests if "list-type" in request]
        assert len(listings) == 1
        assert len(s3_proxy.requests) < 60

    def test_many_packed_objects_are_a_few_requests(self, s3_bucket, s3_proxy):
        url = f"s3://{s3_bucket}/{uuid.uuid4().hex}"
        digests = open_store(url).put_pack([b"%d" % number for number in range(500)])
        store = open_store(url)
        s3_proxy.requests.clear()
        assert len(store.get_many(digests)) == 500
        assert store.missing(digests) == set()
        assert len(s3_proxy.requests) <= 6

    def test_putting_a_small_object_is_one_request(self, s3_bucket, s3_proxy):
        store = open_store(f"s3://{s3_bucket}/{uuid.uuid4().hex}")
        s3_proxy.requests.clear()
        digest = store.put(b"small")
        store.put(b"small")
        store.get(digest)
        assert [request.partition(" ")[0] for request in s3_proxy.requests] == ["PUT", "PUT", "GET"]


def test_a_large_object_travels_in_pieces(s3_bucket, tmp_path, monkeypatch):
    monkeypatch.setattr("headwater.store.remote._PIECE", 1 << 20)
    store = open_store(f"s3://{s3_bucket}/{uuid.uuid4().hex}")
    file = tmp_path / "large"
    file.write_bytes(bytes(range(251)) * 12_345)
    digest, size = store.put_file(file)
    store.fetch(digest, tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == file.read_bytes()
    assert store.size(digest) == size
    with store.open(digest) as opened:
        opened.seek(3_000_000)
        assert opened.read(3) == file.read_bytes()[3_000_000:3_000_003]
    assert store.put_file(file) == (digest, size)
