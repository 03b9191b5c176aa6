"""The part of a search for one architecture: its own ranges, what is held, and what its configurations cost."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from optuna.distributions import BaseDistribution

from data.front_end import FRONT_ENDS
from models import ARCHITECTURES, Architecture, Counts, Shape
from models.counts import InputShapeError
from objectives.cost import Cost
from search.config.errors import ConfigError
from search.config.trial_config import TrialConfig, Value, field_types, heard_sizes
from search.space.ranges import largest, nearest, num_values
from training.methods import ALL_OFF, METHODS
from training.recipe import Recipe

PRUNE_TO = "prune_to"  # the one field of the recipe that decides what a network costs


@dataclass(frozen=True)
class Subspace:
    """What a search varies for one architecture.

    A value's name is its field of the recipe, "front_end", or for a field of the network "architecture.field", so
    that the sizes of two architectures never share a name.

    Attributes:
        architecture: Its name in `ARCHITECTURES`.
        ranges: What varies, by name.
        fixed: What is held, by field; fields that are in neither keep their default.
    """

    architecture: str
    ranges: Mapping[str, BaseDistribution]
    fixed: Mapping[str, Value]

    def field(self, name: str) -> str:
        """Return the config field that a value's name means."""
        return name.removeprefix(f"{self.architecture}.")

    def config(self, values: Mapping[str, Any]) -> TrialConfig:
        """Join sampled values and held ones.

        Raises:
            ConfigError: They build no network or no recipe.
        """
        sampled = {self.field(name): value for name, value in values.items()}
        return TrialConfig.from_values(self.architecture, {**self.fixed, **sampled})

    def values(self, config: TrialConfig) -> dict[str, Any]:
        """Return the values of the ranges that a configuration of this architecture has."""
        fields = config.to_dict()
        return {name: fields[self.field(name)] for name in self.ranges}

    @cached_property
    def cost_ranges(self) -> dict[str, BaseDistribution]:
        """The part of the ranges that decides the cost: the front end, the network, and how much is pruned."""
        fields = field_types(ARCHITECTURES[self.architecture].config)
        return {
            name: distribution
            for name, distribution in self.ranges.items()
            if name in ("front_end", PRUNE_TO) or self.field(name) in fields
        }

    @property
    def num_networks(self) -> float:
        """How many there are; infinite where a size has no step."""
        return math.prod(num_values(distribution) for distribution in self.cost_ranges.values())

    @property
    def front_ends(self) -> tuple[str, ...]:
        """Names of the front ends that its trials may hear."""
        varied = self.ranges.get("front_end")
        if varied is not None:
            return tuple(varied.choices)  # type: ignore[attr-defined]  # a choice
        return (str(self.fixed.get("front_end", ARCHITECTURES[self.architecture].front_end)),)

    def strongest(self) -> list[Recipe]:
        """Return for each training method that varies a recipe with that method alone, as strong as it gets.

        What the data cannot serve is then known before anything is trained.
        """
        recipes = []
        for method in METHODS.values():
            switch = method.fields[0]
            if switch in self.ranges and not isinstance(method.on[switch], str):
                values = {**ALL_OFF, **method.on, switch: largest(self.ranges[switch])}
                recipes.append(Recipe(**values))
        return recipes

    def to_serve(self) -> list[tuple[str, Recipe]]:
        """Return each recipe of `strongest`, beside each front end that it may meet."""
        return [(name, recipe) for recipe in self.strongest() for name in self.front_ends]

    def published(self, instead: Mapping[str, Value]) -> dict[str, Value]:
        """Return the published settings, but for what is to be `instead` of them, moved into the ranges."""
        known = {**TrialConfig.from_values(self.architecture, {}).to_dict(), **instead}
        if not known[PRUNE_TO] and PRUNE_TO in self.ranges:
            known[PRUNE_TO] = largest(self.ranges[PRUNE_TO])  # nearest to all that there is
        return {name: nearest(distribution, known[self.field(name)]) for name, distribution in self.ranges.items()}

    def pricer(self, names: Iterable[str], precision: str) -> "Callable[[Sequence[Any]], Cost]":
        """Return a function that prices a network from the values of `names`, in their order.

        It raises ConfigError for values that build no network, and where the network cannot hear the front end.
        """
        entry = ARCHITECTURES[self.architecture]
        network_fields = field_types(entry.config)
        held = {name: value for name, value in self.fixed.items() if name in network_fields}
        pruned = self.fixed.get(PRUNE_TO, Recipe().prune_to)
        heard = {name: heard_sizes(entry.config, name) for name in self.front_ends}
        shapes = {name: FRONT_ENDS[name].shape() for name in self.front_ends}
        fields = [self.field(name) for name in names]
        only = self.front_ends[0]

        def price(values: Sequence[Any]) -> Cost:
            sizes = dict(zip(fields, values, strict=True))
            front_end, prune_to = sizes.pop("front_end", only), sizes.pop(PRUNE_TO, pruned)
            try:
                config = entry.config(**held, **heard[front_end], **sizes)
            except ValueError as error:  # a config refuses what it cannot be, and does nothing else
                raise ConfigError(str(error)) from error
            return cost_of(count(entry, config, shapes[front_end]), precision, prune_to)

        return price


def count(entry: Architecture, config: Any, shape: Shape) -> Counts:
    """Count what the network of a config costs on one input of `shape`, (in_channels, F, T).

    Raises:
        ConfigError: The network cannot take such an input; the rule is named.
    """
    try:
        return entry.count(config, shape)
    except InputShapeError as error:
        raise ConfigError(str(error)) from error


def cost_of(counts: Counts, precision: str, prune_to: int) -> Cost:
    """Return the price of a network from its counts: an activation is a byte.

    Args:
        counts: Of the network.
        precision: Of its stored values.
        prune_to: How many of these are non-zero in the end, at most; 0: all of them.
    """
    stored = counts.stored_values
    nonzero = min(stored, prune_to) if prune_to else stored
    return Cost(counts.macs, counts.params, stored, counts.peak_values, precision, nonzero)
