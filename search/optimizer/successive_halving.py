"""Which trials go on: asynchronous successive halving, by non-dominated rank or by the one figure that counts.

A trial climbs levels. At the end of each it waits, and the best of those that got there go on: those on the better
fronts of quality so far against cost, which is known before the first step. Successive halving by accuracy alone stops
small networks for being small.

Source of the asynchronous rule: Li et al., A System for Massively Parallel Hyperparameter Tuning, MLSys 2020,
algorithm 2.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from objectives.front import non_dominated_rank

SHARES = (9, 3)  # a trial is judged after a ninth and after a third of its epochs
# Of the trials that end the first level, which is cheap, and a later one, one in so many goes on.
FIRST_REDUCTION_FACTOR, LATER_REDUCTION_FACTOR = 3, 2
LEAST_EPOCHS = 6  # of a training that is judged on its way: of a shorter one a third says too little


@dataclass(frozen=True)
class Rung:
    """One step of a trial's way up; epochs are counted over all its levels.

    Attributes:
        split: Of the data, that is trained on.
        start: Epochs before the training of this level began.
        end: Epochs at the end of this level.
    """

    split: str
    start: int
    end: int


def rung_epochs(epochs: int) -> tuple[int, ...]:
    """Return the epochs at which trials are judged, in integers, so that none is lost to rounding.

    >>> rungs(32), rungs(9), rungs(8), rungs(5)
    ((3, 10), (1, 3), (2,), ())
    """
    if epochs < LEAST_EPOCHS:
        return ()
    return tuple(epochs // share for share in SHARES if epochs >= share)


def rungs_of_epochs(split: str, epochs: int, *, early_stopping: bool) -> tuple[Rung, ...]:
    """Return the levels of one training that is judged at rungs."""
    ends = (*(rung_epochs(epochs) if early_stopping else ()), epochs)
    return tuple(Rung(split, 0, end) for end in ends)


def rungs_of_splits(splits: Sequence[str], epochs: int) -> tuple[Rung, ...]:
    """Return the levels of trainings from scratch on ever larger splits.

    >>> levels_of_splits(["5", "100"], 4)
    (Level(split='5', start=0, end=4), Level(split='100', start=4, end=8))
    """
    return tuple(Rung(split, number * epochs, (number + 1) * epochs) for number, split in enumerate(splits))


@dataclass
class SuccessiveHalving:
    """Judges trials at the end of their levels; knows nothing of Ray.

    Attributes:
        levels: That a trial climbs, the last to its full fidelity.
        maximize: For each value by which trials are ranked, whether more is better.
        one_in_first: Of the trials that end the first level, one in so many goes on.
        one_in_later: The same of every later level.
        expected: Values that are expected of trials at the end, to rank them by; others are ranked as they stand.
        work: What an epoch of each trial takes, in any unit.
    """

    levels: Sequence[Rung]
    maximize: Sequence[bool]
    first_reduction_factor: int = FIRST_REDUCTION_FACTOR
    later_reduction_factor: int = LATER_REDUCTION_FACTOR
    expected: dict[int, tuple[float, ...]] = field(default_factory=dict)
    work: dict[int, float] = field(default_factory=dict)
    _arrived: list[dict[int, tuple[float, ...]]] = field(default_factory=list)
    _gone_on: list[set[int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._arrived = [{} for _ in self.levels]
        self._gone_on = [set() for _ in self.levels]

    def level(self, epoch: int) -> int:
        """Return the level that a trial of `epoch` finished epochs is in; at the end of a level, the next.

        >>> Halving(levels_of_epochs("fold1", 32, early_stopping=True), [True]).level(3)
        1
        """
        return next((number for number, level in enumerate(self.levels) if epoch < level.end), len(self.levels) - 1)

    def one_in(self, rung: int) -> int:
        """Return how many trials must come to the end of a level, the first being 0, for one to go on."""
        return self.later_reduction_factor if rung else self.first_reduction_factor

    def note(self, number: int, epoch: int, values: Sequence[float], work: float = 1.0) -> bool:
        """Record what a trial reached, and what an epoch of it takes; return whether a lower level ends there."""
        self.work[number] = work
        for rung, level in enumerate(self.levels[:-1]):
            if epoch == level.end:
                self._arrived[rung][number] = tuple(values)
                return True
            if epoch == level.end + 1:
                self._gone_on[rung].add(number)
        return False

    def go_on(self, number: int, epoch: int) -> None:
        """Record that a trial goes on from the end of a level."""
        for rung, level in enumerate(self.levels[:-1]):
            if epoch == level.end:
                self._gone_on[rung].add(number)

    def promotable(self) -> list[int]:
        """Return the trials that may go on now, those of the highest level first, of each level the best first."""
        found = [
            number
            for rung in range(len(self.levels) - 2, -1, -1)
            for number in (*self._best(rung, len(self._arrived[rung]) // self.one_in(rung)), *self._bargains(rung))
        ]
        return list(dict.fromkeys(found))

    def _bargains(self, rung: int) -> list[int]:
        """Return the trials of the best front at a level that cost less to finish than to judge a large one.

        All epochs that are left of such a training take no longer than the first level of the largest that got there:
        for others to come and be compared with it would cost more than it does. One of them is enough for a front to be
        there early: once a trial is on its way to the end, it is who is better that counts.
        """
        if self.levels[rung].split != self.levels[-1].split or self._gone_on[len(self.levels) - 2]:
            return []  # on more clips an epoch takes longer
        most = max((self.work[number] for number in self._arrived[0]), default=0.0) * self.levels[0].end
        left = self.levels[-1].end - self.levels[rung].end
        waiting = self._arrived[rung].keys() - self._gone_on[rung]
        cheap = {number for number in waiting if self.work[number] * left <= most}
        return [number for number, rank in self._ranked(rung) if rank == 0 and number in cheap] if cheap else []

    def promotable_at_last(self, closed: int) -> list[int]:
        """Return the trials that may go on when no others come: places are rounded up, so that the best always does.

        Args:
            closed: Levels, from the lowest, to the end of which no other trial will come.
        """
        return [
            number
            for rung in range(min(closed, len(self.levels) - 1))
            for number in self._best(rung, -(-len(self._arrived[rung]) // self.one_in(rung)))
        ]

    def _best(self, rung: int, places: int) -> list[int]:
        return [number for number in self._order(rung)[:places] if number not in self._gone_on[rung]]

    def why(self, number: int, epoch: int) -> str:
        """Describe how a trial that waits at the end of a level stands there."""
        rung = next(rung for rung, level in enumerate(self.levels) if level.end == epoch)
        order = self._order(rung)
        return (
            f"epoch {epoch}: number {order.index(number) + 1} of the {len(order)} trials that got there, of which "
            f"{len(self._gone_on[rung])} went on"
        )

    def _order(self, rung: int) -> list[int]:
        """Order the trials that ended a level, the best first: by front, and on each front the loneliest first."""
        return [number for number, _ in self._ranked(rung)]

    def _ranked(self, rung: int) -> list[tuple[int, int]]:
        """Return the trials that ended a level with the front that each is on, the best first; 0 is the best front."""
        numbers = sorted(self._arrived[rung])
        if not numbers:
            return []
        values = np.array([self.expected.get(number, self._arrived[rung][number]) for number in numbers], dtype=float)
        ranks = non_dominated_rank(values, self.maximize)
        lonely = crowding(values, ranks)
        order = sorted(range(len(numbers)), key=lambda i: (ranks[i], -lonely[i], i))
        return [(numbers[index], int(ranks[index])) for index in order]


def crowding(values: np.ndarray, ranks: np.ndarray) -> np.ndarray:
    """Return how far the neighbours of each point on its front are: the more, the lonelier; infinite at a front's ends.

    Source: Deb et al., A Fast and Elitist Multiobjective Genetic Algorithm: NSGA-II, IEEE Transactions on Evolutionary
    Computation 6, 2002, section III B.

    Args:
        values: (N, M), as they are ranked.
        ranks: (N,), the front of each point.
    """
    found = np.zeros(len(values))
    for rank in np.unique(ranks):
        members = np.flatnonzero(ranks == rank)
        for column in values[members].T:
            order = members[np.argsort(column, kind="stable")]
            spread = column.max() - column.min()
            found[order[[0, -1]]] = np.inf
            if spread > 0:
                ordered = np.sort(column)
                found[order[1:-1]] += (ordered[2:] - ordered[:-2]) / spread
    return found
