"""Variances over seeds: shrinkage against the truths that they are drawn about, and what few seeds cannot tell."""

import math

import numpy as np
import pytest

from objectives.confidence import intervals, measured
from objectives.interval import t_quantile
from objectives.seed_spread import digamma, needed_seeds, seed_spread, total_freedom, trigamma


def drawn(rng, deviations, seeds):
    return [rng.normal(0, each, (seeds, 1)) for each in deviations]


@pytest.mark.parametrize(("candidates", "seeds", "scatter"), [(2, 2, 0.5), (5, 2, 0.5), (8, 3, 0.0), (8, 3, 0.8)])
def test_nineteen_intervals_of_twenty_hold_the_truth(candidates, seeds, scatter):
    rng = np.random.default_rng(candidates)
    held = []
    for _ in range(300):
        sizes = np.exp(rng.uniform(7, 12, candidates))
        deviations = np.exp(rng.normal(0, scatter, candidates) - 0.2 * np.log(sizes))
        names = ["one" if number % 2 else "other" for number in range(candidates)]
        found = intervals(measured(drawn(rng, deviations, seeds), names, sizes.tolist()))
        held += [abs(each.mean) <= each.half for [each] in found]
    assert np.mean(held) == pytest.approx(0.95, abs=0.035)


def test_shrunk_variances_are_closer_to_the_truth_than_each_ones_own_and_than_one_for_all():
    rng = np.random.default_rng(0)
    errors = []
    for _ in range(60):
        sizes = np.exp(rng.uniform(7, 12, 10))
        truth = np.exp(2.0 * (9.5 - np.log(sizes)) * 0.5 + rng.normal(0, 0.3, 10))  # small networks vary more
        tables = drawn(rng, np.sqrt(truth), 4)
        own = np.array([table.var(ddof=1) for table in tables])
        shrunk = seed_spread(tables, ["one"] * 10, sizes.tolist()).variance[:, 0]
        errors.append([np.mean(np.log(each / truth) ** 2) for each in (shrunk, own, np.full(10, own.mean()))])
    shrunk, own, pooled = np.mean(errors, axis=0)
    assert shrunk < 0.8 * own
    assert shrunk < 0.5 * pooled


def test_no_candidate_is_surer_than_all_seeds_together():
    rng = np.random.default_rng(1)
    found = seed_spread(drawn(rng, [1.0, 2.0], 2), ["a", "b"], [1e4, 1e5])
    assert found.freedom.tolist() == [[2.0], [2.0]]
    assert seed_spread(drawn(rng, [1.0] * 40, 2), ["a"] * 40, [1e4] * 40).freedom.min() > 4


def test_of_one_network_it_is_students_t():
    [[found]] = intervals(measured([[[0.40], [0.42], [0.47]]]))
    assert found.half == pytest.approx(t_quantile(2) * np.std([0.40, 0.42, 0.47], ddof=1) / math.sqrt(3))


def test_seeds_that_agree_by_chance_are_not_taken_for_certain():
    found = seed_spread([np.array([[0.4], [0.4]]), np.array([[0.4], [0.44]])], ["a", "a"], [1e4, 1e4])
    assert found.variance[0, 0] > 0.1 * found.variance[1, 0] > 0
    assert seed_spread([np.array([[0.4], [0.4]])], ["a"], [1e4]).variance.tolist() == [[0.0]]


def test_without_a_second_seed_there_is_no_spread():
    assert seed_spread([np.array([[0.4]]), np.array([[0.5]])], ["a", "a"], [1, 1]) is None


def test_metrics_are_correlated_as_their_residuals_shrunk_to_independence():
    table = np.array([[0.40, 2.0], [0.42, 1.9], [0.44, 1.8]])
    found = seed_spread([table] * 4, ["a"] * 4, [1] * 4).correlation
    assert found[0, 1] == found[1, 0] == pytest.approx(-8 / 10)  # 8 degrees of freedom, and 2 of independence


@pytest.mark.parametrize("x", [0.5, 1.0, 1.5, 4.0, 30.0])
def test_digamma_and_trigamma_are_derivatives_of_the_log_gamma_function(x):
    step = 1e-4
    logs = [math.lgamma(x + each * step) for each in (-1, 0, 1)]
    assert digamma(x) == pytest.approx((logs[2] - logs[0]) / (2 * step), abs=1e-5)
    assert trigamma(x) == pytest.approx((logs[2] - 2 * logs[1] + logs[0]) / step**2, rel=1e-3)


def test_fewer_seeds_are_enough_for_more_candidates():
    for candidates in range(1, 9):
        seeds = needed_seeds(candidates)
        assert total_freedom([seeds] * candidates) >= 4 > total_freedom([seeds - 1] * candidates)
