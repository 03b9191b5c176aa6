"""What a configuration would come to, as far as the trainings so far tell: a Gaussian process over what was trained.

A figure of a few hundred validation clips after a few epochs is mostly noise. What networks of like cost and settings
came to says as much, and both together more. Networks of different architectures are likened by what they cost and by
how they are trained; each also has sizes of its own.

Source of the process: Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006, algorithm 2.1; kernel
Matern 5/2. What it does not know of itself (how fast things change with cost and with settings, and how noisy they are)
is what makes the observations most likely, of a few values each.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from objectives.cost import Cost
from search.space.ranges import place
from search.space.subspace import Subspace

MAX_OBSERVED = 300  # trials, the latest; more would take long and tell little
ABSENT = 0.5  # place of a value that a configuration does not have
APART = 0.35  # distance that two architectures are apart, all else alike; the length of all scales is 1
SCALES_OF_COST = (0.3, 0.6, 1.2)
SCALES_OF_SETTINGS = (0.5, 1.0, 2.0)
NOISES = (0.1, 0.3, 1.0)  # standard deviation, in that of what was observed
JITTER = 1e-8  # of the variance, at the least: the same observed twice has no Cholesky factor without it
ROUNDING = 1e-9  # values that differ by a smaller share are equal
FENCE = 3.0  # times the distance of the quartiles that a value may lie beyond them

Floats = npt.NDArray[np.float64]


class Features:
    """Tells configurations by numbers: what they cost, how they are trained, and their sizes, most in 0 to 1.

    Attributes:
        branches: The parts of the search, by architecture.
    """

    def __init__(self, subspaces: Mapping[str, Subspace]) -> None:
        self.subspaces = subspaces
        self._columns: dict[str, list[int]] = {}
        self._ranges: dict[str, BaseDistribution] = {}
        width = 0
        for subspace in subspaces.values():
            for name, distribution in subspace.ranges.items():
                if name not in self._columns and not distribution.single():
                    self._columns[name] = list(range(width, width + _width(distribution)))
                    self._ranges[name] = distribution
                    width += _width(distribution)
        self._num_settings = width

    def of(self, architecture: str, values: Mapping[str, Any], cost: Cost) -> Floats:
        """Return a configuration's numbers: two of cost, those of its settings, one for each architecture."""
        settings = np.full(self._num_settings, ABSENT)
        for name, value in values.items():
            if name in self._columns:
                settings[self._columns[name]] = _places(self._ranges[name], value)
        settings /= math.sqrt(max(1, len(self._columns)))
        kinds = [APART if name == architecture else 0.0 for name in self.subspaces]
        return np.array([math.log10(max(1, cost.macs)), math.log10(max(1, cost.params)), *settings, *kinds])

    def scales(self, of_cost: float, of_settings: float) -> Floats:
        """Return the length that each number is measured by."""
        kinds = len(self.subspaces)
        return np.array([of_cost, of_cost, *[of_settings] * self._num_settings, *[1.0] * kinds])


def _width(distribution: BaseDistribution) -> int:
    if isinstance(distribution, CategoricalDistribution) and not _is_ordered(distribution):
        return len(distribution.choices)
    return 1


def _is_ordered(distribution: CategoricalDistribution) -> bool:
    return all(isinstance(each, int | float) for each in distribution.choices)


def _places(distribution: BaseDistribution, value: Any) -> list[float]:
    if isinstance(distribution, IntDistribution | FloatDistribution):
        return [place(distribution, min(max(value, distribution.low), distribution.high))]
    assert isinstance(distribution, CategoricalDistribution)
    if not _is_ordered(distribution):
        return [0.5 if value == each else 0.0 for each in distribution.choices]
    order = sorted(each for each in distribution.choices if isinstance(each, int | float))
    return [order.index(value) / max(1, len(order) - 1)] if value in order else [ABSENT]


@dataclass(frozen=True)
class Observation:
    """What a training came to.

    Attributes:
        features: Of the configuration.
        value: Of the figure, at the end or as it is expected to be there.
        variance: Of what is expected against what it would come to; 0 at the end.
    """

    features: Floats
    value: float
    variance: float


class GaussianProcess:
    """Expects the figure of any configuration, from what was observed."""

    def __init__(self, features: Features, observed: Sequence[Observation]) -> None:
        """Fit the process.

        Args:
            features: That the observations were made with.
            observed: At least one.
        """
        latest = observed[-MAX_OBSERVED:]
        self._x = np.stack([each.features for each in latest])
        values = winsorized(np.array([each.value for each in latest]))
        self._mean, self._spread = float(values.mean()), float(values.std())
        if self._spread <= ROUNDING * max(1.0, abs(self._mean)):
            self._spread = 1.0
        y = (values - self._mean) / self._spread
        extra = np.array([each.variance for each in latest]) / self._spread**2
        best = -math.inf
        for of_cost, of_settings in itertools.product(SCALES_OF_COST, SCALES_OF_SETTINGS):
            scales = features.scales(of_cost, of_settings)
            alike = _kernel(self._x / scales, self._x / scales)
            for noise in NOISES:
                lower, whitened = _whiten(alike + np.diag(JITTER + noise**2 + extra), y)
                likely = -0.5 * float(whitened @ whitened) - float(np.log(np.diag(lower)).sum())
                if likely > best:
                    best = likely
                    self._scales, self._lower, found = scales, lower, whitened
                    self.noise = noise * self._spread
        self._inverse = np.linalg.inv(self._lower)
        self._weights = self._inverse.T @ found

    def mean(self, features: Floats) -> Floats:
        """Return the mean alone, which is faster.

        Args:
            features: (N, D), of the configurations.

        Returns:
            (N,).
        """
        alike = _kernel(features / self._scales, self._x / self._scales)
        found: Floats = self._mean + self._spread * (alike @ self._weights)
        return found

    def expect(self, features: Floats) -> tuple[Floats, Floats]:
        """Return the mean and the standard deviation of the figure, without the noise of measuring it.

        Args:
            features: (N, D), of the configurations.

        Returns:
            (N,) and (N,).
        """
        alike = _kernel(features / self._scales, self._x / self._scales)
        mean = self._mean + self._spread * (alike @ self._weights)
        known = self._inverse @ alike.T
        variance = np.maximum(1e-9, 1.0 - (known**2).sum(axis=0))
        return mean, self._spread * np.sqrt(variance)


def winsorized(values: Floats) -> Floats:
    """Draw in what lies far out, such as the log loss of a training that broke down; it stays the worst.

    Source of how far: the outer fences of Tukey, Exploratory Data Analysis, 1977.

    Args:
        values: (N,).

    >>> tamed(np.array([1.0, 1.1, 1.2, 1.3, 90.0])).tolist()
    [1.0, 1.1, 1.2, 1.3, 1.9]
    """
    if not len(values):
        return values
    low, high = np.quantile(values, (0.25, 0.75))
    reach = FENCE * (high - low)
    return np.clip(values, low - reach, high + reach) if reach > 0 else values


def _whiten(covariance: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Return the Cholesky factor L of a covariance, and what solves L x = y: the last row of one larger by y."""
    count = len(y)
    larger = np.empty((count + 1, count + 1))
    larger[:count, :count] = covariance
    larger[count, :count] = larger[:count, count] = y
    larger[count, count] = 1.0 + float(y @ y) / JITTER
    lower = np.linalg.cholesky(larger).astype(np.float64, copy=False)
    return lower[:count, :count], lower[count, :count]


def _kernel(one: Floats, other: Floats) -> Floats:
    """Return how alike configurations are, 0 to 1: Matern 5/2."""
    squares = (one**2).sum(1)[:, None] + (other**2).sum(1)[None] - 2 * one @ other.T
    distance = math.sqrt(5) * np.sqrt(np.maximum(0.0, squares))
    found: Floats = (1 + distance + distance**2 / 3) * np.exp(-distance)
    return found
