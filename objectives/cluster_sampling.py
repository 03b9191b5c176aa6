"""Standard error of a mean over clips that come in recordings: cluster sampling, stratified by class.

Clips of one recording are alike: a network that takes one for another scene takes most of them for it. So recordings
are what is sampled, not clips, and the recordings of each class are a sample of their own (a stratum).

Sources:
    Cameron, Miller, A practitioner's guide to cluster-robust inference, Journal of Human Resources 50, 2015: the
        residual of a cluster over one minus its leverage (CR3), with (G - 1) / G: the jackknife over recordings.
    Bell, McCaffrey, Bias reduction in standard errors for linear regression with multi-stage samples, Survey
        Methodology 28, 2002: Satterthwaite's degrees of freedom, as if all recordings had the same variance.

Symbols, with shapes:
    R, K        recordings with clips, classes that have some
    n_g, y_g    clips of recording g, and the sum of a metric over them; (R,)
    p_g         mean of the recording, y_g / n_g
    G_k         recordings of class k
    a_k         mean of class k: sum of y_g / sum of n_g over its recordings
    w_g         share of the recording of the clips of its class; q_k is the sum of their squares
    W_k         weight of class k in the mean: 1 / K, or its share of the clips
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from objectives.interval import t_quantile

SHRINKAGE = 4.0  # degrees of freedom of the pooled variance of recordings, beside those of one class
Floats = NDArray[np.float64]
Counts = NDArray[np.int64]


@dataclass(frozen=True)
class SamplingError:
    """Error of a metric over samples of recordings.

    Attributes:
        error: Standard error.
        freedom: Its degrees of freedom, at least 1; infinite where clips are taken as independent.
    """

    error: float
    freedom: float

    @property
    def half(self) -> float:
        """Half the width of the 95 % confidence interval, by Student's t."""
        return t_quantile(self.freedom) * self.error


@dataclass(frozen=True)
class Sample:
    """A metric on recordings.

    Attributes:
        sums: y_g; (R,).
        clips: n_g, 0 where a recording has no such clip; (R,).
        strata: Class of each recording, as an index; (R,).
        by_class: Whether the metric is the mean of the classes' means; else it is the mean over all clips.
        is_binary: Whether each clip counts 0 or 1, so that the spread within a recording follows from its sum.
    """

    sums: Floats
    clips: Floats
    strata: Counts
    by_class: bool
    is_binary: bool


@dataclass(frozen=True)
class _Strata:
    """Jackknife of each class: G_k, q_k, W_k and the mean of 1 / n_g, (K,) each, and of each recording, (R,)."""

    counts: Floats
    squares: Floats
    weights: Floats
    inverse: Floats
    residuals: Floats  # whose squares add up, over a class, to the variance of its mean
    index: Counts


def clustered_error(sample: Sample) -> SamplingError | None:
    """Return the standard error of a metric over samples of recordings.

    The variance of a class's mean is the jackknife's over its recordings. A class with a single recording has none: it
    takes the pooled variance between the recordings of the other classes, of which the part within recordings is scaled
    to its number of clips. If every class has a single recording, the variance between all of them is taken, with what
    the classes differ by, which is too much rather than too little.

    Returns:
        None for a single recording. The error is 0 where no recording differs from its class.
    """
    known = sample.clips > 0
    sums, clips, strata = sample.sums[known], sample.clips[known], sample.strata[known]
    if len(clips) < 2:
        return None
    parts = _strata(sums, clips, strata, by_class=sample.by_class)
    contribution = parts.weights**2 * parts.squares  # of a recording's variance to that of the mean
    several = parts.counts > 1
    freedom = parts.counts - 1
    if not several.any():
        error = math.sqrt(float(contribution.sum()) * float((sums / clips).var(ddof=1)))
        return SamplingError(error, len(clips) - 1)
    own = np.bincount(parts.index, parts.residuals**2) / parts.squares  # variance of a recording, by class
    pooled = float((freedom * own).sum() / freedom.sum())
    alone = np.full(len(own), pooled)
    if sample.is_binary:
        within = float((sums * (1 - sums / clips)).sum() / max(1.0, float((clips - 1).sum())))
        between = max(0.0, pooled - within * float((freedom * parts.inverse).sum() / freedom.sum()))
        alone = between + within * parts.inverse
    variance = float((contribution * np.where(several, own, alone)).sum())
    borrowed = float(contribution[~several].sum()) * freedom / freedom.sum()
    shares = np.where(several, contribution, 0.0) + borrowed
    spread = float((shares[several] ** 2 / freedom[several]).sum())
    return SamplingError(math.sqrt(variance), float(shares.sum()) ** 2 / spread)


def accuracy_error(sample: Sample) -> SamplingError | None:
    """Return the standard error of an accuracy, never 0 and never less than that of independent clips.

    With one pseudo-count of each outcome, so that all of a few right is not certain. Where no recording differs from
    its class the recordings are counted instead of the clips: as many as would weigh the same in the mean.

    Args:
        sample: Its clips count 0 or 1.

    Returns:
        None for a single recording.
    """
    found = clustered_error(sample)
    if found is None:
        return None
    parts, totals, means = _class_means(sample)
    if sample.by_class:
        floor = float((parts.weights**2 * binomial_variance(means, totals)).sum())
    else:
        floor = float(binomial_variance(float((parts.weights * means).sum()), float(totals.sum())))
    if found.error == 0:
        recordings = 1 / float((parts.weights**2 * parts.squares).sum())
        floor = float(binomial_variance(float((parts.weights * means).sum()), recordings))
    return SamplingError(max(found.error, math.sqrt(floor)), found.freedom)


def class_errors(sample: Sample) -> list[SamplingError | None]:
    """Return the standard error of the accuracy of each class that has clips, by its index.

    The few recordings of one class hardly tell their variance. It is shrunk to the pooled variance of all classes,
    which counts as `SHRINKAGE` degrees of freedom: Smyth, Linear models and empirical Bayes methods, Statistical
    Applications in Genetics and Molecular Biology 3, 2004. A class with a single recording has the pooled variance.

    Returns:
        (K,); None for each where every class has a single recording.
    """
    parts, totals, means = _class_means(sample)
    freedom = parts.counts - 1
    if not freedom.any():
        return [None] * len(means)
    own = np.bincount(parts.index, parts.residuals**2)
    pooled = float((freedom * own / parts.squares).sum() / freedom.sum())
    prior = min(SHRINKAGE, float(freedom.sum()))
    variance = (prior * pooled * parts.squares + freedom * own) / (prior + freedom)
    recordings = 1 / parts.squares
    least = binomial_variance(means, recordings if pooled == 0 else totals)
    return [
        SamplingError(error, prior + more)
        for error, more in zip(np.sqrt(np.maximum(variance, least)).tolist(), freedom.tolist(), strict=True)
    ]


def binomial_variance(accuracy: Floats | float, trials: Floats | float) -> Floats | float:
    """Return the variance of an accuracy over independent trials, with one pseudo-count of each outcome."""
    shrunk = (accuracy * trials + 1) / (trials + 2)
    return shrunk * (1 - shrunk) / trials


def _class_means(sample: Sample) -> tuple["_Strata", Floats, Floats]:
    """Return the jackknife, the clips and the mean of each class."""
    known = sample.clips > 0
    sums, clips = sample.sums[known], sample.clips[known]
    parts = _strata(sums, clips, sample.strata[known], by_class=sample.by_class)
    totals = np.bincount(parts.index, clips).astype(np.float64)
    return parts, totals, np.bincount(parts.index, sums) / totals


def correlations(samples: Sequence[Sample]) -> Floats:
    """Return the correlations of the errors of metrics that are measured on the same recordings: (M, M).

    They are those of the recordings' residuals, pooled over the classes with several. A metric without any residual is
    taken as independent.

    Args:
        samples: M, the recordings of all in the same order.
    """
    columns = []
    for sample in samples:
        column, known = np.zeros(len(sample.clips)), sample.clips > 0
        parts = _strata(sample.sums[known], sample.clips[known], sample.strata[known], by_class=sample.by_class)
        column[known] = parts.residuals * parts.weights[parts.index]
        columns.append(column)
    table = np.stack(columns, axis=1)
    products = table.T @ table
    scale = np.sqrt(np.diag(products))
    found = np.divide(products, np.outer(scale, scale), out=np.zeros_like(products), where=np.outer(scale, scale) > 0)
    np.fill_diagonal(found, 1.0)
    return np.asarray(found)


def effective_clips(sample: Sample, correlation: float) -> float:
    """Return the number of independent clips whose mean would be as certain as that of these.

    Args:
        sample: Its sums are not used.
        correlation: Intraclass correlation of the clips of one recording, 0 to 1.

    >>> one = Sample(np.zeros(2), np.array([10.0, 10.0]), np.zeros(2, int), by_class=False, is_binary=True)
    >>> [round(effective_clips(one, correlation), 3) for correlation in (0.0, 0.1, 1.0)]
    [20.0, 10.526, 2.0]
    """
    known = sample.clips > 0
    clips = sample.clips[known]
    parts = _strata(sample.sums[known], clips, sample.strata[known], by_class=sample.by_class)
    totals = np.bincount(parts.index, clips)
    weight = (parts.weights / totals)[parts.index]  # of one clip in the mean
    variance = float((weight**2 * clips * (1 - correlation + correlation * clips)).sum())
    return 1 / variance


def _strata(sums: Floats, clips: Floats, strata: Counts, *, by_class: bool) -> _Strata:
    _, index = np.unique(strata, return_inverse=True)
    counts, totals = np.bincount(index).astype(np.float64), np.bincount(index, clips)
    means = np.bincount(index, sums) / totals
    weights = np.full(len(counts), 1 / len(counts)) if by_class else totals / totals.sum()
    share = clips / totals[index]
    leverage = np.where(counts[index] > 1, 1 - share, 1.0)  # a single recording has no residual
    residuals = share * (sums / clips - means[index]) / leverage * np.sqrt((counts - 1) / counts)[index]
    squares = np.bincount(index, share**2).astype(np.float64)
    inverse = np.bincount(index, 1 / clips) / counts
    return _Strata(counts, squares, weights, inverse, residuals, index)
