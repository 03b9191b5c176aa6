"""Stochastic weight averaging: how many of the last epochs are averaged.

The CP-JKU report of DCASE 2021 (section 6) averages 10; 0 is off, and more than there are is refused.
"""

from optuna.distributions import BaseDistribution
from optuna.distributions import IntDistribution as Int

RANGES: dict[str, BaseDistribution] = {
    "swa_epochs": Int(0, 10),
}
