"""One plan or run in the making: a compiled pipeline with parameters, codes and history."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from headwater import environment, pipelines
from headwater.digest import canonical, digest_bytes
from headwater.errors import PlanMismatch, RequestError
from headwater.selection import Selection, select
from headwater.types import Resources, Retry, parse_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from headwater.codes import CodeBook
    from headwater.condemned import Saviour
    from headwater.config import Profile
    from headwater.digest import Json
    from headwater.expr import Expr
    from headwater.graph import Graph, Node
    from headwater.known import Document, Known
    from headwater.plan import Plan
    from headwater.rebuild import Rebuilder
    from headwater.record import RunLog
    from headwater.run import Places, RunResult, View
    from headwater.selection import Selected
    from headwater.store import Store
    from headwater.targets import Compiled
    from headwater.workspace import Workspace


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How a run is carried out; none of it changes a result."""

    selection: Selection = field(default_factory=Selection)
    #: Stop starting steps once one has failed; else go on with all that does not depend on it.
    fail_fast: bool = True
    #: Parameters as text, ``name=value``, as on the command line.
    words: Sequence[str] = ()
    #: Parameters from a file.
    file: Mapping[str, object] = field(default_factory=dict)
    #: Do what this plan says and nothing else.
    plan: Plan | None = None
    view: View | None = None
    #: The command line, for the record.
    command: Sequence[str] = ()


class Prepared:
    """What a plan and a run have in common; each part is made when it is first needed."""

    def __init__(
        self,
        workspace: Workspace,
        compiled: Compiled,
        options: RunOptions,
        given: Mapping[str, object] | None,
        *,
        params: Mapping[str, Json] | None = None,
    ) -> None:
        self.workspace = workspace
        self.compiled = compiled
        self.options = options
        self.profile = workspace.profile
        self.definition = compiled.definition
        self.graph = _configured(compiled.definition.graph, self.profile)
        self._given = given
        self._params = params
        self.is_run = False
        #: What is stored about the environment of a run.
        self._surroundings: list[bytes] = []

    @cached_property
    def params(self) -> dict[str, Json]:
        """Parameters as typed JSON."""
        from headwater.parameters import resolve

        if self._params is not None:
            return dict(self._params)
        if self.options.plan is not None:
            return dict(self.options.plan.params)
        given = resolve(self.graph.parameters, words=self.options.words, values=self._given, file=self.options.file)
        chosen = {word.partition("=")[0].partition(".")[0] for word in self.options.words} | set(self._given or {})
        return {name: _absolute(value) if name in chosen else value for name, value in given.items()}

    @cached_property
    def codes(self) -> CodeBook:
        """Fingerprints."""
        from headwater.codes import CodeBook
        from headwater.values import load_type

        return CodeBook(self.compiled.project, self.compiled.functions, self.workspace.sources, load_type)

    @cached_property
    def selected(self) -> Selected:
        """The steps that were asked for."""
        return select(self.graph, self.options.selection)

    @cached_property
    def known(self) -> Known:
        """What is known before the first step: parameters."""
        from headwater.known import Known

        return Known(self.graph.nodes, self.params, read=self.workspace.read_json, ingest=self._ingest)

    def _ingest(self, value: Mapping[str, Json]) -> Document:
        """Return the artifact of a source; a run takes its content into the store, a plan only digests it."""
        from headwater.artifacts import Artifact, Dir, File, describe_value, encode_value, references

        kind = cast("str", value["$"])
        path = cast("str", value["path"])
        source = path if "://" in path else str(self.compiled.root / path)
        if "://" not in path and not Path(source).exists():
            raise RequestError(
                f"there is no {'file' if kind == 'file' else 'folder'} {path}",
                facts={"looked for": source},
                hint="check the parameter or the path in the pipeline; it is relative to the project's folder",
            )
        thing = File(source) if kind == "file" else Dir(source)
        found: Artifact = describe_value(thing, kind, digest_file=self.workspace.sources.digest)
        if self.is_run:
            store = self.workspace.store
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

        workspace = self.workspace
        project = str(self.compiled.root)
        history = StoreHistory(
            workspace.index,
            Traces(workspace.index, workspace.keyring),
            workspace.store,
            self.definition.name,
            saviour=self.saviour if self.is_run else None,
        )
        return Rebuilder(
            self.codes,
            history,
            observe=lambda label: current(label, project),
            now=workspace.store.now,
            compare_code=lambda old, new: [change.text for change in compare(cast("Any", old), cast("Any", new))],
            forced=self.selected.is_forced,
        )

    @cached_property
    def saviour(self) -> Saviour:
        """Keeps the objects that this run relies on from being removed meanwhile."""
        from headwater.condemned import Saviour

        return Saviour(self.workspace.store)

    @cached_property
    def expected(self) -> Mapping[str, float]:
        """Median seconds of each step in earlier runs."""
        return self.workspace.index.durations(self.definition.name)

    @cached_property
    def bundle(self) -> tuple[str, bytes, dict[str, str]]:
        """Digest and bytes of the code bundle, and the entries that were given other names in it."""
        if self.compiled.bundle is not None:
            data = self.workspace.store.get(self.compiled.bundle)
            return self.compiled.bundle, data, dict(self.compiled.entries or {})
        entries = self.codes.entries(self.graph.nodes)
        data = self.codes.bundle(self.graph.nodes).encode()
        return digest_bytes(data), data, entries

    def publish(self) -> pipelines.Version:
        """Store the definition with its code, and number it."""
        digest, data, entries = self.bundle
        store = self.workspace.store
        store.put(data)
        mac = self.workspace.keyring.sign(digest.encode())
        return pipelines.publish(store, self.definition, digest, mac=mac, entries=entries)

    def plan(self) -> Plan:
        """Say what a run would do."""
        from headwater.plan import Plan, foresee
        from headwater.run.job import backend_of

        self._check_backends()
        steps = foresee(
            self.graph,
            self.known,
            self.rebuilder,
            self.selected,
            backend_of=lambda node: backend_of(node, self.profile),
            expected=self.expected.get,
        )
        selection = self.options.selection
        return Plan(
            pipeline=self.definition.name,
            definition=self.definition.digest,
            bundle=self.bundle[0],
            params=self.params,
            steps=steps,
            target=self.compiled.target,
            selection={
                "only": list(selection.only),
                "start": list(selection.start),
                "until": list(selection.until),
                "force": list(selection.force),
            },
        )

    def _check_plan(self) -> None:
        from headwater.plan import agree

        plan = self.options.plan
        if plan is None:
            return
        for what, planned, now in (
            ("pipeline's definition", plan.definition, self.definition.digest),
            ("project's code", plan.bundle, self.bundle[0]),
        ):
            if planned != now:
                raise PlanMismatch(
                    f"the {what} changed after the plan was made",
                    facts={"planned": planned[:16], "now": now[:16]},
                    hint=f"plan again: hw plan {plan.target or 'TARGET'} -o plan.json",
                )
        # Everything else that a plan was made from: files, the environment, what the store holds.
        again = Prepared(self.workspace, self.compiled, replace(self.options, plan=None), None, params=self.params)
        for step in again.plan():
            agree(plan, step)

    def run(self) -> RunResult:
        """Begin a run and carry it out."""
        from headwater.record import Driver, RunLog, new_run_id

        self.is_run = True
        workspace = self.workspace
        # What can be wrong with the request is told before a run exists.
        _ = self.params, self.selected, self.bundle
        self._check_plan()
        self._check_backends()
        for name in self._backends:
            self.places.capabilities(name)
        self._check_sources()
        version = self.publish()
        run = new_run_id(workspace.store.now())
        log = RunLog.create(workspace.store, run, Driver.here(), time.time)
        return self.carry_out(log, version.number)

    @cached_property
    def places(self) -> Places:
        """Where attempts will happen; nothing is started."""
        from headwater.run import Places

        return Places(self.profile.settings, self.workspace.store.url, str(self.compiled.root))

    @cached_property
    def _backends(self) -> tuple[str, ...]:
        """The backends that steps of this pipeline name."""
        from headwater.run.job import backend_of

        found = {backend_of(node, self.profile) for node in self.graph.nodes.values()}
        return tuple(sorted(name for name in found if name is not None))

    def _check_backends(self) -> None:
        """Raise ProviderError for a backend that nobody provides; nothing is imported for one that is there."""
        from headwater import providers

        for name in self._backends:
            if name not in providers.names("backend"):
                providers.find("backend", name)

    def _check_sources(self) -> None:
        """Raise RequestError for a file that is not there and that a step is sure to take.

        What a condition may leave out is looked for when its step is decided.
        """
        from headwater.expr import Const, Either, Param, parts
        from headwater.graph import expressions

        def certain(expr: Expr) -> Iterator[Const | Param]:
            if isinstance(expr, Const | Param):
                yield expr
            elif not isinstance(expr, Either):
                for part in parts(expr):
                    yield from certain(part)

        for node in self.graph.nodes.values():
            if node.guards or node.name not in self.selected.runnable:
                continue
            for name, expr in expressions(node):
                for part in certain(expr):
                    try:
                        self.known.tree(part)
                    except RequestError as error:
                        taken = f"parameter {part.name}" if isinstance(part, Param) else f"input {name}"
                        facts = {"step": node.name, "named by": taken, "line": node.line} | dict(error.facts)
                        raise RequestError(error.sentence, facts=facts, hint=error.hint) from None

    def carry_out(self, log: RunLog, version: int | None, *, tried: Mapping[str, int] | None = None) -> RunResult:
        """Run with a log that was opened; return when the run has ended."""
        from headwater.history import keep
        from headwater.record import events
        from headwater.run import Job, Quiet, Signals, execute, logged

        workspace = self.workspace
        digest, code, entries = self.bundle
        job = Job(
            run=log.run,
            pipeline=self.definition.name,
            graph=self.graph,
            definition=self.definition.digest,
            known=self.known,
            rebuilder=self.rebuilder,
            selected=self.selected,
            profile=self.profile,
            store=workspace.store,
            log=log,
            keyring=workspace.keyring,
            project=self.compiled.root,
            bundle=digest,
            saviour=self.saviour,
            view=logged(self.options.view or Quiet()),
            announce=_announcer(self.options.view),
            entries=entries,
            set_here=lambda: self._set_here,
            plan=self.options.plan,
            fail_fast=self.options.fail_fast,
            expected=self.expected.get,
            tried=tried or {},
        )
        log.append(events.RUN_STARTED, **self._started(version))
        keep([code, canonical(self.definition.document()), *self._surroundings], workspace.store, self.saviour)
        job.announce("headwater_run_started", run=log.run, pipeline=job.pipeline, params=self.params)
        places = self.places
        with Signals(places.inbox, places.interrupt):
            execute(job, places, is_cancel_requested=lambda: _is_cancel_requested(workspace.store, log.run))
        if not workspace.store.is_local:
            workspace.index.compact()
        return workspace.result(log.run)

    @cached_property
    def _set_here(self) -> frozenset[str]:
        """Constants that were set in this process alone; looked for when a first step is to be performed.

        In-process backends may call the functions that are loaded here, if they are what was fingerprinted.
        """
        from headwater.fingerprint import constants_set_here, outdated_modules
        from headwater.worker import offer

        bundle, _, entries = self.bundle
        if not outdated_modules(self.compiled.project):
            for name, function in self.compiled.functions.items():
                entry = cast("str", self.graph.nodes[name].call)
                offer(bundle, entries.get(entry, entry), function, reads=self.compiled.reads)
        return constants_set_here(self.compiled.project)

    def _started(self, version: int | None) -> dict[str, Json]:
        """Return the facts of ``run.started``."""
        workspace, project = self.workspace, self.compiled.project
        git, diff = environment.describe_git(self.compiled.root)
        data = canonical(environment.describe_environment())
        self._surroundings = [part for part in (data, diff) if part]
        workspace.store.put_many(self._surroundings)
        return {
            "pipeline": self.definition.name,
            "version": version,
            "definition": self.definition.digest,
            "params": self.params,
            "bundle": self.bundle[0],
            "entries": cast("Json", self.bundle[2]),
            "bundle_mac": workspace.keyring.sign(self.bundle[0].encode()),
            "profile": self.profile.name,
            "target": self.compiled.target,
            "command": list(self.options.command),
            "order": list(self.graph.nodes),
            "git": git,
            "files": {source.label: source.digest for source in project.files_used()},
            "environment": digest_bytes(data),
            "selection": {
                "only": list(self.options.selection.only),
                "start": list(self.options.selection.start),
                "until": list(self.options.selection.until),
                "force": list(self.options.selection.force),
            },
        }


def _absolute(value: Json) -> Json:
    """Make the paths of files that were given for this run absolute: they are relative to the working directory."""
    match value:
        case {"$": "file" | "dir" as kind, "path": str(path)} if "://" not in path:
            return {"$": kind, "path": str(Path(path).expanduser().absolute())}
        case dict(inside):
            return {name: _absolute(inner) for name, inner in inside.items()}
        case list(items):
            return [_absolute(item) for item in items]
        case _:
            return value


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


def _configured(graph: Graph, profile: Profile) -> Graph:
    """Return a graph with the profile's word on where and how steps run; no key depends on it."""
    return replace(graph, nodes={name: _with_profile(node, profile) for name, node in graph.nodes.items()})


def _with_profile(node: Node, profile: Profile) -> Node:
    override = profile.for_step(node.name)
    if not override:
        return node
    options = node.options
    if "resources" in override:
        options = replace(options, resources=Resources(**cast("Any", override["resources"])))
    if "timeout" in override:
        options = replace(options, timeout=parse_seconds(cast("str", override["timeout"])))
    if "retry" in override:
        options = replace(options, retry=Retry(cast("int", override["retry"])))
    if "priority" in override:
        options = replace(options, priority=cast("int", override["priority"]))
    return replace(node, options=options)
