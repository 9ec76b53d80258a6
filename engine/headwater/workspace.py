"""Open a store, a profile and the plugins, and offer the verbs: the only place where the parts are wired."""

from __future__ import annotations

import json
import shlex
import sys
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from headwater import elsewhere
from headwater.errors import RequestError
from headwater.opened import Opened
from headwater.request import RunOptions, make_request
from headwater.types import RunStatus

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headwater.artifacts import Artifact
    from headwater.author.pipeline import Pipeline
    from headwater.config import Profile
    from headwater.definition import Definition
    from headwater.digest import Json
    from headwater.fingerprint import Project
    from headwater.index import Index
    from headwater.lineage import Difference, Lineage, Start
    from headwater.pipelines import Version
    from headwater.plan import Plan
    from headwater.record import RunRecord, StepRecord
    from headwater.rehearsal import Scene
    from headwater.request import Request
    from headwater.run import Reader, RunResult, View
    from headwater.store import Store
    from headwater.targets import Compiled
    from headwater.trust import Keyring

    #: What may be planned and run: TARGET as text, a pipeline, a definition.
    Target: TypeAlias = str | Path | Pipeline[..., Any] | Definition


class Workspace:
    """A project, a profile and a store: where pipelines are compiled, planned, run and asked about.

    ``project``: a folder; by default that of the target, else of the working directory. ``store``: a folder or URL.
    ``backend``: the backend of steps that name none. ``profile``: a name in ``headwater.toml``.
    Without ``create`` a store that is not there is an error.
    """

    def __init__(
        self,
        *,
        project: str | Path | None = None,
        store: str | Path | None = None,
        backend: str | None = None,
        profile: str | None = None,
        create: bool = True,
    ) -> None:
        self._creates = create
        self._given_project = None if project is None else Path(project)
        self._given_store = None if store is None else str(store)
        self._given_backend = backend
        self._given_profile = profile
        self._project: Project | None = None
        #: This process was started for one request: what it has loaded is what the files say.
        self.is_fresh = False

    # ------------------------------------------------------------------------------------------------------- parts

    @property
    def project(self) -> Project:
        """The project; chosen by the first target, else by the working directory."""
        if self._project is None:
            self._choose_project(None)
        assert self._project is not None
        return self._project

    @cached_property
    def opened(self) -> Opened:
        """Settings, store, index and keys of the project that was chosen first."""
        return self._open(self.project.root, backend=self._given_backend, profile=self._given_profile)

    def _open(self, root: Path, *, backend: str | None, profile: str | None, store: str | None = None) -> Opened:
        chosen = store or self._given_store
        return Opened(root, store=chosen, backend=backend, profile=profile, create=self._creates)

    @property
    def profile(self) -> Profile:
        """The settings in force."""
        return self.opened.profile

    @property
    def store(self) -> Store:
        """The store, made if it is not there."""
        return self.opened.store

    @property
    def index(self) -> Index:
        """The look-up side of the store's runs, as of now."""
        index = self.opened.index
        index.refresh()  # a notebook's workspace outlives runs, its own and those of others
        return index

    @property
    def keyring(self) -> Keyring:
        """The user's own key and those that are trusted."""
        return self.opened.keyring

    def _choose_project(self, target: Target | None) -> None:
        from headwater.fingerprint import find_project
        from headwater.targets import project_of

        if self._given_project is not None:
            found = find_project(self._given_project)
        elif isinstance(target, str | Path):
            found = project_of(str(target))
        else:
            function = getattr(target, "function", None)
            file = getattr(sys.modules.get(getattr(function, "__module__", "")), "__file__", None)
            found = find_project(Path(file) if file else Path.cwd())
        # Every verb sees a snapshot of its own: code may have been edited since the last one.
        self._project = found

    # ----------------------------------------------------------------------------------------------------- compile

    def compile(self, target: Target, /) -> Compiled:
        """Find a pipeline and draw its graph; nothing is stored and no step runs.

        Raises TargetError or DefinitionError that names file and line.
        """
        from headwater import targets
        from headwater.definition import Definition

        self._choose_project(target)
        name = str(target) if isinstance(target, str | Path) else ""
        if name and (stored := targets.stored_name(name)) is not None:
            from headwater.replay import load_version

            return load_version(self.opened, *stored, target=name)
        reads = None
        if name:
            from headwater.fingerprint import drop_outdated_bytecode
            from headwater.worker.observe import importing

            # Before: what the engine looks at is no read of the modules'.
            drop_outdated_bytecode(self.project)
            with importing(str(self.project.root)) as reads:
                found: object = targets.load_target(name, self.project)
        else:
            found = target
        if isinstance(found, Definition):
            with targets.on_path(self.project.root):
                return targets.Compiled(found, targets.functions_of(found), self.project, name, self.project.root)
        drawn = targets.draw(cast("Pipeline[..., object]", found))
        return targets.Compiled(drawn.definition, drawn.functions, self.project, name, self.project.root, reads=reads)

    def publish(self, target: Target, /) -> Version:
        """Store a pipeline's definition with its code; a changed one gets the next version of its name."""
        from headwater import runner

        return runner.publish(self.opened, self.compile(target))

    # -------------------------------------------------------------------------------------------------- plan and run

    def plan(self, target: Target, /, *, run_options: RunOptions | None = None, **params: object) -> Plan:
        """Say for each step reuse, run or unknown, and why. Runs no step and starts nothing.

        Raises TargetError where it is asked for while the engine imports the file that asks.
        """
        from headwater.targets import refuse_while_imported

        refuse_while_imported()
        options = run_options or RunOptions()
        if (stale := self._outdated(target)) is not None:
            from headwater.plan import Plan

            return Plan.from_document(cast("Any", self._ask("plan", target, stale, options, params)))
        from headwater.evidence import Evidence
        from headwater.planner import make_plan

        return make_plan(Evidence(self.opened, self._request(target, options, params)))

    def run(self, target: Target, /, *, run_options: RunOptions | None = None, **params: object) -> RunResult:
        """Run a pipeline; what is unchanged is reused. The result tells how it ended, also when steps failed.

        Raises TargetError where it is asked for while the engine imports the file that asks.
        """
        from headwater.targets import refuse_while_imported

        refuse_while_imported()
        options = run_options or RunOptions()
        if options.plan is not None:
            params = {}
        if (stale := self._outdated(target)) is not None:
            return self.result(str(self._ask("run", target, stale, options, params)))
        from headwater import runner

        return self.result(runner.run(self.opened, self._request(target, options, params)))

    def _request(self, target: Target, options: RunOptions, params: Mapping[str, object]) -> Request:
        compiled = self.compile(target)
        return make_request(compiled, self.profile, options, params)

    def _outdated(self, target: Target) -> list[Path] | None:
        """Return the sources of which this process has, or would have, something else loaded; None where all is well.

        Code that was recorded has modules of the same names as the project's, so it never comes into a process that
        goes on to other requests.
        """
        from headwater import targets
        from headwater.fingerprint import outdated_modules
        from headwater.worker.surroundings import are_surroundings_current

        self._choose_project(target)
        if self.is_fresh:
            return None
        if isinstance(target, str | Path) and not are_surroundings_current(str(self.project.root)):
            return []
        if isinstance(target, str) and targets.stored_name(target) is not None:
            return []
        return outdated_modules(self.project) or None

    def _ask(
        self, verb: str, target: Target, stale: list[Path], options: RunOptions, params: Mapping[str, object]
    ) -> Json:
        """Have a process that loads the code as it is now plan or run."""
        root = self._given_project if verb == "resume" else self.project.root
        chosen: dict[str, object] = {
            "store": self.store.url,
            "backend": self._given_backend,
            "profile": self._given_profile,
            "project": None if root is None else str(root),
        }
        return elsewhere.ask(verb, target, stale, options, params, workspace=chosen)

    def resume(self, run: str, *, view: View | None = None) -> RunResult:
        """Go on with a run whose driver stopped: code, parameters, project, profile and backend of then.

        What this workspace was given itself (project, backend, profile) stands instead of what was recorded.
        """
        from headwater import runner

        if not self.is_fresh:
            return self.result(str(self._ask("resume", self.find_run(run), [], RunOptions(), {})))
        record = self.record(run)
        return self.result(runner.resume(self._opened_as(record), record, view=view))

    def _opened_as(self, record: RunRecord) -> Opened:
        """Return the settings of a run; its project's folder where that is on this machine."""
        facts = record.facts
        root = Path(str(facts.get("project") or self.project.root))
        if self._given_project is not None or not root.is_dir():
            root = self.project.root
        profile = self._given_profile or (name if (name := facts.get("profile")) != "default" else None)
        backend = self._given_backend or facts.get("backend")
        return self._open(
            root, store=self.store.url, backend=cast("str | None", backend), profile=cast("str | None", profile)
        )

    # -------------------------------------------------------------------------------------------------------- record

    def result(self, run: str) -> RunResult:
        """Return what a run came to. ``latest`` is the newest run; a unique beginning of an id will do."""
        from headwater.record import read_record
        from headwater.run import RunResult

        record = read_record(self.store, self.find_run(run))
        reader = self.reader(record)
        return RunResult(record, reader.tree, reader.output)

    def reader(self, record: RunRecord) -> Reader:
        """Return what reads the values that a run's record names."""
        from headwater.run import Reader

        return Reader(record, self.store, lambda: self.keyring, lambda: self.index, lambda: self.project)

    def record(self, run: str) -> RunRecord:
        """Return the record of a run."""
        return self.result(run).record

    def find_run(self, text: str) -> str:
        """Return the full id of a run. Raises RequestError for none, or several, that begin so."""
        from headwater.record import list_runs

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
        from headwater.errors import ObjectMissing

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

    # ------------------------------------------------------------------------------------------------------ questions

    def diff(self, old: str, new: str) -> Difference:
        """Return how two runs differ."""
        from headwater import lineage
        from headwater.history import list_folder

        return lineage.diff(self.record(old), self.record(new), lambda folder: list_folder(folder, self.store))

    def code_changes(self, old: str, new: str, step: str) -> list[str]:
        """Say what differs between the code of a step in two runs: functions and constants, with file and line."""
        from headwater.fingerprint import compare

        codes = [record.steps[step].code if step in record.steps else "" for record in map(self.record, (old, new))]
        if not all(codes):
            return []
        before, after = (json.loads(self.fetch(code)) for code in codes)
        return [change.text for change in compare(before, after)]

    def lineage(
        self, thing: str, step: str | None = None, *, downstream: bool | None = None, depth: int | None = None
    ) -> Lineage:
        """Trace a run, a step of it (also ``RUN/STEP``), a file, or an artifact by how its digest begins.

        Unless it is said which way: a file that steps read downstream, as nothing is above it, all else upstream.
        """
        from headwater import lineage

        start = self._start(thing, step)
        is_down = start.kind == "file" if downstream is None else downstream
        return (lineage.downstream if is_down else lineage.upstream)(self.index, start, depth=depth)

    def _start(self, thing: str, step: str | None) -> Start:
        from headwater import lineage

        run, _, inner = thing.partition("/")
        if step is not None or (inner and self._is_run(run)):
            record = self.record(thing if step is not None else run)
            return lineage.of_step(record.run, step_of(record, step or inner).step)
        if self._is_run(thing):
            return lineage.of_run(self.find_run(thing))
        labels = lineage.file_labels(self.index, thing, self.project.root)
        if labels:
            return lineage.of_file(*labels)
        made = self._made_as(Path(thing))
        folder = lineage.folder_around(self.index, thing, self.project.root) if made is None else None
        if folder is not None and (len(Path(thing).parts) > 1 or Path(thing).exists()):
            hint = f"it lies in {folder}, which steps read: hw lineage {shlex.quote(folder)}"
            raise RequestError(f"no step is recorded to have read {thing!r} by itself", hint=hint)
        return lineage.of_artifact(made or self.find_digest(thing))

    def _made_as(self, path: Path) -> str | None:
        """Return the digest of the artifact that a file on this disk is a copy of, if it is of one."""
        digest = self.opened.sources.digest(path) if path.is_file() else ""
        return digest if digest and self.index.uses(digest) else None

    def _is_run(self, text: str) -> bool:
        from headwater.record import list_runs

        return text == "latest" or (len(text) > 7 and any(run.startswith(text) for run in list_runs(self.store)))

    def find_digest(self, text: str) -> str:
        """Return the digest of the one artifact that some runs made or used and that begins so."""
        found = self.index.digests(text) if text and not set(text) - set("0123456789abcdef") else []
        if len(found) == 1:
            return found[0]
        raise RequestError(
            f"nothing in this store is called {text!r}" if not found else f"{len(found)} artifacts begin with {text!r}",
            facts={"store": self.store.url} | ({"found": ", ".join(each[:16] for each in found[:5])} if found else {}),
            hint="name a run, a step (RUN STEP), a file that a step read, or how the digest of an artifact begins",
        )

    def artifact(self, thing: str, step: str | None = None, output: str | None = None) -> Artifact:
        """Return an artifact: an output of a step of a run, or any by how its digest begins."""
        from headwater.artifacts import Artifact

        if step is None:
            digest = self.find_digest(thing)
            document = self.index.artifact(digest)
            return Artifact.from_document(
                document or {"digest": digest, "type": "bytes", "bytes": self.store.size(digest)}
            )
        outputs = self.artifacts(thing, step)
        name = output or (next(iter(outputs)) if len(outputs) == 1 else "result")
        if name not in outputs:
            raise RequestError(
                f"step '{step}' has no output {name!r}",
                facts={"run": self.find_run(thing), "outputs": ", ".join(outputs) or "none"},
                hint=f"hw show {thing} {step} shows what became of it",
            )
        return outputs[name]

    def artifacts(self, run: str, step: str) -> dict[str, Artifact]:
        """Return the outputs of a step of a run."""
        from headwater.artifacts import Artifact

        outputs = step_of(self.record(run), step).outputs
        return {name: Artifact.from_document(cast("Mapping[str, Json]", found)) for name, found in outputs.items()}

    def scene(self, run: str, step: str, *, current: bool = False) -> Scene:
        """Return a recorded step with all that it takes to perform it again in this process."""
        from headwater import pipelines, rehearsal

        record = self.record(run)
        found = step_of(record, step)
        target = str(record.facts.get("target") or "")
        if self._given_project is None and Path(target.partition(":")[0]).is_file():
            self._choose_project(target)
        node = pipelines.load(self.store, record.definition).graph.nodes[step.partition("[")[0]]
        return rehearsal.Scene(record, found, node, self.store, self.project.root, is_current=current)


def answer() -> None:
    """Plan or run what another process of this user asks for (:mod:`headwater.elsewhere`)."""
    from headwater import targets
    from headwater.errors import HeadwaterError
    from headwater.fingerprint import drop_outdated_bytecode
    from headwater.plan import Plan

    source, sink = map(int, sys.argv[1].split(","))
    request = elsewhere.read_request(source)
    try:
        work = Workspace(**request.workspace)
        work.is_fresh = True
        with targets.on_path(work.project.root):  # values of parameters may be of its classes
            drop_outdated_bytecode(work.project)
        found = _carry_out(work, request)
        elsewhere.reply(sink, found.document() if isinstance(found, Plan) else found.run)
    except HeadwaterError as error:
        elsewhere.reply(sink, error)


def _carry_out(work: Workspace, request: elsewhere.Request) -> Plan | RunResult:
    if request.verb == "resume":
        return work.resume(request.target)
    asked = work.plan if request.verb == "plan" else work.run
    return asked(request.target, run_options=request.options(), **elsewhere.values_of(request.params))


def step_of(record: RunRecord, name: str) -> StepRecord:
    """Return a step of a run. Raises RequestError for an unknown name."""
    if name in record.steps:
        return record.steps[name]
    import difflib

    near = difflib.get_close_matches(name, record.steps, 1)
    raise RequestError(
        f"run {record.run} has no step {name!r}",
        facts={"steps": ", ".join(each for each in record.steps if "[" not in each)},
        hint=f"did you mean {near[0]!r}?" if near else f"hw show {record.run} lists them",
    )


def load_plan(path: Path) -> Plan:
    """Read a saved plan. Raises RequestError for what is none."""
    from headwater.plan import Plan

    try:
        return Plan.from_document(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise RequestError(
            f"the plan {path} cannot be read", facts={"because": error}, hint="make one: hw plan TARGET -o plan.json"
        ) from None
