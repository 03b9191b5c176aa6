"""Conditional subspace: ranges, fixed values and cost function of one architecture."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from optuna.distributions import BaseDistribution

from data.front_end import FRONT_ENDS
from models import ARCHITECTURES
from objectives.cost import Cost
from search.config.errors import ConfigError
from search.config.trial_config import TrialConfig, Value, field_types, input_sizes
from search.space.pricing import cost_of, count
from search.space.ranges import largest, nearest, num_values
from training.methods import ALL_OFF, METHODS
from training.recipe import Recipe

PRUNE_TO = "prune_to"  # the only recipe field that changes a network's cost


@dataclass(frozen=True)
class Subspace:
    """The conditional subspace of one architecture.

    A parameter is named by its field of the recipe, "front_end", or "architecture.field" for a field of the network, so
    that the sizes of two architectures never share a name.

    Attributes:
        architecture: Name in `ARCHITECTURES`.
        ranges: Distributions by parameter.
        fixed: Fixed values by field; fields in neither have their default.
    """

    architecture: str
    ranges: Mapping[str, BaseDistribution]
    fixed: Mapping[str, Value]

    def field(self, name: str) -> str:
        """Return the config field of a parameter."""
        return name.removeprefix(f"{self.architecture}.")

    def config(self, values: Mapping[str, Any]) -> TrialConfig:
        """Return the configuration of sampled values, with the fixed ones.

        Raises:
            ConfigError: They build no network or no recipe.
        """
        sampled = {self.field(name): value for name, value in values.items()}
        return TrialConfig.from_values(self.architecture, {**self.fixed, **sampled})

    def values(self, config: TrialConfig) -> dict[str, Any]:
        """Return the parameters of a configuration of this architecture."""
        fields = config.to_dict()
        return {name: fields[self.field(name)] for name in self.ranges}

    @cached_property
    def cost_ranges(self) -> dict[str, BaseDistribution]:
        """Ranges of the parameters that change the cost: front end, network, and pruning target."""
        fields = field_types(ARCHITECTURES[self.architecture].config)
        return {
            name: distribution
            for name, distribution in self.ranges.items()
            if name in ("front_end", PRUNE_TO) or self.field(name) in fields
        }

    @property
    def num_networks(self) -> float:
        """Number of networks; infinite if a size is continuous."""
        return math.prod(num_values(distribution) for distribution in self.cost_ranges.values())

    @property
    def front_ends(self) -> tuple[str, ...]:
        """Names of the front ends of its trials."""
        varied = self.ranges.get("front_end")
        if varied is not None:
            return tuple(varied.choices)  # type: ignore[attr-defined]  # a choice
        return (str(self.fixed.get("front_end", ARCHITECTURES[self.architecture].front_end)),)

    def strongest_recipes(self) -> list[Recipe]:
        """Return for each searched training method a recipe with that method alone, at its strongest."""
        recipes = []
        for method in METHODS.values():
            switch = method.fields[0]
            if switch in self.ranges and not isinstance(method.on[switch], str):
                values = {**ALL_OFF, **method.on, switch: largest(self.ranges[switch])}
                recipes.append(Recipe(**values))
        return recipes

    def recipes_to_check(self) -> list[tuple[str, Recipe]]:
        """Return front ends and recipes whose requirements on the data are checked before any training."""
        return [(name, recipe) for recipe in self.strongest_recipes() for name in self.front_ends]

    def published(self, overrides: Mapping[str, Value]) -> dict[str, Value]:
        """Return the parameters of the published settings with `overrides`, by field, clipped to the ranges."""
        settings = {**TrialConfig.from_values(self.architecture, {}).to_dict(), **overrides}
        if not settings[PRUNE_TO] and PRUNE_TO in self.ranges:
            settings[PRUNE_TO] = largest(self.ranges[PRUNE_TO])  # 0 means nothing is pruned
        return {name: nearest(distribution, settings[self.field(name)]) for name, distribution in self.ranges.items()}

    def cost_function(self, precision: str) -> "Callable[[Sequence[Any]], Cost]":
        """Return a function from values of `cost_ranges`, in their order, to the network's cost.

        It raises ConfigError for values that build no network, or none that takes the front end's output.
        """
        entry = ARCHITECTURES[self.architecture]
        network_fields = field_types(entry.config)
        fixed = {name: value for name, value in self.fixed.items() if name in network_fields}
        fixed_prune_to = self.fixed.get(PRUNE_TO, Recipe().prune_to)
        sizes_of_input = {name: input_sizes(entry.config, name) for name in self.front_ends}
        shapes = {name: FRONT_ENDS[name].shape() for name in self.front_ends}
        fields = [self.field(name) for name in self.cost_ranges]
        fixed_front_end = self.front_ends[0]

        def cost(values: Sequence[Any]) -> Cost:
            sizes = dict(zip(fields, values, strict=True))
            front_end, prune_to = sizes.pop("front_end", fixed_front_end), sizes.pop(PRUNE_TO, fixed_prune_to)
            try:
                config = entry.config(**fixed, **sizes_of_input[front_end], **sizes)
            except ValueError as error:  # raised by the validation of a config
                raise ConfigError(str(error)) from error
            return cost_of(count(entry, config, shapes[front_end]), precision, prune_to)

        return cost
