"""ASHA: the rungs in integers, and who is promoted from each."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.optimizer.successive_halving import (
    Rung,
    SuccessiveHalving,
    crowding_distance,
    rung_epochs,
    rung_index,
    rungs_of_epochs,
    rungs_of_splits,
)
from search.optimizer.trial_table import State, TrialTable
from tests.search.rows import row

RUNGS = rungs_of_epochs("fold1", 6, early_stopping=True)  # after 2 epochs, and the last
OBJECTIVES = ("macro_accuracy", "macs")


def halving(rows, rungs=RUNGS, objectives=OBJECTIVES):
    table = TrialTable()
    for each in rows:
        table.add(each)
    return SuccessiveHalving(table, rungs, objectives, 10)


def recorded(points, epochs=2):
    """Return trials of these accuracies and of a thousand MACs and some more, paused after so many epochs."""
    return [row(number, epochs, accuracy, 1_000 + macs) for number, (accuracy, macs) in enumerate(points)]


@given(st.integers(1, 10_000))
def test_rungs_end_after_a_ninth_and_a_third_and_short_trainings_have_fewer_or_none(epochs):
    found = rung_epochs(epochs)
    assert all(0 < rung < epochs for rung in found)
    assert found == tuple(sorted(set(found)))
    assert len(found) == (0 if epochs < 6 else 1 if epochs < 9 else 2)
    if len(found) == 2:
        assert 9 * found[0] <= epochs < 9 * (found[0] + 1)
        assert 3 * found[1] <= epochs < 3 * (found[1] + 1)


def test_rungs_of_epochs_are_one_training():
    assert rungs_of_epochs("25", 32, early_stopping=True) == (Rung("25", 0, 3), Rung("25", 0, 10), Rung("25", 0, 32))
    assert rungs_of_epochs("25", 32, early_stopping=False) == (Rung("25", 0, 32),)


def test_rungs_of_splits_are_trainings_of_their_own():
    assert rungs_of_splits(["5", "10", "100"], 4) == (Rung("5", 0, 4), Rung("10", 4, 8), Rung("100", 8, 12))


@pytest.mark.parametrize(("epochs", "index"), [(0, 0), (1, 0), (2, 0), (3, 1), (6, 1)])
def test_a_trial_at_the_end_of_a_rung_is_on_it_until_it_is_promoted(epochs, index):
    assert rung_index(RUNGS, epochs) == index


@given(st.integers(0, 30))
def test_a_third_is_promoted(count):
    made = halving(recorded([(0.5 - n / 100, 1 + n) for n in range(count)]))
    assert len(made.promotable({})) == count // 3


def test_when_no_others_come_the_number_is_rounded_up():
    made = halving(recorded([(0.9, 1), (0.5, 1), (0.4, 1), (0.3, 1)]))
    assert made.promotable({}) == [0]
    assert (made.promotable_in_closed_rungs(1, {}), made.promotable_in_closed_rungs(0, {})) == ([0, 1], [])
    assert halving(recorded([(0.9, 1)])).promotable_in_closed_rungs(2, {}) == [0]


def test_trials_are_ranked_by_what_is_predicted_of_them():
    made = halving(recorded([(0.9, 1), (0.5, 1), (0.4, 1)]))
    assert made.promotable({2: (0.95, 1.0)}) == [2]


def test_the_better_fronts_are_promoted():
    first, second = [(0.5, 5), (0.2, 1)], [(0.4, 6), (0.1, 2)]
    assert sorted(halving(recorded([*second, *first, (0.0, 9), (0.0, 9)])).promotable({})) == [2, 3]


def test_of_equals_those_of_the_largest_crowding_distance_are_promoted():
    front = [(0.15, 1), (0.2, 20), (0.21, 21), (0.22, 22), (0.9, 90), (0.3, 30)]
    assert sorted(halving(recorded(front)).promotable({})) == [0, 4]


def test_a_promoted_trial_is_not_promoted_again_and_stays_recorded():
    rows = recorded([(0.9, 1), (0.5, 1), (0.4, 1), (0.3, 1), (0.2, 1), (0.1, 1)])
    made = halving(rows)
    assert made.promotable({}) == [0, 1]
    rows[0].rung = 1
    assert made.promotable({}) == [1]
    rows[1].curve.append({"epoch": 3, "macro_accuracy": 0.6})  # trained past the rung
    assert made.promotable({}) == []


def test_a_failed_trial_stays_recorded_and_one_over_the_budget_does_not():
    rows = recorded([(0.9, 1), (0.5, 1), (0.4, 1)])
    rows[2].state = State.FAILED
    made = halving(rows)
    assert made.promotable({}) == [0]
    rows[2].fits = False
    assert made.promotable({}) == []


def test_the_highest_rung_comes_first():
    rows = [row(number, 3, number / 100) for number in range(3)]
    rows += [row(number, 9, number / 100, rung=1) for number in range(10, 12)]
    made = halving(rows, rungs_of_epochs("fold1", 27, early_stopping=True), ("macro_accuracy",))
    assert made.promotable({})[0] == 11


LONG = rungs_of_epochs("fold1", 32, early_stopping=True)  # rungs after 3 and 10 epochs


@pytest.mark.parametrize(("macs", "promoted"), [(30, [1]), (32, [])])
def test_what_costs_less_to_finish_than_the_largest_on_the_first_rung_is_promoted_at_once(macs, promoted):
    # 29 epochs are left of the one, and 3 of the other were 900
    assert halving([row(0, 3, 0.5, 300), row(1, 3, 0.2, macs)], LONG).promotable({}) == promoted


def test_what_is_cheap_to_finish_is_on_the_first_front_and_is_promoted_once():
    rows = [row(0, 3, 0.5, 300), row(1, 3, 0.2, 20), row(2, 3, 0.1, 25)]
    made = halving(rows, LONG)
    rows[0].rung = rows[1].rung = 1
    assert made.promotable({}) == []
    rows[1] = made._table.add(row(1, 10, 0.3, 20, rung=1))  # at the next rung 22 epochs are left
    assert made.promotable({}) == [1]


def test_nothing_is_cheap_to_finish_once_a_trial_is_on_the_last_rung():
    assert halving([row(0, 11, 0.6, 300, rung=2), row(1, 3, 0.2, 20)], LONG).promotable({}) == []


def test_nothing_is_cheap_to_finish_where_later_rungs_are_on_more_clips():
    made = halving([row(0, 4, 0.5, 300), row(1, 4, 0.2, 10)], rungs_of_splits(["5", "100"], 4))
    assert made.promotable({}) == []


def test_the_rank_of_a_trial_is_reported():
    rows = recorded([(0.9, 1), (0.5, 1), (0.4, 1)])
    rows[0].rung = 1
    assert halving(rows).rank_text(rows[1], {}) == (
        "epoch 2: rank 2 of the 3 trials at this rung, of which 1 was promoted"
    )


def test_the_crowding_distance_is_nsga_iis():
    values = np.array([[0.0, 4.0], [1.0, 3.0], [3.0, 1.0], [4.0, 0.0]])
    assert crowding_distance(values, np.zeros(4, int)).tolist() == [np.inf, 3 / 4 + 3 / 4, 3 / 4 + 3 / 4, np.inf]
