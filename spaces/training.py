"""Training hyperparameters that every search varies, around the recipe of the ASCDomain report of DCASE 2024."""

from optuna.distributions import BaseDistribution
from optuna.distributions import FloatDistribution as Float
from optuna.distributions import IntDistribution as Int

from spaces import impulse_responses, mix_style, spec_augment, time_shift

RANGES: dict[str, BaseDistribution] = {
    "learning_rate": Float(5e-4, 2e-2, log=True),
    "weight_decay": Float(1e-6, 1e-1, log=True),
    "warmup_share": Float(0.0, 0.2),
    "batch_size": Int(32, 256, step=32),
    **mix_style.RANGES,
    "mask_bins": spec_augment.RANGES["mask_bins"],
    "roll_s": time_shift.RANGES["roll_s"],
    **impulse_responses.RANGES,
}
