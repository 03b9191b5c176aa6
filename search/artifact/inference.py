"""What an export does with sound: quality on a data set, probabilities for sound files.

Shape letters: W windows, S samples, F mel bins, K classes.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from data.front_end import FrontEnd
from data.layout import DataError, read_scenes
from data.sound_file import Piece, read_pieces
from objectives.quality import Quality
from search.artifact.certificate import ExportError
from search.artifact.evaluation import measure_export
from search.artifact.reading import Export

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
        path: The sound file.
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
    """Tell the scene of a WAV or FLAC file of any rate, length and number of channels.

    Channels are averaged, the sound is resampled and cut into windows of one second (the last ends where the file
    does; a shorter file is padded with silence), and the windows' probabilities are averaged. Only some seconds are in
    memory at a time.

    Args:
        export: The network.
        path: The file.
        device: That recorded it, for a network that corrects the spectrum of each device; None: one that it does not
            know, whose spectrum is left as it is.

    Raises:
        ExportError: A device that the network has no correction for.
        DataError: No such file, neither WAV nor FLAC, a broken one, or under a tenth of a second.
    """
    listener = Listener(export, device)
    length = round(WINDOW_S * export.config.front_end_config.rate_hz)
    total, count = torch.zeros(len(export.classes), dtype=torch.float64), 0
    for piece in read_pieces(path, export.config.front_end_config.rate_hz):
        duration_s = len(piece.sound) / length * WINDOW_S
        if piece.is_last and not len(piece.before) and duration_s < MIN_DURATION_S:
            raise DataError(f"{path}: {duration_s:.3f} s of sound; at least {MIN_DURATION_S} s are needed")
        clips = windows(piece, length)
        total += listener.probabilities(clips).double().sum(dim=0)
        count += len(clips)
    return Prediction(path, dict(zip(export.classes, (total / count).tolist(), strict=True)))


class Listener:
    """A network with all that stands between it and a waveform."""

    def __init__(self, export: Export, device: str | None = None) -> None:
        """Get ready to listen.

        Args:
            export: The network.
            device: That recorded what is heard, or None: one that the network does not know.

        Raises:
            ExportError: A device that the network has no correction for.
        """
        self.export = export
        self.front_end = FrontEnd(export.config.front_end_config).eval()
        self._gains = None if device is None else _gains(export, device)

    def probabilities(self, clips: Tensor) -> Tensor:
        """Map windows (W, S) to (W, K)."""
        export, preprocessing = self.export, self.export.preprocessing
        if export.is_pipeline:
            heard: Tensor = export.network(clips)
            return heard
        gains = None if self._gains is None else self._gains.expand(len(clips), -1)
        answers = preprocessing.mean_log_probabilities(
            export.config.front_end_config,
            lambda shift: export.network(preprocessing.spectrograms(self.front_end, clips, gains, shift)),
        )
        return answers.exp()


def _gains(export: Export, device: str) -> Tensor:
    """Return the gains of a device: (1, F)."""
    correction = export.preprocessing.correction
    if export.is_pipeline:
        raise ExportError(f"{export.file} hears every device as one that it does not know: leave the device out")
    if correction is None:
        raise ExportError("the network corrects no device's spectrum: leave the device out")
    if device not in correction.devices:
        raise ExportError(
            f"the network has no correction for device {device}; it has for {', '.join(correction.devices)}"
        )
    return correction.of([device])


def windows(piece: Piece, length: int) -> Tensor:
    """Cut a piece of a sound into (W, length) so that all of it is heard.

    >>> windows(Piece(torch.zeros(0), torch.arange(5.0), is_last=True), 2)
    tensor([[0., 1.],
            [2., 3.],
            [3., 4.]])
    """
    sound = piece.sound
    left = len(sound) % length
    whole = list(torch.split(sound[: len(sound) - left], length)) if len(sound) >= length else []
    if left:
        ending = torch.cat([piece.before, sound])[-length:]
        whole.append(torch.nn.functional.pad(ending, (0, length - len(ending))))
    return torch.stack(whole)
