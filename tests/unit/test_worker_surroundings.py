"""The environment that runs is the environment in the key; variables, secrets and threads are as declared."""

import os
import sys
from importlib import metadata

import pytest

from headwater.types import Fault
from headwater.worker.failure import AttemptFailed
from headwater.worker.surroundings import (
    ThreadCap,
    check_environment,
    installed,
    resolve_secrets,
    thread_variables,
    variables,
    working_folder,
)

PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"


@pytest.mark.parametrize("name", ["pyarrow", "typing_extensions", "typing-extensions", "PyYAML", "headwater"])
def test_what_is_installed_is_found_under_any_spelling(name):
    assert installed(name, metadata.version(name)) == metadata.version(name)
    assert installed(name, "0.0.0.dev0") == metadata.version(name)


def test_what_is_not_installed():
    assert installed("no-such-distribution", "1.0") is None


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({"python": "2.7"}, "Python 2.7|says 2.7"),
        ({"packages": {"pyarrow": "0.1"}}, "pyarrow 0.1"),
        ({"packages": {"no-such-thing": "1"}}, "no no-such-thing"),
    ],
)
def test_another_environment_is_a_config_fault(wanted, words):
    with pytest.raises(AttemptFailed, match=words) as caught:
        check_environment(wanted)
    assert caught.value.failure.fault is Fault.CONFIG


def test_the_same_environment_passes():
    check_environment({"python": PYTHON, "packages": {"pyarrow": metadata.version("pyarrow")}})
    check_environment({})


def test_secrets_come_under_their_own_name_or_the_prefixed_one():
    environ = {"HEADWATER_SECRET_A": "1", "A": "other", "B": "2"}
    assert resolve_secrets(["A", "B"], environ) == {"A": "1", "B": "2"}
    with pytest.raises(AttemptFailed, match="HEADWATER_SECRET_C"):
        resolve_secrets(["C"], environ)


def test_variables_and_folder_are_put_back(tmp_path, monkeypatch):
    monkeypatch.setenv("HAS", "before")
    monkeypatch.delenv("NEW", raising=False)
    before = os.getcwd()  # noqa: PTH109
    with pytest.raises(ValueError), variables({"HAS": "during", "NEW": "x"}), working_folder(str(tmp_path)):
        assert (os.environ["HAS"], os.environ["NEW"]) == ("during", "x")
        assert os.path.samefile(".", tmp_path)  # noqa: PTH121
        raise ValueError
    assert os.environ["HAS"] == "before"
    assert "NEW" not in os.environ
    assert os.getcwd() == before  # noqa: PTH109


def test_threads_are_capped_at_the_steps_cores():
    import numpy as np  # noqa: F401
    import pyarrow as pa
    from threadpoolctl import threadpool_info

    before = pa.cpu_count(), {pool["filepath"]: pool["num_threads"] for pool in threadpool_info()}
    cap = ThreadCap()
    cap.apply(1)
    assert pa.cpu_count() == 1
    assert {pool["num_threads"] for pool in threadpool_info()} == {1}
    cap.apply(3)
    assert pa.cpu_count() == 3
    cap.release()
    assert (pa.cpu_count(), {pool["filepath"]: pool["num_threads"] for pool in threadpool_info()}) == before


def test_a_step_may_declare_its_own_threads():
    assert thread_variables(0.5, {})["OMP_NUM_THREADS"] == "1"
    assert thread_variables(4, {"OMP_NUM_THREADS": "2"})["OMP_NUM_THREADS"] == "2"
    assert thread_variables(4, {"OMP_NUM_THREADS": "2"})["MKL_NUM_THREADS"] == "4"
