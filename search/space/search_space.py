"""Conditional search space of one search: its subspaces by architecture and its budget, made from the settings."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.trial import Trial

from models import ARCHITECTURES
from objectives.budget import BUDGETS, UNLIMITED, Budget
from search.config.errors import ConfigError, UserError
from search.config.messages import unknown
from search.config.recipes import find_recipe, values_held
from search.config.settings import ConfirmSettings, Job, SearchSettings, TrainSettings
from search.config.settings_file import is_space_file
from search.config.trial_config import ARCHITECTURE, OWNED, TrialConfig, Value, field_types
from search.space.ranges import EmptySpaceError, draw, largest, narrow, take
from search.space.repeats import repeat_subspaces, trainings
from search.space.space_file import NUM_SAMPLED, find_space
from search.space.subspace import Subspace
from search.study.repeats import SEED
from spaces import Space
from training.recipe import Recipe

SWA_EPOCHS = "swa_epochs"
# Held where there is no folder of impulse responses.
WITHOUT_RESPONSES: Mapping[str, Value] = {"impulse_response_p": 0.0, "simulated_devices": 0}


@dataclass(frozen=True)
class SearchSpace:
    """What a search asks for and how it judges the answers.

    Attributes:
        settings: What was asked for.
        branches: The part for each architecture, by its name.
        budget: The limits.
    """

    settings: Job
    subspaces: Mapping[str, Subspace]
    budget: Budget

    def suggest(self, trial: Trial) -> dict[str, Value]:
        """Sample a configuration: the architecture, then only what belongs to it."""
        values: dict[str, Value] = {}
        if len(self.subspaces) > 1:
            values[ARCHITECTURE] = take(trial, ARCHITECTURE, CategoricalDistribution(list(self.subspaces)))
        for name, distribution in self.subspace(values).ranges.items():
            values[name] = take(trial, name, distribution)
        return values

    def subspace(self, values: Mapping[str, Any]) -> Subspace:
        """Return the subspace that sampled values belong to."""
        return self.subspaces[str(values.get(ARCHITECTURE, next(iter(self.subspaces))))]

    def config(self, values: Mapping[str, Any]) -> TrialConfig:
        """Join sampled values and held ones.

        Raises:
            UserError: They build no network or no recipe.
        """
        return self.subspace(values).config({name: value for name, value in values.items() if name != ARCHITECTURE})

    @property
    def front_ends(self) -> tuple[str, ...]:
        """Names of the front ends that the trials may hear."""
        return tuple(dict.fromkeys(name for subspace in self.subspaces.values() for name in subspace.front_ends))

    def named(self, subspace: Subspace, values: Mapping[str, Any]) -> dict[str, Any]:
        """Add the architecture to the values of a branch, where it is a choice."""
        return {ARCHITECTURE: subspace.architecture, **values} if len(self.subspaces) > 1 else dict(values)

    def trainings(self) -> list[dict[str, Any]]:
        """Return the values of every trial where nothing is searched, in order."""
        assert not isinstance(self.settings, SearchSettings)
        return [self.named(subspace, values) for subspace, values in trainings(self.settings, self.subspaces)]


def make_search_space(settings: Job, num_classes: int) -> SearchSpace:
    """Work out what the settings mean for data of `num_classes` scenes.

    Raises:
        EmptySpaceError: No range is left.
        UserError: An unknown space, an unknown config key, a range outside the space's; each with its name.
    """
    if isinstance(settings, ConfirmSettings):
        return SearchSpace(settings, repeat_subspaces(settings, num_classes), BUDGETS[UNLIMITED])
    space = find_space(settings.space)
    _require_responses(settings, space)
    held = dict(settings.set)
    only = held.pop(ARCHITECTURE, None)
    if only is not None and only not in space.networks:
        raise UserError(unknown("architecture of the space", str(only), space.networks))
    architectures = list(space.networks) if only is None else [str(only)]
    values = {key: _owner(key, architectures) for key in held}
    bounds = {key: _owner(key, architectures) for key in settings.ranges}
    common: dict[str, Value] = {"num_classes": num_classes, "epochs": settings.epochs, "seed": settings.seed}
    chosen = space.chosen | {field for owner, field in bounds.values() if not owner}
    if settings.recipe is not None:
        recipe = values_held(find_recipe(settings.recipe).recipe, settings.epochs)
        common |= {name: value for name, value in recipe.items() if name not in chosen}
    if settings.impulse_responses is None:
        common |= WITHOUT_RESPONSES
    subspaces = {}
    for name in architectures:
        fixed = common | {field: held[key] for key, (owner, field) in values.items() if owner in ("", name)}
        ranges = _seed_range(settings) if isinstance(settings, TrainSettings) else _ranges(space, name, fixed)
        for key, (owner, field) in bounds.items():
            if owner not in ("", name):
                continue
            known_as = f"{owner}.{field}" if owner else field
            if known_as not in ranges:
                why = "its value is held" if field in fixed else "the space does not vary it"
                raise UserError(f"ranges: {key} cannot be narrowed: {why}")
            ranges[known_as] = narrow(key, ranges[known_as], settings.ranges[key])
        subspaces[name] = Subspace(name, ranges, fixed)
        _require_some(subspaces[name])
    if not any(subspace.ranges for subspace in subspaces.values()):
        raise EmptySpaceError(
            f"the space {settings.space} is empty: `set` holds every one of its ranges at one value; leave one free"
        )
    _require_teacher(settings, subspaces)
    return SearchSpace(
        settings, subspaces, BUDGETS[UNLIMITED] if isinstance(settings, TrainSettings) else settings.limits()
    )


def _seed_range(settings: TrainSettings) -> dict[str, BaseDistribution]:
    return {SEED: IntDistribution(settings.seeds[0], settings.seeds[-1])}


def _require_responses(settings: Job, space: Space) -> None:
    """Refuse training methods that are searched and need impulse responses, of which there is no folder.

    Raises:
        UserError: Names what would be varied.
    """
    varied = [name for name in WITHOUT_RESPONSES if name in space.chosen]
    if settings.impulse_responses is None and varied and not is_space_file(settings.space):
        raise UserError(
            f"the space {settings.space} varies {', '.join(varied)}, but there is no folder of impulse responses; name "
            "one with --impulse-responses"
        )


def _require_teacher(settings: Job, subspaces: Mapping[str, Subspace]) -> None:
    """Refuse distillation without a teacher, and a teacher from whom nobody learns.

    Raises:
        UserError: Says which of the two, and how to mend it.
    """
    most = max(_most(subspace, "distill_weight") for subspace in subspaces.values())
    if most > 0 and not settings.teacher:
        is_varied = any("distill_weight" in subspace.ranges for subspace in subspaces.values())
        raise UserError(
            f"distill_weight {'goes up to' if is_varied else 'is'} {most:g}, but there is no teacher; name a trained "
            "export with --teacher, or set distill_weight to 0"
        )
    if settings.teacher and not most:
        raise UserError(
            "there is a teacher, but distill_weight is 0, so nobody learns from it; set distill_weight (the TF-SepNet "
            "report has 20), or search the space distillation"
        )


def _most(subspace: Subspace, name: str) -> float:
    """Return the largest value that a field of the recipe, a number, can have."""
    if name in subspace.ranges:
        return float(largest(subspace.ranges[name]))
    return float(subspace.fixed.get(name, getattr(Recipe(), name)))


def _require_some(subspace: Subspace) -> None:
    """Refuse held values with which nothing can be had, before anything starts.

    Raises:
        UserError: What is wrong with the published settings, with the held values in them.
    """
    try:
        subspace.config({})
    except ConfigError:  # perhaps the ranges, which the published settings need not suit, hold others
        rng = np.random.default_rng(0)
        for _ in range(NUM_SAMPLED):
            with suppress(ConfigError):
                subspace.config({name: draw(each, rng) for name, each in subspace.ranges.items()})
                return
        raise


def _owner(key: str, architectures: Sequence[str]) -> tuple[str, str]:
    """Return the architecture that a key of the settings belongs to, or nothing where it is everybody's, and its field.

    Raises:
        UserError: Nobody has the field, several have it, or it is not for a search to decide.
    """
    architecture, _, field = key.rpartition(".")
    if field in OWNED:
        raise UserError(f"{key} cannot be set here: {OWNED[field]}")
    shared = ["front_end", *field_types(Recipe)]
    if key in shared:
        return "", key
    sizes = {name: field_types(ARCHITECTURES[name].config) for name in architectures}
    having = [name for name in architectures if field in sizes[name] and architecture in ("", name)]
    if len(having) == 1:
        return having[0], field
    if having:
        ways = " or ".join(f"{name}.{field}" for name in having)
        raise UserError(f"{key} is a size of several architectures; say which: {ways}")
    known = [*shared, *(size if len(sizes) == 1 else f"{name}.{size}" for name in sizes for size in sizes[name])]
    raise UserError(unknown("config key", key, known))


def _ranges(space: Space, architecture: str, fixed: Mapping[str, Value]) -> dict[str, BaseDistribution]:
    """Return what varies for one architecture, by the name that a study knows it by."""
    ranges: dict[str, BaseDistribution] = {}
    if space.front_ends and "front_end" not in fixed:
        ranges["front_end"] = CategoricalDistribution(space.front_ends)
    for name, distribution in space.networks[architecture].items():
        if name not in fixed:
            ranges[f"{architecture}.{name}"] = distribution
    ranges.update({name: value for name, value in space.training.items() if name not in fixed})
    averaged = ranges.get(SWA_EPOCHS)
    if isinstance(averaged, IntDistribution) and averaged.low <= int(fixed["epochs"]) < averaged.high:
        ranges[SWA_EPOCHS] = IntDistribution(averaged.low, int(fixed["epochs"]))  # no more than there are
    return ranges
