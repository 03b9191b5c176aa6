"""Cost of a configuration in closed form; a network is built only to check its pruning target."""

from collections.abc import Mapping
from typing import Any

from models import ARCHITECTURES, Architecture, Counts, Shape
from models.counts import InputShapeError
from objectives.cost import Cost
from search.config.errors import ConfigError, UserError
from search.config.messages import unknown
from search.config.published import Published, read_published
from search.config.trial_config import TrialConfig
from training.errors import TrainingError
from training.pruning import Pruner


def count(entry: Architecture, config: Any, shape: Shape) -> Counts:
    """Count the operations and values of a config's network for one input of `shape`, (in_channels, F, T).

    Raises:
        ConfigError: The network cannot take such an input; names the rule.
    """
    try:
        return entry.count(config, shape)
    except InputShapeError as error:
        raise ConfigError(str(error)) from error


def cost_of(counts: Counts, precision: str, prune_to: int) -> Cost:
    """Return the cost of a network from its counts, with activations of one byte.

    Args:
        counts: Counts of the network.
        precision: Precision of its stored values.
        prune_to: Maximum number of non-zero stored values after pruning; 0: not pruned.
    """
    stored = counts.stored_values
    nonzero = min(stored, prune_to) if prune_to else stored
    return Cost(counts.macs, counts.params, stored, counts.peak_values, precision, nonzero)


def price(config: TrialConfig, precision: str) -> Cost:
    """Return the cost of one clip through the network of `config`, after the pruning of its recipe.

    Raises:
        ConfigError: The network cannot take the front end's output; names the rule.
    """
    counts = count(ARCHITECTURES[config.architecture], config.network, config.input_shape)
    return cost_of(counts, precision, config.recipe.prune_to)


def price_published(entry: Published, precision: str) -> Cost:
    """Return the cost of a published network by our own count."""
    return price(TrialConfig.from_values(entry.architecture, entry.values), precision)


def require_prunable(config: TrialConfig) -> None:
    """Require that the network, which is built for this, can be pruned to the target of its recipe, if it has one.

    Raises:
        ConfigError: It cannot be pruned that far; names the smallest target.
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
        UserError: The name is unknown (the nearest is named), or `TrialConfig.from_values` refuses the values.
    """
    if name in ARCHITECTURES:
        return TrialConfig.from_values(name, values)
    known = {entry.name: entry for entry in read_published()}
    if name not in known:
        raise UserError(unknown("architecture or published network", name, {*ARCHITECTURES, *known}))
    entry = known[name]
    return TrialConfig.from_values(entry.architecture, {**entry.values, **values})
