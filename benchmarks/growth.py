"""How a search's costs grow: a proposal with the trials of its study, training with trials side by side and with width.

How the index and a trial's start grow with the clips is told by the topic scale, how pricing grows with parameters and
layers by the topic pricing.
"""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from benchmarks.epoch import CPU, Side, our_epochs, sound, take_turns, trial_config
from benchmarks.figure import Figure
from benchmarks.proposals import NUM_REJECTED, filled, reject
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


def figures() -> Iterator[Figure]:
    """Time each at several sizes."""
    yield _with_trials()
    yield _with_workers()
    yield _with_width()


def _with_trials() -> Figure:
    torch.set_num_threads(1)
    space = make_search_space(SearchSettings(data="", space="all", trials=1, epochs=1), num_classes=10)
    RESULTS.mkdir(exist_ok=True)
    measured: dict[str, float] = {}
    for number in NUM_TRIALS:
        with tempfile.TemporaryDirectory(dir=RESULTS) as folder:
            _, record = filled(Path(folder) / "study", space, open_trial_store, number)
            started = time.perf_counter()
            reject(record, space)
            measured[f"{number}_trials_ms"] = (time.perf_counter() - started) / NUM_REJECTED * 1e3
    few, *_, many = measured.values()
    name = f"a proposal of the space all after {NUM_TRIALS[-1]} trials, against after {NUM_TRIALS[0]}"
    return Figure(name, many / few, "times", None, False, measured)


def _with_workers() -> Figure:
    """Epochs of the published isotropic network, a core each."""
    measured: dict[str, float] = {}
    with sound() as files:
        sides = [Side(our_epochs, files, "isotropic", {}, 1, ours=True) for _ in range(num_cores())]
        counts = [count for count in (1, 2, 4, 8, 16, 32, 64) if count < len(sides)] + [len(sides)]
        found = take_turns({str(count): sides[:count] for count in counts}, rounds=2)
    for count, rounds in found.items():
        measured[f"{count}_side_by_side_clips_per_s"] = max(sum(results) for results in rounds)
    speeds = list(measured.values())
    return Figure(
        f"{num_cores()} trials side by side, against one", speeds[-1] / speeds[0], "times", None, True, measured
    )


def _with_width() -> Figure:
    """Steps of isotropic networks of the published shape, one thread."""
    measured: dict[str, float] = {}
    way = ComputeMode(channels_last=True, bf16=supports_bf16(CPU))
    torch.set_num_threads(1)
    with sound() as files:
        scenes = read_scenes(files.scenes)
        dataset = load_dataset(scenes, FRONT_ENDS["dcase24"], files.responses, files.cache)
        for width in WIDTHS:
            config = trial_config("isotropic", {"width": width}, len(scenes.classes))
            params = price(config, "fp16").params
            timed = ThroughputRun(TrainingRun(config.build, config.recipe, dataset, CPU, way))
            measured[f"{params}_params_clips_per_s"] = timed.time(TIMED_S, least=2).clips_per_s
    narrow, *_, wide = measured.values()
    return Figure(
        f"training at width {WIDTHS[0]}, against width {WIDTHS[-1]}", narrow / wide, "times", None, True, measured
    )
