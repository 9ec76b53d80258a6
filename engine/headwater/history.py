"""What earlier runs tell the rebuilder: traces by base, and the last time that a step was decided."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, cast

from headwater.artifacts import Artifact, members, references
from headwater.digest import digest_bytes
from headwater.errors import Corrupt, ObjectMissing
from headwater.rebuild import Past

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from headwater.condemned import Saviour
    from headwater.digest import Digest, Json
    from headwater.index import Index
    from headwater.store import Store
    from headwater.traces import Trace, Traces


class StoreHistory:
    """Look-ups in the index of one store, for one pipeline."""

    def __init__(
        self, index: Index, traces: Traces, store: Store, pipeline: str, *, saviour: Saviour | None = None
    ) -> None:
        self._index, self._traces, self._store, self._pipeline = index, traces, store, pipeline
        #: Keeps what is relied on from being removed; None for a plan, which writes nothing.
        self._saviour = saviour

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
        try:
            wanted = needed(trace.outputs, self._store)
        except (ObjectMissing, Corrupt):
            return True
        if not wanted:
            return False
        return bool(self._store.missing(wanted)) or (self._saviour is not None and bool(self._saviour.save(wanted)))

    def _document(self, digest: str) -> Json:
        try:
            return cast("Json", json.loads(self._store.get(digest))) if digest else None
        except (ObjectMissing, Corrupt):
            return None  # only the words of a reason depend on it


def list_folder(document: Mapping[str, Json], store: Store) -> Mapping[str, Json] | None:
    """Return what is in a folder, by its artifact; None where the store has it no more."""
    try:
        return members(Artifact.from_document(document), store)
    except (ObjectMissing, Corrupt):
        return None  # only the words of a reason depend on it


def needed(outputs: Mapping[str, Json], store: Store) -> set[Digest]:
    """Return the objects that some artifacts need: bodies that do not travel inline, and what these refer to."""
    found: set[Digest] = set()
    for document in outputs.values():
        artifact = Artifact.from_document(cast("Mapping[str, Json]", document))
        found.update(references(artifact, store))
        if artifact.inline is not None:
            found.discard(artifact.digest)
    return found


def keep(bodies: Iterable[bytes], store: Store, saviour: Saviour) -> None:
    """Make sure that what a run records stays, though it was found present; what was being removed is put again.

    To be called next to the event that names the objects, before it or after.
    """
    found = {digest_bytes(body): body for body in bodies}
    lost = saviour.save(found)
    if lost:
        store.put_many([found[digest] for digest in sorted(lost)])
