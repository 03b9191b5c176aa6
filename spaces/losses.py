"""Cross-entropy variants: label smoothing, and the focusing parameter of the focal loss.

None of the five reports uses either; focal loss is Lin et al. 2017, where gamma is 2. 0 is off.
"""

from optuna.distributions import BaseDistribution
from optuna.distributions import FloatDistribution as Float

RANGES: dict[str, BaseDistribution] = {
    "label_smoothing": Float(0.0, 0.3),
    "focal_gamma": Float(0.0, 5.0),
}
