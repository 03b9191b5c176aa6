"""Conditional search space of a job, made from its settings: a subspace per architecture, and the budget."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.trial import Trial

from models import ARCHITECTURES
from objectives.budget import BUDGETS, UNLIMITED, Budget
from search.config.errors import ConfigError, UserError
from search.config.messages import unknown
from search.config.recipes import find_recipe, recipe_values
from search.config.settings import ConfirmSettings, Job, SearchSettings, TrainSettings
from search.config.settings_file import is_space_file
from search.config.trial_config import ARCHITECTURE, NOT_SEARCHABLE, TrialConfig, Value, field_types
from search.space.ranges import EmptySpaceError, draw, largest, narrow, suggest
from search.space.repeats import repeat_subspaces, trainings
from search.space.space_file import NUM_SAMPLED, find_space
from search.space.subspace import Subspace
from search.study.repeats import SEED
from spaces import Space
from training.recipe import Recipe

SWA_EPOCHS, DISTILL_WEIGHT = "swa_epochs", "distill_weight"
# Values fixed without a folder of impulse responses.
WITHOUT_RESPONSES: Mapping[str, Value] = {"impulse_response_p": 0.0, "simulated_devices": 0}


@dataclass(frozen=True)
class SearchSpace:
    """The conditional search space of a job, and the budget of its networks.

    Attributes:
        settings: Settings of the job.
        subspaces: Conditional subspace of each architecture, by its name.
        budget: Limits on the cost.
    """

    settings: Job
    subspaces: Mapping[str, Subspace]
    budget: Budget

    def suggest(self, trial: Trial) -> dict[str, Value]:
        """Sample a configuration: the architecture, then the parameters of its subspace."""
        values: dict[str, Value] = {}
        if len(self.subspaces) > 1:
            values[ARCHITECTURE] = suggest(trial, ARCHITECTURE, CategoricalDistribution(list(self.subspaces)))
        for name, distribution in self.subspace(values).ranges.items():
            values[name] = suggest(trial, name, distribution)
        return values

    def subspace(self, values: Mapping[str, Any]) -> Subspace:
        """Return the subspace that sampled values belong to."""
        return self.subspaces[str(values.get(ARCHITECTURE, next(iter(self.subspaces))))]

    def config(self, values: Mapping[str, Any]) -> TrialConfig:
        """Return the configuration of sampled values, with the fixed ones.

        Raises:
            ConfigError: They build no network or no recipe.
        """
        return self.subspace(values).config({name: value for name, value in values.items() if name != ARCHITECTURE})

    @property
    def num_classes(self) -> int:
        """Number of scenes of the data."""
        return int(next(iter(self.subspaces.values())).fixed["num_classes"])

    @property
    def front_ends(self) -> tuple[str, ...]:
        """Names of the front ends of the trials."""
        return tuple(dict.fromkeys(name for subspace in self.subspaces.values() for name in subspace.front_ends))

    def params(self, subspace: Subspace, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters of a trial: the values of a subspace, and the architecture where it is a choice."""
        return {ARCHITECTURE: subspace.architecture, **values} if len(self.subspaces) > 1 else dict(values)

    def trainings(self) -> list[dict[str, Any]]:
        """Return the parameters of every trial of a training or a confirmation, in order."""
        assert not isinstance(self.settings, SearchSettings)
        return [self.params(subspace, values) for subspace, values in trainings(self.settings, self.subspaces)]


def make_search_space(settings: Job, num_classes: int) -> SearchSpace:
    """Make the search space of a job for data of `num_classes` scenes.

    Raises:
        EmptySpaceError: No range is left.
        UserError: Names the unknown space, the unknown config key, or the range outside of the space's.
    """
    if isinstance(settings, ConfirmSettings):
        return SearchSpace(settings, repeat_subspaces(settings, num_classes), BUDGETS[UNLIMITED])
    space = find_space(settings.space)
    _require_responses(settings, space)
    fixed = dict(settings.set)
    architectures = _architectures(space, fixed.pop(ARCHITECTURE, None))
    owners = {key: _resolve_key(key, architectures) for key in (*fixed, *settings.ranges)}
    common = _common_values(settings, space, owners, num_classes)
    subspaces = {}
    for name in architectures:
        own = common | {owners[key].field: value for key, value in fixed.items() if owners[key].applies_to(name)}
        if isinstance(settings, TrainSettings):
            ranges: dict[str, BaseDistribution] = {SEED: IntDistribution(settings.seeds[0], settings.seeds[-1])}
        else:
            ranges = _ranges(space, name, own)
        for key, bounds in settings.ranges.items():
            if owners[key].applies_to(name):
                _narrow(ranges, key, owners[key], bounds, own)
        subspaces[name] = Subspace(name, ranges, own)
        _require_valid_configs(subspaces[name])
    if not any(subspace.ranges for subspace in subspaces.values()):
        raise EmptySpaceError(
            f"the space {settings.space} is empty: `set` fixes every one of its ranges at one value; leave one free"
        )
    _require_teacher(settings, subspaces)
    budget = BUDGETS[UNLIMITED] if isinstance(settings, TrainSettings) else settings.limits()
    return SearchSpace(settings, subspaces, budget)


class _ConfigKey(NamedTuple):
    """A config field named in the settings, with its architecture; "" for fields of the recipe and the front end."""

    architecture: str
    field: str

    def applies_to(self, architecture: str) -> bool:
        """Whether configurations of an architecture have the field."""
        return self.architecture in ("", architecture)

    @property
    def name(self) -> str:
        """Name of the field as a parameter of a study."""
        return f"{self.architecture}.{self.field}" if self.architecture else self.field


def _resolve_key(key: str, architectures: Sequence[str]) -> _ConfigKey:
    """Resolve a key of `set` or `ranges`, such as width or isotropic.width.

    Raises:
        UserError: No config or several have the field, or a search cannot set it.
    """
    architecture, _, field = key.rpartition(".")
    if field in NOT_SEARCHABLE:
        raise UserError(f"{key} cannot be set here: {NOT_SEARCHABLE[field]}")
    shared = ["front_end", *field_types(Recipe)]
    if key in shared:
        return _ConfigKey("", key)
    sizes = {name: field_types(ARCHITECTURES[name].config) for name in architectures}
    having = [name for name in architectures if field in sizes[name] and architecture in ("", name)]
    if len(having) == 1:
        return _ConfigKey(having[0], field)
    if having:
        ways = " or ".join(f"{name}.{field}" for name in having)
        raise UserError(f"{key} is a size of several architectures; say which: {ways}")
    known = [*shared, *(size if len(sizes) == 1 else f"{name}.{size}" for name in sizes for size in sizes[name])]
    raise UserError(unknown("config key", key, known))


def _architectures(space: Space, only: Value | None) -> list[str]:
    """Return the architectures of a space, or the one that the settings fix."""
    if only is None:
        return list(space.networks)
    if only not in space.networks:
        raise UserError(unknown("architecture of the space", str(only), space.networks))
    return [str(only)]


def _common_values(settings: Job, space: Space, owners: Mapping[str, _ConfigKey], num_classes: int) -> dict[str, Value]:
    """Return the values fixed for all architectures by settings, recipe, and a missing folder of impulse responses."""
    values: dict[str, Value] = {"num_classes": num_classes, "epochs": settings.epochs, "seed": settings.seed}
    if settings.recipe is not None:
        explicit = space.explicit | {owners[key].field for key in settings.ranges if not owners[key].architecture}
        recipe = recipe_values(find_recipe(settings.recipe).recipe, settings.epochs)
        values |= {name: value for name, value in recipe.items() if name not in explicit}
    if settings.impulse_responses is None:
        values |= WITHOUT_RESPONSES
    return values


def _ranges(space: Space, architecture: str, fixed: Mapping[str, Value]) -> dict[str, BaseDistribution]:
    """Return the distributions of one architecture's parameters, by their names in a study."""
    ranges: dict[str, BaseDistribution] = {}
    if space.front_ends and "front_end" not in fixed:
        ranges["front_end"] = CategoricalDistribution(space.front_ends)
    for name, distribution in space.networks[architecture].items():
        if name not in fixed:
            ranges[f"{architecture}.{name}"] = distribution
    ranges.update({name: value for name, value in space.training.items() if name not in fixed})
    averaged = ranges.get(SWA_EPOCHS)
    if isinstance(averaged, IntDistribution) and averaged.low <= int(fixed["epochs"]) < averaged.high:
        ranges[SWA_EPOCHS] = IntDistribution(averaged.low, int(fixed["epochs"]))  # at most all epochs
    return ranges


def _narrow(
    ranges: dict[str, BaseDistribution], key: str, owner: _ConfigKey, bounds: Sequence[Any], fixed: Mapping[str, Value]
) -> None:
    """Narrow one of the ranges in place; refuse one that does not vary, or bounds outside of it."""
    if owner.name not in ranges:
        why = "its value is fixed" if owner.field in fixed else "the space does not vary it"
        raise UserError(f"ranges: {key} cannot be narrowed: {why}")
    ranges[owner.name] = narrow(key, ranges[owner.name], bounds)


def _require_responses(settings: Job, space: Space) -> None:
    """Refuse to search methods that need impulse responses, without a folder of them."""
    varied = [name for name in WITHOUT_RESPONSES if name in space.explicit]
    if settings.impulse_responses is None and varied and not is_space_file(settings.space):
        raise UserError(
            f"the space {settings.space} varies {', '.join(varied)}, but there is no folder of impulse responses; name "
            "one with --impulse-responses"
        )


def _require_teacher(settings: Job, subspaces: Mapping[str, Subspace]) -> None:
    """Refuse distillation without a teacher, and a teacher without distillation."""
    most = max(_largest(subspace, DISTILL_WEIGHT) for subspace in subspaces.values())
    if most > 0 and not settings.teacher:
        is_varied = any(DISTILL_WEIGHT in subspace.ranges for subspace in subspaces.values())
        raise UserError(
            f"{DISTILL_WEIGHT} {'goes up to' if is_varied else 'is'} {most:g}, but there is no teacher; name a trained "
            f"export with --teacher, or set {DISTILL_WEIGHT} to 0"
        )
    if settings.teacher and not most:
        raise UserError(
            f"there is a teacher, but {DISTILL_WEIGHT} is 0, so it has no effect; set {DISTILL_WEIGHT} (the TF-SepNet "
            "report has 20), or search the space distillation"
        )


def _largest(subspace: Subspace, name: str) -> float:
    """Return the largest value that a numeric field of the recipe can have."""
    if name in subspace.ranges:
        return float(largest(subspace.ranges[name]))
    return float(subspace.fixed.get(name, getattr(Recipe(), name)))


def _require_valid_configs(subspace: Subspace) -> None:
    """Refuse fixed values with which no configuration is valid."""
    try:
        subspace.config({})
    except ConfigError:  # the ranges need not contain the published settings: is any other of them valid?
        rng = np.random.default_rng(0)
        for _ in range(NUM_SAMPLED):
            with suppress(ConfigError):
                subspace.config({name: draw(each, rng) for name, each in subspace.ranges.items()})
                return
        raise
