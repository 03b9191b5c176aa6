"""How to train, over fields of the recipe: on both sides of what the ASCDomain report of DCASE 2024 used."""

from optuna.distributions import BaseDistribution
from optuna.distributions import FloatDistribution as Float
from optuna.distributions import IntDistribution as Int

RANGES: dict[str, BaseDistribution] = {
    "learning_rate": Float(5e-4, 2e-2, log=True),
    "weight_decay": Float(1e-6, 1e-1, log=True),
    "warmup_share": Float(0.0, 0.2),
    "batch_size": Int(32, 256, step=32),
    "mix_style_p": Float(0.0, 0.8),
    "mix_style_alpha": Float(0.1, 0.6),
    "mask_bins": Int(0, 96, step=8),
    "roll_s": Float(0.0, 0.5),
    "impulse_response_p": Float(0.0, 0.9),
}
