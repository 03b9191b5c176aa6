"""WAV and FLAC files: header, decoding, resampling.

The header of a WAV file is read by data/wav_header.py. Samples are decoded by libsndfile.
"""

import functools
import math
import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, cast

import numpy as np
import numpy.typing as npt
import soundfile
import torch
import torchaudio
from torch import Tensor

from data.errors import DataError
from data.regular_file import open_regular
from data.wav_header import FORMS, ChunkError, RepairedFile, read_layout

Samples = npt.NDArray[np.float32]
WavFault = Literal["missing", "unreadable", "empty", "not WAV", "truncated", "broken", "NaN", "wrong rate"]

FLAC = b"fLaC"
# libsndfile reports more for a stream of unknown length.
MAX_FRAMES = 2**62
# Largest sample rate that a FLAC file can have; it bounds the memory of some seconds of sound.
MAX_RATE_HZ = 1_048_575
# Limit of the resampling filter's weights: exceeded only by rates with a small common divisor.
MAX_FILTER_WEIGHTS = 50_000_000


class WavError(DataError):
    """A file without usable audio; `path`, `fault` and `detail` say which and why."""

    def __init__(self, path: Path, fault: WavFault, detail: str) -> None:
        self.path, self.fault, self.detail = path, fault, detail
        super().__init__(f"{path}: {detail}")


@dataclass(frozen=True)
class WavHeader:
    """Header of a sound file.

    Attributes:
        rate_hz: Sample rate.
        channels: Number of channels.
        frames: Samples per channel that are there.
        note: What is wrong with the header of a file that can be read all the same; empty if nothing is.
    """

    rate_hz: int
    channels: int
    frames: int
    note: str = ""

    @property
    def duration_s(self) -> float:
        """Duration of the audio."""
        return self.frames / self.rate_hz


ProblemOf = Callable[[WavHeader], str | None]


def _no_problem(_: WavHeader) -> None:
    return None


def read_header(path: Path) -> WavHeader:
    """Read the header, and compare it with the size of the file.

    Raises:
        WavError: No such file, not a regular one, neither WAV nor FLAC, no sample in it, or a header that cannot be
            read.
    """
    with open_sound(path) as (header, _):
        return header


def read_wav(path: Path, rate_hz: int | None = None, problem_of: ProblemOf = _no_problem) -> Samples:
    """Decode a file of any sample format to (channels, frames), full scale at 1.

    Args:
        problem_of: Returns, before anything is decoded, why a file of this header is not wanted; None if it is.

    Raises:
        WavError: As `read_header`; or `problem_of` has a problem; or a sample is not a finite number; or as
            `require_resamplable`.
    """
    sound = read_wavs([path], rate_hz, problem_of)[0]
    if isinstance(sound, WavError):
        raise sound
    return sound


def read_wavs(
    paths: Sequence[Path], rate_hz: int | None = None, problem_of: ProblemOf = _no_problem
) -> list[Samples | WavError]:
    """Decode files as `read_wav` does; a file that cannot be decoded gives its error.

    Files of one rate and length are resampled together, for speed; the samples are the same as of each alone.
    """
    sounds: list[Samples | WavError] = []
    by_format: dict[tuple[int, int], list[int]] = defaultdict(list)  # rate and length -> indices into `sounds`
    for index, path in enumerate(paths):
        try:
            rate, samples = _decode(path, problem_of)
            if rate_hz is not None and rate_hz != rate:
                require_resamplable(path, rate, rate_hz)
                by_format[rate, samples.shape[1]].append(index)
            sounds.append(samples)
        except WavError as error:
            sounds.append(error)
    for (rate, _), indices in by_format.items():
        batch = [torch.from_numpy(sounds[index]) for index in indices]
        resampled = resample(torch.cat(batch), rate, cast(int, rate_hz))
        for index, sound in zip(indices, torch.split(resampled, [len(sound) for sound in batch]), strict=True):
            is_finite = bool(sound.isfinite().all())
            sounds[index] = sound.numpy() if is_finite else too_large(paths[index], cast(int, rate_hz))
    return sounds


def _decode(path: Path, problem_of: ProblemOf) -> tuple[int, Samples]:
    """Return the sample rate, and the samples as (channels, frames)."""
    with open_sound(path) as (header, sound):
        if (problem := problem_of(header)) is not None:
            raise WavError(path, "broken", problem)
        if header.frames >= MAX_FRAMES:
            raise WavError(path, "broken", "its header does not say how long it is")
        try:
            # Some compressed formats do not report their end, so the number of frames is given.
            frames = sound.read(header.frames, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            raise WavError(path, "broken", f"cannot be decoded: {error.error_string}") from error
    if len(frames) < header.frames:
        raise WavError(path, "truncated", f"decodes to {len(frames):,} samples of {header.frames:,}")
    samples = np.ascontiguousarray(frames.T, dtype=np.float32)
    require_finite(path, samples)
    return header.rate_hz, samples


def require_finite(path: Path, samples: Samples) -> None:
    """Refuse samples that are no numbers.

    Raises:
        WavError: Says how many.
    """
    wrong = samples.size - int(np.isfinite(samples).sum())
    if wrong:
        raise WavError(path, "NaN", f"{wrong:,} of {samples.size:,} samples are not finite numbers")


def too_large(path: Path, rate_hz: int) -> WavError:
    """Return the error of a file whose sums of samples are not finite any more."""
    return WavError(path, "NaN", f"its samples are too large to be brought to {rate_hz:,} Hz")


def require_resamplable(path: Path, rate_hz: int, new_rate_hz: int) -> None:
    """Refuse sample rates between which resampling needs too large a filter.

    Raises:
        WavError: Their greatest common divisor is too small.
    """
    shared = math.gcd(rate_hz, new_rate_hz)
    if (rate_hz // shared) * (new_rate_hz // shared) > MAX_FILTER_WEIGHTS:
        raise WavError(path, "wrong rate", f"{rate_hz:,} Hz cannot be resampled to {new_rate_hz:,} Hz")


def resample(sound: Tensor, rate_hz: int, new_rate_hz: int) -> Tensor:
    """Resample (..., S); unchanged where both rates are equal."""
    resampled: Tensor = _resampler(rate_hz, new_rate_hz)(sound)
    return resampled


@functools.cache
def _resampler(rate_hz: int, new_rate_hz: int) -> torchaudio.transforms.Resample:
    return torchaudio.transforms.Resample(rate_hz, new_rate_hz)


@contextmanager
def open_sound(path: Path) -> Iterator[tuple[WavHeader, soundfile.SoundFile]]:
    """Open a sound file: its header, and its decoder. Every reader of sound opens it here.

    Raises:
        WavError: As `read_header`.
    """
    try:
        file = open_regular(path)
    except FileNotFoundError as error:
        raise WavError(path, "missing", "no such file") from error
    except OSError as error:
        raise WavError(path, "unreadable", f"cannot be read ({error.strerror})") from error
    with file:
        try:
            source, note = _source(path, file)
        except OSError as error:
            raise WavError(path, "unreadable", f"cannot be read ({error.strerror})") from error
        try:
            decoder = soundfile.SoundFile(source, closefd=False)
        except soundfile.LibsndfileError as error:
            raise WavError(path, "broken", f"its header cannot be read: {error.error_string}") from error
        with decoder:
            yield _header(path, decoder, note), decoder


def _source(path: Path, file: BinaryIO) -> tuple[int | RepairedFile, str]:
    """Return what libsndfile reads, and a note on the header.

    By its file descriptor where it can: reads through a Python file object hold the GIL.
    """
    head = file.read(12)
    if not head:
        raise WavError(path, "empty", "the file has no bytes")
    if head[:4] != FLAC:
        if len(head) < 12 or head[:4] not in FORMS or head[8:] != b"WAVE":
            raise WavError(path, "not WAV", f"neither a WAV nor a FLAC file: it starts with {head[:4]!r}")
        try:
            layout = read_layout(file)
        except ChunkError as error:
            raise WavError(path, "truncated", str(error)) from error
        if layout.size == 0:
            raise WavError(path, "empty", "holds no sample")
        _require_rate(path, layout.rate_hz)
        if not layout.is_plain:
            return RepairedFile(file, layout), layout.note
    os.lseek(file.fileno(), 0, os.SEEK_SET)
    return file.fileno(), ""


def _header(path: Path, sound: soundfile.SoundFile, note: str) -> WavHeader:
    if sound.frames < 1:
        raise WavError(path, "empty", "holds no sample")
    _require_rate(path, sound.samplerate)
    return WavHeader(sound.samplerate, sound.channels, sound.frames, note)


def _require_rate(path: Path, rate_hz: int) -> None:
    if not 1 <= rate_hz <= MAX_RATE_HZ:
        raise WavError(
            path, "broken", f"its header gives {rate_hz:,} samples a second; 1 to {MAX_RATE_HZ:,} can be read"
        )
