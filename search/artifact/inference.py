"""Inference on a sound file: windows, front end, network, mean of the probabilities.

Shape letters: W windows, S samples, F mel bins, K classes.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from data.decoding import MAX_CLIP_S, Progress
from data.errors import DataError
from data.front_end import FrontEnd
from data.level import hear
from data.sound_file import PIECE_S, Piece, open_pieces
from data.wav import MAX_FRAMES
from search.artifact.certificate import ExportError
from search.artifact.reading import Export

WINDOW_S = 1.0  # length of a training clip
MIN_DURATION_S = 0.1


@dataclass(frozen=True)
class Prediction:
    """The class probabilities of a sound file.

    Attributes:
        path: The sound file.
        probabilities: Probability by scene, in the order of the network's outputs; they sum to 1.
        note: What is wrong with the file's header; empty if nothing is.
    """

    path: Path
    probabilities: dict[str, float]
    note: str = ""

    @property
    def scene(self) -> str:
        """The most probable scene."""
        return max(self.probabilities, key=lambda name: self.probabilities[name])


@torch.inference_mode()
def predict(export: Export, path: Path, device: str | None = None, progress: Progress | None = None) -> Prediction:
    """Predict the scene of a WAV or FLAC file of any sample rate, level, length and number of channels.

    Channels are averaged, the sound is resampled and cut into windows of one second (the last ends where the file
    does; a shorter file is padded with silence), and the probabilities of the windows are averaged. Each window is
    heard as a training clip is, and a file that is no longer than a training clip may be is heard as that clip: its
    first second. The file is read as a stream: only some seconds are in memory at a time.

    Args:
        device: Recording device, for a network with spectrum correction; None: unknown, so that the spectrum is not
            corrected.
        progress: Called for a file of several pieces, with the seconds heard and those of the whole file.

    Raises:
        ExportError: A device that the network has no correction for.
        DataError: No such file, not a regular one, neither WAV nor FLAC, a broken one, or shorter than a tenth of a
            second.
    """
    predictor = Predictor(export, device)
    length = round(WINDOW_S * export.config.front_end_config.rate_hz)
    total, count = torch.zeros(len(export.classes), dtype=torch.float64), 0
    with open_pieces(path, export.config.front_end_config.rate_hz) as (header, pieces):
        for piece in pieces:
            duration_s = len(piece.sound) / length * WINDOW_S
            if piece.is_last and not len(piece.before) and duration_s < MIN_DURATION_S:
                raise DataError(f"{path}: {duration_s:.3f} s of sound; at least {MIN_DURATION_S} s are needed")
            clips = windows(piece, length)
            if header.duration_s <= MAX_CLIP_S:
                clips = clips[:1]
            total += predictor.probabilities(hear(clips)).double().sum(dim=0)
            count += len(clips)
            if progress is not None and header.duration_s > PIECE_S:
                progress(count, max(count, math.ceil(header.duration_s) if header.frames < MAX_FRAMES else 0))
    return Prediction(path, dict(zip(export.classes, (total / count).tolist(), strict=True)), header.note)


class Predictor:
    """Front end, inference preprocessing and network of an export: waveforms to probabilities."""

    def __init__(self, export: Export, device: str | None = None) -> None:
        """Prepare the front end and the gains of a recording device.

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
            probabilities: Tensor = export.network(clips)
            return probabilities
        gains = None if self._gains is None else self._gains.expand(len(clips), -1)
        log_probabilities = preprocessing.mean_log_probabilities(
            export.config.front_end_config,
            lambda shift: export.network(preprocessing.spectrograms(self.front_end, clips, gains, shift)),
        )
        return log_probabilities.exp()


def _gains(export: Export, device: str) -> Tensor:
    """Return the gains of a device: (1, F)."""
    correction = export.preprocessing.correction
    if export.is_pipeline:
        raise ExportError(f"{export.file} treats every device as unknown: leave the device out")
    if correction is None:
        raise ExportError("the network was trained without spectrum correction: leave the device out")
    if device not in correction.devices:
        raise ExportError(
            f"the network has no correction for device {device}; it has for {', '.join(correction.devices)}"
        )
    return correction.of([device])


def windows(piece: Piece, length: int) -> Tensor:
    """Cut a piece of a sound into (W, length) so that every sample is in a window.

    >>> windows(Piece(torch.zeros(0), torch.arange(5.0), is_last=True), 2)
    tensor([[0., 1.],
            [2., 3.],
            [3., 4.]])
    """
    sound = piece.sound
    remainder = len(sound) % length
    clips = list(torch.split(sound[: len(sound) - remainder], length)) if len(sound) >= length else []
    if remainder:
        last = torch.cat([piece.before, sound])[-length:]
        clips.append(torch.nn.functional.pad(last, (0, length - len(last))))
    return torch.stack(clips)
