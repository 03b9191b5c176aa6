"""Front ends: how a waveform becomes the log-mel spectrogram that a network sees.

Source: https://github.com/CPJKU/dcase2024_task1_baseline at 9948d19, run_training.py, for the
settings of "dcase24", which the ASCDomain report of DCASE 2024 keeps.

Shape letters: B batch, S samples, F mel bins, T frames.
"""

from dataclasses import dataclass
from typing import cast

import torch
import torchaudio
from torch import Tensor, nn

# Added to the mel energy before the logarithm; silence is LOG_FLOOR.
ENERGY_FLOOR = 1e-5
LOG_FLOOR = float(torch.tensor(ENERGY_FLOOR).log())
# Spectra of this many one-second clips stay in a processor's cache.
CLIPS_IN_CACHE = 8


@dataclass(frozen=True, kw_only=True)
class FrontEndConfig:
    """Sizes of a log-mel front end. The defaults are the challenge's baseline of 2024.

    Attributes:
        rate_hz: Sample rate of the waveforms.
        window: Length of the Hann window, samples.
        hop: Samples from one frame to the next.
        fft: Length of the Fourier transform, samples; the window is centred in it.
        mel_bins: Triangles on the mel scale, from 0 Hz to half the sample rate.
    """

    rate_hz: int = 32_000
    window: int = 3072
    hop: int = 500
    fft: int = 4096
    mel_bins: int = 256

    def __post_init__(self) -> None:
        """Refuse sizes that make no spectrogram."""
        for name in ("rate_hz", "window", "hop", "fft", "mel_bins"):
            value = getattr(self, name)
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if self.window > self.fft:
            raise ValueError(f"window must fit into fft, got {self.window} > {self.fft}")

    def shape(self, duration_s: float = 1.0) -> tuple[int, int, int]:
        """Shape (1, F, T) of the spectrogram of `duration_s` seconds.

        >>> FrontEndConfig().shape()
        (1, 256, 65)
        """
        return 1, self.mel_bins, round(self.rate_hz * duration_s) // self.hop + 1


FRONT_ENDS = {"dcase24": FrontEndConfig()}


class LogMel(nn.Module):
    """The natural logarithm of the mel-scaled power spectrogram, plus `ENERGY_FLOOR`.

    Triangles are on the HTK mel scale and not normalized by area; frames are centred, with the
    clip mirrored at its ends. Nothing in it is learned.
    """

    def __init__(self, config: FrontEndConfig) -> None:
        super().__init__()
        self.config = config
        self.spectrogram = torchaudio.transforms.Spectrogram(
            n_fft=config.fft, win_length=config.window, hop_length=config.hop, power=None
        )
        self.mel = torchaudio.transforms.MelScale(
            n_mels=config.mel_bins,
            sample_rate=config.rate_hz,
            f_min=0.0,
            f_max=config.rate_hz / 2,
            n_stft=config.fft // 2 + 1,
        )

    def forward(self, waveforms: Tensor) -> Tensor:
        """Map (B, S), full scale at 1, to (B, 1, F, T).

        Raises:
            ValueError: Not two axes, or too few samples to mirror half a transform at the ends.
        """
        if waveforms.ndim != 2 or waveforms.shape[1] <= self.config.fft // 2:
            shape = tuple(waveforms.shape)
            raise ValueError(f"waveforms must be (B, S) with S > {self.config.fft // 2}, got {shape}")
        part = CLIPS_IN_CACHE if waveforms.device.type == "cpu" else len(waveforms)
        # Half precision would lose the quiet bins before the logarithm.
        with torch.autocast(waveforms.device.type, enabled=False):
            return torch.cat(
                [self._log_mel(clips.float()) for clips in torch.split(waveforms, max(1, part))]
            ).unsqueeze(1)

    def _log_mel(self, waveforms: Tensor) -> Tensor:
        parts = torch.view_as_real(self.spectrogram(waveforms))
        # Squares alone: a magnitude squared would take a root first, half of the front end's time.
        power = parts[..., 0].square().addcmul_(parts[..., 1], parts[..., 1])
        energy = cast(Tensor, self.mel(power))
        return energy.add_(ENERGY_FLOOR).log_()
