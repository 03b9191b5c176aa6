"""SpecAugment++: the largest mixture mask, and the share of batches that are masked at each layer.

The report of DCASE 2022 that uses it (Xin et al., section 3.1) states neither; a share of 0 is off.
"""

from optuna.distributions import BaseDistribution
from optuna.distributions import FloatDistribution as Float

RANGES: dict[str, BaseDistribution] = {
    "mixture_mask_share": Float(0.0, 0.5),
    "mixture_mask_p": Float(0.1, 1.0),
}
