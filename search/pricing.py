"""What configurations cost, before any is trained."""

import itertools
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from models import ARCHITECTURES
from objectives.budget import Budget
from objectives.cost import Cost
from search.names import unknown
from search.published import Published, read_published
from search.trial_config import TrialConfig

MAX_ENUMERATED = 50_000  # configurations; above it some are drawn at random
NUM_DRAWN = 5_000


def price(config: TrialConfig, precision: str) -> Cost:
    """Price one clip through the network of `config`, without building it.

    Raises:
        ValueError: The network cannot hear what the front end gives; the rule is named.
    """
    counts = ARCHITECTURES[config.architecture].count(config.network, config.input_shape)
    return Cost(counts.macs, counts.params, counts.stored_values, counts.peak_values, precision)


def find_trial(name: str, values: Mapping[str, Any]) -> TrialConfig:
    """Give the config of an architecture or of a published network, with `values` in place of its own.

    Raises:
        ValueError: No architecture and no published network of that name (the nearest is named), or values that
            `TrialConfig.from_values` refuses.
    """
    if name in ARCHITECTURES:
        return TrialConfig.from_values(name, values)
    known = {entry.name: entry for entry in read_published()}
    if name not in known:
        raise ValueError(unknown("architecture or published network", name, {*ARCHITECTURES, *known}))
    entry = known[name]
    return TrialConfig.from_values(entry.architecture, {**entry.values, **values})


def price_published(entry: Published, precision: str) -> Cost | None:
    """Price a published network by our own count; None for an architecture that cannot be built here."""
    if entry.architecture not in ARCHITECTURES:
        return None
    return price(TrialConfig.from_values(entry.architecture, entry.values), precision)


@dataclass(frozen=True)
class Survey:
    """Which of a space's networks fit a budget.

    Attributes:
        num_priced: Configurations looked at.
        is_whole: Whether these are all there are.
        fitting: The values of those that fit.
        broken: How many break each limit; "invalid" counts those that build no network.
        nearest: Values, cost and excess of the configuration that comes closest to fitting, where none fits.
    """

    num_priced: int
    is_whole: bool
    fitting: list[dict[str, Any]]
    broken: Counter[str]
    nearest: tuple[dict[str, Any], Cost, dict[str, float]] | None

    @property
    def share(self) -> float:
        """The share that fits, 0 to 1."""
        return len(self.fitting) / self.num_priced


def survey(
    template: TrialConfig,
    ranges: Mapping[str, BaseDistribution],
    budget: Budget,
    precision: str,
    seed: int = 0,
) -> Survey:
    """Price every network in `ranges`, or `NUM_DRAWN` random ones where there are too many.

    Args:
        template: Gives the architecture and every value that `ranges` leaves alone.
        ranges: Over fields of the architecture's config.
        budget: To fit.
        precision: Of the weights.
        seed: For the random ones.
    """
    fitting, broken = [], Counter[str]()
    nearest: tuple[dict[str, Any], Cost, dict[str, float]] | None = None
    num_priced = 0
    size = math.prod(_num_values(distribution) for distribution in ranges.values())
    is_whole = size <= MAX_ENUMERATED
    for values in _every(ranges) if is_whole else _draws(ranges, NUM_DRAWN, seed):
        num_priced += 1
        try:
            cost = price(replace(template, network=replace(template.network, **values)), precision)
        except ValueError:
            broken["invalid"] += 1
            continue
        excess = budget.excess(cost)
        over = [name for name, value in excess.items() if value > 0]
        broken.update(over)
        if not over:
            fitting.append(values)
        elif nearest is None or max(excess.values()) < max(nearest[2].values()):
            nearest = values, cost, excess
    return Survey(num_priced, is_whole, fitting, broken, None if fitting else nearest)


def _num_values(distribution: BaseDistribution) -> float:
    if isinstance(distribution, CategoricalDistribution):
        return len(distribution.choices)
    if isinstance(distribution, IntDistribution):
        return (distribution.high - distribution.low) // distribution.step + 1
    if isinstance(distribution, FloatDistribution) and distribution.step:
        return round((distribution.high - distribution.low) / distribution.step) + 1
    return 1 if distribution.single() else math.inf


def _values(distribution: BaseDistribution) -> list[Any]:
    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    if isinstance(distribution, IntDistribution):
        return list(range(distribution.low, distribution.high + 1, distribution.step))
    assert isinstance(distribution, FloatDistribution)
    step = distribution.step or 0.0
    return [round(distribution.low + number * step, 10) for number in range(int(_num_values(distribution)))]


def _every(ranges: Mapping[str, BaseDistribution]) -> Iterator[dict[str, Any]]:
    for values in itertools.product(*(_values(distribution) for distribution in ranges.values())):
        yield dict(zip(ranges, values, strict=True))


def _draws(ranges: Mapping[str, BaseDistribution], count: int, seed: int) -> Iterator[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    for _ in range(count):
        yield {name: _draw(distribution, rng) for name, distribution in ranges.items()}


def _draw(distribution: BaseDistribution, rng: np.random.Generator) -> Any:
    if not isinstance(distribution, FloatDistribution) or distribution.step:
        return _values(distribution)[rng.integers(int(_num_values(distribution)))]
    low, high = distribution.low, distribution.high
    value = math.exp(rng.uniform(math.log(low), math.log(high))) if distribution.log else rng.uniform(low, high)
    return min(float(value), high)
