"""The driver's way to a study's database: samples in memory, and writes a proposal in one transaction.

Asked of the database itself, a proposal is some twenty transactions, one for each value and attribute, and every value
of it reads all unfinished trials again. The driver holds the study's lock, so nobody else writes, and what it remembers
is what the database holds.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.samplers import BaseSampler
from optuna.trial import Trial, TrialState

from search.sampler import make_sampler


class Record:
    """A study, and as much of it in memory as sampling needs.

    What is asked for is in memory alone until `keep` writes it, whole: a driver that is killed leaves no half of it.
    Numbers are those of the study.
    """

    def __init__(self, study: optuna.Study, sampler: BaseSampler | str) -> None:
        self._study = study
        if isinstance(sampler, str):
            sampler = make_sampler(0)
        self._memory = optuna.create_study(
            storage=optuna.storages.InMemoryStorage(), directions=study.directions, sampler=sampler
        )
        trials = [trial for trial in study.get_trials(deepcopy=False) if trial.state != TrialState.WAITING]
        self._memory.add_trials(trials)
        self._ids = {trial.number: trial._trial_id for trial in trials}  # in the database
        self._remembered = {trial.number: index for index, trial in enumerate(trials)}  # number in memory

    def enqueue(self, values: Mapping[str, Any], attributes: Mapping[str, Any] | None = None) -> None:
        """Have `values` asked for next, before anything is sampled."""
        self._memory.enqueue_trial(dict(values), user_attrs=dict(attributes or {}))

    @property
    def is_any_waiting(self) -> bool:
        """Whether values are enqueued."""
        return bool(self._memory.get_trials(deepcopy=False, states=[TrialState.WAITING]))

    def copy(self, number: int, attributes: Mapping[str, Any]) -> int:
        """Add a trial with the values of another."""
        self._memory.enqueue_trial(self._study.trials[number].params, user_attrs=dict(attributes))
        trial = self._memory.ask()
        for name, distribution in self._study.trials[number].distributions.items():
            trial._suggest(name, distribution)
        return self.keep(trial, is_rejected=False)

    def ask(self, seed: int = 0) -> Trial:
        """Start a proposal, of which the study hears nothing yet; its number is not the study's."""
        self._memory.sampler = make_sampler(seed)
        return self._memory.ask()

    def keep(self, trial: Trial, *, is_rejected: bool) -> int:
        """Write a proposal with its values and attributes, as a trial to be run or as one rejected; give its number."""
        if is_rejected:
            self._memory.tell(trial, state=TrialState.PRUNED)
        storage = self._study._storage
        whole = self._memory.get_trials(deepcopy=False)[trial.number]
        trial_id = storage.create_new_trial(self._study._study_id, whole)
        number = storage.get_trial_number_from_id(trial_id)
        self._ids[number], self._remembered[number] = trial_id, trial.number
        return number

    def set(self, number: int, name: str, value: Any) -> None:
        """Write an attribute of a trial that has not ended."""
        self._study._storage.set_trial_user_attr(self._ids[number], name, value)

    def tell(self, number: int, state: TrialState, values: Sequence[float] | None = None) -> None:
        """Write how a trial ended."""
        self._study.tell(number, values, state=state)
        self._memory.tell(self._remembered[number], values, state=state)
