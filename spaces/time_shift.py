"""Circular time shifts: of the waveform, and of the spectrogram.

Reports: up to 0.1 s (ASCDomain, DCASE 2024), or a standard deviation of 10 frames (Xin et al., DCASE 2022); 0 is off.
"""

from optuna.distributions import BaseDistribution
from optuna.distributions import FloatDistribution as Float

RANGES: dict[str, BaseDistribution] = {
    "roll_s": Float(0.0, 0.5),
    "shift_frames": Float(0.0, 20.0),
}
