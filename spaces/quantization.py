"""Quantization-aware training: in which share of the epochs, at the end, weights and activations are rounded to int8.

The BC-ResNet-Mod report of DCASE 2022 (section 3.2.1) does not print it; 0 is none.
"""

from optuna.distributions import BaseDistribution
from optuna.distributions import FloatDistribution as Float

RANGES: dict[str, BaseDistribution] = {
    "quantize_share": Float(0.0, 0.5),
}
