"""Policies of steps and runs, end to end: real pipelines, real backends, and what the record says of them."""

from __future__ import annotations

import itertools
import os
import re
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from headwater import Workspace
from headwater.errors import RequestError
from headwater.record import StepRecord, list_runs, read_text
from headwater.request import RunOptions
from headwater.run import RunResult
from headwater.selection import Selection
from headwater.store import Store

pytestmark = pytest.mark.slow

BACKENDS = ["inline", "threads", "dask", "processes"]
_NUMBERS = itertools.count()
HEAD = """
import os, sys, time
from pathlib import Path
from headwater import (Dir, File, Resources, Retry, command, either, fail, notify, otherwise, over, pipeline, register,
                       step, when)
"""
SETTINGS = """
[backends.dask]
threads = 2

[backends.threads]
threads = 2

[profile.inline]
backend = "inline"

[profile.threads]
backend = "threads"

[profile.dask]
backend = "dask"

[profile.processes.backends.dask]
processes = true
workers = 1
threads = 1

[profile.single]
backend = "threads"

[profile.single.backends.threads]
threads = 1
"""


class Bench:
    """A project of one module, in this process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "project"
        self.marks = folder / "marks"
        self.store = folder / "store"
        self.folder.mkdir()
        self.marks.mkdir()
        self.settings(SETTINGS)
        self.module = f"flow_{next(_NUMBERS)}"

    def settings(self, text: str) -> None:
        (self.folder / "headwater.toml").write_text(text)

    def write(self, text: str) -> None:
        """Write the pipeline, as a new module: what is loaded under another name is not touched."""
        sys.modules.pop(self.module, None)
        marks = f"MARKS = {str(self.marks)!r}\n"
        path = self.folder / f"{self.module}.py"
        path.write_text(HEAD + marks + dedent(text))
        os.utime(path, ns=(next(_NUMBERS), next(_NUMBERS)))  # a .pyc is told by its source's time, in seconds

    def run(self, profile: str | None = "threads", *, options: RunOptions | None = None, **params: object) -> RunResult:
        work = Workspace(store=self.store, profile=profile)
        return work.run(f"{self.folder / self.module}.py", run_options=options, **params)

    def plan(self, *, options: RunOptions | None = None, **params: object) -> dict[str, str]:
        work = Workspace(store=self.store, profile="threads")
        found = work.plan(f"{self.folder / self.module}.py", run_options=options, **params)
        return {step.name: step.action for step in found}


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setenv("HEADWATER_CACHE", str(tmp_path / "cache"))
    made = Bench(tmp_path)
    monkeypatch.chdir(made.folder)
    path = list(sys.path)
    yield made
    sys.path[:] = path


def statuses(result: RunResult) -> dict[str, str]:
    return {step.step: step.status.value for step in result.steps}


def spans(steps: list[StepRecord]) -> list[tuple[float, float]]:
    """When the attempts of steps ran, as their workers recorded it."""
    return [(float(a.facts["started"]), float(a.facts["ended"])) for step in steps for a in step.attempts]  # type: ignore[arg-type]


def overlap(steps: list[StepRecord]) -> int:
    """How many attempts ran at once at most."""
    moments = sorted([(began, 1) for began, _ in spans(steps)] + [(ended, -1) for _, ended in spans(steps)])
    return max(itertools.accumulate(change for _, change in moments))


def ran(result: RunResult) -> list[str]:
    return [name for name, status in statuses(result).items() if status == "ran"]


# ---------------------------------------------------------------------------------------------- retries and time limits

FLAKY = """
def tries(name):
    found = [place for place in range(9) if os.path.exists(f"{MARKS}/{name}-{place}")]
    open(f"{MARKS}/{name}-{len(found)}", "w").close()
    return len(found)

@step(retry=Retry(3, wait=0.1))
def flaky(times: int) -> str:
    if tries("flaky") < times:
        raise OSError("not yet")
    return "done"

@pipeline
def main(times: int = 2):
    return flaky(times)
"""


def test_a_step_that_fails_twice_is_tried_again_with_growing_pauses(bench: Bench) -> None:
    bench.write(FLAKY)
    result = bench.run()
    assert result.output == "done"
    attempts = result["flaky"].attempts
    assert [attempt.fault for attempt in attempts] == ["user", "user", None]
    (_, one), (two, three), (four, _) = spans([result["flaky"]])
    assert two - one >= 0.1
    assert four - three >= 0.2
    assert statuses(bench.run()) == {"flaky": "reused"}


def test_after_a_passing_trouble_another_attempt_is_made(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    flush, troubles = Store.flush, iter([OSError("the disk is busy")])

    def trouble(store: Store) -> None:
        if threading.current_thread().name.startswith("headwater threads"):
            for error in troubles:
                raise error
        flush(store)

    monkeypatch.setattr(Store, "flush", trouble)
    bench.write("""
    @step
    def one() -> int:
        return 1

    @pipeline
    def main():
        return one()
    """)
    result = bench.run("threads")
    assert result.value("one") == 1
    tried = [(attempt.attempt, attempt.fault) for attempt in result["one"].attempts]
    assert tried == [(f"{result.run}/one/1", "transient"), (f"{result.run}/one/2", None)]


def test_when_the_tries_are_used_up_the_last_failure_counts(bench: Bench) -> None:
    bench.write(FLAKY)
    result = bench.run(times=9)
    assert statuses(result) == {"flaky": "failed"}
    assert len(result["flaky"].attempts) == 4
    assert "not yet" in str(result["flaky"].error)


def test_only_the_faults_that_are_named_are_tried_again(bench: Bench) -> None:
    bench.write(FLAKY.replace("wait=0.1", "on=('resource',)"))
    assert len(bench.run()["flaky"].attempts) == 1


@pytest.mark.parametrize("profile", BACKENDS)
def test_a_hanging_step_is_stopped_and_its_worker_takes_the_next_one(profile: str, bench: Bench) -> None:
    bench.settings(SETTINGS.replace("threads = 2", "threads = 1"))
    bench.write("""
    import ctypes

    @step(timeout="1s")
    def hang() -> int:
        ctypes.PyDLL(None).sleep(600)   # never lets go of the interpreter
        return 0

    @step(timeout="30s", priority=-1)
    def calm(number: int) -> int:
        return number

    @pipeline
    def main():
        return [hang(), calm.map(over([1, 2, 3]))]
    """)
    begun = time.monotonic()
    result = bench.run(profile, options=RunOptions(fail_fast=False))
    assert time.monotonic() - begun < 60
    assert statuses(result) == {"hang": "failed", "calm[0]": "ran", "calm[1]": "ran", "calm[2]": "ran"}
    [attempt] = result["hang"].attempts
    assert attempt.fault == "resource"
    assert "longer than its 1 seconds" in str(attempt.error)
    began, ended = spans([result["hang"]])[0]
    assert 1 <= ended - began < 30
    assert all(began >= ended for began, _ in spans([result["calm[0]"], result["calm[1]"], result["calm[2]"]]))


# --------------------------------------------------------------------------------------------- failures and selections

CHAIN = """
@step
def first(n: int) -> int:
    return n

@step
def bad(n: int) -> int:
    raise ValueError("bad")

@step
def after_bad(n: int) -> int:
    return n

@step
def slow(n: int) -> int:
    time.sleep(0.5)
    return n

@step
def last(n: int) -> int:
    return n

@pipeline
def main(n: int = 1):
    a = first(n)
    return [after_bad(bad(a)), last(slow(a))]
"""


def test_fail_fast_starts_nothing_more(bench: Bench) -> None:
    bench.write(CHAIN)
    result = bench.run()
    assert result.status.value == "failed"
    assert statuses(result) == {
        "first": "ran",
        "bad": "failed",
        "after_bad": "pending",
        "slow": "ran",
        "last": "pending",
    }
    assert "the run stopped after 'bad' failed" in result["last"].reason


def test_keep_going_does_all_that_does_not_depend_on_it(bench: Bench) -> None:
    bench.write(CHAIN)
    result = bench.run(options=RunOptions(fail_fast=False))
    assert result.status.value == "failed"
    assert ran(result) == ["first", "slow", "last"]
    assert statuses(result)["after_bad"] == "pending"
    assert "'bad' did not succeed" in result["after_bad"].reason
    with pytest.raises(Exception, match="gave no output"):
        _ = result.output


LINE = """
@step
def a(n: int) -> int:
    return n + A

@step
def b(n: int) -> int:
    return n + 1

@step
def c(n: int) -> int:
    return n + 1

@step
def each(n: int) -> int:
    return n * 2

@step
def total(ns: list[int]) -> int:
    return sum(ns)

@pipeline
def main(n: int = 1):
    return [c(b(a(n))), total(each.map(over([1, 2, 3])))]

A = 1
"""
SIDE = ["each[0]", "each[1]", "each[2]", "total"]


def selected(**names: tuple[str, ...]) -> RunOptions:
    return RunOptions(selection=Selection(**names))


def test_selections_run_what_was_asked_for(bench: Bench) -> None:
    bench.write(LINE)
    assert ran(bench.run(options=selected(until=("b",)))) == ["a", "b"]
    assert ran(bench.run(options=selected(only=("c",)))) == ["c"]
    assert ran(bench.run(options=selected(start=("each",)))) == SIDE
    assert ran(bench.run()) == []
    assert ran(bench.run(options=selected(force=("b",)))) == ["b"]
    assert ran(bench.run(options=selected(force=("each[1]",)))) == ["each[1]"]
    assert ran(bench.run(options=selected(force=("each",)))) == SIDE[:3]
    assert ran(bench.run(options=selected(force=("*",), until=("b",)))) == ["a", "b"]
    assert ran(bench.run(options=selected(force=("*",)))) == ["a", "b", "c", *SIDE]


def test_what_a_selection_needs_must_be_there(bench: Bench) -> None:
    bench.write(LINE)
    result = bench.run(options=selected(only=("c",)))
    assert result.status.value == "failed"
    assert "was not asked for, but has no result that could be reused" in str(result["a"].error)
    with pytest.raises(RequestError, match="no result that could be reused"):
        bench.plan(options=selected(only=("c",)))


@pytest.mark.parametrize("name", ["each[9]", "a[0]", "nothing"])
def test_a_selection_that_names_nothing_is_refused(name: str, bench: Bench) -> None:
    bench.write(LINE)
    with pytest.raises(RequestError, match="no step named"):
        bench.run(options=selected(force=(name,)))


@pytest.mark.parametrize(("name", "asked"), [("a", "c"), ("each[1]", "c"), ("each", "b")])
def test_a_step_is_not_forced_that_was_not_asked_for(name: str, asked: str, bench: Bench) -> None:
    bench.write(LINE)
    bench.run()
    with pytest.raises(RequestError, match=re.escape(f"step '{name}' is forced but was not asked for")):
        bench.run(options=selected(only=(asked,), force=(name,)))


@pytest.mark.parametrize("kind", ["only", "start", "until"])
def test_elements_of_a_map_are_not_picked_alone(kind: str, bench: Bench) -> None:
    bench.write(LINE)
    with pytest.raises(RequestError, match="element of a map"):
        bench.run(options=selected(**{kind: ("each[1]",)}))


def test_a_plan_says_what_a_selection_does(bench: Bench) -> None:
    bench.write(LINE)
    bench.run()
    for options in (selected(force=("each[1]",)), selected(only=("c",), force=("c",)), selected(force=("b",))):
        planned = {name for name, action in bench.plan(options=options).items() if action == "run"}
        assert planned == set(ran(bench.run(options=options)))


# --------------------------------------------------------------------------------------------------- limits and order

NAPS = """
@step(OPTIONS)
def nap(n: int) -> float:
    time.sleep(0.25)
    return n / 2

@step
def free(n: int) -> float:
    time.sleep(0.25)
    return n / 3

@pipeline
def main():
    return [nap.map(over([1, 2, 3, 4])), free.map(over([1, 2, 3, 4]))]
"""
MANY = SETTINGS.replace("threads = 2", "threads = 8")


def of(result: RunResult, name: str) -> list[StepRecord]:
    return [step for step in result.steps if step.step.startswith(name)]


@pytest.mark.parametrize("profile", ["threads", "dask"])
def test_concurrency_limits_the_whole_run(profile: str, bench: Bench) -> None:
    bench.settings("concurrency = 2\n" + MANY)
    bench.write(NAPS.replace("(OPTIONS)", ""))
    result = bench.run(profile)
    assert overlap(list(result.steps)) == 2


@pytest.mark.parametrize("profile", ["threads", "dask"])
def test_a_group_limits_its_steps_only(profile: str, bench: Bench) -> None:
    bench.settings(MANY + "\n[limits]\ndatabase = 1\n")
    bench.write(NAPS.replace("OPTIONS", "limit='database'"))
    result = bench.run(profile)
    assert overlap(of(result, "nap")) == 1
    assert overlap(of(result, "free")) > 1


@pytest.mark.parametrize("profile", ["threads", "dask"])
def test_a_step_of_many_cores_has_them_to_itself(profile: str, bench: Bench) -> None:
    bench.write(NAPS.replace("OPTIONS", "resources=Resources(cpus=2)"))
    result = bench.run(profile)
    assert overlap(of(result, "nap")) == 1
    naps = spans(of(result, "nap"))
    assert not any(a < d and c < b for a, b in naps for c, d in spans(of(result, "free")))


@pytest.mark.parametrize("profile", ["inline", "threads", "dask"])
@pytest.mark.parametrize(
    ("wanted", "words"),
    [("cpus=64", "64"), ("gpus=1", "GPU|gpu"), ("named={'licences': 1}", "licences")],
)
def test_more_than_there_is_is_refused_and_says_so(profile: str, wanted: str, words: str, bench: Bench) -> None:
    bench.write(NAPS.replace("OPTIONS", f"resources=Resources({wanted})"))
    work = Workspace(store=bench.store, profile=profile)
    for ask in (work.plan, work.run):
        with pytest.raises(RequestError, match="step 'nap' asks for more than") as caught:
            ask(f"{bench.folder / bench.module}.py")
        assert re.search(words, str(caught.value))
    assert list_runs(work.store) == []


SPREAD = """
@step
def first(n: int) -> int:
    return n * 0

@step(resources=Resources(cpus=CPUS))
def second(n: int) -> int:
    return n

@pipeline
def main(n: int = 1):
    with when(first(n) > 0):
        never = second(n)
    return second(first(n))
"""


def test_what_will_be_too_large_is_refused_before_anything_runs_but_not_what_may_be_reused(bench: Bench) -> None:
    bench.write(SPREAD.replace("CPUS", "64"))
    with pytest.raises(RequestError, match="64 cpus of 2"):
        bench.run("threads")
    bench.write(SPREAD.replace("CPUS", "1"))
    assert bench.run("threads").succeeded
    bench.write(SPREAD.replace("CPUS", "64"))
    assert bench.run("threads", n=2).succeeded  # `first` gives what it gave, so `second` is reused


def test_the_higher_priority_goes_first(bench: Bench) -> None:
    bench.write("""
    @step
    def one(n: int) -> int:
        time.sleep(0.01)
        return n

    @pipeline
    def main():
        return [one.using(priority=p, name=f"p{p}")(p) for p in (1, 5, 3, 4, 2)]
    """)
    result = bench.run("single")
    order = sorted(result.steps, key=lambda step: spans([step])[0])
    assert [step.step for step in order] == ["p5", "p4", "p3", "p2", "p1"]


def test_order_without_data_is_kept_and_is_no_input(bench: Bench) -> None:
    text = """
    @step
    def early(n: int) -> int:
        time.sleep(0.3)
        return n

    @step
    def late(n: int) -> int:
        return n

    @pipeline
    def main(n: int = 1):
        first = early(n)
        return [first, late.using(after=[first])(7)]
    """
    bench.write(text)
    result = bench.run()
    assert spans([result["early"]])[0][1] <= spans([result["late"]])[0][0]
    assert ran(bench.run(n=2)) == ["early"]


# --------------------------------------------------------------------------------------------- what makes a step run

AGED = """
@step(fresh={fresh!r})
def fetch() -> float:
    return time.time()

@step
def use(x: float) -> float:
    return x

@pipeline
def main():
    return use(fetch())
"""


def test_a_result_is_reused_while_it_is_fresh(bench: Bench) -> None:
    bench.write(AGED.format(fresh="1h"))
    bench.run()
    assert ran(bench.run()) == []
    bench.write(AGED.format(fresh="10ms"))
    time.sleep(0.02)
    result = bench.run()
    assert ran(result) == ["fetch", "use"]
    assert "at most" in result["fetch"].reason
    # The newer result is the one that stands in from now on.
    bench.write(AGED.format(fresh="1h"))
    again = bench.run()
    assert ran(again) == []
    assert again.output == result.output


def test_an_effect_is_repeated_unless_it_is_to_happen_once(bench: Bench) -> None:
    bench.write("""
    def mark(name):
        with open(f"{MARKS}/{name}", "a") as out:
            out.write("x")

    @step
    def again(n: int) -> None:
        mark("again")

    @step(effect="once")
    def once(n: int) -> None:
        mark("once")

    @pipeline
    def main(n: int = 1):
        again(n)
        once(n)
    """)
    for expected in (["again", "once"], ["again"], ["again"]):
        assert ran(bench.run()) == expected
    assert ran(bench.run(n=2)) == ["again", "once"]
    assert {path.name: len(path.read_text()) for path in bench.marks.iterdir()} == {"again": 4, "once": 2}


def test_a_pinned_version_stands_for_the_code(bench: Bench) -> None:
    text = """
    @step(version="1")
    def work() -> int:
        return 1

    @pipeline
    def main():
        return work()
    """
    bench.write(text)
    bench.run()
    bench.write(text.replace("return 1", "return 2"))
    assert bench.run().output == 1
    bench.write(text.replace("return 1", "return 2").replace('"1"', '"2"'))
    result = bench.run()
    assert (ran(result), result.output) == (["work"], 2)


@pytest.mark.parametrize("profile", BACKENDS)
def test_declared_variables_are_set_for_the_step_alone_and_count(profile: str, bench: Bench) -> None:
    text = """
    @step(env={"HW_TEST_WORD": "WORD"})
    def told() -> str:
        return os.environ["HW_TEST_WORD"]

    @step
    def untold(n: str) -> bool:
        return "HW_TEST_WORD" in os.environ

    @pipeline
    def main():
        word = told()
        return [word, untold(word)]
    """
    bench.write(text.replace('"WORD"', '"one"'))
    assert bench.run(profile).output == ["one", False]
    bench.write(text.replace('"WORD"', '"two"'))
    result = bench.run(profile)
    assert result.output == ["two", False]
    assert "environment variable HW_TEST_WORD changed" in result["told"].reason
    assert "HW_TEST_WORD" not in os.environ


@pytest.mark.parametrize("profile", BACKENDS)
def test_secrets_reach_the_step_and_nothing_that_is_kept(
    profile: str, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "hunter2-and-more"
    monkeypatch.setenv("HEADWATER_SECRET_API_KEY", secret)
    bench.write("""
    @step(secrets=["API_KEY"])
    def call() -> int:
        print("the key is", os.environ["API_KEY"])
        sys.stderr.write(os.environ["API_KEY"] + "\\n")
        return len(os.environ["API_KEY"])

    @step(secrets=["API_KEY"])
    def failing(n: int) -> int:
        raise ValueError(f"refused: {os.environ['API_KEY']}")

    @step
    def without(n: int) -> bool:
        return "API_KEY" in os.environ

    @pipeline
    def main():
        n = call()
        return [without(n), failing(n)]
    """)
    result = bench.run(profile, options=RunOptions(fail_fast=False))
    assert statuses(result) == {"call": "ran", "without": "ran", "failing": "failed"}
    assert result.value("call") == len(secret)
    assert result.value("without") is False
    shown = "".join(line.text for line in read_text(Workspace(store=bench.store).store, result.run).lines)
    assert "the key is ***" in shown
    assert "refused: ***" in str(result["failing"].error)
    kept = [path for path in bench.store.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]
    assert kept == []


def test_a_secret_that_is_missing_is_named(bench: Bench) -> None:
    bench.write("""
    @step(secrets=["HW_NOT_THERE"], retry=3)
    def call() -> int:
        return 1

    @pipeline
    def main():
        return call()
    """)
    result = bench.run()
    assert len(result["call"].attempts) == 1
    assert "no secret 'HW_NOT_THERE'" in str(result["call"].error)


@pytest.mark.parametrize("profile", ["inline", "threads", "dask"])
def test_a_strict_step_sees_what_it_declared_and_nothing_else(
    profile: str, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HW_TEST_HIDDEN", "x")
    (bench.folder / "declared.txt").write_text("declared")
    (bench.folder / "other.txt").write_text("other")
    bench.write("""
    @step(strict=True, files=["declared.txt"], env={"HW_TEST_SET": "set"})
    def good() -> list[object]:
        return [Path("declared.txt").read_text(), os.environ["HW_TEST_SET"], "HW_TEST_HIDDEN" in os.environ]

    @step(strict=True)
    def bad() -> str:
        return Path("other.txt").read_text()

    @pipeline
    def main():
        return [good(), bad()]
    """)
    result = bench.run(profile, options=RunOptions(fail_fast=False))
    assert statuses(result) == {"good": "ran", "bad": "failed"}
    assert result.value("good") == ["declared", "set", False]
    assert "did not declare that it reads other.txt" in str(result["bad"].error)
    (bench.folder / "declared.txt").write_text("declared anew")
    assert bench.plan()["good"] == "run"


# ---------------------------------------------------------------------------------------------- control and placement


def test_a_fail_node_fails_the_run_with_its_words(bench: Bench) -> None:
    bench.write("""
    @step
    def score(n: int) -> float:
        return n / 10

    @pipeline
    def main(n: int = 1):
        found = score(n)
        with when(found > 0.5) as good:
            notify("good", found)
        with otherwise(good):
            fail("the score is too low")
        return found
    """)
    result = bench.run()
    assert result.status.value == "failed"
    assert statuses(result) == {"score": "ran", "when": "ran", "notify": "skipped", "fail": "failed"}
    assert "the score is too low" in str(result["fail"].error)
    assert bench.run(n=9).succeeded


PLACED = """
@step
def here(n: int) -> int:
    return os.getpid()

@step
def there(n: int) -> int:
    return os.getpid()

@pipeline
def main():
    return [here.using(backend="inline")(1), there(2), there.using(name="third")(3)]
"""


def test_each_step_of_a_run_may_have_its_own_backend(bench: Bench) -> None:
    bench.settings(SETTINGS + '\n[profile.threads.steps.third]\nbackend = "dask"\n')
    bench.write(PLACED)
    result = bench.run()
    assert {step.step: step.backend for step in result.steps} == {
        "here": "inline",
        "there": "threads",
        "third": "dask",
    }
    here, there, third = result.output  # type: ignore[misc]
    assert here == there == os.getpid()
    assert third != os.getpid()


def test_a_profile_overrides_what_steps_ask_for_and_no_key(bench: Bench) -> None:
    text = """
    @step
    def slow(n: int) -> int:
        time.sleep(n)
        return n

    @pipeline
    def main(n: float = 0.0):
        return slow(n)
    """
    bench.write(text)
    key = bench.run()["slow"].key
    bench.settings(SETTINGS + '\n[steps.slow]\ntimeout = "300ms"\nretry = 2\nresources = { cpus = 2 }\npriority = 3\n')
    again = bench.run()
    assert (ran(again), again["slow"].key) == ([], key)
    result = bench.run(n=30)
    assert [attempt.fault for attempt in result["slow"].attempts] == ["resource"] * 3
    assert "0.3 seconds" in str(result["slow"].error)
    bench.settings(SETTINGS + "\n[steps.slow]\nresources = { cpus = 99 }\n")
    with pytest.raises(RequestError, match="slow") as raised:
        bench.run(n=1)
    assert "99" in str(raised.value.facts)


def test_an_unknown_backend_is_named_before_anything_runs(bench: Bench) -> None:
    bench.write(PLACED.replace('backend="inline"', 'backend="inlin"'))
    with pytest.raises(Exception, match="inlin"):
        bench.run()


# ---------------------------------------------------------------------------------------------------------- results


def test_an_output_that_a_step_does_not_have_is_named(bench: Bench) -> None:
    bench.write("""
        @step
        def parts() -> tuple[int, str]:
            return 1, "one"

        @pipeline
        def main():
            number, word = parts()
            return word
    """)
    result = bench.run()
    assert [result.value("parts", name) for name in result["parts"].outputs] == [1, "one"]
    with pytest.raises(RequestError, match="no output 'result'") as raised:
        result.value("parts")
    assert raised.value.facts["outputs"] == ", ".join(result["parts"].outputs)
