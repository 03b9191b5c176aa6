"""Simulated devices, added to the training data once: how many, and the clips of each.

It needs a folder of impulse responses, at least as many as devices.
The TF-SepNet report of DCASE 2023 (section 2.3) has 32 and 7,500; 0 devices is off.
"""

from optuna.distributions import BaseDistribution
from optuna.distributions import IntDistribution as Int

RANGES: dict[str, BaseDistribution] = {
    "simulated_devices": Int(0, 32, step=4),
    "simulated_clips": Int(100, 10_000, log=True),
}
