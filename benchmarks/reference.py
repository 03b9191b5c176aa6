"""Reference training loop of the benchmarks: that of the DCASE 2024 Task 1 baseline system.

Source: https://github.com/CPJKU/dcase2024_task1_baseline at 9948d19, run_training.py and dataset/dcase24.py. As
there, a DataLoader worker decodes each WAV in every epoch, shifts it in time and convolves it with an impulse response,
clip by clip; a step resamples the batch, computes log-mel, applies frequency masking and Freq-MixStyle, and trains in
fp32 and in torch's default memory format. Unlike there, convolution is by FFT (the baseline's direct one would take
most of the time) and nothing is logged. The norms of TF-SepNet follow their definition, with autograd's gradient.

Shape letters: B batch, S samples, F mel bins, T frames.
"""

from pathlib import Path

import numpy as np
import soundfile
import torch
import torchaudio
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from data.augmentation import mask_frequency, mix_style
from data.front_end import ENERGY_FLOOR, FrontEndConfig
from data.layout import Scenes
from models.norms import EPSILON, AdaResNorm
from training.dataset import REFERENCE_DEVICE
from training.recipe import Recipe

WAV_RATE_HZ = 44_100


class Clips(Dataset[tuple[Tensor, int]]):
    """Training clips as waveforms (S,) at 44.1 kHz, decoded at every access."""

    def __init__(self, scenes: Scenes, responses: Path, recipe: Recipe) -> None:
        self.paths = [scenes.root / name for name in scenes.clips["filename"].iloc[scenes.train]]
        self.labels = scenes.labels[scenes.train].tolist()
        self.is_reference_device = (
            scenes.device_index[scenes.train] == scenes.devices.index(REFERENCE_DEVICE)
        ).tolist()
        self.responses = [_read(path) for path in sorted(responses.glob("*.wav"))]
        self.recipe = recipe

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """Decode a clip and augment it: convolve it with a random impulse response, shift it in time."""
        waveform = _read(self.paths[index])
        if self.is_reference_device[index] and torch.rand(()) < self.recipe.impulse_response_p:
            response = self.responses[int(torch.randint(len(self.responses), ()))]
            waveform = torchaudio.functional.fftconvolve(waveform, response)[: len(waveform)]
        max_shift = round(self.recipe.roll_s * WAV_RATE_HZ)
        return waveform.roll(int(torch.randint(-max_shift, max_shift + 1, ()))), self.labels[index]


def _read(path: Path) -> Tensor:
    samples, _ = soundfile.read(path, dtype="float32", always_2d=True)
    return torch.from_numpy(np.ascontiguousarray(samples[:, 0]))


class DefinedNorm(nn.Module):
    """AdaResNorm computed by its definition, with the parameters of an existing one."""

    def __init__(self, norm: AdaResNorm) -> None:
        super().__init__()
        self.rho, self.gamma, self.beta = norm.rho, norm.gamma, norm.beta

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, F, T) to the same shape."""
        variance, mean = torch.var_mean(x, dim=(1, 3), correction=0, keepdim=True)
        normalized = (x - mean) / (variance + EPSILON).sqrt()
        y: Tensor = (self.rho * x + (1 - self.rho) * normalized) * self.gamma + self.beta
        return y


def with_defined_norms(network: nn.Module) -> nn.Module:
    """Replace every AdaResNorm by `DefinedNorm`, in place."""
    for name, module in list(network.named_modules()):
        if isinstance(module, AdaResNorm):
            network.set_submodule(name, DefinedNorm(module))
    return network


class ReferenceLoop:
    """Training loop of a network, with its optimizer and its DataLoader."""

    def __init__(
        self,
        network: nn.Module,
        front_end: FrontEndConfig,
        scenes: Scenes,
        responses: Path,
        recipe: Recipe,
        workers: int,
    ) -> None:
        self.network, self.recipe = with_defined_norms(network).train(), recipe
        self.clips = DataLoader(
            Clips(scenes, responses, recipe),
            batch_size=recipe.batch_size,
            shuffle=True,
            num_workers=workers,
            persistent_workers=workers > 0,
        )
        self.resample = torchaudio.transforms.Resample(WAV_RATE_HZ, front_end.rate_hz)
        self.mel = torchaudio.transforms.MelSpectrogram(
            front_end.rate_hz, front_end.fft, front_end.window, front_end.hop, n_mels=front_end.mel_bins
        )
        self.optimizer = torch.optim.AdamW(network.parameters(), lr=recipe.learning_rate)

    def run_epoch(self) -> int:
        """Train on every clip once; return the number of clips."""
        num_clips = 0
        for waveforms, labels in self.clips:
            x = (self.mel(self.resample(waveforms)) + ENERGY_FLOOR).log().unsqueeze(1)
            x = mask_frequency(x, self.recipe.mask_bins)
            x = mix_style(x, self.recipe.mix_style_p, self.recipe.mix_style_alpha)
            loss = nn.functional.cross_entropy(self.network(x), labels)
            self.optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call] # torch leaves it untyped
            self.optimizer.step()
            num_clips += len(labels)
        return num_clips
