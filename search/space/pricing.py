"""What the networks of a search cost, before any is trained."""

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import CategoricalDistribution

from models import ARCHITECTURES
from objectives.budget import LIMITS, Budget
from objectives.cost import Cost
from search.config.errors import ConfigError, UserError
from search.config.messages import unknown
from search.config.published import Published, read_published
from search.config.trial_config import TrialConfig
from search.space.ranges import all_values, draw, place
from search.space.subspace import Subspace, cost_of, count
from training.errors import TrainingError
from training.pruning import Pruner

MAX_ENUMERATED = 50_000  # networks of one architecture at the start of a search; above it some are drawn at random
NUM_DRAWN = 5_000
NUM_BUILT = 100  # where pricing a network means building it
REPORT_EVERY = 1_000


def price(config: TrialConfig, precision: str) -> Cost:
    """Price one clip through the network of `config`, without building it, as its recipe will have pruned it.

    Raises:
        ConfigError: The network cannot take what the front end gives; the rule is named.
    """
    counts = count(ARCHITECTURES[config.architecture], config.network, config.input_shape)
    return cost_of(counts, precision, config.recipe.prune_to)


def require_prunable(config: TrialConfig) -> None:
    """Pass a configuration whose network can be pruned to what its recipe asks for; one that prunes is built for it.

    Raises:
        ConfigError: So few values cannot be left; says how few can.
    """
    recipe = config.recipe
    if recipe.prune_to:
        try:
            Pruner(config.build(), recipe.prune_to, recipe.prune_share, recipe.epochs, config.input_shape)
        except TrainingError as error:
            raise ConfigError(str(error)) from error


def find_trial(name: str, values: Mapping[str, Any]) -> TrialConfig:
    """Return the config of an architecture or of a published network, with `values` in place of its own.

    Raises:
        UserError: No architecture and no published network of that name (the nearest is named), or values that
            `TrialConfig.from_values` refuses.
    """
    if name in ARCHITECTURES:
        return TrialConfig.from_values(name, values)
    known = {entry.name: entry for entry in read_published()}
    if name not in known:
        raise UserError(unknown("architecture or published network", name, {*ARCHITECTURES, *known}))
    entry = known[name]
    return TrialConfig.from_values(entry.architecture, {**entry.values, **values})


def price_published(entry: Published, precision: str) -> Cost:
    """Price a published network by our own count."""
    return price(TrialConfig.from_values(entry.architecture, entry.values), precision)


@dataclass(frozen=True)
class Nearest:
    """The configuration that comes closest to a budget that it breaks."""

    values: dict[str, Any]
    cost: Cost
    excess: dict[str, float]


@dataclass(frozen=True)
class FeasibilitySurvey:
    """Which networks of one architecture fit a budget.

    Attributes:
        subspace: What was priced.
        num_priced: Networks looked at.
        is_whole: Whether these are all there are.
        fitting: The values of those that fit, in the order of the branch's `cost_ranges`.
        costs: Of all that can be built, one column for each of `LIMITS`.
        broken: How many break each limit, alone or with others; "invalid" counts those that build no network.
        invalid: One reason of those that build no network, or nothing.
        nearest: The one that comes closest to fitting, where none fits.
    """

    subspace: Subspace
    num_priced: int
    is_whole: bool
    fitting: list[tuple[Any, ...]]
    costs: NDArray[np.int64]
    broken: Counter[str]
    invalid: str
    nearest: Nearest | None

    @property
    def share(self) -> float:
        """The share that fits, 0 to 1."""
        return len(self.fitting) / self.num_priced

    @cached_property
    def places(self) -> NDArray[np.float32]:
        """Where the fitting networks lie in their ranges, (N, D): see `search.space.ranges.place`."""
        ranges = self.subspace.cost_ranges.values()
        columns = []
        for axis, distribution in enumerate(ranges):
            place_of = {value: place(distribution, value) for value in {values[axis] for values in self.fitting}}
            columns.append([place_of[values[axis]] for values in self.fitting])
        return np.array(columns, dtype=np.float32).T.reshape(len(self.fitting), len(columns))

    def by_distance(self, values: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Return the networks that fit, the least changed from `values` first.

        The distance adds up how far each value moves as a share of its range; another choice counts as a whole range.
        """
        if not self.fitting:
            return
        away = np.zeros(len(self.fitting))
        for column, (name, distribution) in zip(self.places.T, self.subspace.cost_ranges.items(), strict=True):
            here = place(distribution, values[name])
            away += column != here if isinstance(distribution, CategoricalDistribution) else np.abs(column - here)
        for index in np.argsort(away, kind="stable"):
            yield dict(zip(self.subspace.cost_ranges, self.fitting[index], strict=True))


def num_to_price(subspace: Subspace, max_enumerated: int, num_drawn: int) -> tuple[int, bool]:
    """Return how many networks a survey prices, and whether these are all."""
    if ARCHITECTURES[subspace.architecture].is_built_to_count:
        max_enumerated, num_drawn = min(max_enumerated, NUM_BUILT), min(num_drawn, NUM_BUILT)
    is_whole = subspace.num_networks <= max_enumerated
    return (int(subspace.num_networks) if is_whole else num_drawn), is_whole


def survey(
    subspace: Subspace,
    budget: Budget,
    precision: str,
    *,
    seed: int = 0,
    max_enumerated: int = MAX_ENUMERATED,
    num_drawn: int = NUM_DRAWN,
    progress: Callable[[int, int], None] | None = None,
) -> FeasibilitySurvey:
    """Price every network of `subspace`, or random ones where there are too many.

    Args:
        subspace: Gives the ranges and everything that they leave alone.
        budget: To fit.
        precision: Of the weights.
        seed: For the random ones.
        max_enumerated: The most that are all priced.
        num_drawn: How many random ones are priced otherwise.
        progress: Told how many are done, and of how many.
    """
    total, is_whole = num_to_price(subspace, max_enumerated, num_drawn)
    names = list(subspace.cost_ranges)
    priced = subspace.pricer(names, precision)
    limits = budget.limits()
    fitting: list[tuple[Any, ...]] = []
    costs: list[tuple[int, ...]] = []
    broken, invalid = Counter[str](), ""
    least, closest = np.inf, None
    for number, point in enumerate(_every(subspace) if is_whole else _draws(subspace, total, seed)):
        if progress is not None and number % REPORT_EVERY == 0:
            progress(number, total)
        try:
            cost = priced(point)
        except ConfigError as error:
            broken["invalid"] += 1
            invalid = invalid or str(error)
            continue
        costs.append(tuple([getattr(cost, name) for name in LIMITS]))
        worst = 0.0
        for name, limit in limits.items():
            value = getattr(cost, name)
            if value > limit:
                broken[name] += 1
                worst = max(worst, (value - limit) / limit)
        if not worst:
            fitting.append(point)
        elif worst < least:
            least, closest = worst, (point, cost)
    if progress is not None:
        progress(total, total)
    nearest = None
    if closest is not None and not fitting:
        nearest = Nearest(dict(zip(names, closest[0], strict=True)), closest[1], budget.excess(closest[1]))
    table = np.array(costs, dtype=np.int64).reshape(len(costs), len(LIMITS))
    return FeasibilitySurvey(subspace, total, is_whole, fitting, table, broken, invalid, nearest)


def _every(subspace: Subspace) -> Iterator[tuple[Any, ...]]:
    return itertools.product(*(all_values(distribution) for distribution in subspace.cost_ranges.values()))


def _draws(subspace: Subspace, count: int, seed: int) -> Iterator[tuple[Any, ...]]:
    rng = np.random.default_rng(seed)
    for _ in range(count):
        yield tuple(draw(distribution, rng) for distribution in subspace.cost_ranges.values())
