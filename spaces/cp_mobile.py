"""Width and depth of CP-Mobile: the published baseline, from a quarter to twice as wide."""

from optuna.distributions import BaseDistribution
from optuna.distributions import FloatDistribution as Float
from optuna.distributions import IntDistribution as Int

RANGES: dict[str, BaseDistribution] = {
    "base_channels": Int(8, 64, step=8),
    "growth": Float(1.0, 2.4, step=0.1),
    "expansion": Float(1.0, 4.0, step=0.1),
    "depth_1": Int(1, 4),
    "depth_2": Int(1, 4),
    "depth_3": Int(1, 4),
}
