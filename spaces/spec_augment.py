"""SpecAugment: the largest frequency mask, time mask and time warp.

ASCDomain (DCASE 2024) masks 48 of 256 mel bins; the BC-ResNet-Mod report (DCASE 2022) states no sizes. The ranges suit
the smallest of our front ends, 128 bins and 26 frames; 0 is off.
"""

from optuna.distributions import BaseDistribution
from optuna.distributions import IntDistribution as Int

RANGES: dict[str, BaseDistribution] = {
    "mask_bins": Int(0, 96, step=8),
    "mask_frames": Int(0, 16, step=2),
    "warp_frames": Int(0, 8, step=2),
}
