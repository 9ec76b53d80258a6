"""Every backend of this repository keeps the contract."""

from __future__ import annotations

import dataclasses

import pytest

from headwater.local import InlineBackend, ThreadsBackend
from headwater.testing.backends import BackendContract
from headwater_dask.backend import DaskBackend


class TestInline(BackendContract):
    @pytest.fixture
    def backend_factory(self):
        return InlineBackend


class TestThreads(BackendContract):
    @pytest.fixture
    def backend_factory(self):
        return ThreadsBackend


class TestDask(BackendContract):
    """A cluster of threads in this process: what a laptop run gets after its head start."""

    @pytest.fixture
    def backend_factory(self):
        return lambda context: DaskBackend(dataclasses.replace(context, settings={"ahead": False}))


class TestDaskAhead(BackendContract):
    """What a laptop run gets: first attempts before the cluster is there, and the others on it."""

    @pytest.fixture
    def backend_factory(self):
        return DaskBackend


@pytest.fixture(scope="module")
def address():
    """The address of a cluster of two worker processes, as others would run it."""
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=2, threads_per_worker=2, processes=True, dashboard_address=None, silence_logs=50, memory_limit=0
    ) as cluster:
        yield cluster.scheduler_address


@pytest.mark.slow
class TestDaskByAddress(BackendContract):
    """A cluster of processes that was there before, reached by its address."""

    @pytest.fixture
    def backend_factory(self, address):
        return lambda context: DaskBackend(dataclasses.replace(context, settings={"address": address}))
