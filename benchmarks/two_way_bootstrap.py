"""Two-way bootstrap: 95 % intervals of macro accuracies and hypervolumes, over recordings and training seeds.

Clips of one recording are no independent clips, and a network's accuracy is also that of its seed: both are resampled.
Recordings are drawn with replacement within each class, jointly for all networks, since all are evaluated on the same
clips; seeds are drawn with replacement for each network by itself. From a class of n recordings n - 1 are drawn, and
from S seeds S - 1: n draws of n would give a variance that is (n - 1) / n of what it should be, three quarters with
four recordings (J. N. K. Rao and C. F. J. Wu, Resampling inference with complex survey data, JASA 83, 1988). What is
of both at once, noise of single clips, is counted up to three times (A. B. Owen, The pigeonhole bootstrap, Annals of
Applied Statistics 1, 2007), so that intervals are rather too wide. A class with one recording adds no variance: the
interval knows nothing of its other recordings.

Intervals are percentiles. BCa needs a jackknife for its acceleration, which two crossed ways of resampling do not
have, and its bias correction would undo the bias of a maximum over networks in one figure and not in another; the
differences of means that are compared here are nearly symmetric. tests/benchmarks checks the coverage.

Shape letters: R recordings of all outer folds, F of one outer fold, S seeds, P points, K classes, D draws, the first of
which is the sample itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

NUM_DRAWS = 4_000
TAILS = (0.025, 0.975)

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Interval:
    """An estimate with its 95 % interval."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class RecordingDraws:
    """Draws of the recordings.

    Attributes:
        weights: (D, R): what a correct clip of a recording adds to the macro accuracy.
        num_classes: Number of classes.
        is_single: (R,), whether a recording is the only one of its class.
    """

    weights: Floats
    num_classes: int
    is_single: npt.NDArray[np.bool_]

    @classmethod
    def of(
        cls, labels: Indices, num_clips: Indices, rng: np.random.Generator, num_draws: int = NUM_DRAWS
    ) -> "RecordingDraws":
        """Draw recordings.

        Args:
            labels: (R,), class of each recording.
            num_clips: (R,), its evaluation clips.
            num_draws: Draws besides the sample itself.
        """
        multiplicity = np.ones((1 + num_draws, len(labels)))
        weights = np.empty_like(multiplicity)
        is_single = np.zeros(len(labels), np.bool_)
        classes = np.unique(labels)
        for label in classes:
            rows = np.flatnonzero(labels == label)
            if len(rows) == 1:
                is_single[rows] = True
            else:
                share = np.full(len(rows), 1 / len(rows))
                multiplicity[1:, rows] = rng.multinomial(len(rows) - 1, share, size=num_draws)
            clips = multiplicity[:, rows] @ num_clips[rows]
            weights[:, rows] = multiplicity[:, rows] / (len(classes) * clips[:, None])
        return cls(weights, len(classes), is_single)

    def accuracy(self, num_correct: Indices, rows: Indices, rng: np.random.Generator) -> Floats:
        """Return what a network adds to the macro accuracy by the recordings of an outer fold: (D,).

        Args:
            num_correct: (S, F), correctly classified clips of each recording by the network of each seed.
            rows: (F,), those recordings as indices into all.
        """
        of_seed = self.weights[:, rows] @ num_correct.T  # (D, S)
        num_draws, seeds = len(of_seed) - 1, len(num_correct)
        shares = np.full((len(of_seed), seeds), 1 / seeds)
        if seeds > 1:
            shares[1:] = rng.multinomial(seeds - 1, shares[0], size=num_draws) / (seeds - 1)
        return np.asarray((of_seed * shares).sum(axis=1))

    def chance(self, num_clips: Indices, rows: Indices) -> Floats:
        """Return what guessing adds by the recordings of an outer fold, where there is no network: (D,)."""
        return np.asarray(self.weights[:, rows] @ (num_clips[rows] / self.num_classes))


def interval(draws: Floats) -> Interval:
    """Return the estimate and the percentile interval of a figure.

    Args:
        draws: (D,), the first of the sample itself.
    """
    low, high = np.quantile(draws[1:], TAILS)
    return Interval(float(draws[0]), float(low), float(high))


def hypervolume(macs: Sequence[float], accuracies: Sequence[Floats], chance: float, low: float, high: float) -> Floats:
    """Return the mean height above chance of the front of accuracy over log MACs, from `low` to `high`: (D,).

    It is the hypervolume with the reference point of `chance` and `high`, of points moved up to `low` if they are
    cheaper, over the length of the axis: as if the accuracy above chance were averaged over budgets drawn uniformly
    from the logarithmic axis. For each budget the best point is taken with hindsight, so that it is biased upwards, the
    more points there are.

    Args:
        macs: P costs.
        accuracies: P arrays (D,).

    >>> hypervolume([10.0, 1000.0], [np.array([0.3]), np.array([0.5])], 0.1, low=10.0, high=100_000.0).round(3)
    array([0.3])
    """
    order = np.argsort(macs, kind="stable")
    best = np.maximum.accumulate(np.stack([accuracies[place] for place in order]))
    return mean_height([macs[place] for place in order], list(best), chance, low, high)


def mean_height(macs: Sequence[float], accuracies: Sequence[Floats], chance: float, low: float, high: float) -> Floats:
    """Return the mean height above chance over log MACs if from each cost on its own network is taken: (D,).

    As `hypervolume`, but without hindsight: a network that was chosen for a budget counts there, even if a cheaper one
    is better.

    Args:
        macs: P costs, rising.
        accuracies: P arrays (D,).

    >>> mean_height([10.0, 1000.0], [np.array([0.3]), np.array([0.2])], 0.1, low=10.0, high=100_000.0).round(3)
    array([0.15])
    """
    lengths = np.diff(np.log(np.clip([*macs, high], low, high)))
    heights = np.maximum(np.stack(accuracies) - chance, 0.0)
    return np.asarray((heights * lengths[:, None]).sum(axis=0) / np.log(high / low))
