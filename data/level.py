"""Level of a clip: sound beyond full scale or far below it, and waveforms of 16 bits with a scale for each clip.

Recordings come at every level: floating-point files hold integers as they are, or go beyond full scale; recorders of 24
bits hold sound that 16 bits do not reach. A clip is stored in 16 bits below its own peak, so that none of it is lost.
Sound of ordinary level keeps it; a peak beyond full scale is brought to full scale, and one below `MIN_PEAK` to that:
from there on down the front end's floor hides the sound.

Training, evaluation and prediction hear the same: all of them go through `quantize`.

Shape letters: B clips, S samples of one second.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

INT16 = np.iinfo(np.int16)
MAX_PEAK = INT16.max / 2**15  # full scale, as far as 16 bits reach it
MIN_PEAK = 2.0**-10  # -60 dBFS
ROUNDING = 2.0**-20  # of a gain, far below half a step of the largest sample


@dataclass(frozen=True, eq=False)
class Waveforms:
    """Clips of one second in 16 bits, each with its scale.

    Attributes:
        samples: (B, S) int16.
        exponents: (B,) int8: a clip's waveform is its samples times 2 to the power of this; full scale at 1.
    """

    samples: npt.NDArray[np.int16]
    exponents: npt.NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def scales(self) -> npt.NDArray[np.float32]:
        """Value of one step of each clip's samples, (B,)."""
        return np.ldexp(np.float32(1), self.exponents.astype(np.int32))

    def to_float(self) -> npt.NDArray[np.float32]:
        """Return the waveforms, (B, S), full scale at 1."""
        waveforms = self.samples.astype(np.float32)
        waveforms *= self.scales[:, None]
        return waveforms


def quantize(waveforms: npt.NDArray[np.float32]) -> Waveforms:
    """Store waveforms (B, S) of finite samples of any level in 16 bits."""
    samples = np.empty(waveforms.shape, np.int16)
    exponents = np.empty(len(waveforms), np.int8)
    for row, waveform in enumerate(waveforms):
        highest, lowest = float(waveform.max(initial=0)), float(waveform.min(initial=0))
        gain = level_gain(max(highest, -lowest))
        # A power of two: sound of 16 bits that needs no other level is stored exactly.
        exponent = _exponent(gain * max(highest / INT16.max, lowest / INT16.min) * (1 - ROUNDING))
        factor = gain * 2.0**-exponent
        scaled = waveform * np.float32(factor) if factor < 2.0**100 else waveform.astype(np.float64) * factor
        samples[row] = np.rint(scaled)
        exponents[row] = exponent
    return Waveforms(samples, exponents)


def hear(waveforms: Tensor) -> Tensor:
    """Return waveforms (B, S) as a network hears them in training: at a usable level, in 16 bits."""
    return torch.from_numpy(quantize(waveforms.numpy()).to_float())


def level_gain(peak: float) -> float:
    """Return the factor that brings a clip of this peak to a usable level; 1 for ordinary sound and for silence.

    >>> level_gain(0.5), level_gain(4.0), level_gain(2.0**-12)
    (1.0, 0.24999237060546875, 4.0)
    """
    return min(max(peak, MIN_PEAK), MAX_PEAK) / peak if peak else 1.0


def _exponent(step: float) -> int:
    """Return the least power of two that is not below `step`, as its exponent; that of 16 bits for silence."""
    mantissa, exponent = math.frexp(step)
    return -15 if step == 0 else exponent - (mantissa == 0.5)
