"""What a training run hears: clips as waveforms on the way in, log-mel batches on the way out.

Shape letters: B batch, S samples, C channels, F mel bins, T frames.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from data.augmentation import ImpulseResponses, mask_frequency, mix_style, roll
from data.device import send
from data.front_end import FrontEnd, FrontEndConfig
from data.layout import DataError, Scenes
from data.store import FULL_SCALE, Store, open_store
from objectives.quality import Quality, measure_quality
from training.recipe import Recipe
from training.residence import HELD, own_bytes

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
    """

    scenes: Scenes
    store: Store
    front_end: FrontEndConfig
    responses: ImpulseResponses | None
    gpu_share: float = 1.0

    @cached_property
    def hear(self) -> FrontEnd:
        """The front end itself, on the device that used it last."""
        return FrontEnd(self.front_end).eval()

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Of one clip: (C, F, T)."""
        return self.front_end.shape()

    def require(self, recipe: Recipe) -> None:
        """Refuse a recipe that this material cannot serve.

        Raises:
            DataError: Impulse responses are asked for, and there are none or no clips they could colour.
        """
        if recipe.impulse_response_p > 0:
            if self.responses is None:
                raise DataError(
                    f"impulse_response_p is {recipe.impulse_response_p}, but there is no folder of impulse responses; "
                    "name one, or set impulse_response_p to 0"
                )
            if RECORDING_DEVICE not in self.scenes.devices:
                raise DataError(
                    f"impulse responses colour the clips of device {RECORDING_DEVICE}, and {self.scenes.root} has none "
                    f"(its devices: {', '.join(self.scenes.devices)}); set impulse_response_p to 0"
                )
        if recipe.mask_bins > self.front_end.mel_bins:
            raise DataError(f"mask_bins is {recipe.mask_bins}, but there are {self.front_end.mel_bins} mel bins")

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

    def training_batch(self, rows: np.ndarray, recipe: Recipe, device: torch.device) -> tuple[Tensor, Tensor]:
        """Augment the clips at `rows` as the recipe says; the random numbers are torch's global ones.

        Returns:
            What the network hears (B, C, F, T) and the clips' classes (B,).
        """

        def augment(log_mel: Tensor) -> Tensor:
            if recipe.mask_bins > 0:
                log_mel = mask_frequency(log_mel, recipe.mask_bins)
            if recipe.mix_style_p > 0:
                log_mel = mix_style(log_mel, recipe.mix_style_p, recipe.mix_style_alpha)
            return log_mel

        x = self.waveforms(rows, device)
        if recipe.roll_s > 0:
            x = roll(x, recipe.roll_s, self.front_end.rate_hz)
        if recipe.impulse_response_p > 0 and self.responses is not None:
            recorded = self.scenes.device_index[rows] == self.scenes.devices.index(RECORDING_DEVICE)
            x = self.responses.apply(x, torch.from_numpy(recorded), recipe.impulse_response_p)
        x = self.hear.to(device)(x, augment)
        return x, send(torch.from_numpy(self.scenes.labels[rows]), device)

    @torch.inference_mode()
    def spectrograms(self, rows: np.ndarray, device: torch.device) -> Tensor:
        """Turn the clips at `rows` into what a network hears of them as they are: (B, C, F, T)."""
        spectrograms: Tensor = self.hear.to(device)(self.waveforms(rows, device))
        return spectrograms

    @cached_property
    def _kept_evaluation(self) -> dict[torch.device, list[Tensor]]:
        return {}

    def _evaluation(self, device: torch.device) -> Iterable[Tensor]:
        """Give the evaluation clips as a network hears them, batch by batch; kept where they find room."""
        if device not in self._kept_evaluation:
            on_gpu = device.type == "cuda"
            size = EVALUATION_BATCH_ON_GPU if on_gpu else EVALUATION_BATCH
            room = MAX_KEPT_SHARE * own_bytes(device, self.gpu_share) if on_gpu else MAX_KEPT_BYTES
            batches = (self.spectrograms(rows, device) for rows in batched(self.scenes.evaluate, size))
            num_bytes = 4 * len(self.scenes.evaluate) * math.prod(self.input_shape)
            if num_bytes > room:
                return batches
            self._kept_evaluation[device] = list(batches)
        return self._kept_evaluation[device]

    @torch.inference_mode()
    def evaluate(self, network: torch.nn.Module, device: torch.device) -> Quality:
        """Measure `network` on the evaluation clips, in fp32; it is left in eval mode."""
        network.eval()
        outputs = [network(x).log_softmax(dim=1).float() for x in self._evaluation(device)]
        rows = self.scenes.evaluate
        return measure_quality(
            torch.cat(outputs).cpu().numpy(),
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
