"""Search space of a confirmation or a training: given configurations and their seeds; nothing else varies."""

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
from search.study.repeats import CANDIDATE, SEED, TRIAL
from search.study.study import CONFIG
from training.recipe import Recipe


@dataclass(frozen=True)
class RepeatSubspace(Subspace):
    """Conditional subspace of one architecture in which only the candidate and the seed vary.

    Attributes:
        candidates: Candidate configurations by trial number in the search, each with the first seed.
    """

    candidates: Mapping[int, TrialConfig]

    def config(self, values: Mapping[str, Any]) -> TrialConfig:
        """Return a candidate's configuration with a seed; by default of the costliest one, with the first seed."""
        config = self.candidates[values.get(self.candidate, self._costliest)]
        return replace(config, recipe=replace(config.recipe, seed=values.get(SEED, config.recipe.seed)))

    def values(self, config: TrialConfig) -> dict[str, Any]:
        """Return the parameters of a configuration: the candidate's number and the seed."""
        return {self.candidate: self.number_of(config), SEED: config.recipe.seed}

    @property
    def candidate(self) -> str:
        """Name of the parameter that holds the candidate's number."""
        return f"{self.architecture}.{CANDIDATE}"

    @cached_property
    def _costliest(self) -> int:
        return max(self.candidates, key=lambda number: price(self.candidates[number], "fp16").macs)

    @property
    def front_ends(self) -> tuple[str, ...]:
        """Names of the candidates' front ends, that of the costliest first."""
        return tuple(dict.fromkeys(config.front_end for config in (self.config({}), *self.candidates.values())))

    def recipes_to_check(self) -> list[tuple[str, Recipe]]:
        """Return each candidate's front end and recipe."""
        return [(config.front_end, config.recipe) for config in self.candidates.values()]

    def published(self, overrides: Mapping[str, Value]) -> dict[str, Value]:  # noqa: ARG002 - as in any subspace
        """Return the parameters of the costliest candidate with the first seed."""
        return {self.candidate: self._costliest, SEED: self.candidates[self._costliest].recipe.seed}

    def number_of(self, config: TrialConfig) -> int:
        """Return the number of the candidate with this configuration, ignoring the seed."""
        seed = config.recipe.seed
        return next(number for number in self.candidates if self.config({self.candidate: number, SEED: seed}) == config)


def repeat_subspaces(settings: ConfirmSettings, num_classes: int) -> dict[str, Subspace]:
    """Return the subspace of each architecture among the candidates.

    Raises:
        UserError: A candidate cannot be built, has not the data's number of classes, or cannot be pruned to its target.
    """
    by_architecture: dict[str, dict[int, TrialConfig]] = {}
    for candidate in settings.candidates:
        number = candidate[TRIAL]
        try:
            config = TrialConfig.from_dict({**candidate[CONFIG], SEED: settings.seed})
            require_prunable(config)
        except ConfigError as error:
            raise UserError(f"candidate {number}: {error}") from error
        if config.network.num_classes != num_classes:
            raise UserError(
                f"candidate {number} has {config.network.num_classes} classes, but the data have {num_classes}"
            )
        by_architecture.setdefault(config.architecture, {})[number] = config
    seeds = IntDistribution(settings.seeds[0], settings.seeds[-1])
    found: dict[str, Subspace] = {}
    for name, candidates in by_architecture.items():
        ranges = {f"{name}.{CANDIDATE}": CategoricalDistribution(list(candidates)), SEED: seeds}
        subspace = RepeatSubspace(name, ranges, {}, candidates)
        costliest = subspace.config({})
        free = {"architecture", SEED, *input_sizes(type(costliest.network), costliest.front_end)}
        fixed = {field: value for field, value in costliest.to_dict().items() if field not in free}
        found[name] = replace(subspace, fixed=fixed)
    return found


def trainings(
    settings: TrainSettings | ConfirmSettings, subspaces: Mapping[str, Subspace]
) -> list[tuple[Subspace, dict[str, Any]]]:
    """Return subspace and parameters of every training, seed by seed, so that each candidate is soon trained once."""
    if isinstance(settings, TrainSettings):
        return [(subspace, {SEED: seed}) for subspace in subspaces.values() for seed in settings.seeds]
    found: list[tuple[Subspace, dict[str, Any]]] = []
    for seed in settings.seeds:
        for candidate in settings.candidates:
            subspace = subspaces[candidate[CONFIG]["architecture"]]
            assert isinstance(subspace, RepeatSubspace)
            found.append((subspace, {subspace.candidate: candidate[TRIAL], SEED: seed}))
    return found
