"""The editions' rankings against cases worked out by hand, and a property of every ranking."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from objectives.ranking import RANK_WEIGHTS, RANKINGS, SPLITS, accuracy_on, ranks, scores


def test_2022_ranks_by_log_loss_the_least_first():
    loss = scores("dcase2022", {"log_loss": [1.532, 1.091, 1.3]})
    assert ranks(loss, maximize=RANKINGS["dcase2022"].maximize).tolist() == [3, 1, 2]


def test_2023_averages_ranks_and_accuracy_weighs_as_much_as_both_costs():
    figures = {
        "macro_accuracy": [0.60, 0.55, 0.50, 0.55],  # ranks 1, 2, 4, 2
        "size_bytes": [120_000, 30_000, 10_000, 30_000],  # ranks 4, 2, 1, 2
        "macs": [29e6, 9e6, 1e6, 4e6],  # ranks 4, 3, 1, 2
    }
    assert scores("dcase2023", figures).tolist() == [2.5, 2.25, 2.5, 2.0]
    assert sum(RANK_WEIGHTS.values()) == 1
    assert RANK_WEIGHTS["macro_accuracy"] == RANK_WEIGHTS["size_bytes"] + RANK_WEIGHTS["macs"]


def test_2024_averages_the_accuracy_over_the_five_splits():
    # the baseline's, of the README of https://github.com/CPJKU/dcase2024_task1_baseline at 11c6025
    baseline = {"5": 0.4240, "10": 0.4529, "25": 0.5029, "50": 0.5319, "100": 0.5699}
    found = scores("dcase2024", {accuracy_on(split): [value] for split, value in baseline.items()})
    assert found == pytest.approx([0.49632])
    assert RANKINGS["dcase2024"].maximize


@given(st.lists(st.integers(0, 5), min_size=1, max_size=12), st.booleans())
def test_a_rank_is_one_more_than_the_number_of_those_that_are_better(values, maximize):
    found = ranks(values, maximize=maximize)
    better = [sum(other > value if maximize else other < value for other in values) for value in values]
    assert found.tolist() == [1 + count for count in better]


@pytest.mark.parametrize("name", sorted(RANKINGS))
def test_who_is_best_in_everything_is_first(name):
    ranking = RANKINGS[name]
    up = {"macro_accuracy", *(accuracy_on(split) for split in SPLITS)}
    figures = {key: np.array([0.3, 0.9, 0.5] if key in up else [0.9, 0.1, 0.5]) for key in ranking.needs}
    found = ranks(scores(name, figures), maximize=ranking.maximize)
    assert found.tolist() == [3, 1, 2]
