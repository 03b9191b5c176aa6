"""Wall-clock time of a search to a front, against the reference training loop with Ray's TPE and ASHA on accuracy.

Both search the same space on the same clips, with the same number of trials and epochs, on all cores. The target is the
final hypervolume of the reference search, of its fully trained networks. Our search is interrupted when it has reached
the target; its time includes start-up and micro-benchmarks. The reference's worker processes are started before its
time begins, and both evaluate in the same way after each epoch.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from optuna.trial import Trial
from ray.tune.schedulers import AsyncHyperBandScheduler, TrialScheduler
from ray.tune.search.optuna import OptunaSearch

from benchmarks.epoch import BenchmarkData, benchmark_data
from benchmarks.measurement import Measurement
from benchmarks.reference import ReferenceLoop
from benchmarks.replay import normalized_hypervolume
from data.device import num_cores
from data.validation_split import read_for_search
from search.config.settings import SearchSettings
from search.config.trial_config import TrialConfig
from search.space.pricing import price
from search.space.search_space import make_search_space
from search.study.study import RESULTS, StudyFolder
from training.dataset import load_dataset

TRIALS, EPOCHS, SEED = 24, SearchSettings.epochs, 0
GOAL = 4.0
NEVER_S = 36_000.0  # time to a hypervolume that was not reached
POLL_INTERVAL_S = 5.0
SPACE = "isotropic"
Point = tuple[float, float, float]  # seconds, accuracy, MACs


def measure() -> Iterator[Measurement]:
    """Run the reference search, then ours."""
    with benchmark_data() as files:
        reference = reference_search(files)
        with tempfile.TemporaryDirectory(dir=RESULTS) as folder:
            target = _hypervolume(reference)
            ours = our_search(files, Path(folder), target)
    reference_s, ours_s = time_to_s(reference, target), time_to_s(ours, target)
    measured = {
        "reference_s": reference_s, "ours_s": ours_s, "hypervolume": target,
        "reference_trained": len(reference), "ours_trained": len(ours), "ours_hypervolume": _hypervolume(ours),
    }  # fmt: skip
    yield Measurement(f"front of {TRIALS} trials", reference_s / ours_s, "times", GOAL, True, measured)


def _hypervolume(points: Sequence[Point]) -> float:
    return normalized_hypervolume([point[1:] for point in points])


def time_to_s(points: Sequence[Point], target: float) -> float:
    """Return the seconds after which the trained networks reached a hypervolume; `NEVER_S` if they did not."""
    ordered = sorted(points)
    for count in range(1, len(ordered) + 1):
        if _hypervolume(ordered[:count]) >= target - 1e-12:
            return ordered[count - 1][0]
    return NEVER_S


def our_search(files: BenchmarkData, results: Path, target: float) -> list[Point]:
    """Run `scenefront search` until it reaches the target hypervolume; return its fully trained networks."""
    command = [
        sys.executable, "-m", "search", "search", files.scenes, "--space", SPACE, "--trials", TRIALS,
        "--epochs", EPOCHS, "--seed", SEED, "--impulse-responses", files.responses, "--cache", files.cache,
        "--results", results, "--study", "ours",
    ]  # fmt: skip
    started = time.time()
    root = Path(__file__).parent.parent
    search = subprocess.Popen(
        [str(part) for part in command], cwd=root, stdout=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(root)},
    )  # fmt: skip
    while search.poll() is None:
        time.sleep(POLL_INTERVAL_S)
        if time_to_s(_completed(StudyFolder(results / "ours"), started), target) < NEVER_S:
            search.send_signal(signal.SIGINT)
            search.wait()
    return _completed(StudyFolder(results / "ours"), started)


def _completed(folder: StudyFolder, started: float) -> list[Point]:
    """Return the networks that are fully trained by now."""
    if not folder.settings_file.exists():
        return []
    return [
        (trial.datetime_complete.timestamp() - started, trial.values[0], trial.values[1])
        for trial in folder.open().get_trials(deepcopy=False)
        if trial.state.name == "COMPLETE" and trial.datetime_complete is not None
    ]


def reference_search(files: BenchmarkData) -> list[Point]:
    """Search with the reference loop, in one process per core; return the fully trained networks."""
    space = make_search_space(_settings(files), num_classes=len(read_for_search(files.scenes, "fold1", 0.25).classes))

    def define_by_run(trial: Trial) -> None:
        space.suggest(trial)

    searcher = OptunaSearch(define_by_run, metric=["macro_accuracy", "macs"], mode=["max", "min"], seed=SEED)
    scheduler = AsyncHyperBandScheduler(
        metric="macro_accuracy", mode="max", max_t=EPOCHS, grace_period=1, reduction_factor=3
    )
    pipes = _start_workers(files)
    started, num_started, points = time.perf_counter(), 0, list[Point]()
    running: dict[Connection, tuple[str, float]] = {}  # trial id and MACs
    while num_started < TRIALS or running:
        for pipe in [pipe for pipe in pipes if pipe not in running][: TRIALS - num_started]:
            trial_id, config, macs = _suggest_feasible(searcher, space, num_started)
            num_started += 1
            scheduler.on_trial_add(None, SimpleNamespace(trial_id=trial_id))  # type: ignore[arg-type] # reads the id alone
            running[pipe] = trial_id, macs
            pipe.send(json.dumps(config.to_dict()))
        for pipe in [each for each in running if each.poll(0.01)]:
            epoch, accuracy = pipe.recv()
            trial_id, macs = running[pipe]
            result = {"macro_accuracy": accuracy, "macs": macs, "training_iteration": epoch}
            ends = epoch == EPOCHS or _stops(scheduler, trial_id, result)
            pipe.send(ends)
            if epoch == EPOCHS:
                points.append((time.perf_counter() - started, accuracy, macs))
            if ends:
                searcher.on_trial_complete(trial_id, result)
                del running[pipe]
    for pipe in pipes:
        pipe.send("")
    return points


def _start_workers(files: BenchmarkData) -> list[Connection]:
    """Start a worker process per core, and wait until all are ready."""
    context = get_context("spawn")
    pipes = []
    for _ in range(num_cores()):
        parent_pipe, child_pipe = context.Pipe()
        context.Process(target=_work, args=(child_pipe, files), daemon=True).start()
        pipes.append(parent_pipe)
    for pipe in pipes:
        pipe.recv()
    return pipes


def _stops(scheduler: AsyncHyperBandScheduler, trial_id: str, result: dict[str, Any]) -> bool:
    """Return whether ASHA stops a trial at this epoch."""
    trial: Any = SimpleNamespace(trial_id=trial_id)
    controller: Any = None  # not used by ASHA
    return bool(scheduler.on_trial_result(controller, trial, result) == TrialScheduler.STOP)


def _settings(files: BenchmarkData) -> SearchSettings:
    return SearchSettings(
        data=str(files.scenes), space=SPACE, trials=TRIALS, epochs=EPOCHS, seed=SEED,
        impulse_responses=str(files.responses),
    )  # fmt: skip


def _suggest_feasible(searcher: OptunaSearch, space: Any, num_started: int) -> tuple[str, TrialConfig, float]:
    """Suggest until a configuration fits the budget; the others are completed with an accuracy of 0."""
    count = 0
    while True:
        count += 1
        trial_id = f"{num_started}-{count}"
        values = searcher.suggest(trial_id)
        assert isinstance(values, dict)
        config = space.config(values)
        cost = price(config, "fp16")
        if space.budget.fits(cost):
            return trial_id, config, float(cost.macs)
        searcher.on_trial_complete(trial_id, {"macro_accuracy": 0.0, "macs": cost.macs, "training_iteration": 1})


def _work(pipe: Any, files: BenchmarkData) -> None:
    """Train the configurations from the pipe; send each epoch's accuracy, and continue unless the reply is to stop."""
    torch.set_num_threads(1)
    scenes = read_for_search(files.scenes, "fold1", 0.25)
    pipe.send("ready")
    while (text := pipe.recv()) != "":
        config = TrialConfig.from_dict(json.loads(text))
        torch.manual_seed(config.recipe.seed)
        dataset = load_dataset(scenes, config.front_end_config, None, files.cache)
        network = config.build()
        loop = ReferenceLoop(network, config.front_end_config, scenes, files.responses, config.recipe, 0)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(loop.optimizer, EPOCHS)
        for epoch in range(1, EPOCHS + 1):
            loop.run_epoch()
            schedule.step()
            network.eval()
            quality = dataset.evaluate(network, torch.device("cpu"))
            network.train()
            pipe.send((epoch, float(np.float64(quality.macro_accuracy))))
            if pipe.recv():
                break
