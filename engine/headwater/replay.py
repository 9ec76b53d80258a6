"""Code that was recorded: that of a stored version of a pipeline, or of a run whose driver stopped.

The recorded code bundle is laid out in the user's cache and imported from there. It is code that another may have
written, so it is executed only if a trusted key signed it.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, cast

from headwater import pipelines
from headwater.bundle import MADE, PROJECT, Bundle
from headwater.errors import TrustError
from headwater.fingerprint import Project
from headwater.sources import cache_folder
from headwater.targets import Compiled, functions_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headwater.digest import Digest
    from headwater.opened import Opened
    from headwater.record import RunRecord
    from headwater.store import Store
    from headwater.trust import Standing


def load_version(opened: Opened, name: str, number: int | None, *, target: str) -> Compiled:
    """Return a stored version of a pipeline with its own code. Raises RequestError for none, TrustError for foreign."""
    version = pipelines.find(opened.store, name, number)
    vouched = pipelines.signed_code(
        version.name, definition=version.definition, bundle=version.bundle, entries=version.entries
    )
    return _compiled(opened, version, target, standing=opened.keyring.check(vouched, version.mac))


def load_recorded(opened: Opened, record: RunRecord) -> Compiled:
    """Return the pipeline of a run with the code of then. Raises TrustError where nobody trusted signed it."""
    facts = record.facts
    version = pipelines.Version(
        record.pipeline,
        cast("int", record.version),
        record.definition,
        str(facts["bundle"]),
        record.started,
        facts.get("bundle_mac"),
        cast("Mapping[str, str]", facts.get("entries") or {}),
    )
    standing = pipelines.standing(record, opened.keyring)
    return _compiled(opened, version, str(facts.get("target") or ""), standing=standing)


def _compiled(opened: Opened, version: pipelines.Version, target: str, *, standing: Standing) -> Compiled:
    bundle, mac = version.bundle, version.mac
    if standing not in ("own", "trusted"):
        signer = mac.get("key") if isinstance(mac, dict) else None
        raise TrustError(
            "this code was stored by a key that you do not trust, so it is not executed",
            facts={"bundle": bundle, "signed by": signer or "nobody"},
            hint="ask its owner for `hw trust export`, and add it with: hw trust add FILE",
        )
    loaded = pipelines.load(opened.store, version.definition)
    code = _lay_out(opened.store, bundle)
    roots = [code / MADE, code / PROJECT, *sorted(place for place in code.iterdir() if place.name.startswith("pkg"))]
    for place in reversed([root for root in roots if root.is_dir()]):
        sys.path.insert(0, str(place))
    functions = functions_of(loaded, version.entries)
    return Compiled(loaded, functions, Project(code / PROJECT), target, opened.root, version.entries, bundle)


def _lay_out(store: Store, bundle: Digest) -> Path:
    """Write a bundle's files below the user's cache, whole or not at all."""
    place = cache_folder() / "code" / bundle
    if place.is_dir():
        return place
    place.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f"{bundle[:16]}-", dir=place.parent))
    (fresh / PROJECT).mkdir()
    for name, data in Bundle.decode(store.get(bundle)).files.items():
        path = fresh / name.replace(":", "-", 1)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    try:
        os.replace(fresh, place)  # noqa: PTH105  says what is meant: whole or not at all
    except OSError:
        shutil.rmtree(fresh, ignore_errors=True)  # another process was faster
    return place
