"""The optimizer: AdamW (ASCDomain and Xin et al.), Adam (TF-SepNet and CP-JKU), SGD (BC-ResNet-Mod).

Their peak learning rates differ by a factor of a hundred, so its range is wider than in other searches.
"""

from optuna.distributions import BaseDistribution
from optuna.distributions import CategoricalDistribution as Categorical
from optuna.distributions import FloatDistribution as Float

RANGES: dict[str, BaseDistribution] = {
    "optimizer": Categorical(["adamw", "adam", "sgd"]),
    "learning_rate": Float(5e-5, 0.2, log=True),
}
