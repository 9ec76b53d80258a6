"""Begin a run of a request, or go on with one whose driver stopped."""

from __future__ import annotations

import sys
import time
from dataclasses import asdict
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from headwater import environment, pipelines
from headwater.digest import canonical, digest_bytes
from headwater.errors import RequestError
from headwater.evidence import Evidence, code_book, pack
from headwater.planner import check
from headwater.replay import load_recorded
from headwater.request import RunOptions, make_request
from headwater.selection import Selection
from headwater.types import RunStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from headwater.digest import Json
    from headwater.evidence import Packed
    from headwater.opened import Opened
    from headwater.record import RunLog, RunRecord
    from headwater.request import Request
    from headwater.run import Places, View
    from headwater.store import Store
    from headwater.targets import Compiled
    from headwater.types import RunId


def publish(opened: Opened, compiled: Compiled) -> pipelines.Version:
    """Store a definition with its code, and number it."""
    return _publish(opened, compiled, pack(compiled, code_book(compiled, opened.sources), opened.store))


def _publish(opened: Opened, compiled: Compiled, packed: Packed) -> pipelines.Version:
    opened.store.put(packed.data)
    definition = compiled.definition
    vouched = pipelines.signed_code(
        definition.name, definition=definition.digest, bundle=packed.digest, entries=packed.entries
    )
    mac = opened.keyring.sign(vouched)
    return pipelines.publish(opened.store, definition, packed.digest, mac=mac, entries=packed.entries)


def run(opened: Opened, request: Request) -> RunId:
    """Begin a run and carry it out; what can be wrong with the request is told before the run exists."""
    from headwater.record import Driver, RunLog, new_run_id

    evidence = Evidence(opened, request, is_run=True)
    packed = evidence.packed
    check(evidence)
    places = _places(evidence)
    for name in request.backends:
        places.capabilities(name)
    version = _publish(opened, request.compiled, packed)
    log = RunLog.create(opened.store, new_run_id(opened.store.now()), Driver.here(), time.time)
    return _carry_out(evidence, log, places, version.number)


def resume(opened: Opened, record: RunRecord, *, view: View | None = None) -> RunId:
    """Go on with a run whose driver stopped: same definition, parameters and code. What it did is not done again.

    Raises RequestError for a run that is under way or has ended, TrustError for code that nobody trusted signed.
    """
    from headwater.record import Driver, RunLog

    if record.status is not RunStatus.INTERRUPTED:
        raise RequestError(
            f"run {record.run} cannot be resumed: it is {record.status}",
            hint="hw run starts a new one; what is unchanged is reused",
        )
    selection = cast("Mapping[str, list[str]]", record.facts.get("selection") or {})
    options = RunOptions(
        selection=Selection(**{name: tuple(steps) for name, steps in selection.items()}),
        fail_fast=record.facts.get("fail_fast") is not False,
        view=view,
        command=tuple(sys.argv),
    )
    compiled = load_recorded(opened, record)
    request = make_request(compiled, opened.profile, options, params=record.params)
    evidence = Evidence(opened, request, is_run=True)
    places = _places(evidence)
    log = RunLog.resume(opened.store, record.run, Driver.here(), time.time)
    tried = {name: len(step.attempts) for name, step in record.steps.items()}
    return _carry_out(evidence, log, places, cast("int | None", record.version), tried=tried)


def _places(evidence: Evidence) -> Places:
    """Return where attempts will happen; nothing is started."""
    from headwater.run import Places

    request = evidence.request
    return Places(request.profile.settings, evidence.opened.store.url, str(request.compiled.root))


def _carry_out(
    evidence: Evidence, log: RunLog, places: Places, version: int | None, *, tried: Mapping[str, int] | None = None
) -> RunId:
    """Run with a log that was opened; return when the run has ended."""
    from headwater.history import keep
    from headwater.record import events
    from headwater.run import Job, Quiet, Signals, execute, logged

    opened, request = evidence.opened, evidence.request
    store, view = opened.store, request.options.view
    job = Job(
        run=log.run,
        pipeline=request.definition.name,
        graph=request.graph,
        definition=request.definition.digest,
        known=evidence.known,
        rebuilder=evidence.rebuilder,
        selected=request.selected,
        profile=request.profile,
        store=store,
        log=log,
        keyring=opened.keyring,
        project=request.compiled.root,
        bundle=evidence.packed.digest,
        saviour=evidence.saviour,
        view=logged(view or Quiet()),
        announce=_announcer(view),
        entries=evidence.packed.entries,
        set_here=_set_here(request, evidence.packed),
        plan=request.options.plan,
        fail_fast=request.options.fail_fast,
        expected=evidence.expected.get,
        tried=tried or {},
    )
    surroundings, facts = _started(evidence, log.run, version)
    store.put_many(surroundings)
    log.append(events.RUN_STARTED, **facts)
    keep([evidence.packed.data, canonical(request.definition.document()), *surroundings], store, evidence.saviour)
    job.announce("headwater_run_started", run=log.run, pipeline=job.pipeline, params=request.params)
    with Signals(places.inbox, places.interrupt):
        execute(job, places, is_cancel_requested=lambda: _is_cancel_requested(store, log.run))
    if not store.is_local:
        opened.index.compact()
    return log.run


def _set_here(request: Request, packed: Packed) -> Callable[[], frozenset[str]]:
    """Return what names the constants that were set in this process alone; it is asked when a first step starts.

    Backends of this process may then call the functions that are loaded here, if they are what was fingerprinted.
    """

    @cache
    def look() -> frozenset[str]:
        from headwater.fingerprint import constants_set_here, outdated_modules
        from headwater.worker import offer

        compiled = request.compiled
        if not outdated_modules(compiled.project):
            for name, function in compiled.functions.items():
                entry = cast("str", request.graph.nodes[name].call)
                offer(packed.digest, packed.entries.get(entry, entry), function, reads=compiled.reads)
        return constants_set_here(compiled.project)

    return look


def _started(evidence: Evidence, run: RunId, version: int | None) -> tuple[list[bytes], dict[str, Json]]:
    """Return what is stored about a run's environment, and the facts of ``run.started``."""
    request, packed = evidence.request, evidence.packed
    compiled = request.compiled
    git, diff = environment.describe_git(compiled.root)
    data = canonical(environment.describe_environment())
    definition = request.definition
    vouched = pipelines.signed_code(
        definition.name, definition=definition.digest, bundle=packed.digest, entries=packed.entries, run=run
    )
    facts: dict[str, Json] = {
        "pipeline": request.definition.name,
        "version": version,
        "definition": request.definition.digest,
        "params": dict(request.params),
        "bundle": packed.digest,
        "entries": dict(packed.entries),
        "bundle_mac": evidence.opened.keyring.sign(vouched),
        "project": str(compiled.root),
        "profile": request.profile.name,
        "backend": request.profile.backend,
        "fail_fast": request.options.fail_fast,
        "target": compiled.target,
        "command": list(request.options.command),
        "order": list(request.graph.nodes),
        "git": git,
        "files": {source.label: source.digest for source in compiled.project.files_used()},
        "environment": digest_bytes(data),
        "selection": {name: list(steps) for name, steps in asdict(request.options.selection).items()},
    }
    return [part for part in (data, diff) if part], facts


def _is_cancel_requested(store: Store, run: str) -> bool:
    return store.read(f"runs/{run}/cancel") is not None


def _announcer(view: View | None) -> Callable[..., None]:
    """Return what calls a hook by its name; listeners are loaded when the first is called."""
    made: list[Any] = []

    def announce(name: str, **facts: object) -> None:
        from headwater import providers

        if not providers.names("hook"):
            return
        from headwater import hooks

        if not made:
            made.append(hooks.manager())
        hooks.call(getattr(made[0].hook, name), view.told if view else lambda _: None, **facts)

    return announce
