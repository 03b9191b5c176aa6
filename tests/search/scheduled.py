"""Trial schedulers of studies in a folder, and what an actor would report to them."""

import json
from collections import Counter

from search.config.settings import SearchSettings
from search.optimizer.scheduler import TrialScheduler
from search.optimizer.successive_halving import rungs_of
from search.optimizer.trial_table import State
from search.space.search_space import make_search_space
from search.study.creation import create_study
from tests.search.priced import priced
from tests.search.rows import row

SETTINGS = SearchSettings(data="nowhere", space="isotropic", trials=4, epochs=9, seed=3)


def start(folder, settings=SETTINGS, splits=(), folds=1):
    study = folder.open() if folder.database.exists() else create_study(folder, settings, {})
    return TrialScheduler(study, priced(settings), rungs_of(settings, splits, folds))


def states_of(scheduler):
    return Counter(row.state for row in scheduler.table)


def numbers(scheduler, state):
    return [row.number for row in scheduler.table.in_state(state)]


def add_others(scheduler, *accuracies):
    """Record expensive trials of other numbers at the first rung."""
    for number, accuracy in enumerate(accuracies, 1_000):
        scheduler.table.add(row(number, 3, accuracy, state=State.FAILED))


def ask(scheduler):
    trial = scheduler.study.ask()
    scheduler.space.suggest(trial)
    return trial


def finish(scheduler):
    """Train all that is proposed, until nothing is."""
    while (job := scheduler.propose()) is not None:
        accuracy = 0.9 - job.number / 1000
        if job.curve or not scheduler.report(job.number, epochs(1, 3, accuracy)):
            scheduler.end(job.number, epochs(4, 9, accuracy))
        else:
            assert scheduler.end(job.number, epochs(3, 3, accuracy)) == "paused"


def epochs(first, last, accuracy):
    """Return what an actor reports of some epochs, all at once."""
    curve = [
        {
            "epoch": n,
            "split": "fold1",
            "train_loss": 1.0,
            "macro_accuracy": accuracy,
            "log_loss": 2.0,
            "duration_s": 0.1,
        }
        for n in range(first, last + 1)
    ]
    quality = {"macro_accuracy": accuracy, "log_loss": 2.0}
    report = {"epochs": json.dumps(curve), "quality": json.dumps(quality), "versions": json.dumps({"torch": "2"})}
    return {**report, "done": last == SETTINGS.epochs}


def start_values():
    subspace = make_search_space(SETTINGS, num_classes=10).subspaces["isotropic"]
    start = {subspace.field(name): value for name, value in subspace.published({"batch_size": 19}).items()}
    return start | {"width": 32, "patch": 8}
