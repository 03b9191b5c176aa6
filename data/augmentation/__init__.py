"""Augmentation of training batches, one method a file: of waveforms, of log-mel spectrograms, of hidden states.

Everything works on a whole batch on the device where it lies. What is drawn at random is drawn from the global
generator of the processor, whatever the device: `torch.manual_seed` repeats a run, and a GPU is never waited for.

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
