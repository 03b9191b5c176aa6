"""The members of a front as a plan: each configuration is trained whole from every seed, and nothing else varies."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from optuna.distributions import CategoricalDistribution, IntDistribution

from search.config.errors import ConfigError, UserError
from search.config.settings import ConfirmSettings, TrainSettings
from search.config.trial_config import TrialConfig, Value, input_sizes
from search.space.pricing import price, require_prunable
from search.space.subspace import Subspace
from search.study.repeats import MEMBER, SEED, TRIAL
from search.study.study import CONFIG
from training.recipe import Recipe


@dataclass(frozen=True)
class RepeatSubspace(Subspace):
    """The members of one architecture.

    Attributes:
        members: Configurations, by the number of their trial; the seed in them is the first.
    """

    members: Mapping[int, TrialConfig]

    def config(self, values: Mapping[str, Any]) -> TrialConfig:
        """Return the member of a number, from a seed; by default the costliest, from the first."""
        config = self.members[values.get(self.member, self._costliest)]
        return replace(config, recipe=replace(config.recipe, seed=values.get(SEED, config.recipe.seed)))

    def values(self, config: TrialConfig) -> dict[str, Any]:
        """Return the number of the member that a configuration is, and its seed."""
        return {self.member: self.number_of(config), SEED: config.recipe.seed}

    @property
    def member(self) -> str:
        """Name of the member's number, as a study knows it by."""
        return f"{self.architecture}.{MEMBER}"

    @cached_property
    def _costliest(self) -> int:
        return max(self.members, key=lambda number: price(self.members[number], "fp16").macs)

    @property
    def front_ends(self) -> tuple[str, ...]:
        """Names of the front ends that the members hear, that of the costliest first."""
        return tuple(dict.fromkeys(config.front_end for config in (self.config({}), *self.members.values())))

    def recipes_to_check(self) -> list[tuple[str, Recipe]]:
        """Return each member's front end and recipe."""
        return [(config.front_end, config.recipe) for config in self.members.values()]

    def published(self, instead: Mapping[str, Value]) -> dict[str, Value]:  # noqa: ARG002 - as in any branch
        """Return the costliest member and the first seed."""
        return {self.member: self._costliest, SEED: self.members[self._costliest].recipe.seed}

    def number_of(self, config: TrialConfig) -> int:
        """Return the number of the member that `config` is, from whatever seed."""
        seed = config.recipe.seed
        return next(number for number in self.members if self.config({self.member: number, SEED: seed}) == config)


def repeat_subspaces(settings: ConfirmSettings, num_classes: int) -> dict[str, Subspace]:
    """Return the branches of the settings' members.

    Raises:
        UserError: A member is no configuration, is one for other scenes than the data's, or cannot be pruned as its
            recipe asks.
    """
    by_architecture: dict[str, dict[int, TrialConfig]] = {}
    for member in settings.members:
        number = member[TRIAL]
        try:
            config = TrialConfig.from_dict({**member[CONFIG], SEED: settings.seed})
            require_prunable(config)
        except ConfigError as error:
            raise UserError(f"member {number}: {error}") from error
        if config.network.num_classes != num_classes:
            raise UserError(
                f"member {number} tells {config.network.num_classes} scenes apart, but the data hold {num_classes}"
            )
        by_architecture.setdefault(config.architecture, {})[number] = config
    seeds = IntDistribution(settings.seeds[0], settings.seeds[-1])
    found: dict[str, Subspace] = {}
    for name, members in by_architecture.items():
        ranges = {f"{name}.{MEMBER}": CategoricalDistribution(list(members)), SEED: seeds}
        subspace = RepeatSubspace(name, ranges, {}, members)
        costliest = subspace.config({})
        free = {"architecture", SEED, *input_sizes(type(costliest.network), costliest.front_end)}
        fixed = {field: value for field, value in costliest.to_dict().items() if field not in free}
        found[name] = replace(subspace, fixed=fixed)
    return found


def trainings(
    settings: TrainSettings | ConfirmSettings, subspaces: Mapping[str, Subspace]
) -> list[tuple[Subspace, dict[str, Any]]]:
    """Return the values of every training, of the first seed first: so each member is soon trained once."""
    if isinstance(settings, TrainSettings):
        return [(subspace, {SEED: seed}) for subspace in subspaces.values() for seed in settings.seeds]
    found: list[tuple[Subspace, dict[str, Any]]] = []
    for seed in settings.seeds:
        for member in settings.members:
            subspace = subspaces[member[CONFIG]["architecture"]]
            assert isinstance(subspace, RepeatSubspace)
            found.append((subspace, {subspace.member: member[TRIAL], SEED: seed}))
    return found
