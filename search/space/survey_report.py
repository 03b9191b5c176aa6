"""What a survey of a space found, as plain values: what fits, what binds, how large a network that fits can be."""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import CategoricalDistribution

from models import ARCHITECTURES
from objectives.budget import LIMITS
from search.config.errors import ConfigError
from search.space.price_table import FITS, outcomes
from search.space.priced_space import PricedSpace, why_nothing_fits
from search.space.pricing import FeasibilitySurvey
from search.space.ranges import place
from search.space.repair import descend, levels

CONFIDENCE = 0.95
Z = 1.959964  # of the normal distribution, at that confidence
COSTS = ("macs", "params", "peak_bytes")  # told of every search; others where they are limited
QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
MORE_STARTS = 4  # of a search for a network that fits with a given value


@dataclass(frozen=True)
class Share:
    """A share of the networks: exact, or estimated with an interval.

    Attributes:
        value: 0 to 1.
        low: Lower end of the interval at `CONFIDENCE`; the value itself where it is exact.
        high: Upper end.
        is_exact: Whether every network was priced.
    """

    value: float
    low: float
    high: float
    is_exact: bool


def share_of(fitting: int, priced: int, *, is_exact: bool) -> Share:
    """Return the share that fits, with Wilson's interval where the networks are a sample.

    >>> share_of(5, 20, is_exact=True)
    Share(value=0.25, low=0.25, high=0.25, is_exact=True)
    >>> found = share_of(0, 1000, is_exact=False)
    >>> round(found.low, 4), round(found.high, 4)
    (0.0, 0.0038)
    """
    value = fitting / priced
    if is_exact:
        return Share(value, value, value, is_exact=True)
    middle = (value + Z**2 / (2 * priced)) / (1 + Z**2 / priced)
    half = Z / (1 + Z**2 / priced) * math.sqrt(value * (1 - value) / priced + Z**2 / (4 * priced**2))
    low, high = max(0.0, middle - half), min(1.0, middle + half)
    return Share(value, low if fitting else 0.0, high if fitting < priced else 1.0, is_exact=False)


def make_report(space: PricedSpace) -> dict[str, Any]:
    """Describe what the surveys found, as plain values.

    The share over all architectures is that of a random proposal: the architecture first, each as likely.
    """
    parts = {name: _part(space, found) for name, found in space.surveys.items()}
    shares = [part["share"] for part in parts.values()]
    overall = {key: float(np.mean([share[key] for share in shares])) for key in ("value", "low", "high")}
    report = {
        "space": space.settings.space,
        "budget": str(space.budget),
        "limits": space.budget.limits(),
        "precision": space.settings.precision,
        "networks_priced": sum(found.num_priced for found in space.surveys.values()),
        "share": overall | {"is_exact": all(share["is_exact"] for share in shares)},
        "architectures": parts,
        "time": None,
    }
    return report | {"nothing_fits": None if space.subspaces else why_nothing_fits(space)}


def _part(space: PricedSpace, found: FeasibilitySurvey) -> dict[str, Any]:
    subspace, limits = found.subspace, space.budget.limits()
    kinds = outcomes(found.costs, limits)
    # counted from what was priced: where none of a sample fits, one that was looked for afterwards may
    fitting = int((kinds == FITS).sum())
    num_networks = subspace.num_networks
    return {
        "front_ends": list(subspace.front_ends),
        "networks": int(num_networks) if math.isfinite(num_networks) else None,
        "priced": found.num_priced,
        "fitting": fitting,
        "share": asdict(share_of(fitting, found.num_priced, is_exact=found.is_whole)),
        "invalid": found.broken["invalid"],
        "invalid_example": found.invalid,
        "over": {name: found.broken[name] for name in limits},
        "binding": {name: int((kinds == name).sum()) for name in limits},
        "costs": {
            name: _quantiles(found.costs[:, number]) for number, name in enumerate(LIMITS) if name in (*COSTS, *limits)
        },
        "largest": _largest(space, found),
    }


def _quantiles(values: NDArray[np.int64]) -> dict[str, int] | None:
    if not len(values):
        return None
    found = np.quantile(values, QUANTILES, method="nearest")
    return {f"{quantile:g}": int(value) for quantile, value in zip(QUANTILES, found, strict=True)}


def _largest(space: PricedSpace, found: FeasibilitySurvey) -> dict[str, dict[str, Any]]:
    """Return for each range the largest value that a network which fits can have, and the largest that there is.

    Of a choice these are lists. Where the survey is a sample, values that it does not show are looked for.
    """
    largest: dict[str, dict[str, Any]] = {}
    for axis, (name, distribution) in enumerate(found.subspace.cost_ranges.items()):
        fitting = {values[axis] for values in found.fitting}
        looks_on = fitting and not found.is_whole
        if isinstance(distribution, CategoricalDistribution):
            choices = list(distribution.choices)
            some = [each for each in choices if each in fitting or (looks_on and _can_fit(space, found, axis, each))]
            largest[found.subspace.field(name)] = {"fitting": some, "of": choices}
            continue
        top = max(fitting, default=None)
        if looks_on:
            above = [value for value in levels(distribution) if value > top]
            top = next((value for value in reversed(above) if _can_fit(space, found, axis, value)), top)
        largest[found.subspace.field(name)] = {"fitting": top, "of": distribution.high}  # type: ignore[attr-defined]
    return largest


def _can_fit(space: PricedSpace, found: FeasibilitySurvey, axis: int, value: Any) -> bool:
    """Look for a network that fits and has `value` on an axis, from some that fit without."""
    subspace, precision = found.subspace, space.settings.precision
    names = list(subspace.cost_ranges)
    priced = subspace.pricer(names, precision)
    distribution = subspace.cost_ranges[names[axis]]
    starts = [max(found.fitting, key=lambda values: place(distribution, values[axis]))]
    if not ARCHITECTURES[subspace.architecture].is_built_to_count:
        starts += found.fitting[:MORE_STARTS]
    for start in starts:
        near = dict(zip(names, start, strict=True)) | {names[axis]: value}
        try:
            if space.budget.fits(
                priced(list(descend(subspace, space.budget, precision, near, held=names[axis]).values()))
            ):
                return True
        except ConfigError:  # builds no network, however the others are
            continue
    return False
