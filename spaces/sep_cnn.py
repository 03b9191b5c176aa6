"""Separable CNNs with coordinate attention: each layer from a quarter of the published width to half as wide again.

Source: Xin et al., technical report for DCASE 2022 task 1, which has one network. At 256 mel bins and 26 frames three
networks in ten are over 30 M MACs or 128 K parameters.
"""

from optuna.distributions import BaseDistribution
from optuna.distributions import CategoricalDistribution as Categorical
from optuna.distributions import FloatDistribution as Float
from optuna.distributions import IntDistribution as Int

RANGES: dict[str, BaseDistribution] = {
    "channels_1": Int(16, 96, step=8),
    "channels_2": Int(32, 192, step=16),
    "channels_3": Int(32, 192, step=16),
    "channels_4": Int(32, 192, step=16),
    "kernel": Int(3, 7, step=2),
    "dilation": Int(1, 3),
    "reduction": Categorical([4, 8, 16, 32]),
    "hidden": Int(32, 256, step=32),
    "dropout": Float(0.0, 0.4, step=0.1),
}
