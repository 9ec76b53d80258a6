"""Digests of source files are remembered, and never when the file could have changed."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from headwater.digest import digest_bytes
from headwater.sources import Sources

if TYPE_CHECKING:
    from pathlib import Path


def aged(path: Path, data: bytes) -> Path:
    """Write a file that was last touched long enough ago to be remembered."""
    path.write_bytes(data)
    time.sleep(2.1)
    return path


def test_an_unchanged_file_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = aged(tmp_path / "data", b"one")
    memory = tmp_path / "memory" / "sources.sqlite"
    assert Sources(memory).digest(path) == digest_bytes(b"one")
    monkeypatch.setattr("headwater.sources._read", lambda _: pytest.fail("it was read again"))
    assert Sources(memory).digest(path) == digest_bytes(b"one")


def test_a_change_whose_author_put_the_time_back_is_seen(tmp_path: Path) -> None:
    path = aged(tmp_path / "data", b"one")
    memory = tmp_path / "sources.sqlite"
    sources = Sources(memory)
    assert sources.digest(path) == digest_bytes(b"one")
    before = path.stat()
    with path.open("r+b") as stream:
        stream.write(b"two")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert sources.digest(path) == digest_bytes(b"two")
    assert Sources(memory).digest(path) == digest_bytes(b"two")


def test_a_fresh_file_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "data"
    sources = Sources(tmp_path / "sources.sqlite")
    for data in (b"one", b"two", b"six"):
        path.write_bytes(data)
        assert sources.digest(path) == digest_bytes(data)


def test_a_damaged_memory_costs_time_only(tmp_path: Path) -> None:
    path = aged(tmp_path / "data", b"one")
    memory = tmp_path / "sources.sqlite"
    memory.write_bytes(b"no database" * 1000)
    assert Sources(memory).digest(path) == digest_bytes(b"one")
    assert Sources(memory).digest(path) == digest_bytes(b"one")


def test_an_absent_file_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Sources(tmp_path / "sources.sqlite").digest(tmp_path / "none")
