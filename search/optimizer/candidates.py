"""Candidates of the acquisition function: feasible configurations of one architecture.

Three kinds, since most of what a surrogate of a dozen hyperparameters has seen is far from any random configuration:
    random networks, half of them with a recipe drawn uniformly, half with one drawn around the published recipe: each
        hyperparameter is the published one or uniform, as likely as not (a spike-and-slab prior);
    neighbours of an incumbent, which differ from it in one or two settings, by a small step or by a value drawn anew;
    crossovers: the network of an incumbent with the recipe of any architecture's incumbent.
"""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from objectives.cost import Cost
from search.config.errors import ConfigError
from search.config.trial_config import TrialConfig
from search.space.priced_space import PricedSpace
from search.space.pricing import price
from search.space.ranges import draw, nearest, perturb
from search.space.subspace import Subspace

NUM_RANDOM, NUM_NEIGHBOURS, NUM_CROSSOVERS = 48, 36, 12  # candidates of an architecture
MAX_CHANGED = 2  # settings in which a neighbour differs from its incumbent
STEP_SHARE, STEP = 0.5, 0.15  # share of the neighbours that differ by a step; its deviation, as a share of the range
PUBLISHED_SHARE = 0.5  # of the recipes about the published one, and of the hyperparameters that such a recipe takes
MAX_PRICED = 10_000  # networks whose cost is kept, so that a long search does not fill the memory: some 5 MB


@dataclass(frozen=True)
class Candidate:
    """A feasible configuration that may be proposed.

    Attributes:
        architecture: Name of its subspace.
        values: Values of the searched parameters, by name.
        config: The whole configuration, with the fixed values.
        cost: Cost of its network.
    """

    architecture: str
    values: dict[str, Any]
    config: TrialConfig
    cost: Cost


class CandidateSampler:
    """Draws candidates, and keeps the costs of their networks."""

    def __init__(self, space: PricedSpace) -> None:
        self.space = space
        self._priced: dict[Hashable, Cost] = {}

    def draw(
        self,
        architecture: str,
        incumbents: Sequence[Mapping[str, Any]],
        recipes: Sequence[Mapping[str, Any]],
        rng: np.random.Generator,
    ) -> Iterator[Candidate]:
        """Yield feasible candidates of an architecture: random ones, then neighbours and crossovers.

        Args:
            architecture: Name of its subspace.
            incumbents: Values of the trials to search around, by parameter; without any, all candidates are random.
            recipes: Values of incumbents of all architectures, by parameter.
            rng: Random numbers.
        """
        subspace, survey = self.space.subspaces[architecture], self.space.surveys[architecture]
        if not survey.feasible:
            return
        kinds = ["random"] * NUM_RANDOM + ["neighbour"] * NUM_NEIGHBOURS + ["crossover"] * NUM_CROSSOVERS
        for kind in kinds:
            values = {name: draw(distribution, rng) for name, distribution in subspace.ranges.items()}
            if kind == "random" or not incumbents or not subspace.ranges:
                network = survey.feasible[rng.integers(len(survey.feasible))]
                values |= self._published_recipe(subspace, rng)
                values |= dict(zip(subspace.cost_ranges, network, strict=True))
            else:
                incumbent = incumbents[int(rng.integers(len(incumbents)))]
                if kind == "neighbour":
                    values = _neighbour(subspace, incumbent, values, rng)
                else:
                    values = {**incumbent, **_recipe_of(subspace, recipes[int(rng.integers(len(recipes)))])}
            candidate = self._feasible(subspace, values)
            if candidate is not None:
                yield candidate

    def _feasible(self, subspace: Subspace, values: dict[str, Any]) -> Candidate | None:
        try:
            config = self.space.config(self.space.params(subspace, values))
            cost = self.price(config)
        except ConfigError:
            return None
        return Candidate(subspace.architecture, values, config, cost) if self.space.budget.fits(cost) else None

    def _published_recipe(self, subspace: Subspace, rng: np.random.Generator) -> dict[str, Any]:
        """Return the hyperparameters of training that a random candidate takes from the published recipe."""
        names = [name for name in subspace.ranges if name not in subspace.cost_ranges]
        taken = rng.random(len(names)) < PUBLISHED_SHARE
        if not names or rng.random() >= PUBLISHED_SHARE:
            return {}
        published = self.space.published[subspace.architecture].values
        return {name: published[name] for name, is_taken in zip(names, taken, strict=True) if is_taken}

    def price(self, config: TrialConfig) -> Cost:
        """Price a configuration; a network that was priced before is not built again."""
        key = config.architecture, config.network, config.input_shape, config.recipe.prune_to
        if key not in self._priced:
            if len(self._priced) >= MAX_PRICED:
                self._priced.clear()
            self._priced[key] = price(config, self.space.settings.precision)
        return self._priced[key]


def _neighbour(
    subspace: Subspace, incumbent: Mapping[str, Any], drawn: Mapping[str, Any], rng: np.random.Generator
) -> dict[str, Any]:
    """Return an incumbent with one to `MAX_CHANGED` of its values changed by a step, or replaced by drawn ones."""
    names = list(subspace.ranges)
    num_changed = min(len(names), int(rng.integers(1, MAX_CHANGED + 1)))
    changed = rng.choice(len(names), size=num_changed, replace=False)
    chosen = [names[index] for index in changed.tolist()]
    if rng.random() < STEP_SHARE:
        return {**incumbent, **{name: perturb(subspace.ranges[name], incumbent[name], STEP, rng) for name in chosen}}
    return {**incumbent, **{name: drawn[name] for name in chosen}}


def _recipe_of(subspace: Subspace, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the hyperparameters of training of another incumbent that this architecture varies too."""
    return {
        name: nearest(distribution, values[name])
        for name, distribution in subspace.ranges.items()
        if name in values and name not in subspace.cost_ranges
    }
