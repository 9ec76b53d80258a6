"""Bind this process to one code bundle: from then on it imports the bundle's code, and no other of the project's."""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from typing import TYPE_CHECKING

from headwater.bundle import PROJECT, Bundle
from headwater.worker.importer import BundleFinder
from headwater.worker.memos import Memos
from headwater.worker.observe import Observer, install, observing
from headwater.worker.perform import Place
from headwater.worker.surroundings import keeping_variables

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headwater.digest import Digest
    from headwater.store import Store


def bind(
    bundle: Digest,
    *,
    store: Store,
    project: str,
    folder: str,
    label: str,
    strict_files: tuple[str, ...] | None = None,
) -> Place:
    """Import from a bundle that the store holds, and work in the project's folder; done once in a process's life.

    ``folder`` is the process's own, for temporary files; ``strict_files`` are all that a strict step may read.
    """
    tempfile.tempdir = os.environ.get("TMPDIR")
    root = [str(store.root)] if store.root is not None else []
    code: dict[str, bytes] = {}
    is_strict = strict_files is not None
    standing = Observer(
        project=project, skip=(folder, *root), code=code, declared=strict_files or (), is_strict=is_strict
    )

    memos = Memos(code)
    depth = 0

    @contextmanager
    def loading() -> Iterator[None]:
        nonlocal depth
        depth += 1
        try:
            with observing(standing), keeping_variables():
                yield
        finally:
            depth -= 1
            if not depth:  # no module is half way
                memos.note()

    install()
    files = Bundle.decode(store.get(bundle))
    finder = BundleFinder(files, digest=bundle, places={PROJECT: project}, around=loading)
    code.update(finder.files)
    finder.install()
    if os.path.isdir(project):  # noqa: PTH112
        os.chdir(project)
    return Place(label, project, code=code, skip=(folder,), standing=standing, memos=memos)
