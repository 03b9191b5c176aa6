"""Pitch augmentation: by resampling, and by lowering the highest frequency of the mel filter bank.

The first is of the BC-ResNet-Mod report of DCASE 2022 (section 2.3), the second of the CP-JKU report of DCASE 2021
(section 2); neither states how far. 0 is off.
"""

from optuna.distributions import BaseDistribution
from optuna.distributions import FloatDistribution as Float

RANGES: dict[str, BaseDistribution] = {
    "pitch_semitones": Float(0.0, 4.0, step=0.5),
    "mel_top_drop": Float(0.0, 0.3),
}
