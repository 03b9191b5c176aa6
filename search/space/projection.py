"""Projection to the feasible set: the smallest change that makes a network fit its budget."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution

from objectives.budget import Budget
from objectives.cost import Cost
from search.config.errors import ConfigError
from search.space.feasibility import FeasibilitySurvey
from search.space.ranges import all_values, num_values
from search.space.subspace import Subspace

GRID_POINTS = 33  # values tried in a continuous range


def projections(
    survey: FeasibilitySurvey, budget: Budget, precision: str, values: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    """Yield networks that fit, the nearest to `values` first; parameters that change no cost are ignored.

    An exhaustive survey gives the exact order. From a sampled one, each network is moved towards `values`, one
    coordinate at a time, until it can come no closer within the budget.
    """
    for feasible in survey.by_distance(values):
        if survey.is_exhaustive:
            yield feasible
        else:
            yield _move_towards(survey.subspace, budget, precision, feasible, values)


def _move_towards(
    subspace: Subspace, budget: Budget, precision: str, feasible: Mapping[str, Any], target: Mapping[str, Any]
) -> dict[str, Any]:
    """Move each value of a feasible network as close to the target as the budget allows."""
    names = list(subspace.cost_ranges)
    cost_function = subspace.cost_function(precision)
    values = [feasible[name] for name in names]
    is_moved = True
    while is_moved:
        is_moved = False
        for axis, name in enumerate(names):
            for value in _between(subspace.cost_ranges[name], values[axis], target[name]):
                trial = [*values[:axis], value, *values[axis + 1 :]]
                if _max_excess(cost_function, trial, budget) <= 0:
                    values, is_moved = trial, True
                    break
    return dict(zip(names, values, strict=True))


def coordinate_descent(
    subspace: Subspace, budget: Budget, precision: str, start: Mapping[str, Any], *, fixed: str = ""
) -> dict[str, Any]:
    """Minimize the largest excess over a limit from `start`, one coordinate at a time, until the budget is met.

    The value named `fixed` is kept.
    """
    names = list(subspace.cost_ranges)
    cost_function = subspace.cost_function(precision)
    values = [start[name] for name in names]
    least = _max_excess(cost_function, values, budget)
    is_improved = True
    while is_improved and least > 0:
        is_improved = False
        for axis, name in enumerate(names):
            for value in grid(subspace.cost_ranges[name]) if name != fixed else ():
                trial = [*values[:axis], value, *values[axis + 1 :]]
                excess = _max_excess(cost_function, trial, budget)
                if excess < least:
                    values, least, is_improved = trial, excess, True
    return dict(zip(names, values, strict=True))


def _max_excess(cost_function: Callable[[Sequence[Any]], Cost], values: Sequence[Any], budget: Budget) -> float:
    """Return the largest excess over a limit; infinite for values that build no network."""
    try:
        return max(budget.excess(cost_function(values)).values(), default=0.0)
    except ConfigError:
        return math.inf


def grid(distribution: BaseDistribution) -> list[Any]:
    """List the values of a range, or `GRID_POINTS` of a continuous one."""
    if math.isfinite(num_values(distribution)):
        return all_values(distribution)
    low, high = distribution.low, distribution.high  # type: ignore[attr-defined]  # a range, or it were finite
    spaced = np.geomspace if distribution.log else np.linspace  # type: ignore[attr-defined]
    return [min(max(float(value), low), high) for value in spaced(low, high, GRID_POINTS)]


def _between(distribution: BaseDistribution, value: Any, target: Any) -> list[Any]:
    """List the values from the target to the one before `value`."""
    if value == target:
        return []
    if isinstance(distribution, CategoricalDistribution):
        return [target]
    low, high = min(value, target), max(value, target)
    between = [each for each in grid(distribution) if low < each < high]
    return [target, *sorted(between, key=lambda each: abs(float(each - target)))]
