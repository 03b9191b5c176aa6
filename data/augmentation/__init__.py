"""Augmentation of training batches, one method a file: of waveforms, of log-mel spectrograms, of hidden states.

Every function maps a batch on its device. Random numbers are drawn from torch's global CPU generator on every device:
`torch.manual_seed` makes a run reproducible, without synchronizing with a GPU.

Shape letters, here and in every file: B batch, S samples, C channels, F mel bins, T frames.
"""

from data.augmentation.freq_mix_style import mix_style
from data.augmentation.impulse_responses import ImpulseResponses
from data.augmentation.mixture_masking import mixture_mask
from data.augmentation.mixup import draw_share, mixed
from data.augmentation.pitch import pitch_shift
from data.augmentation.spec_augment import mask_frequency, mask_time, warp_time
from data.augmentation.time_roll import roll
from data.augmentation.time_shift import shift_time

__all__ = [
    "ImpulseResponses",
    "draw_share",
    "mask_frequency",
    "mask_time",
    "mix_style",
    "mixed",
    "mixture_mask",
    "pitch_shift",
    "roll",
    "shift_time",
    "warp_time",
]
