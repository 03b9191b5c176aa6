"""Exponential moving average of the weights: its decay, a time constant of a hundred to ten thousand steps.

None of the five reports uses it; 0 is off.
"""

from optuna.distributions import BaseDistribution
from optuna.distributions import CategoricalDistribution as Categorical

RANGES: dict[str, BaseDistribution] = {
    "ema_decay": Categorical([0.0, 0.99, 0.999, 0.9999]),
}
