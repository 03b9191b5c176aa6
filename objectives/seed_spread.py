"""Spread of a network over training seeds, from a few seeds each: variances shrunk to a trend over all networks.

Two or three seeds hardly tell a variance: of two, the interval of a mean is 9 times as wide as of a known variance. But
the candidates of a front resemble each other, so each one's variance is shrunk to a regression of its logarithm on the
architecture and the logarithm of the size (empirical Bayes).

Sources:
    Smyth, Linear models and empirical Bayes methods for assessing differential expression, Statistical Applications in
        Genetics and Molecular Biology 3, 2004 (limma): the scaled inverse chi-square prior of a variance, its degrees
        of freedom by the moments of the logarithm of sample variances, and the limit on those of the posterior.
    Law, Chen, Shi, Smyth, voom, Genome Biology 15, 2014: the prior's scale as a trend. Here its level
        is the pooled variance's.

The prior of the regression is ours, weak and centred on no trend: an architecture's variance is within a factor of two
(`EFFECT`), and that of a network e times as large within a factor of 1.6 (`SLOPE`), with a probability of 68 %. That of
the degrees of freedom counts as `PRIOR_COUNT` networks, whose variances are within a factor of 1.7 of the trend.

Symbols, with shapes:
    N, Q        candidates, metrics
    n_i, nu_i   seeds of candidate i, and n_i - 1
    s_i^2       (N,): sample variance of a metric over the seeds
    d_0, s_0i^2 degrees of freedom and scale of the prior of the variance of candidate i
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

EFFECT = math.log(2)  # standard deviation of an architecture's effect on the log variance
SLOPE = 0.5  # of its change with the logarithm of the size
PRIOR_FREEDOM = 8.0  # of d_0
PRIOR_COUNT = 8
MAX_FREEDOM = 100.0  # of d_0: beyond, all variances follow the trend
LEAST_RATIO = 1e-4  # of a variance to the mean variance: seeds that agree by chance have a logarithm, too
MIN_FREEDOM = 4  # of all candidates together, to show an interval: with 4, it is 1.4 times as wide as with many


@dataclass(frozen=True)
class SeedSpread:
    """Posterior of the variance over seeds.

    Attributes:
        variance: Of one seed, (N, Q).
        freedom: Degrees of freedom, (N, Q): of the prior and the candidate's own, at most those of all candidates.
        correlation: Correlation of the metrics over seeds, (Q, Q), shrunk to independence.
    """

    variance: Floats
    freedom: Floats
    correlation: Floats


def needed_seeds(num_candidates: int) -> int:
    """Return how many seeds each candidate needs, so that an interval says something.

    >>> [needed_seeds(number) for number in (1, 2, 3, 4, 12)]
    [5, 3, 3, 2, 2]
    """
    return 1 + math.ceil(MIN_FREEDOM / num_candidates)


def total_freedom(counts: Sequence[int]) -> int:
    """Return the degrees of freedom of all candidates' seeds together."""
    return sum(count - 1 for count in counts)


def seed_spread(tables: Sequence[Floats], architectures: Sequence[str], sizes: Sequence[float]) -> SeedSpread | None:
    """Return the posterior of the candidates' variances over seeds.

    Args:
        tables: Measurements of each of the N candidates, (n_i, Q).
        architectures: (N,), names.
        sizes: (N,), such as numbers of parameters.

    Returns:
        None where no candidate has two seeds.
    """
    own = np.array([len(table) - 1 for table in tables], dtype=np.float64)
    if not own.any():
        return None
    residuals = np.concatenate([table - table.mean(axis=0) for table in tables])
    squares = np.array([((table - table.mean(axis=0)) ** 2).sum(axis=0) for table in tables])
    columns = [_shrunk(squares[:, index], own, architectures, sizes) for index in range(squares.shape[1])]
    variance, freedom = (np.stack(parts, axis=1) for parts in zip(*columns, strict=True))
    scale = np.sqrt((residuals**2).sum(axis=0))
    products = residuals.T @ residuals
    correlation = np.divide(
        products, np.outer(scale, scale), out=np.zeros_like(products), where=np.outer(scale, scale) > 0
    )
    correlation *= own.sum() / (own.sum() + len(correlation))
    np.fill_diagonal(correlation, 1.0)
    return SeedSpread(variance, freedom, correlation)


def _shrunk(
    squares: Floats, own: Floats, architectures: Sequence[str], sizes: Sequence[float]
) -> tuple[Floats, Floats]:
    """Return the variance and the degrees of freedom of each candidate, of one metric."""
    total = float(own.sum())
    pooled = float(squares.sum()) / total
    if pooled == 0:
        return np.zeros_like(own), np.full_like(own, total)
    several = own > 0
    halves = own[several] / 2
    sample = np.maximum(squares[several] / own[several], LEAST_RATIO * pooled)
    logs = np.log(sample) - np.array([digamma(half) - math.log(half) for half in halves])  # unbiased for log variance
    noise = np.array([trigamma(half) for half in halves])
    design = _design(architectures, sizes)
    scatter = trigamma(PRIOR_FREEDOM / 2)
    for _ in range(3):  # the weights depend on the scatter about the trend, and that on the trend
        trend = design @ _ridge(design[several], logs, 1 / (scatter + noise))
        excess = float(((logs - trend[several]) ** 2 - noise).sum())
        scatter = (PRIOR_COUNT * trigamma(PRIOR_FREEDOM / 2) + excess) / (PRIOR_COUNT + several.sum())
        scatter = max(scatter, trigamma(MAX_FREEDOM / 2))
    prior = 2 * _inverse_trigamma(scatter)
    shape = np.exp(
        trend - trend.max()
    )  # the level is the pooled variance's: of few seeds, a mean logarithm is too high
    scale = shape * float(squares.sum()) / float((own * shape).sum())
    return (prior * scale + squares) / (prior + own), np.minimum(prior + own, total)


def _design(architectures: Sequence[str], sizes: Sequence[float]) -> Floats:
    """Return the columns of the regression: 1, each architecture, and the logarithm of the size less its mean."""
    names = sorted(set(architectures))
    logs = np.log(np.maximum(1.0, np.asarray(sizes, dtype=np.float64)))
    kinds = np.array([[float(each == name) for name in names] for each in architectures])
    return np.column_stack([np.ones(len(logs)), kinds, logs - logs.mean()])


def _ridge(design: Floats, values: Floats, weights: Floats) -> Floats:
    """Return the coefficients: the intercept is free, the others have the normal prior of `EFFECT` and `SLOPE`."""
    penalty = np.full(design.shape[1], 1 / EFFECT**2)
    penalty[0], penalty[-1] = 1e-9, 1 / SLOPE**2
    weighted = design.T * weights
    return np.asarray(np.linalg.solve(weighted @ design + np.diag(penalty), weighted @ values))


def digamma(x: float) -> float:
    """Return the derivative of the logarithm of the gamma function, by its recurrence and asymptotic series.

    >>> round(digamma(0.5) + 2 * math.log(2), 6), round(digamma(1), 6)  # minus Euler's constant, both
    (-0.577216, -0.577216)
    """
    shift = 0.0
    while x < 10:
        shift, x = shift - 1 / x, x + 1
    inverse = 1 / (x * x)
    return shift + math.log(x) - 0.5 / x - inverse * (1 / 12 - inverse * (1 / 120 - inverse / 252))


def trigamma(x: float) -> float:
    """Return the derivative of `digamma`.

    >>> round(trigamma(1) - math.pi**2 / 6, 6), round(trigamma(0.5) - math.pi**2 / 2, 6)
    (0.0, 0.0)
    """
    shift = 0.0
    while x < 10:
        shift, x = shift + 1 / (x * x), x + 1
    inverse = 1 / (x * x)
    return shift + 1 / x + inverse / 2 + inverse / x * (1 / 6 - inverse * (1 / 30 - inverse / 42))


def _inverse_trigamma(value: float) -> float:
    """Return the x of which `trigamma` is a value, by bisection: it falls from x = 0 on."""
    low, high = 1e-3, 1e3
    while high / low > 1 + 1e-9:
        middle = math.sqrt(low * high)
        low, high = (middle, high) if trigamma(middle) > value else (low, middle)
    return math.sqrt(low * high)
