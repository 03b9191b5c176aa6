"""Who proposes values: TPE, NSGA-II or chance, for each architecture from its own trials.

A sampler lives for one proposal: what it knows is in the view of the study's record, and its seed follows from what is
in the record too. The same record gives the same proposal.
"""

import math
from collections.abc import Sequence
from typing import Any

from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from objectives.front import non_dominated_rank
from search.optimizer.sampler_history import GENERATION, SamplerHistory
from search.study.optuna_private import (
    AdjustableNSGAIISampler,
    AdjustableTPESampler,
    set_system_attribute,
    system_attributes,
    trial_id,
    with_trials,
)

GOOD_SHARE = 0.25  # of the trained trials, whose like TPE looks for
MAX_GOOD = 50
# Trials of an architecture that TPE reckons with, so that a proposal does not take longer and longer.
MAX_TIED = 100  # on the front where the good ones end
MAX_SEEN = 1_000  # of the others
POPULATION = 20  # of an architecture; Optuna's 50 would leave most of a search of tens of trials to chance


class ArchitectureTPE(AdjustableTPESampler):
    """Varies values together, expects nothing better of what is running already, and learns from rejections.

    It ranks a trial among those of its own architecture: an architecture that another one dominates would have no good
    trials otherwise, and be sampled at random to the end. How many are good follows from those that were trained, and
    not from the rejected ones, as Optuna has it: where most is rejected, all that was trained would be good.
    """

    def __init__(self, view: SamplerHistory, seed: int) -> None:
        super().__init__(multivariate=True, constant_liar=True, seed=seed)
        self._view = view

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:  # noqa: ARG002 - Optuna's own signature
        """Return all that varies of the architecture."""
        return self._view.space(trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Sample all values together."""
        trials = self._view.trials(self._view.architecture(trial))
        num_good = _num_good(sum(each.state == TrialState.COMPLETE for each in trials))
        if num_good:
            self.set_num_good(num_good)
        trials = _telling(trials, num_good, study.directions)
        return self.sample_joint(with_trials(study, trials), _apart(trial), search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Sample one value."""
        seen = with_trials(study, self._view.trials(self._view.architecture(trial)))
        return super().sample_independent(seen, _apart(trial), param_name, param_distribution)


class ArchitectureNSGAII(AdjustableNSGAIISampler):
    """Crosses the best of earlier generations, of each architecture by itself.

    A trial's generation is recorded with it. Who the parents of a generation were follows from the generations before
    it, so that nothing else need be kept.
    """

    def __init__(self, view: SamplerHistory, seed: int) -> None:
        super().__init__(population_size=POPULATION, seed=seed)
        self._view = view

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Record the generation: the last one, or the next if that has as many trained trials as it is to have."""
        populations = self._populations(trial)
        last = max(populations, default=0)
        generation = last + 1 if len(populations.get(last, ())) >= POPULATION else last
        set_system_attribute(study, trial, GENERATION, generation)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:  # noqa: ARG002 - Optuna's own signature
        """Return all that varies of the architecture."""
        return self._view.space(trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Cross two parents and mutate; the first generation has none, and is random."""
        populations = self._populations(trial)
        generation = system_attributes(study, trial)[GENERATION]
        parents: list[FrozenTrial] = []
        for each in range(generation):
            best = self.select_elite(study, [*populations.get(each, ()), *parents])
            parents = sorted(best, key=lambda parent: parent.number)
        return self.cross(study, search_space, parents) if parents else {}

    def _populations(self, trial: FrozenTrial) -> dict[int, list[FrozenTrial]]:
        """Return the trained trials of each generation."""
        found: dict[int, list[FrozenTrial]] = {}
        for each in self._view.trials(self._view.architecture(trial)):
            if each.state == TrialState.COMPLETE:
                found.setdefault(each.system_attrs[GENERATION], []).append(each)
        return found


def make_sampler(kind: str, seed: int, view: SamplerHistory) -> BaseSampler:
    """Make the sampler of one proposal.

    Args:
        kind: A name of `search.config.settings.SAMPLERS`.
        seed: Of this proposal.
        view: What it knows.
    """
    if kind == "tpe":
        return ArchitectureTPE(view, seed)
    if kind == "nsga2":
        return ArchitectureNSGAII(view, seed)
    assert kind == "random"
    return RandomSampler(seed=seed)


def _num_good(num_trained: int) -> int:
    return min(math.ceil(GOOD_SHARE * num_trained), MAX_GOOD)


def _telling(trials: Sequence[FrozenTrial], num_good: int, directions: Sequence[StudyDirection]) -> list[FrozenTrial]:
    """Return the trials that tell a sampler most: the good ones, and the latest of the others.

    All of them where they are few. Of the front on which the good ones end, the latest: TPE takes of it those that
    cover most, and that takes long where there are many objectives.
    """
    trained = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    if len(trained) <= MAX_TIED and len(trials) <= MAX_SEEN:
        return list(trials)
    good: list[int] = []
    tied: list[int] = []
    if num_good:
        maximize = [each == StudyDirection.MAXIMIZE for each in directions]
        ranks = non_dominated_rank([trial.values for trial in trained], maximize)
        last = sorted(ranks)[num_good - 1]
        good = [trial.number for trial, rank in zip(trained, ranks, strict=True) if rank < last]
        tied = [trial.number for trial, rank in zip(trained, ranks, strict=True) if rank == last]
    known = {*good, *tied}
    others = [trial.number for trial in trials if trial.number not in known]
    kept = {*good, *tied[-MAX_TIED:], *others[-MAX_SEEN:]}
    return [trial for trial in trials if trial.number in kept]


def _apart(asked: FrozenTrial) -> FrozenTrial:
    """Return what is being asked for with a number that no trial has: TPE leaves out the one of the same number."""
    return FrozenTrial(
        number=-1, state=asked.state, value=None, datetime_start=None, datetime_complete=None, params=asked.params,
        distributions=asked.distributions, user_attrs={}, system_attrs={}, intermediate_values={},
        trial_id=trial_id(asked),
    )  # fmt: skip
