"""The scheduler, rule by rule: what is told, and what it asks for."""

from __future__ import annotations

import pytest

from headwater.errors import ConfigError, DefinitionError
from headwater.schedule import (
    Cancel,
    CancelRequested,
    Choice,
    ConditionKnown,
    Decide,
    Element,
    Expand,
    Expanded,
    Failed,
    Finished,
    Guard,
    Limits,
    Miss,
    Patience,
    Pause,
    Reason,
    Refused,
    Resumed,
    Reuse,
    Scheduler,
    Settled,
    Start,
    Started,
    StepSpec,
    Succeeded,
    Wait,
    Withdrawn,
    Woken,
    shortages,
)
from headwater.schedule.state import Phase
from headwater.types import Fault, Resources, Retry, RunStatus, StepStatus

LIMITS = Limits(backends={"near": Resources(cpus=4, memory="8GB"), "far": None}, groups={"gpu": 1})


def step(name, *needs, **more):
    more.setdefault("backend", None if more.get("control") else "near")
    return StepSpec(name, needs=needs, **more)


def known(name, value):
    return Miss(name), ConditionKnown(name, value)


def condition(name, *needs, **more):
    return step(name, *needs, control=True, **more)


class Run:
    """A scheduler that is checked after every event."""

    def __init__(self, *steps, limits=LIMITS, fail_fast=False, cancel_running=False):
        self.scheduler = Scheduler(steps, limits, fail_fast=fail_fast, cancel_running=cancel_running)
        self.begun = self.scheduler.start()
        self.scheduler.validate()

    def tell(self, *events):
        actions = [action for event in events for action in self.scheduler.handle(event)]
        self.scheduler.validate()
        return actions

    def miss(self, *names):
        return self.tell(*(Miss(name) for name in names))

    def fail(self, name, fault, attempt=1):
        return self.tell(Failed(name, attempt, fault))

    def statuses(self):
        return {name: str(one.status) for name, one in self.scheduler.summary().steps.items()}

    def why(self, name):
        one = self.scheduler.summary().steps[name]
        return one.reason, one.because


def ran(name):
    return Settled(name, StepStatus.RAN)


# -------------------------------------------------------------------------------------------------- one step's way


def test_a_chain_is_decided_started_and_settled_one_after_the_other():
    run = Run(step("a"), step("b", "a"))
    assert run.begun == [Decide("a")]
    assert run.miss("a") == [Start("a", 1)]
    assert run.tell(Started("a", 1)) == []
    assert run.tell(Succeeded("a", 1)) == [ran("a"), Decide("b")]
    assert run.tell(Reuse("b")) == [Settled("b", StepStatus.REUSED), Finished(RunStatus.SUCCEEDED)]
    assert run.scheduler.status is RunStatus.SUCCEEDED
    assert run.statuses() == {"a": "ran", "b": "reused"}


def test_nothing_to_do_is_done_at_once():
    assert Run().begun == [Finished(RunStatus.SUCCEEDED)]
    run = Run(step("a", wanted=False))
    assert run.begun == [Finished(RunStatus.SUCCEEDED)]
    assert run.why("a") == (Reason.NOT_SELECTED, None)


def test_it_begins_once_and_only_when_told():
    scheduler = Scheduler([step("a")], LIMITS, fail_fast=False)
    assert scheduler.handle(Miss("a")) == []
    assert scheduler.start() == [Decide("a")]
    assert scheduler.start() == []


def test_a_control_step_takes_no_room():
    run = Run(step("a", control=True), step("b", control=True), limits=Limits(backends={}, concurrency=1))
    assert run.miss("a", "b") == [Start("a", 1), Start("b", 1)]
    run.tell(Succeeded("b", 1))
    assert run.tell(Succeeded("a", 1)) == [ran("a"), Finished(RunStatus.SUCCEEDED)]


def test_a_run_that_is_taken_up_again_goes_on_counting_attempts():
    run = Run(step("a", retry=Retry(2)))
    assert run.tell(Miss("a", attempt=3, failures=2)) == [Start("a", 3)]
    run.fail("a", Fault.USER, attempt=3)
    assert run.statuses() == {"a": "failed"}


def test_a_refused_step_failed():
    run = Run(step("a"), step("b", "a"))
    assert run.tell(Refused("a", Fault.CONFIG, "no such file")) == [
        Settled("a", StepStatus.FAILED, reason=Reason.FAULT, fault=Fault.CONFIG, message="no such file"),
        Finished(RunStatus.FAILED),
    ]
    assert run.why("b") == (Reason.BLOCKED, "a")


@pytest.mark.parametrize(
    "event",
    [
        Succeeded("a", 1),
        Succeeded("a", 2),
        Failed("a", 1, Fault.USER),
        Reuse("a"),
        Miss("a"),
        Refused("a", Fault.USER),
        Expanded("a", 2),
        ConditionKnown("a", value=True),
        Started("a", 1),
        Woken(1),
        Resumed("near"),
        Resumed("nowhere"),
        Withdrawn("nowhere", Fault.CONFIG),
        Succeeded("nobody", 1),
        Miss("nobody"),
    ],
    ids=str,
)
def test_what_comes_late_or_makes_no_sense_changes_nothing(event):
    run = Run(step("a"), step("b"))
    run.miss("a")
    run.tell(Succeeded("a", 1))
    before = run.scheduler.summary()
    assert run.tell(event) == []
    assert run.scheduler.summary() == before


def test_a_success_of_an_attempt_that_was_given_up_changes_nothing():
    for seconds, limits in [(1, LIMITS), (0, Limits(backends={"near": Resources(cpus=1)}))]:
        run = Run(step("a"), step("b"), limits=limits)
        run.miss("a", "b")
        if seconds:
            assert run.fail("a", Fault.TRANSIENT) == [Wait(3, "a", 1.0)]
        else:
            run.tell(Failed("a", 1, Fault.AUTH))  # queues again, paused
        assert run.tell(Succeeded("a", 1)) == []
        begun = run.tell(Woken(3) if seconds else Resumed("near"))
        assert Start("a", 2) in begun
        assert ran("a") in run.tell(Succeeded("a", 2))


# ------------------------------------------------------------------------------------------------------- conditions


@pytest.mark.parametrize(("value", "status"), [(True, "pending"), (False, "skipped")])
def test_a_guard_lets_through_what_was_expected(value, status):
    run = Run(condition("good"), step("a", guards=(Guard("good", expected=True),)), step("b", "a"))
    run.tell(*known("good", value))
    assert run.statuses() == {"good": "ran", "a": status, "b": status}
    if not value:
        assert run.why("a") == (Reason.CONDITION, "good")
        assert run.why("b") == (Reason.INPUT_SKIPPED, "good")


@pytest.mark.parametrize(("value", "taken"), [(True, "a"), (False, "b")])
def test_a_choice_waits_for_the_taken_side_only(value, taken):
    run = Run(
        condition("good"),
        step("a", guards=(Guard("good", expected=True),)),
        step("b", guards=(Guard("good", expected=False),)),
        step("end", either_needs=(Choice("good", ("a",), ("b",)),)),
    )
    assert Decide(taken) in run.tell(*known("good", value))
    assert run.tell(Reuse(taken))[-1] == Decide("end")


def test_a_choice_of_a_side_that_was_skipped_is_skipped():
    run = Run(
        condition("good"),
        condition("other"),
        step("a", guards=(Guard("other", expected=True),)),
        step("end", either_needs=(Choice("good", ("a",), ()),)),
    )
    run.tell(*known("other", value=False), *known("good", value=True))
    assert run.statuses()["end"] == "skipped"


def test_a_skip_is_the_same_whether_it_comes_before_or_after_a_failure():
    for first in (True, False):
        run = Run(condition("good"), step("a"), step("b", "a", guards=(Guard("good", expected=True),)))
        skip, fail = known("good", value=False), (Refused("a", Fault.USER),)
        run.tell(*((*skip, *fail) if first else (*fail, *skip)))
        assert run.statuses()["b"] == "skipped"


def test_what_only_comes_after_runs_after_a_skip_but_not_after_a_failure():
    guard = (Guard("good", expected=True),)
    run = Run(condition("good"), step("a", guards=guard), step("b", after=("a",)))
    assert run.tell(*known("good", value=False))[-1] == Decide("b")
    run = Run(step("a"), step("b", after=("a",)))
    run.tell(Refused("a", Fault.USER))
    assert run.why("b") == (Reason.BLOCKED, "a")


def test_a_condition_must_come_out_either_way():
    run = Run(condition("good"), step("a", guards=(Guard("good", expected=True),)))
    run.tell(Miss("good"), Succeeded("good", 1))
    assert run.scheduler.summary().steps["good"].fault is Fault.CONTRACT
    run = Run(condition("good"), step("a", guards=(Guard("good", expected=True),)))
    run.tell(Reuse("good"))
    assert run.scheduler.summary().steps["good"].fault is Fault.CONTRACT


def test_a_condition_may_be_reused():
    run = Run(condition("good"), step("a", guards=(Guard("good", expected=True),)))
    assert run.tell(Reuse("good", value=True)) == [Settled("good", StepStatus.REUSED), Decide("a")]


# -------------------------------------------------------------------------------------------------------------- maps


def test_a_map_becomes_its_elements_and_is_final_with_the_last():
    run = Run(step("train", is_map=True), step("best", "train"))
    assert run.begun == [Expand("train")]
    assert run.tell(Expanded("train", 2)) == [Decide("train[0]"), Decide("train[1]")]
    run.tell(Reuse("train[1]"))
    run.miss("train[0]")
    assert run.tell(Succeeded("train[0]", 1)) == [ran("train[0]"), ran("train"), Decide("best")]
    assert list(run.statuses()) == ["train", "train[0]", "train[1]", "best"]


def test_a_map_over_nothing_is_reused():
    run = Run(step("train", is_map=True), step("best", "train"))
    assert run.tell(Expanded("train", 0)) == [Settled("train", StepStatus.REUSED), Decide("best")]


def test_elements_of_a_chained_map_wait_for_their_own_source_only():
    run = Run(step("clean", is_map=True), step("train", is_map=True, over_maps=("clean",)))
    assert run.tell(Expanded("clean", 2))[-1] == Expand("train")
    assert run.tell(Expanded("train", 2)) == []
    assert run.tell(Reuse("clean[1]")) == [Settled("clean[1]", StepStatus.REUSED), Decide("train[1]")]
    run.tell(Refused("clean[0]", Fault.USER), Reuse("train[1]"))
    assert run.statuses() == {
        "clean": "failed",
        "clean[0]": "failed",
        "clean[1]": "reused",
        "train": "pending",
        "train[0]": "pending",
        "train[1]": "reused",
    }
    assert run.why("clean") == (Reason.ELEMENT, "clean[0]")
    assert run.why("train") == run.why("train[0]") == (Reason.BLOCKED, "clean[0]")


def test_an_element_may_take_a_step_of_its_own():
    run = Run(step("a"), step("b"), step("m", is_map=True, over_needs=("a", "b")))
    assert Expand("m") in run.begun
    assert run.tell(Expanded("m", 2, (Element(("a",)), Element(("b",))))) == []
    assert run.tell(Reuse("b"))[-1] == Decide("m[1]")


@pytest.mark.parametrize(
    ("expanded", "message"),
    [
        (Expanded("m", 3), "m has 3 elements, but s, which it goes along with, has 2"),
        (Expanded("m", 2, (Element(),)), "m has 2 elements, but 1 were described"),
        (Expanded("m", 2, (Element(), Element(("x",)))), "element 1 of m takes x, which m did not announce"),
    ],
)
def test_an_expansion_that_does_not_fit_fails_the_map(expanded, message):
    run = Run(step("x"), step("s", is_map=True), step("m", is_map=True, over_maps=("s",)))
    run.tell(Expanded("s", 2), expanded)
    one = run.scheduler.summary().steps["m"]
    assert (one.status, one.fault, one.message) == (StepStatus.FAILED, Fault.CONTRACT, message)


def test_a_chained_map_comes_out_alike_however_early_its_source_is_known_to_be_skipped():
    def begin():
        run = Run(
            condition("good"),
            step("x", guards=(Guard("good", expected=True),)),
            step("late"),
            step("s", is_map=True, over_needs=("x",)),
            step("m", "late", is_map=True, over_maps=("s",)),
        )
        run.tell(Expanded("s", 1, (Element(("x",)),)))
        return run

    skip, late = known("good", value=False), (Reuse("late"),)
    for events in ((*skip, *late), (*late, *skip)):
        run = begin()
        run.tell(*events, Expanded("m", 1))
        assert run.statuses()["m[0]"] == run.statuses()["m"] == "skipped"
        assert run.why("m") == (Reason.ELEMENT, "m[0]")


def test_of_a_map_the_worst_element_counts():
    names = {"failed": Fault.USER, "cancelled": Fault.CANCELLED}
    run = Run(
        condition("good"),
        step("x", guards=(Guard("good", expected=True),)),
        step("m", is_map=True, over_needs=("x",)),
    )
    run.tell(Expanded("m", 3, (Element(("x",)), Element(), Element())), *known("good", value=False))
    run.miss("m[1]", "m[2]")
    run.fail("m[1]", names["cancelled"])
    run.tell(Succeeded("m[2]", 1))
    assert run.statuses()["m"] == "cancelled"
    assert run.scheduler.status is RunStatus.FAILED


# ------------------------------------------------------------------------------------------------------------ faults


@pytest.mark.parametrize(
    ("fault", "times", "pauses", "attempt"),
    [
        (Fault.TRANSIENT, 8, [1, 2, 4, 8, 16, 32, 60, 60], 9),
        (Fault.CAPACITY, 8, [30, 60, 120, 240, 480, 600, 600, 600], 9),
        (Fault.LOST, 5, [], 6),
        (Fault.PREEMPTED, 5, [], 6),
        (Fault.USER, 3, [10, 30, 90], 4),
        (Fault.RESOURCE, 3, [10, 30, 90], 4),
        (Fault.CONFIG, 0, [], 1),
        (Fault.CONTRACT, 0, [], 1),
        (Fault.UNSUPPORTED, 0, [], 1),
    ],
)
def test_how_often_a_fault_is_borne(fault, times, pauses, attempt):
    run = Run(step("a", retry=Retry(3, wait="10s", factor=3)))
    begun, waited = run.miss("a"), []
    for _ in range(times):
        actions = run.fail("a", fault, begun[-1].attempt)
        waited += [action.seconds for action in actions if isinstance(action, Wait)]
        begun = run.tell(Woken(actions[-1].token)) if isinstance(actions[-1], Wait) else actions
        assert isinstance(begun[-1], Start)
    assert (waited, begun[-1].attempt) == (pauses, attempt)
    run.fail("a", fault, attempt)
    one = run.scheduler.summary().steps["a"]
    assert (one.status, one.fault, one.attempts) == (StepStatus.FAILED, fault, attempt)


def test_only_listed_faults_are_retried():
    run = Run(step("a", retry=Retry(3, on=(Fault.RESOURCE,))))
    run.miss("a")
    run.fail("a", Fault.USER)
    assert run.statuses() == {"a": "failed"}


def test_a_pause_never_outgrows_the_calendar():
    run = Run(step("a", retry=Retry(10_000, wait="1d", factor=1e9)))
    run.tell(Miss("a", failures=5000))
    assert run.fail("a", Fault.USER)[-1].seconds == 30 * 86400


def test_missing_credentials_pause_the_backend_until_it_is_resumed():
    run = Run(step("a"), step("b"), step("c", backend="far"))
    run.miss("a")
    assert run.tell(Failed("a", 1, Fault.AUTH, "expired")) == [Pause("near", "expired")]
    assert run.miss("b", "c") == [Start("c", 1)]
    assert run.tell(Resumed("near")) == [Start("a", 2), Start("b", 1)]
    assert run.tell(Failed("a", 2, Fault.AUTH)) == [Pause("near", "")]
    assert run.tell(Failed("b", 1, Fault.AUTH)) == []


def test_a_withdrawn_backend_fails_what_would_start_there():
    run = Run(step("a"), step("b"), step("c"))
    run.miss("a", "b")
    run.tell(Failed("a", 1, Fault.AUTH), Withdrawn("near", Fault.AUTH, "nobody signed in"))
    run.miss("c")
    run.tell(Withdrawn("near", Fault.CONFIG))
    assert run.statuses() == {"a": "failed", "b": "running", "c": "failed"}
    assert run.tell(Succeeded("b", 1)) == [ran("b"), Finished(RunStatus.FAILED)]


# --------------------------------------------------------------------------------------------------- failure, cancel


def test_independent_steps_still_run_after_a_failure():
    run = Run(step("a"), step("b", "a"), step("c"), step("d", "c"))
    run.miss("a", "c")
    run.fail("a", Fault.USER)
    run.tell(Succeeded("c", 1))
    run.tell(Reuse("d"))
    assert run.statuses() == {"a": "failed", "b": "pending", "c": "ran", "d": "reused"}


def test_failing_fast_lets_running_steps_finish_and_begins_nothing():
    run = Run(step("a"), step("b"), step("c", "b"), step("d"), fail_fast=True)
    run.miss("a", "b")
    assert run.fail("a", Fault.USER)[1:] == []
    assert run.miss("d") == []
    assert run.tell(Succeeded("b", 1)) == [ran("b"), Finished(RunStatus.FAILED)]
    assert run.why("c") == run.why("d") == (Reason.STOPPED, "a")


def test_failing_fast_may_stop_what_runs():
    run = Run(step("a"), step("b"), fail_fast=True, cancel_running=True)
    run.miss("a", "b")
    assert run.fail("a", Fault.USER)[-1] == Cancel("b", 1, 10.0)
    run.fail("b", Fault.LOST)
    assert run.statuses() == {"a": "failed", "b": "cancelled"}
    assert run.why("b") == (Reason.STOPPED, "a")


@pytest.mark.parametrize(
    ("fault", "status"),
    [(Fault.USER, "failed"), (Fault.LOST, "cancelled"), (Fault.TRANSIENT, "cancelled"), (Fault.AUTH, "cancelled")],
)
def test_failing_fast_does_not_try_again(fault, status):
    for before in (True, False):
        run = Run(step("a"), step("b", retry=Retry(5, wait="1s")), fail_fast=True)
        run.miss("a", "b")
        one, other = ("b", fault), ("a", Fault.USER)
        for name, what in [one, other] if before else [other, one]:
            run.fail(name, what)
        if not (before and fault is Fault.LOST):  # a lost attempt was followed by another at once; that one finishes
            assert run.statuses() == {"a": "failed", "b": status}
            assert run.scheduler.status is RunStatus.FAILED


@pytest.mark.parametrize(
    "events",
    [
        (Miss("stop"), Succeeded("stop", 1)),
        (Miss("stop"), Failed("stop", 1, Fault.USER, "too bad")),
        (Reuse("stop"),),
        (Refused("stop", Fault.USER),),
    ],
)
def test_a_fail_step_ends_the_run_even_if_it_would_keep_going(events):
    run = Run(step("stop", control=True, fails_run=True), step("a"))
    assert run.tell(*events)[-1] == Finished(RunStatus.FAILED)
    assert run.why("a") == (Reason.STOPPED, "stop")


def test_a_cancelled_run_ends_when_its_running_steps_do():
    run = Run(step("a"), step("b"), step("c", "a"), step("d", wanted=False), step("m", is_map=True))
    run.miss("a", "b")
    run.tell(Expanded("m", 1))
    actions = run.tell(CancelRequested())
    assert [a for a in actions if isinstance(a, Cancel)] == [Cancel("a", 1, 10.0), Cancel("b", 1, 10.0)]
    assert run.tell(CancelRequested()) == []
    assert run.tell(CancelRequested(hard=True)) == [Cancel("a", 1, 0.0), Cancel("b", 1, 0.0)]
    assert run.tell(Succeeded("a", 1)) == [ran("a")]
    run.fail("b", Fault.USER)
    assert run.scheduler.status is RunStatus.CANCELLED
    assert run.statuses() == {
        "a": "ran",
        "b": "cancelled",
        "c": "cancelled",
        "d": "pending",
        "m": "cancelled",
        "m[0]": "cancelled",
    }


def test_a_run_may_be_cancelled_before_it_begins():
    scheduler = Scheduler([step("a")], LIMITS, fail_fast=False)
    assert scheduler.handle(CancelRequested())[-1] == Finished(RunStatus.CANCELLED)
    assert scheduler.start() == []


def test_a_step_that_somebody_else_cancelled_fails_the_run():
    run = Run(step("a"), step("b", "a"))
    run.miss("a")
    assert run.fail("a", Fault.CANCELLED)[-1] == Finished(RunStatus.FAILED)
    assert run.why("b") == (Reason.BLOCKED, "a")


# ---------------------------------------------------------------------------------------------------------- selection


def test_what_is_needed_by_something_wanted_is_selected_but_mere_order_is_not():
    def left(name, *needs, **more):
        return step(name, *needs, wanted=False, **more)

    run = Run(left("a"), left("b", "a"), left("before"), left("after", "b"), step("end", "b", after=("before",)))
    assert run.begun == [Decide("a")]
    run.tell(Reuse("a"), Reuse("b"), Reuse("end"))
    assert run.scheduler.status is RunStatus.SUCCEEDED
    assert run.statuses() == {"a": "reused", "b": "reused", "before": "pending", "after": "pending", "end": "reused"}


# ----------------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([step("a"), step("a")], "two steps are called 'a'"),
        ([step("a", "b")], "'a' depends on 'b', which does not exist"),
        ([step("a", after=("b",))], "'b', which does not exist"),
        ([step("a", "a")], "a → a"),
        ([step("z"), step("a", "c", "z"), step("b", "a"), step("c", after=("b",))], "a → b → c → a"),
        ([step("a"), step("b", guards=(Guard("a", expected=True),))], "'a' is not a condition"),
        ([step("a"), step("b", is_map=True, over_maps=("a",))], "'a' is not a map"),
        ([step("a", is_map=True), step("b", over_maps=("a",))], "'b' has elements but is not a map"),
        ([step("a", is_map=True), step("a[0]")], "'a[0]' is the name of an element of 'a'"),
        ([step("a", is_map=True, control=True)], "both a map and a control step"),
        ([step("a", resources=Resources(cpus=-1))], "less than nothing"),
    ],
)
def test_steps_that_do_not_fit_together_are_refused(steps, message):
    with pytest.raises(DefinitionError) as error:
        Scheduler(steps, LIMITS, fail_fast=False)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("one", "limits", "message"),
    [
        (step("a", backend="moon"), LIMITS, "not a backend of this run"),
        (step("a", limit_group="db"), LIMITS, "has no number"),
        (step("a"), Limits(backends=LIMITS.backends, concurrency=0), "at least one attempt"),
        (step("a"), Limits(backends=LIMITS.backends, groups={"db": 0}), "at least one step"),
    ],
)
def test_limits_that_cannot_be_are_refused(one, limits, message):
    with pytest.raises(ConfigError, match=message):
        Scheduler([one], limits, fail_fast=False)


def test_a_step_that_can_never_fit_may_be_reused_but_not_run():
    large = Resources(cpus=16, memory="9GB", gpus=1, named={"licence": 0.5})
    steps = [step("a", resources=large), step("b", backend="far", resources=large)]
    shortage = "16 cpus of 4, 1 gpus of 0, 9000000000 memory of 8000000000, 0.5 named.licence of 0"
    assert shortages(steps, LIMITS) == {"a": shortage}
    run = Run(*steps)
    run.tell(Reuse("a"))
    assert run.statuses()["a"] == "reused"
    run = Run(*steps)
    run.miss("a", "b")
    one = run.scheduler.summary().steps["a"]
    assert (one.status, one.fault) == (StepStatus.FAILED, Fault.UNSUPPORTED)
    assert shortage in one.message
    assert run.statuses()["b"] == "running"


def test_patience_can_be_set():
    run = Run(step("a"), limits=Limits(backends=LIMITS.backends, patience=Patience(lost_times=0)))
    run.miss("a")
    assert run.fail("a", Fault.LOST)[-1] == Finished(RunStatus.FAILED)


# --------------------------------------------------------------------------------------------------------- validation


@pytest.mark.parametrize(
    ("sabotage", "message"),
    [
        (lambda s: s._steps["b"].edges.clear(), "c misses 0 inputs, but counts 1"),
        (lambda s: setattr(s._steps["c"], "missing", 0), "c misses 1 inputs, but counts 0"),
        (lambda s: s._queue.release(s._steps["a"].lane), "near counts"),
        (lambda s: setattr(s._steps["a"], "status", StepStatus.PENDING), "a went from running to pending"),
        (lambda s: s._books.move(s._steps["c"], Phase.READY), "c is READY, though b is not there"),
        (lambda s: setattr(s._queue.whole, "used", 7), "the run counts 7"),
        (lambda s: setattr(s._books, "status", RunStatus.SUCCEEDED), "the run is succeeded, but 2 steps are under way"),
        (lambda s: s._books.settle(s._steps["c"], StepStatus.SKIPPED), "c was skipped without a cause"),
        (lambda s: s._books.rest(s._steps["b"], 1.0) or s._books.resting.clear(), "rests"),
    ],
)
def test_validate_sees_what_is_wrong(sabotage, message):
    run = Run(step("a"), step("b"), step("c", "b"))
    run.miss("a")
    sabotage(run.scheduler)
    with pytest.raises(AssertionError, match=message):
        run.scheduler.validate()
