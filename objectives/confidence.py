"""Posterior probability of being on the Pareto front, and pooled confidence intervals, from a few seeds a candidate.

Model: each measurement is normal about its candidate's own mean, with one covariance for all candidates, estimated from
all of them together. With the noninformative prior, the posterior of the means is Student's t about the sample means:
Gelman et al., Bayesian Data Analysis, 3rd edition, 2013, section 3.2, for one candidate.

Symbols, with shapes:
    N, Q, C, D  candidates, metrics, costs, draws of the posterior
    n_i         measurements (seeds) of candidate i
    m_i         (Q,): its sample mean
    nu          degrees of freedom: sum of n_i, less N
    S           (Q, Q): pooled covariance, sum of the residuals' outer products / nu
    mu_i        (Q,): true mean, m_i + S^(1/2) z sqrt(nu / chi2_nu) / sqrt(n_i) with z standard normal
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from objectives.interval import CONFIDENCE, Interval, t_quantile

DRAWS = 20_000  # 95% of estimates of a probability of 0.5 are within 0.007


@dataclass(frozen=True)
class Pooled:
    """Pooled covariance of a measurement.

    Attributes:
        covariance: (Q, Q), S.
        freedom: Degrees of freedom, nu; 0 where no candidate was measured twice.
    """

    covariance: NDArray[np.float64]
    freedom: int


def pooled_intervals(samples: Sequence[Sequence[float]]) -> list[Interval]:
    """Return each candidate's mean of one metric with its confidence interval, by the pooled variance.

    Args:
        samples: Measurements of each of the N candidates, at least one each.

    Raises:
        ValueError: A candidate without measurements, or one that is not finite.

    >>> found = pooled_intervals([[1.0, 3.0], [5.0]])
    >>> [(each.mean, round(each.half, 3), each.count) for each in found]
    [(2.0, 12.706, 2), (5.0, 17.969, 1)]
    """
    tables = _tables([[[value] for value in each] for each in samples])
    pooled = _pool(tables)
    half = None
    if pooled.freedom:
        half = t_quantile(pooled.freedom, CONFIDENCE) * math.sqrt(float(pooled.covariance[0, 0]))
    return [
        Interval(float(table.mean()), None if half is None else half / math.sqrt(len(table)), len(table))
        for table in tables
    ]


def front_probability(
    samples: Sequence[ArrayLike], costs: ArrayLike, maximize: Sequence[bool], *, draws: int = DRAWS, seed: int = 0
) -> NDArray[np.float64] | None:
    """Return each candidate's probability that its true means and costs are on the Pareto front of all candidates.

    The means of all candidates are drawn from their posterior, and the front is taken of each draw. It is the
    uncertainty over training seeds: that of the clips, the same for all measurements, is not in it.

    Args:
        samples: Measurements of each of the N candidates, (n_i, Q) with n_i of at least 1.
        costs: (N, C), known exactly; C may be 0.
        maximize: For each of the Q metrics and then the C costs, whether more is better.
        draws: D.
        seed: Of the draws.

    Returns:
        (N,) probabilities, or None where no candidate was measured twice and the variance is unknown.

    Raises:
        ValueError: Shapes that do not agree, a candidate without measurements, or a value that is not finite.

    >>> front_probability([[[0.5], [0.5]], [[0.4], [0.4]]], [[10], [20]], [True, False]).tolist()
    [1.0, 0.0]
    """
    tables = _tables(samples)
    known = np.array(costs, dtype=np.float64).reshape(len(tables), -1)
    num_metrics = tables[0].shape[1]
    if len(maximize) != num_metrics + known.shape[1]:
        raise ValueError(
            f"maximize must say of {num_metrics} metrics and {known.shape[1]} costs, got {len(maximize)} directions"
        )
    if not np.isfinite(known).all():
        raise ValueError("costs must be finite")
    pooled = _pool(tables)
    if not pooled.freedom:
        return None
    signs = np.where(np.asarray(maximize, dtype=bool), -1.0, 1.0)
    drawn = _draw_means(tables, pooled, draws, np.random.default_rng(seed)) * signs[:num_metrics]  # less is better
    fixed = known * signs[num_metrics:]
    found = np.ones((draws, len(tables)), dtype=bool)
    for one in range(len(tables)):
        for other in range(len(tables)):
            if one != other:
                found[:, one] &= ~_dominates(drawn[:, other], drawn[:, one], fixed[other], fixed[one])
    return np.asarray(found.mean(axis=0), dtype=np.float64)


def _tables(samples: Sequence[ArrayLike]) -> list[NDArray[np.float64]]:
    tables = [np.array(each, dtype=np.float64) for each in samples]
    if not tables:
        raise ValueError("there are no candidates")
    for number, table in enumerate(tables):
        if table.ndim != 2 or not table.size or table.shape[1] != tables[0].shape[1]:
            raise ValueError(f"candidate {number} must have measurements of each metric, got shape {table.shape}")
        if not np.isfinite(table).all():
            raise ValueError(f"candidate {number} has a measurement that is not finite")
    return tables


def _pool(tables: Sequence[NDArray[np.float64]]) -> Pooled:
    residuals = np.concatenate([table - table.mean(axis=0) for table in tables])
    freedom = len(residuals) - len(tables)
    return Pooled(residuals.T @ residuals / max(1, freedom), freedom)


def _draw_means(
    tables: Sequence[NDArray[np.float64]], pooled: Pooled, draws: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return draws of the true means of all candidates, (D, N, Q)."""
    values, vectors = np.linalg.eigh(pooled.covariance)  # S may be singular: no Cholesky factor
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    normal = rng.standard_normal((draws, len(tables), len(values))) @ root.T
    scale = np.sqrt(pooled.freedom / rng.chisquare(pooled.freedom, size=draws))
    counts = np.array([len(table) for table in tables])
    means = np.array([table.mean(axis=0) for table in tables])
    return np.asarray(means + normal * scale[:, None, None] / np.sqrt(counts)[:, None])


def _dominates(
    other: NDArray[np.float64], one: NDArray[np.float64], other_costs: NDArray[np.float64], costs: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Return in which of the draws, (D, Q) of each mean, `other` dominates `one`, (D,); less is better everywhere."""
    if (other_costs > costs).any():
        return np.zeros(len(one), dtype=bool)
    as_good = (other <= one).all(axis=1)
    better = (other < one).any(axis=1) | bool((other_costs < costs).any())
    return np.asarray(as_good & better)
