"""Stops trials that cannot reach the Pareto front: asynchronous successive halving by non-dominated rank.

Successive halving by accuracy alone stops small networks for being small. Here a trial is ranked at each rung on its
accuracy so far and on its cost, which is known before the first step; the network that is best for its cost goes on.

Source of the asynchronous rule: Li et al., A System for Massively Parallel Hyperparameter Tuning, MLSys 2020,
algorithm 2.
"""

from dataclasses import dataclass, field

import numpy as np

from objectives.front import non_dominated_rank

REDUCTION = 3  # of the trials that reach a rung, one in this many goes on
FIRST_RUNG = 2  # epochs at the least before a trial is judged


def rungs(epochs: int, reduction: int = REDUCTION, first: int = FIRST_RUNG) -> tuple[int, ...]:
    """Give the epochs at which trials are judged, in integers, so that none is lost to rounding.

    >>> rungs(32)
    (3, 10)
    >>> rungs(243)
    (3, 9, 27, 81)
    >>> rungs(2)
    ()
    """
    found = []
    rung = epochs // reduction
    while rung >= first:
        found.append(rung)
        rung //= reduction
    return tuple(reversed(found))


@dataclass
class FrontHalving:
    """Judges trials at rungs; knows nothing of Ray.

    Attributes:
        epochs: Of a trial that is never stopped.
        reduction: One in this many goes on at a rung, and everyone whom nobody dominates.
    """

    epochs: int
    reduction: int = REDUCTION
    _arrivals: dict[int, dict[int, tuple[float, float]]] = field(default_factory=dict)

    def note(self, number: int, epoch: int, accuracy: float, cost: float) -> bool:
        """Take in what a trial reached; return whether it is at a rung."""
        if epoch not in rungs(self.epochs, self.reduction):
            return False
        self._arrivals.setdefault(epoch, {})[number] = (accuracy, cost)
        return True

    def verdict(self, number: int, epoch: int, accuracy: float, cost: float) -> str:
        """Say why the trial should stop now, or nothing where it should go on.

        Args:
            number: The trial's.
            epoch: It has finished.
            accuracy: It has reached; more is better.
            cost: Of its network; less is better.
        """
        if not self.note(number, epoch, accuracy, cost):
            return ""
        arrived = self._arrivals[epoch]
        numbers = list(arrived)
        ranks = non_dominated_rank(np.array([arrived[n] for n in numbers]), [True, False])
        rank = int(ranks[numbers.index(number)])
        ahead = int((ranks < rank).sum())
        if rank == 0 or ahead < len(numbers) // self.reduction:
            return ""
        return f"epoch {epoch}: {ahead} of the {len(numbers)} trials that got there are on better fronts"
