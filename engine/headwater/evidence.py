"""What decisions about one request rest on: the code of its steps, what is known of their inputs, earlier results."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from headwater.digest import digest_bytes
from headwater.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headwater.codes import CodeBook
    from headwater.condemned import Saviour
    from headwater.digest import Digest, Json
    from headwater.known import Document, Known
    from headwater.opened import Opened
    from headwater.rebuild import Rebuilder
    from headwater.request import Request
    from headwater.sources import Sources
    from headwater.store import Store
    from headwater.targets import Compiled


@dataclass(frozen=True, slots=True)
class Packed:
    """The code that workers execute."""

    digest: Digest
    data: bytes
    #: Compiled entry → entry in the bundle, for functions that were given other names in it.
    entries: Mapping[str, str]


def code_book(compiled: Compiled, sources: Sources) -> CodeBook:
    """Return the fingerprints of a compiled pipeline; each is made when it is first needed."""
    from headwater.codes import CodeBook
    from headwater.values import load_type

    return CodeBook(compiled.project, compiled.functions, sources, load_type)


def pack(compiled: Compiled, codes: CodeBook, store: Store) -> Packed:
    """Return the code bundle of a compiled pipeline: the recorded one, or what was fingerprinted."""
    if compiled.bundle is not None:
        return Packed(compiled.bundle, store.get(compiled.bundle), dict(compiled.entries or {}))
    nodes = compiled.definition.graph.nodes
    entries = codes.entries(nodes)
    data = codes.bundle(nodes).encode()
    return Packed(digest_bytes(data), data, entries)


class Evidence:
    """What a plan, or a run, of one request looks at; each part is made when it is first needed."""

    def __init__(self, opened: Opened, request: Request, *, is_run: bool = False) -> None:
        self.opened = opened
        self.request = request
        #: A run takes files into the store and keeps what it relies on; a plan only looks.
        self.is_run = is_run

    @cached_property
    def codes(self) -> CodeBook:
        """Fingerprints."""
        return code_book(self.request.compiled, self.opened.sources)

    @cached_property
    def packed(self) -> Packed:
        """The code bundle."""
        return pack(self.request.compiled, self.codes, self.opened.store)

    @cached_property
    def known(self) -> Known:
        """What is known before the first step: parameters."""
        from headwater.known import Known

        nodes, params = self.request.graph.nodes, self.request.params
        return Known(nodes, params, read=self.opened.read_json, ingest=self._ingest)

    def _ingest(self, value: Mapping[str, Json]) -> Document:
        """Return the artifact of a source; a run takes its content into the store, a plan only digests it."""
        from headwater.artifacts import Artifact, Dir, File, describe_value, encode_value, references

        kind = cast("str", value["$"])
        path = cast("str", value["path"])
        source = path if "://" in path else str(self.request.compiled.root / path)
        if "://" not in path and not Path(source).exists():
            raise RequestError(
                f"there is no {'file' if kind == 'file' else 'folder'} {path}",
                facts={"looked for": source},
                hint="check the parameter or the path in the pipeline; it is relative to the project's folder",
            )
        thing = File(source) if kind == "file" else Dir(source)
        found: Artifact = describe_value(thing, kind, digest_file=self.opened.sources.digest)
        if self.is_run:
            store = self.opened.store
            wanted = set(references(found, store)) - ({found.digest} if found.inline is not None else set())
            if wanted and (store.missing(wanted) or self.saviour.save(wanted)):
                # What was taken in counts: the file may have changed since it was digested.
                found = encode_value(thing, kind, store)
        return found.document()

    @cached_property
    def rebuilder(self) -> Rebuilder:
        """Decides from traces."""
        from headwater.fingerprint import compare
        from headwater.history import StoreHistory
        from headwater.observed import current
        from headwater.rebuild import Rebuilder
        from headwater.traces import Traces

        opened = self.opened
        opened.index.refresh()  # a workspace outlives runs, its own and those of others: their traces count
        project = str(self.request.compiled.root)
        history = StoreHistory(
            opened.index,
            Traces(opened.index, opened.keyring),
            opened.store,
            self.request.definition.name,
            saviour=self.saviour if self.is_run else None,
        )
        return Rebuilder(
            self.codes,
            history,
            observe=lambda label: current(label, project),
            now=opened.store.now,
            compare_code=lambda old, new: [change.text for change in compare(cast("Any", old), cast("Any", new))],
            forced=self.request.selected.is_forced,
        )

    @cached_property
    def saviour(self) -> Saviour:
        """Keeps the objects that this run relies on from being removed meanwhile."""
        from headwater.condemned import Saviour

        return Saviour(self.opened.store)

    @cached_property
    def expected(self) -> Mapping[str, float]:
        """Median seconds of each step in earlier runs."""
        return self.opened.index.durations(self.request.definition.name)
