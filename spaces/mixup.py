"""Mixup: alpha of the Beta distribution of the mixing weights, and whether the second clip is of another batch.

Reports: alpha 0.3 (TF-SepNet, DCASE 2023, within a batch) and 0.4 (BC-ResNet-Mod, DCASE 2022, between two); 0 is off.
"""

from optuna.distributions import BaseDistribution
from optuna.distributions import CategoricalDistribution as Categorical
from optuna.distributions import FloatDistribution as Float

RANGES: dict[str, BaseDistribution] = {
    "mixup_alpha": Float(0.0, 1.0),
    "mixup_between": Categorical([False, True]),
}
