"""Sampler history: the trials that a sampler learns from, filtered by the current ranges and budget.

The study is never changed. Excluded are trials rejected for an earlier budget, trials outside of the current ranges,
and architectures that are no longer searched. A partly trained trial counts as complete, with its estimated values.
"""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from objectives.budget import Budget
from objectives.cost import Cost
from search.config.trial_config import ARCHITECTURE
from search.optimizer.trial_table import TrialTable
from search.study.optuna_private import CONSTRAINT_PREFIX, FIXED_PARAMS, contains
from search.study.study import CONFIG, COST, REJECTED

GENERATION = "generation"  # system attribute of a trial proposed by NSGA-II
INVALID = "invalid"  # constraint violated by configurations that build no network

Ranges = Mapping[str, BaseDistribution]


class SamplerHistory:
    """The trials of each architecture, as Optuna's frozen trials.

    Attributes:
        ranges: Current distributions by architecture, then by parameter.
        budget: Current budget; a trial over it never counts as good.
        objectives: Indices of the objectives that the sampler optimizes; None: all.
    """

    def __init__(
        self,
        ranges: Mapping[str, Ranges],
        budget: Budget,
        objectives: Sequence[int] | None = None,
        table: TrialTable | None = None,
    ) -> None:
        """Begin with no trials; `table` has the estimated values of partly trained trials."""
        self.ranges, self.budget, self.objectives = ranges, budget, objectives
        self._table = TrialTable() if table is None else table
        self._trials: dict[str, dict[int, FrozenTrial]] = {name: {} for name in ranges}

    def add(self, trial: FrozenTrial) -> None:
        """Add a trial of the study, or update it."""
        architecture = self.architecture(trial)
        if architecture == "":
            return
        seen = self._converted(trial, self.ranges[architecture])
        trials = self._trials[architecture]
        if seen is None:
            trials.pop(trial.number, None)
        else:
            trials[trial.number] = seen

    def trials(self, architecture: str) -> list[FrozenTrial]:
        """Return the trials of an architecture, in the order of their numbers."""
        return [self._with_estimate(trial) for _, trial in sorted(self._trials[architecture].items())]

    def space(self, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return the search space of a trial that is being sampled."""
        ranges = self.ranges[self.architecture(trial)]
        return {name: each for name, each in sorted(ranges.items()) if not each.single()}

    def architecture(self, trial: FrozenTrial) -> str:
        """Return the architecture of a trial, recorded or being sampled; "" if it is not searched any more."""
        enqueued = trial.system_attrs.get(FIXED_PARAMS, {})
        name = trial.params.get(ARCHITECTURE) or enqueued.get(ARCHITECTURE)
        name = name or trial.user_attrs.get(CONFIG, {}).get(ARCHITECTURE)
        if name is None:  # it was rejected in a search of one architecture alone
            names = {**enqueued, **trial.params}
            name = next((key.partition(".")[0] for key in names if "." in key), next(iter(self.ranges)))
        return str(name) if name in self.ranges else ""

    def _with_estimate(self, trial: FrozenTrial) -> FrozenTrial:
        """Return a partly trained trial that has an estimate as if it were complete with it; any other as it is."""
        row = self._table.get(trial.number)
        if row is None or not row.estimate or trial.state != TrialState.RUNNING:
            return trial
        estimated = copy.copy(trial)
        estimated.state, estimated.values = TrialState.COMPLETE, self._optimized(row.estimate)
        return estimated

    def _optimized(self, values: Sequence[float]) -> list[float]:
        """Return the values of the objectives that the sampler optimizes."""
        return list(values) if self.objectives is None else [values[index] for index in self.objectives]

    def _converted(self, trial: FrozenTrial, ranges: Ranges) -> FrozenTrial | None:
        """Return a trial as the sampler sees it; None if it is excluded."""
        kind = trial.user_attrs.get(REJECTED, {}).get("kind", "")
        if trial.state == TrialState.WAITING or kind == "interrupted" or not _lies_in(trial.params, ranges):
            return None
        cost = trial.user_attrs.get(COST)
        excess = {} if cost is None else self.budget.excess(Cost.from_dict(cost))
        is_over = any(value > 0 for value in excess.values())
        if kind.startswith("over ") and not is_over:
            return None  # fits the current budget: may be proposed again
        if kind == INVALID:
            excess[INVALID] = 1.0
        state, values = trial.state, None
        if state == TrialState.FAIL or is_over:
            state = TrialState.PRUNED  # learned from, but never as a good one
        elif state == TrialState.COMPLETE:
            values = self._optimized(trial.values)
        attributes: dict[str, Any] = {f"{CONSTRAINT_PREFIX}{name}": value for name, value in excess.items()}
        attributes[GENERATION] = trial.system_attrs.get(GENERATION, 0)
        return FrozenTrial(
            number=trial.number, state=state, value=None, values=values, datetime_start=None, datetime_complete=None,
            params={name: trial.params[name] for name in ranges}, distributions=dict(ranges), user_attrs={},
            system_attrs=attributes, intermediate_values={}, trial_id=trial.number,
        )  # fmt: skip


def _lies_in(values: Mapping[str, Any], ranges: Ranges) -> bool:
    """Whether every range has a value, and contains it."""
    return all(name in values and contains(distribution, values[name]) for name, distribution in ranges.items())
