"""Feasibility survey: which networks of a conditional subspace fit the budget, all of them or a random sample."""

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
from search.config.errors import ConfigError
from search.space.cost_table import CostTable, Nearest
from search.space.ranges import all_values, draw, normalize
from search.space.subspace import Subspace

MAX_ENUMERATED = 50_000  # networks per architecture; a larger subspace is sampled
NUM_DRAWN = 5_000  # networks in a sample
NUM_BUILT = 100  # networks to price if each must be built for it
REPORT_EVERY = 1_000  # networks between two progress reports
INVALID = "invalid"


@dataclass(frozen=True, eq=False, kw_only=True)
class FeasibilitySurvey(CostTable):
    """Which networks of one architecture fit a budget.

    Attributes:
        subspace: The subspace that was priced.
        num_priced: Number of priced networks.
        is_exhaustive: Whether every network of the subspace was priced.
        feasible: Values of the networks that fit, in the order of the subspace's `cost_ranges`.
        violations: Number of networks over each limit, alone or with others; `INVALID`: those that cannot be built.
        invalid_reason: Why the first of those cannot be built, or "".
    """

    subspace: Subspace
    num_priced: int
    is_exhaustive: bool
    feasible: list[tuple[Any, ...]]
    violations: Counter[str]
    invalid_reason: str

    @property
    def feasible_fraction(self) -> float:
        """Fraction of the priced networks that fit, 0 to 1."""
        return len(self.feasible) / self.num_priced

    @cached_property
    def coordinates(self) -> NDArray[np.float32]:
        """Normalized coordinates of the feasible networks, (num_feasible, num_ranges): see `ranges.normalize`."""
        columns = []
        for axis, distribution in enumerate(self.subspace.cost_ranges.values()):
            normalized = {value: normalize(distribution, value) for value in {values[axis] for values in self.feasible}}
            columns.append([normalized[values[axis]] for values in self.feasible])
        return np.array(columns, dtype=np.float32).T.reshape(len(self.feasible), len(columns))

    def by_distance(self, values: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Yield the feasible networks by L1 distance to `values` in normalized coordinates; another choice counts 1."""
        distances = np.zeros(len(self.feasible))
        for column, (name, distribution) in zip(self.coordinates.T, self.subspace.cost_ranges.items(), strict=True):
            target = normalize(distribution, values[name])
            is_choice = isinstance(distribution, CategoricalDistribution)
            distances += column != target if is_choice else np.abs(column - target)
        for index in np.argsort(distances, kind="stable"):
            yield dict(zip(self.subspace.cost_ranges, self.feasible[index], strict=True))


def num_to_price(subspace: Subspace, max_enumerated: int, num_drawn: int) -> tuple[int, bool]:
    """Return how many networks a survey prices, and whether these are all of the subspace."""
    if ARCHITECTURES[subspace.architecture].is_built_to_count:
        max_enumerated, num_drawn = min(max_enumerated, NUM_BUILT), min(num_drawn, NUM_BUILT)
    is_exhaustive = subspace.num_networks <= max_enumerated
    return (int(subspace.num_networks) if is_exhaustive else num_drawn), is_exhaustive


def survey_subspace(
    subspace: Subspace,
    budget: Budget,
    precision: str,
    *,
    seed: int = 0,
    max_enumerated: int = MAX_ENUMERATED,
    num_drawn: int = NUM_DRAWN,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> FeasibilitySurvey:
    """Price every network of a subspace, or a random sample where there are too many.

    Args:
        subspace: The subspace.
        budget: The limits to fit.
        precision: Precision of the stored weights.
        seed: Random seed of the sample.
        max_enumerated: Largest subspace to price exhaustively.
        num_drawn: Sample size for a larger one.
        progress: Called with the number of priced networks, and the total.
    """
    total, is_exhaustive = num_to_price(subspace, max_enumerated, num_drawn)
    cost_function = subspace.cost_function(precision)
    feasible: list[tuple[Any, ...]] = []
    costs: list[tuple[int, ...]] = []
    violations, invalid_reason, least = Counter[str](), "", np.inf
    nearest: Nearest | None = None
    for number, values in enumerate(_all_networks(subspace) if is_exhaustive else _sample(subspace, total, seed)):
        if number % REPORT_EVERY == 0:
            progress(number, total)
        try:
            cost = cost_function(values)
        except ConfigError as error:
            violations[INVALID] += 1
            invalid_reason = invalid_reason or str(error)
            continue
        costs.append(tuple([getattr(cost, name) for name in LIMITS]))
        excess = budget.excess(cost)
        violations.update(name for name, value in excess.items() if value > 0)
        worst = max(excess.values(), default=0.0)
        if worst <= 0:
            feasible.append(values)
        elif worst < least:
            least, nearest = worst, Nearest(dict(zip(subspace.cost_ranges, values, strict=True)), cost, excess)
    progress(total, total)
    return FeasibilitySurvey(
        costs=np.array(costs, dtype=np.int64).reshape(len(costs), len(LIMITS)),
        subspace=subspace, num_priced=total, is_exhaustive=is_exhaustive, feasible=feasible, violations=violations,
        nearest=None if feasible else nearest, invalid_reason=invalid_reason,
    )  # fmt: skip


def _all_networks(subspace: Subspace) -> Iterator[tuple[Any, ...]]:
    return itertools.product(*(all_values(distribution) for distribution in subspace.cost_ranges.values()))


def _sample(subspace: Subspace, count: int, seed: int) -> Iterator[tuple[Any, ...]]:
    rng = np.random.default_rng(seed)
    for _ in range(count):
        yield tuple(draw(distribution, rng) for distribution in subspace.cost_ranges.values())
