"""Test-time augmentation: over how many shifted copies of a clip the prediction is averaged.

Xin et al. (DCASE 2022, section 3.3) have 30; 0 is the clip alone. The MACs of a network count one copy.
"""

from optuna.distributions import BaseDistribution
from optuna.distributions import IntDistribution as Int

RANGES: dict[str, BaseDistribution] = {
    "test_copies": Int(0, 32, step=2),
}
