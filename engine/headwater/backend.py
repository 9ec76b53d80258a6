"""What a backend must do, and the messages it is given and gives back.

The engine decides; a backend places, observes and stops. It never sees the graph, keys, reuse or retries. It gets
*attempts*: immutable documents, each one try at one step. It answers with *reports*; a report that ends an attempt
carries an *outcome*.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, runtime_checkable

from headwater.types import Fault, Resources

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from headwater.digest import Json

#: The version of this interface. A backend states the one it was written for.
INTERFACE = 1

#: What a backend hands back for a submitted attempt: text that it can find the attempt by.
Handle: TypeAlias = str

_EMPTY: Mapping[str, object] = MappingProxyType({})


class Capability(StrEnum):
    """What a backend can do beyond running a step; each is switched on by declaring it."""

    #: Stop a running attempt for certain.
    CANCEL = "cancel"
    #: End an attempt at its time limit.
    TIMEOUT = "timeout"
    #: End an attempt that takes more memory than it asked for.
    MEMORY_LIMIT = "memory-limit"
    #: Give the step a process of its own, so that its environment is just what was declared.
    OWN_PROCESS = "own-process"
    #: Runs attempts where the driver's folders cannot be seen.
    REMOTE = "remote"


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a backend says of itself, without I/O."""

    interface: int
    can: frozenset[Capability]
    #: What it can give to all attempts together; None where it cannot say (it queues by itself).
    capacity: Resources | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at one step: everything a worker needs, and nothing else.

    It is plain data: ``document()`` is JSON, and a worker on another machine starts from that alone.
    """

    #: ``<run>/<step>/<try>``: the same in every log, and never used twice.
    attempt_id: str
    step: str
    #: What to run: ``{"function": "module:qualname"}`` or ``{"command": {...}}``.
    call: Mapping[str, Json]
    #: Argument name → input tree: ``{"artifact": {…}}``, ``{"value": …}``, ``{"list": […]}``, ``{"dict": {…}}``, ….
    inputs: Mapping[str, Json]
    #: Output name → type spec, in order.
    outputs: Mapping[str, str]
    #: ``module:Qual`` or ``"tuple"`` where the outputs are the parts of one result; None for a single result.
    whole: str | None
    #: Where objects are read from and written to.
    store: str
    #: Digest of the code bundle that this attempt executes.
    bundle: str
    #: What the environment must be: ``{"python": "3.11", "packages": {name: version}}``.
    environment: Mapping[str, Json]
    #: Environment variables to set.
    env: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    #: Environment variables as the driver has them, that the step is known to depend on undeclared: set before modules
    #: are imported; None where there is none. What is in ``env`` wins.
    variables: Mapping[str, str | None] = field(default_factory=lambda: MappingProxyType({}))
    #: Names of secrets that the worker resolves.
    secrets: tuple[str, ...] = ()
    resources: Resources = field(default_factory=Resources)
    #: Seconds the body may take, or None.
    timeout: float | None = None
    #: Run in a process of its own, hide undeclared variables, refuse undeclared reads.
    strict: bool = False
    #: Project files and folders that the step declared: relative POSIX path → value that they are keyed by
    #: (:mod:`headwater.observed`). Free to read, as long as that is what they hold.
    files: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    #: Identifies an effect to the outside: the same for every try of this step in this run.
    idempotency_key: str = ""

    def document(self) -> dict[str, Json]:
        """Return the attempt as JSON, for a worker in another process or on another machine."""
        resources = self.resources
        return {
            "headwater": "attempt/1",
            "attempt_id": self.attempt_id,
            "step": self.step,
            "call": dict(self.call),
            "inputs": dict(self.inputs),
            "outputs": [[name, spec] for name, spec in self.outputs.items()],
            "whole": self.whole,
            "store": self.store,
            "bundle": self.bundle,
            "environment": dict(self.environment),
            "env": dict(self.env),
            "variables": dict(self.variables),
            "secrets": list(self.secrets),
            "resources": {
                "cpus": resources.cpus,
                "memory": resources.memory,
                "gpus": resources.gpus,
                "named": dict(resources.named),
            },
            "timeout": self.timeout,
            "strict": self.strict,
            "files": dict(self.files),
            "idempotency_key": self.idempotency_key,
        }

    @staticmethod
    def from_document(document: Mapping[str, Any]) -> Attempt:
        """Read an attempt back from its JSON."""
        fields = {name: value for name, value in document.items() if name != "headwater"}
        fields["outputs"] = dict(document["outputs"])
        fields["secrets"] = tuple(document["secrets"])
        fields["resources"] = Resources(**document["resources"])
        return Attempt(**fields)


@dataclass(frozen=True, slots=True)
class StepFailure:
    """Why an attempt did not succeed, as data."""

    fault: Fault
    #: Name of the exception's class, or a short name of the fault.
    kind: str
    message: str
    #: The traceback of the user's code, as text lines, innermost last.
    traceback: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one attempt ended: outputs, or a failure; and what it took."""

    attempt_id: str
    #: Output name → artifact document, when it succeeded.
    outputs: Mapping[str, Json] | None
    failure: StepFailure | None = None
    #: Undeclared files and variables that the step used: label → digest (``"absent"`` where there was none).
    observed: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    worker: str = ""
    #: Wall time of the body in seconds, and when it began and ended (seconds since the epoch).
    seconds: float = 0.0
    started: float = 0.0
    ended: float = 0.0
    #: CPU seconds and peak memory in bytes; None where they cannot be told.
    cpu_seconds: float | None = None
    peak_memory: int | None = None

    def document(self) -> dict[str, Json]:
        """Return the outcome as JSON."""
        failure = self.failure
        return {
            "headwater": "outcome/1",
            "attempt_id": self.attempt_id,
            "outputs": None if self.outputs is None else dict(self.outputs),
            "failure": None
            if failure is None
            else {
                "fault": failure.fault.value,
                "kind": failure.kind,
                "message": failure.message,
                "traceback": list(failure.traceback),
            },
            "observed": dict(self.observed),
            "worker": self.worker,
            "seconds": self.seconds,
            "started": self.started,
            "ended": self.ended,
            "cpu_seconds": self.cpu_seconds,
            "peak_memory": self.peak_memory,
        }

    @staticmethod
    def from_document(document: Mapping[str, Any]) -> Outcome:
        """Read an outcome back from its JSON."""
        fields = {name: value for name, value in document.items() if name != "headwater"}
        if (failure := document["failure"]) is not None:
            fields["failure"] = StepFailure(
                Fault(failure["fault"]), failure["kind"], failure["message"], tuple(failure["traceback"])
            )
        return Outcome(**fields)


@dataclass(frozen=True, slots=True)
class LogLine:
    """A piece of text that a step wrote."""

    attempt_id: str
    stream: Literal["stdout", "stderr", "log"]
    text: str
    time: float


State: TypeAlias = Literal["queued", "running", "done", "unknown"]


@dataclass(frozen=True, slots=True)
class Report:
    """What a backend knows of one attempt now. ``done`` comes with an outcome; states never go back."""

    attempt_id: str
    state: State
    outcome: Outcome | None = None
    #: The backend's own words, kept as they are.
    native: str = ""


#: Gets reports and log lines as they come, from any thread. A hint: ``poll`` stays the truth.
Sink: TypeAlias = "Callable[[Report | LogLine], None]"


@dataclass(frozen=True, slots=True)
class BackendContext:
    """What a backend is opened with: settings and seams, never the engine's own objects."""

    #: The name under which the profile knows it.
    name: str
    #: Settings of this backend from the profile.
    settings: Mapping[str, Json]
    store: str
    #: Where the project lies, for workers on this machine.
    project: str
    #: Reports and log lines go here.
    sink: Sink
    #: Cores that the engine may use on this machine.
    cores: int


@runtime_checkable
class Backend(Protocol):
    """Where attempts happen. Made as ``Backend(context)``; nothing is started before the first ``submit``."""

    @property
    def capabilities(self) -> Capabilities:
        """What it can do; pure."""
        ...

    def submit(self, attempts: Sequence[Attempt]) -> Sequence[Handle | StepFailure]:
        """Take attempts; an answer for each, in order. Submitting an id again changes nothing."""
        ...

    def poll(self, handles: Sequence[Handle]) -> Sequence[Report]:
        """Tell how attempts stand; an answer for each, in order; never raises for one of them."""
        ...

    def cancel(self, handles: Sequence[Handle], grace: float) -> None:
        """Stop attempts, for certain after ``grace`` seconds. Idempotent.

        An attempt whose ``submit`` has not returned has no handle yet: its id stands for it.
        """
        ...

    def close(self, how: Literal["detach", "cancel"]) -> None:
        """Release everything; attempts that still run are left alone or stopped."""
        ...
