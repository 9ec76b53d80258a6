"""Run what was recorded: a stored version of a pipeline, or a run whose driver stopped, with the code of then.

The recorded code bundle is laid out in the user's cache and imported from there. It is code that another may have
written, so it is executed only if a trusted key signed it.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, cast

from headwater import pipelines
from headwater.bundle import MADE, PROJECT, Bundle
from headwater.errors import RequestError, TrustError
from headwater.fingerprint import Project
from headwater.prepared import Prepared, RunOptions
from headwater.selection import Selection
from headwater.sources import cache_folder
from headwater.targets import Compiled, functions_of
from headwater.types import RunStatus

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headwater.digest import Digest
    from headwater.run import RunResult, View
    from headwater.workspace import Workspace


def load_version(workspace: Workspace, name: str, number: int | None, *, target: str) -> Compiled:
    """Return a stored version of a pipeline with its own code. Raises RequestError for none, TrustError for foreign."""
    version = pipelines.find(workspace.store, name, number)
    return _compiled(workspace, version, target)


def resume(workspace: Workspace, run: str, *, view: View | None = None) -> RunResult:
    """Go on with a run whose driver stopped: same definition, parameters and code. What it did is not done again."""
    from headwater.record import Driver, RunLog

    record = workspace.record(run)
    if record.status is not RunStatus.INTERRUPTED:
        raise RequestError(
            f"run {record.run} cannot be resumed: it is {record.status}",
            hint="hw run starts a new one; what is unchanged is reused",
        )
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
    compiled = _compiled(workspace, version, "")
    selection = cast("Mapping[str, list[str]]", facts.get("selection") or {})
    options = RunOptions(
        selection=Selection(**{name: tuple(steps) for name, steps in selection.items()}),
        view=view,
        command=tuple(sys.argv),
    )
    prepared = Prepared(workspace, compiled, options, None, params=record.params)
    prepared.is_run = True
    log = RunLog.resume(workspace.store, record.run, Driver.here(), time.time)
    tried = {name: len(step.attempts) for name, step in record.steps.items()}
    return prepared.carry_out(log, version.number, tried=tried)


def _compiled(workspace: Workspace, version: pipelines.Version, target: str) -> Compiled:
    bundle, mac = version.bundle, version.mac
    if workspace.keyring.check(bundle.encode(), mac) not in ("own", "trusted"):
        signer = mac.get("key") if isinstance(mac, dict) else None
        raise TrustError(
            "this code was stored by a key that you do not trust, so it is not executed",
            facts={"bundle": bundle, "signed by": signer or "nobody"},
            hint="ask its owner for `hw trust export`, and add it with: hw trust add FILE",
        )
    loaded = pipelines.load(workspace.store, version.definition)
    code = _lay_out(workspace, bundle)
    roots = [code / MADE, code / PROJECT, *sorted(place for place in code.iterdir() if place.name.startswith("pkg"))]
    for place in reversed([root for root in roots if root.is_dir()]):
        sys.path.insert(0, str(place))
    functions = functions_of(loaded, version.entries)
    return Compiled(loaded, functions, Project(code / PROJECT), target, workspace.project.root, version.entries, bundle)


def _lay_out(workspace: Workspace, bundle: Digest) -> Path:
    """Write a bundle's files below the user's cache, whole or not at all."""
    place = cache_folder() / "code" / bundle
    if place.is_dir():
        return place
    place.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f"{bundle[:16]}-", dir=place.parent))
    (fresh / PROJECT).mkdir()
    for name, data in Bundle.decode(workspace.store.get(bundle)).files.items():
        path = fresh / name.replace(":", "-", 1)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    try:
        os.replace(fresh, place)  # noqa: PTH105  says what is meant: whole or not at all
    except OSError:
        shutil.rmtree(fresh, ignore_errors=True)  # another process was faster
    return place
