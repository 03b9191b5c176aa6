"""Samplers: Optuna's TPE, NSGA-II and random, each architecture from its own trials.

Sources:
    TPE: Ozaki, Tanigaki, Watanabe, Nomura, Onishi, Multiobjective tree-structured Parzen estimator, 2022.
    NSGA-II: Deb, Pratap, Agarwal, Meyarivan, A fast and elitist multiobjective genetic algorithm: NSGA-II, 2002.

A sampler is made for one proposal and keeps no state: its trials and its seed follow from the study, so that the same
study gives the same proposal.
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

GAMMA = 0.25  # fraction of the trained trials that are TPE's below set, l(x); the rest are its above set, g(x)
MAX_BELOW = 50  # trials in the below set
# Limits on the trials of an architecture that TPE reads, so that the time of a proposal does not grow with the study.
MAX_TIED = 100  # the latest of the non-dominated rank on which the below set ends
MAX_ABOVE = 1_000  # the latest of the above set
POPULATION = 20  # per architecture; with Optuna's 50, most of a search of tens of trials would be random


class ArchitectureTPE(AdjustableTPESampler):
    """Multivariate TPE with the constant liar, one architecture at a time; rejected trials violate constraints.

    A trial is ranked among those of its own architecture: otherwise an architecture that another one dominates would
    have nothing in the below set, and be sampled at random. The size of the below set follows from the trained trials
    alone; Optuna counts the rejected ones too, so that all trained trials would be in it where most are rejected.
    """

    def __init__(self, history: SamplerHistory, seed: int) -> None:
        super().__init__(multivariate=True, constant_liar=True, seed=seed)
        self._history = history

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:  # noqa: ARG002 - Optuna's own signature
        """Return the ranges of the trial's architecture."""
        return self._history.space(trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return values of all ranges, sampled jointly."""
        trials = self._history.trials(self._history.architecture(trial))
        num_below = _num_below(sum(each.state == TrialState.COMPLETE for each in trials))
        if num_below:
            self.set_num_good(num_below)
        trials = _most_informative(trials, num_below, study.directions)
        return self.sample_joint(with_trials(study, trials), _unnumbered(trial), search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Return the value of one range, sampled independently."""
        seen = with_trials(study, self._history.trials(self._history.architecture(trial)))
        return super().sample_independent(seen, _unnumbered(trial), param_name, param_distribution)


class ArchitectureNSGAII(AdjustableNSGAIISampler):
    """NSGA-II with a population of each architecture.

    A trial's generation is recorded with it; the parents of a generation follow from the generations before it.
    """

    def __init__(self, history: SamplerHistory, seed: int) -> None:
        super().__init__(population_size=POPULATION, seed=seed)
        self._history = history

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Record the trial's generation: the latest, or the next if that has `POPULATION` trained trials."""
        populations = self._populations(trial)
        last = max(populations, default=0)
        generation = last + 1 if len(populations.get(last, ())) >= POPULATION else last
        set_system_attribute(study, trial, GENERATION, generation)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:  # noqa: ARG002 - Optuna's own signature
        """Return the ranges of the trial's architecture."""
        return self._history.space(trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return a child of two parents by crossover and mutation; nothing in the first generation, which is random."""
        populations = self._populations(trial)
        generation = system_attributes(study, trial)[GENERATION]
        parents: list[FrozenTrial] = []
        for each in range(generation):
            best = self.select_elite(study, [*populations.get(each, ()), *parents])
            parents = sorted(best, key=lambda parent: parent.number)
        return self.cross(study, search_space, parents) if parents else {}

    def _populations(self, trial: FrozenTrial) -> dict[int, list[FrozenTrial]]:
        """Return the trained trials by generation."""
        found: dict[int, list[FrozenTrial]] = {}
        for each in self._history.trials(self._history.architecture(trial)):
            if each.state == TrialState.COMPLETE:
                found.setdefault(each.system_attrs[GENERATION], []).append(each)
        return found


def make_sampler(kind: str, seed: int, history: SamplerHistory) -> BaseSampler:
    """Return the sampler of one proposal; `kind` is one of `search.config.settings.SAMPLERS`."""
    if kind == "tpe":
        return ArchitectureTPE(history, seed)
    if kind == "nsga2":
        return ArchitectureNSGAII(history, seed)
    assert kind == "random"
    return RandomSampler(seed=seed)


def _num_below(num_trained: int) -> int:
    return min(math.ceil(GAMMA * num_trained), MAX_BELOW)


def _most_informative(
    trials: Sequence[FrozenTrial], num_below: int, directions: Sequence[StudyDirection]
) -> list[FrozenTrial]:
    """Return the trials that TPE reads: the below set and the latest others, or all if they are few.

    Of the rank on which the below set ends only the latest are kept: TPE breaks ties by hypervolume, which is slow with
    many objectives.
    """
    trained = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    if len(trained) <= MAX_TIED and len(trials) <= MAX_ABOVE:
        return list(trials)
    below: list[int] = []
    tied: list[int] = []
    if num_below:
        maximize = [each == StudyDirection.MAXIMIZE for each in directions]
        ranks = non_dominated_rank([trial.values for trial in trained], maximize)
        last = sorted(ranks)[num_below - 1]
        below = [trial.number for trial, rank in zip(trained, ranks, strict=True) if rank < last]
        tied = [trial.number for trial, rank in zip(trained, ranks, strict=True) if rank == last]
    ranked = {*below, *tied}
    others = [trial.number for trial in trials if trial.number not in ranked]
    kept = {*below, *tied[-MAX_TIED:], *others[-MAX_ABOVE:]}
    return [trial for trial in trials if trial.number in kept]


def _unnumbered(trial: FrozenTrial) -> FrozenTrial:
    """Return the trial to sample with an unused number: TPE ignores the trial of the same number."""
    return FrozenTrial(
        number=-1, state=trial.state, value=None, datetime_start=None, datetime_complete=None, params=trial.params,
        distributions=trial.distributions, user_attrs={}, system_attrs={}, intermediate_values={},
        trial_id=trial_id(trial),
    )  # fmt: skip
