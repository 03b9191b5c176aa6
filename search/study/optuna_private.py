"""Adapter for private names of Optuna: this is the only file that uses any.

Read in Optuna 5.0.0; pyproject.toml admits 5.0 alone. Before another version is admitted, read there:

- `Study._storage`, `Study._study_id`, `FrozenTrial._trial_id`, `Trial._trial_id` (optuna/study/study.py,
  optuna/trial/): how a trial is written in one transaction, and an attribute by its database id. Gone, every search
  fails at its first trial.
- `_CachedStorage._backend`, `_create_scoped_session` and `StudyUserAttributeModel` (optuna/storages/): several
  attributes of a study in one transaction. Gone, every search fails at its start.
- `Study._get_trials` (optuna/study/study.py): how a sampler reads the trials. If it is renamed, TPE silently reads the
  trials of all architectures and earlier budgets; tests/search/optimizer/test_sampler.py fails then.
- `BaseDistribution._contains` (optuna/distributions.py): whether a distribution includes a value.
- `TPESampler._gamma`, `TPESampler._sample_relative` (optuna/samplers/_tpe/sampler.py): the size of the "good" group,
  and sampling without sharing the values through the storage. If `_gamma` is no longer read, Optuna's own group size
  applies silently; the same tests fail then.
- `NSGAIISampler._elite_population_selection_strategy`, `._child_generation_strategy` (optuna/samplers/nsgaii/).
- `fixed_params`, the system attribute of an enqueued trial (optuna/study/study.py), and `constraints:`, the prefix of
  those that `Trial.set_constraint` writes (optuna/study/_constrained_optimization.py).

The dashboard reads Optuna's tables by SQL (search/dashboard/data/database.py) and refuses any other revision of them.
"""

import json
from collections.abc import Container, Mapping, Sequence
from typing import Any, cast

from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.samplers import NSGAIISampler, TPESampler
from optuna.storages._cached_storage import _CachedStorage
from optuna.storages._rdb.models import StudyModel, StudyUserAttributeModel
from optuna.storages._rdb.storage import _create_scoped_session
from optuna.trial import FrozenTrial, Trial, TrialState

FIXED_PARAMS = "fixed_params"  # system attribute: the values that a trial was enqueued with
CONSTRAINT_PREFIX = "constraints:"  # of a system attribute: this and the constraint's own name


def trial_id(trial: FrozenTrial | Trial) -> int:
    """Return the id of a trial in its storage, which is not its number in the study."""
    return trial._trial_id


def frozen_trial(trial: Trial) -> FrozenTrial:
    """Return a trial that is being sampled, read anew from its storage."""
    return trial.storage.get_trial(trial._trial_id)


def read_trial(study: Study, trial_id: int) -> FrozenTrial:
    """Return a trial, read anew from the study's storage."""
    return study._storage.get_trial(trial_id)


def create_trial(study: Study, template: FrozenTrial) -> tuple[int, int]:
    """Write a whole trial, parameters and attributes too, in one transaction; return its id and its number."""
    created = study._storage.create_new_trial(study._study_id, template)
    return created, study._storage.get_trial_number_from_id(created)


def set_user_attribute(study: Study, trial_id: int, name: str, value: Any) -> None:
    """Write a user attribute of a trial that has not finished."""
    study._storage.set_trial_user_attr(trial_id, name, value)


def set_system_attribute(study: Study, trial: FrozenTrial, name: str, value: Any) -> None:
    """Write a system attribute of a trial that has not finished; `trial` itself stays as it was read."""
    study._storage.set_trial_system_attr(trial._trial_id, name, value)


def system_attributes(study: Study, trial: FrozenTrial) -> dict[str, Any]:
    """Return the system attributes of a trial, read anew from the study's storage."""
    return study._storage.get_trial_system_attrs(trial._trial_id)


def set_state(study: Study, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> None:
    """Write the state of a trial and the values of its objectives."""
    study._storage.set_trial_state_values(trial_id, state, values)


def set_study_attributes(study: Study, attributes: Mapping[str, Any]) -> None:
    """Write user attributes of a study in a database, in one transaction."""
    storage = study._storage
    assert isinstance(storage, _CachedStorage)
    with _create_scoped_session(storage._backend.scoped_session) as session:
        found = StudyModel.find_or_raise_by_id(study._study_id, session)
        for name, value in attributes.items():
            attribute = StudyUserAttributeModel.find_by_study_and_key(found, name, session)
            if attribute is None:
                attribute = StudyUserAttributeModel(study_id=study._study_id, key=name)
                session.add(attribute)
            attribute.value_json = json.dumps(value)


def contains(distribution: BaseDistribution, value: Any) -> bool:
    """Whether a distribution includes a value of a trial's `params`."""
    try:
        return distribution._contains(distribution.to_internal_repr(value))
    except ValueError:  # not one of the choices
        return False


def with_trials(study: Study, trials: Sequence[FrozenTrial]) -> Study:
    """Return a view of a study with the same storage, whose samplers see only the given trials."""
    return cast(Study, _SubsetStudy(study, trials))


class _SubsetStudy:
    def __init__(self, study: Study, trials: Sequence[FrozenTrial]) -> None:
        self._study, self._trials = study, trials

    def __getattr__(self, name: str) -> Any:
        return getattr(self._study, name)

    def _get_trials(
        self,
        deepcopy: bool = True,  # noqa: ARG002 - Optuna's signature
        states: Container[TrialState] | None = None,
        use_cache: bool = False,  # noqa: ARG002
    ) -> list[FrozenTrial]:
        return [trial for trial in self._trials if states is None or trial.state in states]


class AdjustableTPESampler(TPESampler):
    """TPE with an adjustable size of its "good" group."""

    def set_num_good(self, num_good: int) -> None:
        """Set how many trials the density of good configurations is fitted to."""
        self._gamma = lambda _: num_good

    def sample_joint(
        self, study: Study, trial: FrozenTrial, search_space: Mapping[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return jointly sampled values, {} for too few trials; write nothing to the storage."""
        return self._sample_relative(study, trial, dict(search_space))


class AdjustableNSGAIISampler(NSGAIISampler):
    """NSGA-II whose selection and crossover can be called on given populations."""

    def select_elite(self, study: Study, population: list[FrozenTrial]) -> list[FrozenTrial]:
        """Return the parents of the next generation: by non-dominated rank, then by crowding distance."""
        return self._elite_population_selection_strategy(study, population)

    def cross(
        self, study: Study, search_space: dict[str, BaseDistribution], parents: list[FrozenTrial]
    ) -> dict[str, Any]:
        """Return the values of a child: crossover of two parents by tournament, then mutation."""
        return self._child_generation_strategy(study, search_space, parents)
