"""Streaming of a WAV or FLAC file in pieces, resampled, its channels averaged.

Shape letters: S samples.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import torch
from torch import Tensor

from data.errors import DataError
from data.wav import Samples, read_header, require_resamplable, resample

PIECE_S = 16  # length of a piece
CONTEXT_S = 2  # kept of the preceding piece: `Piece.before`, and one second for the resampling filter
MAX_FRAMES = 2**62  # libsndfile reports more for a stream of unknown length
FLAC = b"fLaC"
WAV = (b"RIFF", b"RIFX", b"RF64")


@dataclass(frozen=True)
class Piece:
    """Some whole seconds of a sound, one channel; the last piece is what is left.

    Attributes:
        before: The preceding second, (S,); empty for the first piece.
        sound: (S,), full scale at 1.
        is_last: Whether it is the end of the sound.
    """

    before: Tensor
    sound: Tensor
    is_last: bool


def read_pieces(path: Path, rate_hz: int) -> Iterator[Piece]:
    """Read a sound file piece by piece, its channels averaged, at another rate.

    Each piece is resampled with more context than the filter's length, so that the pieces equal those of the file
    resampled as a whole.

    Raises:
        DataError: No such file, neither WAV nor FLAC, a broken one, no sample in it, samples that are not finite
            numbers, or a rate that cannot be brought to `rate_hz`.
    """
    with _open(path) as file:
        own_hz = file.samplerate
        require_resamplable(path, own_hz, rate_hz)
        before, sound = np.zeros(0, np.float32), _read(path, file)
        if not len(sound):
            raise DataError(f"{path}: holds no sample")
        num_read = len(sound)
        while len(sound):
            after = _read(path, file)
            num_read += len(after)
            if not len(after) and num_read < file.frames < MAX_FRAMES:
                raise DataError(f"{path}: decodes to {num_read:,} samples of {file.frames:,}")
            resampled = resample(torch.from_numpy(np.concatenate([before, sound, after[:own_hz]])), own_hz, rate_hz)
            start = CONTEXT_S * rate_hz if len(before) else 0
            end = len(resampled) if not len(after) else start + PIECE_S * rate_hz
            yield Piece(resampled[max(0, start - rate_hz) : start], resampled[start:end], not len(after))
            before, sound = sound[-CONTEXT_S * own_hz :], after


def _open(path: Path) -> soundfile.SoundFile:
    try:
        with path.open("rb") as file:
            head = file.read(4)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    if head in WAV:
        read_header(path)  # libsndfile reads a truncated WAV file without an error
    elif head != FLAC:
        raise DataError(f"{path}: neither a WAV nor a FLAC file: it starts with {head!r}")
    try:
        return soundfile.SoundFile(path)
    except soundfile.LibsndfileError as error:
        raise DataError(f"{path}: cannot be decoded: {error.error_string}") from error


def _read(path: Path, file: soundfile.SoundFile) -> Samples:
    """Read the next piece, (S,) at the file's own rate; nothing at the end."""
    try:
        frames: Samples = file.read(PIECE_S * file.samplerate, dtype="float32", always_2d=True).mean(axis=1)
    except soundfile.LibsndfileError as error:
        raise DataError(f"{path}: cannot be decoded: {error.error_string}") from error
    wrong = len(frames) - int(np.isfinite(frames).sum())
    if wrong:
        raise DataError(f"{path}: {wrong:,} of {len(frames):,} samples are not finite numbers")
    return frames
