"""Quantization-aware training: the share of the epochs, at the end, with int8 fake quantization.

The BC-ResNet-Mod report of DCASE 2022 (section 3.2.1) does not state it; 0 is off.
"""

from optuna.distributions import BaseDistribution
from optuna.distributions import FloatDistribution as Float

RANGES: dict[str, BaseDistribution] = {
    "quantize_share": Float(0.0, 0.5),
}
