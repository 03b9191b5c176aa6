"""Preflight of a search, before it trains anything: feasible fraction, binding limits, estimated duration."""

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console

from data.layout import Scenes
from data.validation_split import nested_splits
from search.config.settings import SearchSettings
from search.config.trial_config import TrialConfig
from search.engine.allocation import share_machine
from search.engine.preparation import num_folds_of, open_dataset, read_clips
from search.engine.progress import counting
from search.engine.summary import warning_lines
from search.space.custom_architecture import register_architecture_file
from search.space.feasibility import FeasibilitySurvey
from search.space.priced_space import PricedSpace, price_space
from search.space.search_space import make_search_space
from search.space.survey_report import make_report
from training.allocator import keep_freed_memory
from training.compute_mode import DEFAULT_MODE, ComputeMode
from training.dataset import SceneDataset
from training.loop import TrainingRun, default_device
from training.throughput import ThroughputRun, fastest, time_modes

MAX_ENUMERATED = 1_000_000  # networks of an architecture up to which all are priced
NUM_DRAWN = 20_000  # random networks priced of an architecture with more
TIMED_QUANTILES = (0.25, 0.75)  # of the MACs of an architecture's feasible networks: those that are timed
MAX_SORTED = 200  # networks among which the quantiles are found
DEFAULT_CLASSES = 10  # without a data set
TIMED_CLIPS = 64  # evaluation clips


def measure_time(
    space: PricedSpace, scenes: Scenes, *, workers: int, threads: int,
    progress: Callable[[int, int], None], passes: float = 1.0,
) -> dict[str, Any]:  # fmt: skip
    """Estimate the duration of all trials without early stopping, from a few training steps of a few feasible networks.

    Args:
        space: At least one network must fit.
        threads: CPU threads of each trial.
        passes: Training clips summed over all splits or folds that a trial trains on, over those of `scenes`.

    Returns:
        Seconds of a trial by architecture, and of all trials together.

    Raises:
        DataError: The data cannot be read, or cannot serve the recipe.
    """
    keep_freed_memory()
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        seconds, modes = _time_networks(space, scenes, progress)
    finally:
        torch.set_num_threads(before)
    by_architecture = {name: passes * float(np.mean(each)) for name, each in seconds.items()}
    trials, mean = space.settings.trials, float(np.mean(list(by_architecture.values())))
    return {
        "trials": trials,
        "epochs": space.settings.epochs,
        "workers": workers,
        "trial_s": by_architecture,
        "total_s": math.ceil(trials / workers) * mean,
        "networks_timed": sum(map(len, seconds.values())),
        "device": str(default_device()),
        "compute_modes": {name: str(mode) for name, mode in modes.items()},
    }


def _time_networks(
    space: PricedSpace, scenes: Scenes, progress: Callable[[int, int], None]
) -> tuple[dict[str, list[float]], dict[str, ComputeMode]]:
    """Return the seconds of a trial of each timed network, and the chosen compute modes, both by architecture."""
    timed = [
        (name, space.subspaces[name].config({**space.published[name].values, **values}))
        for name in space.subspaces
        for values in _typical(space.surveys[name])
    ]
    datasets: dict[str, SceneDataset] = {}
    seconds: dict[str, list[float]] = {}
    modes: dict[str, ComputeMode] = {}
    for number, (name, config) in enumerate(timed):
        progress(number, len(timed))
        if config.front_end not in datasets:
            datasets[config.front_end] = open_dataset(space.settings, scenes, config.front_end)
        dataset = datasets[config.front_end]
        if name not in modes and space.settings.fast:
            modes[name], _ = fastest(time_modes(config.build, config.recipe, dataset, default_device()))
        seconds.setdefault(name, []).append(_trial_seconds(config, dataset, modes.get(name, DEFAULT_MODE)))
    progress(len(timed), len(timed))
    return seconds, modes


def _typical(survey: FeasibilitySurvey) -> Sequence[dict[str, Any]]:
    """Return a cheap and an expensive feasible network."""
    names = list(survey.subspace.cost_ranges)
    cost_function = survey.subspace.cost_function("fp16")
    rng = np.random.default_rng(0)
    chosen = rng.choice(len(survey.feasible), min(len(survey.feasible), MAX_SORTED), replace=False)
    some = [survey.feasible[index] for index in chosen]
    some.sort(key=lambda values: cost_function(values).macs)
    return [dict(zip(names, some[int(quantile * (len(some) - 1))], strict=True)) for quantile in TIMED_QUANTILES]


def _trial_seconds(config: TrialConfig, dataset: SceneDataset, mode: ComputeMode) -> float:
    """Return the estimated seconds of a whole trial, from training and evaluating a few clips."""
    device, scenes = default_device(), dataset.scenes
    timed = ThroughputRun(TrainingRun(config.build, config.recipe, dataset, device, mode))
    clips_per_s = timed.time(0.0, least=2).clips_per_s
    network = timed.run.network.eval()
    x = dataset.spectrograms(scenes.evaluate[:TIMED_CLIPS], device)
    started = time.perf_counter()
    with torch.inference_mode():
        float(network(x).sum())
    evaluated = time.perf_counter() - started
    epoch = len(scenes.train) / clips_per_s + evaluated / len(x) * len(scenes.evaluate)
    return config.recipe.epochs * epoch


def run_preflight(settings: SearchSettings, console: Console) -> tuple[dict[str, FeasibilitySurvey], dict[str, Any]]:
    """Return the feasibility surveys of a search and its preflight report, with a duration if there are data.

    Raises:
        UserError: The settings cannot be searched; the message says why.
    """
    if settings.architecture_file is not None:
        register_architecture_file(Path(settings.architecture_file))
    with_splits = settings.data and settings.fidelity == "split"
    splits = nested_splits(Path(settings.data), settings.split) if with_splits else (settings.split,)
    scenes = read_clips(settings, splits[-1]) if settings.data else None
    for line in warning_lines(scenes, settings) if scenes else ():
        console.print(line, highlight=False, soft_wrap=True)
    space = make_search_space(settings, len(scenes.classes) if scenes else DEFAULT_CLASSES)
    num_clips = len(scenes.train) if scenes else None
    allocation = share_machine(settings.workers)
    with counting("pricing networks", console) as progress:
        priced = price_space(space, num_clips, max_enumerated=MAX_ENUMERATED, num_drawn=NUM_DRAWN, progress=progress)
    report = make_report(priced)
    if scenes is not None and not report["nothing_fits"]:
        with counting("timing networks", console) as progress:
            report["time"] = measure_time(
                priced, scenes, workers=allocation.workers, threads=allocation.cores,
                passes=sum(map(int, splits)) / int(splits[-1]) if with_splits else num_folds_of(settings, scenes),
                progress=progress,
            )  # fmt: skip
    return dict(priced.surveys), report
