"""Preprocessing at inference: the front end, spectrum correction, and test-time augmentation.

Test-time augmentation averages the probabilities over copies of a clip, each shifted in time, in the waveform and in
the spectrogram: n copies cost n times the network's MACs. The shifts are drawn once, from a fixed seed, so that a
clip's prediction does not depend on what else is in its batch.
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

SHIFT_SEED = 0


class Shift(NamedTuple):
    """Circular shift of one copy: of its waveform, in samples, and of its spectrogram, in frames."""

    samples: int
    frames: int


NO_SHIFT = Shift(0, 0)


@dataclass(frozen=True, eq=False)
class InferencePreprocessing:
    """Preprocessing of a clip at inference.

    Attributes:
        correction: Spectrum correction of the recording devices, or None.
        copies: Number of copies for test-time augmentation; 0: none, the clip itself.
        roll_s: Largest shift of a copy's waveform, seconds.
        shift_frames: Standard deviation of the shift of a copy's spectrogram, frames.
    """

    correction: SpectrumCorrection | None = None
    copies: int = 0
    roll_s: float = 0.0
    shift_frames: float = 0.0

    @classmethod
    def of(cls, recipe: Recipe, correction: SpectrumCorrection | None) -> "InferencePreprocessing":
        """Return the preprocessing of a network trained with `recipe`."""
        return cls(correction, recipe.test_copies, recipe.roll_s, recipe.shift_frames)

    def shifts(self, front_end: FrontEndConfig) -> list[Shift]:
        """Return the shift of each copy; `[NO_SHIFT]` without test-time augmentation."""
        if not self.copies:
            return [NO_SHIFT]
        generator = torch.Generator().manual_seed(SHIFT_SEED)
        samples = (2 * torch.rand(self.copies, generator=generator) - 1) * self.roll_s * front_end.rate_hz
        frames = torch.randn(self.copies, generator=generator) * self.shift_frames
        return [
            Shift(*pair) for pair in zip(samples.round().int().tolist(), frames.round().int().tolist(), strict=True)
        ]

    def spectrograms(
        self, front_end: FrontEnd, waveforms: Tensor, gains: Tensor | None, shift: Shift = NO_SHIFT
    ) -> Tensor:
        """Map waveforms (B, S) to network inputs (B, C, F, T).

        Args:
            gains: Spectrum correction of each clip's device, (B, F), or None.
        """

        def shifted(x: Tensor) -> Tensor:
            return x.roll(shift.frames, dims=-1) if shift.frames else x

        rolled = waveforms.roll(shift.samples, dims=-1) if shift.samples else waveforms
        spectrograms: Tensor = front_end(rolled, shifted, gains)
        return spectrograms

    def mean_log_probabilities(self, front_end: FrontEndConfig, logits: Callable[[Shift], Tensor]) -> Tensor:
        """Return the logarithm of the probabilities' mean over the copies: (B, K).

        Args:
            logits: Maps the shift of a copy to the network's logits (B, K).
        """
        log_shares = [logits(shift).log_softmax(dim=1) for shift in self.shifts(front_end)]
        return (
            log_shares[0] if len(log_shares) == 1 else torch.stack(log_shares).logsumexp(0) - math.log(len(log_shares))
        )


DEFAULT_PREPROCESSING = InferencePreprocessing()
