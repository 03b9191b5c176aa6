"""Report of the feasibility surveys as plain values: what fits, which limit binds, the largest feasible sizes."""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import CategoricalDistribution

from models import ARCHITECTURES
from objectives.budget import LIMITS
from search.config.errors import ConfigError
from search.space.cost_table import FITS, outcomes
from search.space.feasibility import INVALID, FeasibilitySurvey
from search.space.priced_space import PricedSpace, why_nothing_fits
from search.space.projection import coordinate_descent, grid
from search.space.ranges import normalize

CONFIDENCE = 0.95
Z = 1.959964  # quantile of the standard normal distribution at that confidence, two-sided
COSTS = ("macs", "params", "peak_bytes")  # always reported; other costs if they are limited
QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
NUM_STARTS = 4  # starting points of coordinate descent, beside the nearest network


@dataclass(frozen=True)
class Fraction:
    """A fraction of the networks, exact or estimated from a sample, with its interval at `CONFIDENCE`.

    Attributes:
        value: 0 to 1.
        low: Lower end of the interval; `value` if it is exact.
        high: Upper end.
        is_exact: Whether every network was priced.
    """

    value: float
    low: float
    high: float
    is_exact: bool


def feasible_fraction(num_feasible: int, num_priced: int, *, is_exact: bool) -> Fraction:
    """Return the fraction that fits, with the Wilson score interval if the networks are a sample.

    Source: Wilson, Probable Inference, the Law of Succession, and Statistical Inference, JASA 1927.

    >>> feasible_fraction(5, 20, is_exact=True)
    Fraction(value=0.25, low=0.25, high=0.25, is_exact=True)
    >>> found = feasible_fraction(0, 1000, is_exact=False)
    >>> round(found.low, 4), round(found.high, 4)
    (0.0, 0.0038)
    """
    value = num_feasible / num_priced
    if is_exact:
        return Fraction(value, value, value, is_exact=True)
    middle = (value + Z**2 / (2 * num_priced)) / (1 + Z**2 / num_priced)
    half = Z / (1 + Z**2 / num_priced) * math.sqrt(value * (1 - value) / num_priced + Z**2 / (4 * num_priced**2))
    low, high = max(0.0, middle - half), min(1.0, middle + half)
    return Fraction(value, low if num_feasible else 0.0, high if num_feasible < num_priced else 1.0, is_exact=False)


def make_report(space: PricedSpace) -> dict[str, Any]:
    """Return the report of the surveys as plain values.

    The share over all architectures is that of a random proposal, with an architecture drawn uniformly first.
    """
    parts = {name: _part(space, survey) for name, survey in space.surveys.items()}
    shares = [part["share"] for part in parts.values()]
    overall = {key: float(np.mean([share[key] for share in shares])) for key in ("value", "low", "high")}
    return {
        "space": space.settings.space,
        "budget": str(space.budget),
        "limits": space.budget.limits(),
        "precision": space.settings.precision,
        "networks_priced": sum(survey.num_priced for survey in space.surveys.values()),
        "share": overall | {"is_exact": all(share["is_exact"] for share in shares)},
        "architectures": parts,
        "time": None,
        "nothing_fits": None if space.subspaces else why_nothing_fits(space),
    }


def _part(space: PricedSpace, survey: FeasibilitySurvey) -> dict[str, Any]:
    """Return the part of the report for one architecture."""
    subspace, limits = survey.subspace, space.budget.limits()
    kinds = outcomes(survey.costs, limits)
    # a feasible network found by coordinate descent is not part of the sample
    num_feasible = int((kinds == FITS).sum())
    num_networks = subspace.num_networks
    return {
        "front_ends": list(subspace.front_ends),
        "networks": int(num_networks) if math.isfinite(num_networks) else None,
        "priced": survey.num_priced,
        "fitting": num_feasible,
        "share": asdict(feasible_fraction(num_feasible, survey.num_priced, is_exact=survey.is_exhaustive)),
        "invalid": survey.violations[INVALID],
        "invalid_example": survey.invalid_reason,
        "over": {name: survey.violations[name] for name in limits},
        "binding": {name: int((kinds == name).sum()) for name in limits},
        "costs": {
            name: _quantiles(survey.costs[:, column]) for column, name in enumerate(LIMITS) if name in (*COSTS, *limits)
        },
        "largest": _largest(space, survey),
    }


def _quantiles(values: NDArray[np.int64]) -> dict[str, int] | None:
    if not len(values):
        return None
    found = np.quantile(values, QUANTILES, method="nearest")
    return {f"{quantile:g}": int(value) for quantile, value in zip(QUANTILES, found, strict=True)}


def _largest(space: PricedSpace, survey: FeasibilitySurvey) -> dict[str, dict[str, Any]]:
    """Return for each range its largest value in a feasible network, and its upper bound; lists for a choice.

    If the survey is a sample, coordinate descent looks for larger feasible values.
    """
    largest: dict[str, dict[str, Any]] = {}
    for axis, (name, distribution) in enumerate(survey.subspace.cost_ranges.items()):
        seen = {values[axis] for values in survey.feasible}
        is_sampled = bool(seen) and not survey.is_exhaustive
        if isinstance(distribution, CategoricalDistribution):
            choices = list(distribution.choices)
            fitting: Any = [
                choice for choice in choices if choice in seen or (is_sampled and _can_fit(space, survey, axis, choice))
            ]
            end: Any = choices
        else:
            fitting, end = max(seen, default=None), distribution.high  # type: ignore[attr-defined]
            if is_sampled:
                above = [value for value in grid(distribution) if value > fitting]
                fitting = next((value for value in reversed(above) if _can_fit(space, survey, axis, value)), fitting)
        largest[survey.subspace.field(name)] = {"fitting": fitting, "of": end}
    return largest


def _can_fit(space: PricedSpace, survey: FeasibilitySurvey, axis: int, value: Any) -> bool:
    """Whether coordinate descent from feasible networks finds one with `value` on an axis."""
    subspace, precision = survey.subspace, space.settings.precision
    names = list(subspace.cost_ranges)
    cost_function = subspace.cost_function(precision)
    distribution = subspace.cost_ranges[names[axis]]
    starts = [max(survey.feasible, key=lambda values: normalize(distribution, values[axis]))]
    if not ARCHITECTURES[subspace.architecture].is_built_to_count:
        starts += survey.feasible[:NUM_STARTS]
    for start in starts:
        values = dict(zip(names, start, strict=True)) | {names[axis]: value}
        values = coordinate_descent(subspace, space.budget, precision, values, fixed=names[axis])
        try:
            if space.budget.fits(cost_function(list(values.values()))):
                return True
        except ConfigError:  # builds no network, whatever the other values are
            continue
    return False
