"""Time left, from what steps took before."""

from __future__ import annotations

from headwater.run.outlook import Outlook, Progress, Stage, time_left

CHAIN = (Stage("a", (), 10.0), Stage("b", ("a",), 5.0), Stage("c", (), 4.0))


def test_the_longest_way_counts_or_all_work_shared() -> None:
    assert time_left(Outlook(CHAIN, lanes=8), Progress(), 0.0) == (15.0, True)
    assert time_left(Outlook(CHAIN, lanes=1), Progress(), 0.0) == (19.0, True)


def test_what_has_run_so_far_is_taken_off() -> None:
    progress = Progress(settled={"c"}, running={"a": 100.0})
    assert time_left(Outlook(CHAIN, lanes=1), progress, 103.0) == (12.0, True)
    assert time_left(Outlook(CHAIN, lanes=1), progress, 500.0) == (5.0, True)
    assert time_left(Outlook(CHAIN, lanes=1), Progress(settled={"a", "b", "c"}), 0.0) is None


def test_a_map_counts_its_elements() -> None:
    outlook = Outlook((Stage("m", (), 2.0), Stage("end", ("m",), 1.0)), lanes=2)
    progress = Progress(sizes={"m": 10}, ended={"m": 4}, running={"m[4]": 9.0, "m[5]": 10.0})
    # Two of six run: one of them for a second. (1 + 2 + four times 2) / 2 lanes, then the last step.
    assert time_left(outlook, progress, 10.0) == (6.5, True)


def test_a_step_that_never_ran_makes_it_a_lower_bound() -> None:
    unknown = (*CHAIN, Stage("d", ("b",), None))
    assert time_left(Outlook(unknown, lanes=8), Progress(), 0.0) == (15.0, False)
    guarded = (*CHAIN, Stage("d", ("b",), None, is_guarded=True))
    assert time_left(Outlook(guarded, lanes=8), Progress(), 0.0) == (15.0, True)
    assert time_left(Outlook((Stage("d", (), None),)), Progress(), 0.0) is None
