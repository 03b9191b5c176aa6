"""How clips are heard when a network is asked, in evaluation and in what a user hears with it.

Test-time augmentation is the mean of the probabilities over copies of a clip, each shifted in time by its own random
amount, in the waveform and in the spectrogram: as many copies, as many times the network's MACs.
Source: Xin et al., technical report for DCASE 2022 task 1, section 3.3, which does not say how its copies differ.

Shape letters: B batch, S samples, C channels, F mel bins, T frames, K classes.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from data.augmentation import roll, shift_time
from data.front_end import FrontEnd
from data.spectrum_correction import SpectrumCorrection
from training.recipe import Recipe

COPIES_SEED = 0  # the same copies each time, so that an answer can be had again


@dataclass(frozen=True, eq=False)
class Hearing:
    """What is done to a clip before the network hears it.

    Attributes:
        correction: Gains of the devices, or None.
        copies: Of each clip; 0: the clip as it is.
        roll_s: Largest shift of a copy's waveform, seconds.
        shift_frames: Standard deviation of a shift of a copy's spectrogram, frames.
    """

    correction: SpectrumCorrection | None = None
    copies: int = 0
    roll_s: float = 0.0
    shift_frames: float = 0.0

    @classmethod
    def of(cls, recipe: Recipe, correction: SpectrumCorrection | None) -> "Hearing":
        """Give the hearing of a recipe's network."""
        return cls(correction, recipe.test_copies, recipe.roll_s, recipe.shift_frames)

    def spectrograms(self, front_end: FrontEnd, waveforms: Tensor, gains: Tensor | None) -> Tensor:
        """Turn (B, S) into (B, C, F, T), one copy of each.

        Args:
            front_end: On the waveforms' device.
            waveforms: Full scale at 1.
            gains: Of each clip's device, (B, F), or None.
        """
        augment = None
        if self.copies:
            waveforms = roll(waveforms, self.roll_s, front_end.config.rate_hz)
            if self.shift_frames > 0:
                augment = partial(shift_time, std_frames=self.shift_frames)
        spectrograms: Tensor = front_end(waveforms, augment, gains)
        return spectrograms

    def mean(self, answer: Callable[[], Tensor]) -> Tensor:
        """Give the logarithm of the mean over the copies of the probabilities that `answer` gives: (B, K) of logits."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(COPIES_SEED)
            answers = [answer().log_softmax(dim=1) for _ in range(max(1, self.copies))]
        return answers[0] if len(answers) == 1 else torch.stack(answers).logsumexp(0) - math.log(len(answers))


PLAINLY = Hearing()
