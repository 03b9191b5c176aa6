"""Domain-adversarial training: the loss weight of the device classifier behind gradient reversal.

The code of the ASCDomain report of DCASE 2024 adds it with weight 1; 0 is none.
"""

from optuna.distributions import BaseDistribution
from optuna.distributions import FloatDistribution as Float

RANGES: dict[str, BaseDistribution] = {
    "adversarial_weight": Float(0.0, 2.0),
}
