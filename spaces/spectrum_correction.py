"""Spectrum correction: whether each device's gains become the mean device's; needs aligned recordings.

The BC-ResNet-Mod report of DCASE 2022 (section 2.2) has it.
"""

from optuna.distributions import BaseDistribution
from optuna.distributions import CategoricalDistribution as Categorical

RANGES: dict[str, BaseDistribution] = {
    "spectrum_correction": Categorical([False, True]),
}
