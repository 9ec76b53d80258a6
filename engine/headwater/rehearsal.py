"""One recorded step again, in this process: the code and the inputs of then, in reach of a debugger.

Nothing is stored. The code comes from the run's bundle, if a key that this user trusts signed it; or from the project
as it is now, when that is asked for.
"""

from __future__ import annotations

import os
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from headwater import pipelines
from headwater.backend import Attempt
from headwater.bundle import PROJECT, Bundle
from headwater.errors import RequestError, TrustError
from headwater.worker.failure import AttemptFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Mapping

    from headwater.digest import Json
    from headwater.graph import Node
    from headwater.record import RunRecord, StepRecord
    from headwater.store import Store
    from headwater.trust import Keyring

    #: Tells of an artifact's document whether its writer is trusted.
    Trusts = Callable[[Mapping[str, Json]], bool]
    #: How the function is called with its inputs: as it is, or under a debugger.
    Call = Callable[[Callable[..., object], Mapping[str, object]], object]


@dataclass(frozen=True, slots=True)
class Scene:
    """A recorded step with all that it takes to perform it again."""

    record: RunRecord
    step: StepRecord
    node: Node
    store: Store
    project: Path
    #: Whether the project's present code is taken instead of the recorded one.
    is_current: bool = False


def changed_files(scene: Scene) -> list[str]:
    """Return the project files that differ from those of the run."""
    files = _bundle(scene).files
    changed: list[str] = []
    for name, data in files.items():
        root, _, relative = name.partition("/")
        path = scene.project / relative
        if root == PROJECT and (not path.is_file() or path.read_bytes() != data):
            changed.append(relative)
    return sorted(changed)


def check_trust(scene: Scene, keyring: Keyring) -> None:
    """Raise TrustError unless a key that is trusted here signed the run's code."""
    bundle = str(scene.record.facts.get("bundle"))
    standing = pipelines.standing(scene.record, keyring)
    if standing not in ("own", "trusted"):
        raise TrustError(
            f"the code of run {scene.record.run} was not signed by a key that you trust",
            facts={"code": bundle[:16], "signature": standing},
            hint="use your own code (hw debug --current), or trust the key of its author: hw trust add",
        )


def rehearse(scene: Scene, call: Call, trusts: Trusts) -> object:
    """Perform the step and return what its function gave; what it raises comes out as it is.

    Raises TrustError when an input is a pickle that nobody trusted wrote.
    """
    node = scene.node
    if node.kind not in ("function", "command"):
        raise RequestError(
            f"step '{scene.step.step}' is a {node.kind}: it has no code of its own to debug",
            hint=f"see what it decided: hw show {scene.record.run} {scene.step.step}",
        )
    if not scene.step.trees and node.inputs:
        raise RequestError(
            f"step '{scene.step.step}' of run {scene.record.run} never got its inputs: it {scene.step.status}",
            facts={"reason": scene.step.reason},
            hint="debug the step that failed before it",
        )
    with ExitStack() as stack:
        scratch = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="headwater-", ignore_cleanup_errors=True))
        )
        try:
            return _perform(scene, call, trusts, scratch, stack)
        except AttemptFailed as error:
            raise RequestError(
                f"step '{scene.step.step}' cannot be performed here: {error.failure.message}",
                facts={"fault": error.failure.kind},
            ) from None


def _perform(scene: Scene, call: Call, trusts: Trusts, scratch: Path, stack: ExitStack) -> object:
    from headwater.artifacts.paths import scratch_folder
    from headwater.worker.current import Performance, performing
    from headwater.worker.inputs import decode_inputs
    from headwater.worker.loading import function_of
    from headwater.worker.surroundings import resolve_secrets, variables, working_folder

    attempt = _attempt(scene)
    secrets = resolve_secrets(attempt.secrets, os.environ)
    stack.enter_context(variables({**attempt.env, **secrets}))
    _bind(scene, scratch)
    stack.enter_context(working_folder(str(scene.project)))
    stack.enter_context(scratch_folder(scratch))
    stack.enter_context(performing(Performance(idempotency_key=attempt.idempotency_key)))
    if scene.node.kind == "command":
        return _run_command(scene, attempt, trusts, scratch)
    load, entry = _load_of(scene), cast("str", attempt.call["function"])
    function = function_of(load(entry), entry)
    inputs = decode_inputs(attempt, store=scene.store, scratch=scratch, load=load, trusts=trusts)
    return call(function, inputs)


def _run_command(scene: Scene, attempt: Attempt, trusts: Trusts, scratch: Path) -> object:
    from headwater.worker.command import command_of, run_command
    from headwater.worker.declared import declared_bytes
    from headwater.worker.inputs import decode_inputs

    load = _load_of(scene)
    code = _bundle(scene).files

    def source(name: str) -> bytes:
        path = scene.project / name
        here = path.read_bytes() if path.is_file() else None
        if scene.is_current and here is not None:
            return here
        return declared_bytes(name, attempt.files[name], places=[code.get(f"{PROJECT}/{name}"), here])

    inputs = decode_inputs(attempt, store=scene.store, scratch=scratch, load=load, trusts=trusts)
    spec = command_of(attempt.call["command"])
    return run_command(attempt, spec, inputs, scratch=scratch, source=source)


def _attempt(scene: Scene) -> Attempt:
    record, step, node = scene.record, scene.step, scene.node
    options = node.options
    called: dict[str, Json] = (
        {"function": _entry(scene, node.call)} if isinstance(node.call, str) else {"command": cast("Json", node.call)}
    )
    return Attempt(
        attempt_id=f"{record.run}/{step.step}/0",
        step=step.step,
        call=called,
        inputs=step.trees,
        outputs={output.name: output.type for output in node.outputs},
        whole=node.whole,
        store=scene.store.url,
        bundle=str(record.facts.get("bundle")),
        environment={},
        env=options.env,
        secrets=options.secrets,
        resources=options.resources,
        files=cast("Mapping[str, str]", step.parts.get("files") or {}),
        idempotency_key=f"{record.run}/{step.step}",
    )


def _entry(scene: Scene, entry: str) -> str:
    """Return what to import: of a function without a file, a notebook's, the module that was written for it."""
    if scene.is_current:
        return entry
    return cast("Mapping[str, str]", scene.record.facts.get("entries") or {}).get(entry, entry)


def _load_of(scene: Scene) -> Callable[[str], object]:
    """Return what imports for a step: modules of the chosen code, and those that it has imported itself.

    A log is data that anybody may have written who can write to the store; it must not name a module to be run.
    """
    from headwater.worker.loading import load

    files: Container[str] = () if scene.is_current else _bundle(scene).files
    roots = () if scene.is_current else _bundle(scene).roots()

    def is_chosen(module: str) -> bool:
        path = module.replace(".", "/")
        names = (f"{path}.py", f"{path}/__init__.py")
        if scene.is_current:
            return any((scene.project / name).is_file() for name in names)
        return any(f"{root}/{name}" in files for root in roots for name in names)

    def load_chosen(name: str) -> object:
        module = name.partition(":")[0]
        if module in sys.modules or is_chosen(module):
            return load(name)
        raise TrustError(
            f"the record of run {scene.record.run} names {name}, which the step's code does not import",
            hint="import the module where the step is defined, if it is meant",
        )

    return load_chosen


def _bundle(scene: Scene) -> Bundle:
    return Bundle.decode(scene.store.get(str(scene.record.facts.get("bundle"))))


def _bind(scene: Scene, scratch: Path) -> None:
    """Make this process import the chosen code."""
    if scene.is_current:
        sys.path.insert(0, str(scene.project))
        return
    from headwater.worker.importer import BundleFinder

    digest = str(scene.record.facts.get("bundle"))
    BundleFinder(_bundle(scene), digest=digest, places={PROJECT: str(scene.project)}).install()
    tempfile.tempdir = str(scratch)
