"""Pitch shift by resampling: playback at another speed moves every tone by the same interval.

Source: Cao et al., DCASE 2022, section 2.3: recordings are resampled at other rates, a fixed step apart. The report
prints no step; half a semitone is chosen here. The other way to shift the pitch, a mel bank with another highest
frequency, is the front end's: `data.front_end.draw_top`.
"""

import math

import torch
from torch import Tensor

from data.device import send

STEPS_PER_SEMITONE = 2
STEPS_PER_OCTAVE = 12 * STEPS_PER_SEMITONE


def pitch_shift(waveforms: Tensor, max_semitones: float) -> Tensor:
    """Play each clip at a random speed of its own, and keep its length.

    A clip that gets longer is cut at a random place; one that gets shorter is repeated from its start. It is
    resampled by its FFT, as one period of a periodic signal: tones above the Nyquist frequency are removed, without
    aliasing.

    Args:
        waveforms: (B, S).
        max_semitones: Largest change to either side; uniform over multiples of half a semitone, 0 included.

    Raises:
        ValueError: `max_semitones` is negative or not finite.
    """
    if not 0 <= max_semitones < math.inf:
        raise ValueError(f"max_semitones must be at least 0 and finite, got {max_semitones}")
    most = math.floor(max_semitones * STEPS_PER_SEMITONE)
    if most == 0:
        return waveforms
    (batch, size), device = waveforms.shape, waveforms.device
    steps = torch.randint(-most, most + 1, (batch,))
    place = torch.rand(batch)
    shifted = waveforms.clone()
    for step in sorted(set(steps.tolist())):
        if step == 0:
            continue
        clips = (steps == step).nonzero()[:, 0]
        length = max(1, round(size / 2 ** (step / STEPS_PER_OCTAVE)))
        room = max(0, length - size) + 1  # possible starts of a cut
        first = (place[clips] * room).long().clamp(max=room - 1)
        chosen = send(clips, device)
        positions = (send(first[:, None], device) + torch.arange(size, device=device)) % length
        spectra = torch.fft.rfft(waveforms[chosen].float())
        played = torch.fft.irfft(spectra, length) * (length / size)
        shifted.index_copy_(0, chosen, played.gather(1, positions).to(waveforms.dtype))
    return shifted
