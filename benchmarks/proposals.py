"""Reject a proposal: sampled in memory and written in one transaction, against every step written by itself.

On a database file where studies lie, with SQLite's own defaults on both sides: each transaction is on the disk before
the next begins. On a disk that takes long to confirm, fewer transactions gain more.
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

from benchmarks.figure import Figure, compare
from search.config.settings import SearchSettings
from search.optimizer.trial_store import TrialStore, open_trial_store
from search.space.pricing import price
from search.space.search_space import SearchSpace, make_search_space
from search.study.study import CONFIG, COST, REJECTED, RESULTS, StudyFolder

SPACES = ("isotropic", "all")
NUM_BEFORE = 100  # trials in the study
NUM_RUNNING = 2
NUM_REJECTED = 10  # a round
ROUNDS = 5
GOAL = 2


class Stepwise(TrialStore):
    """Samples from the database and writes each value and attribute at once, as Optuna does by itself."""

    def __init__(self, study: optuna.Study, space: SearchSpace) -> None:  # noqa: ARG002 - of a trial store
        self._study = study
        with warnings.catch_warnings(category=ExperimentalWarning, action="ignore"):
            self._study.sampler = TPESampler(multivariate=True, group=True, seed=1)

    def ask(self, seed: int) -> Trial:  # noqa: ARG002 - of a trial store
        """Start a trial in the database."""
        return self._study.ask()

    def create(self, trial: Trial, *, is_rejected: bool) -> int:
        """Write the verdict: all else is there."""
        if is_rejected:
            self._study.tell(trial, state=TrialState.PRUNED)
        return trial.number


def figures() -> Iterator[Figure]:
    """Time both on studies of the same trials, for one architecture and for several."""
    torch.set_num_threads(1)
    RESULTS.mkdir(exist_ok=True)
    for name in SPACES:
        with tempfile.TemporaryDirectory(dir=RESULTS) as folder:
            yield _rejecting(name, Path(folder))


def _rejecting(name: str, path: Path) -> Figure:
    settings = SearchSettings(data="", space=name, trials=1, epochs=1)
    space = make_search_space(settings, num_classes=10)
    plain_folder, plain = filled(path / "plain", space, Stepwise)
    ours_folder, ours = filled(path / "ours", space, open_trial_store)
    before = _num_transactions(plain_folder), _num_transactions(ours_folder)
    times = compare(partial(reject, plain, space), partial(reject, ours, space), ROUNDS)
    num_rejected = NUM_REJECTED * (ROUNDS + 1)
    measured = {
        "plain_ms": times["plain_s"] / NUM_REJECTED * 1e3,
        "plain_transactions": (_num_transactions(plain_folder) - before[0]) / num_rejected,
        "ours_ms": times["ours_s"] / NUM_REJECTED * 1e3,
        "ours_transactions": (_num_transactions(ours_folder) - before[1]) / num_rejected,
    }
    return Figure(f"a rejected proposal of the space {name}", times["ratio"], "times", GOAL, True, measured)


def filled(
    path: Path,
    space: SearchSpace,
    make: Callable[[optuna.Study, SearchSpace], TrialStore],
    num_trials_before_extension: int = NUM_BEFORE,
) -> tuple[StudyFolder, TrialStore]:
    """Make a study with trials that were rejected and some that run."""
    folder = StudyFolder(path)
    study = folder.create(space.settings, {})
    filling = open_trial_store(study, space)
    for number in range(num_trials_before_extension):
        _propose(filling, space, number, is_rejected=number >= NUM_RUNNING)
    return folder, make(study, space)


def reject(store: TrialStore, space: SearchSpace) -> None:
    """Reject `NUM_REJECTED` proposals."""
    for seed in range(NUM_REJECTED):
        _propose(store, space, NUM_BEFORE + seed, is_rejected=True)


def _propose(store: TrialStore, space: SearchSpace, seed: int, *, is_rejected: bool) -> None:
    """Sample, price and record a configuration, as the candidate generator does it, whatever it costs."""
    trial = store.ask(seed)
    values = space.suggest(trial)
    with suppress(ValueError):  # what builds no network has no price
        cost = price(space.config(values), space.settings.precision)
        trial.set_user_attr(COST, cost.to_dict())
        for name, excess in space.budget.excess(cost).items():
            trial.set_constraint(name, excess)
    verdict = {"kind": "over macs", "reason": "over budget"} if is_rejected else values
    trial.set_user_attr(REJECTED if is_rejected else CONFIG, verdict)
    store.create(trial, is_rejected=is_rejected)


def _num_transactions(folder: StudyFolder) -> int:
    """SQLite's file change counter, bytes 24 to 27: https://www.sqlite.org/fileformat2.html, section 1.3.7."""
    return int.from_bytes(folder.database.read_bytes()[24:28], "big")
