"""Replays of search methods on a sample of real learning curves (benchmarks/voices.parquet, of `benchmarks.pool`).

A method proposes configurations of the sample and sees the validation metrics of one of their trainings, drawn for each
replay. It is judged by what it never sees: the mean accuracy of all trainings on the evaluation clips. There are two
workers, and an epoch takes the processor time that it took.

Shape letters: N configurations, T trainings of each, E epochs, B epochs of a replay.
"""

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from benchmarks.pool import EPOCHS, METRICS, NUM_CLASSES, SETTINGS, TABLE, space
from benchmarks.replay import Job, Method, epoch_report
from objectives.front import hypervolume, non_dominated
from objectives.reference import chance_value, normalized
from search.config.trial_config import ARCHITECTURE, TrialConfig
from search.space.ranges import all_values, nearest
from search.space.subspace import Subspace

WORKERS = 2
OBJECTIVES = ("macro_accuracy", "macs")

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Pool:
    """Configurations with their costs and learning curves.

    Attributes:
        points: Parameters of each configuration in a study, with the architecture.
        configs: Configuration of each, of seed 0.
        macs: (N,), of one clip.
        seconds: (N,), processor seconds of an epoch.
        curves: By metric, (N, T, E), on the validation clips; NaN after a training diverged.
        truth: (N,), mean macro accuracy of the trainings on the evaluation clips; chance for one that diverged.
        initial: Indices of the initial design.
    """

    points: tuple[Mapping[str, Any], ...]
    configs: tuple[TrialConfig, ...]
    macs: Floats
    seconds: Floats
    curves: Mapping[str, Floats]
    truth: Floats
    initial: tuple[int, ...]

    def scaled(self, rows: npt.ArrayLike, accuracy: npt.ArrayLike) -> Floats:
        """Return the objectives of configurations scaled to 0..1 above chance at the budget's limits, (R, 2)."""
        values = np.stack([np.asarray(accuracy, dtype=np.float64), self.macs[np.asarray(rows, dtype=np.int64)]], axis=1)
        return normalized(values, OBJECTIVES, NUM_CLASSES, space().budget.limits())


def read_pool(path: Path = TABLE) -> Pool:
    """Read the configurations of which every training is in the table.

    Raises:
        ValueError: There are none.
    """
    frame = pd.read_parquet(path)
    num_trainings = frame.groupby("point")["seed"].nunique()
    complete = num_trainings[num_trainings == num_trainings.max()].index.to_numpy()
    if not len(complete):
        raise ValueError(f"{path} has no trainings; `python -m benchmarks.pool` makes them")
    shape = len(complete), int(num_trainings.max()), EPOCHS
    curves = {name: np.full(shape, np.nan) for name in METRICS}
    evaluated, points, macs, initial, seconds = np.full(shape[:2], 1 / NUM_CLASSES), [], [], [], []
    for place, number in enumerate(complete.tolist()):
        rows = frame[frame["point"] == number]
        points.append(_point(rows.iloc[0]))
        macs.append(float(rows["macs"].iloc[0]))
        seconds.append(float(rows["cpu_s"].median()))
        initial += [place] if rows["initial"].iloc[0] else []
        for column, (_, training) in enumerate(rows.groupby("seed")):
            for name in METRICS:
                curves[name][place, column, training["epoch"].to_numpy(dtype=int) - 1] = training[name]
            if len(training) == EPOCHS:
                evaluated[place, column] = training["evaluation_macro_accuracy"].iloc[-1]
    configs = tuple(space().config(point) for point in points)
    return Pool(
        tuple(points), configs, np.array(macs), np.array(seconds), curves, evaluated.mean(axis=1), tuple(initial)
    )


def _point(row: "pd.Series[Any]") -> dict[str, Any]:
    """Return the parameters of a row of the table, in the types of the space."""
    subspace = space().subspaces[str(row[ARCHITECTURE])]
    return {
        ARCHITECTURE: subspace.architecture,
        **{name: _typed(subspace, name, row[name]) for name in subspace.ranges},
    }


def _typed(subspace: Subspace, name: str, value: Any) -> Any:
    """Return a parameter's value in the type of its range: a column with gaps stores integers as floats."""
    distribution = subspace.ranges[name]
    if hasattr(distribution, "choices"):
        return next(each for each in all_values(distribution) if each == value)
    return nearest(distribution, value)


@dataclass(frozen=True, eq=False)
class PoolTrace:
    """Result of one replay, after each of its B epochs.

    Attributes:
        chosen: (B,), hypervolume of what is on the front of the completed by their validation figures, at its truth.
        trained: (B,), hypervolume of all that is fully trained, at its truth: the front chosen with hindsight.
        best: (B,), truth of the best by validation; 0 before the first.
        clock: (B,), processor seconds at the end of the epoch.
        rows: Fully trained configurations, in their order.
        seconds_at_chance: Share of the seconds of configurations whose truth is within 0.02 of chance.
    """

    chosen: Floats
    trained: Floats
    best: Floats
    clock: Floats
    rows: tuple[int, ...]
    seconds_at_chance: float


class Training:
    """What a method sees of the pool in one replay: of each configuration the training that was drawn for it."""

    def __init__(self, pool: Pool, seed: int) -> None:
        self.pool = pool
        rng = np.random.default_rng([seed, 1])
        self._column = rng.integers(0, next(iter(pool.curves.values())).shape[1], len(pool.points))

    def metric(self, row: int, epoch: int, name: str = "macro_accuracy") -> float:
        """Return a metric after an epoch, counted from 1; NaN once the training has diverged."""
        return float(self.pool.curves[name][row, self._column[row], epoch - 1])

    def result(self, row: int, epoch: int) -> dict[str, Any]:
        """Return the result that a trial's actor would report after an epoch."""
        metrics = {name: self.metric(row, epoch, name) for name in METRICS}
        if not np.isfinite(metrics["macro_accuracy"]):
            return {"epochs": "[]", "failure": "diverged", "done": True}
        return epoch_report({"train_loss": 0.0, **metrics}, epoch, SETTINGS, float(self.pool.seconds[row]))


def replay_pool(method: Method, training: Training, budget: int) -> PoolTrace:
    """Run a method until it has used its budget of epochs."""
    pool = training.pool
    queue: list[tuple[float, int, Job, int]] = []  # end of the epoch, tie-breaker, job, epoch
    found = np.zeros((3, budget))
    clock, spent, order, num_free = np.zeros(budget), 0, 0, WORKERS
    now, current, at_chance, total = 0.0, (0.0, 0.0, 0.0), 0.0, 0.0
    rows: dict[int, None] = {}
    while spent < budget:
        while num_free and (job := method.propose()) is not None:
            num_free, order = num_free - 1, order + 1
            heapq.heappush(queue, (now + pool.seconds[job.row], order, job, job.num_epochs + 1))
        if not queue:
            break  # the sample is exhausted
        now, _, job, epoch = heapq.heappop(queue)
        total += pool.seconds[job.row]
        at_chance += pool.seconds[job.row] * (pool.truth[job.row] < 1 / NUM_CLASSES + 0.02)
        stops = method.report(job, epoch)
        if epoch == EPOCHS and np.isfinite(training.metric(job.row, epoch)):
            rows[job.row] = None
            current = judged(pool, list(rows), [training.metric(row, EPOCHS) for row in rows])
        if stops or epoch == EPOCHS:
            num_free += 1
        else:
            order += 1
            heapq.heappush(queue, (now + pool.seconds[job.row], order, job, epoch + 1))
        found[:, spent], clock[spent] = current, now
        spent += 1
    found[:, spent:], clock[spent:] = np.array(current)[:, None], now
    return PoolTrace(found[0], found[1], found[2], clock, tuple(rows), at_chance / max(total, 1e-9))


def judged(pool: Pool, rows: Sequence[int], validation: Sequence[float]) -> tuple[float, float, float]:
    """Return the hypervolume of a choice by validation, that of all, and the truth of the best by validation."""
    truth = pool.truth[list(rows)]
    seen, true = pool.scaled(rows, validation), pool.scaled(rows, truth)
    chance = chance_value("macro_accuracy", NUM_CLASSES)
    on_front = non_dominated(seen, [True, True]) & (np.asarray(validation) > chance)
    worst = [0.0, 0.0]
    return (
        hypervolume(true[on_front], worst, [True, True]),
        hypervolume(true, worst, [True, True]),
        float(truth[int(np.argmax(validation))]),
    )


def max_hypervolume(pool: Pool) -> float:
    """Return the hypervolume of the whole sample, at its truth."""
    return hypervolume(pool.scaled(range(len(pool.points)), pool.truth), [0.0, 0.0], [True, True])


def row_of_config(pool: Pool) -> Mapping[TrialConfig, int]:
    """Return the row of each configuration, of seed 0."""
    return {config: row for row, config in enumerate(pool.configs)}
