"""The time to a front: a search as it is, against the reference loop with TPE and accuracy-only ASHA.

Both search the same space on the same clips, as many trials of as many epochs, and have all cores. What the other side
has in the end (the hypervolume of what it trained to the end) is what is waited for on ours, its start and all that it
measures first included; then ours is interrupted. The other side's processes are started before its clock, and
measuring quality costs it what it costs us.
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

from benchmarks.epoch import Sound, sound
from benchmarks.figure import Figure
from benchmarks.reference import ReferenceLoop
from benchmarks.replay import volume
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
NEVER_S = 36_000.0
LOOK_EVERY_S = 5.0
SPACE = "isotropic"
Point = tuple[float, float, float]  # seconds, accuracy, MACs


def figures() -> Iterator[Figure]:
    """Run both, one after the other."""
    with sound() as files:
        theirs = reference_search(files)
        with tempfile.TemporaryDirectory(dir=RESULTS) as folder:
            wanted = volume([point[1:] for point in theirs])
            ours = our_search(files, Path(folder), wanted)
    their_s, our_s = reached_s(theirs, wanted), reached_s(ours, wanted)
    measured = {
        "reference_s": their_s, "ours_s": our_s, "hypervolume": wanted,
        "reference_trained": len(theirs), "ours_trained": len(ours),
        "ours_hypervolume": volume([point[1:] for point in ours]),
    }  # fmt: skip
    yield Figure(f"a front of {TRIALS} trials", their_s / our_s, "times", GOAL, True, measured)


def reached_s(points: Sequence[Point], wanted: float) -> float:
    """Return the seconds until so much hypervolume was there."""
    ordered = sorted(points)
    for count in range(1, len(ordered) + 1):
        if volume([point[1:] for point in ordered[:count]]) >= wanted - 1e-12:
            return ordered[count - 1][0]
    return NEVER_S


def our_search(files: Sound, results: Path, wanted: float) -> list[Point]:
    """Run the command until it has the hypervolume; give what it trained to the end, and when."""
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
    found: list[Point] = []
    while search.poll() is None:
        time.sleep(LOOK_EVERY_S)
        found = _finished(StudyFolder(results / "ours"), started)
        if reached_s(found, wanted) < NEVER_S:
            search.send_signal(signal.SIGINT)
            search.wait()
    return _finished(StudyFolder(results / "ours"), started)


def _finished(folder: StudyFolder, started: float) -> list[Point]:
    """Return what is trained to the end so far."""
    if not folder.settings_file.exists():
        return []
    return [
        (trial.datetime_complete.timestamp() - started, trial.values[0], trial.values[1])
        for trial in folder.open().get_trials(deepcopy=False)
        if trial.state.name == "COMPLETE" and trial.datetime_complete is not None
    ]


def reference_search(files: Sound) -> list[Point]:
    """Search with the reference loop, a process a core."""
    space = make_search_space(_settings(files), num_classes=len(read_for_search(files.scenes, "fold1", 0.25).classes))

    def define_by_run(trial: Trial) -> None:
        space.suggest(trial)

    searcher = OptunaSearch(define_by_run, metric=["macro_accuracy", "macs"], mode=["max", "min"], seed=SEED)
    scheduler = AsyncHyperBandScheduler(
        metric="macro_accuracy", mode="max", max_t=EPOCHS, grace_period=1, reduction_factor=3
    )
    pipes = _start_processes(files)
    started, begun, found = time.perf_counter(), 0, list[Point]()
    jobs: dict[Connection, tuple[str, float]] = {}
    while begun < TRIALS or jobs:
        for pipe in [pipe for pipe in pipes if pipe not in jobs][: TRIALS - begun]:
            name, config, macs = _next(searcher, space, begun)
            begun += 1
            scheduler.on_trial_add(None, SimpleNamespace(trial_id=name))  # type: ignore[arg-type] # it looks at neither
            jobs[pipe] = name, macs
            pipe.send(json.dumps(config.to_dict()))
        for pipe in [each for each in jobs if each.poll(0.01)]:
            epoch, accuracy = pipe.recv()
            name, macs = jobs[pipe]
            result = {"macro_accuracy": accuracy, "macs": macs, "training_iteration": epoch}
            ends = epoch == EPOCHS or _stops(scheduler, name, result)
            pipe.send(ends)
            if epoch == EPOCHS:
                found.append((time.perf_counter() - started, accuracy, macs))
            if ends:
                searcher.on_trial_complete(name, result)
                del jobs[pipe]
    for pipe in pipes:
        pipe.send("")
    return found


def _start_processes(files: Sound) -> list[Connection]:
    """Start a process a core, and wait until all can train."""
    context = get_context("spawn")
    pipes = []
    for _ in range(num_cores()):
        here, there = context.Pipe()
        context.Process(target=_train, args=(there, files), daemon=True).start()
        pipes.append(here)
    for pipe in pipes:
        pipe.recv()
    return pipes


def _stops(scheduler: AsyncHyperBandScheduler, name: str, result: dict[str, Any]) -> bool:
    trial: Any = SimpleNamespace(trial_id=name)
    controller: Any = None  # it looks at none
    return bool(scheduler.on_trial_result(controller, trial, result) == TrialScheduler.STOP)


def _settings(files: Sound) -> SearchSettings:
    return SearchSettings(
        data=str(files.scenes), space=SPACE, trials=TRIALS, epochs=EPOCHS, seed=SEED,
        impulse_responses=str(files.responses),
    )  # fmt: skip


def _next(searcher: OptunaSearch, space: Any, begun: int) -> tuple[str, TrialConfig, float]:
    """Ask until something fits; what does not is told an accuracy of 0."""
    count = 0
    while True:
        count += 1
        name = f"{begun}-{count}"
        values = searcher.suggest(name)
        assert isinstance(values, dict)
        config = space.config(values)
        cost = price(config, "fp16")
        if space.budget.fits(cost):
            return name, config, float(cost.macs)
        searcher.on_trial_complete(name, {"macro_accuracy": 0.0, "macs": cost.macs, "training_iteration": 1})


def _train(pipe: Any, files: Sound) -> None:
    """Train what the pipe names, an epoch at a time, until it says that this is enough."""
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
