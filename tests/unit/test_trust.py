"""Keys: made once, private, shared on purpose."""

from __future__ import annotations

import os
import stat
import subprocess
import sys

import pytest

from headwater.errors import TrustError
from headwater.trust import Keyring, key_path


def test_a_key_is_made_on_first_use_and_kept(tmp_path):
    path = tmp_path / "deep" / "key.json"
    first = Keyring.load(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert Keyring.load(path).own == first.own
    assert [entry.name for entry in path.parent.iterdir()] == ["key.json"]
    assert len(first.own.id) == 16
    assert first.own.secret.hex() not in repr(first.own)


def test_where_the_key_lies(monkeypatch, tmp_path):
    monkeypatch.delenv("HEADWATER_KEY", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert key_path() == tmp_path / "headwater" / "key.json"
    monkeypatch.setenv("HEADWATER_KEY", str(tmp_path / "mine"))
    assert key_path() == tmp_path / "mine"


def test_processes_that_start_at_once_agree_on_one_key(tmp_path):
    code = f"from headwater.trust import *; print(Keyring.load(Path({str(tmp_path / 'key.json')!r})).own.id)"
    children = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(6)]
    assert len({child.communicate()[0].strip() for child in children}) == 1
    assert all(child.returncode == 0 for child in children)


def test_who_signed(tmp_path):
    mine, hers = Keyring.load(tmp_path / "a" / "key.json"), Keyring.load(tmp_path / "b" / "key.json")
    data = b"a trace"
    assert mine.check(data, mine.sign(data)) == "own"
    assert mine.check(data + b"x", mine.sign(data)) == "bad"
    assert mine.check(data, {"key": mine.own.id}) == "bad"
    assert mine.check(data, None) == "foreign"
    assert mine.check(data, "nonsense") == "foreign"
    assert mine.check(data, hers.sign(data)) == "foreign"
    mine.add(hers.export(), name="ada")
    assert mine.check(data, hers.sign(data)) == "trusted"
    assert mine.check(data + b"x", hers.sign(data)) == "bad"
    assert [key.name for key in Keyring.load(tmp_path / "a" / "key.json").listing()] == ["own", "ada"]
    mine.remove(hers.own.id)
    assert Keyring.load(tmp_path / "a" / "key.json").check(data, hers.sign(data)) == "foreign"


def test_what_is_refused(tmp_path):
    path = tmp_path / "key.json"
    ring = Keyring.load(path)
    for text in ("", "headwater-key:", "headwater-key:AAAA", "other:" + ring.export().partition(":")[2]):
        with pytest.raises(TrustError, match="not an exported key"):
            ring.add(text, name="x")
    with pytest.raises(TrustError, match="your own"):
        ring.remove(ring.own.id)
    with pytest.raises(TrustError, match="unknown"):
        ring.remove("0" * 16)
    assert ring.add(ring.export(), name="me") == ring.own
    path.chmod(0o644)
    with pytest.raises(TrustError, match="others can read"):
        Keyring.load(path)
    path.chmod(0o600)
    path.write_text("{")
    with pytest.raises(TrustError, match="cannot be read"):
        Keyring.load(path)


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(TrustError, match="cannot be read or made"):
        Keyring.load(tmp_path / "x" / "key.json")


def test_a_file_where_the_folder_should_be(tmp_path):
    (tmp_path / "x").write_text("")
    with pytest.raises(TrustError, match="cannot be read or made"):
        Keyring.load(tmp_path / "x" / "key.json")
