"""Device impulse responses on the fly: how many of device a's clips are heard through one.

A search needs a folder of them for it. ASCDomain (DCASE 2024) has 0.6; 0 is none.
"""

from optuna.distributions import BaseDistribution
from optuna.distributions import FloatDistribution as Float

RANGES: dict[str, BaseDistribution] = {
    "impulse_response_p": Float(0.0, 0.9),
}
