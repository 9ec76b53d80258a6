"""What a run finds in the store and relies on, while somebody collects garbage."""

from __future__ import annotations

from headwater.condemned import Saviour, close, condemn, finish
from headwater.digest import digest_bytes
from headwater.history import keep
from headwater.store import open_store

PIPELINE = """
from headwater import File, pipeline, step

@step
def count(rows: File) -> int:
    return len(rows.read_text())

@pipeline
def main(rows: File = File("rows.txt")) -> int:
    return count(rows)
"""


def test_all_that_a_run_relies_on_is_saved(project):
    project.write(pipeline=PIPELINE, rows_txt="1234\n" * 2000)
    assert project.statuses() == {"count": "ran"}
    store = open_store(project.folder / ".headwater", create=False)
    before = {info.digest for info in store.objects()}
    one = condemn(store, before)
    assert project.statuses("--force", "count") == {"count": "ran"}
    saved = set(store.children(f"gc/{one.number:06d}/saved"))
    assert len(before) >= 4  # the code, the definition, the environment, a fingerprint, the file
    assert saved == before


def test_what_was_being_removed_is_put_again(tmp_path):
    store = open_store(tmp_path / "store")
    digest = store.put(b"the code")
    one = condemn(store, [digest])
    assert close(store, one) is not None

    def sweep(_):
        store.delete_object(digest)
        finish(store, one)

    keep([b"the code", b"on no list"], store, Saviour(store, sleep=sweep))
    assert store.get(digest) == b"the code"
    assert not store.has(digest_bytes(b"on no list"))
