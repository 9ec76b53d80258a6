"""What a run came to: the answer of ``Pipeline.run`` and of ``hw run --json``; a view of the record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self, cast

from headwater.errors import RequestError, RunFailed
from headwater.types import RunStatus, StepStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from headwater.digest import Json
    from headwater.record import RunRecord, StepRecord


#: Status → how a run that has it ended, in a sentence.
_ENDED = {
    RunStatus.CANCELLED: "was cancelled",
    RunStatus.INTERRUPTED: "was interrupted",
    RunStatus.RUNNING: "still runs",
}


@dataclass(frozen=True, repr=False)
class RunResult:
    """One run, its steps, and what the pipeline gave."""

    record: RunRecord
    #: Turns the recorded tree of the pipeline's output into its value.
    _load: Callable[[Json], object]
    #: Copies one output of a step into this process.
    _load_output: Callable[[Mapping[str, Json]], object]

    @property
    def run(self) -> str:
        """The run's id."""
        return self.record.run

    @property
    def status(self) -> RunStatus:
        """How the run ended."""
        return self.record.status

    @property
    def succeeded(self) -> bool:
        """Whether every step that had to be done was done."""
        return self.status is RunStatus.SUCCEEDED

    @property
    def steps(self) -> Sequence[StepRecord]:
        """The steps in the order of the definition; elements instead of their map."""
        return ordered_steps(self.record)

    @property
    def output(self) -> object:
        """What the pipeline returned, loaded now. Raises RunFailed when the run did not succeed."""
        return self._load(self.check().record.output)

    def check(self) -> Self:
        """Return this result if the run succeeded; else raise RunFailed, which names the steps that failed.

        A script that ends with ``pipeline.run(…).check()`` ends with an error when a step failed.
        """
        if not self.succeeded:
            raise RunFailed(
                f"run {self.run} of {self.record.pipeline} gave no output: it {_ENDED.get(self.status, self.status)}",
                facts=dict(self._failures()),
                hint=f"see hw show {self.run}",
            )
        return self

    def __getitem__(self, step: str) -> StepRecord:
        """Return the record of one step. Raises KeyError for an unknown name."""
        return self.record.steps[step]

    def value(self, step: str, output: str = "result") -> object:
        """Return one output of a step, loaded now.

        Raises KeyError for an unknown step, RequestError for an output that it does not have.
        """
        outputs = self.record.steps[step].outputs
        if output not in outputs:
            raise RequestError(
                f"step '{step}' has no output {output!r}",
                facts={"run": self.run, "outputs": ", ".join(outputs) or "none"},
                hint=f"value({step!r}, {next(iter(outputs))!r})" if outputs else f"hw show {self.run} {step}",
            )
        return self._load_output(cast("Mapping[str, Json]", outputs[output]))

    def _failures(self) -> Iterator[tuple[str, str]]:
        for step in self.steps:
            if step.status is StepStatus.FAILED:
                yield step.step, step.reason

    def document(self) -> dict[str, Json]:
        """Return what ``hw run --json`` prints."""
        return run_document(self.record)

    def __repr__(self) -> str:
        failures = "".join(f"; {step}: {reason}" for step, reason in self._failures())
        return f"<run {self.run} of {self.record.pipeline}: {self.status}{failures}>"

    def __str__(self) -> str:
        """Lay the run out as text, a line a step."""
        steps = self.steps
        width = max((len(step.step) for step in steps), default=0)
        lines = [f"{step.status:<9} {step.step:<{width}}  {step.reason}" for step in steps]
        return "\n".join([f"run {self.run} of {self.record.pipeline}: {self.status}", *lines])

    def _repr_pretty_(self, printer: object, cycle: bool) -> None:  # noqa: FBT001  IPython's own protocol
        cast("_Printer", printer).text("…" if cycle else str(self))


class _Printer:
    def text(self, text: str) -> None: ...


def ordered_steps(record: RunRecord) -> list[StepRecord]:
    """Return a run's steps in the order of its definition; the elements of a map stand in its place."""
    order = cast("list[str]", record.facts.get("order") or [])
    names = list(dict.fromkeys([*order, *(name for name in record.steps if "[" not in name)]))
    steps: list[StepRecord] = []
    for name in names:
        step = record.steps.get(name)
        if step is None:
            continue
        elements = [record.steps[element] for element in step.elements or () if element in record.steps]
        steps.extend(elements or [step])
    return steps


def run_document(record: RunRecord) -> dict[str, Json]:
    """Return a run as JSON: what other programs rely on."""
    return {
        "run": record.run,
        "pipeline": record.pipeline,
        "version": record.version,
        "definition": record.definition,
        "status": record.status.value,
        "seconds": record.seconds,
        "params": dict(record.params),
        "steps": [step_document(step) for step in ordered_steps(record)],
    }


def step_document(step: StepRecord) -> dict[str, Json]:
    """Return a step of a run as JSON."""
    return {
        "name": step.step,
        "status": step.status.value,
        "reason": step.reason,
        "key": step.key or None,
        "backend": step.backend or None,
        "attempts": len(step.attempts),
        "seconds": step.seconds,
        "error": None
        if step.error is None
        else {"class": step.error.get("class"), "message": step.error.get("message")},
        "outputs": {name: _output_document(cast("Mapping[str, Json]", doc)) for name, doc in step.outputs.items()},
    }


def _output_document(document: Mapping[str, Json]) -> dict[str, Json]:
    return {name: document[name] for name in ("digest", "type", "bytes")}
