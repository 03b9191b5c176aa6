"""Time shift: random circular shift of the spectrogram.

Source: Xin et al., DCASE 2022, section 3.2, with a standard deviation of 10 frames.
"""

import math

import torch
from torch import Tensor

from data.device import send


def shift_time(x: Tensor, std_frames: float) -> Tensor:
    """Roll each clip in time by its own number of frames, drawn from a normal distribution and rounded.

    Args:
        x: Log-mel spectrograms (B, 1, F, T).
        std_frames: Standard deviation of the shift before it is rounded; its mean is 0.

    Raises:
        ValueError: `std_frames` is negative or not finite.
    """
    if not 0 <= std_frames < math.inf:
        raise ValueError(f"std_frames must be at least 0 and finite, got {std_frames}")
    if std_frames == 0:
        return x
    batch, num_frames = x.shape[0], x.shape[-1]
    shift = (torch.randn(batch, 1) * std_frames).round().long()
    source = (torch.arange(num_frames) - shift) % num_frames
    return x.gather(3, send(source, x.device)[:, None, None, :].expand_as(x))
