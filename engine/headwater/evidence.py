"""What decisions about one request rest on: the code of its steps, what is known of their inputs, earlier results."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from headwater.digest import digest_bytes
from headwater.errors import ObjectMissing, RequestError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headwater.artifacts import Artifact
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
        #: Digest of a folder → where it lies: a plan does not take it into the store.
        self._folders: dict[Digest, str] = {}

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
        from headwater.artifacts import Dir, File, describe_value, encode_value

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
        found = describe_value(thing, kind, digest_file=self.opened.sources.digest)
        if self.is_run and self._is_to_be_taken(found):
            # What was taken in counts: the file may have changed since it was digested.
            found = encode_value(thing, kind, self.opened.store)
        if kind == "dir":
            self._folders[found.digest] = source
        return found.document()

    def _is_to_be_taken(self, source: Artifact) -> bool:
        """Tell whether the store lacks something of a source; what it has is kept from being removed."""
        from headwater.artifacts import references

        store = self.opened.store
        try:
            wanted = set(references(source, store)) - ({source.digest} if source.inline is not None else set())
        except ObjectMissing:  # of a large folder even the list of what is in it
            return True
        return bool(wanted) and bool(store.missing(wanted) or self.saviour.save(wanted))

    def _list_folder(self, document: Mapping[str, Json]) -> Mapping[str, Json] | None:
        """Return what is in a folder that a store has, or that was looked at where it lies."""
        from headwater.artifacts import Dir, members_of_source
        from headwater.history import list_folder

        found = list_folder(document, self.opened.store)
        source = self._folders.get(str(document["digest"]))
        if found is None and source is not None:
            return members_of_source(Dir(source), self.opened.sources.digest)
        return found

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
            list_folder=self._list_folder,
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
