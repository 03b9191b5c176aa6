"""How sure a front of a few measurements is: means with intervals, and the probability of being on the front.

Each candidate is measured some times, once a seed. The measurements of a figure are taken as normal about the
candidate's own mean, with one variance for all candidates, which all of them together tell better than the two or three
of each alone. With the usual prior that says nothing, what is then known of the means is Student's t distribution about
those that were measured: Gelman et al., Bayesian Data Analysis, 3rd edition, 2013, section 3.2, for one candidate.

Shape letters: N candidates, Q figures of quality, C costs, D draws.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from objectives.interval import CONFIDENCE, Interval, t_quantile

DRAWS = 20_000  # a probability of a half is then right within 0.7 points, 19 times of 20


@dataclass(frozen=True)
class Pooled:
    """What all candidates together say of the spread of a measurement.

    Attributes:
        covariance: (Q, Q), of one measurement's figures.
        freedom: Degrees of freedom of it: measurements less candidates.
    """

    covariance: NDArray[np.float64]
    freedom: int


def pooled_intervals(samples: Sequence[Sequence[float]]) -> list[Interval]:
    """Return each candidate's mean of one figure, with its interval at `CONFIDENCE` by the pooled variance.

    Args:
        samples: The measurements of each of the N candidates: one or more.

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

    The means are drawn together from what is known of them, and the front is taken of each draw. What is not in it is
    that other clips would say something else: the means are those of training on and on, measured on the same clips.

    Args:
        samples: For each of the N candidates its measurements, (n, Q) with n of at least 1.
        costs: (N, C), known exactly; C may be 0.
        maximize: For each of the Q figures and then the C costs, whether more is better.
        draws: D.
        seed: Of the draws.

    Returns:
        (N,) probabilities, or None where no candidate was measured twice: then nothing is known of the spread.

    Raises:
        ValueError: Shapes that do not agree, a candidate without measurements, or a value that is not finite.

    >>> front_probability([[[0.5], [0.5]], [[0.4], [0.4]]], [[10], [20]], [True, False]).tolist()
    [1.0, 0.0]
    """
    tables = _tables(samples)
    known = np.array(costs, dtype=np.float64).reshape(len(tables), -1)
    num_figures = tables[0].shape[1]
    if len(maximize) != num_figures + known.shape[1]:
        raise ValueError(
            f"maximize must say of {num_figures} figures and {known.shape[1]} costs, got {len(maximize)} directions"
        )
    if not np.isfinite(known).all():
        raise ValueError("costs must be finite")
    pooled = _pool(tables)
    if not pooled.freedom:
        return None
    signs = np.where(np.asarray(maximize, dtype=bool), -1.0, 1.0)
    drawn = _draw_means(tables, pooled, draws, np.random.default_rng(seed)) * signs[:num_figures]  # less is better
    fixed = known * signs[num_figures:]
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
            raise ValueError(f"candidate {number} must have measurements of each figure, got shape {table.shape}")
        if not np.isfinite(table).all():
            raise ValueError(f"candidate {number} has a measurement that is not finite")
    return tables


def _pool(tables: Sequence[NDArray[np.float64]]) -> Pooled:
    off = np.concatenate([table - table.mean(axis=0) for table in tables])
    freedom = len(off) - len(tables)
    return Pooled(off.T @ off / max(1, freedom), freedom)


def _draw_means(
    tables: Sequence[NDArray[np.float64]], pooled: Pooled, draws: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Draw the means of all candidates: (D, N, Q)."""
    values, vectors = np.linalg.eigh(pooled.covariance)  # figures that always move together leave no Cholesky factor
    spread = vectors * np.sqrt(np.maximum(values, 0.0))
    normal = rng.standard_normal((draws, len(tables), len(values))) @ spread.T
    scale = np.sqrt(pooled.freedom / rng.chisquare(pooled.freedom, size=draws))
    counts = np.array([len(table) for table in tables])
    means = np.array([table.mean(axis=0) for table in tables])
    return np.asarray(means + normal * scale[:, None, None] / np.sqrt(counts)[:, None])


def _dominates(
    other: NDArray[np.float64], one: NDArray[np.float64], other_costs: NDArray[np.float64], costs: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Describe in which draws, (D, Q), one candidate dominates another: less is better in every column."""
    if (other_costs > costs).any():
        return np.zeros(len(one), dtype=bool)
    as_good = (other <= one).all(axis=1)
    better = (other < one).any(axis=1) | bool((other_costs < costs).any())
    return np.asarray(as_good & better)
