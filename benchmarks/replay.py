"""Replays of searches on a table of real learning curves: a method proposes, and epochs are read instead of trained.

Two workers train in parallel, and each that is free gets the next proposal. What is measured is the hypervolume of
accuracy against multiply-accumulates after each epoch that anybody trained.
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

from benchmarks.curves import EPOCHS, FIGURES, NUM_CLASSES, SETTINGS, TABLE
from objectives.budget import BUDGETS
from objectives.front import hypervolume, non_dominated
from search.config.trial_config import ARCHITECTURE, TrialConfig
from search.space.ranges import all_values
from search.space.search_space import SearchSpace, make_search_space
from search.space.subspace import Subspace

WORKERS = 2
MOST_MACS = BUDGETS["dcase2022"].limits()["macs"]
LEAST_MACS = 300_000  # below every network of the table: where the scale begins
CHANCE = 1 / NUM_CLASSES

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Table:
    """Configurations, what they cost, and how those that fit learn.

    Attributes:
        points: What varies, by its name in a study.
        macs: (N,), of one clip.
        fits: (N,), whether the budget allows it.
        curves: (N, epochs) of each figure, from the first seed; NaN of what does not fit.
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
        """The row of a configuration, by what varies."""
        return {key_of(point): row for row, point in enumerate(self.points)}

    @cached_property
    def _row_of_config(self) -> dict[TrialConfig, int]:
        space = make_search_space(SETTINGS, NUM_CLASSES)
        return {space.config(point): row for row, point in enumerate(self.points)}

    def row_of_config(self, config: TrialConfig) -> int:
        """Return the row of a configuration, whatever its seed."""
        return self._row_of_config[replace(config, recipe=replace(config.recipe, seed=SETTINGS.seed))]

    @cached_property
    def best(self) -> float:
        """Hypervolume of the whole table."""
        return volume([(float(self.accuracy[row, -1]), float(self.macs[row])) for row in np.flatnonzero(self.fits)])


def key_of(point: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return a key of a configuration that does not depend on the order of its values."""
    return tuple(sorted(point.items()))


def read_table(path: Path = TABLE, seed: int = 0) -> Table:
    """Read the table of learning curves, as the training from one seed went.

    Raises:
        ValueError: A configuration that fits was not trained.
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
                **{name: _plain(first[name], subspace, name) for name in subspace.ranges},
            }
        )
        macs.append(int(first["macs"]))
        fits.append(bool(first["fits"]))
        own = rows[rows["seed"] == seed].sort_values("epoch")
        known = len(own) == EPOCHS
        curves.append(own[list(FIGURES)].to_numpy(np.float64) if known else np.full((EPOCHS, len(FIGURES)), np.nan))
    whole = np.stack(curves)
    missing = np.flatnonzero(np.isnan(whole[:, -1, 0]) & np.array(fits))
    if len(missing) and seed == SETTINGS.seed:
        raise ValueError(
            f"{path} has no curve of {len(missing)} configurations that fit, {dict(points[missing[0]])} among them; "
            "let `python -m benchmarks.curves` finish"
        )
    return Table(
        tuple(points), np.array(macs), np.array(fits), {name: whole[:, :, i] for i, name in enumerate(FIGURES)}
    )


def _plain(value: Any, subspace: Subspace, name: str) -> Any:
    """Return a value as the space has it: a column with gaps holds whole numbers as floats."""
    return next(each for each in all_values(subspace.ranges[name]) if each == value)


@dataclass(frozen=True)
class Job:
    """A training that a method proposed.

    Attributes:
        token: The method's own name of it.
        row: Of the table.
        epoch: Epochs that were trained before.
    """

    token: Any
    row: int
    epoch: int = 0


class Method(Protocol):
    """A way to search."""

    def propose(self) -> Job | None:
        """Return the next training, or None where there is none now."""

    def note(self, job: Job, epoch: int) -> bool:
        """Record an epoch; return whether the training ends here."""

    def claimed(self) -> list[tuple[float, float]] | None:
        """Return accuracy and MACs of all that the method would call trained; None: what was trained to the end."""


@dataclass(frozen=True, eq=False)
class Trace:
    """What a replay came to.

    Attributes:
        volumes: (budget,) hypervolume of what is trained to the end, after each epoch.
        claimed: (budget,) hypervolume of what the method would call its front.
        num_trained: Configurations that were trained to the end.
        num_started: Configurations of which an epoch was trained.
        num_partial: Values on what the method calls its front, at the end, that are not of full fidelity.
    """

    volumes: Floats
    claimed: Floats
    num_trained: int
    num_started: int
    num_partial: int


def replay(method: Method, table: Table, budget: int, *, costly: bool = False) -> Trace:
    """Run a method until it has spent `budget` epochs.

    Args:
        method: Asks.
        table: Answers.
        budget: Epochs, over all trainings.
        costly: Whether an epoch takes a time in proportion to the network's MACs; else all take the same.
    """
    volumes, claims = np.zeros(budget), np.zeros(budget)
    finished: dict[int, tuple[float, float]] = {}
    started: set[int] = set()
    queue: list[tuple[float, int, Job, int]] = []
    free, clock, order, spent = WORKERS, 0.0, 0, 0
    volume_now = claim_now = 0.0
    while spent < budget:
        while free:
            job = method.propose()
            if job is None:
                break
            free -= 1
            order += 1
            heapq.heappush(queue, (clock + _duration(table, job, costly), order, job, job.epoch + 1))
        if not queue:
            break  # nothing is left to search
        clock, _, job, epoch = heapq.heappop(queue)
        spent += 1
        started.add(job.row)
        ends = method.note(job, epoch)
        if epoch == EPOCHS and job.row not in finished:
            finished[job.row] = float(table.accuracy[job.row, -1]), float(table.macs[job.row])
            volume_now = volume(list(finished.values()))
        if ends or epoch == EPOCHS:
            free += 1
            claimed = method.claimed()
            claim_now = volume_now if claimed is None else volume(claimed)
        else:
            order += 1
            heapq.heappush(queue, (clock + _duration(table, job, costly), order, job, epoch + 1))
        volumes[spent - 1], claims[spent - 1] = volume_now, claim_now
    volumes[spent:], claims[spent:] = volume_now, claim_now
    return Trace(volumes, claims, len(finished), len(started), _num_partial(method.claimed(), list(finished.values())))


def _duration(table: Table, job: Job, costly: bool) -> float:
    return float(table.macs[job.row]) / 1e6 if costly else 1.0


def _num_partial(claimed: Sequence[tuple[float, float]] | None, full: Sequence[tuple[float, float]]) -> int:
    if not claimed:
        return 0
    on_front = non_dominated(np.array(claimed), [True, False])
    known = set(full)
    return len({point for point, is_on in zip(claimed, on_front, strict=True) if is_on and point not in known})


def volume(points: Sequence[tuple[float, float]]) -> float:
    """Return the share that points of accuracy and MACs cover of what lies between chance and all right.

    MACs are on a logarithmic scale from `LEAST_MACS` to `MOST_MACS`: to halve them is worth as much at every size.
    """
    if not points:
        return 0.0
    values = np.array(points, dtype=np.float64)
    values[:, 1] = np.log(values[:, 1] / LEAST_MACS) / np.log(MOST_MACS / LEAST_MACS)
    return hypervolume(values, (CHANCE, 1.0), [True, False]) / (1 - CHANCE)


def reported(table: Table, row: int, epoch: int) -> dict[str, Any]:
    """Return what an actor reports of one epoch of a configuration."""
    figures = {name: float(values[row, epoch - 1]) for name, values in table.curves.items()}
    summary = {"epoch": epoch, "split": SETTINGS.split, **figures, "unseen_accuracy": None, "duration_s": 1.0}
    quality = {"macro_accuracy": figures["macro_accuracy"], "log_loss": figures["log_loss"]}
    return {
        "epochs": json.dumps([summary]),
        "quality": json.dumps(quality),
        "versions": "{}",
        "done": epoch == EPOCHS,
    }


def space_of(seed: int, **overrides: Any) -> SearchSpace:
    """Return the search space of the table's space."""
    settings = replace(SETTINGS, **{"trials": 10_000, "seed": seed, **overrides})
    return make_search_space(settings, NUM_CLASSES)
