"""Sobol design: low-discrepancy points in the ranges of a subspace, as an initial design."""

import hashlib
import math
from typing import Any

import torch
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from search.space.ranges import all_values, nearest, num_values
from search.space.subspace import Subspace


def sobol_points(subspace: Subspace, count: int, seed: int, *, skip: int = 0) -> list[dict[str, Any]]:
    """Return `count` points of a scrambled Sobol sequence in the ranges of a subspace, after the first `skip`.

    Each architecture has its own sequence, by its name and the search's seed.
    Source: Owen, Randomly Permuted (t,m,s)-Nets and (t,s)-Sequences, 1995, by `torch.quasirandom.SobolEngine`.
    """
    if not subspace.ranges:
        return [{}] * count
    digest = hashlib.sha256(f"{seed}:{subspace.architecture}".encode()).digest()
    first = int.from_bytes(digest[:4], "big")
    engine = torch.quasirandom.SobolEngine(len(subspace.ranges), scramble=True, seed=first)  # type: ignore[no-untyped-call]
    engine.fast_forward(skip)  # type: ignore[no-untyped-call]
    uniform = engine.draw(count, dtype=torch.float64).tolist()
    return [
        {name: from_uniform(each, u) for (name, each), u in zip(subspace.ranges.items(), row, strict=True)}
        for row in uniform
    ]


def from_uniform(distribution: BaseDistribution, u: float) -> Any:
    """Map u in [0, 1) to a value of a range by the inverse CDF of its uniform or log-uniform distribution.

    >>> from_uniform(IntDistribution(8, 64, step=8), 0.5), from_uniform(FloatDistribution(0.001, 0.1, log=True), 0.5)
    (40, 0.01)
    >>> from_uniform(CategoricalDistribution(["a", "b"]), 0.49)
    'a'
    """
    if isinstance(distribution, FloatDistribution) and not distribution.step:
        low, high = distribution.low, distribution.high
        value = low * (high / low) ** u if distribution.log else low + u * (high - low)
        return nearest(distribution, value)
    if isinstance(distribution, IntDistribution) and distribution.log:
        low, high = distribution.low - 0.5, distribution.high + 0.5  # each integer covers half a step to either side
        return nearest(distribution, math.exp(math.log(low) + u * math.log(high / low)))
    assert isinstance(distribution, CategoricalDistribution | IntDistribution | FloatDistribution)
    values = all_values(distribution)
    return values[min(int(u * num_values(distribution)), len(values) - 1)]
