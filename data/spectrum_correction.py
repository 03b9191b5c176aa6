"""Spectrum correction: gains for each device and mel bin that map its mean spectrum to the mean device's.

Source: Cao et al., DCASE 2022, section 2.2, after Nguyen et al., ICASSP 2020. The report does not say which spectrum is
corrected; here it is the mel energy of the front end.

Aligned recordings are clips of several devices whose file names differ in the device alone: they are
segments of simultaneous recordings.

Shape letters: D devices, F mel bins.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
import torch
from torch import Tensor

from data.errors import DataError
from data.front_end import ENERGY_FLOOR, FrontEndConfig, LogMel
from data.layout import Indices, Scenes
from data.store import Store

CLIPS_AT_A_TIME = 64


@dataclass(frozen=True, eq=False)
class SpectrumCorrection:
    """A gain for each device and mel bin.

    Attributes:
        gains: (D, F) float32, factors on the mel energy; 1 for a device without aligned training clips.
        devices: Name of each, in the order of `Scenes.devices`.
        num_pairs: Aligned training clips of each device, over which its gains are the mean.
    """

    gains: Tensor
    devices: tuple[str, ...]
    num_pairs: tuple[int, ...]

    def of(self, devices: Sequence[str]) -> Tensor:
        """Return the gains of devices by name, also of another data set: (their number, F); 1 where unknown."""
        gains = torch.ones(len(devices), self.gains.shape[1])
        for row, device in enumerate(devices):
            if device in self.devices:
                gains[row] = self.gains[self.devices.index(device)]
        return gains


def fit_correction(scenes: Scenes, store: Store, front_end_config: FrontEndConfig) -> SpectrumCorrection:
    """Fit gains on the aligned recordings of the training split.

    A clip's spectrum is the mean over its frames of its mel energy, plus `ENERGY_FLOOR`, the front end's
    floor. A recording's reference is the mean spectrum of its devices' clips. A device's gain in a
    bin is the mean over its aligned clips of the reference's energy over the clip's own.

    Raises:
        DataError: No training clip has an aligned one.
        ValueError: The store has another sample rate than the front end.
    """
    if store.rate_hz != front_end_config.rate_hz:
        raise ValueError(f"store has {store.rate_hz:,} Hz, but the front end takes {front_end_config.rate_hz:,} Hz")
    rows, recordings = _aligned(scenes)
    if not len(rows):
        raise DataError(
            f"{scenes.root}: spectrum correction is fitted on aligned recordings (training clips of several devices "
            f"whose file names differ in the device alone), and none of the {len(scenes.train):,} training clips of "
            f"split {scenes.split} has one; set spectrum_correction to False"
        )
    spectra = _spectra(rows, store, front_end_config)
    of_recording = torch.from_numpy(recordings)
    num_clips = torch.bincount(of_recording)
    reference = torch.zeros(len(num_clips), spectra.shape[1], dtype=spectra.dtype)
    reference.index_add_(0, of_recording, spectra).div_(num_clips[:, None])
    of_device = torch.from_numpy(scenes.device_index[rows])
    num_pairs = torch.bincount(of_device, minlength=len(scenes.devices))
    gains = torch.zeros(len(scenes.devices), spectra.shape[1], dtype=spectra.dtype)
    gains.index_add_(0, of_device, reference[of_recording] / spectra).div_(num_pairs.clamp(min=1)[:, None])
    gains[num_pairs == 0] = 1
    return SpectrumCorrection(gains.float(), scenes.devices, tuple(num_pairs.tolist()))


def _aligned(scenes: Scenes) -> tuple[Indices, Indices]:
    """Find the training clips that have an aligned one: their rows, and the number of the recording of each."""
    names = scenes.clips["filename"]
    recordings: dict[str, list[int]] = {}
    for row in scenes.train.tolist():
        path = PurePosixPath(names.iloc[row])
        recording = path.stem.removesuffix(f"-{scenes.devices[scenes.device_index[row]]}")
        if recording != path.stem:
            recordings.setdefault(str(path.with_stem(recording)), []).append(row)
    shared = [rows for rows in recordings.values() if len(rows) > 1]
    numbers = np.repeat(np.arange(len(shared), dtype=np.int64), [len(rows) for rows in shared])
    return np.array([row for rows in shared for row in rows], np.int64), numbers


def _spectra(rows: Indices, store: Store, config: FrontEndConfig) -> Tensor:
    """Return each clip's mean mel energy, plus the floor: (clips, F) float64."""
    log_mel = LogMel(config)
    parts = np.array_split(rows, -(-len(rows) // CLIPS_AT_A_TIME))
    energies = [log_mel.mel_energy(torch.from_numpy(store.read(part))).double().mean(dim=1) for part in parts]
    return torch.cat(energies) + ENERGY_FLOOR
