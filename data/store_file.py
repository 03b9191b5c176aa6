"""A store on the disk: samples in a memory-mapped .npy file, and its manifest beside it.

The manifest lists, by slot, the exponents of the scales, the hashes of the files, and the names that they had when they
were decoded. The store's name holds a hash of its manifest: a manifest that was changed or lost leaves no store.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt

from data.regular_file import read_regular

FORMAT = 3  # part of the manifest: increment it when the content of a store changes
Samples = npt.NDArray[np.int16]


@dataclass(frozen=True, eq=False)
class Manifest:
    """What a store holds, by slot.

    Attributes:
        rate_hz: Sample rate.
        hashes: Hash of each clip's file.
        exponents: Exponent of each clip's scale, int8.
        names: Name of each file in the data set that the store was made from.
    """

    rate_hz: int
    hashes: Sequence[str]
    exponents: npt.NDArray[np.int8]
    names: Sequence[str]

    @property
    def text(self) -> bytes:
        """Content of the file: column by column, which is read in a quarter of the time of row by row."""
        exponents = " ".join(map(str, self.exponents.tolist()))
        return "\n".join([_kind(self.rate_hz), exponents, *self.hashes, *self.names]).encode()

    @classmethod
    def read(cls, path: Path, rate_hz: int) -> "Manifest | None":
        """Read the manifest of a store; None if it is missing or spoilt, or its format is another."""
        try:
            text = read_regular(manifest_path(path))
        except OSError:
            return None
        if store_name(text, rate_hz) != path.name:
            return None
        kind, exponents, *lines = text.decode().split("\n")
        if kind != _kind(rate_hz):
            return None
        size = len(lines) // 2
        return cls(rate_hz, lines[:size], np.array(exponents.split(), np.int8), lines[size:])


def _kind(rate_hz: int) -> str:
    return f"{FORMAT} {rate_hz}"


def store_name(manifest: bytes, rate_hz: int) -> str:
    """Return the name of the store that has this manifest."""
    return f"waveforms-{rate_hz}hz-{hashlib.sha256(manifest).hexdigest()[:16]}.npy"


def manifest_path(path: Path) -> Path:
    """Return the path of a store's manifest."""
    return path.with_suffix(".clips")


def stores_in(folder: Path, rate_hz: int) -> list[Path]:
    """Return the stores of one rate in a folder."""
    return sorted(folder.glob(f"waveforms-{rate_hz}hz-*.npy"))


def load_samples(path: Path, manifest: Manifest) -> Samples | None:
    """Map the samples of a store, (M, rate_hz); None if the file is missing or not that of its manifest."""
    try:
        samples = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    if samples.shape != (len(manifest.hashes), manifest.rate_hz) or samples.dtype != np.int16:
        return None
    return cast(Samples, samples)
