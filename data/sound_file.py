"""Streaming of a WAV or FLAC file in pieces, resampled, its channels averaged.

Shape letters: S samples.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import torch
from torch import Tensor

from data.errors import DataError
from data.wav import (
    MAX_FRAMES,
    Samples,
    WavError,
    WavHeader,
    open_sound,
    require_finite,
    require_resamplable,
    resample,
    too_large,
)

PIECE_S = 16  # length of a piece
MIN_CONTEXT = 8  # samples at the file's own rate on either side of a piece: the resampling filter reaches over 7
MAX_BLOCK = 4_000_000  # samples of all channels that are decoded at a time


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


@contextmanager
def open_pieces(path: Path, rate_hz: int) -> Iterator[tuple[WavHeader, Iterator[Piece]]]:
    """Open a sound file to read it piece by piece, its channels averaged, at another rate.

    Each piece is resampled with more context than the filter's length, so that the pieces equal those of the file
    resampled as a whole. In memory are two pieces, however long the file is.

    Raises:
        DataError: No such file, not a regular one, neither WAV nor FLAC, a broken one, no sample in it, samples that
            are not finite numbers, or a rate that cannot be brought to `rate_hz`.
    """
    with open_sound(path) as (header, file):
        require_resamplable(path, header.rate_hz, rate_hz)
        yield header, _pieces(path, file, rate_hz)


def read_pieces(path: Path, rate_hz: int) -> Iterator[Piece]:
    """Yield the pieces of `open_pieces`."""
    with open_pieces(path, rate_hz) as (_, pieces):
        yield from pieces


def _pieces(path: Path, file: soundfile.SoundFile, rate_hz: int) -> Iterator[Piece]:
    own_hz = file.samplerate
    context_s = math.ceil(MIN_CONTEXT / own_hz)  # a second, but for rates of some hertz
    kept_s = 1 + context_s  # of the preceding piece: `Piece.before`, and the context
    before, sound = np.zeros(0, np.float32), _read(path, file)
    if not len(sound):
        raise DataError(f"{path}: holds no sample")
    num_read = len(sound)
    while len(sound):
        after = _read(path, file)
        num_read += len(after)
        if not len(after) and num_read < file.frames < MAX_FRAMES:
            raise DataError(f"{path}: decodes to {num_read:,} samples of {file.frames:,}")
        resampled = resample(
            torch.from_numpy(np.concatenate([before, sound, after[: context_s * own_hz]])), own_hz, rate_hz
        )
        if not resampled.isfinite().all():
            raise too_large(path, rate_hz)
        start = kept_s * rate_hz if len(before) else 0
        end = len(resampled) if not len(after) else start + PIECE_S * rate_hz
        yield Piece(resampled[max(0, start - rate_hz) : start], resampled[start:end], not len(after))
        before, sound = sound[-kept_s * own_hz :], after


def _read(path: Path, file: soundfile.SoundFile) -> Samples:
    """Read the next piece, (S,) at the file's own rate; nothing at the end.

    In blocks, so that a file of many channels takes no more memory.
    """
    missing, blocks = PIECE_S * file.samplerate, []
    while missing:
        num_frames = max(1, min(missing, MAX_BLOCK // file.channels))
        try:
            frames = file.read(num_frames, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            raise WavError(path, "broken", f"cannot be decoded: {error.error_string}") from error
        require_finite(path, frames)
        blocks.append(frames.mean(axis=1))
        missing -= len(frames)
        if len(frames) < num_frames:
            break
    return np.concatenate(blocks)
