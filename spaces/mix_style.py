"""Freq-MixStyle: its probability for a batch, and alpha of the Beta distribution of the mixing weights.

Reports: alpha 0.3 with a probability of 0.4 (ASCDomain, DCASE 2024) to 0.7 (TF-SepNet, DCASE 2023); 0 is off.
"""

from optuna.distributions import BaseDistribution
from optuna.distributions import FloatDistribution as Float

RANGES: dict[str, BaseDistribution] = {
    "mix_style_p": Float(0.0, 0.8),
    "mix_style_alpha": Float(0.1, 0.6),
}
