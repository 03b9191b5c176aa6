"""Impulse response augmentation: convolution of clips with microphone impulse responses.

Source: Morocutti et al., "Device-Robust Acoustic Scene Classification via Impulse Response Augmentation",
EUSIPCO 2023.

Shape letters: B batch, S samples, R responses, L samples of a response.
"""

from pathlib import Path

import torch
from torch import Tensor

from data.device import send
from data.errors import DataError
from data.leftovers import is_leftover
from data.wav import WavHeader, read_wav

MAX_DURATION_S = 10.0  # of a response; a clip has a second, and what comes after is cut off


def _problem_of(header: WavHeader) -> str | None:
    if header.duration_s <= MAX_DURATION_S:
        return None
    return f"{header.duration_s:,.1f} s long; an impulse response has at most {MAX_DURATION_S:g} s"


class ImpulseResponses:
    """Impulse responses of microphones, and the convolution of clips with them.

    The convolution keeps a clip's root mean square: published responses are normalized by their peak, which is not the
    microphone's gain, and a network would learn the level as an artefact.

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
        paths = sorted(
            p for p in folder.iterdir() if p.suffix.lower() == ".wav" and p.is_file() and not is_leftover(p.name)
        )
        if not paths:
            raise DataError(f"{folder}: no WAV file in it; it should hold impulse responses, one a file")
        found, broken = [], []
        for path in paths:
            try:
                response = torch.from_numpy(read_wav(path, rate_hz, _problem_of)[0])
            except DataError as error:
                broken.append(str(error))
                continue
            if not bool(response.any()):
                broken.append(f"{path}: silent")
                continue
            found.append(response / response.square().sum().sqrt())
        if broken:
            raise DataError("unusable impulse responses; fix or remove them:\n  " + "\n  ".join(broken))
        padded = torch.nn.utils.rnn.pad_sequence(found, batch_first=True)
        return cls(padded, tuple(path.name for path in paths))

    def apply(self, waveforms: Tensor, eligible: Tensor, p: float) -> Tensor:
        """Convolve random clips with a random response each, truncated to their length.

        Args:
            waveforms: (B, S), full scale at 1; not modified.
            eligible: (B,) bool, on the CPU: the clips that may be changed.
            p: Probability that an eligible clip is changed.

        Raises:
            ValueError: `p` is no probability, or the shapes do not match.
        """
        if not 0 <= p <= 1:
            raise ValueError(f"p must be in 0..1, got {p}")
        batch = len(waveforms)
        if eligible.shape != (batch,):
            raise ValueError(f"eligible must be ({batch},), got {tuple(eligible.shape)}")
        chosen = (eligible & (torch.rand(batch) < p)).nonzero()[:, 0]
        return self._convolve(waveforms, chosen, torch.randint(len(self.names), chosen.shape))

    def through(self, waveforms: Tensor, which: Tensor) -> Tensor:
        """Convolve each clip with a given response, truncated to its length.

        Args:
            waveforms: (B, S), full scale at 1; not modified.
            which: (B,) int, on the CPU: index of the response; -1: the clip is not changed.

        Raises:
            ValueError: There is no such response, or the shapes do not match.
        """
        if which.shape != (len(waveforms),):
            raise ValueError(f"which must be ({len(waveforms)},), got {tuple(which.shape)}")
        unknown = which[(which < -1) | (which >= len(self.names))]
        if len(unknown):
            raise ValueError(
                f"which must be in 0..{len(self.names) - 1}, or -1 for a clip that is left alone, got {int(unknown[0])}"
            )
        chosen = (which >= 0).nonzero()[:, 0]
        return self._convolve(waveforms, chosen, which[chosen])

    def _convolve(self, waveforms: Tensor, chosen: Tensor, which: Tensor) -> Tensor:
        """Convolve the clips at `chosen` (K,), each with the response `which` (K,), both on the CPU."""
        if not len(chosen):
            return waveforms
        size, device = waveforms.shape[1], waveforms.device
        chosen, which = send(chosen, device), send(which, device)
        length = _fast_length(size + self.responses.shape[1] - 1)
        clips = waveforms[chosen].float()
        spectra = torch.fft.rfft(clips, length) * self._spectrum(length, device)[which]
        convolved = torch.fft.irfft(spectra, length)[:, :size]
        level = clips.square().sum(1, keepdim=True)
        new_level = convolved.square().sum(1, keepdim=True).clamp(min=torch.finfo(convolved.dtype).tiny)
        convolved = convolved * (level / new_level).sqrt()
        return waveforms.index_copy(0, chosen, convolved.to(waveforms.dtype))

    def _spectrum(self, length: int, device: torch.device) -> Tensor:
        if (length, device) not in self._spectra:
            self._spectra[length, device] = torch.fft.rfft(self.responses.to(device), length)
        return self._spectra[length, device]


def _fast_length(least: int) -> int:
    # The FFT is fast for products of 2, 3 and 5.
    length = least
    while True:
        rest = length
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return length
        length += 1
