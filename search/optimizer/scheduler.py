"""The driver's side of a search: what is trained next, how far, and what came of it.

Knows nothing of Ray. Every change is in the study's database before anybody else hears of it, so the driver can be
killed at any moment and another takes over from the database alone.

A trial is trained in jobs: from where it is to the end of a level. There it goes on at once, or waits until it is among
the best that got there; those that wait when a search has nothing more to train are stopped.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from objectives.cost import Cost
from objectives.goals import GOALS, directions, values_of
from search.config.settings import Job
from search.config.trial_config import TrialConfig
from search.optimizer.acquisition import Acquisition, Curve, estimate
from search.optimizer.candidate_generator import Accepted, CandidateGenerator, better_half
from search.optimizer.successive_halving import Rung, SuccessiveHalving, rungs_of_epochs, rungs_of_splits
from search.optimizer.trial_store import open_trial_store
from search.space.priced_space import PricedSpace
from search.space.pricing import price
from search.study.study import (
    ATTEMPTS,
    CONFIG,
    EPOCH,
    FAILURE,
    LATENCY,
    LAYERS,
    PAUSED,
    QUALITY,
    REJECTED,
    STOPPED,
    VERSIONS,
    learning_curve,
)

MAX_FAILED_AT_FIRST = 5  # trials; when the first so many all fail, no other is tried


def rungs_of(settings: Job, splits: Sequence[str]) -> tuple[Rung, ...]:
    """Return the levels that the trials of a search climb.

    Args:
        settings: Of the search.
        splits: That trials are trained on, one after the other; nothing where epochs are the fidelity.
    """
    if splits:
        return rungs_of_splits(splits if settings.early_stopping else splits[-1:], settings.epochs)
    return rungs_of_epochs(settings.split, settings.epochs, early_stopping=settings.early_stopping)


@dataclass(frozen=True)
class Proposal:
    """A job: a configuration that fits, to be trained to the end of a level.

    Attributes:
        number: Of the trial.
        config: What is trained, and how.
        cost: Of its network.
        level: That it is trained through.
        curve: Epochs that are recorded.
        latency_ms: Measured, or None where it is not known yet.
        is_alone: Whether nothing else may be trained beside it: it ran out of memory.
    """

    number: int
    config: TrialConfig
    cost: Cost
    level: Rung
    curve: tuple[Mapping[str, Any], ...] = ()
    latency_ms: float | None = None
    is_alone: bool = False


@dataclass
class Running:
    """A trial in training."""

    proposal: Proposal
    epoch: int
    last: Mapping[str, Any] = field(default_factory=dict)  # what is recorded of that epoch
    is_pausing: bool = False

    @property
    def accuracy(self) -> float:
        """Macro accuracy after the last epoch."""
        return float(self.last.get("macro_accuracy", 0.0))


class TrialScheduler:
    """Asks and tells.

    Attributes:
        study: The record.
        space: What is searched.
        levels: That a trial climbs.
        running: Trials in training, by number.
        waiting: Trials at the end of a level, by number.
        states: How many trials ended in each state.
        complete: Number and values of every fully trained trial that fits the budget.
        reasons: Why a trial ended before its time, by number.
        stopped_at_last: Trials that still waited when the search was over.
        hopeless: Why no other trial is tried, or nothing.
        interrupted: Why the search ended before its time, to be taken up again, or nothing.
    """

    def __init__(
        self,
        study: optuna.Study,
        space: PricedSpace,
        splits: tuple[str, ...] = (),
    ) -> None:
        """Take over what the study holds already.

        Args:
            study: The record.
            space: What is searched.
            splits: That trials are trained on, where the split is the fidelity; the last is all of the data.
        """
        settings = space.settings
        self.study, self.space = study, space
        self.levels = rungs_of(settings, splits)
        self._objectives = settings.objectives
        self._ranked = self._objectives
        if settings.mode == "best":
            self._ranked = tuple(name for name in self._objectives if GOALS[name].kind == "quality")[:1]
        self.halving = SuccessiveHalving(self.levels, directions(self._ranked))
        self.advisor = Acquisition(space, self.levels)
        self.ranks_expected = settings.surrogate
        self.proposes_expected = settings.surrogate and settings.sampler == "tpe"
        self.running: dict[int, Running] = {}
        self.waiting: dict[int, Proposal] = {}
        self.states: Counter[str] = Counter()
        self.complete: list[tuple[int, tuple[float, ...]]] = []
        self.reasons: dict[int, str] = {}
        self._finished: dict[int, Curve] = {}  # of the complete
        self.stopped_at_last: list[int] = []
        self.hopeless = self.interrupted = ""
        self._to_take_up: list[Proposal] = []
        self._num_failed = 0  # that this driver has seen
        self._attempts: dict[int, list[dict[str, Any]]] = {}
        trials = [trial for trial in study.get_trials(deepcopy=False) if trial.state != TrialState.WAITING]
        self.record = open_trial_store(study, space)
        for trial in trials:
            self._take_over(trial)
        self._judge_again()
        self.proposer = CandidateGenerator(space, self.record, self.study.get_trials(deepcopy=False))

    def _take_over(self, trial: FrozenTrial) -> None:
        is_running = trial.state == TrialState.RUNNING
        if CONFIG in trial.user_attrs and REJECTED not in trial.user_attrs:
            self._take_over_trained(trial)
        elif is_running:  # killed before its verdict
            if REJECTED not in trial.user_attrs:  # killed before it was priced: nothing is lost with it
                why = {"kind": "interrupted", "reason": "the search was killed before this was priced"}
                self.record.set(trial.number, REJECTED, why)
            self.record.tell(trial.number, TrialState.PRUNED)

    def _take_over_trained(self, trial: FrozenTrial) -> None:
        number, attributes = trial.number, trial.user_attrs
        config = TrialConfig.from_dict(attributes[CONFIG])
        curve = learning_curve(trial)
        self._attempts[number] = list(attributes.get(ATTEMPTS, []))
        proposal = Proposal(
            number, config, price(config, self.space.settings.precision), self.levels[self.halving.level(len(curve))],
            tuple(curve), attributes.get(LATENCY),
            any(attempt.get("is_memory") for attempt in self._attempts[number]),
        )  # fmt: skip
        fits = self.space.budget.fits(proposal.cost)  # the one that it was trained under may have been another
        for epoch in curve if fits else ():
            self._note(proposal, epoch)
        if trial.state == TrialState.COMPLETE:
            self.states["complete"] += 1
            if fits:
                self.complete.append((number, tuple(trial.values)))
                self._finished[number] = curve
                self._advise(proposal, is_complete=True)
        elif trial.state == TrialState.RUNNING:
            self._take_over_running(proposal, attributes)
        else:
            self.states["failed"] += 1
            self.reasons[number] = str(attributes.get(FAILURE))
            self.advisor.forget(number)

    def _take_over_running(self, proposal: Proposal, attributes: Mapping[str, Any]) -> None:
        number = proposal.number
        if FAILURE in attributes:
            self.advisor.forget(number)
            self._tell(number, "failed", str(attributes[FAILURE]))
        elif not self.space.budget.fits(proposal.cost):
            self._stop(number, f"not trained on: {self.space.budget.over_budget_message(proposal.cost)}")
        elif attributes.get(PAUSED) == len(proposal.curve):
            self.waiting[number] = proposal
            if attributes.get(STOPPED):
                self._note_stopped(number, str(attributes[STOPPED]))
        else:  # it was interrupted, or stopped for a budget of the past
            self._resume(number, attributes.get(STOPPED))
            self._to_take_up.append(proposal)

    def _judge_again(self) -> None:
        """Have those wait that were killed at the end of a level, before it was written that they wait."""
        ends = {level.end for level in self.levels[:-1]}
        for proposal in [each for each in self._to_take_up if len(each.curve) in ends]:
            ended = self.levels[self.halving.level(len(proposal.curve) - 1)]
            running = Running(replace(proposal, level=ended), len(proposal.curve))
            if not self._goes_on(running):
                self._to_take_up.remove(proposal)
                self._wait(proposal)

    def _wait(self, proposal: Proposal) -> None:
        self.record.set(proposal.number, PAUSED, len(proposal.curve))
        self.waiting[proposal.number] = proposal

    @property
    def rejections(self) -> Counter[str]:
        """How many configurations were rejected for each reason."""
        return self.proposer.rejections

    @property
    def exhausted(self) -> str:
        """Why nothing more can be proposed, or nothing."""
        return self.hopeless or self.proposer.exhausted

    @property
    def num_ended(self) -> int:
        """Trials that were trained, to the end or not."""
        return sum(self.states.values())

    @property
    def num_started(self) -> int:
        """Configurations whose training was begun."""
        return self.num_ended + len(self.running) + len(self._to_take_up) + len(self._paused())

    @property
    def num_left(self) -> int:
        """Configurations that are not settled yet, the interrupted ones included."""
        return self.space.settings.trials - self.num_ended

    def _paused(self) -> list[Proposal]:
        return [proposal for number, proposal in self.waiting.items() if number not in self.reasons]

    def propose(self) -> Proposal | None:
        """Return the next job, recording all configurations that do not fit; None when there is none now.

        When nothing is running either, the search is over, and the trials that still wait are settled.
        """
        proposal = self._next()
        if proposal is None:
            if not self.running and not self.interrupted:
                for paused in self._paused():
                    self._stop(paused.number, self.halving.why(paused.number, len(paused.curve)))
                    self.stopped_at_last.append(paused.number)
            return None
        last = proposal.curve[-1] if proposal.curve else {}
        self.running[proposal.number] = Running(proposal, len(proposal.curve), last)
        return proposal

    def _next(self) -> Proposal | None:
        if self.hopeless or self.interrupted:
            return None
        if self._to_take_up:
            return self._to_take_up.pop(0)
        for number in self._promotable():
            if number in self.waiting:
                return self._promote(self.waiting.pop(number))
        return self._begin() or self._promote_at_last()

    def _begin(self) -> Proposal | None:
        """Return a new configuration, if there are to be more."""
        accepted = self._accept()
        return None if accepted is None else Proposal(accepted.number, accepted.config, accepted.cost, self.levels[0])

    def _promote_at_last(self) -> Proposal | None:
        """Return a trial that may go on because no others will come to where it waits."""
        lowest = min(
            (self.levels.index(each.proposal.level) for each in self.running.values()), default=len(self.levels)
        )
        self._expect()
        for number in self.halving.promotable_at_last(lowest):
            if number in self.waiting and number not in self.reasons:
                return self._promote(self.waiting.pop(number))
        return None

    def _accept(self) -> Accepted | None:
        """Have a new configuration proposed, if there are to be more."""
        if self.num_started >= self.space.settings.trials:
            return None
        self._show_estimates()
        if self.proposes_expected:  # then the sampler's architectures are drawn evenly
            return self.proposer.ask([], self.advisor)
        return self.proposer.ask(self._better())

    def _promote(self, waiting: Proposal) -> Proposal:
        """Have a trial go on that waited, or that was stopped when the search was over."""
        epoch = len(waiting.curve)
        self._resume(waiting.number, self.reasons.get(waiting.number))
        self.halving.go_on(waiting.number, epoch)
        return replace(waiting, level=self.levels[self.halving.level(epoch)])

    def _resume(self, number: int, stopped: str | None) -> None:
        """Take back that a trial was stopped, if it was."""
        if stopped:
            self.record.set(number, STOPPED, None)
        if self.reasons.pop(number, None):
            self.states["stopped"] -= 1

    def _stop(self, number: int, reason: str) -> None:
        """Stop a trial early; it stays RUNNING in Optuna's words, so that it can be resumed when the study grows."""
        self.record.set(number, STOPPED, reason)
        self._note_stopped(number, reason)

    def _note_stopped(self, number: int, reason: str) -> None:
        self.states["stopped"] += 1
        self.reasons[number] = reason

    def _show_estimates(self) -> None:
        """Have the sampler learn from what was trained for a while, as if it had been trained to the end."""
        finished = list(self._finished.values())
        partial = [*self.waiting.values(), *(running.proposal for running in self.running.values())]
        for proposal in partial:
            if len(proposal.curve) >= self.levels[0].end:
                expected = {
                    name: estimate(name, proposal.curve, finished)
                    for name in self._objectives
                    if GOALS[name].kind == "quality"
                }
                self.record.show(proposal.number, values_of(self._objectives, expected, self._costs(proposal)))

    def _better(self) -> list[str]:
        architectures = {number: config.architecture for number, config in self.proposer.numbers()}
        points = [(architectures[number], values) for number, values in self.complete]
        return better_half(points, directions(self._objectives))

    def note_epoch(self, number: int, result: Mapping[str, Any]) -> str:
        """Record what a job has reached; return why it should end now, or nothing."""
        running = self.running[number]
        if LATENCY in result and running.proposal.latency_ms is None:
            self.record.set(number, LATENCY, result[LATENCY])
            running.proposal = replace(running.proposal, latency_ms=result[LATENCY])
        if LAYERS in result and not running.proposal.curve:
            self.record.set(number, LAYERS, json.loads(result[LAYERS]))
        # an actor that took up a checkpoint gives all epochs in it: the last may have been lost on its way here
        for epoch in json.loads(result["epochs"]):
            if epoch["epoch"] <= running.epoch:
                continue
            self.record.set(number, f"{EPOCH}{epoch['epoch']}", epoch)
            running.epoch, running.last = epoch["epoch"], epoch
            running.proposal = replace(running.proposal, curve=(*running.proposal.curve, epoch))
            # a trial may have been trained on before anybody could stop it
            running.is_pausing = self._note(running.proposal, epoch) and not self._goes_on(running)
        return "waits for the others" if running.is_pausing else ""

    def _goes_on(self, running: Running) -> bool:
        """Whether a trial at the end of a level goes on at once; not where it is trained anew on the next."""
        upward = self.levels[self.halving.level(running.epoch)]
        if upward.start != running.proposal.level.start or running.proposal.number not in self._promotable():
            return False
        self.halving.go_on(running.proposal.number, running.epoch)
        running.proposal = replace(running.proposal, level=upward)
        return True

    def _promotable(self) -> list[int]:
        """Return the trials that may go on now, ranked by what is expected of them."""
        self._expect()
        return self.halving.promotable()

    def _expect(self) -> None:
        """Have trials ranked by what is expected of them now."""
        if not self.ranks_expected:
            return
        self.halving.expected = {}
        for number, qualities in self.advisor.expected().items():
            known = {**self.advisor.costs(number), **qualities}
            self.halving.expected[number] = tuple(float(known[name]) for name in self._ranked)

    def _advise(self, proposal: Proposal, *, is_complete: bool = False) -> None:
        self.advisor.note(
            proposal.number, proposal.config, proposal.cost, self._costs(proposal), proposal.curve,
            is_complete=is_complete,
        )  # fmt: skip

    def _note(self, proposal: Proposal, epoch: Mapping[str, Any]) -> bool:
        self._advise(proposal)
        values = values_of(self._ranked, epoch, self._costs(proposal))
        return self.halving.note(proposal.number, epoch["epoch"], values, float(proposal.cost.macs))

    def _costs(self, proposal: Proposal) -> dict[str, Any]:
        return {**proposal.cost.to_dict(), LATENCY: proposal.latency_ms}

    def end(self, number: int, result: Mapping[str, Any] | None, error: str = "", *, is_memory: bool = False) -> str:
        """Settle a job that is over.

        Args:
            number: Of its trial.
            result: The last that was reported, or None.
            error: Why its process broke, or nothing.
            is_memory: Whether it broke for want of memory.

        Returns:
            The trial's state; "paused" and "retried" where it is not over, nothing if the search was interrupted.
        """
        running = self.running.get(number)
        if running is None:
            return ""
        if result is not None and not running.is_pausing:
            self.note_epoch(number, result)
        state = self._settle(running, result, error, is_memory=is_memory)
        del self.running[number]  # only now: what could not be written is still running
        self._give_up_if_hopeless()
        return state

    def cut_short(self, number: int, reason: str) -> None:
        """End the search for something that no trial is to blame for; what is not settled is left to be taken up."""
        self.running.pop(number, None)
        self.interrupted = reason

    def _settle(self, running: Running, result: Mapping[str, Any] | None, error: str, *, is_memory: bool) -> str:
        number = running.proposal.number
        if error:
            return self._try_again(running, error, is_memory=is_memory)
        failure = (result or {}).get(FAILURE, "")
        if failure:
            return self._fail(number, failure)
        if running.epoch == self.levels[-1].end and result is not None:
            quality = json.loads(result[QUALITY])
            self.record.set(number, QUALITY, quality)
            self.record.set(number, VERSIONS, json.loads(result[VERSIONS]))
            values = values_of(self._objectives, running.last, self._costs(running.proposal))
            self.complete.append((number, values))
            self._finished[number] = running.proposal.curve
            self._advise(running.proposal, is_complete=True)
            self.record.show(number, None)
            return self._tell(number, "complete", values=values)
        if any(level.end == running.epoch for level in self.levels[:-1]) and result is not None:
            self._wait(running.proposal)
            return "paused"
        return ""  # the search was interrupted

    def why_retried(self, number: int) -> str:
        """Return why a trial's process broke the last time, or nothing."""
        attempts = self._attempts.get(number, [])
        return str(attempts[-1]["reason"]) if attempts else ""

    def _try_again(self, running: Running, error: str, *, is_memory: bool) -> str:
        """Have a trial whose process broke taken up from its checkpoint, so often at one epoch as is allowed."""
        number = running.proposal.number
        attempts = self._attempts.setdefault(number, [])
        attempts.append({"epoch": running.epoch, "reason": error, "is_memory": is_memory})
        here = sum(attempt["epoch"] == running.epoch for attempt in attempts)
        if here > self.space.settings.retries:
            again = f" (tried {here} times)" if here > 1 else ""
            return self._fail(number, f"{error}{again}")
        self.record.set(number, ATTEMPTS, attempts)
        self._to_take_up.append(replace(running.proposal, is_alone=is_memory or running.proposal.is_alone))
        return "retried"

    def _fail(self, number: int, reason: str) -> str:
        self._num_failed += 1
        self.record.show(number, None)
        self.advisor.forget(number)
        self.record.set(number, FAILURE, reason)
        return self._tell(number, "failed", reason)

    def _tell(self, number: int, state: str, reason: str = "", *, values: tuple[float, ...] | None = None) -> str:
        self.record.tell(number, TrialState.COMPLETE if state == "complete" else TrialState.FAIL, values)
        self.states[state] += 1
        if reason:
            self.reasons[number] = reason
        return state

    def _give_up_if_hopeless(self) -> None:
        failed = self.states["failed"]
        in_hand = self.running or self.waiting or self._to_take_up
        if self._num_failed >= MAX_FAILED_AT_FIRST and failed == self.num_ended and not in_hand:
            self.hopeless = self.hopeless or f"the first {failed} trials all failed"
