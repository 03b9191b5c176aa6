"""Who proposes values: TPE, NSGA-II or chance, for each architecture from its own trials.

A sampler lives for one proposal: what it knows is in the view of the study's record, and its seed follows from what is
in the record too. The same record gives the same proposal.
"""

import math
from typing import Any

from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

from search.view import GENERATION, View

GOOD_SHARE = 0.25  # of the trained trials, whose like TPE looks for
POPULATION = 20  # of an architecture; Optuna's 50 would leave most of a search of tens of trials to chance


class ArchitectureTPE(TPESampler):
    """Varies values together, expects nothing better of what is running already, and learns from rejections.

    It ranks a trial among those of its own architecture: an architecture that another one dominates would have no good
    trials otherwise, and be sampled at random to the end. How many are good follows from those that were trained, and
    not from the rejected ones, as Optuna has it: where most is rejected, all that was trained would be good.
    """

    def __init__(self, view: View, seed: int) -> None:
        super().__init__(multivariate=True, constant_liar=True, seed=seed)
        self._view = view

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:  # noqa: ARG002 - Optuna's own signature
        """Give all that varies of the architecture."""
        return self._view.space(trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Sample all values together."""
        seen = self._view.of(study, trial)
        trained = len(seen._get_trials(deepcopy=False, states=(TrialState.COMPLETE,)))
        if trained:
            self._gamma = lambda _: math.ceil(GOOD_SHARE * trained)
        return self._sample_relative(seen, _apart(trial), search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Sample one value."""
        seen = self._view.of(study, trial)
        return super().sample_independent(seen, _apart(trial), param_name, param_distribution)


class ArchitectureNSGAII(NSGAIISampler):
    """Crosses the best of earlier generations, of each architecture by itself.

    A trial's generation is recorded with it. Who the parents of a generation were follows from the generations before
    it, so that nothing else need be kept.
    """

    def __init__(self, view: View, seed: int) -> None:
        super().__init__(population_size=POPULATION, seed=seed)
        self._view = view

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Record the generation: the last one, or the next if that has as many trained trials as it is to have."""
        populations = self._populations(study, trial)
        last = max(populations, default=0)
        generation = last + 1 if len(populations.get(last, ())) >= POPULATION else last
        study._storage.set_trial_system_attr(trial._trial_id, GENERATION, generation)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:  # noqa: ARG002 - Optuna's own signature
        """Give all that varies of the architecture."""
        return self._view.space(trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Cross two parents and mutate; the first generation has none, and is random."""
        populations = self._populations(study, trial)
        generation = study._storage.get_trial_system_attrs(trial._trial_id)[GENERATION]
        parents: list[FrozenTrial] = []
        for each in range(generation):
            parents = self._elite_population_selection_strategy(study, [*populations.get(each, ()), *parents])
        return self._child_generation_strategy(study, search_space, parents) if parents else {}

    def _populations(self, study: Study, trial: FrozenTrial) -> dict[int, list[FrozenTrial]]:
        """Give the trained trials of each generation."""
        found: dict[int, list[FrozenTrial]] = {}
        for each in self._view.of(study, trial)._get_trials(states=(TrialState.COMPLETE,)):
            found.setdefault(each.system_attrs[GENERATION], []).append(each)
        return found


def make_sampler(kind: str, seed: int, view: View) -> BaseSampler:
    """Make the sampler of one proposal.

    Args:
        kind: A name of `search.settings.SAMPLERS`.
        seed: Of this proposal.
        view: What it knows.
    """
    if kind == "tpe":
        return ArchitectureTPE(view, seed)
    if kind == "nsga2":
        return ArchitectureNSGAII(view, seed)
    assert kind == "random"
    return RandomSampler(seed=seed)


def _apart(asked: FrozenTrial) -> FrozenTrial:
    """Give what is being asked for with a number that no trial has: TPE leaves out the one of the same number."""
    return FrozenTrial(
        number=-1, state=asked.state, value=None, datetime_start=None, datetime_complete=None, params=asked.params,
        distributions=asked.distributions, user_attrs={}, system_attrs={}, intermediate_values={},
        trial_id=asked._trial_id,
    )  # fmt: skip
