"""What earlier runs tell the rebuilder: traces by base, and the last time that a step was decided."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, cast

from headwater.errors import Corrupt, ObjectMissing
from headwater.rebuild import Past

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from headwater.digest import Digest, Json
    from headwater.index import Index
    from headwater.store import Store
    from headwater.traces import Trace, Traces


class StoreHistory:
    """Look-ups in the index of one store, for one pipeline."""

    def __init__(self, index: Index, traces: Traces, store: Store, pipeline: str) -> None:
        self._index, self._traces, self._store, self._pipeline = index, traces, store, pipeline

    def by_base(self, base: Digest) -> Sequence[Trace]:
        """Return the traces of a base, the one to prefer first."""
        return self._traces.by_base(base)

    def last(self, step: str) -> Past | None:
        """Return the last time that a step of this name was decided, in this pipeline."""
        found = self._index.last_step(self._pipeline, step)
        if found is None:
            return None
        return Past(
            run=found.run,
            status=found.status.value,
            parts=found.parts,
            inputs=found.trees,
            code=self._document(found.code),
            observed=found.observed,
        )

    def lost(self, trace: Trace) -> bool:
        """Tell whether an output of a trace is not in the store any more."""
        wanted = {digest for document in trace.outputs.values() for digest in objects_of(cast("_Document", document))}
        return bool(wanted) and bool(self._store.missing(wanted))

    def _document(self, digest: str) -> Json:
        try:
            return cast("Json", json.loads(self._store.get(digest))) if digest else None
        except (ObjectMissing, Corrupt):
            return None  # only the words of a reason depend on it


if TYPE_CHECKING:
    _Document = Mapping[str, Json]


def objects_of(document: Mapping[str, Json]) -> Iterator[Digest]:
    """Yield the objects that an artifact needs: its body unless it travels inline, and what the body refers to."""
    if document.get("inline") is None:
        yield cast("str", document["digest"])
    meta = document.get("meta")
    if isinstance(meta, dict):
        yield from cast("list[str]", meta.get("refs") or [])
