"""The driver's way to a study's database: samples in memory, and writes a proposal in one transaction.

Asked of the database itself, a proposal is some twenty transactions, one for each value and attribute, and every value
of it reads all unfinished trials again. The driver holds the study's lock, so nobody else writes, and what it remembers
is what the database holds.

Every value is recorded with the widest range that the space has for it, whatever part of it a search samples: Optuna
refuses other choices under a name once recorded, and a study may be extended.
"""

import math
from collections import deque
from collections.abc import Mapping, Sequence
from datetime import datetime
from random import Random
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import FrozenTrial, Trial, TrialState

from objectives.goals import GOALS
from search.config.trial_config import ARCHITECTURE
from search.optimizer.sampler import make_sampler
from search.optimizer.sampler_history import SamplerHistory
from search.space.search_space import SearchSpace
from search.space.space_file import find_space
from search.study.optuna_private import (
    FIXED_PARAMS,
    create_trial,
    frozen_trial,
    set_state,
    set_user_attribute,
    trial_id,
)
from search.study.study import StudyError
from spaces import Space


class TrialStore:
    """A study, and as much of it in memory as sampling needs.

    What is asked for is in memory alone until `keep` writes it, whole: a driver that is killed leaves no half of it.
    Numbers are those of the study. Nothing that decides a proposal is in memory alone, but for what is enqueued.
    """

    def __init__(
        self,
        study: optuna.Study,
        sampler: str,
        view: SamplerHistory,
        widest: Mapping[str, BaseDistribution] | None = None,
    ) -> None:
        """Read the study.

        Args:
            study: Whose lock the driver holds.
            sampler: A name of `search.config.settings.SAMPLERS`.
            view: Of today's ranges and budget, with no trials yet.
            widest: What to record values with, by name; a range that is not in it is recorded as it is sampled.

        Raises:
            StudyError: A choice has values today that it did not have when the study was started.
        """
        self._study, self._sampler, self._view = study, sampler, view
        directions = study.directions if view.seen is None else [study.directions[place] for place in view.seen]
        self._memory = optuna.create_study(storage=optuna.storages.InMemoryStorage(), directions=directions)
        self._widest = dict(widest or {})
        self._queue: deque[tuple[dict[str, Any], dict[str, Any]]] = deque()
        self._ids: dict[int, int] = {}  # in the database
        trials = study.get_trials(deepcopy=False)
        self.num_trials = len(trials)
        for trial in trials:
            self._ids[trial.number] = trial_id(trial)
            self._view.add(trial)
            for name, distribution in trial.distributions.items():
                if isinstance(distribution, CategoricalDistribution):
                    self._widest[name] = distribution
        for ranges in view.ranges.values():
            for name, distribution in ranges.items():
                self._require_known(name, distribution)

    def _require_known(self, name: str, distribution: BaseDistribution) -> None:
        recorded = self._widest.get(name, distribution)
        if not isinstance(recorded, CategoricalDistribution):
            return
        new = [value for value in getattr(distribution, "choices", ["a range"]) if value not in recorded.choices]
        if new:
            raise StudyError(
                f"{name} was a choice of {', '.join(map(str, recorded.choices))} when the study was started, and "
                f"{', '.join(map(str, new))} is new: a choice cannot get other values; start a new study, from this "
                "one's configurations with --start"
            )

    @property
    def attributes(self) -> dict[str, Any]:
        """What is written of the study as a whole."""
        return self._study.user_attrs

    def enqueue(self, values: Mapping[str, Any], attributes: Mapping[str, Any] | None = None) -> None:
        """Have `values` asked for next, before anything is sampled; what they leave open is sampled."""
        self._queue.append((dict(values), dict(attributes or {})))

    @property
    def is_any_waiting(self) -> bool:
        """Whether values are enqueued."""
        return bool(self._queue)

    def ask(self, seed: int) -> Trial:
        """Start a proposal, of which the study hears nothing yet; its number is not the study's.

        Args:
            seed: Decides the proposal, together with the record and what is enqueued.
        """
        self._memory.sampler = make_sampler(self._sampler, seed, self._view)
        values, attributes = self._queue.popleft() if self._queue else ({}, {})
        if len(self._view.ranges) > 1 and ARCHITECTURE not in values:
            values[ARCHITECTURE] = Random(seed).choice(list(self._view.ranges))
        self._memory.enqueue_trial(values, user_attrs=attributes)
        return self._memory.ask()

    def keep(self, trial: Trial, *, is_rejected: bool) -> int:
        """Write a proposal with its values and attributes, as a trial to be run or as one rejected; give its number."""
        asked = frozen_trial(trial)
        state = TrialState.PRUNED if is_rejected else TrialState.RUNNING
        attributes = {name: value for name, value in asked.system_attrs.items() if name != FIXED_PARAMS}
        now = datetime.now()
        whole = FrozenTrial(
            number=self.num_trials, state=state, value=None, datetime_start=now,
            datetime_complete=now if state.is_finished() else None, params=asked.params,
            distributions={name: self._widest.get(name, each) for name, each in asked.distributions.items()},
            user_attrs=dict(asked.user_attrs), system_attrs=attributes, intermediate_values={}, trial_id=-1,
        )  # fmt: skip
        self._ids[self.num_trials], number = create_trial(self._study, whole)
        assert number == self.num_trials, "somebody else writes to the study"
        self.num_trials += 1
        self._view.add(whole)
        return number

    def set(self, number: int, name: str, value: Any) -> None:
        """Write an attribute of a trial that has not ended."""
        set_user_attribute(self._study, self._ids[number], name, value)

    def tell(self, number: int, state: TrialState, values: Sequence[float] | None = None) -> None:
        """Write how a trial ended."""
        told = None if values is None else [float(value) for value in values]
        assert (told is not None) == (state == TrialState.COMPLETE)
        assert told is None or (len(told) == len(self._study.directions) and not any(map(math.isnan, told)))
        set_state(self._study, self._ids[number], state, told)
        before = self._view.recorded(number)
        self._view.add(
            FrozenTrial(
                number=number, state=state, value=None, values=told, datetime_start=before.datetime_start,
                datetime_complete=datetime.now(), params=before.params, distributions=before.distributions,
                user_attrs=before.user_attrs, system_attrs=before.system_attrs, intermediate_values={},
                trial_id=trial_id(before),
            )
        )  # fmt: skip

    def show(self, number: int, values: Sequence[float] | None) -> None:
        """Have the sampler see a trial as if it had ended with these values, one an objective; None: as it is.

        The record stays as it is, and another driver shows what it will.
        """
        self._view.show(number, values)


def open_trial_store(study: optuna.Study, space: SearchSpace) -> TrialStore:
    """Read a study for what a search space samples.

    Where the best network alone is looked for, the sampler is told of the first objective of quality and of no other.

    Raises:
        StudyError: A choice has values today that it did not have when the study was started.
    """
    settings = space.settings
    seen = None
    if settings.mode == "best":
        seen = [[GOALS[name].kind for name in settings.objectives].index("quality")]
    ranges = {name: subspace.ranges for name, subspace in space.subspaces.items()}
    return TrialStore(
        study, settings.sampler, SamplerHistory(ranges, space.budget, seen), widest(find_space(settings.space))
    )


def widest(space: Space) -> dict[str, BaseDistribution]:
    """Return each range of a space whole, by the name that a study knows it by."""
    found: dict[str, BaseDistribution] = dict(space.training)
    if len(space.networks) > 1:
        found[ARCHITECTURE] = CategoricalDistribution(list(space.networks))
    if space.front_ends:
        found["front_end"] = CategoricalDistribution(space.front_ends)
    for architecture, ranges in space.networks.items():
        found.update({f"{architecture}.{name}": each for name, each in ranges.items()})
    return found
