"""What runs in a Ray actor: one trial after the other, an epoch a step."""

import json
import platform
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from ray import tune
from torch import Tensor

from data.front_end import FRONT_ENDS
from data.layout import Scenes, read_for_search
from objectives.measure import UncountedOperatorError, layer_costs
from objectives.quality import figures
from search.config.errors import USER_ERRORS
from search.config.trial_config import TrialConfig
from search.engine.checkpoints import Checkpoints
from search.engine.teachers import mean_logits, with_teacher_logits
from search.space.custom_architecture import use_architecture_file
from training.allocator import keep_freed_memory
from training.checkpoint import CheckpointError
from training.compute_mode import ComputeMode
from training.dataset import SceneDataset, load_dataset
from training.latency import measure_latency
from training.loop import EpochResult, NonFiniteLossError, TrainingRun, default_device

# Folder and split of the data, share of the training clips that is held out, and devices that only those are of.
Clips = tuple[str, str, float, tuple[str, ...]]
PACKAGES = ("scenefront", "numpy", "optuna", "ray", "torch", "torchaudio")


class TrialActor(tune.Trainable):
    """Trains the trial that its config describes, from its checkpoint if it has one.

    The checkpoint is ours, in the study's folder, not Ray's: Ray's own state is scratch.
    """

    def setup(self, config: dict[str, Any]) -> None:
        """Begin a trial, or take it up again."""
        keep_freed_memory()
        torch.set_num_threads(config["threads"])
        trial, dataset = open_trial(config)
        self.checkpoints = Checkpoints.from_dict(config["checkpoints"])
        self.place = config["number"], config["epochs_before"]  # of the checkpoint
        compute_mode = ComputeMode(**config["compute_mode"])
        vars(self).pop("run", None)  # the trial before, whose memory this one may need
        self.failure = ""
        self.split, self.before, self.latency_ms = config["split"], config["epochs_before"], config["latency_ms"]
        try:
            if config["times_latency"] and self.latency_ms is None:
                self.latency_ms = measure_latency(trial.build(), trial.input_shape)
            self.run = TrainingRun(trial.build, trial.recipe, dataset, default_device(), compute_mode)
            found = self.checkpoints.fetch(*self.place)
            if found is not None:
                try:
                    self.run.load(found)
                except CheckpointError:
                    self.checkpoints.discard(*self.place)  # unusable: the trial starts again
                    self.run = TrainingRun(trial.build, trial.recipe, dataset, default_device(), compute_mode)
            # the last epoch got lost on its way to the study, which may want no more than that
            self.tells_first = self.before + self.run.epoch > config["epochs_recorded"]
        except USER_ERRORS as error:  # what the data or the network cannot serve
            self.failure = str(error)
        self.num_reported = 0
        self.layers = [] if config["epochs_recorded"] else _layers(trial)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Begin another trial in the same process."""
        self.setup(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Train an epoch, unless the study does not know of the last; one that is over gives its last result again."""
        if self.failure:
            return {"epochs": "[]", "failure": self.failure, "done": True}
        if not (self.run.is_over or self.tells_first):
            try:
                self.run.run_epoch()
            except NonFiniteLossError as error:
                return {"epochs": "[]", "failure": str(error), "done": True}
            self.run.save(self.checkpoints.path(*self.place))
            self.checkpoints.push(*self.place)
        self.tells_first = False
        unreported = self.run.results[self.num_reported :]
        self.num_reported = self.run.epoch
        return {
            # as text: Ray flattens what it passes on
            "epochs": json.dumps([self._summary(result) for result in unreported]),
            **({} if self.latency_ms is None else {"latency_ms": self.latency_ms}),
            **({"layers": json.dumps(self.layers)} if self.layers else {}),
            "quality": json.dumps(unreported[-1].quality.to_dict()),
            "versions": json.dumps({**versions(), "step": str(self.run.compute_mode)}),
            "done": self.run.is_over,
        }

    def _summary(self, result: EpochResult) -> dict[str, Any]:
        """Return what the study keeps of an epoch, counted over all of the trial's levels."""
        return {
            "epoch": self.before + result.epoch,
            "split": self.split,
            "train_loss": result.train_loss,
            **figures(result.quality),
            "duration_s": result.duration_s,
        }


@lru_cache(maxsize=1)
def versions() -> dict[str, str]:
    """Name what computed the figures: packages and Python."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        with suppress(PackageNotFoundError):  # ours is sent to the nodes of a cluster, and may not be installed there
            found[name] = version(name)
    return found


def _layers(trial: TrialConfig) -> list[dict[str, Any]]:
    """Return what each layer costs, for those who look at the study without torch."""
    try:
        found = layer_costs(trial.build(), trial.input_shape)
    except UncountedOperatorError:  # of an architecture that counts by itself
        return []
    return [asdict(layer) for layer in found if layer.params or layer.macs]


def open_trial(config: Mapping[str, Any]) -> tuple[TrialConfig, SceneDataset]:
    """Return the trial that an actor's config describes, and what it hears."""
    if config["architecture_file"] is not None:
        use_architecture_file(Path(config["architecture_file"]), check=False)  # the driver has
    trial = TrialConfig.from_dict(config["trial"])
    clips = config["data"], config["split"], config["validation"], tuple(config["unseen_devices"])
    dataset = _material(
        clips, config["impulse_responses"], config["cache"], trial.front_end, config["gpus"], tuple(config["teacher"])
    )
    return trial, dataset


@lru_cache(maxsize=8)  # front ends
def _material(
    clips: Clips, responses: str | None, cache: str | None, front_end: str, gpus: float, teacher: tuple[str, ...]
) -> SceneDataset:
    """Open the data once a process, not once a trial."""
    dataset = load_dataset(
        _scenes(clips),
        FRONT_ENDS[front_end],
        None if responses is None else Path(responses),
        None if cache is None else Path(cache),
        gpu_share=gpus,
    )
    return with_teacher_logits(dataset, _teacher_logits(clips, cache, teacher))


@lru_cache(maxsize=2)
def _teacher_logits(clips: Clips, cache: str | None, teacher: tuple[str, ...]) -> Tensor | None:
    """Read the teacher's logits once a process; the driver has computed them."""
    return mean_logits(teacher, _scenes(clips), cache)


@lru_cache(maxsize=5)  # splits
def _scenes(clips: Clips) -> Scenes:
    root, split, share, devices = clips
    return read_for_search(Path(root), split, share, devices)
