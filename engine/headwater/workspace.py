"""Open a store, a profile and the plugins, and offer the verbs: the only place where the parts are wired."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from headwater import environment, pipelines
from headwater.config import load_profile
from headwater.digest import canonical, digest_bytes
from headwater.errors import PlanMismatch, RequestError
from headwater.selection import Selection, select
from headwater.sources import Sources
from headwater.types import Resources, Retry, RunStatus, parse_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from headwater.author.pipeline import Pipeline
    from headwater.codes import CodeBook
    from headwater.config import Profile
    from headwater.definition import Definition
    from headwater.digest import Json
    from headwater.fingerprint import Project
    from headwater.graph import Graph, Node
    from headwater.index import Index
    from headwater.known import Document, Known
    from headwater.plan import Plan
    from headwater.rebuild import Rebuilder
    from headwater.record import RunRecord
    from headwater.run import RunResult, View
    from headwater.selection import Selected
    from headwater.store import Store
    from headwater.targets import Compiled
    from headwater.trust import Keyring

    Target = str | Path | Pipeline[..., Any] | Definition


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


class Workspace:
    """A project, a profile and a store: where pipelines are compiled, planned, run and asked about.

    ``project``: a folder; by default that of the target, else of the working directory. ``store``: a folder or URL.
    ``backend``: the backend of steps that name none. ``profile``: a name in ``headwater.toml``.
    """

    def __init__(
        self,
        *,
        project: str | Path | None = None,
        store: str | Path | None = None,
        backend: str | None = None,
        profile: str | None = None,
    ) -> None:
        self._given_project = None if project is None else Path(project)
        self._given_store = None if store is None else str(store)
        self._given_backend = backend
        self._given_profile = profile
        self._project: Project | None = None

    # ------------------------------------------------------------------------------------------------------- parts

    @property
    def project(self) -> Project:
        """The project; chosen by the first target, else by the working directory."""
        if self._project is None:
            self._choose_project(None)
        assert self._project is not None  # noqa: S101  chosen above
        return self._project

    @cached_property
    def profile(self) -> Profile:
        """The settings in force."""
        return load_profile(
            self.project.root, name=self._given_profile, store=self._given_store, backend=self._given_backend
        )

    @cached_property
    def store(self) -> Store:
        """The store, made if it is not there."""
        from headwater.store import open_store  # noqa: PLC0415

        return open_store(self.profile.store)

    @cached_property
    def index(self) -> Index:
        """The look-up side of the store's runs, as of its first use."""
        from headwater.index import Index  # noqa: PLC0415

        index = Index.open(self.store)
        index.refresh()
        return index

    @cached_property
    def keyring(self) -> Keyring:
        """The user's own key and those that are trusted."""
        from headwater.trust import Keyring  # noqa: PLC0415

        return Keyring.load()

    @cached_property
    def sources(self) -> Sources:
        """Digests of files outside the store."""
        return Sources()

    def _choose_project(self, target: Target | None) -> None:
        from headwater.fingerprint import find_project  # noqa: PLC0415
        from headwater.targets import project_of  # noqa: PLC0415

        if self._given_project is not None:
            found = find_project(self._given_project)
        elif isinstance(target, str | Path):
            found = project_of(str(target))
        elif target is not None and hasattr(target, "function"):
            file = sys.modules[target.function.__module__].__dict__.get("__file__")
            found = find_project(Path(file) if file else Path.cwd())
        else:
            found = find_project(Path.cwd())
        # Every verb sees a snapshot of its own: code may have been edited since the last one.
        self._project = found

    # ----------------------------------------------------------------------------------------------------- compile

    def compile(self, target: Target, /) -> Compiled:
        """Find a pipeline and draw its graph; nothing is stored and no step runs.

        Raises TargetError or DefinitionError that names file and line.
        """
        from headwater import targets  # noqa: PLC0415
        from headwater.definition import Definition  # noqa: PLC0415

        self._choose_project(target)
        name = str(target) if isinstance(target, str | Path) else ""
        if name and (stored := targets.stored_name(name)) is not None:
            from headwater.replay import load_version  # noqa: PLC0415

            return load_version(self, *stored, target=name)
        found = targets.load_target(name, self.project) if name else cast("Any", target)
        if isinstance(found, Definition):
            with targets.on_path(self.project.root):
                return targets.Compiled(found, targets.functions_of(found), self.project, name)
        drawn = found.compile()
        return targets.Compiled(drawn.definition, drawn.functions, self.project, name)

    def publish(self, target: Target, /) -> pipelines.Version:
        """Store a pipeline's definition with its code; a changed one gets the next version of its name."""
        work = self._prepare(self.compile(target))
        return work.publish()

    # -------------------------------------------------------------------------------------------------- plan and run

    def plan(self, target: Target, /, *, run_options: RunOptions | None = None, **params: object) -> Plan:
        """Say for each step reuse, run or unknown, and why. Runs no step and starts nothing."""
        options = run_options or RunOptions()
        return self._prepare(self.compile(target), options, params).plan()

    def run(self, target: Target, /, *, run_options: RunOptions | None = None, **params: object) -> RunResult:
        """Run a pipeline; what is unchanged is reused. The result tells how it ended, also when steps failed."""
        options = run_options or RunOptions()
        if options.plan is not None:
            params = {}
        return self._prepare(self.compile(target), options, params).run()

    def _prepare(
        self, compiled: Compiled, options: RunOptions | None = None, params: Mapping[str, object] | None = None
    ) -> _Work:
        return _Work(self, compiled, options or RunOptions(), params)

    # -------------------------------------------------------------------------------------------------------- record

    def result(self, run: str) -> RunResult:
        """Return what a run came to. ``latest`` is the newest run; a unique beginning of an id will do."""
        from headwater.record import read_record  # noqa: PLC0415
        from headwater.run import RunResult  # noqa: PLC0415

        record = read_record(self.store, self.find_run(run))
        return RunResult(record, self._load_tree, self._load_document)

    def record(self, run: str) -> RunRecord:
        """Return the record of a run."""
        return self.result(run).record

    def find_run(self, text: str) -> str:
        """Return the full id of a run. Raises RequestError for none, or several, that begin so."""
        from headwater.record import list_runs  # noqa: PLC0415

        runs = list(list_runs(self.store))
        if text in runs:
            return text
        found = runs[-1:] if text == "latest" else [run for run in runs if run.startswith(text)]
        if len(found) == 1:
            return found[0]
        raise RequestError(
            f"there is no run {text!r} in this store" if not found else f"{len(found)} runs begin with {text!r}",
            facts={"store": self.store.url} | ({"found": ", ".join(found[:10])} if found else {}),
            hint="list the runs with: hw runs",
        )

    # ---------------------------------------------------------------------------------------------------- reading

    def fetch(self, digest: str) -> bytes:
        """Return the bytes of an object, also of a small one that travels inside a run's log."""
        from headwater.errors import ObjectMissing  # noqa: PLC0415

        try:
            return self.store.get(digest)
        except ObjectMissing:
            body = self.index.inline(digest)
            if body is None:
                raise
            return body

    def cancel(self, run: str) -> str:
        """Ask the driver of a run, wherever it is, to stop; returns the run's id."""
        found = self.find_run(run)
        status = self.record(found).status
        if status is not RunStatus.RUNNING:
            raise RequestError(f"run {found} is not running: it is {status}", hint="hw runs lists them")
        self.store.create(f"runs/{found}/cancel", b"{}")
        return found

    def _load_tree(self, tree: Json) -> object:
        import tempfile  # noqa: PLC0415

        from headwater.worker.inputs import decode_tree  # noqa: PLC0415

        scratch = Path(tempfile.mkdtemp(prefix="headwater-"))
        return decode_tree(tree, store=self.store, scratch=scratch, load=load_type)

    def _load_document(self, document: Mapping[str, Json]) -> object:
        return self._load_tree({"artifact": dict(document)})

    def read_json(self, document: Document) -> Json:
        """Return the typed JSON that a ``json`` artifact holds."""
        from headwater.artifacts import Artifact, read_json  # noqa: PLC0415

        return read_json(Artifact.from_document(document), self.store)


class _Work:
    """One plan or run in the making: a compiled pipeline with parameters, codes and history."""

    def __init__(
        self, workspace: Workspace, compiled: Compiled, options: RunOptions, params: Mapping[str, object] | None
    ) -> None:
        self.workspace = workspace
        self.compiled = compiled
        self.options = options
        self.profile = workspace.profile
        self.definition = compiled.definition
        self.graph = _configured(compiled.definition.graph, self.profile)
        self._given = params
        self.is_run = False

    @cached_property
    def params(self) -> dict[str, Json]:
        """Parameters as typed JSON."""
        from headwater.parameters import resolve  # noqa: PLC0415

        if self.options.plan is not None:
            return dict(self.options.plan.params)
        given = resolve(self.graph.parameters, words=self.options.words, values=self._given, file=self.options.file)
        chosen = {word.partition("=")[0].partition(".")[0] for word in self.options.words} | set(self._given or {})
        return {name: _absolute(value) if name in chosen else value for name, value in given.items()}

    @cached_property
    def codes(self) -> CodeBook:
        """Fingerprints."""
        from headwater.codes import CodeBook  # noqa: PLC0415
        from headwater.values import load_type  # noqa: PLC0415

        return CodeBook(self.compiled.project, self.compiled.functions, self.workspace.sources, load_type)

    @cached_property
    def selected(self) -> Selected:
        """The steps that were asked for."""
        return select(self.graph, self.options.selection)

    @cached_property
    def known(self) -> Known:
        """What is known before the first step: parameters."""
        from headwater.known import Known  # noqa: PLC0415

        return Known(self.graph.nodes, self.params, read=self.workspace.read_json, ingest=self._ingest)

    def _ingest(self, value: Mapping[str, Json]) -> Document:
        """Return the artifact of a source; a run takes its content into the store, a plan only digests it."""
        from headwater.artifacts import Artifact, Dir, File, describe_value, encode_value, references  # noqa: PLC0415

        kind = cast("str", value["$"])
        path = cast("str", value["path"])
        source = path if "://" in path else str(self.compiled.project.root / path)
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
            if wanted and store.missing(wanted):
                # What was taken in counts: the file may have changed since it was digested.
                found = encode_value(thing, kind, store)
        return found.document()

    @cached_property
    def rebuilder(self) -> Rebuilder:
        """Decides from traces."""
        from headwater.fingerprint import compare  # noqa: PLC0415
        from headwater.history import StoreHistory  # noqa: PLC0415
        from headwater.observed import current  # noqa: PLC0415
        from headwater.rebuild import Rebuilder  # noqa: PLC0415
        from headwater.traces import Traces  # noqa: PLC0415

        workspace = self.workspace
        project = str(self.compiled.project.root)
        history = StoreHistory(
            workspace.index, Traces(workspace.index, workspace.keyring), workspace.store, self.definition.name
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
    def expected(self) -> Mapping[str, float]:
        """Median seconds of each step in earlier runs."""
        return self.workspace.index.durations(self.definition.name)

    @cached_property
    def bundle(self) -> tuple[str, bytes, dict[str, str]]:
        """Digest and bytes of the code bundle, and the entries that were given other names in it."""
        entries = self.codes.entries(self.graph.nodes)
        data = self.codes.bundle(self.graph.nodes).encode()
        return digest_bytes(data), data, entries

    def publish(self) -> pipelines.Version:
        digest, data, _ = self.bundle
        self.workspace.store.put(data)
        return pipelines.publish(self.workspace.store, self.definition, digest)

    def plan(self) -> Plan:
        from headwater.plan import Plan, foresee  # noqa: PLC0415
        from headwater.run.job import backend_of  # noqa: PLC0415

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

    def run(self) -> RunResult:
        from headwater.record import Driver, RunLog, new_run_id  # noqa: PLC0415

        self.is_run = True
        workspace = self.workspace
        _ = self.params, self.selected, self.bundle  # what can be wrong with the request is told before a run exists
        self._check_plan()
        version = self.publish()
        run = new_run_id(workspace.store.now())
        log = RunLog.create(workspace.store, run, Driver.here(), time.time)
        return self.carry_out(log, version.number)

    def carry_out(self, log: Any, version: int | None, *, tried: Mapping[str, int] | None = None) -> RunResult:
        """Run with a log that was opened; return when the run has ended."""
        from headwater.record import events  # noqa: PLC0415
        from headwater.run import Job, Places, Quiet, Signals, execute  # noqa: PLC0415

        workspace = self.workspace
        digest, _, entries = self.bundle
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
            project=self.compiled.project.root,
            bundle=digest,
            view=self.options.view or Quiet(),
            announce=_announcer(self.options.view),
            entries=entries,
            plan=self.options.plan,
            fail_fast=self.options.fail_fast,
            expected=self.expected.get,
            tried=tried or {},
        )
        log.append(events.RUN_STARTED, **self._started(version))
        job.announce("headwater_run_started", run=log.run, pipeline=job.pipeline, params=self.params)
        self._offer(digest, entries)
        places = Places(self.profile.settings, workspace.store.url, str(self.compiled.project.root))
        with Signals(places.inbox):
            execute(job, places, is_cancel_requested=lambda: _is_cancel_requested(workspace.store, log.run))
        if not workspace.store.is_local:
            workspace.index.compact()
        return workspace.result(log.run)

    def _offer(self, bundle: str, entries: Mapping[str, str]) -> None:
        """Let in-process backends call the functions that are loaded here, if they are what was fingerprinted."""
        from headwater.fingerprint import stale_modules  # noqa: PLC0415
        from headwater.worker import offer  # noqa: PLC0415

        if stale_modules(self.compiled.project):
            return
        for name, function in self.compiled.functions.items():
            entry = cast("str", self.graph.nodes[name].call)
            offer(bundle, entries.get(entry, entry), function)

    def _started(self, version: int | None) -> dict[str, Json]:
        """Return the facts of ``run.started``."""
        workspace, project = self.workspace, self.compiled.project
        git, diff = environment.describe_git(project.root)
        data = canonical(environment.describe_environment())
        workspace.store.put_many([part for part in (data, diff) if part])
        return {
            "pipeline": self.definition.name,
            "version": version,
            "definition": self.definition.digest,
            "params": self.params,
            "bundle": self.bundle[0],
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
        case {"$": "file" | "dir", "path": str(path)} if "://" not in path:
            return {**value, "path": str(Path(path).expanduser().absolute())}
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
        from headwater import providers  # noqa: PLC0415

        if not providers.names("hook"):
            return
        from headwater import hooks  # noqa: PLC0415

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


def load_plan(path: Path) -> Plan:
    """Read a saved plan. Raises RequestError for what is none."""
    from headwater.plan import Plan  # noqa: PLC0415

    try:
        return Plan.from_document(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise RequestError(
            f"the plan {path} cannot be read", facts={"because": error}, hint="make one: hw plan TARGET -o plan.json"
        ) from None
