"""Gaussian-process surrogate with a Matern-5/2 kernel.

Source: Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006: algorithm 2.1 (posterior and marginal
likelihood by a Cholesky factor) and equation 4.17 (the kernel). The length scales and the noise are those of a small
grid that maximize the marginal likelihood: scores on a few hundred clips after a few epochs are mostly noise.

Symbols, with shapes:
    N, M, D     training points, test points, features
    x, x_star   (N, D), (M, D): features of training points and of test points
    y           (N,): training targets, winsorized and standardized to mean 0 and standard deviation 1
    k           kernel, k(a, a) = 1, on features divided by their length scales (D,)
    K           (N, N): kernel matrix k(x, x)
    S           (N, N), diagonal: noise variance, common to all, and each target's own variance
    L           (N, N): lower Cholesky factor of K + S
    alpha       (N,): (K + S)^-1 y, so that the posterior mean is k(x_star, x) alpha
    v           (N, M): L^-1 k(x, x_star), so that the posterior variance is 1 - (v * v).sum(0)
"""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

NOISE_DEVIATIONS = (0.1, 0.3, 1.0)  # standard deviation of the noise, in that of the targets; chosen by likelihood
JITTER = 1e-8  # added to the diagonal: the kernel matrix of two equal points is singular
SAMPLE_JITTER = 1e-6  # of a joint posterior, in which training points and their neighbours nearly determine each other
MIN_VARIANCE = 1e-9  # of the posterior, which rounding may take below 0
CONSTANT_WITHIN = 1e-9  # relative standard deviation below which targets are constant
FENCE = 3.0  # targets are clipped this many interquartile ranges beyond the quartiles

Floats = npt.NDArray[np.float64]


class GaussianProcess:
    """Gaussian process with a constant mean, fitted to its training data on construction.

    Attributes:
        length_scales: (D,), the candidate of the greatest marginal likelihood.
        noise: Standard deviation of the noise of one target, in the targets' unit.
    """

    def __init__(self, x: Floats, y: Floats, variance: Floats, length_scales: Sequence[Floats]) -> None:
        """Fit the process.

        Args:
            x: (N, D), features; N of at least 1.
            y: (N,), targets, in any unit.
            variance: (N,), variance of each target beside the noise; 0 for a measured value.
            length_scales: (D,) each: candidate length scales of the features.
        """
        y = winsorized(y)
        self._x, self._mean, self._deviation = x, float(y.mean()), float(y.std())
        if self._deviation <= CONSTANT_WITHIN * max(1.0, abs(self._mean)):
            self._deviation = 1.0
        y = (y - self._mean) / self._deviation
        best = -math.inf
        for scales in length_scales:
            kernel = matern52(x / scales, x / scales)
            for noise in NOISE_DEVIATIONS:
                diagonal = JITTER + noise**2 + variance / self._deviation**2
                lower = np.linalg.cholesky(kernel + np.diag(diagonal)).astype(np.float64, copy=False)
                whitened = _solve(lower, y[:, None])[:, 0]  # L^-1 y
                log_likelihood = -0.5 * float(whitened @ whitened) - float(np.log(np.diag(lower)).sum())
                if log_likelihood > best:
                    best = log_likelihood
                    self.length_scales, self.noise = scales, noise * self._deviation
                    self._lower = lower
                    self._alpha = _solve(lower.T, whitened[:, None], upper=True)[:, 0]

    def posterior_mean(self, x_star: Floats) -> Floats:
        """Return the posterior mean at `x_star`, (M, D) -> (M,); cheaper than `predict`."""
        return self._mean_of(self._kernel(x_star))

    def predict(self, x_star: Floats) -> tuple[Floats, Floats]:
        """Return posterior mean and standard deviation at `x_star`, (M, D) -> (M,) each, without observation noise."""
        kernel = self._kernel(x_star)
        v = _solve(self._lower, kernel.T)
        variance = np.maximum(MIN_VARIANCE, 1.0 - (v**2).sum(axis=0))
        return self._mean_of(kernel), self._deviation * np.sqrt(variance)

    def sample(self, x_star: Floats, normal: Floats) -> Floats:
        """Return joint draws of the posterior at `x_star`, without observation noise, (S, M).

        Args:
            x_star: (M, D), features.
            normal: (S, M), draws of the standard normal distribution.
        """
        kernel, scaled = self._kernel(x_star), x_star / self.length_scales
        v = _solve(self._lower, kernel.T)
        covariance = matern52(scaled, scaled) - v.T @ v
        covariance[np.diag_indices_from(covariance)] += SAMPLE_JITTER
        factor = np.linalg.cholesky(covariance).astype(np.float64, copy=False)
        draws: Floats = self._mean_of(kernel) + self._deviation * (normal @ factor.T)
        return draws

    def _kernel(self, x_star: Floats) -> Floats:
        return matern52(x_star / self.length_scales, self._x / self.length_scales)

    def _mean_of(self, kernel: Floats) -> Floats:
        mean: Floats = self._mean + self._deviation * (kernel @ self._alpha)
        return mean


def winsorized(values: Floats) -> Floats:
    """Clip outliers among (N,) values, such as the log loss of a diverged trial, to Tukey's outer fences.

    Source: Tukey, Exploratory Data Analysis, 1977.

    >>> winsorized(np.array([1.0, 1.1, 1.2, 1.3, 90.0])).tolist()
    [1.0, 1.1, 1.2, 1.3, 1.9]
    """
    if not len(values):
        return values
    low, high = np.quantile(values, (0.25, 0.75))
    reach = FENCE * (high - low)
    return np.clip(values, low - reach, high + reach) if reach > 0 else values


def matern52(a: Floats, b: Floats) -> Floats:
    """Return the Matern-5/2 kernel of unit length scale and unit variance, (A, D) x (B, D) -> (A, B), 0 to 1."""
    squares = (a**2).sum(1)[:, None] + (b**2).sum(1)[None] - 2 * a @ b.T
    distance = math.sqrt(5) * np.sqrt(np.maximum(0.0, squares))
    kernel: Floats = (1 + distance + distance**2 / 3) * np.exp(-distance)
    return kernel


def _solve(triangle: Floats, right: Floats, *, upper: bool = False) -> Floats:
    """Solve a triangular system, (N, N) against (N, M), by torch: numpy has no such solver."""
    found = torch.linalg.solve_triangular(torch.from_numpy(triangle), torch.from_numpy(right), upper=upper)
    solution: Floats = found.numpy()
    return solution
