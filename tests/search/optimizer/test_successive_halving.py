"""Levels in integers, and who goes on from each."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.optimizer.successive_halving import (
    Rung,
    SuccessiveHalving,
    crowding,
    rung_epochs,
    rungs_of_epochs,
    rungs_of_splits,
)

LEVELS = rungs_of_epochs("fold1", 6, early_stopping=True)


def halving(points, maximize=(True, False), epoch=2):
    made = SuccessiveHalving(LEVELS, maximize)
    for number, values in enumerate(points):
        assert made.note(number, epoch, values)
    return made


@given(st.integers(1, 10_000))
def test_trials_are_judged_after_a_ninth_and_a_third_and_short_ones_later_or_never(epochs):
    found = rung_epochs(epochs)
    assert all(0 < rung < epochs for rung in found)
    assert found == tuple(sorted(set(found)))
    assert len(found) == (0 if epochs < 6 else 1 if epochs < 9 else 2)
    if len(found) == 2:
        assert 9 * found[0] <= epochs < 9 * (found[0] + 1)
        assert 3 * found[1] <= epochs < 3 * (found[1] + 1)


def test_levels_of_epochs_are_one_training():
    assert rungs_of_epochs("25", 32, early_stopping=True) == (
        Rung("25", 0, 3),
        Rung("25", 0, 10),
        Rung("25", 0, 32),
    )
    assert rungs_of_epochs("25", 32, early_stopping=False) == (Rung("25", 0, 32),)


def test_levels_of_splits_are_trainings_of_their_own():
    assert rungs_of_splits(["5", "10", "100"], 4) == (Rung("5", 0, 4), Rung("10", 4, 8), Rung("100", 8, 12))


@pytest.mark.parametrize(("epoch", "level"), [(0, 0), (1, 0), (2, 1), (5, 1), (6, 1)])
def test_a_trial_at_the_end_of_a_level_is_in_the_next(epoch, level):
    assert SuccessiveHalving(LEVELS, [True]).level(epoch) == level


@given(st.integers(0, 30))
def test_a_third_goes_on(count):
    made = halving([(0.5 - n / 100, n) for n in range(count)])
    assert len(made.promotable()) == count // 3


def test_when_no_others_come_places_are_rounded_up():
    made = halving([(0.9, 1), (0.5, 1), (0.4, 1), (0.3, 1)])
    assert (made.promotable(), made.promotable_at_last(1), made.promotable_at_last(0)) == ([0], [0, 1], [])
    assert halving([(0.9, 1)]).promotable_at_last(2) == [0]


def test_who_is_expected_to_be_good_is_ranked_by_that():
    made = halving([(0.9, 1), (0.5, 1), (0.4, 1)])
    made.expected[2] = (0.95, 1.0)
    assert made.promotable() == [2]


def test_the_better_fronts_go_on():
    first, second = [(0.5, 5), (0.2, 1)], [(0.4, 6), (0.1, 2)]
    assert sorted(halving([*second, *first, (0.0, 9), (0.0, 9)]).promotable()) == [2, 3]


def test_of_equals_the_loneliest_go_on():
    front = [(0.1, 1), (0.2, 2), (0.21, 2.1), (0.22, 2.2), (0.9, 9), (0.3, 3)]
    assert sorted(halving(front).promotable()) == [0, 4]


def test_who_has_gone_on_is_not_promoted_again_and_keeps_its_place():
    made = halving([(0.9, 1), (0.5, 1), (0.4, 1), (0.3, 1), (0.2, 1), (0.1, 1)])
    assert made.promotable() == [0, 1]
    made.go_on(0, 2)
    assert made.promotable() == [1]
    made.note(1, 3, (0.6, 1))  # seen on its way up
    assert made.promotable() == []


def test_highest_levels_first():
    made = SuccessiveHalving(rungs_of_epochs("fold1", 27, early_stopping=True), [True])
    for number in range(3):
        made.note(number, 3, (number,))
    for number in range(10, 12):
        made.note(number, 9, (number,))
    assert made.promotable() == [11, 2]


LONG = rungs_of_epochs("fold1", 32, early_stopping=True)  # judged after 3 and 10 epochs


@pytest.mark.parametrize(("work", "goes_on"), [(3.0, [1]), (3.2, [])])
def test_what_costs_less_to_finish_than_to_judge_a_large_one_goes_on_at_once(work, goes_on):
    made = SuccessiveHalving(LONG, (True, False))
    made.note(0, 3, (0.5, 30.0), work=30.0)
    made.note(1, 3, (0.2, work), work=work)  # 29 epochs are left of it, and 3 of the other were 90
    assert made.promotable() == goes_on


def test_a_bargain_is_of_the_best_front_and_goes_on_once():
    made = SuccessiveHalving(LONG, (True, False))
    for number, values in enumerate([(0.5, 30.0), (0.2, 2.0), (0.1, 2.5)]):
        made.note(number, 3, values, work=values[1])
    made.go_on(1, 3)
    made.go_on(0, 3)
    assert made.promotable() == []
    made.note(1, 10, (0.3, 2.0), work=2.0)  # at the next level 22 epochs are left
    assert made.promotable() == [1]


def test_there_are_no_more_bargains_once_a_trial_is_on_its_way_to_the_end():
    made = SuccessiveHalving(LONG, (True, False))
    for number, values in enumerate([(0.5, 30.0), (0.2, 2.0)]):
        made.note(number, 3, values, work=values[1])
    made.note(0, 11, (0.6, 30.0), work=30.0)
    assert made.promotable() == []


def test_there_are_no_bargains_where_later_levels_are_on_more_clips():
    made = SuccessiveHalving(rungs_of_splits(["5", "100"], 4), (True, False))
    made.note(0, 4, (0.5, 30.0), work=30.0)
    made.note(1, 4, (0.2, 1.0), work=1.0)
    assert made.promotable() == []


def test_it_says_where_a_trial_stands():
    made = halving([(0.9, 1), (0.5, 1), (0.4, 1)])
    made.go_on(0, 2)
    assert made.why(1, 2) == "epoch 2: number 2 of the 3 trials that got there, of which 1 went on"


def test_crowding_is_nsga_iis():
    values = np.array([[0.0, 4.0], [1.0, 3.0], [3.0, 1.0], [4.0, 0.0]])
    assert crowding(values, np.zeros(4, int)).tolist() == [np.inf, 3 / 4 + 3 / 4, 3 / 4 + 3 / 4, np.inf]
