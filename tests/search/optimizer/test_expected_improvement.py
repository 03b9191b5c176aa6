"""Expected hypervolume improvement, held against Monte Carlo and the closed form."""

import math

import moocore
import numpy as np
import pytest
from monte_carlo import QUADRATURE, monte_carlo

from search.optimizer.acquisition import expected_hypervolume_improvement


@pytest.mark.parametrize("num_objectives", [1, 2, 3])
@pytest.mark.parametrize("num_points", [0, 1, 12])
def test_the_expected_improvement_of_a_normal_posterior_is_that_of_monte_carlo(num_objectives, num_points):
    rng = np.random.default_rng(num_objectives)
    points = rng.uniform(0, 1, (num_points, num_objectives))
    front = points[moocore.is_nondominated(-points)] if num_objectives > 1 and num_points else points[:0]
    if num_objectives == 1 and num_points:
        front = points.max(keepdims=True)
    mean = rng.uniform(0.2, 1.2, (6, num_objectives))
    deviation = rng.uniform(0.05, 0.3, (6, num_objectives))
    deviation[:, 1:] *= rng.integers(0, 2, (6, num_objectives - 1))  # a cost is known
    expected, within = monte_carlo(front, mean, deviation, 0.1)
    found = expected_hypervolume_improvement(front, mean, deviation, 0.1)
    assert (np.abs(found - expected) < within).all()
    assert np.abs(found - expected).max() < 0.25 * expected.max()


def test_with_one_objective_it_is_the_expected_improvement_of_the_closed_form():
    best, deviation = 0.6, 0.2
    mean = np.linspace(0.3, 1.0, 8)
    u = (mean - best) / deviation
    pdf = np.exp(-(u**2) / 2) / math.sqrt(2 * math.pi)
    cdf = np.array([0.5 * (1 + math.erf(each / math.sqrt(2))) for each in u])
    closed = deviation * (u * cdf + pdf)  # Jones, Schonlau, Welch, 1998, equation 15
    found = expected_hypervolume_improvement(np.array([[best]]), mean[:, None], np.full((8, 1), deviation), 0.0)
    assert np.abs(found - closed).max() < QUADRATURE * deviation


def test_of_equal_means_the_uncertain_one_is_worth_more():
    front = np.array([[0.5, 0.5]])
    mean = np.array([[0.5, 0.5]] * 3)
    found = expected_hypervolume_improvement(front, mean, np.array([[0.0, 0.0], [0.1, 0.0], [0.2, 0.0]]), 0.0)
    assert found[0] == 0
    assert 0 < found[1] < found[2]
