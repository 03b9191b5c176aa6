"""What a sampler sees of a study: the trials that bear on what is asked for today, and of each as much as helps.

The record is never changed. A trial that was rejected for a budget of the past, one outside of today's ranges, one of
an architecture that is left out: the sampler is not told of them. Values can be shown for a trial that has none yet.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from objectives.budget import Budget
from objectives.cost import Cost
from search.config.trial_config import ARCHITECTURE
from search.study.optuna_private import CONSTRAINT_PREFIX, FIXED_PARAMS, contains
from search.study.study import CONFIG, COST, REJECTED

GENERATION = "generation"  # of a genetic sampler
INVALID = "invalid"  # the constraint that what builds no network breaks

Ranges = Mapping[str, BaseDistribution]


class SamplerHistory:
    """The trials of a study as a sampler is to know them, by architecture.

    Attributes:
        ranges: What varies today, for each architecture, by the name of the value.
        budget: Of today.
        seen: Places of the objectives that the sampler reckons with, or None: all.
    """

    def __init__(self, ranges: Mapping[str, Ranges], budget: Budget, seen: Sequence[int] | None = None) -> None:
        """Begin with no trials.

        Args:
            ranges: What varies, for each architecture.
            budget: What a trial must fit to be taken for a good one.
            seen: Places of the objectives that the sampler is to reckon with; None: all.
        """
        self.ranges, self.budget, self.seen = ranges, budget, seen
        self._recorded: dict[int, FrozenTrial] = {}
        self._shown: dict[int, tuple[float, ...]] = {}
        self._trials: dict[str, dict[int, FrozenTrial]] = {name: {} for name in ranges}

    def add(self, trial: FrozenTrial) -> None:
        """Record a trial, or what became of it."""
        self._recorded[trial.number] = trial
        self._look(trial.number)

    def recorded(self, number: int) -> FrozenTrial:
        """Return a trial as it is in the record, but for attributes that were written later."""
        return self._recorded[number]

    def show(self, number: int, values: Sequence[float] | None) -> None:
        """Have a trial seen as if it had been trained to the end with these values; None: as it is."""
        shown = None if values is None else tuple(values)
        if shown == self._shown.get(number):
            return
        if shown is None:
            del self._shown[number]
        else:
            self._shown[number] = shown
        self._look(number)

    def trials(self, architecture: str) -> list[FrozenTrial]:
        """Return the trials of an architecture, in the order of their numbers."""
        return list(self._trials[architecture].values())

    def space(self, asked: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return what there is to sample for a trial that is being asked for."""
        ranges = self.ranges[self.architecture(asked)]
        return {name: each for name, each in sorted(ranges.items()) if not each.single()}

    def architecture(self, trial: FrozenTrial) -> str:
        """Return the architecture of a trial, recorded or being asked for; "" where it is none of today's."""
        enqueued = trial.system_attrs.get(FIXED_PARAMS, {})
        name = trial.params.get(ARCHITECTURE) or enqueued.get(ARCHITECTURE)
        name = name or trial.user_attrs.get(CONFIG, {}).get(ARCHITECTURE)
        if name is None:  # there was one alone when it was asked for, and it was rejected
            names = {**enqueued, **trial.params}
            name = next((key.partition(".")[0] for key in names if "." in key), next(iter(self.ranges)))
        return str(name) if name in self.ranges else ""

    def _look(self, number: int) -> None:
        trial = self._recorded[number]
        architecture = self.architecture(trial)
        if architecture == "":
            return
        seen = self._see(trial, self.ranges[architecture])
        trials = self._trials[architecture]
        if seen is None:
            trials.pop(number, None)
        else:
            is_last = not trials or number >= next(reversed(trials))
            trials[number] = seen
            if not is_last and list(trials) != sorted(trials):
                self._trials[architecture] = dict(sorted(trials.items()))

    def _see(self, trial: FrozenTrial, ranges: Ranges) -> FrozenTrial | None:
        """Return a trial as it is seen, or None."""
        kind = trial.user_attrs.get(REJECTED, {}).get("kind", "")
        if trial.state == TrialState.WAITING or kind == "interrupted" or not _lies_in(trial.params, ranges):
            return None
        cost = trial.user_attrs.get(COST)
        broken = {} if cost is None else self.budget.excess(Cost.from_dict(cost))
        is_over = any(excess > 0 for excess in broken.values())
        if kind.startswith("over ") and not is_over:
            return None  # it may be asked for again
        if kind == INVALID:
            broken[INVALID] = 1.0
        state, values = trial.state, trial.values if trial.state == TrialState.COMPLETE else None
        if trial.number in self._shown:
            state, values = TrialState.COMPLETE, list(self._shown[trial.number])
        if state == TrialState.FAIL or is_over:
            state, values = TrialState.PRUNED, None  # to be learned from, but not as a good one
        if values is not None and self.seen is not None:
            values = [values[place] for place in self.seen]
        attributes: dict[str, Any] = {f"{CONSTRAINT_PREFIX}{name}": excess for name, excess in broken.items()}
        attributes[GENERATION] = trial.system_attrs.get(GENERATION, 0)
        return FrozenTrial(
            number=trial.number, state=state, value=None, values=values, datetime_start=None, datetime_complete=None,
            params={name: trial.params[name] for name in ranges}, distributions=dict(ranges), user_attrs={},
            system_attrs=attributes, intermediate_values={}, trial_id=trial.number,
        )  # fmt: skip


def _lies_in(values: Mapping[str, Any], ranges: Ranges) -> bool:
    """Whether there is a value for every range, and in it."""
    return all(name in values and contains(distribution, values[name]) for name, distribution in ranges.items())
