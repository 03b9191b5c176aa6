"""Warm restarts of the learning rate: none, or those of the BC-ResNet-Mod report of DCASE 2022 (section 4.1.2)."""

from optuna.distributions import BaseDistribution
from optuna.distributions import CategoricalDistribution as Categorical

RANGES: dict[str, BaseDistribution] = {
    "restart_epochs": Categorical(["", "4,8,16,32,64,128"]),
}
