"""Training hyperparameters that every search varies, around the recipe of the ASCDomain report of DCASE 2024.

Where a search has data, the batch size follows the number of clips: see `search.space.batch_size`.
"""

from optuna.distributions import BaseDistribution
from optuna.distributions import FloatDistribution as Float
from optuna.distributions import IntDistribution as Int

from spaces import ema, impulse_responses, mix_style

RANGES: dict[str, BaseDistribution] = {
    "learning_rate": Float(1e-3, 3e-2, log=True),
    "weight_decay": Float(1e-6, 1e-1, log=True),
    "warmup_share": Float(0.0, 0.2),
    "batch_size": Int(8, 256, log=True),
    "ema_decay": ema.RANGES["ema_decay"],
    "label_smoothing": Float(0.0, 0.2),
    "mixup_alpha": Float(0.0, 0.5),
    "mix_style_p": mix_style.RANGES["mix_style_p"],
    "mask_bins": Int(0, 64, step=8),
    "roll_s": Float(0.0, 0.2),
    **impulse_responses.RANGES,
}
