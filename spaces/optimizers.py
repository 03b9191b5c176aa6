"""The optimizer: AdamW (ASCDomain and Xin et al.), Adam (TF-SepNet and CP-JKU), SGD (BC-ResNet-Mod).

Their peak rates differ by a factor of a hundred, so the rate is varied farther than by other searches.
"""

from optuna.distributions import BaseDistribution
from optuna.distributions import CategoricalDistribution as Categorical
from optuna.distributions import FloatDistribution as Float

RANGES: dict[str, BaseDistribution] = {
    "optimizer": Categorical(["adamw", "adam", "sgd"]),
    "learning_rate": Float(5e-5, 0.2, log=True),
}
