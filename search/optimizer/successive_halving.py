"""Asynchronous successive halving (ASHA), by non-dominated rank of quality and cost, or by one quality.

Source: Li et al., A System for Massively Parallel Hyperparameter Tuning, MLSys 2020, algorithm 2. A trial is trained to
the end of a rung and paused there; of the n trials that are recorded at a rung, the best n / reduction factor are
promoted to the next one. Ranked by accuracy alone, small networks would be stopped for being small: so the cost, which
is known before the first step, is ranked with it, by the fronts of Deb et al. (NSGA-II), 2002.

Added to the algorithm:
    A constant classifier, which costs nothing and is right as often as chance, is ranked with the trials: what is no
    better than chance is on no front.
    Trials can be ranked by their predicted final values, in place of those at the rung.
    Cheap-to-finish promotion: see `SuccessiveHalving._cheap_to_finish`.
    At a closed rung, which no other trial will reach, the number to promote is rounded up: the best is always promoted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from objectives.front import non_dominated_rank
from objectives.goals import GOALS, directions, values_of
from objectives.reference import chance_value
from search.config.settings import Job
from search.optimizer.trial_table import TrialRow, TrialTable

RUNG_DIVISORS = (9, 3)  # rungs end after a ninth and a third of the epochs
FIRST_REDUCTION_FACTOR, LATER_REDUCTION_FACTOR = 3, 2  # stricter at the first rung, which is cheap to reach
MIN_EPOCHS = 6  # fewer epochs have a single rung: after a third of them a network has hardly learned

Values = tuple[float, ...]


@dataclass(frozen=True)
class Rung:
    """A rung of successive halving; epochs are counted over all rungs of a trial.

    Attributes:
        split: Split of the data to train on.
        start: Epoch at which the training that includes this rung began, from scratch.
        end: Epoch at the end of this rung.
        fold: Fold of the training clips that is held out for validation.
    """

    split: str
    start: int
    end: int
    fold: int = 0


def rung_epochs(epochs: int) -> tuple[int, ...]:
    """Return the epochs at which the rungs below the last end.

    >>> rung_epochs(32), rung_epochs(9), rung_epochs(8), rung_epochs(5)
    ((3, 10), (1, 3), (2,), ())
    """
    if epochs < MIN_EPOCHS:
        return ()
    return tuple(epochs // divisor for divisor in RUNG_DIVISORS if epochs >= divisor)


def rungs_of_epochs(split: str, epochs: int, *, early_stopping: bool) -> tuple[Rung, ...]:
    """Return the rungs of one training whose fidelity is its epochs."""
    ends = (*(rung_epochs(epochs) if early_stopping else ()), epochs)
    return tuple(Rung(split, 0, end) for end in ends)


def rungs_of_folds(split: str, epochs: int, folds: int, *, early_stopping: bool) -> tuple[Rung, ...]:
    """Return the rungs of one training for each fold, from scratch; the first is also stopped early.

    >>> [rung.end for rung in rungs_of_folds("fold1", 9, 3, early_stopping=True)]
    [1, 3, 9, 18, 27]
    """
    first = rungs_of_epochs(split, epochs, early_stopping=early_stopping)
    return (*first, *(Rung(split, fold * epochs, (fold + 1) * epochs, fold) for fold in range(1, folds)))


def rungs_of_splits(splits: Sequence[str], epochs: int) -> tuple[Rung, ...]:
    """Return the rungs of trainings from scratch on ever larger splits.

    >>> [(rung.split, rung.start, rung.end) for rung in rungs_of_splits(["5", "100"], 4)]
    [('5', 0, 4), ('100', 4, 8)]
    """
    return tuple(Rung(split, number * epochs, (number + 1) * epochs) for number, split in enumerate(splits))


def rungs_of(settings: Job, splits: Sequence[str], folds: int = 1) -> tuple[Rung, ...]:
    """Return the rungs of a job.

    Args:
        settings: Settings of the job.
        splits: Splits of increasing size; empty where epochs are the fidelity.
        folds: Folds that a fully trained trial was validated on.
    """
    if splits:
        return rungs_of_splits(splits if settings.early_stopping else splits[-1:], settings.epochs)
    return rungs_of_folds(settings.split, settings.epochs, folds, early_stopping=settings.early_stopping)


def comparable_epoch(rungs: Sequence[Rung], num_epochs: int) -> int:
    """Return the last epoch whose metrics compare with a fully trained trial's: of a later fold, only its end.

    >>> rungs = rungs_of_folds("fold1", 9, 3, early_stopping=True)
    >>> [comparable_epoch(rungs, num_epochs) for num_epochs in (2, 9, 10, 18, 26)]
    [2, 9, 9, 18, 18]
    """
    first = max((rung.end for rung in rungs if not rung.fold), default=0)
    if num_epochs <= first:
        return num_epochs
    return max((rung.end for rung in rungs if rung.fold and rung.end <= num_epochs), default=first)


def rung_index(rungs: Sequence[Rung], epochs: int) -> int:
    """Return the index of the rung that a trial is on after `epochs`; at the end of a rung, that rung.

    >>> [rung_index(rungs_of_epochs("fold1", 32, early_stopping=True), epochs) for epochs in (0, 3, 4, 32)]
    [0, 0, 1, 2]
    """
    return next((index for index, rung in enumerate(rungs) if epochs <= rung.end), len(rungs) - 1)


class SuccessiveHalving:
    """Decides which paused trials are promoted, from the rows of a table.

    A trial within the budget is recorded at a rung once it is trained to the rung's end, whatever its state is now.
    Methods take `predicted`: by trial number, the values to rank it by in place of its own.

    Attributes:
        rungs: Rungs; the last is full fidelity.
        objectives: Names of `GOALS` to rank by.
    """

    def __init__(
        self, table: TrialTable, rungs: Sequence[Rung], objectives: Sequence[str], num_classes: int,
        first_reduction_factor: int = FIRST_REDUCTION_FACTOR, later_reduction_factor: int = LATER_REDUCTION_FACTOR,
    ) -> None:  # fmt: skip
        """Read `table` anew at every call."""
        self._table, self.rungs, self.objectives = table, rungs, tuple(objectives)
        self._constant = [
            chance_value(name, num_classes) if GOALS[name].kind == "quality" else 0.0 for name in objectives
        ]
        self._factors = first_reduction_factor, later_reduction_factor

    def reduction_factor(self, index: int) -> int:
        """Return the number of trials recorded at a rung per promoted trial: all go on from the second fold."""
        return 1 if self.rungs[index].fold else self._factors[min(index, 1)]

    def ends_rung(self, row: TrialRow) -> bool:
        """Whether a trial is at the end of its rung, unless that is the last."""
        return row.rung < len(self.rungs) - 1 and row.num_epochs == self.rungs[row.rung].end

    def promotable(self, predicted: Mapping[int, Values]) -> list[int]:
        """Return the trials to promote now, the highest rung first, the best of each rung first."""
        found: list[int] = []
        for index in range(len(self.rungs) - 2, -1, -1):
            ranked = self._ranked(index, predicted)
            num_promoted = len(ranked) // self.reduction_factor(index)
            found += self._waiting(index, ranked[:num_promoted])
            found += self._cheap_to_finish(index, ranked)
        return list(dict.fromkeys(found))

    def promotable_in_closed_rungs(self, num_closed: int, predicted: Mapping[int, Values]) -> list[int]:
        """Return the trials to promote at the lowest `num_closed` rungs, which no other trial will reach the end of."""
        found: list[int] = []
        for index in range(min(num_closed, len(self.rungs) - 1)):
            ranked = self._ranked(index, predicted)
            found += self._waiting(index, ranked[: -(-len(ranked) // self.reduction_factor(index))])
        return found

    def rank_text(self, row: TrialRow, predicted: Mapping[int, Values]) -> str:
        """Describe how a trial at the end of a rung ranks there."""
        ranked = [each.number for each, _ in self._ranked(row.rung, predicted)]
        promoted = sum(self._is_promoted(each, row.rung) for each in self._recorded(row.rung))
        return (
            f"epoch {row.num_epochs}: rank {ranked.index(row.number) + 1} of the {len(ranked)} trials at this rung, of "
            f"which {promoted} {'was' if promoted == 1 else 'were'} promoted"
        )

    def _recorded(self, index: int) -> list[TrialRow]:
        return [row for row in self._table if row.fits and row.num_epochs >= self.rungs[index].end]

    def _is_promoted(self, row: TrialRow, index: int) -> bool:
        return row.rung > index or row.num_epochs > self.rungs[index].end

    def _waiting(self, index: int, ranked: Sequence[tuple[TrialRow, int]]) -> list[int]:
        return [row.number for row, _ in ranked if not self._is_promoted(row, index)]

    def _cheap_to_finish(self, index: int, ranked: Sequence[tuple[TrialRow, int]]) -> list[int]:
        """Return the trials on a rung's first front that cost less to finish than the largest network's first rung.

        Waiting for others at the rung would cost more than training such a trial to the end. This puts one complete
        trial on the front early: once any trial is on the last rung, nothing is promoted in this way.
        """
        last = len(self.rungs) - 1
        if self.rungs[index].split != self.rungs[last].split:  # an epoch on more clips costs more
            return []
        if any(self._is_promoted(row, last - 1) for row in self._recorded(last - 1)):
            return []
        most = max((row.cost.macs for row in self._recorded(0)), default=0) * self.rungs[0].end
        num_left = self.rungs[last].end - self.rungs[index].end
        first_front = [(row, rank) for row, rank in ranked if rank == 0 and row.cost.macs * num_left <= most]
        return self._waiting(index, first_front)

    def _ranked(self, index: int, predicted: Mapping[int, Values]) -> list[tuple[TrialRow, int]]:
        """Return the trials recorded at a rung with their non-dominated rank, by rank, then by crowding distance."""
        rows = self._recorded(index)
        if not rows:
            return []
        epoch = self.rungs[index].end - 1
        values = np.array(
            [predicted.get(row.number) or values_of(self.objectives, row.curve[epoch], row.costs) for row in rows]
        )
        ranks = non_dominated_rank(np.vstack([values, self._constant]), directions(self.objectives))[:-1]
        crowding = crowding_distance(values, ranks)
        order = sorted(range(len(rows)), key=lambda i: (ranks[i], -crowding[i], i))
        return [(rows[i], int(ranks[i])) for i in order]


def crowding_distance(values: np.ndarray, ranks: np.ndarray) -> np.ndarray:
    """Return the crowding distance of each point on its front, (N,): infinite at a front's ends.

    Source: Deb et al., A Fast and Elitist Multiobjective Genetic Algorithm: NSGA-II, IEEE Transactions on Evolutionary
    Computation 6, 2002, section III B.

    Args:
        values: (N, M), values of M objectives.
        ranks: (N,), the front of each point.
    """
    found = np.zeros(len(values))
    for rank in np.unique(ranks):
        front = np.flatnonzero(ranks == rank)
        for column in values[front].T:
            order = front[np.argsort(column, kind="stable")]
            extent = column.max() - column.min()
            found[order[[0, -1]]] = np.inf
            if extent > 0:
                ordered = np.sort(column)
                found[order[1:-1]] += (ordered[2:] - ordered[:-2]) / extent
    return found
