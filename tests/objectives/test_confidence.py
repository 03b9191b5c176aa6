"""Probability of being on the Pareto front against closed forms and simulation, and pooled confidence intervals."""

import math

import numpy as np
import pytest

from objectives.confidence import front_probability, pooled_intervals
from objectives.interval import t_quantile

ACCURACY_AND_COST = [True, False]


def t_tail(t, freedom):
    """Return P(T > t) of Student's t, by the trapezoidal rule over its density."""
    scale = math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)) / math.sqrt(freedom * math.pi)
    grid = np.linspace(t, t + 4000, 4_000_001)
    density = scale * (1 + grid**2 / freedom) ** (-(freedom + 1) / 2)
    return float(np.trapezoid(density, grid))


def column(values):
    return [[value] for value in values]


@pytest.mark.parametrize(
    ("cheap", "costly"),
    [
        ([0.40, 0.42, 0.44], [0.43, 0.45, 0.41]),
        ([0.40, 0.42, 0.44], [0.47, 0.49, 0.46]),
        ([0.44, 0.46, 0.45, 0.41], [0.42, 0.44]),
        ([0.40], [0.44, 0.41, 0.46]),
    ],
)
def test_of_two_the_costly_one_is_on_the_front_as_often_as_students_t_says(cheap, costly):
    n, m = len(cheap), len(costly)
    freedom = n + m - 2
    squares = sum(((np.array(each) - np.mean(each)) ** 2).sum() for each in (cheap, costly))
    error = math.sqrt(squares / freedom * (1 / n + 1 / m))
    expected = t_tail((np.mean(cheap) - np.mean(costly)) / error, freedom)
    found = front_probability([column(cheap), column(costly)], [[10], [20]], ACCURACY_AND_COST)
    assert found[0] == 1.0  # nothing as cheap can dominate it
    assert found[1] == pytest.approx(expected, abs=0.011)  # three standard errors of 20,000 draws
    as_loss = front_probability([-np.array(column(cheap)), -np.array(column(costly))], [[10], [20]], [False, False])
    assert as_loss[1] == pytest.approx(expected, abs=0.011)


def test_at_one_cost_exactly_one_of_all_is_on_the_front_and_equals_share_it():
    same = column([0.40, 0.42, 0.44])
    found = front_probability([same] * 4, [[10]] * 4, ACCURACY_AND_COST)
    assert found.sum() == pytest.approx(1.0)
    assert found == pytest.approx(np.full(4, 0.25), abs=0.01)


def test_two_metrics_without_a_cost_are_four_quarters_where_nothing_is_known():
    # Both metrics equal in the mean and independent: either of two candidates is dominated in a quarter of the draws.
    samples = [[0.4, 1.9], [0.4, 2.1], [0.6, 1.9], [0.6, 2.1]]
    found = front_probability([samples, samples], np.zeros((2, 0)), [True, False])
    assert found == pytest.approx([0.75, 0.75], abs=0.012)


def test_correlated_metrics_are_sampled_together():
    # The loss is a mirror of the accuracy: whoever is better in one is better in both, so one dominates.
    mirrored = [[0.40, 2.0], [0.42, 1.9], [0.44, 1.8]]
    found = front_probability([mirrored, mirrored], np.zeros((2, 0)), [True, False])
    assert found == pytest.approx([0.5, 0.5], abs=0.012)


def test_what_is_known_exactly_is_on_the_front_or_not():
    found = front_probability(
        [column([0.4, 0.4]), column([0.5, 0.5]), column([0.45, 0.45])], [[1], [2], [3]], [True, False]
    )
    assert found.tolist() == [1.0, 1.0, 0.0]


def test_equal_means_and_costs_dominate_nobody():
    found = front_probability([column([0.4, 0.4]), column([0.4, 0.4])], [[1], [1]], ACCURACY_AND_COST)
    assert found.tolist() == [1.0, 1.0]


def test_more_seeds_make_it_surer():
    few = front_probability([column([0.40, 0.44]), column([0.43, 0.47])], [[1], [2]], ACCURACY_AND_COST)
    many = front_probability([column([0.40, 0.44] * 5), column([0.43, 0.47] * 5)], [[1], [2]], ACCURACY_AND_COST)
    assert 0.5 < few[1] < many[1] < 1.0


def test_the_probability_of_the_front_is_calibrated():
    """Uniformly sampled truths, measured with noise: those called 60 to 80 % likely are on the front in 60 to 80 %."""
    rng = np.random.default_rng(3)
    predicted, was = [], []
    for seed in range(1500):
        truth = rng.uniform(0, 10, size=2)
        samples = [column(rng.normal(mean, 1.0, size=3)) for mean in truth]
        predicted.append(front_probability(samples, [[1], [2]], ACCURACY_AND_COST, draws=500, seed=seed)[1])
        was.append(truth[1] > truth[0])
    predicted, was = np.array(predicted), np.array(was)
    for low, high in ((0.05, 0.3), (0.3, 0.7), (0.7, 0.95)):
        some = (predicted >= low) & (predicted < high)
        assert was[some].mean() == pytest.approx(predicted[some].mean(), abs=3 * 0.5 / math.sqrt(some.sum()))


def test_without_a_second_seed_of_anybody_nothing_is_known():
    assert front_probability([column([0.4]), column([0.5])], [[1], [2]], ACCURACY_AND_COST) is None
    assert [each.half for each in pooled_intervals([[0.4], [0.5]])] == [None, None]


def test_intervals_are_by_the_pooled_variance():
    first, second = pooled_intervals([[0.40, 0.42, 0.44], [0.50, 0.52]])
    variance = (2 * 0.02**2 + 2 * 0.01**2) / 3
    assert (first.mean, second.mean) == (pytest.approx(0.42), pytest.approx(0.51))
    assert first.half == pytest.approx(t_quantile(3) * math.sqrt(variance / 3))
    assert second.half == pytest.approx(t_quantile(3) * math.sqrt(variance / 2))


def test_nineteen_intervals_of_twenty_hold_the_truth():
    rng = np.random.default_rng(0)
    held = [
        abs(found.mean - truth) <= found.half
        for _ in range(700)
        for truth, found in zip(
            (0.0, 5.0, 9.0),
            pooled_intervals([rng.normal(mean, 2.0, 3).tolist() for mean in (0.0, 5.0, 9.0)]),
            strict=True,
        )
    ]
    assert np.mean(held) == pytest.approx(0.95, abs=0.015)


@pytest.mark.parametrize(
    ("samples", "costs", "maximize", "message"),
    [
        ([], [], [True], "there are no candidates"),
        ([[[0.4]], []], [[1], [2]], [True, False], "candidate 1 must have measurements of each metric"),
        ([[[0.4]], [[0.4, 2.0]]], [[1], [2]], [True, False], "candidate 1 must have measurements of each metric"),
        ([[[0.4]], [[float("nan")]]], [[1], [2]], [True, False], "candidate 1 has a measurement that is not finite"),
        ([[[0.4]], [[0.5]]], [[1], [float("inf")]], [True, False], "costs must be finite"),
        ([[[0.4]], [[0.5]]], [[1], [2]], [True], "maximize must say of 1 metrics and 1 costs, got 1 directions"),
    ],
)
def test_invalid_samples_and_costs_are_refused_with_the_reason(samples, costs, maximize, message):
    with pytest.raises(ValueError, match=message):
        front_probability(samples, costs, maximize)
