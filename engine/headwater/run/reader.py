"""Values that a run's record names, read in the user's own process: what an unknown key wrote runs no code there."""

from __future__ import annotations

import tempfile
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, cast

from headwater import pipelines
from headwater.errors import TrustError
from headwater.traces import check

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from headwater.digest import Json
    from headwater.fingerprint import Project
    from headwater.index import Index
    from headwater.record import RunRecord
    from headwater.store import Store
    from headwater.trust import Keyring


class Reader:
    """Reads what the steps of one run gave.

    A log is signed as a whole when it ends, not before, so what it says of a value is believed only if a trace that a
    trusted key signed says the same: this digest, of this type. Else pickles are refused, and classes are not imported
    for it.
    """

    def __init__(
        self,
        record: RunRecord,
        store: Store,
        keyring: Callable[[], Keyring],
        index: Callable[[], Index],
        project: Callable[[], Project],
    ) -> None:
        self._record, self._store = record, store
        # Each is made when it is first needed: a plain value needs none of them.
        self._keyring, self._index, self._project = keyring, index, project
        self._known: dict[tuple[Json, Json], bool] = {}

    def tree(self, tree: Json) -> object:
        """Return the value of a recorded tree. Raises TrustError for a pickle that an unknown key wrote."""
        from headwater.worker.inputs import decode_tree

        scratch = Path(tempfile.mkdtemp(prefix="headwater-"))
        return decode_tree(
            tree, store=self._store, scratch=scratch, load=self._load, trusts=self.trusts, careful=self._load_known
        )

    def output(self, document: Mapping[str, Json]) -> object:
        """Return the value of one recorded output. Raises TrustError for a pickle that an unknown key wrote."""
        return self.tree({"artifact": dict(document)})

    def trusts(self, document: Mapping[str, Json]) -> bool:
        """Tell whether the user or somebody whom the user trusts made this value."""
        value = (document.get("digest"), document.get("type"))
        if value not in self._known:
            self._known[value] = any(self._is_signed(key, value) for key in self._keys.get(value, ()))
        return self._known[value]

    @cached_property
    def _keys(self) -> Mapping[tuple[Json, Json], set[str]]:
        """(Digest, type) → keys of the steps that gave it, by this record."""
        found: dict[tuple[Json, Json], set[str]] = {}
        for step in self._record.steps.values():
            for document in cast("Mapping[str, Mapping[str, Json]]", step.outputs).values():
                found.setdefault((document.get("digest"), document.get("type")), set()).add(step.key)
        if found:
            self._index().refresh()
        return found

    def _is_signed(self, key: str, value: tuple[Json, Json]) -> bool:
        traces = (check(row, self._keyring()) for row in self._index().traces_by_key(key))
        outputs = [
            cast("Mapping[str, Json]", document)
            for trace in traces
            if trace is not None and trace.trusted
            for document in trace.outputs.values()
        ]
        return any((document.get("digest"), document.get("type")) == value for document in outputs)

    def _load(self, name: str) -> type:
        """Return a class that the pipeline itself names."""
        from headwater.values import load_type

        is_trusted = pipelines.standing(self._record, self._keyring()) in ("own", "trusted")
        return load_type(name) if is_trusted else self._load_known(name)

    def _load_known(self, name: str) -> type:
        """Return a class of a module that is loaded or the project's own."""
        from headwater.values import load_type

        if self._project().knows(name):
            return load_type(name)
        raise TrustError(
            f"this value is of the class {name}; its writer is not trusted, and importing the module runs its code",
            facts={"run": self._record.run},
            hint="import the module first, or trust the writer's key: hw trust add",
        )
