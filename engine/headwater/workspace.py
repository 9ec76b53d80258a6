"""Open a store, a profile and the plugins, and offer the verbs: the only place where the parts are wired."""

from __future__ import annotations

import json
import sys
import tempfile
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from headwater.config import load_profile
from headwater.errors import RequestError
from headwater.prepared import Prepared, RunOptions
from headwater.sources import Sources
from headwater.types import RunStatus

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headwater.author.pipeline import Pipeline
    from headwater.config import Profile
    from headwater.definition import Definition
    from headwater.digest import Json
    from headwater.fingerprint import Project
    from headwater.index import Index
    from headwater.known import Document
    from headwater.pipelines import Version
    from headwater.plan import Plan
    from headwater.record import RunRecord
    from headwater.run import RunResult, View
    from headwater.store import Store
    from headwater.targets import Compiled
    from headwater.trust import Keyring

    #: What may be planned and run: TARGET as text, a pipeline, a definition.
    Target: TypeAlias = str | Path | Pipeline[..., Any] | Definition


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
        assert self._project is not None
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
        from headwater.store import open_store

        return open_store(self.profile.store)

    @cached_property
    def index(self) -> Index:
        """The look-up side of the store's runs, as of its first use."""
        from headwater.index import Index

        index = Index.open(self.store)
        index.refresh()
        return index

    @cached_property
    def keyring(self) -> Keyring:
        """The user's own key and those that are trusted."""
        from headwater.trust import Keyring

        return Keyring.load()

    @cached_property
    def sources(self) -> Sources:
        """Digests of files outside the store."""
        return Sources()

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

            return load_version(self, *stored, target=name)
        found = targets.load_target(name, self.project) if name else cast("Any", target)
        if isinstance(found, Definition):
            with targets.on_path(self.project.root):
                return targets.Compiled(found, targets.functions_of(found), self.project, name, self.project.root)
        drawn = cast("Pipeline[..., object]", found).compile()
        return targets.Compiled(drawn.definition, drawn.functions, self.project, name, self.project.root)

    def publish(self, target: Target, /) -> Version:
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

    def resume(self, run: str, *, view: View | None = None) -> RunResult:
        """Go on with a run whose driver stopped, with the code and the parameters of then."""
        from headwater.replay import resume

        return resume(self, run, view=view)

    def _prepare(
        self, compiled: Compiled, options: RunOptions | None = None, params: Mapping[str, object] | None = None
    ) -> Prepared:
        return Prepared(self, compiled, options or RunOptions(), params)

    # -------------------------------------------------------------------------------------------------------- record

    def result(self, run: str) -> RunResult:
        """Return what a run came to. ``latest`` is the newest run; a unique beginning of an id will do."""
        from headwater.record import read_record
        from headwater.run import RunResult

        record = read_record(self.store, self.find_run(run))
        return RunResult(record, self._load_tree, self._load_document)

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

    def _load_tree(self, tree: Json) -> object:
        from headwater.values import load_type
        from headwater.worker.inputs import decode_tree

        scratch = Path(tempfile.mkdtemp(prefix="headwater-"))
        return decode_tree(tree, store=self.store, scratch=scratch, load=load_type)

    def _load_document(self, document: Mapping[str, Json]) -> object:
        return self._load_tree({"artifact": dict(document)})

    def read_json(self, document: Document) -> Json:
        """Return the typed JSON that a ``json`` artifact holds."""
        from headwater.artifacts import Artifact, read_json

        return read_json(Artifact.from_document(document), self.store)


def load_plan(path: Path) -> Plan:
    """Read a saved plan. Raises RequestError for what is none."""
    from headwater.plan import Plan

    try:
        return Plan.from_document(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise RequestError(
            f"the plan {path} cannot be read", facts={"because": error}, hint="make one: hw plan TARGET -o plan.json"
        ) from None
