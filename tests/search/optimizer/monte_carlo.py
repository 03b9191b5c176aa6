"""Hypervolume improvement by moocore, and its expectation over draws of a normal posterior."""

import math

import moocore
import numpy as np

NUM_DRAWS = 2_000
# Eight quantiles miss at most this share of a standard deviation of a linear improvement: worst where it begins at the
# last quantile, t = 1.53, as pdf(t) - t (1 - cdf(t)) says.
QUADRATURE = 0.0274


def improvements(front, points, reference):
    """Return the hypervolume improvement by each point, (N,), as moocore measures it: more is better."""
    if front.shape[1] == 1:
        return np.maximum(0.0, points[:, 0] - max([reference, *front[:, 0]]))
    worst = np.full(front.shape[1], -reference)
    before = moocore.hypervolume(-front, worst) if len(front) else 0.0
    return np.array([moocore.hypervolume(-np.vstack([front, point]), worst) - before for point in points])


def monte_carlo(front, mean, deviation, reference, seed=0):
    """Return the mean improvement over draws of the posterior, and its error: 4 standard errors, and the quadrature."""
    z = np.random.default_rng(seed).standard_normal(NUM_DRAWS)
    drawn = [improvements(front, m + z[:, None] * s, reference) for m, s in zip(mean, deviation, strict=True)]
    errors = np.array([4 * each.std() / math.sqrt(NUM_DRAWS) for each in drawn])
    # A sample of one objective improves by no more than all of the others' extent.
    extent = np.maximum(mean + 2 * deviation - reference, 1).max(axis=0)
    slopes = np.array([sum(s[i] * np.prod(np.delete(extent, i)) for i in range(len(s))) for s in deviation])
    return np.array([each.mean() for each in drawn]), errors + QUADRATURE * slopes
