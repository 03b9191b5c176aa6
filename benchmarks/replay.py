"""Tabular benchmark of search methods: epochs are looked up in a table of learning curves instead of being trained.

Two workers run in parallel; a free one gets the method's next proposal. The result is the hypervolume of accuracy
against multiply-accumulates over the number of epochs, those of all trainings counted together.
"""

import heapq
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from benchmarks.curves import EPOCHS, METRICS, NUM_CLASSES, SETTINGS, TABLE
from objectives.budget import BUDGETS
from objectives.front import hypervolume, non_dominated
from search.config.settings import SearchSettings
from search.config.trial_config import ARCHITECTURE, TrialConfig
from search.space.ranges import all_values
from search.space.search_space import SearchSpace, make_search_space
from search.space.subspace import Subspace

WORKERS = 2
MAX_MACS = BUDGETS["dcase2022"].limits()["macs"]
MIN_MACS = 300_000  # lower end of the scale, below every network of the table
CHANCE_ACCURACY = 1 / NUM_CLASSES

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Table:
    """Configurations with their costs and learning curves.

    Attributes:
        points: Searched parameters of each configuration, by their names in a study.
        macs: (N,), of one clip.
        fits: (N,), whether a configuration fits the budget.
        curves: By metric, (N, epochs), of one seed; NaN for a configuration that was not trained.
    """

    points: tuple[Mapping[str, Any], ...]
    macs: npt.NDArray[np.int64]
    fits: npt.NDArray[np.bool_]
    curves: Mapping[str, Floats]

    @property
    def accuracy(self) -> Floats:
        """Macro accuracy, (N, epochs)."""
        return self.curves["macro_accuracy"]

    @cached_property
    def row_of(self) -> dict[tuple[Any, ...], int]:
        """Row of each configuration, by `key_of` its parameters."""
        return {key_of(point): row for row, point in enumerate(self.points)}

    @cached_property
    def _row_of_config(self) -> dict[TrialConfig, int]:
        space = make_search_space(SETTINGS, NUM_CLASSES)
        return {space.config(point): row for row, point in enumerate(self.points)}

    def row_of_config(self, config: TrialConfig) -> int:
        """Return the row of a configuration; its seed is ignored."""
        return self._row_of_config[replace(config, recipe=replace(config.recipe, seed=SETTINGS.seed))]

    @cached_property
    def max_hypervolume(self) -> float:
        """Normalized hypervolume of the whole table, fully trained."""
        rows = np.flatnonzero(self.fits)
        return normalized_hypervolume([(float(self.accuracy[row, -1]), float(self.macs[row])) for row in rows])


def key_of(point: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return a hashable key of parameters, independent of their order."""
    return tuple(sorted(point.items()))


def read_table(path: Path = TABLE, seed: int = 0) -> Table:
    """Read the learning curves of one seed.

    Raises:
        ValueError: A configuration that fits the budget has no curve from the first seed.
    """
    frame = pd.read_parquet(path)
    space = make_search_space(SETTINGS, NUM_CLASSES)
    points, macs, fits, curves = [], [], [], []
    names = list(dict.fromkeys(name for subspace in space.subspaces.values() for name in subspace.ranges))
    for _, rows in frame.groupby([ARCHITECTURE, *names], sort=False, dropna=False):
        first = rows.iloc[0]
        subspace = space.subspaces[str(first[ARCHITECTURE])]
        points.append(
            {
                ARCHITECTURE: subspace.architecture,
                **{name: _typed_value(first[name], subspace, name) for name in subspace.ranges},
            }
        )
        macs.append(int(first["macs"]))
        fits.append(bool(first["fits"]))
        curve = rows[rows["seed"] == seed].sort_values("epoch")
        is_complete = len(curve) == EPOCHS
        missing_curve = np.full((EPOCHS, len(METRICS)), np.nan)
        curves.append(curve[list(METRICS)].to_numpy(np.float64) if is_complete else missing_curve)
    stacked = np.stack(curves)
    missing = np.flatnonzero(np.isnan(stacked[:, -1, 0]) & np.array(fits))
    if len(missing) and seed == SETTINGS.seed:
        raise ValueError(
            f"{path} has no curve of {len(missing)} configurations that fit the budget, such as "
            f"{dict(points[missing[0]])}; `python -m benchmarks.curves` trains them"
        )
    return Table(
        tuple(points), np.array(macs), np.array(fits), {name: stacked[:, :, i] for i, name in enumerate(METRICS)}
    )


def _typed_value(value: Any, subspace: Subspace, name: str) -> Any:
    """Return a parameter's value in the type of the space: a column with gaps stores integers as floats."""
    return next(each for each in all_values(subspace.ranges[name]) if each == value)


@dataclass(frozen=True)
class Job:
    """Training that a method proposes.

    Attributes:
        trial: The method's own handle of the trial.
        row: Its configuration's row in the table.
        num_epochs: Epochs that are trained already.
    """

    trial: Any
    row: int
    num_epochs: int = 0


class Method(Protocol):
    """Interface of a search method."""

    def propose(self) -> Job | None:
        """Return the next training; None if there is none at the moment."""

    def report(self, job: Job, epoch: int) -> bool:
        """Record an epoch; return whether the training stops after it."""

    def completed(self) -> list[tuple[float, float]] | None:
        """Return accuracy and MACs of the trials that the method reports as complete; None: of all fully trained."""


@dataclass(frozen=True, eq=False)
class Trace:
    """Result of one run of a method.

    Attributes:
        hypervolume: (budget,), of the fully trained configurations after each epoch, normalized.
        reported: (budget,), of the trials that the method reports as complete.
        num_trained: Number of fully trained configurations.
        num_started: Number of configurations of which at least one epoch was trained.
        num_partial: Points on the method's reported front, at the end, that are not fully trained.
    """

    hypervolume: Floats
    reported: Floats
    num_trained: int
    num_started: int
    num_partial: int


def replay(method: Method, table: Table, budget: int, *, macs_as_time: bool = False) -> Trace:
    """Run a method on the table until it has used its budget of epochs.

    Args:
        method: The search method.
        table: The learning curves.
        budget: Epochs of all trainings together.
        macs_as_time: Whether an epoch takes time in proportion to the network's MACs; else all take the same time.
    """
    hypervolumes, reported = np.zeros(budget), np.zeros(budget)
    finished: dict[int, tuple[float, float]] = {}
    started: set[int] = set()
    queue: list[tuple[float, int, Job, int]] = []  # end of the epoch, tie-breaker, job, epoch
    num_free, clock, order, spent = WORKERS, 0.0, 0, 0
    current = current_reported = 0.0
    while spent < budget:
        while num_free:
            job = method.propose()
            if job is None:
                break
            num_free -= 1
            order += 1
            heapq.heappush(queue, (clock + _duration(table, job, macs_as_time), order, job, job.num_epochs + 1))
        if not queue:
            break  # the search space is exhausted
        clock, _, job, epoch = heapq.heappop(queue)
        spent += 1
        started.add(job.row)
        stops = method.report(job, epoch)
        if epoch == EPOCHS and job.row not in finished:
            finished[job.row] = float(table.accuracy[job.row, -1]), float(table.macs[job.row])
            current = normalized_hypervolume(list(finished.values()))
        if stops or epoch == EPOCHS:
            num_free += 1
            completed = method.completed()
            current_reported = current if completed is None else normalized_hypervolume(completed)
        else:
            order += 1
            heapq.heappush(queue, (clock + _duration(table, job, macs_as_time), order, job, epoch + 1))
        hypervolumes[spent - 1], reported[spent - 1] = current, current_reported
    hypervolumes[spent:], reported[spent:] = current, current_reported
    num_partial = _num_partial(method.completed(), list(finished.values()))
    return Trace(hypervolumes, reported, len(finished), len(started), num_partial)


def _duration(table: Table, job: Job, macs_as_time: bool) -> float:
    return float(table.macs[job.row]) / 1e6 if macs_as_time else 1.0


def _num_partial(completed: Sequence[tuple[float, float]] | None, trained: Sequence[tuple[float, float]]) -> int:
    """Count the points on the front of `completed` that are not fully trained."""
    if not completed:
        return 0
    on_front = non_dominated(np.array(completed), [True, False])
    known = set(trained)
    return len({point for point, is_on in zip(completed, on_front, strict=True) if is_on and point not in known})


def normalized_hypervolume(points: Sequence[tuple[float, float]]) -> float:
    """Return the hypervolume of points (accuracy, MACs), as a fraction of that between chance and perfect accuracy.

    MACs are on a logarithmic scale from `MIN_MACS` to `MAX_MACS`: halving them counts the same at every size.
    """
    if not points:
        return 0.0
    values = np.array(points, dtype=np.float64)
    values[:, 1] = np.log(values[:, 1] / MIN_MACS) / np.log(MAX_MACS / MIN_MACS)
    return hypervolume(values, (CHANCE_ACCURACY, 1.0), [True, False]) / (1 - CHANCE_ACCURACY)


def actor_result(table: Table, row: int, epoch: int) -> dict[str, Any]:
    """Return the result that a trial's actor would report after an epoch."""
    metrics = {name: float(values[row, epoch - 1]) for name, values in table.curves.items()}
    return epoch_report(metrics, epoch, SETTINGS)


def epoch_report(
    metrics: Mapping[str, float], epoch: int, settings: SearchSettings, duration_s: float = 1.0
) -> dict[str, Any]:
    """Return what a trial's actor reports after an epoch with these metrics."""
    summary = {"epoch": epoch, "split": settings.split, **metrics, "unseen_accuracy": None, "duration_s": duration_s}
    quality = {"macro_accuracy": metrics["macro_accuracy"], "log_loss": metrics["log_loss"]}
    return {
        "epochs": json.dumps([summary]),
        "quality": json.dumps(quality),
        "versions": "{}",
        "done": epoch == settings.epochs,
    }


def space_of(seed: int, **overrides: Any) -> SearchSpace:
    """Return the search space of the table, for a search with a seed and other settings."""
    settings = replace(SETTINGS, **{"trials": 10_000, "seed": seed, **overrides})
    return make_search_space(settings, NUM_CLASSES)
