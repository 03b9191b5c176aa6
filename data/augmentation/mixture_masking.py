"""SpecAugment++ mixture masking: bands and spans of a clip, or of a hidden state, averaged with another clip's.

Source: Wang et al., "SpecAugment++: A Hidden Space Data Augmentation Method for Acoustic Scene Classification",
Interspeech 2021, mini-batch based mixture masking; Xin et al., DCASE 2022, section 3.1.
"""

import torch
from torch import Tensor

from data.augmentation.spans import draw_spans
from data.device import send


def mixture_mask(x: Tensor, max_share: float) -> Tensor:
    """Replace one random band and one random span of each clip by the mean with the same place of another clip.

    A point in both band and span is replaced once. A batch of one clip is not changed.
    Gradients flow to both clips.

    Args:
        x: Spectrograms or hidden states (B, C, F, T).
        max_share: The band is 0 to this share of F wide, the span 0 to this share of T long, each whole number as
            likely; the most is rounded to a whole number.

    Raises:
        ValueError: `max_share` is not in 0..1.
    """
    if not 0 <= max_share <= 1:
        raise ValueError(f"max_share must be in 0..1, got {max_share}")
    batch, _, bins, num_frames = x.shape
    max_bins, max_frames = round(max_share * bins), round(max_share * num_frames)
    if max_bins == max_frames == 0:
        return x
    band, span = draw_spans(batch, bins, max_bins), draw_spans(batch, num_frames, max_frames)
    other = (torch.arange(batch) + torch.randint(1, max(2, batch), (batch,))) % batch
    masked = send(band, x.device)[:, None, :, None] | send(span, x.device)[:, None, None, :]
    return torch.where(masked, (x + x[send(other, x.device)]) / 2, x)
