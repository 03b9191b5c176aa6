"""Training throughput on a GPU, with one trial and with several in parallel; skipped without a GPU.

The data are 65,536 clips of noise (4.2 GB at 32 kHz). Whole epochs are timed, with augmentation and log-mel on the
device.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from benchmarks.epoch import NETWORKS, Worker, run_alternating, trial_config
from benchmarks.measurement import Measurement
from data.augmentation import ImpulseResponses
from data.front_end import FrontEndConfig
from data.layout import Scenes
from data.store import Store
from search.engine.resources import TRIALS_PER_GPU
from training.compute_mode import DEFAULT_MODE, ComputeMode
from training.dataset import SceneDataset
from training.loop import TrainingRun, default_device
from training.throughput import fastest, time_modes

# clips/s of the published isotropic network on a current data-centre GPU: an epoch on TAU's training clips in 3 s.
AIM = 50_000.0
NUM_CLIPS = 65_536
EPOCHS = 3
NUM_CLASSES = 10
NUM_RESPONSES = 58


def noise_dataset(front_end: FrontEndConfig, num_clips: int, gpu_share: float) -> SceneDataset:
    """Return clips of noise, three quarters of them of device a, and impulse responses of half a second."""
    rng = np.random.default_rng(0)
    distinct = rng.normal(0, 3_000, (256, front_end.rate_hz)).clip(-32_768, 32_767).astype(np.int16)
    waveforms = np.tile(distinct, (-(-num_clips // len(distinct)), 1))[:num_clips]
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
        tested=np.arange(min(num_clips, 1_024)),
        device_groups={"a": "real", "b": "real"},
    )
    responses = torch.randn(NUM_RESPONSES, front_end.rate_hz // 2)
    response_names = tuple(f"{number}.wav" for number in range(NUM_RESPONSES))
    exponents = np.full(num_clips, -15, np.int8)
    store = Store(waveforms, exponents, np.arange(num_clips), front_end.rate_hz, Path("noise"), "noise")
    return SceneDataset(scenes, store, front_end, ImpulseResponses(responses, response_names), gpu_share)


def timed_epochs(
    architecture: str, values: dict[str, Any], num_clips: int, gpu_share: float, compute_mode: ComputeMode | None
) -> Callable[[], dict[str, float]]:
    """Return a function that trains some epochs and returns clips per second and peak memory.

    Args:
        gpu_share: Share of the GPU that this trial may use.
        compute_mode: None: the fastest.
    """
    device = default_device()
    config = trial_config(architecture, values, NUM_CLASSES)
    dataset = noise_dataset(config.front_end_config, num_clips, gpu_share)
    if compute_mode is None:
        compute_mode, _ = fastest(time_modes(config.build, config.recipe, dataset, device))
    run = TrainingRun(config.build, config.recipe, dataset, device, compute_mode)

    def train() -> dict[str, float]:
        started = time.perf_counter()
        for _ in range(EPOCHS):
            run.train_epoch()  # reads the losses at its end, which synchronizes with the device
        measurement = {"clips_per_s": EPOCHS * num_clips / (time.perf_counter() - started)}
        if device.type == "cuda":
            measurement["memory_gb"] = torch.cuda.max_memory_allocated() / 1e9
        return measurement

    return train


def measure() -> Iterator[Measurement]:
    """Time every network with each number of parallel trials; nothing without a GPU."""
    if not torch.cuda.is_available():
        return
    for name, (architecture, values) in NETWORKS.items():
        aim = AIM if architecture == "isotropic" else None
        measured: dict[str, float] = {}
        for count in TRIALS_PER_GPU:
            result = _parallel_trials(count, architecture, values, None)
            measured |= {f"{count}_parallel_{metric}": value for metric, value in result.items()}
        measured["default_mode_clips_per_s"] = _parallel_trials(1, architecture, values, DEFAULT_MODE)["clips_per_s"]
        best = max(measured[f"{count}_parallel_clips_per_s"] for count in TRIALS_PER_GPU)
        yield Measurement(f"training of {name} on a GPU", best, "clips/s", None, True, measured, aim)


def _parallel_trials(
    count: int, architecture: str, values: Mapping[str, Any], compute_mode: ComputeMode | None
) -> dict[str, float]:
    """Train `count` networks in parallel, after a warm-up round; return their total clips per second and memory."""
    workers = [
        Worker(timed_epochs, architecture, values, NUM_CLIPS // count, 1 / count, compute_mode, ours=True)
        for _ in range(count)
    ]
    (results,) = run_alternating({"": workers}, rounds=1)[""]
    return {metric: sum(result[metric] for result in results) for metric in results[0]}
