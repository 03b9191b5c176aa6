"""What a trial that was trained for a while would have come to: what it has, and what others gained from there."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

Curve = Sequence[Mapping[str, Any]]  # what is recorded of each epoch, in order


def gains(name: str, reached: int, finished: Sequence[Curve]) -> list[float]:
    """Give what trials that were trained to the end gained after so many epochs.

    Args:
        name: Of the figure.
        reached: Epochs.
        finished: Their curves.
    """
    return [float(each[-1][name]) - float(each[reached - 1][name]) for each in finished if len(each) > reached]


def estimate(name: str, curve: Curve, finished: Sequence[Curve]) -> float:
    """Estimate a figure at the end of training: the last one, and the median of what the finished gained from there.

    Args:
        name: Of the figure.
        curve: Of a trial that has at least one epoch.
        finished: Curves of trials that were trained to the end.

    >>> done = [{"accuracy": 0.2}, {"accuracy": 0.3}, {"accuracy": 0.5}]
    >>> estimate("accuracy", [{"accuracy": 0.1}, {"accuracy": 0.25}], [done])
    0.45
    """
    gained = gains(name, len(curve), finished)
    return float(curve[-1][name]) + (median(gained) if gained else 0.0)
