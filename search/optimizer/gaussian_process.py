"""Gaussian-process surrogate with a Matern-5/2 kernel and a length scale for each feature.

Sources:
    Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006: algorithm 2.1 (posterior and marginal
        likelihood by a Cholesky factor), equation 4.17 (the kernel), section 5.1 (automatic relevance determination).
    Hvarfner, Hellsten, Nardi, Vanilla Bayesian Optimization Performs Great in High Dimensions, 2024: log-normal priors
        under which a feature counts for little until the data say otherwise. Of a dozen training hyperparameters few
        matter, and scores on a few hundred clips are mostly noise.

Length scales and noise have the greatest posterior density, found by L-BFGS from the prior's medians.

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

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

# Priors of the logarithms: medians and standard deviations of the noise, in the deviation of the targets, and of the
# length scales about those that the features suggest.
NOISE_MEDIAN, NOISE_SPREAD = 0.3, 0.8
LENGTH_SCALE_SPREAD = 1.0
MAX_ITERATIONS = 25  # of L-BFGS
MAX_SPREADS = 4.0  # standard deviations of the prior that a parameter may be away from its median
MIN_SQUARE = 1e-20  # of a distance, whose root has no gradient at 0
JITTER = 1e-8  # added to the diagonal: the kernel matrix of two equal points is singular
SAMPLE_JITTER = 1e-6  # of a joint posterior, in which training points and their neighbours nearly determine each other
MIN_VARIANCE = 1e-9  # of the posterior, which rounding may take below 0
CONSTANT_WITHIN = 1e-9  # relative standard deviation below which targets are constant
FENCE = 3.0  # targets are clipped this many interquartile ranges beyond the quartiles

Floats = npt.NDArray[np.float64]


class GaussianProcess:
    """Gaussian process with a constant mean, fitted to its training data on construction.

    Attributes:
        length_scales: (D,), of the greatest posterior density.
        noise: Standard deviation of the noise of one target, in the targets' unit.
    """

    def __init__(self, x: Floats, y: Floats, variance: Floats, length_scales: Floats) -> None:
        """Fit the process.

        Args:
            x: (N, D), features; N of at least 1.
            y: (N,), targets, in any unit.
            variance: (N,), variance of each target beside the noise; 0 for a measured value.
            length_scales: (D,), prior medians of the features' length scales.
        """
        y = winsorized(y)
        self._x, self._mean, self._deviation = x, float(y.mean()), float(y.std())
        if self._deviation <= CONSTANT_WITHIN * max(1.0, abs(self._mean)):
            self._deviation = 1.0
        y = (y - self._mean) / self._deviation
        own = variance / self._deviation**2
        self.length_scales, noise = _most_probable(x, y, own, length_scales)
        self.noise = noise * self._deviation
        kernel = matern52(x / self.length_scales, x / self.length_scales)
        self._lower = np.linalg.cholesky(kernel + np.diag(JITTER + noise**2 + own)).astype(np.float64, copy=False)
        whitened = _solve(self._lower, y[:, None])  # L^-1 y
        self._alpha = _solve(self._lower.T, whitened, upper=True)[:, 0]

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


def _most_probable(x: Floats, y: Floats, variance: Floats, medians: Floats) -> tuple[Floats, float]:
    """Return the length scales (D,) and the noise of the greatest posterior density."""
    features, targets = torch.from_numpy(x), torch.from_numpy(y)
    own, centre = torch.from_numpy(variance), torch.from_numpy(np.log([*medians, NOISE_MEDIAN]))
    spread = torch.tensor([*[LENGTH_SCALE_SPREAD] * len(medians), NOISE_SPREAD], dtype=torch.float64)
    standard = torch.zeros(len(centre), dtype=torch.float64, requires_grad=True)  # in standard deviations of the prior
    optimizer = torch.optim.LBFGS([standard], max_iter=MAX_ITERATIONS, line_search_fn="strong_wolfe")

    def negative_log_density() -> Tensor:
        optimizer.zero_grad()
        values = (centre + spread * _bounded(standard)).exp()
        scaled = features / values[:-1]
        norms = scaled.square().sum(-1)
        squares = norms[:, None] + norms[None] - 2 * scaled @ scaled.T
        distance = math.sqrt(5) * squares.clamp_min(MIN_SQUARE).sqrt()
        kernel = (1 + distance + distance**2 / 3) * (-distance).exp()
        lower = torch.linalg.cholesky(kernel + torch.diag(JITTER + values[-1] ** 2 + own))
        whitened = torch.linalg.solve_triangular(lower, targets[:, None], upper=False)
        loss: Tensor = (
            0.5 * whitened.square().sum() + lower.diagonal().log().sum() + 0.5 * _bounded(standard).square().sum()
        )
        loss.backward()  # type: ignore[no-untyped-call] # torch leaves it untyped
        return loss

    optimizer.step(negative_log_density)  # type: ignore[no-untyped-call] # torch leaves it untyped
    found = (centre + spread * _bounded(standard.detach())).exp().numpy()
    return found[:-1], float(found[-1])


def _bounded(standard: Tensor) -> Tensor:
    """Return values within `MAX_SPREADS`: a line search may go anywhere, where no matrix has a Cholesky factor."""
    return MAX_SPREADS * torch.tanh(standard / MAX_SPREADS)


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
