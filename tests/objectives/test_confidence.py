"""Probability of being on the Pareto front against closed forms and simulation, and confidence intervals."""

import math

import numpy as np
import pytest

from objectives.confidence import Measured, RecordingError, front_probability, intervals, measured
from objectives.seed_spread import SeedSpread

ACCURACY_AND_COST = [True, False]


def t_tail(t, freedom):
    """Return P(T > t) of Student's t, by the trapezoidal rule over its density."""
    scale = math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)) / math.sqrt(freedom * math.pi)
    grid = np.linspace(t, t + 4000, 4_000_001)
    density = scale * (1 + grid**2 / freedom) ** (-(freedom + 1) / 2)
    return float(np.trapezoid(density, grid))


def column(values):
    return [[value] for value in values]


def of_variance(samples, variance, freedom, recordings=None):
    """Return candidates of one metric with a known posterior of the variance."""
    shape = (len(samples), 1)
    spread = SeedSpread(np.full(shape, variance), np.full(shape, float(freedom)), np.eye(1))
    return Measured([np.array(column(each)) for each in samples], spread, recordings)


def test_beside_one_that_is_known_a_network_is_on_the_front_as_often_as_students_t_says():
    found = front_probability(of_variance([[0.40] * 10**6, [0.41, 0.43]], 0.0004, 4), [[10], [20]], ACCURACY_AND_COST)
    expected = 1 - t_tail(0.02 / math.sqrt(0.0004 / 2), 4)
    assert found[0] == 1.0  # nothing as cheap can dominate it
    assert found[1] == pytest.approx(expected, abs=0.011)  # three standard errors of 20,000 draws


def test_errors_over_the_same_recordings_cancel_as_far_as_they_are_correlated():
    samples, costs = [[0.40, 0.40], [0.42, 0.42]], [[10], [20]]
    chances = []
    for correlation in (0.0, 0.9, 1.0):
        clips = RecordingError(np.full((2, 1), 0.05), 1e6, np.array([[1.0, correlation], [correlation, 1.0]]))
        chances.append(front_probability(of_variance(samples, 0.0, 9, clips), costs, ACCURACY_AND_COST)[1])
    expected = [0.5 * math.erfc(-0.02 / (0.05 * math.sqrt(2 * (1 - r))) / math.sqrt(2)) for r in (0.0, 0.9)]
    assert chances == pytest.approx([*expected, 1.0], abs=0.011)


def test_an_interval_has_both_errors():
    clips = RecordingError(np.full((1, 1), 0.03), 1e6, np.eye(1))
    [[seeds]] = intervals(of_variance([[0.4, 0.5]], 0.0032, 1e6))
    [[both]] = intervals(of_variance([[0.4, 0.5]], 0.0032, 1e6, clips))
    assert seeds.half == pytest.approx(1.96 * 0.04, rel=1e-3)
    assert both.half == pytest.approx(1.96 * 0.05, rel=1e-3)


def test_at_one_cost_exactly_one_of_all_is_on_the_front_and_equals_share_it():
    same = column([0.40, 0.42, 0.44])
    found = front_probability(measured([same] * 4), [[10]] * 4, ACCURACY_AND_COST)
    assert found.sum() == pytest.approx(1.0)
    assert found == pytest.approx(np.full(4, 0.25), abs=0.01)


def test_two_metrics_without_a_cost_are_four_quarters_where_nothing_is_known():
    # Both metrics equal in the mean and independent: either of two candidates is dominated in a quarter of the draws.
    samples = [[0.4, 1.9], [0.4, 2.1], [0.6, 1.9], [0.6, 2.1]]
    found = front_probability(measured([samples, samples]), np.zeros((2, 0)), [True, False])
    assert found == pytest.approx([0.75, 0.75], abs=0.012)


def test_correlated_metrics_are_sampled_together():
    # The loss is a mirror of the accuracy: whoever is better in one is better in both, so one dominates.
    mirrored = np.array([[0.40, 2.0], [0.42, 1.9], [0.44, 1.8]])
    spread = SeedSpread(np.full((2, 2), 0.01), np.full((2, 2), 1e6), np.array([[1.0, -1.0], [-1.0, 1.0]]))
    found = front_probability(Measured([mirrored, mirrored], spread, None), np.zeros((2, 0)), [True, False])
    assert found == pytest.approx([0.5, 0.5], abs=0.012)


def test_what_is_known_exactly_is_on_the_front_or_not():
    found = front_probability(
        measured([column([0.4, 0.4]), column([0.5, 0.5]), column([0.45, 0.45])]), [[1], [2], [3]], [True, False]
    )
    assert found.tolist() == [1.0, 1.0, 0.0]


def test_equal_means_and_costs_dominate_nobody():
    found = front_probability(measured([column([0.4, 0.4]), column([0.4, 0.4])]), [[1], [1]], ACCURACY_AND_COST)
    assert found.tolist() == [1.0, 1.0]


def test_more_seeds_make_it_surer():
    few = front_probability(measured([column([0.40, 0.44]), column([0.43, 0.47])]), [[1], [2]], ACCURACY_AND_COST)
    many = front_probability(
        measured([column([0.40, 0.44] * 5), column([0.43, 0.47] * 5)]), [[1], [2]], ACCURACY_AND_COST
    )
    assert 0.5 < few[1] < many[1] < 1.0


def test_the_probability_of_the_front_is_calibrated():
    """Uniformly sampled truths, measured with noise: those called 60 to 80 % likely are on the front in 60 to 80 %."""
    rng = np.random.default_rng(3)
    predicted, was = [], []
    for seed in range(1500):
        truth = rng.uniform(0, 10, size=2)
        samples = [column(rng.normal(mean, 1.0, size=3)) for mean in truth]
        predicted.append(front_probability(measured(samples), [[1], [2]], ACCURACY_AND_COST, draws=500, seed=seed)[1])
        was.append(truth[1] > truth[0])
    predicted, was = np.array(predicted), np.array(was)
    for low, high in ((0.05, 0.3), (0.3, 0.7), (0.7, 0.95)):
        some = (predicted >= low) & (predicted < high)
        assert was[some].mean() == pytest.approx(predicted[some].mean(), abs=3 * 0.5 / math.sqrt(some.sum()))


def test_without_a_second_seed_of_anybody_nothing_is_known():
    found = measured([column([0.4]), column([0.5])])
    assert front_probability(found, [[1], [2]], ACCURACY_AND_COST) is None
    assert [each.half for [each] in intervals(found)] == [None, None]


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
        front_probability(measured(samples), costs, maximize)


def test_a_constant_classifier_is_on_every_front():
    candidates = of_variance([[0.12, 0.12], [0.3, 0.3]], 0.0008, 1e6)  # a standard error of 0.02
    found = front_probability(candidates, [[10], [20]], ACCURACY_AND_COST, chance=[0.1])
    assert found[0] == pytest.approx(0.5 * math.erfc(-1 / math.sqrt(2)), abs=0.011)
    assert found[1] == 1.0
