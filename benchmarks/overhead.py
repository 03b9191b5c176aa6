"""Overhead of a search over its trainings: trivial trials through Ray, and resuming a study of 10,000 trials."""

import io
import json
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from ray import tune
from rich.console import Console

from benchmarks.dashboard import STATES, write_trials
from benchmarks.measurement import Measurement
from data.device import num_cores
from objectives.goals import DEFAULT_GOALS
from search.config.settings import SearchSettings
from search.engine.allocation import MACHINE, share_machine
from search.engine.interruption import Interruption
from search.engine.progress import PlainDisplay
from search.engine.ray_cluster import local_cluster
from search.engine.ray_tune import StudySearcher
from search.engine.run import make_tuner
from search.optimizer.scheduler import TrialScheduler
from search.optimizer.trial_table import State
from search.space.priced_space import price_space
from search.space.pricing import price
from search.space.ranges import draw
from search.space.search_space import SearchSpace, make_search_space
from search.study.creation import create_study
from search.study.study import CONFIG, COST, EPOCH, PAUSED, QUALITY, REJECTED, RESULTS, STOPPED, StudyFolder
from search.study.table import front_table, study_table

NUM_TRIVIAL = 200
GOAL_S = 0.2  # per trivial trial
NUM_LARGE = 10_000
NUM_PROPOSED = 20
PROPOSAL_GOAL_S = 1.0
FRACTIONS = {"complete": 0.2, "stopped": 0.3, "rejected": 0.5}
NUM_CLIPS = 960


class TrivialTrainable(tune.Trainable):
    """Trainable that ends after one step, without training."""

    def setup(self, config: dict[str, Any]) -> None:
        """Store the trial's number."""
        self.number = config["number"]

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Start another trial in the same process."""
        self.setup(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Return the result of the only epoch."""
        accuracy = (self.number % 97) / 97
        return {**actor_result(accuracy), "versions": "{}", "done": True}


def actor_result(accuracy: float) -> dict[str, Any]:
    """Return the result that a trial's actor reports after an epoch."""
    metrics = {"macro_accuracy": accuracy, "log_loss": 2.0, "unseen_accuracy": None, "worst_device_accuracy": accuracy}
    epoch = {"epoch": 1, "split": "fold1", "train_loss": 2.0, **metrics, "duration_s": 0.01}
    return {"epochs": json.dumps([epoch]), "quality": json.dumps(metrics)}


def measure() -> Iterator[Measurement]:
    """Time trivial trials, then a large study."""
    RESULTS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=RESULTS) as folder:
        yield _trivial_trials(Path(folder))
    with tempfile.TemporaryDirectory(dir=RESULTS) as folder:
        yield _large_study(Path(folder))


def _settings(space: str, trials: int) -> SearchSettings:
    return SearchSettings(data="nowhere", space=space, trials=trials, epochs=1, early_stopping=False)


def _trivial_trials(path: Path) -> Measurement:
    """Time from the first proposal to the last result; the start of Ray is measured separately."""
    settings = _settings("isotropic", NUM_TRIVIAL)
    space = make_search_space(settings, num_classes=10)
    folder = StudyFolder(path / "trivial")
    scheduler = TrialScheduler(create_study(folder, settings, {}), price_space(space, NUM_CLIPS))
    display = PlainDisplay(scheduler, Console(file=io.StringIO()))
    started = time.perf_counter()
    with local_cluster(num_cpus=num_cores(), resources={MACHINE: 1.0}) as scratch:
        ready = time.perf_counter()
        searcher = StudySearcher(scheduler, folder, share_machine(None), display)
        make_tuner(searcher, scratch, Interruption(), TrivialTrainable).fit()
        ended = time.perf_counter()
    assert scheduler.table.count(State.COMPLETE) == NUM_TRIVIAL
    measured = {
        "ray_start_s": ready - started,
        "trials_s": ended - ready,
        "rejected": sum(scheduler.rejections.values()),
    }
    name = f"trivial trial, mean of {NUM_TRIVIAL}"
    return Measurement(name, (ended - ready) / NUM_TRIVIAL, "s", GOAL_S, False, measured)


def _large_study(path: Path) -> Measurement:
    """Time the proposals of a resumed study; printing its front and opening it are reported too."""
    settings = _settings("all", NUM_LARGE + NUM_PROPOSED)
    space = price_space(make_search_space(settings, num_classes=10), NUM_CLIPS)
    folder = StudyFolder(path / "large")
    create_study(folder, settings, {})
    write_trials(folder, settings.space, _trials(space))
    started = time.perf_counter()
    front = front_table(study_table(folder), DEFAULT_GOALS)
    printed = time.perf_counter()
    scheduler = TrialScheduler(folder.open(), space)
    opened = time.perf_counter()
    for _ in range(NUM_PROPOSED):
        assert scheduler.propose() is not None
    proposed = time.perf_counter()
    measured = {
        "front_s": printed - started,
        "open_s": opened - printed,
        "on_front": len(front),
        "rejected_proposals": sum(scheduler.rejections.values()) - NUM_LARGE * FRACTIONS["rejected"],
    }
    per_proposal_s = (proposed - opened) / NUM_PROPOSED
    name = f"proposal after {NUM_LARGE:,} trials"
    return Measurement(name, per_proposal_s, "s", PROPOSAL_GOAL_S, False, measured)


def _trials(space: SearchSpace) -> Iterator[dict[str, Any]]:
    """Yield synthetic trials of every architecture, as for `write_trials`."""
    rng = np.random.default_rng(0)
    names, now, number = list(space.subspaces), datetime.now(), 0
    while number < NUM_LARGE:
        name = names[rng.integers(len(names))]
        subspace = space.subspaces[name]
        params = space.params(
            subspace, {each: draw(distribution, rng) for each, distribution in subspace.ranges.items()}
        )
        try:
            config = space.config(params)
            cost = price(config, space.settings.precision)
        except ValueError:
            continue
        state = rng.choice(list(FRACTIONS), p=list(FRACTIONS.values()))
        if (state == "rejected") == space.budget.fits(cost):
            continue
        accuracy = float(rng.beta(2, 5))
        epoch = json.loads(actor_result(accuracy)["epochs"])[0]
        user_attrs: dict[str, Any] = {COST: cost.to_dict()}
        if state == "rejected":
            user_attrs[REJECTED] = {"kind": "over macs", "reason": "over budget"}
        else:
            user_attrs |= {CONFIG: config.to_dict(), f"{EPOCH}1": epoch}
            user_attrs |= {QUALITY: epoch} if state == "complete" else {PAUSED: 1, STOPPED: "epoch 1"}
        values = {"values": [accuracy, float(cost.macs)]} if state == "complete" else {}
        yield {
            "number": number, "started": now, "ended": None if state == "stopped" else now, "params": params,
            "user_attrs": user_attrs, "state": STATES[state], **values,
        }  # fmt: skip
        number += 1
