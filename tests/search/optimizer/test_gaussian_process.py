"""Gaussian-process surrogate against the formulas of the textbook, and on next to no training data."""

import itertools
import math

import numpy as np
import pytest

from search.optimizer import gaussian_process
from search.optimizer.gaussian_process import GaussianProcess, matern52, winsorized

UNIT = np.ones(2)  # length scales of two features


def fit(x, y, variance=0.0, length_scales=UNIT):
    x = np.array(x, dtype=np.float64)
    return GaussianProcess(x, np.array(y, dtype=np.float64), np.broadcast_to(variance, len(x)), length_scales)


@pytest.fixture
def hold_noise(monkeypatch):
    """Fix the noise and the length scales of the process."""

    def hold(noise, length_scales=UNIT):
        monkeypatch.setattr(gaussian_process, "_most_probable", lambda *_: (length_scales, noise))

    return hold


def kernel(a, b):
    """Return the Matern-5/2 kernel of one pair: equation 4.17 of Rasmussen and Williams."""
    r = math.sqrt(5) * math.dist(a, b)
    return (1 + r + r * r / 3) * math.exp(-r)


def test_the_kernel_is_that_of_the_textbook():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(4, 3)), rng.normal(size=(5, 3))
    assert matern52(a, b) == pytest.approx(np.array([[kernel(one, other) for other in b] for one in a]))
    assert np.diag(matern52(a, a)) == pytest.approx(np.ones(4), abs=1e-6)
    assert matern52(np.zeros((1, 1)), np.ones((1, 1)))[0, 0] == pytest.approx(0.5239941088318203)


def test_one_observation_counts_as_much_as_its_noise_allows(hold_noise):
    hold_noise(0.3)
    x, new = (0.0, 0.0), (0.5, 0.3)
    mean, deviation = fit([x], [0.4]).predict(np.array([x, new]))
    assert mean == pytest.approx([0.4, 0.4])  # the one observation is also the mean
    for row, at in enumerate((x, new)):
        assert deviation[row] ** 2 == pytest.approx(1 - kernel(at, x) ** 2 / (1 + 0.3**2))


def test_two_observations_are_weighed_by_the_inverse_of_two_by_two(hold_noise):
    hold_noise(0.3)
    a, b, new = (0.0, 0.0), (-1.0, 0.5), (0.6, 0.0)
    process = fit([a, b], [0.6, 0.2], [0.0, 0.01])
    scale, k, ka, kb = 0.2, kernel(a, b), kernel(new, a), kernel(new, b)
    sa, sb = 1 + 0.3**2, 1 + 0.3**2 + 0.01 / scale**2
    determinant = sa * sb - k * k
    wa, wb = (ka * sb - kb * k) / determinant, (kb * sa - ka * k) / determinant
    mean, deviation = process.predict(np.array([new]))
    assert mean[0] == pytest.approx(0.4 + scale * (wa * 1 + wb * -1))
    assert deviation[0] == pytest.approx(scale * math.sqrt(1 - wa * ka - wb * kb))
    assert process.posterior_mean(np.array([new]))[0] == mean[0]
    assert process.noise == pytest.approx(0.3 * scale)


def full_inverse(x, values, extra, scales, noise):
    """Return log likelihood, mean and deviation at `x` by the formulas with the inverse of the whole matrix."""
    y = (values - values.mean()) / values.std()
    k = np.array([[kernel(one / scales, other / scales) for other in x] for one in x])
    full = k + np.diag(noise**2 + extra / values.var())
    log_likelihood = -0.5 * y @ np.linalg.inv(full) @ y - 0.5 * np.linalg.slogdet(full)[1]
    mean = values.mean() + values.std() * (k @ np.linalg.inv(full) @ y)
    return log_likelihood, mean, values.std() * np.sqrt(np.diag(k - k @ np.linalg.inv(full) @ k))


def log_prior(scales, noise):
    away = [*np.log(scales / UNIT) / gaussian_process.LENGTH_SCALE_SPREAD]
    away.append(math.log(noise / gaussian_process.NOISE_MEDIAN) / gaussian_process.NOISE_SPREAD)
    return -0.5 * np.square(away).sum()


def test_many_observations_predict_as_the_full_inverse_at_the_greatest_posterior_density():
    rng = np.random.default_rng(1)
    x, values, extra = rng.normal(size=(9, 2)), rng.normal(size=9), rng.uniform(0, 0.1, size=9)
    process = fit(x, values, extra)
    scales, noise = process.length_scales, process.noise / values.std()
    best, mean, deviation = full_inverse(x, values, extra, scales, noise)
    for factor in itertools.product((0.8, 1.0, 1.25), repeat=3):
        log_likelihood, _, _ = full_inverse(x, values, extra, scales * factor[:2], noise * factor[2])
        near = log_likelihood + log_prior(scales * factor[:2], noise * factor[2])
        assert near <= best + log_prior(scales, noise) + 1e-3
    assert process.predict(x)[0] == pytest.approx(mean, abs=1e-6)
    assert process.predict(x)[1] == pytest.approx(deviation, abs=1e-5)


def test_draws_have_the_mean_and_the_covariance_of_the_posterior(hold_noise):
    hold_noise(0.2)
    rng = np.random.default_rng(3)
    x, new = rng.normal(size=(6, 2)), rng.normal(size=(4, 2))
    process = fit(x, rng.normal(size=6))
    draws = process.sample(new, rng.standard_normal((40_000, 4)))
    mean, deviation = process.predict(new)
    assert draws.mean(axis=0) == pytest.approx(mean, abs=0.02)
    assert draws.std(axis=0) == pytest.approx(deviation, abs=0.02)
    k = np.array([[kernel(one, other) for other in x] for one in new])
    full = np.array([[kernel(one, other) for other in x] for one in x]) + 0.2**2 * np.eye(6)
    between = np.array([[kernel(one, other) for other in new] for one in new]) - k @ np.linalg.inv(full) @ k.T
    assert np.cov(draws.T) / process._deviation**2 == pytest.approx(between, abs=0.03)


def test_a_feature_that_does_not_matter_gets_a_long_length_scale():
    rng = np.random.default_rng(5)
    x = rng.uniform(-1, 1, size=(60, 2))
    process = fit(x, np.sin(3 * x[:, 0]) + 0.1 * rng.standard_normal(60))
    assert process.length_scales[1] > 3 * process.length_scales[0]
    assert process.noise == pytest.approx(0.1, rel=0.5)


def test_a_function_drawn_from_the_prior_is_as_far_off_as_the_deviation_says():
    rng = np.random.default_rng(7)
    x = rng.uniform(0, 8, size=(400, 2))
    values = np.linalg.cholesky(matern52(x, x) + 1e-9 * np.eye(len(x))) @ rng.standard_normal(len(x))
    process = fit(x[:200], values[:200] + 0.1 * rng.standard_normal(200))
    mean, deviation = process.predict(x[200:])
    off = values[200:] - mean
    assert np.sqrt(((off / deviation) ** 2).mean()) == pytest.approx(1, abs=0.2)
    assert np.abs(off).mean() < 0.5 * np.abs(values - values.mean()).mean()
    assert process.length_scales == pytest.approx([1, 1], rel=0.3)
    assert process.noise == pytest.approx(0.1, rel=0.35)


def test_without_noise_it_goes_through_the_observations(hold_noise):
    hold_noise(0.0)
    x, values = [(power / 0.6, 0.0) for power in (5, 6, 7, 8)], [0.2, 0.5, 0.4, 0.9]
    process = fit(x, values)
    mean, deviation = process.predict(np.array(x))
    assert mean == pytest.approx(values, abs=1e-5)
    assert deviation.max() < 1e-3
    assert process.predict(np.array([(6.5 / 0.6, 0.0)]))[1][0] > 0.01


def test_the_same_point_twice_without_noise_is_the_mean_of_both(hold_noise):
    hold_noise(0.0)
    assert fit([(1.0, 2.0)] * 2, [0.3, 0.5]).predict(np.array([(1.0, 2.0)]))[0][0] == pytest.approx(0.4)


@pytest.mark.parametrize("values", [[0.1] * 7, [0.1 + 1e-17] * 3, [0.3], [1e6] * 4])
@pytest.mark.parametrize("variance", [0.0, 1e-12, 1e9])
def test_constant_targets_are_predicted_everywhere(values, variance):
    x = [(row * 1e-6, 0.0) for row in range(len(values))]
    mean, deviation = fit(x, values, variance).predict(np.array([(0.0, 0.0), (-2.0, 1.0)]))
    assert mean == pytest.approx([values[0]] * 2)
    assert np.isfinite(deviation).all()
    assert (deviation > 0).all()


@pytest.mark.parametrize("values", [[0.1, 0.9, 0.5], [1e-300, 0.0, 2e-300], [-1e12, 1e12, 3.0]])
def test_different_targets_at_one_point_are_predicted_by_their_mean(values):
    mean, deviation = fit([(1.0, 2.0)] * 3, values, 0.0).predict(np.array([(1.0, 2.0), (-6.0, 2.0)]))
    assert mean == pytest.approx([np.mean(values)] * 2, abs=1e-6 * max(map(abs, values)))
    assert np.isfinite(deviation).all()


def test_an_uncertain_target_counts_less():
    x, values = [(-2.0, 0.0), (2.0, 0.0), (0.0, 0.0)], [0.2, 0.3, 0.9]
    certain, uncertain = (fit(x, values, [0, 0, each]).predict(np.zeros((1, 2)))[0][0] for each in (0.0, 0.5))
    assert certain > uncertain


def test_the_deviation_grows_with_the_distance_from_the_training_data(hold_noise):
    hold_noise(0.1)
    process = fit([(0.0, 0.0), (0.2, 0.0), (0.4, 0.1)], [0.1, 0.2, 0.4])
    deviation = process.predict(np.array([(away, 0.0) for away in (0.2, 1.0, 2.0, 8.0)]))[1]
    assert (np.diff(deviation) > 0).all()
    assert deviation[-1] == pytest.approx(np.std([0.1, 0.2, 0.4]), rel=1e-3)  # far away, the prior


def test_an_outlier_is_winsorized_and_does_not_hide_the_other_targets():
    x = np.array([(row / 4, 0.0) for row in range(12)])
    values = 2.0 - 0.1 * np.arange(12)
    values[0] = 80.0
    mean = fit(x, values, 0.0).posterior_mean(x)
    assert mean[4] - mean[11] > 0.4
    assert mean.argmax() == 0
    assert winsorized(np.array([0.1] * 9 + [0.5])).tolist() == [0.1] * 9 + [0.5]  # quartiles that do not differ
    assert winsorized(np.zeros(0)).tolist() == []
