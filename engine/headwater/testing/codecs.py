"""What every codec promises, as tests: inherit :class:`CodecContract` and say which values to try.

    class TestMyCodec(CodecContract):
        def codec(self):
            return MyCodec()

        def samples(self):
            return [Mine(1), Mine(2)]          # each different from all others

        def change(self, value):
            value.number = 7                   # in place; leave it out where values cannot be changed

The class must stand in a module's own file: one clause imports it in a process of its own.
"""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
import tempfile
from typing import TYPE_CHECKING

import pytest

from headwater.artifacts import INLINE, Codec, decode_with, encode_with
from headwater.digest import canonical
from headwater.errors import ValueNotStorable
from headwater.store import Store, open_store

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from headwater.artifacts import Artifact

#: Imports the suite's class from its file, under its own name, and prints the digests of its samples.
_ELSEWHERE = """
import importlib.util, json, sys, tempfile
from headwater.artifacts import encode_with
from headwater.store import open_store
file, module_name, qualname = sys.argv[1:]
spec = importlib.util.spec_from_file_location(module_name, file)
module = sys.modules[module_name] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
suite = module
for name in qualname.split("."):
    suite = getattr(suite, name)
suite, store = suite(), open_store(tempfile.mkdtemp() + "/store")
print(json.dumps([encode_with(suite.codec(), value, store).digest for value in suite.samples()]))
"""


class CodecContract:
    """The clauses C1 to C10. Values of a codec that passes can be inputs, results and parts of keys."""

    def codec(self) -> Codec:
        """Return the codec; the author's own method takes this one's place."""
        pytest.fail("define the method 'codec' in the class that inherits CodecContract")

    def samples(self) -> Sequence[object]:
        """Return values to try, newly made at each call; each different from all others. Some should be large."""
        pytest.fail("define the method 'samples' in the class that inherits CodecContract")

    def variants(self) -> Sequence[tuple[object, object]]:
        """Return pairs of equal values that were made in different ways."""
        return []

    def others(self) -> Sequence[object]:
        """Return values that the codec does not take."""
        return [object()]

    def refused(self) -> Sequence[object]:
        """Return values that match, and yet cannot be stored."""
        return []

    def change(self, value: object) -> object:  # noqa: ARG002  the author's method uses it
        """Change a value in place; or return NotImplemented where values cannot be changed."""
        return NotImplemented

    def is_equal(self, one: object, two: object) -> bool:
        """Tell whether two values are equal, where ``==`` does not say it."""
        return bool(one == two)

    @pytest.fixture(autouse=True)
    def own_temporary_folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Keep what samples write out of the machine's temporary folder."""
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        monkeypatch.setenv("TMPDIR", str(tmp_path))

    @pytest.fixture(params=["near", "far"])
    def store(self, request: pytest.FixtureRequest, tmp_path: Path) -> Store:
        """Return an empty store: a folder, then one that has no files of its own."""
        return open_store(tmp_path / "store" if request.param == "near" else f"memory://{tmp_path.name}")

    def _encode(self, value: object, store: Store) -> Artifact:
        return encode_with(self.codec(), value, store)

    def _decode(self, artifact: Artifact, store: Store, tmp_path: Path) -> object:
        return decode_with(self.codec(), artifact, store, scratch=tmp_path / "scratch", trusted=True)

    def test_is_a_codec(self) -> None:
        """C1: it has the parts of a codec, and a name that can stand in a document."""
        codec = self.codec()
        assert isinstance(codec, Codec)
        assert codec.name
        assert codec.name.isprintable()
        assert codec.name == self.codec().name

    def test_matches_its_values_and_no_others(self) -> None:
        """C2: it takes its samples and nothing that is not its own."""
        codec = self.codec()
        assert all(codec.matches(value) for value in self.samples())
        assert not any(codec.matches(value) for value in self.others())

    def test_values_come_back(self, store: Store, tmp_path: Path) -> None:
        """C3: what was stored is what is read, with the same type."""
        for value in self.samples():
            back = self._decode(self._encode(value, store), store, tmp_path)
            assert type(back) is type(value)
            assert self.is_equal(back, value)

    def test_equal_values_have_equal_artifacts(self, store: Store, tmp_path: Path) -> None:
        """C4: a value made again, read back, or made in another way, is the same artifact."""
        pairs = [*zip(self.samples(), self.samples(), strict=True), *self.variants()]
        for one, two in pairs:
            artifact = self._encode(one, store)
            assert self._encode(two, store).identity == artifact.identity
            assert self._encode(self._decode(artifact, store, tmp_path), store).identity == artifact.identity

    def test_different_values_have_different_artifacts(self, store: Store) -> None:
        """C5: no two samples are the same artifact."""
        identities = [self._encode(value, store).identity for value in self.samples()]
        assert len(set(identities)) == len(identities)

    def test_other_processes_make_the_same_bytes(self, tmp_path: Path) -> None:
        """C6: a process with another hash seed makes the same bodies."""
        kind = type(self)
        command = [sys.executable, "-c", _ELSEWHERE, inspect.getfile(kind), kind.__module__, kind.__qualname__]
        here = [self._encode(value, open_store(tmp_path / "here")).digest for value in self.samples()]
        env = {**os.environ, "PYTHONHASHSEED": "12345", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        there = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
        assert json.loads(there.stdout.splitlines()[-1]) == here

    def test_what_it_notes_is_json(self, store: Store) -> None:
        """C7: what ``encode`` returns survives a document, and small bodies are inline in it."""
        for value in self.samples():
            artifact = self._encode(value, store)
            assert json.loads(canonical(dict(artifact.meta))) == dict(artifact.meta)
            assert (artifact.inline is not None) == (artifact.bytes <= INLINE)

    def test_each_value_is_private(self, store: Store, tmp_path: Path) -> None:
        """C8: changing a value in place changes neither another value nor what is stored."""
        for value in self.samples():
            artifact = self._encode(value, store)
            one, two = (self._decode(artifact, store, tmp_path) for _ in range(2))
            if self.change(one) is NotImplemented:
                pytest.skip("values of this codec cannot be changed")
            assert not self.is_equal(one, value), "change() has to make a difference"
            assert self.is_equal(two, value)
            assert self.is_equal(self._decode(artifact, store, tmp_path), value)
            for info in store.objects():
                store.get(info.digest)

    def test_storing_leaves_the_value_alone(self, store: Store) -> None:
        """C9: encoding changes nothing in the value."""
        for value, untouched in zip(self.samples(), self.samples(), strict=True):
            self._encode(value, store)
            assert self.is_equal(value, untouched)

    def test_what_cannot_be_stored_is_refused(self, store: Store) -> None:
        """C10: a value that would not come back is refused with ValueNotStorable and a hint."""
        for value in self.refused():
            with pytest.raises(ValueNotStorable) as info:
                self._encode(value, store)
            assert info.value.hint
