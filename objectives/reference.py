"""Reference point of a front: a constant classifier at the limits of the budget; and objectives scaled above it.

A constant prediction costs nothing, so it belongs to every front: only what is better than chance counts. Costs are
scaled logarithmically, as half of a cost is as much of a gain at every size. The reference depends on the number of
classes and on the limits alone, so it is fixed for a study.

Shape letters: N points, M objectives, K classes.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from objectives.errors import ObjectiveError
from objectives.goals import GOALS

# The least cost that is of use: the smallest published network (tf_sepnet_12 of results/published.csv)
# has 1,650,000 MACs and 6,830 parameters, 165 and 68 times as much. A linear classifier of 40 mean log-mel energies has
# 410 parameters. What is smaller is as good as free.
LEAST_COST = {"macs": 10_000.0, "params": 100.0, "size_bytes": 100.0, "peak_bytes": 100.0, "latency_ms": 0.01}
# Where the budget has no limit: far beyond what any edition of the challenge allows (30 million MACs, 128 kB); and a
# second for a clip of a second, as a slower network falls behind the sound.
MOST_COST = {"macs": 1e9, "params": 1e7, "size_bytes": 4e7, "peak_bytes": 1e7, "latency_ms": 1000.0}
MIN_RATIO = 100.0  # of the limit to the least cost, however small a limit is


def chance_value(name: str, num_classes: int) -> float:
    """Return the value of an objective of quality for a constant classifier.

    The same class for every clip is right on all clips of one of K classes: macro accuracy 1/K, and the same on a
    device with as many clips of each class. The uniform distribution has a log loss of ln K.

    Args:
        name: Of `GOALS`, of kind quality.
        num_classes: K, at least 2.

    Raises:
        ValueError: The objective is no quality, or there are fewer than 2 classes.

    >>> chance_value("macro_accuracy", 10), round(chance_value("log_loss", 10), 3)
    (0.1, 2.303)
    """
    if num_classes < 2:
        raise ObjectiveError(f"chance needs at least 2 classes, got {num_classes}")
    if GOALS[name].kind != "quality":
        raise ObjectiveError(f"{name} is a cost: there is no chance level of it")
    return 1 / num_classes if GOALS[name].maximize else math.log(num_classes)


def is_at_chance(values: ArrayLike, halves: ArrayLike, names: Sequence[str], num_classes: int) -> NDArray[np.bool_]:
    """Return which networks are not better than a constant classifier, (N,): none of their qualities is for sure.

    A constant classifier is free: what is not better in any quality by its interval is no better choice.

    Args:
        values: (N, Q), in the units of the objectives; NaN where not measured, which is not better.
        halves: (N, Q), half the widths of the intervals; NaN where not known, and then the value decides alone.
        names: Q objectives of quality.
        num_classes: K.

    >>> is_at_chance([[0.2], [0.2]], [[0.15], [0.05]], ["macro_accuracy"], 10).tolist()
    [True, False]
    """
    table, widths = np.asarray(values, dtype=np.float64), np.nan_to_num(np.asarray(halves, dtype=np.float64))
    is_better = np.zeros(len(table), dtype=bool)
    for index, name in enumerate(names):
        gain = (table[:, index] - chance_value(name, num_classes)) * (1 if GOALS[name].maximize else -1)
        is_better |= gain > widths[:, index]
    return ~is_better


def chance_text(names: Sequence[str], num_classes: int) -> str:
    """Return that nothing is better than chance, and what to do about it.

    Args:
        names: Objectives; those of quality are named with the value of a constant classifier.
        num_classes: K.

    >>> chance_text(["macro_accuracy", "macs"], 10)
    'no network is better than chance (macro accuracy 0.100) by its interval: train for more epochs, or on more data'
    """
    levels = [
        f"{GOALS[name].title} {GOALS[name].text(chance_value(name, num_classes))}"
        for name in names
        if GOALS[name].kind == "quality"
    ]
    remedy = "train for more epochs, or on more data"
    return f"no network is better than chance ({', '.join(levels)}) by its interval: {remedy}"


def reference_point(names: Sequence[str], num_classes: int, limits: Mapping[str, float]) -> NDArray[np.float64]:
    """Return the reference point: the quality of a constant classifier, and the limit of each cost.

    Args:
        names: M objectives of `GOALS`.
        num_classes: K.
        limits: By name of the cost; one without a limit has that of `MOST_COST`.

    Returns:
        (M,), in the units of the objectives.

    >>> reference_point(["macro_accuracy", "macs"], 10, {"macs": 30e6}).tolist()
    [0.1, 30000000.0]
    """
    return np.array(
        [
            chance_value(name, num_classes)
            if GOALS[name].kind == "quality"
            else float(limits.get(name, MOST_COST[name]))
            for name in names
        ]
    )


def normalized(
    values: ArrayLike, names: Sequence[str], num_classes: int, limits: Mapping[str, float]
) -> NDArray[np.float64]:
    """Return objectives scaled to 0 at the reference point and 1 at the ideal point; more is better.

    The ideal is a perfect quality (accuracy 1, log loss 0) at the cost of `LEAST_COST`; a lower cost is 1, too.
    A value worse than the reference is negative, one that is not known (NaN) stays so.

    Args:
        values: (N, M), in the units of the objectives.
        names: M objectives of `GOALS`.
        num_classes: K.
        limits: As in `reference_point`.

    Returns:
        (N, M). A hypervolume of these with a reference of 0 is a fraction of all there is to gain.

    Raises:
        ValueError: Shapes that do not agree, or a cost that is negative.

    >>> names, limits = ["macro_accuracy", "macs"], {"macs": 1_000_000}
    >>> normalized([[0.1, 1_000_000], [0.55, 100_000], [1.0, 10_000]], names, 10, limits).round(3).tolist()
    [[0.0, 0.0], [0.5, 0.5], [1.0, 1.0]]
    """
    points = np.array(values, dtype=np.float64)
    if points.size == 0:
        points = points.reshape(0, len(names))
    if points.ndim != 2 or points.shape[1] != len(names):
        raise ValueError(f"values must be (N, {len(names)}), a column for each objective, got {points.shape}")
    worst = reference_point(names, num_classes, limits)
    scaled = np.empty_like(points)
    for index, name in enumerate(names):
        column = points[:, index]
        if GOALS[name].kind == "quality":
            best = 1.0 if GOALS[name].maximize else 0.0
            scaled[:, index] = (column - worst[index]) / (best - worst[index])
        else:
            scaled[:, index] = _cost_gain(name, column, worst[index])
    return scaled


def least_cost(name: str, limit: float) -> float:
    """Return the cost that is as good as free under a limit: `LEAST_COST`, or less where the limit is small.

    >>> least_cost("macs", 30e6), least_cost("macs", 50_000)
    (10000.0, 500.0)
    """
    return min(LEAST_COST[name], limit / MIN_RATIO)


def _cost_gain(name: str, costs: NDArray[np.float64], limit: float) -> NDArray[np.float64]:
    """Return 0 at the limit, 1 at the least cost and below, logarithmic between."""
    if (costs < 0).any():
        raise ValueError(f"{name} must not be negative, got {costs.min()}")
    least = least_cost(name, limit)
    return np.asarray(np.log(limit / np.maximum(costs, least)) / math.log(limit / least))
