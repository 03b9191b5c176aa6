"""Log-mel of a batch of clips: torchaudio's MelSpectrogram against `LogMel`, on one thread."""

from collections.abc import Iterator
from functools import partial

import torch
import torchaudio

from benchmarks.figure import Figure, compare
from data.front_end import ENERGY_FLOOR, FrontEndConfig, LogMel

BATCH = 64


def figures() -> Iterator[Figure]:
    """Time both on the same noise."""
    torch.set_num_threads(1)
    config = FrontEndConfig()
    whole = torchaudio.transforms.MelSpectrogram(
        config.rate_hz, config.fft, config.window, config.hop, n_mels=config.mel_bins
    )
    ours, clips = LogMel(config), torch.randn(BATCH, config.rate_hz) * 0.05

    def plain() -> torch.Tensor:
        energies: torch.Tensor = whole(clips)
        return (energies + ENERGY_FLOOR).log()

    told = compare(plain, partial(ours, clips))
    yield Figure("log-mel, against torchaudio's", told.pop("ratio"), "times", None, True, told)
