"""Front ends: log-mel spectrograms of waveforms, optionally with deltas.

Sources of the settings:
    dcase24: https://github.com/CPJKU/dcase2024_task1_baseline at 9948d19, run_training.py; the
        ASCDomain report of DCASE 2024, section 2.1, keeps them.
    tfsepnet: Cai et al., DCASE 2023, section 2.2.
    bcresnet: Cao et al., DCASE 2022, section 4.1.1.
    sepcnn: Xin et al., DCASE 2022, whose report leaves the front end open; see `FRONT_ENDS`.
    cpresnet, cpresnet280: Koutini et al., DCASE 2021, section 3.1, cut down to clips of one second.

Shape letters: B batch, S samples, C channels, F mel bins, T frames.
"""

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch
import torchaudio
from torch import Tensor, nn

# Added to the mel energy before the logarithm; silence is LOG_FLOOR.
ENERGY_FLOOR = 1e-5
LOG_FLOOR = float(torch.tensor(ENERGY_FLOOR).log())
# Spectra of this many one-second clips stay in a processor's cache.
CLIPS_IN_CACHE = 4
# Mel bins per block of the matrix product: few enough that their triangles cover a small part of the spectrum.
BAND = 16
WINDOW_FUNCTIONS = {"hann": torch.hann_window, "hamming": torch.hamming_window}
# Frames on either side of a delta: windows of five frames.
DELTA_REACH = 2
# Upper edges from which `draw_top` draws, each with its own mel bank.
NUM_TOPS = 32
MAX_CACHED_BANKS = 2 * NUM_TOPS


@dataclass(frozen=True, kw_only=True)
class FrontEndConfig:
    """Sizes of a log-mel front end. The defaults are the challenge's baseline of 2024.

    Attributes:
        rate_hz: Sample rate of the waveforms.
        window: Length of the window, samples.
        hop: Samples from one frame to the next.
        fft: Length of the Fourier transform, samples; the window is centred in it.
        mel_bins: Triangles on the mel scale, from 0 Hz to half the sample rate.
        window_function: "hann" or "hamming", of period `window`.
        deltas: Whether deltas and delta-deltas of the log-mel are added as channels.
    """

    rate_hz: int = 32_000
    window: int = 3072
    hop: int = 500
    fft: int = 4096
    mel_bins: int = 256
    window_function: str = "hann"
    deltas: bool = False

    def __post_init__(self) -> None:
        """Refuse sizes that make no spectrogram."""
        for name in ("rate_hz", "window", "hop", "fft", "mel_bins"):
            value = getattr(self, name)
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if self.window > self.fft:
            raise ValueError(f"window must fit into fft, got {self.window} > {self.fft}")
        if self.window_function not in WINDOW_FUNCTIONS:
            known = " or ".join(WINDOW_FUNCTIONS)
            raise ValueError(f"window_function must be {known}, got {self.window_function!r}")

    def shape(self, duration_s: float = 1.0) -> tuple[int, int, int]:
        """Return the shape (C, F, T) of the network's input for `duration_s` seconds.

        >>> FrontEndConfig().shape()
        (1, 256, 65)
        """
        channels = 3 if self.deltas else 1
        return channels, self.mel_bins, round(self.rate_hz * duration_s) // self.hop + 1


FRONT_ENDS = {
    "bcresnet": FrontEndConfig(
        rate_hz=44_100, window=2048, hop=1024, fft=2048, mel_bins=128, window_function="hamming", deltas=True
    ),
    "cpresnet": FrontEndConfig(window=2048, hop=744, fft=2048),
    "cpresnet280": FrontEndConfig(window=2048, hop=744, fft=2048, mel_bins=280),
    "dcase24": FrontEndConfig(),
    # 256 bins follow from the 75,562 parameters; a hop of 40 ms keeps the network under 30 M MACs.
    "sepcnn": FrontEndConfig(rate_hz=44_100, window=2048, hop=1764, fft=2048),
    "tfsepnet": FrontEndConfig(window=2048, hop=744, fft=2048, mel_bins=128),
}


class FrontEnd(nn.Module):
    """From waveforms to a network's input: log-mel, spectrogram augmentation, then deltas.

    Deltas are computed from the augmented log-mel: a masked band has none.
    """

    def __init__(self, config: FrontEndConfig) -> None:
        super().__init__()
        self.config = config
        self.log_mel = LogMel(config)

    def forward(
        self,
        waveforms: Tensor,
        augment: Callable[[Tensor], Tensor] | None = None,
        gains: Tensor | None = None,
        top_hz: float | None = None,
    ) -> Tensor:
        """Map (B, S), full scale at 1, to (B, C, F, T).

        Args:
            augment: Changes the log-mel (B, 1, F, T) before anything is derived from it.

        Raises:
            ValueError: As `LogMel`.
        """
        x: Tensor = self.log_mel(waveforms, gains, top_hz)
        if augment is not None:
            x = augment(x)
        if not self.config.deltas:
            return x
        first = delta(x)
        return torch.cat([x, first, delta(first)], dim=1)


def draw_top(max_drop: float, rate_hz: int) -> float:
    """Draw the upper edge of a batch's mel bank, in hertz, which shifts the pitch of all its clips alike.

    Uniform over `NUM_TOPS` equidistant values from half the sample rate down to (1 - max_drop) of it.

    Source: Koutini et al., DCASE 2021, section 2, which prints no range.

    Args:
        max_drop: Largest share by which the frequency is lowered; 0 leaves it at half the rate.

    Raises:
        ValueError: `max_drop` is not at least 0 and below 1.
    """
    if not 0 <= max_drop < 1:
        raise ValueError(f"max_drop must be at least 0 and below 1, got {max_drop}")
    step = int(torch.randint(NUM_TOPS, ()))
    return rate_hz / 2 * (1 - max_drop * step / (NUM_TOPS - 1))


def delta(x: Tensor) -> Tensor:
    """Return the least-squares slope over five frames of (..., F, T), per frame; edges are replicated.

    The same as torchaudio's `compute_deltas`, but without a convolution, which is imprecise on a GPU or in autocast.

    >>> delta(torch.tensor([[[0.0, 1.0, 2.0, 3.0, 4.0]]]))
    tensor([[[0.5000, 0.8000, 1.0000, 0.8000, 0.5000]]])
    """
    num_frames = x.shape[-1]
    last = num_frames - 1
    padded = torch.cat(
        [x[..., :1].expand(*x.shape[:-1], DELTA_REACH), x, x[..., last:].expand(*x.shape[:-1], DELTA_REACH)], dim=-1
    )
    slope = torch.zeros_like(x)
    for step in range(1, DELTA_REACH + 1):
        later, earlier = DELTA_REACH + step, DELTA_REACH - step
        slope.add_(padded[..., later : later + num_frames], alpha=step)
        slope.sub_(padded[..., earlier : earlier + num_frames], alpha=step)
    return slope.div_(2 * sum(step**2 for step in range(1, DELTA_REACH + 1)))


class LogMel(nn.Module):
    """The natural logarithm of the mel-scaled power spectrogram, plus `ENERGY_FLOOR`.

    Triangles are on the HTK mel scale and not normalized by area; frames are centred, with the
    clip mirrored at its ends. Nothing in it is learned. A triangle too narrow to contain an FFT frequency
    is empty, and its bin is always `LOG_FLOOR`: of `FRONT_ENDS` only "sepcnn" has one, its lowest (0 to 19 Hz, where
    the FFT has 0 and 21.5 Hz). A mel bank with a lower upper edge is narrower, and may have more.

    The same as torchaudio's MelSpectrogram, several times as fast (`python -m benchmarks log-mel`): frames are written
    into the transform's padding and never copied, no root is taken and squared again, and a band of the mel bins is
    multiplied with the part of the spectrum that it covers.
    """

    window: Tensor

    def __init__(self, config: FrontEndConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("window", WINDOW_FUNCTIONS[config.window_function](config.window), persistent=False)
        bands, self.reaches = _bands(config, config.rate_hz / 2)
        for number, weights in enumerate(bands):
            self.register_buffer(f"band_{number}", weights, persistent=False)

    def forward(self, waveforms: Tensor, gains: Tensor | None = None, top_hz: float | None = None) -> Tensor:
        """Map (B, S), full scale at 1, to (B, 1, F, T).

        Args:
            gains: (B, F), at least 0: factors on each clip's mel energy, before `ENERGY_FLOOR` is added. They belong to
                the bins of the bank that ends at half the sample rate; bins of another take those of the frequencies
                where they peak, from the two next to them. None leaves the energy as it is.
            top_hz: Upper edge of the mel bank, hertz, in place of half the sample rate: the lower it is, the higher the
                bins of a clip's tones.

        Raises:
            ValueError: Not two axes, too few samples to mirror half a transform at the ends, gains of another shape,
                or `top_hz` not over 0 and up to half the sample rate.
        """
        with torch.no_grad():
            energy = self.mel_energy(waveforms, top_hz)
            if gains is not None:
                if gains.shape != (len(waveforms), self.config.mel_bins):
                    expected = (len(waveforms), self.config.mel_bins)
                    raise ValueError(f"gains must be {expected}, a factor a clip and mel bin, got {tuple(gains.shape)}")
                if top_hz is not None:
                    gains = _interpolated_gains(gains, _mel(top_hz) / _mel(self.config.rate_hz / 2))
                energy.mul_(gains.unsqueeze(1))
            return energy.add_(ENERGY_FLOOR).log_().transpose(1, 2).unsqueeze(1)

    def mel_energy(self, waveforms: Tensor, top_hz: float | None = None) -> Tensor:
        """Map (B, S), full scale at 1, to the mel-scaled power spectrogram (B, T, F), float32 and without gradient.

        Raises:
            ValueError: As in `forward`.
        """
        if waveforms.ndim != 2 or waveforms.shape[1] <= self.config.fft // 2:
            shape = tuple(waveforms.shape)
            raise ValueError(f"waveforms must be (B, S) with S > {self.config.fft // 2}, got {shape}")
        bank = self._bank(top_hz, waveforms.device)
        part = CLIPS_IN_CACHE if waveforms.device.type == "cpu" else len(waveforms)
        num_frames = waveforms.shape[1] // self.config.hop + 1
        # Half precision would lose the quiet bins before the logarithm.
        with torch.autocast(waveforms.device.type, enabled=False), torch.no_grad():
            frames = waveforms.new_zeros(min(part, len(waveforms)), num_frames, self.config.fft, dtype=torch.float32)
            parts = torch.split(waveforms, max(1, part))
            return torch.cat([self._energy(clips.float(), frames, bank) for clips in parts])

    def _bank(self, top_hz: float | None, device: torch.device) -> "Bank":
        """Return the mel bank with the upper edge `top_hz`, on `device`."""
        half_hz = self.config.rate_hz / 2
        if top_hz is None or top_hz == half_hz:
            return [self.get_buffer(f"band_{number}") for number in range(len(self.reaches))], self.reaches
        if not 0 < top_hz < half_hz:
            raise ValueError(f"top_hz must be over 0 and up to half the sample rate, {half_hz:g}, got {top_hz:g}")
        return _cached_bands(self.config, top_hz, device)

    def _energy(self, waveforms: Tensor, frames: Tensor, bank: "Bank") -> Tensor:
        """Map (B, S) to (B, T, F), by way of `frames` (at least B, T, samples of the transform).

        A window at the start of the transform has the power of one at its centre.
        """
        window, hop = self.config.window, self.config.hop
        num_clips, num_frames = len(waveforms), frames.shape[1]
        half = self.config.fft // 2
        mirrored = nn.functional.pad(waveforms.unsqueeze(1), (half, half), mode="reflect").squeeze(1)
        start = (self.config.fft - window) // 2
        covered = mirrored[:, start : start + (num_frames - 1) * hop + window].unfold(1, window, hop)
        torch.mul(covered, self.window, out=frames[:num_clips, :, :window])
        squares = torch.view_as_real(torch.fft.rfft(frames[:num_clips])).flatten(-2).square_()
        bands = [squares[..., low:high] @ weights for weights, (low, high) in zip(*bank, strict=True)]
        return torch.cat(bands, dim=-1)


# Weights of each band (real and imaginary parts of the spectrum that it covers, its mel bins), and where those lie.
Bank = tuple[list[Tensor], list[tuple[int, int]]]


@lru_cache(maxsize=MAX_CACHED_BANKS)
def _cached_bands(config: FrontEndConfig, top_hz: float, device: torch.device) -> Bank:
    bands, reaches = _bands(config, top_hz)
    return [weights.to(device) for weights in bands], reaches


def _bands(config: FrontEndConfig, top_hz: float) -> Bank:
    """Split the mel bank with the upper edge `top_hz` into blocks of `BAND` bins."""
    triangles = _triangles(config, top_hz)
    bands, reaches = [], []
    for first in range(0, config.mel_bins, BAND):
        weights = triangles[:, first : first + BAND]
        covered = weights.any(1).nonzero()[:, 0].tolist() or [0]
        low, high = covered[0], covered[-1] + 1
        # Real and imaginary part of a frequency weigh the same.
        bands.append(weights[low:high].repeat_interleave(2, 0))
        reaches.append((2 * low, 2 * high))
    return bands, reaches


def _mel(hz: float) -> float:
    return 2595 * math.log10(1 + hz / 700)


def _interpolated_gains(gains: Tensor, share: float) -> Tensor:
    """Interpolate gains (B, F) at the centres of a mel bank whose upper edge is `share` of theirs, in mel."""
    num_bins = gains.shape[1]
    # Peaks lie evenly in mel: the first one step above 0, the last one step below the top.
    place = (torch.arange(1, num_bins + 1, device=gains.device) * share - 1).clamp(min=0)
    low = place.long().clamp(max=max(0, num_bins - 2))
    high = (low + 1).clamp(max=num_bins - 1)
    return torch.lerp(gains[:, low], gains[:, high], place - low)


def _triangles(config: FrontEndConfig, top_hz: float) -> Tensor:
    """Return the weight of each frequency in each mel bin: (frequencies of the transform, F)."""
    with warnings.catch_warnings():
        # The docstring of `LogMel` describes empty triangles.
        warnings.filterwarnings("ignore", "At least one mel filterbank has all zero values", UserWarning)
        weights: Tensor = torchaudio.functional.melscale_fbanks(
            config.fft // 2 + 1, 0.0, top_hz, config.mel_bins, config.rate_hz
        )
    return weights
