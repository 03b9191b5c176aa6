"""Points spread evenly over ranges, for a search to begin with."""

import hashlib
import math
from typing import Any

import torch
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from search.space.ranges import all_values, nearest, num_values
from search.space.subspace import Subspace


def sobol_points(subspace: Subspace, count: int, seed: int, *, skip: int = 0) -> list[dict[str, Any]]:
    """Return points of a scrambled Sobol sequence in the ranges of an architecture: of each value, each as often.

    Source: Owen, Randomly Permuted (t,m,s)-Nets and (t,s)-Sequences, 1995, as `torch.quasirandom.SobolEngine` has it.

    Args:
        subspace: Gives the ranges.
        count: How many points.
        seed: Of the search; each architecture has a sequence of its own.
        skip: Points of the sequence that come before these.
    """
    if not subspace.ranges:
        return [{}] * count
    digest = hashlib.sha256(f"{seed}:{subspace.architecture}".encode()).digest()
    first = int.from_bytes(digest[:4], "big")
    engine = torch.quasirandom.SobolEngine(len(subspace.ranges), scramble=True, seed=first)  # type: ignore[no-untyped-call]
    engine.fast_forward(skip)  # type: ignore[no-untyped-call]
    shares = engine.draw(count, dtype=torch.float64).tolist()
    return [
        {name: value_at(each, share) for (name, each), share in zip(subspace.ranges.items(), row, strict=True)}
        for row in shares
    ]


def value_at(distribution: BaseDistribution, share: float) -> Any:
    """Return the value so far into a range, each as wide as another; on a logarithmic scale where the range has one.

    Args:
        distribution: The range.
        share: From 0 to below 1.

    >>> value_at(IntDistribution(8, 64, step=8), 0.5), value_at(FloatDistribution(0.001, 0.1, log=True), 0.5)
    (40, 0.01)
    >>> value_at(CategoricalDistribution(["a", "b"]), 0.49)
    'a'
    """
    if isinstance(distribution, FloatDistribution) and not distribution.step:
        low, high = distribution.low, distribution.high
        between = low * (high / low) ** share if distribution.log else low + share * (high - low)
        return nearest(distribution, between)
    if isinstance(distribution, IntDistribution) and distribution.log:
        low, high = distribution.low - 0.5, distribution.high + 0.5  # each whole number has half a step to either side
        return nearest(distribution, math.exp(math.log(low) + share * math.log(high / low)))
    assert isinstance(distribution, CategoricalDistribution | IntDistribution | FloatDistribution)
    values = all_values(distribution)
    return values[min(int(share * num_values(distribution)), len(values) - 1)]
