"""The Wasserstein critic behind gradient reversal: its loss weight, and that of its gradient penalty.

The CP-JKU report of DCASE 2021 (section 4) prints neither; Gulrajani et al. 2017 use a penalty weight of 10.
"""

from optuna.distributions import BaseDistribution
from optuna.distributions import FloatDistribution as Float

RANGES: dict[str, BaseDistribution] = {
    "critic_weight": Float(0.0, 2.0),
    "critic_penalty": Float(1.0, 100.0, log=True),
}
