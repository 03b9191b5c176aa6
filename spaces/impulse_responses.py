"""Device impulse response augmentation on the fly: its probability for a clip of device a.

It needs a folder of impulse responses. ASCDomain (DCASE 2024) has 0.6; 0 is off.
"""

from optuna.distributions import BaseDistribution
from optuna.distributions import FloatDistribution as Float

RANGES: dict[str, BaseDistribution] = {
    "impulse_response_p": Float(0.0, 0.9),
}
