"""The one program that performs one attempt, the same in every process: inputs, function, outputs, outcome."""

from __future__ import annotations

import inspect
import os
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast

from headwater.artifacts.paths import scratch_folder
from headwater.backend import Outcome
from headwater.errors import Corrupt, HeadwaterError
from headwater.observed import variable_of
from headwater.sources import Sources
from headwater.worker.capture import masker
from headwater.worker.command import command_of, run_command
from headwater.worker.current import Performance, performing
from headwater.worker.declared import check_declared, declared_bytes
from headwater.worker.failure import failure_of
from headwater.worker.inputs import decode_inputs, encode_outputs
from headwater.worker.loading import function_of
from headwater.worker.measure import Meter
from headwater.worker.observe import Observer, install, is_foreign, observing
from headwater.worker.returned import check_returned
from headwater.worker.surroundings import (
    ThreadCap,
    check_environment,
    resolve_secrets,
    secret_values,
    thread_variables,
    variables,
    working_folder,
)
from headwater.worker.variables import Variables

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from headwater.backend import Attempt
    from headwater.digest import Json
    from headwater.store import Store
    from headwater.worker.capture import Recorder
    from headwater.worker.measure import Extent
    from headwater.worker.memos import Memos


@dataclass(frozen=True, slots=True)
class Place:
    """Where attempts are performed: what stays the same from one to the next."""

    #: What outcomes name as their worker.
    worker: str
    #: The project's folder; it need not exist.
    project: str
    #: Whose time and memory count; in a thread of a shared process, nothing of the process is changed.
    extent: Extent = "process"
    #: File name → bytes, of all code that comes from the bundle.
    code: Mapping[str, bytes] = field(default_factory=dict[str, bytes])
    #: Folders of the engine's own, whose files are no undeclared reads.
    skip: tuple[str, ...] = ()
    #: Sees what modules read while they are loaded: that counts for every attempt of this process.
    standing: Observer | None = None
    cap: ThreadCap = field(default_factory=ThreadCap)
    #: Finds what the project's code remembers from one attempt to the next.
    memos: Memos | None = None
    #: Digests of declared files, remembered as long as the files do not change.
    sources: Sources = field(default_factory=Sources)


@dataclass(slots=True)
class _Work:
    """One attempt on its way: what it is made with, and how far it has come."""

    attempt: Attempt
    store: Store
    load: Callable[[str], object]
    scratch: Path
    place: Place
    recorder: Recorder | None
    meter: Meter
    #: Whether what is raised now is the user's.
    in_body: bool = False
    observer: Observer | None = None

    def inputs(self) -> dict[str, object]:
        # Whoever made the attempt has refused the pickles of unknown keys: their steps run again instead.
        return decode_inputs(
            self.attempt, store=self.store, scratch=self.scratch, load=self.load, trusts=lambda _: True
        )


def perform(
    attempt: Attempt,
    *,
    store: Store,
    load: Callable[[str], object],
    scratch: Path,
    place: Place,
    recorder: Recorder | None = None,
) -> Outcome:
    """Perform one attempt and return its outcome; never raises for what happens in it.

    ``load`` gives the object of a ``module:qualname``; ``scratch`` is an empty folder that the caller removes.
    """
    mask = masker(secret_values(attempt.secrets, os.environ))
    if recorder is not None:
        recorder.mask = mask
    work = _Work(attempt, store, load, scratch, place, recorder, Meter(place.extent))
    outputs, failure = None, None
    try:
        outputs = _perform(work)
    except BaseException as error:  # noqa: BLE001  whatever ends the body ends the attempt, not the worker
        if isinstance(error, Corrupt) and not work.in_body:
            _put_aside(store, error)
        failure = failure_of(error, in_body=work.in_body, mask=mask)
    taken = work.meter.read()
    return Outcome(
        attempt.attempt_id,
        outputs,
        failure,
        observed=_observed(work),
        worker=place.worker,
        seconds=taken.seconds,
        started=taken.started,
        ended=taken.ended,
        cpu_seconds=taken.cpu_seconds,
        peak_memory=taken.peak_memory,
    )


def _perform(work: _Work) -> Mapping[str, Json]:
    attempt, place = work.attempt, work.place
    check_environment(attempt.environment)
    secrets = resolve_secrets(attempt.secrets, os.environ)
    place.cap.apply(attempt.resources.cpus)
    install()
    work.observer = _observer(work)
    with ExitStack() as stack:
        if place.extent != "thread":
            caps = thread_variables(attempt.resources.cpus, attempt.env)
            stack.enter_context(variables({**caps, **attempt.env, **secrets, **_own_variables(attempt)}))
            stack.enter_context(working_folder(place.project))
        stack.enter_context(scratch_folder(work.scratch))
        performance = Performance(work.recorder, step=attempt.step, idempotency_key=attempt.idempotency_key)
        stack.enter_context(performing(performance))
        result = _run_command(work) if "command" in attempt.call else _call_function(work)
        outputs = encode_outputs(attempt, result, store=work.store, scratch=work.scratch, load=work.load)
    work.store.flush()
    return outputs


def _put_aside(store: Store, error: Corrupt) -> None:
    """Turn a corrupt input into a missing one, so that the step that made it runs again next time."""
    digest = error.facts.get("digest")
    with suppress(HeadwaterError, OSError):  # a store that can only be read
        if isinstance(digest, str) and store.put_aside(digest):
            error.hint = "run again: it was put aside, and the step that made it makes it anew; hw fsck checks the rest"


def _call_function(work: _Work) -> object:
    assert work.observer is not None
    entry = cast("str", work.attempt.call["function"])
    check_declared(work.attempt.files, project=work.place.project, sources=work.place.sources)
    work.in_body = True  # loading runs the user's modules
    with observing(work.observer):
        function = function_of(work.load(entry), entry)
    work.in_body = False
    inputs = work.inputs()
    work.in_body = True
    with observing(work.observer):
        result = _call(function, inputs)
    work.in_body = False
    check_declared(work.attempt.files, project=work.place.project, sources=work.place.sources)
    check_returned(function, result)
    return result


def _call(function: Callable[..., object], inputs: Mapping[str, object]) -> object:
    code = getattr(function, "__code__", None)
    if code is not None and not code.co_posonlyargcount and not code.co_flags & inspect.CO_VARARGS:
        return function(**inputs)
    from headwater.author.calls import spread

    args, named = spread(function, inputs)
    return function(*args, **named)


def _run_command(work: _Work) -> object:
    """Run a command; its outputs are files and folders, in the shape that the attempt declares."""
    attempt = work.attempt
    spec = command_of(attempt.call["command"])
    inputs = work.inputs()
    work.in_body = True
    paths = run_command(attempt, spec, inputs, scratch=work.scratch, source=lambda name: _source(work, name))
    work.in_body = False
    if not paths:
        return None
    from headwater.artifacts import Dir, File

    values = {name: (Dir if path.is_dir() else File)(path) for name, path in paths.items()}
    if attempt.whole is None and len(values) > 1:
        return values
    if attempt.whole is None:
        return next(iter(values.values()))
    if attempt.whole == "tuple":
        return tuple(values.values())
    return cast("Callable[..., object]", work.load(attempt.whole))(**values)


def _source(work: _Work, name: str) -> bytes:
    """Return the bytes of a declared file: the bundle's, or those in the project, whichever it was decided for."""
    path = Path(work.place.project, name)
    here = path.read_bytes() if path.is_file() else None
    return declared_bytes(name, work.attempt.files[name], places=[work.place.code.get(str(path)), here])


def _own_variables(attempt: Attempt) -> dict[str, str]:
    key = attempt.idempotency_key
    return {"HEADWATER_IDEMPOTENCY_KEY": key} if key else {}


def _observer(work: _Work) -> Observer:
    attempt, place = work.attempt, work.place
    root = [str(work.store.root)] if work.store.root is not None else []
    shared = work.scratch.parent / "seen-by-forked"
    given = {*thread_variables(1, {}), *attempt.env, *attempt.secrets, "TMPDIR"}
    code = place.code.keys()
    variables = Variables(code=code, project=place.project, foreign=is_foreign, skip=given, is_strict=attempt.strict)
    return Observer(
        project=place.project,
        skip=(str(work.scratch), str(shared), *root, *place.skip),
        code=code,
        declared=attempt.files.keys(),
        is_strict=attempt.strict,
        variables=variables,
        shared=shared,
    )


def _observed(work: _Work) -> dict[str, str]:
    standing, memos = work.place.standing, work.place.memos
    own = work.observer.values() if work.observer is not None else {}
    if standing is not None and work.observer is not None and memos is not None:
        if own and memos.are_filled():  # to look takes longer than many a step does
            standing.absorb(work.observer)
        _warn_of_constants(work)
    seen = (standing.values() if standing is not None else {}) | own
    made = standing.variables.made if standing is not None else set[str]()  # by modules, when they were imported
    return {label: value for label, value in seen.items() if variable_of(label) not in made}


def _warn_of_constants(work: _Work) -> None:
    """Say once that a step left a constant changed, where the next step sees it: this process is not replaced."""
    place = work.place
    if place.extent == "process" or place.memos is None or work.recorder is None:
        return
    for name in place.memos.constants_changed():
        if name not in _TOLD:
            _TOLD.add(name)
            text = f"step {work.attempt.step} changed {name}; other steps in this process see that, fresh ones do not\n"
            work.recorder.write("log", text)


#: Constants that this process has warned of.
_TOLD: set[str] = set()
