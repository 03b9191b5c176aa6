"""The training data pipeline: augmentation, front end, soft labels and mixup, one batch at a time.

Shape letters: B batch, S samples, C channels, F mel bins, T frames, K classes, D devices, N clips of the data set,
M simulated clips.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from data.augmentation import (
    draw_share,
    mask_frequency,
    mask_time,
    mix_style,
    mixed,
    mixture_mask,
    pitch_shift,
    roll,
    shift_time,
    warp_time,
)
from data.device import send
from data.errors import DataError
from data.front_end import draw_top
from data.layout import Indices
from training.dataset import REFERENCE_DEVICE, SceneDataset
from training.distillation import teacher_probabilities
from training.inference_preprocessing import InferencePreprocessing
from training.recipe import Recipe


class Batch(NamedTuple):
    """Inputs and targets of one training step.

    Attributes:
        x: Augmented spectrograms, the network's input, (B, C, F, T).
        targets: Class probabilities, (B, K): one-hot, or mixed by mixup.
        devices: Device probabilities, (B, D): one-hot, or mixed by mixup.
        teacher: The teacher's probabilities at the recipe's temperature, (B, K); None without distillation.
    """

    x: Tensor
    targets: Tensor
    devices: Tensor
    teacher: Tensor | None


@dataclass(frozen=True)
class SimulatedClips:
    """Clips of simulated devices: clips of device a, each convolved with one impulse response for the whole run.

    Source: Cai et al., technical report for DCASE 2023 task 1, section 2.3.

    Attributes:
        indices: Indices of the clips of device a, (M,).
        responses: Index of each one's impulse response, (M,).
        devices: Index of each one's device, counted on from those of the data set, (M,).
    """

    indices: Indices
    responses: Indices
    devices: Indices


def simulate(dataset: SceneDataset, recipe: Recipe) -> SimulatedClips:
    """Draw impulse responses and, for each, clips of device a without replacement; both from the recipe's seed."""
    scenes = dataset.scenes
    num_devices, num_clips = recipe.simulated_devices, recipe.simulated_clips
    recorded = scenes.train[dataset.is_from_reference_device(scenes.train)]
    rng = np.random.default_rng(recipe.seed)
    responses = rng.permutation(dataset.num_responses)[:num_devices]
    indices = [rng.choice(recorded, min(num_clips, len(recorded)), replace=False) for _ in range(num_devices)]
    sizes = [len(some) for some in indices]
    return SimulatedClips(
        np.concatenate([np.empty(0, np.int64), *indices]),
        np.repeat(responses, sizes),
        np.repeat(np.arange(num_devices) + len(scenes.devices), sizes),
    )


class TrainingPipeline:
    """Makes a recipe's augmented batches; random numbers come from torch's global generator.

    Attributes:
        indices: Indices of the training clips: those of the data set, then, from N on, the simulated clips.
        num_devices: Number of devices, simulated ones included.
    """

    def __init__(self, dataset: SceneDataset, recipe: Recipe, device: torch.device) -> None:
        """Check that the data set can serve the recipe.

        Raises:
            DataError: As `require_compatible`.
        """
        require_compatible(dataset, recipe)
        self.dataset, self.recipe, self.device = dataset, recipe, device
        self.simulated = simulate(dataset, recipe)
        num_clips = len(dataset.scenes.clips)
        self.indices = np.concatenate([dataset.scenes.train, num_clips + np.arange(len(self.simulated.indices))])
        self.num_devices = len(dataset.scenes.devices) + recipe.simulated_devices
        self.correction = dataset.correction if recipe.spectrum_correction else None
        self._teacher = None
        if recipe.distill_weight > 0 and dataset.teacher is not None:
            self._teacher = teacher_probabilities(dataset.teacher, recipe.distill_temperature)
            self._teacher_row = np.full(num_clips, -1)
            self._teacher_row[dataset.scenes.train] = np.arange(len(dataset.scenes.train))

    def batch(self, indices: Indices, mixup_indices: Indices | None = None) -> Batch:
        """Return a batch of the clips at `indices`, augmented and mixed.

        Args:
            mixup_indices: Indices of a second batch of the same size for mixup; None: mixup within the batch.
        """
        own = self._augmented(indices)
        if self.recipe.mixup_alpha == 0:
            return own
        share = draw_share(self.recipe.mixup_alpha)
        if mixup_indices is None:
            order = send(torch.randperm(len(indices)), self.device)
            other = Batch(*(None if part is None else part[order] for part in own))  # type: ignore[arg-type]
        else:
            other = self._augmented(mixup_indices)
        teacher = None if own.teacher is None or other.teacher is None else mixed(share, own.teacher, other.teacher)
        return Batch(
            mixed(share, own.x, other.x),
            mixed(share, own.targets, other.targets),
            mixed(share, own.devices, other.devices),
            teacher,
        )

    def _augmented(self, indices: Indices) -> Batch:
        """Return the clips at `indices`, augmented but not yet mixed."""
        scenes, recipe = self.dataset.scenes, self.recipe
        is_simulated = indices >= len(scenes.clips)
        simulated = np.maximum(indices - len(scenes.clips), 0)
        clips, responses = indices, np.full(len(indices), -1)
        devices = scenes.device_index[np.where(is_simulated, 0, indices)]
        if is_simulated.any():
            clips = np.where(is_simulated, self.simulated.indices[simulated], indices)
            responses = np.where(is_simulated, self.simulated.responses[simulated], -1)
            devices = np.where(is_simulated, self.simulated.devices[simulated], devices)
        x = self.dataset.waveforms(clips, self.device)
        if recipe.simulated_devices and self.dataset.responses is not None:
            x = self.dataset.responses.through(x, torch.from_numpy(responses))
        x = self._augment_waveforms(x, clips, is_simulated)
        gains = None if self.correction is None else self.dataset.gains(self.correction, clips, self.device)
        top_hz = draw_top(recipe.mel_top_drop, self.dataset.front_end.rate_hz) if recipe.mel_top_drop else None
        x = self.dataset.front_end_module.to(self.device)(x, self._augment_log_mel, gains, top_hz)
        teacher = None
        if self._teacher is not None:
            teacher = send(self._teacher[torch.from_numpy(self._teacher_row[clips])], self.device)
        return Batch(
            x,
            self._one_hot(scenes.labels[clips], len(scenes.classes)),
            self._one_hot(devices, self.num_devices),
            teacher,
        )

    def _augment_waveforms(self, x: Tensor, clips: Indices, is_simulated: npt.NDArray[np.bool_]) -> Tensor:
        """Augment the waveforms (B, S) of `clips`."""
        recipe, dataset = self.recipe, self.dataset
        if recipe.roll_s > 0:
            x = roll(x, recipe.roll_s, dataset.front_end.rate_hz)
        if recipe.pitch_semitones > 0:
            x = pitch_shift(x, recipe.pitch_semitones)
        if recipe.impulse_response_p > 0 and dataset.responses is not None:
            recorded = dataset.is_from_reference_device(clips) & ~is_simulated
            x = dataset.responses.apply(x, torch.from_numpy(recorded), recipe.impulse_response_p)
        return x

    def _augment_log_mel(self, x: Tensor) -> Tensor:
        """Augment log-mel spectrograms (B, 1, F, T)."""
        recipe = self.recipe
        if recipe.warp_frames > 0:
            x = warp_time(x, recipe.warp_frames)
        if recipe.shift_frames > 0:
            x = shift_time(x, recipe.shift_frames)
        if recipe.mask_bins > 0:
            x = mask_frequency(x, recipe.mask_bins)
        if recipe.mask_frames > 0:
            x = mask_time(x, recipe.mask_frames)
        if recipe.mix_style_p > 0:
            x = mix_style(x, recipe.mix_style_p, recipe.mix_style_alpha)
        if recipe.mixture_mask_share > 0 and float(torch.rand(())) < recipe.mixture_mask_p:
            x = mixture_mask(x, recipe.mixture_mask_share)
        return x

    def _one_hot(self, labels: Indices, num_classes: int) -> Tensor:
        """Return one-hot rows (B, num_classes) on the device."""
        rows = torch.zeros(len(labels), num_classes)
        rows[torch.arange(len(labels)), torch.from_numpy(labels)] = 1.0
        return send(rows, self.device)


def require_compatible(dataset: SceneDataset, recipe: Recipe) -> None:
    """Refuse a data set that lacks what the recipe's methods need.

    Raises:
        DataError: Lists everything that is missing.
    """
    problems: list[str] = []
    _check_responses(dataset, recipe, problems)
    _check_devices(dataset, recipe, problems)
    _, bins, frames = dataset.input_shape
    for name, limit, unit in (("mask_bins", bins, "mel bins"), ("mask_frames", frames, "frames")):
        if getattr(recipe, name) > limit:
            problems.append(f"{name} is {getattr(recipe, name)}, but there are {limit} {unit}")
    farthest = max(0, (frames - 3) // 2)
    if recipe.warp_frames > farthest:
        problems.append(
            f"warp_frames is {recipe.warp_frames}, but of {frames} frames none can move further than {farthest} to "
            "either side"
        )
    if recipe.test_copies and len(set(InferencePreprocessing.of(recipe, None).shifts(dataset.front_end))) == 1:
        problems.append(
            f"test_copies is {recipe.test_copies}, but roll_s {recipe.roll_s} and shift_frames {recipe.shift_frames} "
            "shift no copy otherwise than the others; raise one of the two"
        )
    if recipe.distill_weight > 0 and dataset.teacher is None:
        problems.append(
            f"distill_weight is {recipe.distill_weight}, but there is no teacher; name a trained export, or set "
            "distill_weight to 0"
        )
    if problems:
        raise DataError("; ".join(problems))
    if recipe.spectrum_correction:
        _ = dataset.correction  # fits it, or raises


def _check_responses(dataset: SceneDataset, recipe: Recipe, problems: list[str]) -> None:
    root = dataset.scenes.root
    for name in ("impulse_response_p", "simulated_devices"):
        value = getattr(recipe, name)
        if not value:
            continue
        if dataset.responses is None:
            problems.append(
                f"{name} is {value}, but there is no folder of impulse responses; name one, or set {name} to 0"
            )
        elif not dataset.is_from_reference_device(dataset.scenes.train).any():
            problems.append(
                f"impulse responses colour the clips of device {REFERENCE_DEVICE}, and {root} has none to train on "
                f"(its devices: {', '.join(dataset.scenes.devices)}); set {name} to 0"
            )
    if dataset.responses is not None and recipe.simulated_devices > dataset.num_responses:
        problems.append(
            f"simulated_devices is {recipe.simulated_devices}, but there are {dataset.num_responses} impulse responses"
        )


def _check_devices(dataset: SceneDataset, recipe: Recipe, problems: list[str]) -> None:
    scenes = dataset.scenes
    names = [scenes.devices[number] for number in np.unique(scenes.device_index[scenes.train])]
    if recipe.simulated_devices and REFERENCE_DEVICE in names:
        names.append("simulated")
    for name in ("adversarial_weight", "critic_weight", "cross_gradient_share"):
        if not getattr(recipe, name):
            continue
        if len(names) < 2:
            problems.append(
                f"{name} is {getattr(recipe, name)}, but all training clips are of device {names[0]}; devices cannot "
                f"be told apart: set {name} to 0"
            )
        elif name == "critic_weight" and REFERENCE_DEVICE not in names:
            problems.append(
                f"{name} is {recipe.critic_weight}, but the critic tells device {REFERENCE_DEVICE} from the rest, and "
                f"the training clips are of {', '.join(names)}; set {name} to 0"
            )
