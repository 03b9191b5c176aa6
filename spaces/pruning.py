"""Magnitude pruning: how many values stay non-zero, and in which share of the epochs the others are removed.

The CP-JKU report of DCASE 2021 (section 5) leaves 65,000, after 200 epochs; 0 is no pruning. The initial design has as
many as fit. A target that a network cannot be pruned to is rejected with the reason.
"""

from optuna.distributions import BaseDistribution
from optuna.distributions import FloatDistribution as Float
from optuna.distributions import IntDistribution as Int

RANGES: dict[str, BaseDistribution] = {
    "prune_to": Int(0, 128_000, step=8_000),
    "prune_share": Float(0.2, 0.9),
}
