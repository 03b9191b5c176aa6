"""What a search costs beside training: trivial trials through Ray, and a study of many trials that is gone on with."""

import io
import json
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from optuna.trial import TrialState
from ray import tune
from rich.console import Console

from benchmarks.dashboard import write_trials
from benchmarks.figure import Figure
from data.device import num_cores
from objectives.goals import DEFAULT_GOALS
from search.config.settings import SearchSettings
from search.engine.progress import PlainDisplay
from search.engine.ray_cluster import local_cluster
from search.engine.ray_tune import Interruption, StudySearcher
from search.engine.resources import MACHINE, share_machine
from search.engine.run import make_tuner
from search.optimizer.scheduler import TrialScheduler
from search.optimizer.trial_table import State
from search.space.priced_space import price_space
from search.space.pricing import price
from search.space.ranges import draw
from search.space.search_space import SearchSpace, make_search_space
from search.study.study import CONFIG, COST, EPOCH, QUALITY, REJECTED, RESULTS, STOPPED, StudyFolder
from search.study.table import front_table, study_table

NUM_TRIVIAL = 200
GOAL_S = 0.2  # a trivial trial
NUM_LARGE = 10_000
NUM_SUGGESTED = 20
SUGGESTION_GOAL_S = 1.0
SHARES = {"complete": 0.2, "stopped": 0.3, "rejected": 0.5}
NUM_CLIPS = 960


class Trivial(tune.Trainable):
    """A trial that ends at once."""

    def setup(self, config: dict[str, Any]) -> None:
        """Keep what decides the result."""
        self.job = config

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Begin another trial in the same process."""
        self.setup(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Return the one epoch."""
        accuracy = (self.job["number"] % 97) / 97
        return {**reported(accuracy), "versions": "{}", "done": True}


def reported(accuracy: float) -> dict[str, Any]:
    """Return what an actor reports of an epoch."""
    figures = {"macro_accuracy": accuracy, "log_loss": 2.0, "unseen_accuracy": None, "worst_device_accuracy": accuracy}
    epoch = {"epoch": 1, "split": "fold1", "train_loss": 2.0, **figures, "duration_s": 0.01}
    return {"epochs": json.dumps([epoch]), "quality": json.dumps(figures)}


def figures() -> Iterator[Figure]:
    """Time both."""
    RESULTS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=RESULTS) as folder:
        yield _trivial_trials(Path(folder))
    with tempfile.TemporaryDirectory(dir=RESULTS) as folder:
        yield _many_trials(Path(folder))


def _settings(space: str, trials: int) -> SearchSettings:
    return SearchSettings(data="nowhere", space=space, trials=trials, epochs=1, early_stopping=False)


def _trivial_trials(path: Path) -> Figure:
    """From the first proposal to the last result; Ray's start is measured by itself."""
    settings = _settings("isotropic", NUM_TRIVIAL)
    space = make_search_space(settings, num_classes=10)
    folder = StudyFolder(path / "trivial")
    scheduler = TrialScheduler(folder.create(settings, {}), price_space(space, NUM_CLIPS))
    display = PlainDisplay(scheduler, Console(file=io.StringIO()))
    started = time.perf_counter()
    with local_cluster(num_cpus=num_cores(), resources={MACHINE: 1.0}) as scratch:
        ready = time.perf_counter()
        searcher = StudySearcher(scheduler, folder, share_machine(None), display)
        make_tuner(searcher, scratch, Interruption(), Trivial).fit()
        ended = time.perf_counter()
    assert scheduler.table.count(State.COMPLETE) == NUM_TRIVIAL
    measured = {"ray_start_s": ready - started, "all_s": ended - ready, "rejected": sum(scheduler.rejections.values())}
    name = f"a trivial trial, of {NUM_TRIVIAL}"
    return Figure(name, (ended - ready) / NUM_TRIVIAL, "s", GOAL_S, False, measured)


def _many_trials(path: Path) -> Figure:
    """A study that is opened, whose front is printed, and that is gone on with."""
    settings = _settings("all", NUM_LARGE + NUM_SUGGESTED)
    space = price_space(make_search_space(settings, num_classes=10), NUM_CLIPS)
    folder = StudyFolder(path / "large")
    folder.create(settings, {})
    write_trials(folder, settings.space, _trials(space))
    started = time.perf_counter()
    front = front_table(study_table(folder), DEFAULT_GOALS)
    printed = time.perf_counter()
    scheduler = TrialScheduler(folder.open(), space)
    opened = time.perf_counter()
    for _ in range(NUM_SUGGESTED):
        assert scheduler.propose() is not None
    suggested = time.perf_counter()
    measured = {
        "front_s": printed - started,
        "opened_s": opened - printed,
        "on_front": len(front),
        "rejected_on_the_way": sum(scheduler.rejections.values()) - NUM_LARGE * SHARES["rejected"],
    }
    each = (suggested - opened) / NUM_SUGGESTED
    return Figure(f"a suggestion after {NUM_LARGE:,} trials", each, "s", SUGGESTION_GOAL_S, False, measured)


def _trials(space: SearchSpace) -> Iterator[dict[str, Any]]:
    """Make trials of every architecture, as a search leaves them."""
    rng = np.random.default_rng(0)
    names, now, number = list(space.subspaces), datetime.now(), 0
    while number < NUM_LARGE:
        name = names[rng.integers(len(names))]
        subspace = space.subspaces[name]
        values = space.params(
            subspace, {each: draw(distribution, rng) for each, distribution in subspace.ranges.items()}
        )
        try:
            config = space.config(values)
            cost = price(config, space.settings.precision)
        except ValueError:
            continue
        kind = rng.choice(list(SHARES), p=list(SHARES.values()))
        if (kind == "rejected") == space.budget.fits(cost):
            continue
        accuracy = float(rng.beta(2, 5))
        epoch = json.loads(reported(accuracy)["epochs"])[0]
        attributes: dict[str, Any] = {COST: cost.to_dict()}
        if kind == "rejected":
            attributes[REJECTED] = {"kind": "over macs", "reason": "over budget"}
        else:
            attributes |= {CONFIG: config.to_dict(), f"{EPOCH}1": epoch}
            attributes |= {QUALITY: epoch} if kind == "complete" else {STOPPED: "epoch 1"}
        goals = {"goals": [accuracy, float(cost.macs)]} if kind == "complete" else {}
        yield {
            "number": number, "started": now, "ended": now, "values": values, "attributes": attributes,
            "state": TrialState.COMPLETE if kind == "complete" else TrialState.PRUNED, **goals,
        }  # fmt: skip
        number += 1
