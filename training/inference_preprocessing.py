"""How clips are heard when a network is asked, in evaluation and in what a user hears with it.

Test-time augmentation is the mean of the probabilities over copies of a clip, each shifted in time, in the waveform and
in the spectrogram: as many copies, as many times the network's MACs. The shifts are the same for every clip and every
time, so that an answer is the clip's own, whatever is asked beside it.
Source: Xin et al., technical report for DCASE 2022 task 1, section 3.3, which does not say how its copies differ.

Shape letters: B batch, S samples, C channels, F mel bins, T frames, K classes.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from data.front_end import FrontEnd, FrontEndConfig
from data.spectrum_correction import SpectrumCorrection
from training.recipe import Recipe

COPIES_SEED = 0


class Shift(NamedTuple):
    """How far a copy is shifted: its waveform, in samples, and its spectrogram, in frames; what leaves enters again."""

    samples: int
    frames: int


NO_SHIFT = Shift(0, 0)


@dataclass(frozen=True, eq=False)
class InferencePreprocessing:
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
    def of(cls, recipe: Recipe, correction: SpectrumCorrection | None) -> "InferencePreprocessing":
        """Return the preprocessing of a recipe's network."""
        return cls(correction, recipe.test_copies, recipe.roll_s, recipe.shift_frames)

    def shifts(self, front_end: FrontEndConfig) -> list[Shift]:
        """Return the shift of each copy; where there are no copies the clip as it is."""
        if not self.copies:
            return [NO_SHIFT]
        generator = torch.Generator().manual_seed(COPIES_SEED)
        away = (2 * torch.rand(self.copies, generator=generator) - 1) * self.roll_s * front_end.rate_hz
        frames = torch.randn(self.copies, generator=generator) * self.shift_frames
        return [Shift(*each) for each in zip(away.round().int().tolist(), frames.round().int().tolist(), strict=True)]

    def spectrograms(
        self, front_end: FrontEnd, waveforms: Tensor, gains: Tensor | None, shift: Shift = NO_SHIFT
    ) -> Tensor:
        """Turn (B, S) into (B, C, F, T).

        Args:
            front_end: On the waveforms' device.
            waveforms: Full scale at 1.
            gains: Of each clip's device, (B, F), or None.
            shift: Of this copy.
        """

        def shifted(x: Tensor) -> Tensor:
            return x.roll(shift.frames, dims=-1) if shift.frames else x

        heard = waveforms.roll(shift.samples, dims=-1) if shift.samples else waveforms
        spectrograms: Tensor = front_end(heard, shifted, gains)
        return spectrograms

    def mean(self, front_end: FrontEndConfig, answer: Callable[[Shift], Tensor]) -> Tensor:
        """Return the logarithm of the mean over the copies of the probabilities whose logits `answer` gives: (B, K)."""
        answers = [answer(shift).log_softmax(dim=1) for shift in self.shifts(front_end)]
        return answers[0] if len(answers) == 1 else torch.stack(answers).logsumexp(0) - math.log(len(answers))


DEFAULT_PREPROCESSING = InferencePreprocessing()
