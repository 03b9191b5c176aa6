"""Stopping for the front: what is worse at a higher price goes, what is small stays."""

import numpy as np
import pytest

from objectives.front import hypervolume, non_dominated
from search.early_stopping import FrontHalving, rungs


@pytest.mark.parametrize(("epochs", "expected"), [(32, (3, 10)), (243, (3, 9, 27, 81)), (10, (3,)), (5, ()), (1, ())])
def test_rungs_are_whole_epochs_below_the_last(epochs, expected):
    assert rungs(epochs) == expected


def test_the_smallest_network_is_never_stopped():
    halving = FrontHalving(epochs=9)
    for number in range(30):
        assert number == 0 or not halving.verdict(number, 3, accuracy=0.5 - number / 100, cost=1000 - number)


def test_a_network_that_is_worse_and_dearer_than_many_is_stopped_with_the_reason():
    halving = FrontHalving(epochs=9)
    for number in range(5):
        halving.verdict(number, 3, accuracy=0.5, cost=1000)
    assert (
        halving.verdict(5, 3, accuracy=0.2, cost=2000)
        == "epoch 3: 5 of the 6 trials that got there are on better fronts"
    )


def test_nobody_is_judged_between_rungs():
    halving = FrontHalving(epochs=9)
    for epoch in (1, 2, 4, 5, 6, 7, 8, 9):
        for number in range(10):
            assert not halving.verdict(number, epoch, accuracy=-number, cost=number)


def test_a_trial_seen_twice_at_a_rung_counts_once():
    halving = FrontHalving(epochs=9)
    for _ in range(10):
        halving.verdict(0, 3, accuracy=0.5, cost=1000)
    assert not halving.verdict(1, 3, accuracy=0.6, cost=2000)
    assert "2 of the 3" in halving.verdict(2, 3, accuracy=0.1, cost=3000)


def test_the_front_keeps_more_than_stopping_by_accuracy_does():
    """A toy in which larger is better but slower to learn: halving by accuracy alone loses its small end."""
    rng = np.random.default_rng(0)
    cost = rng.uniform(1, 30, 60)
    final = 0.2 + 0.1 * np.log(cost) + rng.normal(0, 0.02, 60)
    early = final * 0.5 + rng.normal(0, 0.01, 60)

    def survivors(judge_cost):
        halving = FrontHalving(epochs=9)
        return [n for n in range(60) if not halving.verdict(n, 3, early[n], cost[n] if judge_cost else 0.0)]

    def volume(chosen):
        points = np.column_stack([final[chosen], cost[chosen]])
        return hypervolume(points[non_dominated(points, [True, False])], [0.0, 30.0], [True, False])

    by_front, by_accuracy = survivors(judge_cost=True), survivors(judge_cost=False)
    assert len(by_front) < 45
    assert volume(by_front) > 1.05 * volume(by_accuracy)
    assert volume(by_front) > 0.97 * volume(list(range(60)))
