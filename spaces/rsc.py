"""Representation self-challenging: the shares of the features and of the batch that are masked, up to one half.

The ASCDomain report of DCASE 2024 (section 3.3) found 0.05 and 0.05 to be best; 0 for either is off.
"""

from optuna.distributions import BaseDistribution
from optuna.distributions import FloatDistribution as Float

RANGES: dict[str, BaseDistribution] = {
    "drop_f": Float(0.0, 0.5),
    "drop_b": Float(0.0, 0.5),
}
