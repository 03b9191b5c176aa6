"""Feature encoding of configurations for the surrogate: cost, normalized settings, and the architecture one-hot.

Features of a configuration, D numbers:
    log10 of its MACs and of its parameters, which networks of all architectures have in common
    its settings, each normalized to 0..1 over its range and divided by the square root of their number, so that the
        distance between two configurations does not grow with the number of ranges; an unordered choice is one-hot
    its architecture, one-hot
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from objectives.cost import Cost
from search.space.ranges import normalize
from search.space.subspace import Subspace

IMPUTED_VALUE = 0.5  # of a normalized setting that a configuration lacks: the middle of its range
# Length scale between architectures: at the same cost and settings, the prior correlation of two is 0.83.
ARCHITECTURE_LENGTH_SCALE = 1 / 0.35
COST_LENGTH_SCALE = 0.8  # in decades of MACs and of parameters
SETTINGS_LENGTH_SCALE = 1.0  # of a setting over its range, divided by the square root of their number

Floats = npt.NDArray[np.float64]


class FeatureEncoder:
    """Encodes configurations of all architectures of a search as vectors of the same D features."""

    def __init__(self, subspaces: Mapping[str, Subspace]) -> None:
        self.subspaces = subspaces
        self._columns: dict[str, list[int]] = {}
        self._ranges: dict[str, BaseDistribution] = {}
        self._num_columns = 0
        for subspace in subspaces.values():
            for name, distribution in subspace.ranges.items():
                if name not in self._columns and not distribution.single():
                    end = self._num_columns + _num_columns(distribution)
                    self._columns[name] = list(range(self._num_columns, end))
                    self._ranges[name] = distribution
                    self._num_columns = end

    def encode(self, architecture: str, values: Mapping[str, Any], cost: Cost) -> Floats:
        """Return the features of a configuration, (D,).

        Args:
            architecture: Its name; one without a subspace is encoded as zeros in place of the one-hot.
            values: Its settings by name; those without a range are omitted, values out of range are clipped.
            cost: Cost of its network.
        """
        settings = np.full(self._num_columns, IMPUTED_VALUE)
        for name, value in values.items():
            if name in self._columns:
                settings[self._columns[name]] = _normalized(self._ranges[name], value)
        settings /= math.sqrt(max(1, len(self._columns)))
        one_hot = [1.0 if name == architecture else 0.0 for name in self.subspaces]
        return np.array([math.log10(max(1, cost.macs)), math.log10(max(1, cost.params)), *settings, *one_hot])

    def length_scales(self) -> Floats:
        """Return the prior medians of the features' length scales, (D,)."""
        settings, architectures = [SETTINGS_LENGTH_SCALE] * self._num_columns, len(self.subspaces)
        return np.array([COST_LENGTH_SCALE] * 2 + settings + [ARCHITECTURE_LENGTH_SCALE] * architectures)


def _num_columns(distribution: BaseDistribution) -> int:
    if isinstance(distribution, CategoricalDistribution) and not _is_ordered(distribution):
        return len(distribution.choices)
    return 1


def _is_ordered(distribution: CategoricalDistribution) -> bool:
    return all(isinstance(choice, int | float) for choice in distribution.choices)


def _normalized(distribution: BaseDistribution, value: Any) -> list[float]:
    if isinstance(distribution, IntDistribution | FloatDistribution):
        return [normalize(distribution, min(max(value, distribution.low), distribution.high))]
    assert isinstance(distribution, CategoricalDistribution)
    if not _is_ordered(distribution):
        return [0.5 if value == choice else 0.0 for choice in distribution.choices]
    order = sorted(choice for choice in distribution.choices if isinstance(choice, int | float))
    return [order.index(value) / max(1, len(order) - 1)] if value in order else [IMPUTED_VALUE]
