"""Scaling: time of a proposal over trials of the study, training throughput over parallel trials and network width.

The topic scale measures how the index and the start of a trial scale with clips, the topic pricing how pricing scales
with parameters and layers.
"""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from benchmarks.epoch import CPU, Worker, benchmark_data, our_epochs, run_alternating, trial_config
from benchmarks.measurement import Measurement
from benchmarks.proposals import NUM_REJECTED, filled_study, reject
from data.device import num_cores
from data.front_end import FRONT_ENDS
from data.layout import read_scenes
from search.config.settings import SearchSettings
from search.optimizer.trial_store import open_trial_store
from search.space.pricing import price
from search.space.search_space import make_search_space
from search.study.study import RESULTS
from training.compute_mode import ComputeMode, supports_bf16
from training.dataset import load_dataset
from training.loop import TrainingRun
from training.throughput import ThroughputRun

NUM_TRIALS = (50, 200, 800)
WIDTHS = (16, 32, 64, 96)
TIMED_S = 3.0


def measure() -> Iterator[Measurement]:
    """Time each at several sizes."""
    yield _over_trials()
    yield _over_workers()
    yield _over_width()


def _over_trials() -> Measurement:
    """Time rejected proposals in studies of different size."""
    torch.set_num_threads(1)
    space = make_search_space(SearchSettings(data="", space="all", trials=1, epochs=1), num_classes=10)
    RESULTS.mkdir(exist_ok=True)
    measured: dict[str, float] = {}
    for number in NUM_TRIALS:
        with tempfile.TemporaryDirectory(dir=RESULTS) as folder:
            _, store = filled_study(Path(folder) / "study", space, open_trial_store, number)
            started = time.perf_counter()
            reject(store, space)
            measured[f"{number}_trials_ms"] = (time.perf_counter() - started) / NUM_REJECTED * 1e3
    few, *_, many = measured.values()
    name = f"proposal in the space all after {NUM_TRIALS[-1]} trials, against {NUM_TRIALS[0]}"
    return Measurement(name, many / few, "times", None, False, measured)


def _over_workers() -> Measurement:
    """Time parallel trials of the published isotropic network, on one core each."""
    measured: dict[str, float] = {}
    with benchmark_data() as files:
        workers = [Worker(our_epochs, files, "isotropic", {}, 1, ours=True) for _ in range(num_cores())]
        counts = [count for count in (1, 2, 4, 8, 16, 32, 64) if count < len(workers)] + [len(workers)]
        results = run_alternating({str(count): workers[:count] for count in counts}, rounds=2)
    for count, rounds in results.items():
        measured[f"{count}_parallel_clips_per_s"] = max(sum(of_round) for of_round in rounds)
    speeds = list(measured.values())
    return Measurement(
        f"{num_cores()} parallel trials, against one", speeds[-1] / speeds[0], "times", None, True, measured
    )


def _over_width() -> Measurement:
    """Time training steps of isotropic networks of the published depth, on one thread."""
    measured: dict[str, float] = {}
    mode = ComputeMode(channels_last=True, bf16=supports_bf16(CPU))
    torch.set_num_threads(1)
    with benchmark_data() as files:
        scenes = read_scenes(files.scenes)
        dataset = load_dataset(scenes, FRONT_ENDS["dcase24"], files.responses, files.cache)
        for width in WIDTHS:
            config = trial_config("isotropic", {"width": width}, len(scenes.classes))
            params = price(config, "fp16").params
            run = ThroughputRun(TrainingRun(config.build, config.recipe, dataset, CPU, mode))
            measured[f"{params}_params_clips_per_s"] = run.time(TIMED_S, least=2).clips_per_s
    narrow, *_, wide = measured.values()
    return Measurement(
        f"training at width {WIDTHS[0]}, against width {WIDTHS[-1]}", narrow / wide, "times", None, True, measured
    )
