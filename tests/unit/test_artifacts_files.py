"""Files and folders as values: what counts, what is refused, and where copies are made."""

from __future__ import annotations

import json
import os
import tempfile
import threading
from pathlib import Path
from typing import Any

import fsspec
import pytest

from headwater.artifacts import Dir, File, decode_value, describe_value, encode_value, scratch_folder
from headwater.artifacts.trees import read_tree
from headwater.digest import canonical, digest_bytes
from headwater.errors import Corrupt, RequestError, SetupError, StepError, ValueNotStorable
from headwater.store import Store, open_store


@pytest.fixture(autouse=True)
def own_temporary_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("tmp")))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path / "store")


def again(value: object, store: Store, tmp_path: Path) -> Any:
    return decode_value(encode_value(value, "any", store), store, scratch=tmp_path / "scratch")


def identity(value: object) -> tuple[str, ...]:
    return describe_value(value).identity


def folder(tmp_path: Path, name: str = "folder", **files: str) -> Dir:
    root = Dir(tmp_path / name)
    root.path.mkdir()
    for path, text in files.items():
        place = root / path.replace("__", "/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    return root


# ------------------------------------------------------------------------------------------------- the types


def test_a_file_goes_wherever_a_path_goes(tmp_path: Path) -> None:
    file = File(tmp_path / "data.csv.gz")
    with open(file, "w") as stream:  # noqa: PTH123
        stream.write("ä")
    assert os.fspath(file) == str(file) == str(tmp_path / "data.csv.gz")
    assert Path(file).exists()
    assert (file.name, file.suffix, file.suffixes) == ("data.csv.gz", ".gz", [".csv", ".gz"])
    assert (file.read_text(), file.read_bytes()) == ("ä", "ä".encode())
    with file.open() as text, file.open("rb") as body:
        assert (text.read(), body.read()) == ("ä", "ä".encode())
    assert File(file) == file
    assert hash(File(file)) == hash(file)
    assert file != Dir(tmp_path / "data.csv.gz")
    assert repr(file) == f"File({str(tmp_path / 'data.csv.gz')!r})"


def test_new_files_lie_in_the_steps_scratch_folder_each_in_its_own(tmp_path: Path) -> None:
    with scratch_folder(tmp_path / "scratch"):
        one, two, tree = File.new("a.txt"), File.new("a.txt"), Dir.new("out")
    assert all(place.path.is_relative_to(tmp_path / "scratch") for place in (one, two, tree))
    assert one.path != two.path
    assert (one.name, tree.name) == ("a.txt", "out")
    assert tree.path.is_dir()
    assert not one.path.exists()
    outside = File.new("a.txt")
    assert not outside.path.is_relative_to(tmp_path)
    outside.path.write_text("written")
    outside.path.unlink()
    outside.path.parent.rmdir()


def test_steps_in_different_threads_do_not_share_their_scratch_folder(tmp_path: Path) -> None:
    made: dict[str, Path] = {}
    meet = threading.Barrier(2)

    def step(name: str) -> None:
        with scratch_folder(tmp_path / name):
            meet.wait()
            made[name] = File.new("x").path
            meet.wait()

    threads = [threading.Thread(target=step, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {name: path.relative_to(tmp_path).parts[0] for name, path in made.items()} == {"a": "a", "b": "b"}


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/a", "a\0"])
def test_a_new_file_has_a_plain_name(name: str) -> None:
    for kind in (File, Dir):
        with pytest.raises(RequestError, match="cannot name"):
            kind.new(name)


# ------------------------------------------------------------------------------------------------- identity of a file


def test_content_and_suffixes_count_and_nothing_else(tmp_path: Path) -> None:
    one = File(tmp_path / "one.csv.gz")
    one.path.write_text("1")
    first = identity(one)
    os.utime(one, (1, 1))
    one.path.chmod(0o600)
    assert identity(one) == first
    assert identity(File(one.path.rename(tmp_path / "other.csv.gz"))) == first
    assert identity(File((tmp_path / "other.csv.gz").rename(tmp_path / "other.csv"))) != first
    (tmp_path / "other.csv").write_text("2")
    assert identity(File(tmp_path / "other.csv"))[1] != first[1]


def test_a_consumer_sees_a_stable_name_and_may_write(store: Store, tmp_path: Path) -> None:
    for body in (b"small", b"large" * 5000):
        path = tmp_path / "secret-name.tar.gz"
        path.write_bytes(body)
        artifact = encode_value(File(path), "file", store)
        assert artifact.meta == {"suffix": ".tar.gz", "name": "secret-name.tar.gz"}
        one, two = (decode_value(artifact, store, scratch=tmp_path / "scratch") for _ in range(2))
        assert isinstance(one, File)
        assert isinstance(two, File)
        assert one.name == two.name == f"file-{digest_bytes(body)[:12]}.tar.gz"
        assert one.path != two.path
        one.path.write_bytes(b"changed")
        assert two.read_bytes() == body


def test_what_is_no_file_is_told(store: Store, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for value, words in (
        (File(tmp_path / "none"), "does not exist"),
        (File(tmp_path), "is a folder"),
        (File(tmp_path / "pipe"), "is no plain file"),
        ([File(tmp_path / "none")], "does not exist"),
        (Dir(tmp_path / "none"), "does not exist"),
    ):
        with pytest.raises(ValueNotStorable, match=words) as info:
            encode_value(value, "any", store)
        assert info.value.hint


def test_a_suffix_from_a_foreign_document_cannot_lead_elsewhere(store: Store, tmp_path: Path) -> None:
    from headwater.artifacts import Artifact

    artifact = Artifact(digest_bytes(b"x"), "file", 1, {"suffix": "/../../escaped"}, inline=b"x")
    with pytest.raises(Corrupt):
        decode_value(artifact, store, scratch=tmp_path / "scratch")


# ------------------------------------------------------------------------------------------------- folders


def test_a_folder_comes_back_with_empty_folders_and_executables(store: Store, tmp_path: Path) -> None:
    tree = folder(tmp_path, a="1", sub__b="2", run="#!")
    (tree / "run").chmod(0o755)
    (tree / "empty" / "inner").mkdir(parents=True)
    artifact = encode_value(tree, "dir", store)
    assert artifact.inline is not None
    document = json.loads(artifact.inline)
    assert [entry[0] for entry in document["tree/1"]] == ["a", "empty/inner/", "run", "sub/b"]
    assert artifact.inline == canonical(document)
    back = again(tree, store, tmp_path)
    assert back.name == f"dir-{artifact.digest[:12]}"
    assert sorted(path.relative_to(back.path).as_posix() for path in back.path.rglob("*")) == [
        "a",
        "empty",
        "empty/inner",
        "run",
        "sub",
        "sub/b",
    ]
    assert os.access(back / "run", os.X_OK)
    assert not (back / "a").stat().st_mode & 0o111
    (back / "a").write_text("may be changed")


def test_an_empty_folder_is_a_folder(store: Store, tmp_path: Path) -> None:
    assert list(again(folder(tmp_path), store, tmp_path).path.iterdir()) == []


def test_touching_changes_nothing_and_renaming_or_moving_does(tmp_path: Path) -> None:
    tree = folder(tmp_path, a="1", sub__b="2")
    first = identity(tree)
    os.utime(tree / "a", (1, 1))
    (tree / "a").chmod(0o640)
    assert identity(tree) == first
    assert identity(Dir(tree.path.rename(tmp_path / "renamed"))) == first
    tree = Dir(tmp_path / "renamed")
    changes = [
        lambda: (tree / "a").rename(tree / "c"),
        lambda: (tree / "c").rename(tree / "sub" / "c"),
        lambda: (tree / "sub" / "c").chmod(0o755),
        (tree / "empty").mkdir,
        lambda: (tree / "sub" / "b").write_text("3"),
    ]
    seen = {first}
    for change in changes:
        change()
        seen.add(identity(tree))
    assert len(seen) == len(changes) + 1


def test_links_inside_are_followed(store: Store, tmp_path: Path) -> None:
    tree = folder(tmp_path, a="1", sub__b="2")
    (tree / "link").symlink_to("a")
    (tree / "sub" / "up").symlink_to("../a")
    (tree / "twin").symlink_to("sub")
    back = again(tree, store, tmp_path)
    assert not any(path.is_symlink() for path in back.path.rglob("*"))
    assert [(back / path).read_text() for path in ("link", "sub/up", "twin/b", "twin/up")] == ["1", "1", "2", "1"]
    through = Dir(tmp_path / "through")
    through.path.symlink_to(tree.path)
    assert identity(through) == identity(tree)


@pytest.mark.parametrize(
    ("target", "words"),
    [("/etc/hostname", "leads out"), ("../outside", "leads out"), ("nowhere", "leads nowhere"), (".", "back")],
)
def test_links_elsewhere_are_refused(target: str, words: str, store: Store, tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("secret")
    tree = folder(tmp_path, a="1")
    (tree / "link").symlink_to(target)
    with pytest.raises(ValueNotStorable, match=words):
        encode_value(tree, "dir", store)


def test_what_is_neither_file_nor_folder_is_refused(store: Store, tmp_path: Path) -> None:
    tree = folder(tmp_path)
    os.mkfifo(tree / "pipe")
    with pytest.raises(ValueNotStorable, match="neither file nor folder"):
        encode_value(tree, "dir", store)
    (tree / "pipe").unlink()
    Path(os.fsdecode(bytes(tree.path) + b"/\xff")).touch()
    with pytest.raises(ValueNotStorable, match="UTF-8"):
        encode_value(tree, "dir", store)


@pytest.mark.parametrize(
    "path", ["../x", "/x", "a/../x", "a//x", "./x", "a/.", "", "a\0", "a/", "/", pytest.param("..", id="up")]
)
@pytest.mark.parametrize("digest", [digest_bytes(b""), None])
def test_a_tree_object_cannot_lead_out_of_its_folder(path: str, digest: str | None) -> None:
    if digest is None and path == "a/":
        assert read_tree(canonical({"tree/1": [[path, None, 0, False]]}))
        return
    with pytest.raises(Corrupt):
        read_tree(canonical({"tree/1": [[path, digest, 0, False]]}))


@pytest.mark.parametrize("entry", [[], ["a"], ["a", "short", 0, False], ["a", None, "0", False], 7, ["a", None, 0, 1]])
def test_a_damaged_tree_object_is_corrupt(entry: Any) -> None:
    with pytest.raises(Corrupt):
        read_tree(canonical({"tree/1": [entry]}))
    for body in (b"", b"{}", b"[]", b"\xff"):
        with pytest.raises(Corrupt):
            read_tree(body)
    with pytest.raises(SetupError, match="tree/2"):
        read_tree(b'{"tree/2":[]}')


def test_many_small_files_are_few_objects_on_disk(store: Store, tmp_path: Path) -> None:
    tree = folder(tmp_path, **{f"f{number}": str(number) for number in range(600)})
    back = again(tree, store, tmp_path)
    assert sorted(path.read_text() for path in back.path.iterdir()) == sorted(map(str, range(600)))
    stored = [path for path in (tmp_path / "store").rglob("*") if path.is_file()]
    assert len(stored) < 20


# ------------------------------------------------------------------------------------------------- nested, by URL


def test_files_and_folders_inside_values(store: Store, tmp_path: Path) -> None:
    tree, file = folder(tmp_path, a="1"), File(tmp_path / "x.csv")
    file.path.write_text("x")
    value = {"all": [file, (tree, 1)], "again": file}
    artifact = encode_value(value, "json", store)
    back = decode_value(artifact, store, scratch=tmp_path / "scratch")
    assert isinstance(back, dict)
    assert [back["all"][0].read_text(), (back["all"][1][0] / "a").read_text(), back["all"][1][1]] == ["x", "1", 1]
    assert back["all"][0].name == back["again"].name == f"file-{digest_bytes(b'x')[:12]}.csv"
    assert encode_value(back, "json", store) == artifact


def test_a_url_is_fetched_when_it_is_needed(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = fsspec.filesystem("memory")
    place = f"/{tmp_path.name}"
    memory.pipe_file(f"{place}/d/a.csv", b"1")
    memory.pipe_file(f"{place}/d/sub/b.csv", b"2")
    file, tree = File(f"memory:/{place}/d/a.csv"), Dir(f"memory:/{place}/d")
    assert (file.name, file.suffix, tree.name, repr(file)) == ("a.csv", ".csv", "d", f"File('memory:/{place}/d/a.csv')")
    with scratch_folder(tmp_path / "scratch"):
        assert file.read_text() == "1"
        assert file.path == file.path
        assert file.path.is_relative_to(tmp_path / "scratch")
        assert (tree / "sub" / "b.csv").read_text() == "2"
    assert encode_value(file, "file", store).meta == {"suffix": ".csv", "name": "a.csv"}
    local = folder(tmp_path, **{"a.csv": "1", "sub__b.csv": "2"})
    assert identity(Dir(f"memory:/{place}/d/")) == identity(local)


@pytest.mark.parametrize("url", ["memory://none/x.csv", "nosuchscheme://x"])
def test_a_url_that_cannot_be_fetched_is_told(url: str) -> None:
    for value in (File(url), Dir(url)):
        with pytest.raises(StepError, match="cannot be fetched"):
            _ = value.path
