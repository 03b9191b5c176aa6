"""Log-mel spectrograms of a batch of clips: `LogMel` against torchaudio's MelSpectrogram, on one thread."""

from collections.abc import Iterator
from functools import partial

import torch
import torchaudio

from benchmarks.measurement import Measurement, compare
from data.front_end import ENERGY_FLOOR, FrontEndConfig, LogMel

BATCH_SIZE = 64


def measure() -> Iterator[Measurement]:
    """Time both on the same noise."""
    torch.set_num_threads(1)
    config = FrontEndConfig()
    mel_spectrogram = torchaudio.transforms.MelSpectrogram(
        config.rate_hz, config.fft, config.window, config.hop, n_mels=config.mel_bins
    )
    ours, clips = LogMel(config), torch.randn(BATCH_SIZE, config.rate_hz) * 0.05

    def baseline() -> torch.Tensor:
        energies: torch.Tensor = mel_spectrogram(clips)
        return (energies + ENERGY_FLOOR).log()

    measured = compare(baseline, partial(ours, clips))
    yield Measurement("log-mel, against torchaudio's", measured.pop("ratio"), "times", None, True, measured)
