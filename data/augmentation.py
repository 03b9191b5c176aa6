"""Augmentation of training batches: time roll, frequency mask, Freq-MixStyle, device responses.

Sources: https://github.com/CPJKU/dcase2024_task1_baseline at 9948d19 (roll, mask, Freq-MixStyle);
Morocutti et al., "Device-Robust Acoustic Scene Classification via Impulse Response Augmentation",
EUSIPCO 2023 (device responses).

Everything works on a whole batch on the device where it lies. What is drawn at random is drawn from the global
generator of the processor, whatever the device: `torch.manual_seed` repeats a run, and a GPU is never waited for.

Shape letters: B batch, S samples, F mel bins, T frames, R responses, L samples of a response.
"""

from pathlib import Path

import torch
from torch import Tensor

from data.device import send
from data.front_end import LOG_FLOOR
from data.layout import DataError
from data.wav import read_wav

# Beneath this standard deviation of the log energy a bin counts as constant.
SPREAD_FLOOR = 1e-3


def roll(waveforms: Tensor, max_s: float, rate_hz: int) -> Tensor:
    """Shift each clip in time by its own random amount; what leaves at one end enters at the other.

    Args:
        waveforms: (B, S).
        max_s: Largest shift in either direction, seconds; 0 leaves the clips alone.
        rate_hz: Sample rate.

    Raises:
        ValueError: A negative shift.
    """
    if max_s < 0:
        raise ValueError(f"max_s must be at least 0, got {max_s}")
    most = round(max_s * rate_hz)
    if most == 0:
        return waveforms
    batch, size = waveforms.shape
    shift = torch.randint(-most, most + 1, (batch, 1))
    if waveforms.device.type == "cpu":
        rolled = torch.empty_like(waveforms)
        for clip, source, first in zip(rolled, waveforms, (shift[:, 0] % size).tolist(), strict=True):
            clip[first:] = source[: size - first]
            clip[:first] = source[size - first :]
        return rolled
    device = waveforms.device
    return waveforms.gather(1, (torch.arange(size, device=device) - send(shift, device)) % size)


def mask_frequency(x: Tensor, max_bins: int) -> Tensor:
    """Silence one random band of each clip: what a log-mel spectrogram shows where there is no sound.

    Args:
        x: Log-mel spectrograms (B, 1, F, T).
        max_bins: The band is 0 to this many bins wide, each width as likely.

    Raises:
        ValueError: `max_bins` is negative or over F.
    """
    batch, _, bins, _ = x.shape
    if not 0 <= max_bins <= bins:
        raise ValueError(f"max_bins must be in 0..{bins}, got {max_bins}")
    if max_bins == 0:
        return x
    width = torch.randint(0, max_bins + 1, (batch, 1))
    # The first bin of the band, each place where the band fits as likely.
    low = (torch.rand(batch, 1) * (bins - width + 1)).long().minimum(bins - width)
    at = torch.arange(bins)
    band = (at >= low) & (at < low + width)
    return x.masked_fill(send(band, x.device)[:, None, :, None], LOG_FLOOR)


def mix_style(x: Tensor, p: float, alpha: float) -> Tensor:
    """Freq-MixStyle: give each clip a blend of its own and another clip's colour.

    The colour is the mean and the standard deviation of each frequency bin over channels and time.
    The share of the own colour is drawn for each clip from Beta(alpha, alpha).

    Args:
        x: Log-mel spectrograms (B, 1, F, T).
        p: Probability that the batch is changed at all.
        alpha: Over 0; small values keep nearly one of the two colours, 1 blends evenly.

    Raises:
        ValueError: `p` is no probability or `alpha` not over 0.
    """
    _require_probability(p)
    if alpha <= 0:
        raise ValueError(f"alpha must be over 0, got {alpha}")
    if float(torch.rand(())) >= p:
        return x
    variance, mean = torch.var_mean(x.float(), dim=(1, 3), correction=0, keepdim=True)
    spread = (variance + SPREAD_FLOOR**2).sqrt()
    other = send(torch.randperm(x.shape[0]), x.device)
    concentration = torch.full((x.shape[0], 1, 1, 1), float(alpha))
    share = send(torch.distributions.Beta(concentration, concentration).sample(), x.device)
    mixed_mean = share * mean + (1 - share) * mean[other]
    gain = share + (1 - share) * spread[other] / spread
    return ((x - mean).mul_(gain).add_(mixed_mean)).to(x.dtype)


class ImpulseResponses:
    """Recordings of how microphones answer a click, to make a clip sound as if another took it.

    A response changes the colour of a clip and leaves its level alone: the clip has the same root
    mean square after as before. Published responses are scaled by their peak, which says nothing
    of the microphone's gain, and a level that told the two apart would be an artefact to learn.

    Attributes:
        responses: (R, L), padded with zeros at the end.
        names: File name of each response.
    """

    def __init__(self, responses: Tensor, names: tuple[str, ...]) -> None:
        self.responses = responses
        self.names = names
        self._spectra: dict[tuple[int, torch.device], Tensor] = {}

    @classmethod
    def load(cls, folder: Path, rate_hz: int) -> "ImpulseResponses":
        """Read every WAV file in `folder`, first channel, resampled to `rate_hz`.

        Raises:
            DataError: No such folder, no WAV in it, or some that cannot be used (each is named).
        """
        if not folder.is_dir():
            raise DataError(f"{folder}: no such folder of impulse responses")
        paths = sorted(p for p in folder.iterdir() if p.suffix.lower() == ".wav" and p.is_file())
        if not paths:
            raise DataError(f"{folder}: no WAV file in it; it should hold impulse responses, one a file")
        found, broken = [], []
        for path in paths:
            try:
                response = torch.from_numpy(read_wav(path, rate_hz)[0])
            except DataError as error:
                broken.append(str(error))
                continue
            if not bool(response.any()):
                broken.append(f"{path}: silent")
                continue
            found.append(response / response.square().sum().sqrt())
        if broken:
            raise DataError("unusable impulse responses; mend or remove them:\n  " + "\n  ".join(broken))
        padded = torch.nn.utils.rnn.pad_sequence(found, batch_first=True)
        return cls(padded, tuple(path.name for path in paths))

    def apply(self, waveforms: Tensor, eligible: Tensor, p: float) -> Tensor:
        """Convolve some clips with a random response each, and cut them to their length.

        Args:
            waveforms: (B, S), full scale at 1; left as they are.
            eligible: (B,) bool, on the processor: the clips that may be changed.
            p: Probability that an eligible clip is changed.

        Raises:
            ValueError: `p` is no probability, or the shapes do not match.
        """
        _require_probability(p)
        batch, size = waveforms.shape
        if eligible.shape != (batch,):
            raise ValueError(f"eligible must be ({batch},), got {tuple(eligible.shape)}")
        device = waveforms.device
        chosen = (eligible & (torch.rand(batch) < p)).nonzero()[:, 0]
        which = send(torch.randint(len(self.names), chosen.shape), device)
        if not len(chosen):
            return waveforms
        chosen = send(chosen, device)
        length = _fast_length(size + self.responses.shape[1] - 1)
        clips = waveforms[chosen].float()
        spectra = torch.fft.rfft(clips, length) * self._spectrum(length, device)[which]
        heard = torch.fft.irfft(spectra, length)[:, :size]
        level = clips.square().sum(1, keepdim=True)
        heard_level = heard.square().sum(1, keepdim=True).clamp(min=torch.finfo(heard.dtype).tiny)
        heard = heard * (level / heard_level).sqrt()
        return waveforms.index_copy(0, chosen, heard.to(waveforms.dtype))

    def _spectrum(self, length: int, device: torch.device) -> Tensor:
        if (length, device) not in self._spectra:
            self._spectra[length, device] = torch.fft.rfft(self.responses.to(device), length)
        return self._spectra[length, device]


def _require_probability(p: float) -> None:
    if not 0 <= p <= 1:
        raise ValueError(f"p must be in 0..1, got {p}")


def _fast_length(least: int) -> int:
    # The transform is quick for products of 2, 3 and 5.
    length = least
    while True:
        rest = length
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return length
        length += 1
