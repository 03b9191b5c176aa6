"""Pareto front, non-dominated sorting, hypervolume and hypervolume improvement; moocore does the work.

One point dominates another if it is at least as good in every objective and better in one, so equal points never do.

Shape letters: N points, M objectives, F points of a front. `maximize` says for each objective whether more is better.
"""

from collections.abc import Sequence

import moocore
import numpy as np
from numpy.typing import ArrayLike, NDArray


def non_dominated(points: ArrayLike, maximize: Sequence[bool]) -> NDArray[np.bool_]:
    """Return which points no other dominates, (N,); equal points are all kept.

    Args:
        points: (N, M); N may be 0.
        maximize: One bool for each of the M objectives.

    Raises:
        ValueError: A value that is not a number, or shapes that do not agree.

    >>> non_dominated([[0.5, 10], [0.6, 20], [0.5, 20]], maximize=[True, False]).tolist()
    [True, True, False]
    """
    mask: NDArray[np.bool_] = non_dominated_rank(points, maximize) == 0
    return mask


def non_dominated_rank(points: ArrayLike, maximize: Sequence[bool]) -> NDArray[np.int64]:
    """Return the non-dominated rank of each point, (N,): 0 is the front, 1 the front of the rest, and so on.

    Args:
        points: (N, M); N may be 0.
        maximize: One bool for each of the M objectives.

    Raises:
        ValueError: A value that is not a number, or shapes that do not agree.

    >>> non_dominated_rank([[0.5, 10], [0.4, 20], [0.3, 30]], maximize=[True, False]).tolist()
    [0, 1, 2]
    """
    costs = _to_minimize(points, maximize)
    if not len(costs):
        return np.zeros(0, dtype=np.int64)
    return np.asarray(moocore.pareto_rank(costs), dtype=np.int64)


def hypervolume(points: ArrayLike, reference: ArrayLike, maximize: Sequence[bool]) -> float:
    """Return the volume of what the points dominate, down to a reference point.

    A point that is not better than the reference in every objective adds nothing. Objectives are taken as they are:
    scale them first, or the one with the largest unit decides.

    Args:
        points: (N, M); N may be 0, which covers 0.
        reference: (M,), reference point: the worst value of each objective that still counts.
        maximize: One bool for each of the M objectives.

    Raises:
        ValueError: A value that is not finite, or shapes that do not agree.

    >>> hypervolume([[0.5, 1.0], [0.75, 2.0]], reference=[0.0, 4.0], maximize=[True, False])
    2.0
    """
    costs = _to_minimize(points, maximize)
    worst = _to_minimize(np.asarray(reference, dtype=np.float64)[None], maximize)[0]
    if not np.isfinite(costs).all() or not np.isfinite(worst).all():
        raise ValueError("a hypervolume needs finite points and a finite reference")
    if not len(costs):
        return 0.0
    return float(moocore.hypervolume(costs, worst))


def hypervolume_improvement(
    front: NDArray[np.float64], points: NDArray[np.float64], reference: float
) -> NDArray[np.float64]:
    """Return how much hypervolume each point would add to a front, were it the only one added; more is better.

    Args:
        front: (F, M), none of which dominates another; F may be 0.
        points: (N, M).
        reference: Reference point, the same in every objective.

    Returns:
        (N,).

    >>> hypervolume_improvement(np.array([[1.0, 3.0], [2.0, 1.0]]), np.array([[2.0, 2.0], [1.0, 1.0]]), 0.0).tolist()
    [1.0, 0.0]
    """
    if points.shape[1] == 1:  # a second column that is the same for all: an area as large as the first is long
        front, points = (np.hstack([values, np.full((len(values), 1), reference + 1)]) for values in (front, points))
    if points.shape[1] == 2:
        steps = front[np.argsort(front[:, 0], kind="stable")]  # a staircase: (F + 1) strips, each of one height
        ends, heights = np.append(steps[:, 0], np.inf), np.append(steps[:, 1], reference)
        starts = np.append(reference, steps[:, 0])
        wide = np.minimum(points[:, :1], ends) - starts
        high = points[:, 1:] - heights
        return np.asarray((np.maximum(0.0, wide) * np.maximum(0.0, high)).sum(axis=1))
    worst, maximize = np.full(points.shape[1], reference), [True] * points.shape[1]
    before = hypervolume(front, worst, maximize)
    added = np.zeros(len(points))
    for number, point in enumerate(points):
        if not (front >= point).all(axis=1).any():
            added[number] = hypervolume(np.vstack([front, point]), worst, maximize) - before
    return added


def _to_minimize(points: ArrayLike, maximize: Sequence[bool]) -> NDArray[np.float64]:
    values = np.array(points, dtype=np.float64)
    if values.size == 0:
        values = values.reshape(0, len(maximize))
    if not len(maximize) or values.ndim != 2 or values.shape[1] != len(maximize):
        raise ValueError(
            f"points must be (N, {len(maximize)}), one column for each entry of maximize, got {values.shape}"
        )
    if np.isnan(values).any():
        row = int(np.isnan(values).any(axis=1).argmax())
        raise ValueError(f"point {row} has a value that is not a number: {values[row].tolist()}")
    values[:, np.asarray(maximize, dtype=bool)] *= -1
    return values
