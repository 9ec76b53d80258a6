"""Backends that break their word: the run stays in charge, tells what is wrong, and ends."""

from __future__ import annotations

import dataclasses
import sys
import threading
from importlib.metadata import EntryPoint
from types import MappingProxyType

import pytest

from headwater import Workspace, providers
from headwater.backend import Attempt, Report
from headwater.errors import RequestError
from headwater.local import ThreadsBackend
from headwater.request import RunOptions
from headwater.run import Places
from headwater.run.quiet import Quiet

pytestmark = pytest.mark.slow

FLOW = """
import time
from headwater import pipeline, step

@step(OPTIONS)
def work() -> int:
    time.sleep(SECONDS)
    return 7

@pipeline
def main():
    return work()
"""


class Odd:
    """A good backend, whose handles are not the ids of attempts, and whose methods a test replaces."""

    made: list[Odd]
    cannot: frozenset[str] = frozenset()

    def __init__(self, context):
        self.inner = ThreadsBackend(context)
        self.handles = {}
        self.cancelled = []
        self.closed = 0
        self.polls = 0
        self.made.append(self)

    @property
    def capabilities(self):
        found = self.inner.capabilities
        return dataclasses.replace(found, can=found.can - self.cannot)

    def submit(self, attempts):
        answers = self.inner.submit(attempts)
        given = [f"job-{len(self.handles) + place}" for place in range(len(answers))]
        self.handles |= dict(zip(given, answers, strict=True))
        return given

    def poll(self, handles):
        self.polls += 1
        return self.inner.poll([self.handles[each] for each in handles])

    def cancel(self, handles, grace):
        self.cancelled.append(list(handles))
        self.inner.cancel([self.handles[each] for each in handles if each in self.handles], grace)

    def close(self, how):
        self.closed += 1
        self.inner.close(how)


class Forgets(Odd):
    """Loses its first attempt: takes it, and knows nothing of it."""

    def submit(self, attempts):
        first = not self.handles and [each.attempt_id for each in attempts]
        if first:
            self.handles["job-0"] = first[0]
            return ["job-0"]
        return super().submit(attempts)


class ForgetsForAMoment(Odd):
    """Answers ``unknown`` twice in a row, again and again, of an attempt that runs."""

    def poll(self, handles):
        reports = super().poll(handles)
        return reports if self.polls % 3 == 0 else [Report(each.attempt_id, "unknown") for each in reports]


class RaisesInPoll(Forgets):
    def poll(self, handles):
        super().poll(handles)
        raise OSError("no route to the queue")


class AnswersTooLittle(Forgets):
    def poll(self, handles):
        return super().poll(handles)[1:]


class AnswersNothing(Forgets):
    def poll(self, handles):
        return [None for _ in handles]


class EndsWithoutOutcome(Forgets):
    """Says that its first attempt has ended, and never how."""

    def poll(self, handles):
        reports = super().poll(handles)
        return [Report(each.attempt_id, "done") if each.state == "unknown" else each for each in reports]


class RaisesInCancel(Odd):
    def cancel(self, handles, grace):
        raise OSError("no route to the queue")


class RaisesInClose(Odd):
    def close(self, how):
        super().close(how)
        raise OSError("no route to the queue")


class Hears(Quiet):
    def __init__(self):
        self.heard = []

    def told(self, message):
        self.heard.append(message)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Return what runs a step on a backend of a class: the result, the backend, and what the view heard."""
    monkeypatch.setenv("HEADWATER_CACHE", str(tmp_path / "cache"))
    project = tmp_path / "project"
    project.mkdir()
    monkeypatch.chdir(project)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (project / "headwater.toml").write_text('backend = "odd"\n')
    known = provide(monkeypatch)

    def begin(kind, options="", seconds=0.0):
        known["odd"] = kind
        kind.made = []
        name = f"bad_{tmp_path.name}"
        (project / f"{name}.py").write_text(FLOW.replace("OPTIONS", options).replace("SECONDS", str(seconds)))
        view = Hears()
        work = Workspace(store=tmp_path / "store")
        result = work.run(f"{project / name}.py", run_options=RunOptions(view=view))
        return result, kind.made[-1], view.heard

    return begin


def provide(monkeypatch):
    """Register backends for a test; return where they are put by name."""
    known = {}

    class Point(EntryPoint):
        def load(self):
            return known[self.name]

    points = {name: Point(name, f"tests:{name}", "headwater.backends") for name in ("odd", "other")}
    genuine = providers.names
    monkeypatch.setattr(
        providers, "names", lambda kind: MappingProxyType({**genuine(kind), **(points if kind == "backend" else {})})
    )
    return known


def faults(result):
    return [str(attempt.facts.get("fault") or "") for attempt in result["work"].attempts]


@pytest.mark.parametrize("kind", [Forgets, EndsWithoutOutcome])
def test_an_attempt_that_its_backend_does_not_know_any_more_is_tried_again(kind, run):
    result, backend, _ = run(kind)
    assert result.output == 7
    assert faults(result) == ["lost", ""]
    assert ["job-0"] in backend.cancelled


def test_an_attempt_that_is_unknown_for_a_moment_goes_on(run):
    result, backend, _ = run(ForgetsForAMoment, seconds=4.5)
    assert result.output == 7
    assert len(result["work"].attempts) == 1
    assert backend.polls >= 4


@pytest.mark.parametrize("kind", [RaisesInPoll, AnswersTooLittle, AnswersNothing])
def test_a_backend_that_cannot_tell_how_attempts_stand_loses_them(kind, run):
    result, backend, heard = run(kind)
    assert result.output == 7
    assert faults(result) == ["lost", ""]
    assert len([line for line in heard if "backend 'odd' raised in poll" in line]) >= 3
    assert backend.closed == 1


def test_a_backend_that_raises_in_close_does_not_end_the_run(run):
    result, backend, heard = run(RaisesInClose)
    assert result.output == 7
    assert backend.closed == 1
    assert [line for line in heard if "raised in close: OSError: no route to the queue" in line]


def places_with(tmp_path, monkeypatch, **kinds):
    provide(monkeypatch).update(kinds)
    for kind in kinds.values():
        kind.made = []
    heard = []
    return Places(lambda _: {}, f"{tmp_path}/store", str(tmp_path), tell=heard.append), heard


def attempt():
    return Attempt("run/work/1", "work", {}, {}, {}, None, "", "", {})


def test_every_backend_is_closed_though_one_raises(tmp_path, monkeypatch):
    places, heard = places_with(tmp_path, monkeypatch, odd=RaisesInClose, other=Odd)
    places.capabilities("odd")
    places.capabilities("other")
    places.close(cancel=True)
    assert [each.closed for each in (*RaisesInClose.made, *Odd.made)] == [1, 1]
    assert len(heard) == 1


def test_a_backend_that_raises_in_cancel_is_told_of(tmp_path, monkeypatch):
    class Takes(RaisesInCancel):
        def submit(self, attempts):
            return ["job-0"]

    places, heard = places_with(tmp_path, monkeypatch, odd=Takes)
    places.submit("odd", [attempt()])
    places.cancel("run/work/1", 0.0)
    assert heard == ["backend 'odd' raised in cancel: OSError: no route to the queue"]
    assert places.under_way() == ["run/work/1"]


def test_what_is_interrupted_while_it_is_handed_over_is_cancelled_by_its_handle(tmp_path, monkeypatch):
    begun, told = threading.Event(), threading.Event()

    class Slow(Odd):
        def submit(self, attempts):
            begun.set()
            assert told.wait(10)
            return ["job-0"]

    places, _ = places_with(tmp_path, monkeypatch, odd=Slow)
    submitting = threading.Thread(target=places.submit, args=("odd", [attempt()]))
    submitting.start()
    assert begun.wait(10)
    places.interrupt()
    told.set()
    submitting.join(10)
    assert ["job-0"] in Slow.made[0].cancelled


@pytest.mark.parametrize(("option", "lacking"), [("timeout=60", "timeout"), ("strict=True", "own-process")])
def test_a_step_that_asks_for_what_its_backend_cannot_do_is_refused(option, lacking, run):
    class Bare(Odd):
        cannot = frozenset({lacking})

    with pytest.raises(RequestError, match=f"step 'work' asks for {option}, but backend 'odd' cannot do that") as error:
        run(Bare, option)
    assert error.value.facts["lacking"] == lacking
    assert run(Odd, option)[0].output == 7


def test_memory_is_a_request_that_needs_no_limit(run):
    class Bare(Odd):
        cannot = frozenset({"memory-limit"})

    from_headwater = 'resources=__import__("headwater").Resources(memory="100MB")'
    assert run(Bare, from_headwater)[0].output == 7
