"""The exponential moving average of the weights: how slowly it forgets, from a hundred steps to ten thousand.

None of the five reports uses it; 0 is none.
"""

from optuna.distributions import BaseDistribution
from optuna.distributions import CategoricalDistribution as Categorical

RANGES: dict[str, BaseDistribution] = {
    "ema_decay": Categorical([0.0, 0.99, 0.999, 0.9999]),
}
