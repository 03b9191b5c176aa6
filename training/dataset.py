"""What a training run hears: clips as waveforms on the way in, log-mel batches on the way out.

Shape letters: B batch, S samples, C channels, F mel bins, T frames.
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
from data.layout import Scenes
from data.spectrum_correction import SpectrumCorrection, fit_correction
from data.store import FULL_SCALE, Store, open_store
from objectives.quality import Quality, measure_quality
from training.inference_preprocessing import DEFAULT_PREPROCESSING, NO_SHIFT, InferencePreprocessing, Shift
from training.waveform_cache import SHARED_CACHE, memory_share_bytes

REFERENCE_DEVICE = "a"  # its clips are the plain recordings that an impulse response may colour
# Of evaluation spectrograms; above it they are computed anew each time.
MAX_KEPT_BYTES = 512_000_000
MAX_KEPT_SHARE = 0.1  # of the part of a GPU's memory that is a process's own
EVALUATION_BATCH = 64
EVALUATION_BATCH_ON_GPU = 256


@dataclass(frozen=True)
class SceneDataset:
    """Clips of one data set at one front end's rate, shared by all trials of a process.

    Attributes:
        scenes: The data set and its split.
        store: The waveforms of the clips that its split uses, or of more.
        front_end: From waveform to log-mel.
        responses: Impulse responses for augmentation, or None.
        gpu_share: Of a GPU's memory, what is this process's own.
        teacher: Logits that a teacher gives to each training clip, in the order of `scenes.train`, (N, K); or None.
    """

    scenes: Scenes
    store: Store
    front_end: FrontEndConfig
    responses: ImpulseResponses | None
    gpu_share: float = 1.0
    teacher: Tensor | None = None

    @cached_property
    def front_end_module(self) -> FrontEnd:
        """The front end itself, on the device that used it last."""
        return FrontEnd(self.front_end).eval()

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Of one clip: (C, F, T)."""
        return self.front_end.shape()

    @property
    def num_responses(self) -> int:
        """How many impulse responses there are."""
        return 0 if self.responses is None else len(self.responses.names)

    def is_from_reference_device(self, indices: np.ndarray) -> npt.NDArray[np.bool_]:
        """Describe which of the clips at `indices` are plain recordings."""
        if REFERENCE_DEVICE not in self.scenes.devices:
            return np.zeros(len(indices), np.bool_)
        recorded: npt.NDArray[np.bool_] = self.scenes.device_index[indices] == self.scenes.devices.index(
            REFERENCE_DEVICE
        )
        return recorded

    @cached_property
    def correction(self) -> SpectrumCorrection:
        """Gains that bring each device to the mean device, fitted on the training clips of the split.

        Raises:
            DataError: No two of these are one recording of several devices.
        """
        return fit_correction(self.scenes, self.store, self.front_end)

    def gains(self, correction: SpectrumCorrection, indices: np.ndarray, device: torch.device) -> Tensor:
        """Return the gain of each mel bin for the clips at `indices`, by their device: (B, F)."""
        of_devices = correction.of(self.scenes.devices)
        return send(of_devices[torch.from_numpy(self.scenes.device_index[indices])], device)

    def waveforms(self, indices: np.ndarray, device: torch.device) -> Tensor:
        """Read clips as floats in -1 to 1: (B, S)."""
        if device.type == "cuda":
            samples = SHARED_CACHE.get(self.store, self._heard, device, self.gpu_share).waveforms(indices)
        else:
            samples = torch.from_numpy(self.store.read_int16(indices)).to(device)
        return samples.to(torch.float32).mul_(1 / FULL_SCALE)

    @cached_property
    def _heard(self) -> np.ndarray:
        """Rows of all clips that are heard, those of every epoch's training first."""
        return np.concatenate([self.scenes.train, self.scenes.evaluate])

    @torch.inference_mode()
    def spectrograms(
        self,
        indices: np.ndarray,
        device: torch.device,
        preprocessing: InferencePreprocessing = DEFAULT_PREPROCESSING,
        shift: Shift = NO_SHIFT,
    ) -> Tensor:
        """Turn the clips at `indices` into what a network hears of them when it is asked: (B, C, F, T)."""
        x = self.waveforms(indices, device)
        gains = None if preprocessing.correction is None else self.gains(preprocessing.correction, indices, device)
        return preprocessing.spectrograms(self.front_end_module.to(device), x, gains, shift)

    @cached_property
    def _kept_evaluation(self) -> dict[tuple[torch.device, SpectrumCorrection | None], list[Tensor]]:
        return {}

    def _evaluation(
        self, device: torch.device, preprocessing: InferencePreprocessing, shift: Shift
    ) -> Iterable[Tensor]:
        """Return the evaluation clips as a network hears them, batch by batch; kept where they find room."""
        kept = self._kept_evaluation.get((device, preprocessing.correction))
        if kept is not None and not preprocessing.copies:
            return kept
        on_gpu = device.type == "cuda"
        size = EVALUATION_BATCH_ON_GPU if on_gpu else EVALUATION_BATCH
        room = MAX_KEPT_SHARE * memory_share_bytes(device, self.gpu_share) if on_gpu else MAX_KEPT_BYTES
        batches = (
            self.spectrograms(indices, device, preprocessing, shift)
            for indices in split_batches(self.scenes.evaluate, size)
        )
        num_bytes = 4 * len(self.scenes.evaluate) * math.prod(self.input_shape)
        if preprocessing.copies or num_bytes > room:
            return batches
        self._kept_evaluation.clear()  # those of another correction: there is room for one
        self._kept_evaluation[device, preprocessing.correction] = list(batches)
        return self._kept_evaluation[device, preprocessing.correction]

    @torch.inference_mode()
    def log_probabilities(
        self,
        network: torch.nn.Module,
        device: torch.device,
        preprocessing: InferencePreprocessing = DEFAULT_PREPROCESSING,
    ) -> Tensor:
        """Return the logarithms of the probabilities of the evaluation clips, (their number, K), on the CPU, in fp32.

        The network is left in eval mode.
        """
        network.eval()

        def answer(shift: Shift) -> Tensor:
            return torch.cat([network(x).float() for x in self._evaluation(device, preprocessing, shift)])

        return preprocessing.mean(self.front_end, answer).cpu()

    def evaluate(
        self,
        network: torch.nn.Module,
        device: torch.device,
        preprocessing: InferencePreprocessing = DEFAULT_PREPROCESSING,
    ) -> Quality:
        """Measure `network` on the evaluation clips, in fp32; it is left in eval mode."""
        return self.score(self.log_probabilities(network, device, preprocessing))

    def score(self, log_probabilities: Tensor) -> Quality:
        """Score the answers to all evaluation clips: (N, K), natural logarithms."""
        indices = self.scenes.evaluate
        return measure_quality(
            log_probabilities.cpu().numpy(),
            self.scenes.labels[indices],
            self.scenes.device_index[indices],
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
    """Open the store of `scenes` (decoding the sound if nobody has yet) and read the impulse responses.

    Args:
        scenes: The data set.
        front_end: From waveform to log-mel.
        responses: Folder of impulse responses, or None.
        cache: Folder of the decoded sound; None: beside the data.
        progress: Told how many clips are decoded, and of how many.
        gpu_share: Of a GPU's memory, what is this process's own.

    Raises:
        DataError: Sound or impulse responses cannot be read.
    """
    loaded = None if responses is None else ImpulseResponses.load(responses, front_end.rate_hz)
    return SceneDataset(scenes, open_store(scenes, front_end.rate_hz, cache, progress), front_end, loaded, gpu_share)


def split_batches(indices: np.ndarray, size: int) -> list[np.ndarray]:
    """Cut `indices` into batches of nearly equal length, as close to `size` as that allows; none is tiny."""
    return np.array_split(indices, max(1, round(len(indices) / size)))
