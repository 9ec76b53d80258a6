"""Stored definitions: numbered per pipeline name, immutable, each with the code bundle that it was compiled from.

``pipelines/<name>/<n>`` → ``{"headwater": "version/1", "definition": digest, "bundle": digest, "time": …}``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, cast

from headwater.definition import Definition
from headwater.digest import canonical
from headwater.errors import Corrupt, RequestError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headwater.digest import Digest, Json
    from headwater.record import RunRecord
    from headwater.store import Store
    from headwater.trust import Keyring, Standing

FORMAT: Final = "version/1"


@dataclass(frozen=True, slots=True)
class Version:
    """One numbered definition of a pipeline."""

    name: str
    number: int
    definition: Digest
    #: The code that it was first stored with.
    bundle: Digest
    time: float
    #: Who signed the code.
    mac: Json = None
    #: Compiled entry → entry in the bundle, where the two differ.
    entries: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    #: Digest of other code that it was to be stored with now: a version keeps the code of its first time.
    refused: Digest | None = None

    def document(self) -> dict[str, Json]:
        """Return it as JSON."""
        return {
            "name": self.name,
            "version": self.number,
            "definition": self.definition,
            "bundle": self.bundle,
            "time": self.time,
        }


def signed_code(
    pipeline: str, *, definition: Digest, bundle: Digest, entries: Mapping[str, str], run: str = ""
) -> bytes:
    """Return what a signature of code covers: what is executed, and as what, so that it cannot be moved.

    ``run`` is empty for a version of a pipeline, and the run's id for the code of a run.
    """
    return canonical(
        {
            "v": 1,
            "what": "code",
            "pipeline": pipeline,
            "definition": definition,
            "bundle": bundle,
            "entries": cast("Json", dict(entries)),
            "run": run,
        }
    )


def standing(record: RunRecord, keyring: Keyring) -> Standing:
    """Tell who signed the code of a run, as the code of this run."""
    facts = record.facts
    data = signed_code(
        record.pipeline,
        definition=record.definition,
        bundle=str(facts.get("bundle")),
        entries=cast("Mapping[str, str]", facts.get("entries") or {}),
        run=record.run,
    )
    return keyring.check(data, facts.get("bundle_mac"))


def names(store: Store) -> list[str]:
    """Return the names of all pipelines that have stored definitions."""
    return store.children("pipelines")


def versions(store: Store, name: str) -> list[Version]:
    """Return the versions of a pipeline, the oldest first."""
    return [_read(store, name, child) for child in store.children(f"pipelines/{name}")]


def find(store: Store, name: str, number: int | None = None) -> Version:
    """Return a version of a pipeline, the latest without a number. Raises RequestError where there is none."""
    found = versions(store, name)
    wanted = [each for each in found if number in (None, each.number)]
    if not wanted:
        known = ", ".join(str(each.number) for each in found) or "none"
        raise RequestError(
            f"there is no definition {name}@{number or 'latest'} in the store",
            facts={"versions": known, "pipelines": ", ".join(names(store)) or "none"},
            hint="list them with: hw definitions",
        )
    return wanted[-1]


def publish(store: Store, definition: Definition, bundle: Digest, *, mac: Json, entries: Mapping[str, str]) -> Version:
    """Store a definition; a changed one gets the next number of its name, an unchanged one keeps its own."""
    data = canonical(definition.document())
    digest = definition.digest
    existing = versions(store, definition.name)
    for version in reversed(existing):
        if version.definition == digest:
            return version if version.bundle == bundle else replace(version, refused=bundle)
    store.put(data)
    number = existing[-1].number + 1 if existing else 1
    while True:
        version = Version(definition.name, number, digest, bundle, store.now(), mac, entries)
        entry: dict[str, Json] = {
            "headwater": FORMAT,
            "definition": digest,
            "bundle": bundle,
            "mac": mac,
            "entries": cast("Json", dict(entries)),
            "time": version.time,
        }
        if store.create(_path(definition.name, number), canonical(entry)):
            return version
        taken = _read(store, definition.name, f"{number:06d}")
        if taken.definition == digest:
            return taken  # another driver has just stored the same
        number += 1


def load(store: Store, digest: Digest) -> Definition:
    """Read a stored definition by its digest."""
    return Definition.from_document(cast("Json", json.loads(store.get(digest))))


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that differs between two definitions."""

    #: ``step``, ``parameter`` or ``output``.
    what: str
    name: str
    #: ``added``, ``removed``, or the field that differs: ``inputs``, ``options``, ``default``, …
    field: str
    old: Json = None
    new: Json = None


def changes(old: Definition, new: Definition) -> list[Change]:
    """Return how two definitions differ: steps, parameters, what the pipeline gives."""
    before, after = old.document(), new.document()
    found: list[Change] = []
    for kind, what in (("parameters", "parameter"), ("steps", "step")):
        found.extend(_changes(what, _by_name(before[kind]), _by_name(after[kind])))
    if before["output"] != after["output"]:
        found.append(Change("output", "", "changed", before["output"], after["output"]))
    return found


def _by_name(items: Json) -> dict[str, dict[str, Json]]:
    return {str(each["name"]): each for each in cast("list[dict[str, Json]]", items)}


def _changes(what: str, old: dict[str, dict[str, Json]], new: dict[str, dict[str, Json]]) -> list[Change]:
    found = [Change(what, name, "removed") for name in old if name not in new]
    for name, now in new.items():
        was = old.get(name)
        if was is None:
            found.append(Change(what, name, "added"))
            continue
        fields = [field for field in dict.fromkeys([*was, *now]) if was.get(field) != now.get(field)]
        found.extend(Change(what, name, field, was.get(field), now.get(field)) for field in fields)
    return found


def _path(name: str, number: int) -> str:
    return f"pipelines/{name}/{number:06d}"


def _read(store: Store, name: str, child: str) -> Version:
    path = f"pipelines/{name}/{child}"
    try:
        entry = json.loads(store.read(path) or b"")
        return Version(
            name,
            int(child),
            entry["definition"],
            entry["bundle"],
            entry["time"],
            entry.get("mac"),
            entry.get("entries") or {},
        )
    except (ValueError, KeyError, TypeError) as error:
        raise Corrupt("the number of a definition cannot be read", facts={"path": path}, hint="hw fsck") from error
