"""Trial scheduler: starts, pauses, promotes and stops trials by successive halving, and records their results.

It does not depend on Ray. Every change is in the study's database before Ray acts on it, so that the driver can be
killed at any moment and another one resumes from the database alone.

A trial is trained in jobs, each to the end of a rung. There it is promoted, or paused until it is among the best at
that rung. When nothing is left to train, paused trials are stopped. `trial_table` has the state diagram.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from objectives.goals import GOALS, directions, values_of
from objectives.quality import figures
from objectives.sampling_error import half_widths
from search.config.trial_config import TrialConfig
from search.optimizer.acquisition import Acquisition, Curve, estimate
from search.optimizer.candidate_generator import CandidateGenerator, better_half
from search.optimizer.successive_halving import (
    Rung,
    SuccessiveHalving,
    Values,
    comparable_epoch,
    rung_index,
    rungs_of,
)
from search.optimizer.trial_store import open_trial_store
from search.optimizer.trial_table import State, TrialRow, TrialTable
from search.space.priced_space import PricedSpace
from search.space.pricing import price
from search.study.study import (
    ATTEMPTS,
    CONFIG,
    EPOCH,
    FAILURE,
    FOLD_QUALITY,
    HALVES,
    LATENCY,
    LAYERS,
    PAUSED,
    QUALITY,
    REJECTED,
    STOPPED,
    VERSIONS,
    fold_qualities,
    learning_curve,
)

MAX_FAILED_AT_FIRST = 5  # if the first 5 trials all fail, no other is started


class TrialScheduler:
    """Proposes jobs, and records their results.

    Attributes:
        study: The study, in its database.
        space: The priced search space.
        rungs: Rungs of successive halving; the last is full fidelity.
        table: The trials.
        halving: Decides which trials are promoted.
        acquisition: Predicts the final metrics of trials.
        generator: Proposes configurations.
        ranks_by_prediction: Whether trials are ranked by predicted final metrics, not by those at the rung.
        proposes_by_acquisition: Whether the acquisition function proposes configurations, beside the sampler.
        abort_reason: Why no other trial is started; "" in order.
        interrupt_reason: Why the search ended before its time, to be resumed, or nothing.
    """

    def __init__(self, study: optuna.Study, space: PricedSpace, rungs: Sequence[Rung] = ()) -> None:
        """Restore the trials of a study whose lock is held; without `rungs`, epochs are the fidelity."""
        settings = space.settings
        self.study, self.space = study, space
        self.rungs = tuple(rungs) or rungs_of(settings, ())
        self._objectives = settings.objectives
        ranked = settings.objectives
        if settings.mode == "best":
            ranked = tuple(name for name in ranked if GOALS[name].kind == "quality")[:1]
        self.table = TrialTable()
        self.halving = SuccessiveHalving(self.table, self.rungs, ranked, space.num_classes)
        self.acquisition = Acquisition(space, self.table, self.rungs)
        self.ranks_by_prediction = settings.surrogate
        self.proposes_by_acquisition = settings.surrogate and settings.sampler == "tpe"
        self.abort_reason = self.interrupt_reason = ""
        self._num_failed = 0  # in this process
        self.store = open_trial_store(study, space, self.table)
        for trial in study.get_trials(deepcopy=False):
            self._restore(trial)
        for row in self.table.in_state(State.PENDING):  # killed at the end of a rung, before it was promoted or paused
            if self.halving.ends_rung(row) and not self._promotes_at_once(row):
                self._pause(row)
        self.generator = CandidateGenerator(space, self.store, self.table, study.get_trials(deepcopy=False))

    def _restore(self, trial: FrozenTrial) -> None:
        """Add the row of a trial of the study; end one that was killed before it was priced."""
        is_open, known = trial.state == TrialState.RUNNING, trial.user_attrs
        if CONFIG in known and REJECTED not in known:
            config = TrialConfig.from_dict(known[CONFIG])
            cost, curve = price(config, self.space.settings.precision), learning_curve(trial)
            row = self.table.add(
                TrialRow(
                    trial.number, config, cost, self.space.budget.fits(cost), State.PENDING,
                    rung_index(self.rungs, len(curve)), [*curve], attempts=list(known.get(ATTEMPTS, [])),
                )
            )  # fmt: skip
            row.costs[LATENCY] = known.get(LATENCY)
            row.fold_qualities = fold_qualities(known)
            if trial.state == TrialState.COMPLETE:
                self.table.complete(row, tuple(trial.values))
            elif not is_open:
                row.state, row.reason = State.FAILED, str(known.get(FAILURE))
            else:
                self._restore_open(row, known)
        elif is_open:
            if REJECTED not in known:  # killed before it was priced
                why = {"kind": "interrupted", "reason": "the search was killed before this was priced"}
                self.store.set(trial.number, REJECTED, why)
            self.store.tell(trial.number, TrialState.PRUNED)

    def _restore_open(self, row: TrialRow, known: Mapping[str, Any]) -> None:
        """Restore the state of a trial that the database has as RUNNING, but that no process trains."""
        reason = known.get(STOPPED)
        is_paused = known.get(PAUSED) == row.num_epochs
        if FAILURE in known:
            self._end_failed(row, str(known[FAILURE]))
        elif not row.fits:
            self._stop(row, f"not trained on: {self.space.budget.over_budget_message(row.cost)}")
        elif is_paused and reason:
            row.state, row.reason = State.STOPPED, str(reason)
        elif is_paused:
            row.state = State.PAUSED
        elif reason:  # stopped for an earlier budget
            self.store.set(row.number, STOPPED, None)

    @property
    def rejections(self) -> Counter[str]:
        """Number of rejected configurations by kind."""
        return self.generator.rejections

    @property
    def end_reason(self) -> str:
        """Why nothing more can be proposed; "" while something can."""
        return self.abort_reason or self.generator.end_reason

    @property
    def num_ended(self) -> int:
        """Number of trials that are complete, stopped or failed."""
        return self.table.count(State.COMPLETE, State.STOPPED, State.FAILED)

    @property
    def num_left(self) -> int:
        """Number of trials that have not ended or not started."""
        return self.space.settings.trials - self.num_ended

    def propose(self) -> TrialRow | None:
        """Return the trial to train next, to the end of its rung; None if there is none now.

        Configurations that do not fit are recorded as rejected. If there is none and nothing is running, the search is
        over, and the paused trials are stopped.
        """
        row = self._next()
        if row is not None:
            row.state = State.RUNNING
        elif not self.table.in_state(State.RUNNING) and not self.interrupt_reason:
            for paused in self.table.in_state(State.PAUSED):
                self._stop(paused, self.halving.rank_text(paused, self._predicted()))
        return row

    def _next(self) -> TrialRow | None:
        if self.abort_reason or self.interrupt_reason:
            return None
        for row in self.table.in_state(State.PENDING):
            return row
        for number in self.halving.promotable(self._predicted()):
            if self.table[number].state in (State.PAUSED, State.STOPPED):
                return self._promote(self.table[number])
        return self._propose_new() or self._promote_in_closed_rungs()

    def _propose_new(self) -> TrialRow | None:
        """Return a new trial, unless all trials of the search are started."""
        if len(self.table) >= self.space.settings.trials:
            return None
        finished = [row.curve for row in self.table.completed]
        for row in self.table.in_state(State.RUNNING, State.PAUSED, State.STOPPED):
            if row.fits and row.num_epochs >= self.rungs[0].end:
                row.estimate = self._estimate(row, finished)
        if self.proposes_by_acquisition:  # the sampler's architectures are then drawn uniformly
            return self.generator.propose([], self.acquisition)
        points = [(row.config.architecture, row.values) for row in self.table.completed]
        return self.generator.propose(better_half(points, directions(self._objectives)))

    def _estimate(self, row: TrialRow, finished: Sequence[Curve]) -> Values:
        """Return the final values that a partly trained trial is estimated to reach, by the curves of `finished`."""
        curve = row.curve[: comparable_epoch(self.rungs, row.num_epochs)]
        qualities = {
            name: estimate(name, curve, finished) for name in self._objectives if GOALS[name].kind == "quality"
        }
        return values_of(self._objectives, qualities, row.costs)

    def _promote_in_closed_rungs(self) -> TrialRow | None:
        """Promote a paused trial at a rung that no other trial will reach."""
        num_closed = min((row.rung for row in self.table.in_state(State.RUNNING)), default=len(self.rungs))
        for number in self.halving.promotable_in_closed_rungs(num_closed, self._predicted()):
            if self.table[number].state == State.PAUSED:
                return self._promote(self.table[number])
        return None

    def _predicted(self) -> dict[int, Values]:
        """Return the predicted values to rank trials by, by trial number; empty without predictions."""
        if not self.ranks_by_prediction:
            return {}
        return {
            number: values_of(self.halving.objectives, qualities, self.table[number].costs)
            for number, qualities in self.acquisition.predict().items()
        }

    def _promote(self, row: TrialRow) -> TrialRow:
        """Promote a paused trial to its next rung, or one that was stopped at the end of a smaller search."""
        if row.state == State.STOPPED:
            self.store.set(row.number, STOPPED, None)
            row.reason = ""
        row.rung += 1
        return row

    def _promotes_at_once(self, row: TrialRow) -> bool:
        """Promote a trial at the end of its rung if it is among the best and the next rung continues its training."""
        is_one_training = self.rungs[row.rung + 1].start == self.rungs[row.rung].start
        if not is_one_training or row.number not in self.halving.promotable(self._predicted()):
            return False
        row.rung += 1
        return True

    def _pause(self, row: TrialRow) -> None:
        self.store.set(row.number, PAUSED, row.num_epochs)
        row.state = State.PAUSED

    def _stop(self, row: TrialRow, reason: str) -> None:
        """Stop a trial early; it stays RUNNING in the database, so that it may be promoted in an extended study."""
        self.store.set(row.number, STOPPED, reason)
        row.state, row.reason = State.STOPPED, reason

    def report(self, number: int, result: Mapping[str, Any]) -> bool:
        """Record the epochs that a job reports; return whether its trial is to be paused now.

        Args:
            number: Number of the trial.
            result: Result of `TrialActor.step`. After a restart it has every epoch of the checkpoint: the last report
                before the crash may have been lost.
        """
        row = self.table[number]
        if LATENCY in result and row.latency_ms is None:
            self.store.set(number, LATENCY, result[LATENCY])
            row.costs[LATENCY] = result[LATENCY]
        if LAYERS in result and not row.curve:
            self.store.set(number, LAYERS, json.loads(result[LAYERS]))
        pauses = False
        for epoch in self._with_earlier_folds(row, result):
            if epoch["epoch"] <= row.num_epochs:
                if epoch["train_loss"] != row.curve[epoch["epoch"] - 1]["train_loss"]:  # trained anew, by other code
                    self.store.set(number, f"{EPOCH}{epoch['epoch']}", epoch)
                    row.curve[epoch["epoch"] - 1] = epoch
                continue
            self.store.set(number, f"{EPOCH}{epoch['epoch']}", epoch)
            row.curve.append(epoch)
            row.rung = max(row.rung, rung_index(self.rungs, row.num_epochs))  # the checkpoint may be past a rung
            pauses = self.halving.ends_rung(row) and not self._promotes_at_once(row)
        return pauses

    def _with_earlier_folds(self, row: TrialRow, result: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the reported epochs; the last of a later fold with metrics on the clips of all folds so far."""
        epochs: list[dict[str, Any]] = json.loads(result["epochs"])
        for number, rung in enumerate(self.rungs):
            is_last = number == len(self.rungs) - 1 or self.rungs[number + 1].fold > rung.fold
            if epochs and is_last and epochs[-1]["epoch"] == rung.end and self.rungs[-1].fold:
                quality = json.loads(result[QUALITY])
                self.store.set(row.number, f"{FOLD_QUALITY}{rung.fold}", quality)
                row.fold_qualities = [*row.fold_qualities[: rung.fold], quality]
                if rung.fold:
                    epochs[-1] |= figures(row.quality)
        return epochs

    def end(
        self,
        number: int,
        result: Mapping[str, Any] | None,
        error: str = "",
        *,
        is_memory: bool = False,
        is_bug: bool = False,
    ) -> str:
        """Record the end of a job.

        Args:
            number: Number of its trial.
            result: The last reported result, or None.
            error: Why its process crashed; "" if it did not.
            is_memory: Whether it ran out of memory.
            is_bug: Whether the code raised an error, which another attempt would raise again.

        Returns:
            The trial's state: complete, paused, failed, or pending if it is retried; "" if the search was interrupted.
        """
        row = self.table[number]
        if row.state != State.RUNNING:
            return ""
        if result is not None:
            self.report(number, result)
        if error and is_bug:
            self._fail(row, error)
        elif error:
            self._retry(row, error, is_memory=is_memory)
        elif result is None:
            row.state = State.PENDING
            return ""
        elif result.get(FAILURE):
            self._fail(row, result[FAILURE])
        elif row.num_epochs == self.rungs[-1].end:
            self._complete(row, result)
        elif self.halving.ends_rung(row):
            self._pause(row)
        else:
            row.state = State.PENDING
            return ""
        return row.state

    def interrupt(self, number: int, reason: str) -> None:
        """End the search for a reason outside of its trials, such as a full disk; the running trial becomes pending."""
        self.table[number].state = State.PENDING
        self.interrupt_reason = reason

    def _complete(self, row: TrialRow, result: Mapping[str, Any]) -> None:
        if self.rungs[-1].fold:
            self.store.set(row.number, QUALITY, row.quality.to_dict())
            self.store.set(row.number, HALVES, half_widths(row.quality))
        else:
            self.store.set(row.number, QUALITY, json.loads(result[QUALITY]))
            self.store.set(row.number, HALVES, json.loads(result.get(HALVES, "{}")))
        self.store.set(row.number, VERSIONS, json.loads(result[VERSIONS]))
        values = values_of(self._objectives, row.curve[-1], row.costs)
        self.store.tell(row.number, TrialState.COMPLETE, values)
        self.table.complete(row, values)

    def _retry(self, row: TrialRow, error: str, *, is_memory: bool) -> None:
        """Retry a trial whose process crashed from its checkpoint, up to `retries` times at one epoch.

        One that ran out of memory beside others is retried alone whatever `retries`: they may have taken the memory.
        """
        is_shared = is_memory and not row.runs_alone
        row.attempts.append({"epoch": row.num_epochs, "reason": error, "is_memory": is_memory, "is_shared": is_shared})
        here = [attempt for attempt in row.attempts if attempt["epoch"] == row.num_epochs]
        num_here = len(here)
        if sum(not attempt.get("is_shared") for attempt in here) > self.space.settings.retries:
            self._fail(row, f"{error} (tried {num_here} times)" if num_here > 1 else error)
        else:
            self.store.set(row.number, ATTEMPTS, row.attempts)
            row.state = State.PENDING

    def _fail(self, row: TrialRow, reason: str) -> None:
        self.store.set(row.number, FAILURE, reason)
        self._end_failed(row, reason)
        self._num_failed += 1
        num_failed = self.table.count(State.FAILED)
        if self._num_failed >= MAX_FAILED_AT_FIRST and num_failed == len(self.table):
            self.abort_reason = self.abort_reason or f"the first {num_failed} trials all failed"

    def _end_failed(self, row: TrialRow, reason: str) -> None:
        self.store.tell(row.number, TrialState.FAIL)
        row.state, row.reason = State.FAILED, reason
