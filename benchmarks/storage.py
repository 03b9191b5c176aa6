"""Storage of waveforms: 16 bits with a scale for each clip against float16 and float32, in bytes, speed and error.

The clips are real ones where there are any, else noise. Batches are read from memory-mapped files in random order, as
in training, to float32; then the same with the log-mel behind it, the first thing that a training step does. One
thread. The error is that of the log-mel, against float32; "full scale" is 16 bits without a scale.
"""

import os
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from benchmarks.measurement import Measurement, compare
from data.decoding import CLIP_S
from data.front_end import FrontEndConfig, LogMel
from data.layout import Indices
from data.level import Waveforms, quantize
from data.wav import Samples, read_wavs

NUM_CLIPS = 1_500
ROUNDS = 31
BATCH_SIZE = 256
Reader = Callable[[Indices], Tensor]
DTYPES = {"16_bits": np.int16, "float16": np.float16, "float32": np.float32}


def clips(rate_hz: int) -> Samples:
    """Return (NUM_CLIPS, rate_hz) float32: real clips where there are any, repeated, else noise."""
    data = os.environ.get("SCENEFRONT_DATA")
    paths = sorted((Path(data) / "scenes" / "audio").glob("*.wav"))[:NUM_CLIPS] if data else []
    sounds = [sound[0] for sound in read_wavs(paths, rate_hz) if not isinstance(sound, Exception)]
    waveforms = np.random.default_rng(0).normal(0, 0.05, (NUM_CLIPS, round(rate_hz * CLIP_S))).astype(np.float32)
    for waveform, sound in zip(waveforms, sounds, strict=False):
        waveform[: len(sound)] = sound[: len(waveform)]
    return waveforms


def readers(folder: Path, waveforms: Samples) -> dict[str, Reader]:
    """Write the clips in each format; return a function for each that reads some of them to float32."""
    stored = quantize(waveforms)
    written: dict[str, npt.NDArray[Any]] = {
        "16_bits": stored.samples,
        "float16": waveforms.astype(np.float16),
        "float32": waveforms,
    }
    mapped = {}
    for name, content in written.items():
        np.save(folder / f"{name}.npy", content)
        mapped[name] = np.load(folder / f"{name}.npy", mmap_mode="r")

    def read_16_bits(indices: Indices) -> Tensor:
        some = Waveforms(mapped["16_bits"][indices], stored.exponents[indices])
        return torch.from_numpy(some.samples).to(torch.float32).mul_(torch.from_numpy(some.scales[:, None]))

    return {
        "16_bits": read_16_bits,
        "float16": lambda indices: torch.from_numpy(mapped["float16"][indices]).to(torch.float32),
        "float32": lambda indices: torch.from_numpy(mapped["float32"][indices]),
    }


def measure() -> Iterator[Measurement]:
    """Compare each floating-point format with 16 bits."""
    torch.set_num_threads(1)
    config = FrontEndConfig()
    log_mel, waveforms = LogMel(config), clips(config.rate_hz)
    indices = np.random.default_rng(0).permutation(len(waveforms))[:BATCH_SIZE]
    with tempfile.TemporaryDirectory(prefix="scenefront-storage-") as name:
        read = readers(Path(name), waveforms)
        exact = log_mel(read["float32"](indices))
        full_scale = torch.from_numpy(np.rint(waveforms[indices].clip(-1, 1 - 2**-15) * 2**15) / 2**15)
        heard = {"16_bits": read["16_bits"](indices), "float16": read["float16"](indices), "full_scale": full_scale}
        errors = {each: (log_mel(sound) - exact).abs() for each, sound in heard.items()}
        measured = {f"{each}_mean": float(error.mean()) for each, error in errors.items()}
        measured |= {f"{each}_max": float(error.max()) for each, error in errors.items()}
        yield Measurement("mean error of the log-mel, 16 bits", measured["16_bits_mean"], "nat", None, False, measured)
        for other in ("float16", "float32"):
            sizes = {each: np.dtype(DTYPES[each]).itemsize for each in ("16_bits", other)}
            bytes_of = {f"{each}_bytes": config.rate_hz * size for each, size in sizes.items()}
            ratio = bytes_of[f"{other}_bytes"] / bytes_of["16_bits_bytes"]
            yield Measurement(f"bytes of a clip, {other} against 16 bits", ratio, "times", None, False, bytes_of)
            timed = compare(partial(read[other], indices), partial(read["16_bits"], indices), ROUNDS)
            yield Measurement(f"reading, 16 bits against {other}", timed.pop("ratio"), "times", None, True, timed)
            steps = {each: partial(_spectrograms, log_mel, read[each], indices) for each in (other, "16_bits")}
            timed = compare(steps[other], steps["16_bits"], ROUNDS)
            what = f"reading and log-mel, 16 bits against {other}"
            yield Measurement(what, timed.pop("ratio"), "times", None, True, timed)


def _spectrograms(log_mel: LogMel, read: Reader, indices: Indices) -> Tensor:
    spectrograms: Tensor = log_mel(read(indices))
    return spectrograms
