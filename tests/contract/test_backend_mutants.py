"""The contract of backends catches a backend that is broken: one mutant, at least, for each clause."""

from __future__ import annotations

import dataclasses
import os
import re
import sys
from types import SimpleNamespace

import pytest

from headwater.backend import BackendContext, Capabilities, Capability, LogLine, Report
from headwater.bundle import PROJECT, make_bundle
from headwater.errors import ObjectMissing
from headwater.local import ThreadsBackend
from headwater.testing import backends as contract
from headwater.testing import bench as benches
from headwater.types import Fault, Resources
from headwater.worker import perform as performing

BROKEN = (AssertionError, KeyError, TypeError, ObjectMissing)

pytestmark = pytest.mark.slow
#: Some seconds are enough to see that something does not end.
PATIENCE = 3.0


def replace(**changes):
    return lambda thing: dataclasses.replace(thing, **changes)


def fault(new, **changes):
    """Turn every failure into another."""

    def change(outcome):
        if outcome.failure is None:
            return outcome
        return dataclasses.replace(outcome, failure=dataclasses.replace(outcome.failure, fault=new, **changes))

    return change


def forgive(outcome):
    return dataclasses.replace(outcome, failure=None, outputs=outcome.outputs or {})


def lose_objects(outcome):
    outputs = {name: {"digest": "0" * 64, "type": "bytes", "bytes": 100_000} for name in outcome.outputs}
    return dataclasses.replace(outcome, outputs=outputs)


def show_engine(outcome):
    lines = (
        "Traceback (most recent call last):",
        '  File "perform.py", line 1, in perform',
        *outcome.failure.traceback,
    )
    return dataclasses.replace(outcome, failure=dataclasses.replace(outcome.failure, traceback=lines))


def give_secrets_openly(attempt):
    values = {name: os.environ["HEADWATER_SECRET_" + name] for name in attempt.secrets}
    return dataclasses.replace(attempt, secrets=(), env=values)


def say_the_same(line):
    return dataclasses.replace(line, attempt_id="run/speak/1")


class Mutant:
    """A backend that changes what goes in and what comes out of a good one."""

    def __init__(self, context, *, attempt=None, outcome=None, line=None, **overrides):
        self._attempt = attempt or (lambda given: given)
        self._outcome = outcome or (lambda given: given)
        self._line = line or (lambda given: given)
        self._sink = context.sink
        self.bench = None
        self.inner = ThreadsBackend(dataclasses.replace(context, sink=self._told))
        for name, method in overrides.items():
            setattr(self, name, lambda *args, method=method: method(self, *args))

    def _told(self, said):
        if isinstance(said, LogLine):
            changed = self._line(said)
            if changed is not None:
                self._sink(changed)
        else:
            self._sink(self._report(said))

    def _report(self, report):
        return report if report.outcome is None else dataclasses.replace(report, outcome=self._outcome(report.outcome))

    @property
    def capabilities(self):
        return self.inner.capabilities

    def submit(self, attempts):
        return self.inner.submit([self._attempt(attempt) for attempt in attempts])

    def poll(self, handles):
        return [self._report(report) for report in self.inner.poll(handles)]

    def cancel(self, handles, grace):
        self.inner.cancel(handles, grace)

    def close(self, how):
        self.inner.close(how)


class OfAnotherTime(Mutant):
    @property
    def capabilities(self):
        return Capabilities(0, self.inner.capabilities.can)


class Boasting(Mutant):
    @property
    def capabilities(self):
        inner = self.inner.capabilities
        return Capabilities(inner.interface, inner.can | {Capability.CANCEL})


def submit_backwards(mutant, attempts):
    return list(reversed(mutant.inner.submit(attempts)))


def submit_anew(mutant, attempts):
    mutant.count = getattr(mutant, "count", 0) + 1
    again = [dataclasses.replace(each, attempt_id=f"{each.attempt_id}/{mutant.count}") for each in attempts]
    mutant.inner.submit(again if mutant.count > 1 else attempts)
    return [each.attempt_id for each in attempts]


def poll_or_raise(mutant, handles):
    reports = mutant.inner.poll(handles)
    if any(report.state == "unknown" for report in reports):
        raise KeyError("no such attempt")
    return reports


def poll_too_little(mutant, handles):
    return mutant.inner.poll(handles)[1:]


def tell_twice(mutant, handles):
    reports = mutant.inner.poll(handles)
    for report in reports:
        if report.state == "done":
            mutant._sink(Report(report.attempt_id, "running"))
    return reports


def mix_up(mutant, handles):
    reports = mutant.inner.poll(handles)
    outcomes = [report.outcome for report in reports]
    return [dataclasses.replace(report, outcome=o) for report, o in zip(reports, reversed(outcomes), strict=True)]


def nothing(*_):
    return None


def from_disk(attempt):
    """Run what lies in the project now."""
    [module] = {attempt.call["function"].partition(":")[0]}
    project = sys.modules[module].__file__.rpartition("/")[0]
    from pathlib import Path

    from headwater.store import open_store

    path = Path(project, f"{module}.py")
    bundle = make_bundle({PROJECT: path.parent}, {path: path.read_bytes()})
    return dataclasses.replace(attempt, bundle=open_store(attempt.store).put(bundle.encode()))


def sharing_inputs(monkeypatch):
    """Give every attempt the value that was decoded first."""
    first, decode = {}, performing.decode_inputs

    def shared(attempt, **places):
        return first.setdefault(attempt.step, decode(attempt, **places))

    monkeypatch.setattr(performing, "decode_inputs", shared)


MUTANTS = [
    ("b01", "another interface", OfAnotherTime, {}),
    ("b01", "no method poll", Mutant, {"poll": None}),
    ("b02", "handles out of order", Mutant, {"submit": submit_backwards}),
    ("b03", "performs again", Mutant, {"submit": submit_anew}),
    ("b04", "raises for the unknown", Mutant, {"poll": poll_or_raise}),
    ("b04", "answers too little", Mutant, {"poll": poll_too_little}),
    ("b05", "goes back to running", Mutant, {"poll": tell_twice}),
    ("b06", "mixes outcomes up", Mutant, {"poll": mix_up}),
    ("b07", "names objects that are not there", Mutant, {"outcome": lose_objects}),
    ("b08", "does not tell the time", Mutant, {"outcome": replace(seconds=0.0, started=0.0)}),
    ("b08", "does not name its worker", Mutant, {"outcome": replace(worker="")}),
    ("b09", "takes the whole for one part", Mutant, {"attempt": replace(whole=None)}),
    ("b10", "has no outputs where there should be none", Mutant, {"outcome": replace(outputs=None)}),
    ("b11", "shares inputs", Mutant, {}),
    ("b12", "runs what lies on the disk", Mutant, {"attempt": from_disk}),
    ("b13", "blames the backend", Mutant, {"outcome": fault(Fault.TRANSIENT)}),
    ("b13", "shows the engine's frames", Mutant, {"outcome": show_engine}),
    ("b13", "loses the traceback", Mutant, {"outcome": fault(Fault.USER, traceback=())}),
    ("b14", "takes an exit for a loss", Mutant, {"outcome": fault(Fault.LOST)}),
    ("b15", "takes an end for a loss", Mutant, {"outcome": fault(Fault.LOST)}),
    ("b16", "takes it for trouble of its own", Mutant, {"outcome": fault(Fault.CONTRACT)}),
    ("b17", "takes any result", Mutant, {"outcome": forgive}),
    ("b18", "takes any environment", Mutant, {"attempt": replace(environment={})}),
    ("b19", "knows no time limit", Mutant, {"attempt": replace(timeout=60.0)}),
    ("b20", "knows no memory limit", Mutant, {"attempt": replace(resources=Resources(memory="64GiB"))}),
    ("b21", "does not cancel", Mutant, {"cancel": nothing}),
    ("b21", "calls it a failure", Mutant, {"outcome": fault(Fault.USER)}),
    ("b22", "claims what it cannot do", Boasting, {"attempt": replace(timeout=60.0), "cancel": nothing}),
    ("b23", "leaves processes behind", Mutant, {"close": nothing}),
    ("b24", "loses lines", Mutant, {"line": lambda line: None if line.text.endswith("7") else line}),
    ("b24", "mixes lines up", Mutant, {"line": say_the_same}),
    ("b25", "sets no variables", Mutant, {"attempt": replace(env={})}),
    ("b26", "shows secrets", Mutant, {"attempt": give_secrets_openly}),
    ("b27", "does not miss secrets", Mutant, {"attempt": replace(secrets=())}),
    ("b28", "does not tell what was read", Mutant, {"outcome": replace(observed={})}),
    ("b28", "takes declared reads for others", Mutant, {"attempt": replace(files={})}),
    ("b29", "is not strict", Mutant, {"attempt": replace(strict=False)}),
    ("b30", "takes any exit code", Mutant, {"outcome": forgive}),
]


@pytest.mark.parametrize(("clause", "what", "kind", "changes"), MUTANTS, ids=[f"{m[0]}-{m[1]}" for m in MUTANTS])
def test_a_broken_backend_is_caught(clause, what, kind, changes, tmp_path, monkeypatch):
    monkeypatch.setattr(benches, "PATIENCE", PATIENCE)
    monkeypatch.setattr(contract, "PATIENCE", PATIENCE)
    bench = benches.Bench(tmp_path)
    monkeypatch.chdir(bench.project)
    if what == "shares inputs":
        sharing_inputs(monkeypatch)
    context = BackendContext("mutant", {}, bench.store.url, str(bench.project), bench.sink, 2)
    bench.enter()
    mutant = kind(context, **{name: change for name, change in changes.items() if change is not None})
    if "poll" in changes and changes["poll"] is None:
        mutant = SimpleNamespace(submit=None, cancel=None, close=None, inner=mutant.inner)
    test = _clause(clause)
    given = {"backend": mutant, "bench": bench, "monkeypatch": monkeypatch}
    names = test.__code__.co_varnames[1 : test.__code__.co_argcount]
    try:
        with pytest.raises(BROKEN):
            test(contract.BackendContract(), **{name: given[name] for name in names})
    finally:
        mutant.inner.close("cancel")
        bench.leave()


def test_every_clause_has_a_mutant():
    clauses = {name[5:8] for name in vars(contract.BackendContract) if re.match(r"test_b\d\d_", name)}
    assert {mutant[0] for mutant in MUTANTS} == clauses


def _clause(number):
    [test] = [value for name, value in vars(contract.BackendContract).items() if name.startswith(f"test_{number}_")]
    return test
