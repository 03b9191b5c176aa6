"""Rejected proposals: written in one transaction, against one per parameter and attribute, as by Optuna's default.

The database is a file in the results folder, with SQLite's defaults in both cases: each transaction is on disk before
the next one begins. The slower the disk's fsync, the larger the speedup.
"""

import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import optuna
import torch
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import TPESampler
from optuna.trial import Trial, TrialState

from benchmarks.measurement import Measurement, compare
from search.config.settings import SearchSettings
from search.optimizer.trial_store import TrialStore, open_trial_store
from search.space.pricing import price
from search.space.search_space import SearchSpace, make_search_space
from search.study.creation import create_study
from search.study.study import CONFIG, COST, REJECTED, RESULTS, StudyFolder

SPACES = ("isotropic", "all")
NUM_TRIALS = 100  # in the study at the start
NUM_RUNNING = 2
NUM_REJECTED = 10  # per round
ROUNDS = 5
GOAL = 2


class StepwiseStore(TrialStore):
    """Trial store that writes each parameter and attribute in a transaction of its own, as Optuna does by default."""

    def __init__(self, study: optuna.Study, space: SearchSpace) -> None:  # noqa: ARG002 - of `TrialStore`
        self._study = study
        with warnings.catch_warnings(category=ExperimentalWarning, action="ignore"):
            self._study.sampler = TPESampler(multivariate=True, group=True, seed=1)

    def ask(self, seed: int) -> Trial:  # noqa: ARG002 - of `TrialStore`
        """Create a trial in the database."""
        return self._study.ask()

    def create(self, trial: Trial, *, is_rejected: bool) -> int:
        """Write the state; parameters and attributes are already written."""
        if is_rejected:
            self._study.tell(trial, state=TrialState.PRUNED)
        return trial.number


def measure() -> Iterator[Measurement]:
    """Time both stores on equal studies, for a space of one architecture and of several."""
    torch.set_num_threads(1)
    RESULTS.mkdir(exist_ok=True)
    for name in SPACES:
        with tempfile.TemporaryDirectory(dir=RESULTS) as folder:
            yield _rejected_proposal(name, Path(folder))


def _rejected_proposal(name: str, path: Path) -> Measurement:
    settings = SearchSettings(data="", space=name, trials=1, epochs=1)
    space = make_search_space(settings, num_classes=10)
    baseline_folder, baseline = filled_study(path / "baseline", space, StepwiseStore)
    ours_folder, ours = filled_study(path / "ours", space, open_trial_store)
    before = _num_transactions(baseline_folder), _num_transactions(ours_folder)
    times = compare(partial(reject, baseline, space), partial(reject, ours, space), ROUNDS)
    num_rejected = NUM_REJECTED * (ROUNDS + 1)
    measured = {
        "baseline_ms": times["baseline_s"] / NUM_REJECTED * 1e3,
        "baseline_transactions": (_num_transactions(baseline_folder) - before[0]) / num_rejected,
        "ours_ms": times["ours_s"] / NUM_REJECTED * 1e3,
        "ours_transactions": (_num_transactions(ours_folder) - before[1]) / num_rejected,
    }
    return Measurement(f"rejected proposal in the space {name}", times["ratio"], "times", GOAL, True, measured)


def filled_study(
    path: Path,
    space: SearchSpace,
    make_store: Callable[[optuna.Study, SearchSpace], TrialStore],
    num_trials: int = NUM_TRIALS,
) -> tuple[StudyFolder, TrialStore]:
    """Return a study with running and rejected trials, and its store."""
    folder = StudyFolder(path)
    study = create_study(folder, space.settings, {})
    store = open_trial_store(study, space)
    for number in range(num_trials):
        _propose(store, space, number, is_rejected=number >= NUM_RUNNING)
    return folder, make_store(study, space)


def reject(store: TrialStore, space: SearchSpace) -> None:
    """Reject `NUM_REJECTED` proposals."""
    for seed in range(NUM_REJECTED):
        _propose(store, space, NUM_TRIALS + seed, is_rejected=True)


def _propose(store: TrialStore, space: SearchSpace, seed: int, *, is_rejected: bool) -> None:
    """Sample, price and store a trial, as the candidate generator does, whatever its cost."""
    trial = store.ask(seed)
    params = space.suggest(trial)
    with suppress(ValueError):  # an invalid network has no cost
        cost = price(space.config(params), space.settings.precision)
        trial.set_user_attr(COST, cost.to_dict())
        for name, excess in space.budget.excess(cost).items():
            trial.set_constraint(name, excess)
    if is_rejected:
        trial.set_user_attr(REJECTED, {"kind": "over macs", "reason": "over budget"})
    else:
        trial.set_user_attr(CONFIG, params)
    store.create(trial, is_rejected=is_rejected)


def _num_transactions(folder: StudyFolder) -> int:
    """Return SQLite's file change counter, bytes 24 to 27: https://www.sqlite.org/fileformat2.html, section 1.3.7."""
    return int.from_bytes(folder.database.read_bytes()[24:28], "big")
