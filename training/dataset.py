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
from training.inference_preprocessing import PLAINLY, UNSHIFTED, Hearing, Shift
from training.waveform_cache import HELD, own_bytes

RECORDING_DEVICE = "a"  # its clips are the plain recordings that an impulse response may colour
# Of evaluation spectrograms; above it they are computed anew each time.
MAX_KEPT_BYTES = 512_000_000
MAX_KEPT_SHARE = 0.1  # of the part of a GPU's memory that is a process's own
EVALUATION_BATCH = 64
EVALUATION_BATCH_ON_GPU = 256


@dataclass(frozen=True)
class Material:
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
    def hear(self) -> FrontEnd:
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

    def is_recorded(self, rows: np.ndarray) -> npt.NDArray[np.bool_]:
        """Describe which of the clips at `rows` are plain recordings."""
        if RECORDING_DEVICE not in self.scenes.devices:
            return np.zeros(len(rows), np.bool_)
        recorded: npt.NDArray[np.bool_] = self.scenes.device_index[rows] == self.scenes.devices.index(RECORDING_DEVICE)
        return recorded

    @cached_property
    def correction(self) -> SpectrumCorrection:
        """Gains that bring each device to the mean device, fitted on the training clips of the split.

        Raises:
            DataError: No two of these are one recording of several devices.
        """
        return fit_correction(self.scenes, self.store, self.front_end)

    def gains(self, correction: SpectrumCorrection, rows: np.ndarray, device: torch.device) -> Tensor:
        """Return the gain of each mel bin for the clips at `rows`, by their device: (B, F)."""
        of_devices = correction.of(self.scenes.devices)
        return send(of_devices[torch.from_numpy(self.scenes.device_index[rows])], device)

    def waveforms(self, rows: np.ndarray, device: torch.device) -> Tensor:
        """Read clips as floats in -1 to 1: (B, S)."""
        if device.type == "cuda":
            samples = HELD.get(self.store, self._heard, device, self.gpu_share).waveforms(rows)
        else:
            samples = torch.from_numpy(self.store.read_int16(rows)).to(device)
        return samples.to(torch.float32).mul_(1 / FULL_SCALE)

    @cached_property
    def _heard(self) -> np.ndarray:
        """Rows of all clips that are heard, those of every epoch's training first."""
        return np.concatenate([self.scenes.train, self.scenes.evaluate])

    @torch.inference_mode()
    def spectrograms(
        self, rows: np.ndarray, device: torch.device, hearing: Hearing = PLAINLY, shift: Shift = UNSHIFTED
    ) -> Tensor:
        """Turn the clips at `rows` into what a network hears of them when it is asked: (B, C, F, T)."""
        x = self.waveforms(rows, device)
        gains = None if hearing.correction is None else self.gains(hearing.correction, rows, device)
        return hearing.spectrograms(self.hear.to(device), x, gains, shift)

    @cached_property
    def _kept_evaluation(self) -> dict[tuple[torch.device, SpectrumCorrection | None], list[Tensor]]:
        return {}

    def _evaluation(self, device: torch.device, hearing: Hearing, shift: Shift) -> Iterable[Tensor]:
        """Return the evaluation clips as a network hears them, batch by batch; kept where they find room."""
        kept = self._kept_evaluation.get((device, hearing.correction))
        if kept is not None and not hearing.copies:
            return kept
        on_gpu = device.type == "cuda"
        size = EVALUATION_BATCH_ON_GPU if on_gpu else EVALUATION_BATCH
        room = MAX_KEPT_SHARE * own_bytes(device, self.gpu_share) if on_gpu else MAX_KEPT_BYTES
        batches = (self.spectrograms(rows, device, hearing, shift) for rows in batched(self.scenes.evaluate, size))
        num_bytes = 4 * len(self.scenes.evaluate) * math.prod(self.input_shape)
        if hearing.copies or num_bytes > room:
            return batches
        self._kept_evaluation.clear()  # those of another correction: there is room for one
        self._kept_evaluation[device, hearing.correction] = list(batches)
        return self._kept_evaluation[device, hearing.correction]

    @torch.inference_mode()
    def answers(self, network: torch.nn.Module, device: torch.device, hearing: Hearing = PLAINLY) -> Tensor:
        """Return the logarithms of the probabilities of the evaluation clips, (their number, K), on the CPU, in fp32.

        The network is left in eval mode.
        """
        network.eval()

        def answer(shift: Shift) -> Tensor:
            return torch.cat([network(x).float() for x in self._evaluation(device, hearing, shift)])

        return hearing.mean(self.front_end, answer).cpu()

    def evaluate(self, network: torch.nn.Module, device: torch.device, hearing: Hearing = PLAINLY) -> Quality:
        """Measure `network` on the evaluation clips, in fp32; it is left in eval mode."""
        return self.score(self.answers(network, device, hearing))

    def score(self, log_probabilities: Tensor) -> Quality:
        """Score the answers to all evaluation clips: (N, K), natural logarithms."""
        rows = self.scenes.evaluate
        return measure_quality(
            log_probabilities.cpu().numpy(),
            self.scenes.labels[rows],
            self.scenes.device_index[rows],
            classes=self.scenes.classes,
            device_names=self.scenes.devices,
            device_groups=self.scenes.device_groups,
        )


def load_material(
    scenes: Scenes,
    front_end: FrontEndConfig,
    responses: Path | None,
    cache: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
    gpu_share: float = 1.0,
) -> Material:
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
    return Material(scenes, open_store(scenes, front_end.rate_hz, cache, progress), front_end, loaded, gpu_share)


def batched(rows: np.ndarray, size: int) -> list[np.ndarray]:
    """Cut `rows` into batches of nearly equal length, as close to `size` as that allows; none is tiny."""
    return np.array_split(rows, max(1, round(len(rows) / size)))
