"""Trial store: samples trials in memory, and writes each to the study's database in one transaction.

`Study.ask` on the database would take some twenty transactions a trial, and read all unfinished trials again for each
parameter. The driver holds the study's lock: nobody else writes, and memory agrees with the database.

Every value is recorded with the widest distribution that the space has for it, whatever part of it a search samples:
Optuna refuses other choices under a recorded name, and a study may be extended.
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
from search.optimizer.trial_table import TrialTable
from search.space.search_space import SearchSpace
from search.space.space_file import find_space
from search.study.optuna_private import (
    FIXED_PARAMS,
    create_trial,
    frozen_trial,
    read_trial,
    set_state,
    set_user_attribute,
    trial_id,
)
from search.study.study import StudyError
from spaces import Space


class TrialStore:
    """A study in its database, with the part of it in memory that sampling needs.

    A trial being sampled is in memory alone until `create` writes it as a whole: a killed driver leaves no partial
    trial.

    Attributes:
        history: The trials that the sampler learns from.
        num_trials: Trials of the study, the rejected ones included.
    """

    def __init__(
        self,
        study: optuna.Study,
        sampler: str,
        history: SamplerHistory,
        widest: Mapping[str, BaseDistribution] | None = None,
    ) -> None:
        """Read the study.

        Args:
            study: The study, whose lock the driver holds.
            sampler: A name of `search.config.settings.SAMPLERS`.
            history: An empty history with the current ranges and budget.
            widest: Distributions to record parameters with; others are recorded with those they are sampled from.

        Raises:
            StudyError: A categorical parameter has choices that it did not have when the study was started.
        """
        self._study, self._sampler, self.history = study, sampler, history
        chosen = history.objectives
        directions = study.directions if chosen is None else [study.directions[index] for index in chosen]
        self._directions = directions
        self._widest = dict(widest or {})
        self._queue: deque[tuple[dict[str, Any], dict[str, Any]]] = deque()
        self._ids: dict[int, int] = {}  # Optuna's trial id by number
        trials = study.get_trials(deepcopy=False)
        self.num_trials = len(trials)
        for trial in trials:
            self._ids[trial.number] = trial_id(trial)
            self.history.add(trial)
            for name, distribution in trial.distributions.items():
                if isinstance(distribution, CategoricalDistribution):
                    self._widest[name] = distribution
        for ranges in history.ranges.values():
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
        """The user attributes of the study."""
        return self._study.user_attrs

    def enqueue(self, values: Mapping[str, Any], attributes: Mapping[str, Any] | None = None) -> None:
        """Enqueue a trial with `values`, as `Study.enqueue_trial` does; parameters that they leave out are sampled."""
        self._queue.append((dict(values), dict(attributes or {})))

    @property
    def has_enqueued(self) -> bool:
        """Whether trials are enqueued."""
        return bool(self._queue)

    def ask(self, seed: int) -> Trial:
        """Begin to sample a trial in memory, from the queue or with a sampler of this seed; it has no number yet."""
        # a study of its own for each trial, which is gone with it
        memory = optuna.create_study(
            storage=optuna.storages.InMemoryStorage(),
            directions=self._directions,
            sampler=make_sampler(self._sampler, seed, self.history),
        )
        values, attributes = self._queue.popleft() if self._queue else ({}, {})
        if len(self.history.ranges) > 1 and ARCHITECTURE not in values:
            values[ARCHITECTURE] = Random(seed).choice(list(self.history.ranges))
        memory.enqueue_trial(values, user_attrs=attributes)
        return memory.ask()

    def create(self, trial: Trial, *, is_rejected: bool) -> int:
        """Write a sampled trial with its values and attributes, as RUNNING or as rejected; return its number."""
        sampled = frozen_trial(trial)
        state = TrialState.PRUNED if is_rejected else TrialState.RUNNING
        now = datetime.now()
        whole = FrozenTrial(
            number=self.num_trials, state=state, value=None, datetime_start=now,
            datetime_complete=now if state.is_finished() else None, params=sampled.params,
            distributions={name: self._widest.get(name, each) for name, each in sampled.distributions.items()},
            user_attrs=dict(sampled.user_attrs), intermediate_values={}, trial_id=-1,
            system_attrs={name: value for name, value in sampled.system_attrs.items() if name != FIXED_PARAMS},
        )  # fmt: skip
        self._ids[self.num_trials], number = create_trial(self._study, whole)
        assert number == self.num_trials, "somebody else writes to the study"
        self.num_trials += 1
        self.history.add(whole)
        return number

    def set(self, number: int, name: str, value: Any) -> None:
        """Write a user attribute of a trial that has not ended."""
        set_user_attribute(self._study, self._ids[number], name, value)

    def tell(self, number: int, state: TrialState, values: Sequence[float] | None = None) -> None:
        """Write the final state of a trial, and the values of a complete one."""
        objectives = None if values is None else [float(value) for value in values]
        assert (objectives is not None) == (state == TrialState.COMPLETE)
        assert objectives is None or not any(map(math.isnan, objectives))
        set_state(self._study, self._ids[number], state, objectives)
        self.history.add(read_trial(self._study, self._ids[number]))


def open_trial_store(study: optuna.Study, space: SearchSpace, table: TrialTable | None = None) -> TrialStore:
    """Open the store of a study to sample a search space; in mode "best" the sampler optimizes the first quality alone.

    Raises:
        StudyError: A categorical parameter has choices that it did not have when the study was started.
    """
    settings = space.settings
    objectives = None
    if settings.mode == "best":
        objectives = [[GOALS[name].kind for name in settings.objectives].index("quality")]
    ranges = {name: subspace.ranges for name, subspace in space.subspaces.items()}
    history = SamplerHistory(ranges, space.budget, objectives, table)
    return TrialStore(study, settings.sampler, history, widest(find_space(settings.space)))


def widest(space: Space) -> dict[str, BaseDistribution]:
    """Return the full distribution of every parameter of a space, by its name in a study."""
    found: dict[str, BaseDistribution] = dict(space.training)
    if len(space.networks) > 1:
        found[ARCHITECTURE] = CategoricalDistribution(list(space.networks))
    if space.front_ends:
        found["front_end"] = CategoricalDistribution(space.front_ends)
    for architecture, ranges in space.networks.items():
        found.update({f"{architecture}.{name}": each for name, each in ranges.items()})
    return found
