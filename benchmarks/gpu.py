"""Training clips a second on a GPU, one trial and several side by side; nothing is told where there is none.

The clips are noise, 65,536 of them (4.2 GB at 32 kHz): what is timed is a whole epoch, with augmentation and log-mel on
the device.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from benchmarks.epoch import NETWORKS, Side, take_turns, trial_config
from benchmarks.figure import Figure
from data.augmentation import ImpulseResponses
from data.front_end import FrontEndConfig
from data.layout import Scenes
from data.store import Store
from search.engine.resources import TRIALS_PER_GPU
from training.compute_mode import DEFAULT_MODE, ComputeMode
from training.dataset import SceneDataset
from training.loop import TrainingRun, default_device
from training.throughput import fastest, time_modes

# Of the published isotropic network on a current data-centre GPU: an epoch of TAU in less than 3 s.
AIM = 50_000.0
NUM_CLIPS = 65_536
EPOCHS = 3
NUM_CLASSES = 10
NUM_RESPONSES = 58


def noise_material(front_end: FrontEndConfig, num_clips: int, gpu_share: float) -> SceneDataset:
    """Make clips of noise, three quarters of them device a's, and impulse responses of half a second."""
    rng = np.random.default_rng(0)
    some = rng.normal(0, 3_000, (256, front_end.rate_hz)).clip(-32_768, 32_767).astype(np.int16)
    waveforms = np.tile(some, (-(-num_clips // len(some)), 1))[:num_clips]
    names = [f"audio/{number}.wav" for number in range(num_clips)]
    scenes = Scenes(
        root=Path(),
        split="fold1",
        clips=pd.DataFrame({"filename": names}),
        classes=tuple(f"scene {number}" for number in range(NUM_CLASSES)),
        devices=("a", "b"),
        cities=("here",),
        labels=np.arange(num_clips) % NUM_CLASSES,
        device_index=(np.arange(num_clips) % 4 == 0).astype(np.int64),
        train=np.arange(num_clips),
        evaluate=np.arange(min(num_clips, 1_024)),
        device_groups={"a": "real", "b": "real"},
    )
    responses = torch.randn(NUM_RESPONSES, front_end.rate_hz // 2)
    named = tuple(f"{number}.wav" for number in range(NUM_RESPONSES))
    store = Store(waveforms, np.arange(num_clips), front_end.rate_hz, Path("noise"))
    return SceneDataset(scenes, store, front_end, ImpulseResponses(responses, named), gpu_share)


def epochs(
    architecture: str, values: dict[str, Any], num_clips: int, gpu_share: float, compute_mode: ComputeMode | None
) -> Callable[[], dict[str, float]]:
    """Return what trains some epochs, a given way or the fastest, and tells clips a second and memory."""
    device = default_device()
    config = trial_config(architecture, values, NUM_CLASSES)
    dataset = noise_material(config.front_end_config, num_clips, gpu_share)
    if compute_mode is None:
        compute_mode, _ = fastest(time_modes(config.build, config.recipe, dataset, device))
    run = TrainingRun(config.build, config.recipe, dataset, device, compute_mode)

    def train() -> dict[str, float]:
        started = time.perf_counter()
        for _ in range(EPOCHS):
            run.train_epoch()  # ends by looking at the losses, so it waits for the device
        measurement = {"clips_per_s": EPOCHS * num_clips / (time.perf_counter() - started)}
        if device.type == "cuda":
            measurement["memory_gb"] = torch.cuda.max_memory_allocated() / 1e9
        return measurement

    return train


def figures() -> Iterator[Figure]:
    """Time every network where there is a GPU."""
    if not torch.cuda.is_available():
        return
    for name, (architecture, values) in NETWORKS.items():
        aim = AIM if architecture == "isotropic" else None
        measured: dict[str, float] = {}
        for count in TRIALS_PER_GPU:
            measurement = _side_by_side(count, architecture, values, None)
            measured |= {f"{count}_side_by_side_{what}": value for what, value in measurement.items()}
        measured["plain_clips_per_s"] = _side_by_side(1, architecture, values, DEFAULT_MODE)["clips_per_s"]
        best = max(measured[f"{count}_side_by_side_clips_per_s"] for count in TRIALS_PER_GPU)
        yield Figure(f"training of {name} on a GPU", best, "clips/s", None, True, measured, aim)


def _side_by_side(
    count: int, architecture: str, values: Mapping[str, Any], compute_mode: ComputeMode | None
) -> dict[str, float]:
    """Train `count` networks at one time, the first epochs untold; give the sum of their clips a second."""
    sides = [
        Side(epochs, architecture, values, NUM_CLIPS // count, 1 / count, compute_mode, ours=True) for _ in range(count)
    ]
    (results,) = take_turns({"together": sides}, rounds=1)["together"]
    return {what: sum(each[what] for each in results) for what in results[0]}
