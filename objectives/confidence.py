"""Posterior probability of being on the Pareto front, and confidence intervals, from a few seeds on a few recordings.

A candidate's mean over seeds misses its true quality by the draw of the seeds, which is its own, and by the draw of the
recordings, which all candidates share: what is hard for one is hard for the others. The variance over seeds is shrunk
to a trend over all candidates (`objectives.seed_spread`); the errors by recording are correlated among candidates, as
they are measured on the same ones (`objectives.cluster_sampling`). With the noninformative prior of a mean, its
posterior is Student's t about the sample mean: Gelman et al., Bayesian Data Analysis, 3rd edition, 2013, section 3.2.

Symbols, with shapes:
    N, Q, C, D  candidates, metrics, costs, draws of the posterior
    n_i         measurements (seeds) of candidate i
    m_i         (Q,): its sample mean
    v_i         (Q,): its variance over seeds, with degrees of freedom d_i
    c_i         (Q,): its standard error over recordings, with e degrees of freedom
    mu_i        (Q,): true mean, m_i + sqrt(v_i / n_i) t_i + c_i t, t_i and t from Student's t with d_i and e
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from objectives.interval import CONFIDENCE, Interval, t_quantile
from objectives.seed_spread import Floats, SeedSpread, seed_spread

DRAWS = 20_000  # 95% of estimates of a probability of 0.5 are within 0.007


@dataclass(frozen=True)
class RecordingError:
    """Errors of the candidates' metrics over samples of the recordings that all are measured on.

    Attributes:
        error: c_i, (N, Q).
        freedom: e.
        correlation: Correlation of the errors, (N Q, N Q), the metrics of one candidate beside each other.
    """

    error: Floats
    freedom: float
    correlation: Floats


@dataclass(frozen=True)
class Measured:
    """Candidates as they were measured.

    Attributes:
        tables: Measurements of each of the N candidates, (n_i, Q).
        spread: Their variances over seeds; None where no candidate was measured twice.
        recordings: Their errors over recordings; None for clips without an error.
    """

    tables: Sequence[Floats]
    spread: SeedSpread | None
    recordings: RecordingError | None


def measured(
    samples: Sequence[ArrayLike],
    architectures: Sequence[str] | None = None,
    sizes: Sequence[float] | None = None,
    recordings: RecordingError | None = None,
) -> Measured:
    """Return candidates with the posterior of their variances.

    Args:
        samples: Measurements of each of the N candidates, (n_i, Q) with n_i of at least 1.
        architectures: (N,), names; None: of one.
        sizes: (N,), numbers of parameters; None: equal.
        recordings: Errors over recordings.

    Raises:
        ValueError: Shapes that do not agree, a candidate without measurements, or a value that is not finite.
    """
    tables = _tables(samples)
    spread = seed_spread(tables, architectures or [""] * len(tables), sizes or [1.0] * len(tables))
    return Measured(tables, spread, recordings)


def intervals(candidates: Measured) -> list[list[Interval]]:
    """Return each candidate's mean of each metric with its confidence interval: N lists of Q.

    Both variances add up; the degrees of freedom are Satterthwaite's. Without a second seed of anybody there is none.

    >>> [[found]] = intervals(measured([[[1.0], [3.0]]]))
    >>> found.mean, round(found.half, 3), found.count
    (2.0, 12.706, 2)
    """
    spread, clips = candidates.spread, candidates.recordings
    found = []
    for number, table in enumerate(candidates.tables):
        row = []
        for metric, mean in enumerate(table.mean(axis=0).tolist()):
            half = None
            if spread is not None:
                parts = [(float(spread.variance[number, metric]) / len(table), float(spread.freedom[number, metric]))]
                if clips is not None:
                    parts.append((float(clips.error[number, metric]) ** 2, clips.freedom))
                half = _half(parts)
            row.append(Interval(mean, half, len(table)))
        found.append(row)
    return found


def _half(parts: Sequence[tuple[float, float]]) -> float:
    """Return half the width of the interval of a sum of errors, from their variances and degrees of freedom."""
    variance = math.fsum(part for part, _ in parts)
    if not variance:
        return 0.0
    freedom = variance**2 / math.fsum(part**2 / each for part, each in parts)
    return t_quantile(round(freedom, 2), CONFIDENCE) * math.sqrt(variance)


def front_probability(
    candidates: Measured,
    costs: ArrayLike,
    maximize: Sequence[bool],
    *,
    chance: Sequence[float] | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> NDArray[np.float64] | None:
    """Return each candidate's probability that its true means and costs are on the Pareto front of all candidates.

    The means of all candidates are drawn from their posterior, and the front is taken of each draw.

    Args:
        candidates: N, with Q metrics.
        costs: (N, C), known exactly; C may be 0.
        maximize: For each of the Q metrics and then the C costs, whether more is better.
        chance: Metrics of a constant classifier, (Q,), which is free and dominates what is no better; None: of none.
        draws: D.
        seed: Of the draws.

    Returns:
        (N,) probabilities, or None where no candidate was measured twice and the variance is unknown.

    Raises:
        ValueError: Shapes that do not agree, or a cost that is not finite.

    >>> front_probability(measured([[[0.5], [0.5]], [[0.4], [0.4]]]), [[10], [20]], [True, False]).tolist()
    [1.0, 0.0]
    """
    tables = candidates.tables
    known = np.array(costs, dtype=np.float64).reshape(len(tables), -1)
    num_metrics = tables[0].shape[1]
    if len(maximize) != num_metrics + known.shape[1]:
        raise ValueError(
            f"maximize must say of {num_metrics} metrics and {known.shape[1]} costs, got {len(maximize)} directions"
        )
    if not np.isfinite(known).all():
        raise ValueError("costs must be finite")
    if candidates.spread is None:
        return None
    signs = np.where(maximize, -1.0, 1.0)
    drawn = _draw_means(candidates, candidates.spread, draws, np.random.default_rng(seed)) * signs[:num_metrics]
    fixed = known * signs[num_metrics:]  # less is better
    found = np.ones((draws, len(tables)), dtype=bool)
    if chance is not None:
        found &= (drawn < np.asarray(chance) * signs[:num_metrics]).any(axis=2)
    for one, other in permutations(range(len(tables)), 2):
        found[:, one] &= ~_dominates(drawn[:, other], drawn[:, one], fixed[other], fixed[one])
    return np.asarray(found.mean(axis=0), dtype=np.float64)


def _tables(samples: Sequence[ArrayLike]) -> list[Floats]:
    tables = [np.array(each, dtype=np.float64) for each in samples]
    if not tables:
        raise ValueError("there are no candidates")
    for number, table in enumerate(tables):
        if table.ndim != 2 or not table.size or table.shape[1] != tables[0].shape[1]:
            raise ValueError(f"candidate {number} must have measurements of each metric, got shape {table.shape}")
        if not np.isfinite(table).all():
            raise ValueError(f"candidate {number} has a measurement that is not finite")
    return tables


def _draw_means(candidates: Measured, spread: SeedSpread, draws: int, rng: np.random.Generator) -> Floats:
    """Return draws of the true means of all candidates, (D, N, Q)."""
    means = np.array([table.mean(axis=0) for table in candidates.tables])
    counts = np.array([len(table) for table in candidates.tables])[:, None]
    normal = rng.standard_normal((draws, *means.shape)) @ _root(spread.correlation).T
    normal *= np.sqrt(spread.freedom / rng.chisquare(spread.freedom, size=normal.shape))
    drawn = means + normal * np.sqrt(spread.variance / counts)
    clips = candidates.recordings
    if clips is not None:
        shared = (rng.standard_normal((draws, means.size)) @ _root(clips.correlation).T).reshape(-1, *means.shape)
        shared *= np.sqrt(clips.freedom / rng.chisquare(clips.freedom, size=draws))[:, None, None]
        drawn += shared * clips.error
    return np.asarray(drawn)


def _root(correlation: Floats) -> Floats:
    """Return a matrix whose product with its transpose is a correlation, which may be singular."""
    values, vectors = np.linalg.eigh(correlation)
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0)))


def _dominates(other: Floats, one: Floats, other_costs: Floats, costs: Floats) -> NDArray[np.bool_]:
    """Return in which of the draws, (D, Q) of each mean, `other` dominates `one`, (D,); less is better everywhere."""
    if (other_costs > costs).any():
        return np.zeros(len(one), dtype=bool)
    as_good = (other <= one).all(axis=1)
    better = (other < one).any(axis=1) | bool((other_costs < costs).any())
    return np.asarray(as_good & better)
