"""Leases: who holds, for how long, and what happens when the store or the holder is slow."""

from __future__ import annotations

import pytest

from headwater.errors import Corrupt, StoreError
from headwater.lease import Lease
from headwater.store import open_store


class Clock:
    def __init__(self):
        self.time = 1000.0

    def __call__(self):
        return self.time


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def store(tmp_path, clock):
    return open_store(tmp_path / "store", clock=clock)


def test_a_lease_is_held_until_it_ends(store, clock):
    lease = Lease.acquire(store, "train", "ann", seconds=10)
    assert (lease.owner, lease.until, lease.is_live) == ("ann", 1010, True)
    clock.time = 1009.9
    assert Lease.acquire(store, "train", "bob", seconds=10) is None
    assert Lease.holder(store, "train") == "ann"
    clock.time = 1010
    assert not lease.is_live
    assert Lease.holder(store, "train") is None
    assert Lease.acquire(store, "train", "bob", seconds=10).owner == "bob"


def test_keys_do_not_meet(store):
    assert Lease.acquire(store, "train", "ann", seconds=10)
    assert Lease.acquire(store, "gc", "bob", seconds=10)
    assert store.children("leases") == ["gc", "train"]


def test_the_same_owner_does_not_hold_twice(store):
    assert Lease.acquire(store, "train", "ann", seconds=10)
    assert Lease.acquire(store, "train", "ann", seconds=10) is None


def test_renewing_moves_the_end(store, clock):
    lease = Lease.acquire(store, "train", "ann", seconds=10)
    clock.time = 1008
    assert lease.renew()
    assert lease.until == 1018
    clock.time = 1015
    assert Lease.acquire(store, "train", "bob", seconds=10) is None


def test_a_late_renewal_holds_if_nobody_came(store, clock):
    lease = Lease.acquire(store, "train", "ann", seconds=10)
    clock.time = 1050
    assert lease.renew()
    assert Lease.acquire(store, "train", "bob", seconds=10) is None


def test_a_late_renewal_fails_if_somebody_came(store, clock):
    lease = Lease.acquire(store, "train", "ann", seconds=10)
    clock.time = 1050
    assert Lease.acquire(store, "train", "bob", seconds=10)
    assert not lease.renew()
    assert not lease.is_live
    lease.release()
    assert Lease.holder(store, "train") == "bob"


def test_a_released_lease_is_free_and_cannot_be_renewed(store):
    lease = Lease.acquire(store, "train", "ann", seconds=10)
    lease.release()
    lease.release()
    assert Lease.holder(store, "train") is None
    assert not lease.renew()
    assert Lease.acquire(store, "train", "bob", seconds=10)


def test_old_numbers_are_removed(store):
    lease = Lease.acquire(store, "train", "ann", seconds=10)
    for _ in range(5):
        assert lease.renew()
    assert store.children("leases/train") == ["000000000005"]


def test_a_claim_under_a_number_that_was_removed_does_not_count(store, clock, monkeypatch):
    """Ann looks, sleeps for long, and takes number 1 after others used and removed it."""
    Lease.acquire(store, "train", "old", seconds=10)
    clock.time = 1020
    real = store.create

    def create(path, data):
        monkeypatch.setattr(store, "create", real)
        for owner in ("bob", "cid"):
            assert Lease.acquire(store, "train", owner, seconds=5)
            clock.time += 10
        assert Lease.acquire(store, "train", "dan", seconds=1000)
        assert store.children("leases/train") == ["000000000003"]
        return store.create(path, data)

    monkeypatch.setattr(store, "create", create)
    assert Lease.acquire(store, "train", "ann", seconds=10) is None
    assert Lease.holder(store, "train") == "dan"
    assert store.children("leases/train") == ["000000000003"]


def test_a_create_whose_answer_was_lost_is_recognised(store, monkeypatch):
    real = store.create
    monkeypatch.setattr(store, "create", lambda path, data: real(path, data) and False)
    lease = Lease.acquire(store, "train", "ann", seconds=10)
    assert lease is not None
    assert lease.renew()


def test_a_renewal_that_failed_on_its_way_back_is_taken_up(store, clock, monkeypatch):
    lease = Lease.acquire(store, "train", "ann", seconds=10)

    def create(path, data):
        assert store_create(path, data)
        raise StoreError("the connection was reset")

    store_create = store.create
    with monkeypatch.context() as patch:
        patch.setattr(store, "create", create)
        with pytest.raises(StoreError, match="reset"):
            lease.renew()
    clock.time += 5
    assert lease.renew()
    assert lease.until == 1015
    assert Lease.acquire(store, "train", "bob", seconds=10) is None


def test_a_broken_lease_is_told(store):
    store.create("leases/train/000000000000", b"{}")
    with pytest.raises(Corrupt, match="lease"):
        Lease.holder(store, "train")
