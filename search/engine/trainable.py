"""Ray Tune trainable: an actor that trains trials one by one, one epoch per step."""

import json
import platform
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from functools import lru_cache
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from ray import tune
from torch import Tensor

from data.front_end import FRONT_ENDS
from data.layout import Scenes
from data.validation_split import read_for_search
from objectives.measure import UncountedOperatorError, layer_costs
from objectives.quality import figures
from objectives.sampling_error import half_widths
from search.config.errors import USER_ERRORS
from search.config.trial_config import TrialConfig
from search.engine.checkpoints import Checkpoints
from search.engine.teachers import mean_logits, with_teacher_logits
from search.space.custom_architecture import register_architecture_file
from search.study.study import DEVICE_MEMORY, HALVES, MEMORY
from training.allocator import keep_freed_memory, trim
from training.checkpoint import CheckpointError
from training.code_version import code_version
from training.compute_mode import ComputeMode
from training.dataset import SceneDataset, load_dataset
from training.latency import measure_latency
from training.loop import DivergedError, EpochResult, TrainingRun, default_device
from training.peak_memory import PeakMemory, peak_memory

# Folder and split of the data, fraction of the training clips for validation, devices that are held out for it, fold.
Clips = tuple[str, str, float, tuple[str, ...], int]
PACKAGES = ("scenefront", "numpy", "optuna", "ray", "torch", "torchaudio")


class TrialActor(tune.Trainable):
    """Trains the trial that its config describes, from its checkpoint if it has one.

    Checkpoints are kept with the study (`search.engine.checkpoints`); Ray's own are not used.
    """

    def setup(self, config: dict[str, Any]) -> None:
        """Start a trial, or resume it from its checkpoint."""
        vars(self).pop("run", None)  # frees the memory of the previous trial
        trim()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        keep_freed_memory()
        torch.set_num_threads(config["threads"])
        trial, dataset = open_trial(config)
        self.checkpoints = Checkpoints.from_dict(config["checkpoints"])
        self.key = config["number"], config["epochs_before"]  # of the checkpoint
        self.identity = _identity(config)
        compute_mode = ComputeMode(**config["compute_mode"])
        self.failure = ""
        self.peaks: dict[int, PeakMemory] = {}  # by epoch
        self.split, self.fold = config["split"], config["fold"]
        self.before, self.latency_ms = config["epochs_before"], config["latency_ms"]
        try:
            if config["times_latency"] and self.latency_ms is None:
                self.latency_ms = measure_latency(trial.build(), trial.input_shape)
            self.run = TrainingRun(trial.build, trial.recipe, dataset, default_device(), compute_mode)
            found = self.checkpoints.fetch(*self.key)
            if found is not None:
                try:
                    self.run.load(found, self.identity)
                except CheckpointError:
                    # broken, or left over from another study, other data or an earlier version: the trial restarts
                    self.checkpoints.discard(*self.key)
                    self.run = TrainingRun(trial.build, trial.recipe, dataset, default_device(), compute_mode)
            # the process was killed between checkpoint and report: report before training further
            self.reports_first = self.before + self.run.epoch > config["epochs_recorded"]
        except USER_ERRORS as error:  # the data or the network do not fit the recipe
            self.failure = str(error)
        self.num_reported = 0
        self.layers = [] if config["epochs_recorded"] else _layers(trial)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Start another trial in the same process, as Ray's `reuse_actors` requires."""
        self.setup(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Train an epoch, unless one is unreported or training is complete; return the unreported epochs."""
        if self.failure:
            return {"epochs": "[]", "failure": self.failure, "done": True}
        if not (self.run.is_over or self.reports_first):
            try:
                with peak_memory() as peak:
                    self.run.run_epoch()
            except DivergedError as error:
                return {"epochs": "[]", "failure": str(error), "done": True}
            self.peaks[self.run.epoch] = peak
            self.run.save(self.checkpoints.path(*self.key), self.identity)
            self.checkpoints.push(*self.key)
        self.reports_first = False
        unreported = self.run.results[self.num_reported :]
        self.num_reported = self.run.epoch
        return {
            # as JSON: Ray flattens nested results
            "epochs": json.dumps([self._summary(result) for result in unreported]),
            **({} if self.latency_ms is None else {"latency_ms": self.latency_ms}),
            **({"layers": json.dumps(self.layers)} if self.layers else {}),
            "quality": json.dumps(unreported[-1].quality.to_dict()),
            HALVES: json.dumps(half_widths(unreported[-1].quality)),
            "versions": json.dumps({**versions(), "step": str(self.run.compute_mode)}),
            "done": self.run.is_over,
        }

    def _summary(self, result: EpochResult) -> dict[str, Any]:
        """Return the study's record of an epoch, numbered over all rungs of the trial."""
        return {
            "epoch": self.before + result.epoch,
            "split": self.split,
            **({"fold": self.fold} if self.fold else {}),
            "train_loss": result.train_loss,
            **figures(result.quality),
            "duration_s": result.duration_s,
            **self._memory(result.epoch),
        }

    def _memory(self, epoch: int) -> dict[str, int]:
        """Return the peak memory of an epoch; of one that another process trained, nothing is known."""
        peak = self.peaks.get(epoch)
        if peak is None:
            return {}
        device = {DEVICE_MEMORY: peak.device_bytes} if peak.device_bytes else {}
        return {MEMORY: peak.resident_bytes, **device}


@lru_cache(maxsize=1)
def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that training depends on."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        with suppress(PackageNotFoundError):  # on a cluster's nodes ours comes with the job, not installed
            found[name] = version(name)
    return found


def _identity(config: Mapping[str, Any]) -> dict[str, str]:
    """Return what a checkpoint must agree with to be continued: study, data, configuration and code."""
    described = json.dumps([config["trial"], config["split"], config["epochs_before"]], sort_keys=True)
    return {
        **config["identity"],
        "configuration": sha256(described.encode()).hexdigest()[:16],
        "code": code_version(),
    }


def _layers(trial: TrialConfig) -> list[dict[str, Any]]:
    """Return the cost of each layer, for the dashboard, which has no torch."""
    try:
        found = layer_costs(trial.build(), trial.input_shape)
    except UncountedOperatorError:  # a custom architecture that counts its own cost
        return []
    return [asdict(layer) for layer in found if layer.params or layer.macs]


def open_trial(config: Mapping[str, Any]) -> tuple[TrialConfig, SceneDataset]:
    """Return the trial that an actor's config describes, and its data set."""
    if config["architecture_file"] is not None:
        register_architecture_file(Path(config["architecture_file"]), check=False)  # the driver has checked it
    trial = TrialConfig.from_dict(config["trial"])
    devices = tuple(config["unseen_devices"])
    clips = config["data"], config["split"], config["validation"], devices, config["fold"]
    dataset = _dataset(
        clips, config["impulse_responses"], config["cache"], trial.front_end, config["gpus"], tuple(config["teacher"])
    )
    return trial, dataset


@lru_cache(maxsize=8)  # one entry a front end and fold
def _dataset(
    clips: Clips, responses: str | None, cache: str | None, front_end: str, gpus: float, teacher: tuple[str, ...]
) -> SceneDataset:
    """Load a data set, once per process."""
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
    """Read the teacher's logits, which the driver has computed, once per process."""
    return mean_logits(teacher, _scenes(clips), cache)


@lru_cache(maxsize=5)  # one entry a split or fold
def _scenes(clips: Clips) -> Scenes:
    root, split, share, devices, fold = clips
    return read_for_search(Path(root), split, share, devices, fold)
