"""How to train: the settings of one training run.

The defaults are those of the isotropic network of ASCDomain (technical report, DCASE 2024 Task 1, section 4.2
for the optimizer and sections 2.1 to 2.3 for the augmentation).
"""

import math
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """AdamW with warm-up and cosine, and the augmentation of the waveform and of the log-mel spectrogram."""

    epochs: int = 150
    batch_size: int = 256
    learning_rate: float = 0.005  # at the end of the warm-up
    weight_decay: float = 1e-4
    warmup_share: float = 0.02446  # of all steps: 2,000 of 81,750 (139,620 clips, 150 epochs)
    roll_s: float = 0.1  # largest shift to either side
    impulse_response_p: float = 0.6  # of device a's clips
    mix_style_p: float = 0.4  # of the batches
    mix_style_alpha: float = 0.3
    mask_bins: int = 48  # widest mask
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse settings that train nothing."""
        wrong = [
            f"{name} must be {rule}, got {getattr(self, name)}"
            for name, rule, holds in (
                ("epochs", "at least 1", self.epochs >= 1),
                ("batch_size", "at least 2 (batch norm needs two clips)", self.batch_size >= 2),
                ("learning_rate", "above 0 and finite", 0 < self.learning_rate < math.inf),
                ("weight_decay", "at least 0 and finite", 0 <= self.weight_decay < math.inf),
                ("warmup_share", "at least 0 and below 1", 0 <= self.warmup_share < 1),
                ("roll_s", "at least 0 and finite", 0 <= self.roll_s < math.inf),
                ("impulse_response_p", "between 0 and 1", 0 <= self.impulse_response_p <= 1),
                ("mix_style_p", "between 0 and 1", 0 <= self.mix_style_p <= 1),
                ("mix_style_alpha", "above 0 and finite", 0 < self.mix_style_alpha < math.inf),
                ("mask_bins", "at least 0", self.mask_bins >= 0),
                ("seed", "from 0 to 2147483647", 0 <= self.seed < 2**31),
            )
            if not holds
        ]
        if wrong:
            raise ValueError("; ".join(wrong))
