"""Data set of a training run: waveforms, front end, labels, teacher logits, and evaluation.

Shape letters: B batch, S samples, C channels, F mel bins, T frames, N clips, K classes.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from data.augmentation import ImpulseResponses
from data.device import send
from data.front_end import FrontEnd, FrontEndConfig
from data.layout import Indices, Scenes
from data.spectrum_correction import SpectrumCorrection, fit_correction
from data.store import Store, open_store
from objectives.quality import Quality, measure_quality
from training.inference_preprocessing import DEFAULT_PREPROCESSING, NO_SHIFT, InferencePreprocessing, Shift
from training.waveform_cache import SHARED_CACHE, memory_share_bytes, send_waveforms

REFERENCE_DEVICE = "a"  # the high-quality recorder of TAU Urban Acoustic Scenes; impulse responses apply to its clips
# Limit of cached evaluation spectrograms; larger sets are recomputed at each evaluation.
MAX_CACHED_BYTES = 512_000_000
MAX_CACHED_SHARE = 0.1  # of this process's part of the GPU memory
EVALUATION_BATCH = 64
EVALUATION_BATCH_ON_GPU = 256


@dataclass(frozen=True)
class SceneDataset:
    """Clips of one data set at one front end's sample rate, shared by all trials of a process.

    Attributes:
        scenes: Lists of the data set under one split.
        store: The decoded waveforms of the clips that the split uses, or of more.
        front_end: Config of the log-mel front end.
        responses: Impulse responses for augmentation, or None.
        gpu_share: This process's part of the GPU memory, 0 to 1.
        teacher: Teacher logits of the training clips, in the order of `scenes.train`, (N, K); or None.
    """

    scenes: Scenes
    store: Store
    front_end: FrontEndConfig
    responses: ImpulseResponses | None
    gpu_share: float = 1.0
    teacher: Tensor | None = None

    @cached_property
    def front_end_module(self) -> FrontEnd:
        """The front end as a module, on the device that used it last."""
        return FrontEnd(self.front_end).eval()

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Shape of one clip's input to the network: (C, F, T)."""
        return self.front_end.shape()

    @property
    def num_responses(self) -> int:
        """Number of impulse responses."""
        return 0 if self.responses is None else len(self.responses.names)

    def is_from_reference_device(self, indices: Indices) -> npt.NDArray[np.bool_]:
        """Return a mask of the clips at `indices` that the reference device recorded: (B,)."""
        if REFERENCE_DEVICE not in self.scenes.devices:
            return np.zeros(len(indices), np.bool_)
        mask: npt.NDArray[np.bool_] = self.scenes.device_index[indices] == self.scenes.devices.index(REFERENCE_DEVICE)
        return mask

    @cached_property
    def correction(self) -> SpectrumCorrection:
        """Spectrum correction, fitted on the training clips of the split.

        Raises:
            DataError: No two of these are aligned recordings of different devices.
        """
        return fit_correction(self.scenes, self.store, self.front_end)

    def gains(self, correction: SpectrumCorrection, indices: Indices, device: torch.device) -> Tensor:
        """Return the correction's gain of each mel bin for the clips at `indices`, by their device: (B, F)."""
        of_devices = correction.of(self.scenes.devices)
        return send(of_devices[torch.from_numpy(self.scenes.device_index[indices])], device)

    def waveforms(self, indices: Indices, device: torch.device) -> Tensor:
        """Return the waveforms of the clips at `indices`: (B, S) float32, full scale at 1."""
        if device.type == "cuda":
            return SHARED_CACHE.get(self.store, self._used, device, self.gpu_share).waveforms(indices)
        return send_waveforms(self.store.read_stored(indices), device)

    @cached_property
    def _used(self) -> Indices:
        """Indices of all clips that are read: those of every training epoch first."""
        return np.concatenate([self.scenes.train, self.scenes.evaluate])

    @torch.inference_mode()
    def spectrograms(
        self,
        indices: Indices,
        device: torch.device,
        preprocessing: InferencePreprocessing = DEFAULT_PREPROCESSING,
        shift: Shift = NO_SHIFT,
    ) -> Tensor:
        """Return the inputs of a network at inference for the clips at `indices`: (B, C, F, T)."""
        x = self.waveforms(indices, device)
        gains = None if preprocessing.correction is None else self.gains(preprocessing.correction, indices, device)
        return preprocessing.spectrograms(self.front_end_module.to(device), x, gains, shift)

    @cached_property
    def _cached_evaluation(self) -> dict[tuple[torch.device, SpectrumCorrection | None], list[Tensor]]:
        return {}

    def _evaluation_batches(
        self, device: torch.device, preprocessing: InferencePreprocessing, shift: Shift
    ) -> Iterable[Tensor]:
        """Return the evaluation clips as batches of network inputs; cached where they fit."""
        cached = self._cached_evaluation.get((device, preprocessing.correction))
        if cached is not None and not preprocessing.copies:
            return cached
        on_gpu = device.type == "cuda"
        size = EVALUATION_BATCH_ON_GPU if on_gpu else EVALUATION_BATCH
        room = MAX_CACHED_SHARE * memory_share_bytes(device, self.gpu_share) if on_gpu else MAX_CACHED_BYTES
        batches = (
            self.spectrograms(indices, device, preprocessing, shift)
            for indices in split_batches(self.scenes.evaluate, size)
        )
        num_bytes = 4 * len(self.scenes.evaluate) * math.prod(self.input_shape)
        if preprocessing.copies or num_bytes > room:
            return batches
        self._cached_evaluation.clear()  # room for one correction's spectrograms
        self._cached_evaluation[device, preprocessing.correction] = list(batches)
        return self._cached_evaluation[device, preprocessing.correction]

    @torch.inference_mode()
    def log_probabilities(
        self,
        network: torch.nn.Module,
        device: torch.device,
        preprocessing: InferencePreprocessing = DEFAULT_PREPROCESSING,
    ) -> Tensor:
        """Return a network's log probabilities of the evaluation clips: (N, K) float32 on the CPU.

        The network is left in eval mode.
        """
        network.eval()

        def logits(shift: Shift) -> Tensor:
            return torch.cat([network(x).float() for x in self._evaluation_batches(device, preprocessing, shift)])

        return preprocessing.mean_log_probabilities(self.front_end, logits).cpu()

    def evaluate(
        self,
        network: torch.nn.Module,
        device: torch.device,
        preprocessing: InferencePreprocessing = DEFAULT_PREPROCESSING,
    ) -> Quality:
        """Return the metrics of `network` on the evaluation clips, in fp32; it is left in eval mode."""
        return self.score(self.log_probabilities(network, device, preprocessing))

    def score(self, log_probabilities: Tensor) -> Quality:
        """Return the metrics of log probabilities of all evaluation clips: (N, K), natural logarithms."""
        indices = self.scenes.evaluate
        return measure_quality(
            log_probabilities.cpu().numpy(),
            self.scenes.labels[indices],
            self.scenes.device_index[indices],
            self.scenes.clips["identifier"].to_numpy()[indices],
            classes=self.scenes.classes,
            device_names=self.scenes.devices,
            device_groups=self.scenes.device_groups,
        )


def load_dataset(
    scenes: Scenes,
    front_end: FrontEndConfig,
    responses: Path | None,
    cache: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
    gpu_share: float = 1.0,
) -> SceneDataset:
    """Open the store of `scenes`, decoding the clips if there is none yet, and read the impulse responses.

    Args:
        cache: Folder for the decoded waveforms; None: beside the data.
        gpu_share: This process's part of the GPU memory, 0 to 1.

    Raises:
        DataError: Clips or impulse responses cannot be read.
    """
    loaded = None if responses is None else ImpulseResponses.load(responses, front_end.rate_hz)
    return SceneDataset(scenes, open_store(scenes, front_end.rate_hz, cache, progress), front_end, loaded, gpu_share)


def split_batches(indices: Indices, size: int) -> list[Indices]:
    """Split `indices` into batches of nearly equal length, as close to `size` as that allows; none is tiny."""
    return np.array_split(indices, max(1, round(len(indices) / size)))
