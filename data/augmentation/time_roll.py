"""Time roll: random circular shift of the waveform.

Source: https://github.com/CPJKU/dcase2024_task1_baseline at 9948d19.
"""

import torch
from torch import Tensor

from data.device import send


def roll(waveforms: Tensor, max_s: float, rate_hz: int) -> Tensor:
    """Shift each clip circularly in time by its own random amount.

    Args:
        waveforms: (B, S).
        max_s: Largest shift in either direction, seconds; 0: no change.
        rate_hz: Sample rate.

    Raises:
        ValueError: A negative shift.
    """
    if max_s < 0:
        raise ValueError(f"max_s must be at least 0, got {max_s}")
    most = round(max_s * rate_hz)
    if most == 0:
        return waveforms
    batch, size = waveforms.shape
    shift = torch.randint(-most, most + 1, (batch, 1))
    if waveforms.device.type == "cpu":
        rolled = torch.empty_like(waveforms)
        for clip, source, first in zip(rolled, waveforms, (shift[:, 0] % size).tolist(), strict=True):
            clip[first:] = source[: size - first]
            clip[:first] = source[size - first :]
        return rolled
    device = waveforms.device
    return waveforms.gather(1, (torch.arange(size, device=device) - send(shift, device)) % size)
