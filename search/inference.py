"""What an export does with sound: quality on a data set, probabilities for WAV files.

Shape letters: W windows, S samples, K classes.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from data.front_end import FrontEnd
from data.layout import DataError, read_scenes
from data.wav import read_wav
from objectives.quality import Quality
from search.export.measuring import measure_export
from search.export.reading import Export, ExportError

WINDOW_S = 1.0  # what the networks were trained on
MIN_DURATION_S = 0.1


def evaluate_export(export: Export, data: Path, split: str, cache: Path | None) -> Quality:
    """Measure an export on the evaluation clips of a data set in the layout.

    Raises:
        DataError: The data cannot be read.
        ExportError: The data has scenes that the network does not know.
    """
    return measure_export(export, read_scenes(data, split), cache)


@dataclass(frozen=True)
class Prediction:
    """What a network hears in a file.

    Attributes:
        path: The WAV file.
        probabilities: By scene, in the network's order; they sum to 1.
    """

    path: Path
    probabilities: dict[str, float]

    @property
    def scene(self) -> str:
        """The likeliest."""
        return max(self.probabilities, key=lambda name: self.probabilities[name])


@torch.inference_mode()
def predict(export: Export, path: Path, device: str | None = None) -> Prediction:
    """Tell the scene of a WAV file of any rate, length and number of channels.

    Channels are averaged, the sound is resampled and cut into windows of one second (the last ends where the file
    does; a shorter file is padded with silence), and the windows' probabilities are averaged.

    Args:
        export: The network.
        path: The file.
        device: That recorded it, for a network that corrects the spectrum of each device; None: one that it does not
            know, whose spectrum is left as it is.

    Raises:
        ExportError: A device that the network has no correction for.
        DataError: No such file, no WAV file, a broken one, or under a tenth of a second.
    """
    front_end = export.config.front_end_config
    sound = torch.from_numpy(read_wav(path, front_end.rate_hz)).mean(dim=0)
    duration_s = len(sound) / front_end.rate_hz
    if duration_s < MIN_DURATION_S:
        raise DataError(f"{path}: {duration_s:.3f} s of sound; at least {MIN_DURATION_S} s are needed")
    clips, hear, hearing = (
        windows(sound, round(WINDOW_S * front_end.rate_hz)),
        FrontEnd(front_end).eval(),
        export.hearing,
    )
    gains = None if device is None else _gains(export, device).expand(len(clips), -1)
    answers = hearing.mean(front_end, lambda shift: export.network(hearing.spectrograms(hear, clips, gains, shift)))
    probabilities = answers.exp().mean(dim=0)
    return Prediction(path, dict(zip(export.classes, probabilities.tolist(), strict=True)))


def _gains(export: Export, device: str) -> Tensor:
    """Give the gains of a device: (1, F)."""
    correction = export.hearing.correction
    if correction is None:
        raise ExportError("the network corrects no device's spectrum: leave the device out")
    if device not in correction.devices:
        raise ExportError(
            f"the network has no correction for device {device}; it has for {', '.join(correction.devices)}"
        )
    return correction.of([device])


def windows(sound: Tensor, length: int) -> Tensor:
    """Cut (S,) into (W, length) so that all of it is heard.

    >>> windows(torch.arange(5.0), 2)
    tensor([[0., 1.],
            [2., 3.],
            [3., 4.]])
    """
    if len(sound) < length:
        sound = torch.nn.functional.pad(sound, (0, length - len(sound)))
    starts = list(range(0, len(sound) - length + 1, length))
    if starts[-1] + length < len(sound):
        starts.append(len(sound) - length)
    return torch.stack([sound[start : start + length] for start in starts])
