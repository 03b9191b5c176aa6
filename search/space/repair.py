"""The smallest change that makes a network fit its budget."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution

from objectives.budget import Budget
from search.config.errors import ConfigError
from search.space.pricing import FeasibilitySurvey
from search.space.ranges import all_values, num_values
from search.space.subspace import Subspace

LEVELS = 33  # tried of a range without steps


def repairs(
    survey: FeasibilitySurvey, budget: Budget, precision: str, values: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    """Return networks that fit, the least changed from `values` first.

    Where the survey is whole this is their exact order. Where it is a sample, each of them is pulled back towards
    `values`, one size after the other, until none can come closer and still fit.

    Args:
        survey: Of the branch that the values belong to.
        budget: To fit.
        precision: Of the weights.
        values: Of a network over budget, or of one that cannot be built; values that decide no cost are passed over.
    """
    if survey.is_whole:
        yield from survey.by_distance(values)
        return
    for found in survey.by_distance(values):
        yield pull_back(survey.subspace, budget, precision, found, values)


def pull_back(
    subspace: Subspace, budget: Budget, precision: str, found: Mapping[str, Any], wanted: Mapping[str, Any]
) -> dict[str, Any]:
    """Move each value of a network that fits as close to the wanted one as it can come and still fit."""
    names = list(subspace.cost_ranges)
    priced = subspace.pricer(names, precision)
    values = [found[name] for name in names]
    moved = True
    while moved:
        moved = False
        for axis, name in enumerate(names):
            for value in _towards(subspace.cost_ranges[name], values[axis], wanted[name]):
                trial = [*values[:axis], value, *values[axis + 1 :]]
                if _excess(priced, trial, budget) <= 0:
                    values, moved = trial, True
                    break
    return dict(zip(names, values, strict=True))


def descend(
    subspace: Subspace, budget: Budget, precision: str, start: Mapping[str, Any], *, held: str = ""
) -> dict[str, Any]:
    """Walk from `start` to where the worst excess is smallest, changing one value at a time.

    Args:
        subspace: Gives the ranges.
        budget: To come close to.
        precision: Of the weights.
        start: Where to begin.
        held: Name of a value that stays.
    """
    names = list(subspace.cost_ranges)
    priced = subspace.pricer(names, precision)
    values = [start[name] for name in names]
    least = _excess(priced, values, budget)
    improved = True
    while improved and least > 0:
        improved = False
        for axis, name in enumerate(names):
            if name == held:
                continue
            for value in levels(subspace.cost_ranges[name]):
                trial = [*values[:axis], value, *values[axis + 1 :]]
                excess = _excess(priced, trial, budget)
                if excess < least:
                    values, least, improved = trial, excess, True
    return dict(zip(names, values, strict=True))


def _excess(priced: Any, values: list[Any], budget: Budget) -> float:
    try:
        return max(budget.excess(priced(values)).values(), default=0.0)
    except ConfigError:
        return math.inf


def levels(distribution: BaseDistribution) -> list[Any]:
    """List the values of a range, or of one without steps as many as are tried."""
    if math.isfinite(num_values(distribution)):
        return all_values(distribution)
    low, high = distribution.low, distribution.high  # type: ignore[attr-defined]  # a range, or it were finite
    spaced = np.geomspace if distribution.log else np.linspace  # type: ignore[attr-defined]
    return [min(max(float(value), low), high) for value in spaced(low, high, LEVELS)]


def _towards(distribution: BaseDistribution, here: Any, wanted: Any) -> list[Any]:
    """List the values from the wanted one to the one before `here`."""
    if here == wanted:
        return []
    if isinstance(distribution, CategoricalDistribution):
        return [wanted]
    between = [level for level in levels(distribution) if min(here, wanted) < level < max(here, wanted)]
    return [wanted, *sorted(between, key=lambda level: abs(float(level - wanted)))]
