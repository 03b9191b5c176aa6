"""WAV files: header, decoding, resampling.

Source of the header's format: "Multimedia Programming Interface and Data Specifications 1.0"
(RIFF, WAVE) and EBU Tech 3306 (RF64). Samples are decoded by libsndfile.
"""

import functools
import math
import os
import struct
from collections import defaultdict
from collections.abc import Sequence
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

Samples = npt.NDArray[np.float32]
WavFault = Literal["missing", "unreadable", "empty", "not WAV", "truncated", "broken", "NaN", "wrong rate"]

# Size field that means: up to the end of the file (a WAV written to a pipe).
UNKNOWN_SIZE = 0xFFFFFFFF
# Limit of the resampling filter's weights: exceeded only by rates with a small common divisor.
MAX_FILTER_WEIGHTS = 50_000_000


class WavError(DataError):
    """A file without usable audio; `path`, `fault` and `detail` say which and why."""

    def __init__(self, path: Path, fault: WavFault, detail: str) -> None:
        self.path, self.fault, self.detail = path, fault, detail
        super().__init__(f"{path}: {detail}")


@dataclass(frozen=True)
class WavHeader:
    """Header of a WAV file: sample rate, channels, and samples per channel."""

    rate_hz: int
    channels: int
    frames: int

    @property
    def duration_s(self) -> float:
        """Duration of the audio."""
        return self.frames / self.rate_hz


def read_header(path: Path) -> WavHeader:
    """Read the header, and compare it with the size of the file.

    Raises:
        WavError: No such file, not a WAV file, no sample in it, or fewer than the header promises.
    """
    with _open(path) as file:
        _require_whole(path, file)
        with _decoder(path, file) as sound:
            return _header(path, sound)


def read_wav(path: Path, rate_hz: int | None = None) -> Samples:
    """Decode a WAV file of any sample format to (channels, frames), full scale at 1.

    Raises:
        WavError: As `read_header`; or a sample is not a finite number; or as
            `require_resamplable`.
    """
    sound = read_wavs([path], rate_hz)[0]
    if isinstance(sound, WavError):
        raise sound
    return sound


def read_wavs(paths: Sequence[Path], rate_hz: int | None = None) -> list[Samples | WavError]:
    """Decode WAV files as `read_wav` does; a file that cannot be decoded gives its error.

    Files of one rate and length are resampled together, for speed.
    """
    sounds: list[Samples | WavError] = []
    by_format: dict[tuple[int, int], list[int]] = defaultdict(list)  # rate and length -> indices into `sounds`
    for index, path in enumerate(paths):
        try:
            rate, samples = _decode(path)
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
            sounds[index] = sound.numpy()
    return sounds


def _decode(path: Path) -> tuple[int, Samples]:
    """Return the sample rate, and the samples as (channels, frames)."""
    with _open(path) as file:
        _require_whole(path, file)
        with _decoder(path, file) as sound:
            header = _header(path, sound)
            try:
                # Some compressed formats do not report their end, so the number of frames is given.
                frames = sound.read(header.frames, dtype="float32", always_2d=True)
            except soundfile.LibsndfileError as error:
                raise WavError(path, "broken", f"cannot be decoded: {error.error_string}") from error
    if len(frames) < header.frames:
        raise WavError(path, "truncated", f"decodes to {len(frames):,} samples of {header.frames:,}")
    samples = np.ascontiguousarray(frames.T, dtype=np.float32)
    wrong = samples.size - int(np.isfinite(samples).sum())
    if wrong:
        raise WavError(path, "NaN", f"{wrong:,} of {samples.size:,} samples are not finite numbers")
    return header.rate_hz, samples


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


def _open(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except FileNotFoundError as error:
        raise WavError(path, "missing", "no such file") from error
    except OSError as error:
        raise WavError(path, "unreadable", f"cannot be read ({error.strerror})") from error


def _require_whole(path: Path, file: BinaryIO) -> None:
    """Find the data chunk, and refuse one that extends beyond the end of the file."""
    try:
        size = os.fstat(file.fileno()).st_size
        start, promised = _find_data_chunk(path, file, size)
    except OSError as error:
        raise WavError(path, "unreadable", f"cannot be read ({error.strerror})") from error
    if promised == 0:
        raise WavError(path, "empty", "holds no sample")
    if start + promised > size:
        raise WavError(
            path,
            "truncated",
            f"its header promises {promised:,} bytes of sound, {max(size - start, 0):,} are there",
        )


def _find_data_chunk(path: Path, file: BinaryIO, size: int) -> tuple[int, int]:
    """Return the offset and the length of the data chunk, bytes."""
    if size == 0:
        raise WavError(path, "empty", "the file has no bytes")
    head = file.read(12)
    if len(head) < 12 or head[:4] not in (b"RIFF", b"RIFX", b"RF64") or head[8:] != b"WAVE":
        raise WavError(path, "not WAV", f"not a WAV file: it starts with {head[:4]!r}")
    form = ">4sI" if head[:4] == b"RIFX" else "<4sI"
    long_size = None
    while len(chunk := file.read(8)) == 8:
        name, length = struct.unpack(form, chunk)
        start = file.tell()
        if name == b"ds64":
            sizes = file.read(16)
            long_size = struct.unpack("<QQ", sizes)[1] if len(sizes) == 16 else None
        if name == b"data":
            if length == UNKNOWN_SIZE:
                length = size - start if long_size is None else long_size
            return start, length
        file.seek(start + length + length % 2)
    raise WavError(path, "truncated", "ends before the sound starts")


def _decoder(path: Path, file: BinaryIO) -> soundfile.SoundFile:
    try:
        # By its file descriptor: reads through a Python file object would hold the GIL.
        os.lseek(file.fileno(), 0, os.SEEK_SET)
        return soundfile.SoundFile(file.fileno(), closefd=False)
    except soundfile.LibsndfileError as error:
        raise WavError(path, "broken", f"its header cannot be read: {error.error_string}") from error


def _header(path: Path, sound: soundfile.SoundFile) -> WavHeader:
    if sound.frames < 1:
        raise WavError(path, "empty", "holds no sample")
    if sound.samplerate < 1:
        raise WavError(path, "broken", f"its header gives {sound.samplerate} samples a second")
    return WavHeader(sound.samplerate, sound.channels, sound.frames)
