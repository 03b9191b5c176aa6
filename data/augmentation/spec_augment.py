"""SpecAugment: frequency masking, time masking and time warping.

Sources: Park et al., "SpecAugment: A Simple Data Augmentation Method for Automatic Speech Recognition", Interspeech
2019, section 2; https://github.com/CPJKU/dcase2024_task1_baseline at 9948d19 (the mask of frequencies alone).
Masked values are those of silence in a log-mel spectrogram: `LOG_FLOOR`.
"""

import torch
from torch import Tensor

from data.augmentation.spans import draw_spans
from data.device import send
from data.front_end import LOG_FLOOR


def mask_frequency(x: Tensor, max_bins: int) -> Tensor:
    """Mask one random frequency band of each clip.

    Args:
        x: Log-mel spectrograms (B, 1, F, T).
        max_bins: Maximum width of the band; the width is uniform from 0.

    Raises:
        ValueError: `max_bins` is negative or over F.
    """
    return _masked(x, 2, "max_bins", max_bins)


def mask_time(x: Tensor, max_frames: int) -> Tensor:
    """Mask one random time span of each clip.

    Args:
        x: Log-mel spectrograms (B, 1, F, T).
        max_frames: Maximum length of the span; the length is uniform from 0.

    Raises:
        ValueError: `max_frames` is negative or over T.
    """
    return _masked(x, 3, "max_frames", max_frames)


def _masked(x: Tensor, axis: int, name: str, most: int) -> Tensor:
    """Mask a random span of each clip along an axis; `most` is its largest width, called `name` in the error."""
    size = x.shape[axis]
    if not 0 <= most <= size:
        raise ValueError(f"{name} must be in 0..{size}, got {most}")
    if most == 0:
        return x
    shape = [len(x), 1, 1, 1]
    shape[axis] = size
    return x.masked_fill(send(draw_spans(len(x), size, most), x.device).view(shape), LOG_FLOOR)


def warp_time(x: Tensor, max_frames: int) -> Tensor:
    """Move one random frame of each clip to another time; both sides are stretched linearly, the end frames are fixed.

    Args:
        x: Log-mel spectrograms (B, 1, F, T).
        max_frames: The frame moves by a whole number of frames, up to this many to either side, each as likely; it is
            drawn from those that are farther than this from both ends.

    Raises:
        ValueError: `max_frames` is negative, or so large that there is no such frame.
    """
    batch, _, _, num_frames = x.shape
    most = max(0, (num_frames - 3) // 2)
    if not 0 <= max_frames <= most:
        raise ValueError(f"max_frames must be in 0..{most} for {num_frames} frames, got {max_frames}")
    if max_frames == 0:
        return x
    last = num_frames - 1
    centre = torch.randint(max_frames + 1, last - max_frames, (batch, 1))
    moved = centre + torch.randint(-max_frames, max_frames + 1, (batch, 1))
    at = torch.arange(num_frames)
    # Source position of each frame: piecewise linear, with the knot at the moved frame.
    before = at * centre / moved
    after = last - (last - at) * (last - centre) / (last - moved)
    source = torch.where(at <= moved, before, after)
    earlier = source.long().clamp(max=last - 1)
    share = (source - earlier)[:, None, None, :].to(x.dtype)
    first = send(earlier, x.device)[:, None, None, :].expand_as(x)
    return torch.lerp(x.gather(3, first), x.gather(3, first + 1), send(share, x.device))
