"""Training time of a configuration: a regression of the measured seconds of an epoch on its architecture and MACs.

A million MACs takes a third of a millisecond in one architecture, ten times as long in another, and small networks take
longer for each: so MACs alone are a poor measure of what a trial costs. The regression is Bayesian and linear in
logarithms (Bishop, Pattern Recognition and Machine Learning, 2006, section 3.3), so that an architecture without
measurements has the mean of the others, and one trial is enough to begin with.

Symbols, with shapes:
    N, A        epochs measured (one a trial: the median), architectures
    x           (N, A + 2): 1, log10 of the MACs, architecture one-hot
    y           (N,): log10 of the seconds, less `PRIOR_SLOPE` for each decade of MACs
    w           (A + 2,): weights, normal with mean 0 and standard deviations `PRIOR_DEVIATIONS`
"""

from collections.abc import Iterable, Sequence
from statistics import median

import numpy as np
import numpy.typing as npt

from objectives.cost import Cost
from search.optimizer.trial_table import TrialRow

PRIOR_SLOPE = 0.6  # decades of seconds for each decade of MACs
# Standard deviations of the weights, in decades of seconds: the constant, the slope, and each architecture.
CONSTANT_DEVIATION, SLOPE_DEVIATION, ARCHITECTURE_DEVIATION = 10.0, 0.3, 0.5
NOISE_DEVIATION = 0.15  # of one trial's seconds, in decades: other processes run on the machine
CENTRE = 6.5  # log10 of the MACs where the constant holds, so that constant and slope do not depend on each other

Floats = npt.NDArray[np.float64]


class TrainingTime:
    """Predicts the seconds of an epoch, from the trials of a table that have measured theirs."""

    def __init__(self, architectures: Sequence[str], rows: Iterable[TrialRow]) -> None:
        """Fit the regression; without a measurement every prediction follows from the MACs alone."""
        self._architectures = tuple(architectures)
        measured = [(row, seconds_of_epoch(row)) for row in rows]
        known = [(row, seconds) for row, seconds in measured if seconds is not None and seconds > 0]
        size = len(self._architectures) + 2
        deviations = [CONSTANT_DEVIATION, SLOPE_DEVIATION, *[ARCHITECTURE_DEVIATION] * len(self._architectures)]
        precision = np.diag(1 / np.square(deviations))
        right = np.zeros(size)
        if known:
            x = np.stack([self._features(row.config.architecture, row.cost) for row, _ in known])
            y = np.log10([seconds for _, seconds in known]) - PRIOR_SLOPE * x[:, 1]
            precision = precision + x.T @ x / NOISE_DEVIATION**2
            right = x.T @ y / NOISE_DEVIATION**2
        self._weights = np.linalg.solve(precision, right)

    def predict(self, architecture: str, cost: Cost) -> float:
        """Return the expected seconds of an epoch; in arbitrary units without any measurement."""
        features = self._features(architecture, cost)
        return float(10 ** (PRIOR_SLOPE * features[1] + features @ self._weights))

    def _features(self, architecture: str, cost: Cost) -> Floats:
        one_hot = [1.0 if name == architecture else 0.0 for name in self._architectures]
        return np.array([1.0, np.log10(max(1, cost.macs)) - CENTRE, *one_hot])


def seconds_of_epoch(row: TrialRow) -> float | None:
    """Return the median seconds of a trial's epochs; None before the first."""
    found = [float(epoch["duration_s"]) for epoch in row.curve if "duration_s" in epoch]
    return median(found) if found else None
