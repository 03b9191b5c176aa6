"""The driver's side of a search: asks the study, rejects what does not fit, writes down what comes back.

Knows nothing of Ray. Every change is in the study's database before anybody else hears of it, so the driver can be
killed at any moment and another takes over from the database alone.
"""

import itertools
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import optuna
from optuna.trial import FrozenTrial, Trial, TrialState

from objectives.budget import OverBudgetError
from objectives.cost import Cost
from objectives.front import non_dominated_rank
from search.branch import Branch
from search.early_stopping import FrontHalving
from search.plan import SEED, Plan
from search.pricing import Survey, price, require_prunable
from search.record import Record
from search.repair import repairs
from search.sampler import ARCHITECTURE, make_sampler
from search.study import (
    CONFIG,
    COST,
    EPOCH,
    FAILURE,
    ORIGIN,
    QUALITY,
    REJECTED,
    STOPPED,
    VERSIONS,
    learning_curve,
)
from search.trial_config import TrialConfig

PATIENCE = 10  # rejections in a row; then the last proposal is repaired
EVEN_SHARE = 0.5  # of the trials whose architecture is drawn with no regard to what was learned
MAX_LOOKED_AT = 100  # repairs that come to what was handed out already
MAX_REPAIRS = 20  # in a row that came to nothing new; then nothing new is left


@dataclass(frozen=True)
class Proposal:
    """A configuration that fits, to be trained."""

    number: int
    config: TrialConfig
    cost: Cost
    curve: tuple[Mapping[str, Any], ...] = ()  # epochs that an earlier driver recorded


@dataclass
class Running:
    """A trial in training."""

    proposal: Proposal
    epoch: int
    accuracy: float
    stop_reason: str = ""


@dataclass
class Ledger:
    """Asks and tells.

    Attributes:
        study: The record.
        plan: What is searched.
        surveys: Which networks of each architecture fit.
        num_clips: To train on.
        running: Trials handed out, by number.
        states: How many trials ended in each state.
        rejections: How many were rejected for each reason.
        complete: Number and values (macro accuracy, cost) of every fully trained trial.
        reasons: Why a trial ended before its time, by number.
    """

    study: optuna.Study
    plan: Plan
    surveys: Mapping[str, Survey]
    num_clips: int
    running: dict[int, Running] = field(default_factory=dict)
    states: Counter[str] = field(default_factory=Counter)
    rejections: Counter[str] = field(default_factory=Counter)
    complete: list[tuple[int, tuple[float, float]]] = field(default_factory=list)
    reasons: dict[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Take over what the study holds already."""
        settings = self.plan.settings
        self.halving = FrontHalving(settings.epochs)
        self._interrupted: list[Proposal] = []
        self._trained: dict[TrialConfig, int] = {}
        self.exhausted = ""  # why nothing more can be proposed
        trials = self.study.get_trials(deepcopy=False)
        self._random = Random(settings.seed + len(trials))
        self._last: dict[str, Any] = {}  # what was sampled last
        # a sampler that started from the same seed again would ask for the same configurations again
        self.record = Record(self.study, make_sampler(settings.seed + len(trials)))
        for trial in trials:
            self._take_over(trial)
        self._enqueue_starts(trials)

    def _enqueue_starts(self, trials: Sequence[FrozenTrial]) -> None:
        """Have every architecture's published settings asked for first, those that are not in the record yet."""
        if self.plan.settings.train:
            self._enqueue_seeds(trials)
            return
        started = {
            trial.user_attrs[ORIGIN].get(ARCHITECTURE)
            for trial in trials
            if ORIGIN in trial.user_attrs and CONFIG in trial.user_attrs
        }
        for name, (wanted, start) in self.plan.starts(self.surveys, self.num_clips).items():
            if name not in started:
                self._enqueue("published", name, wanted, start)

    def _enqueue_seeds(self, trials: Sequence[FrozenTrial]) -> None:
        """Have every seed asked for, in order, those that are not in the record yet."""
        recorded = {trial.params.get(SEED) for trial in trials if CONFIG in trial.user_attrs}
        for seed in self.plan.settings.seeds:
            if seed not in recorded:
                self.record.enqueue({SEED: seed})

    def _enqueue(self, kind: str, architecture: str, wanted: Mapping[str, Any], values: Mapping[str, Any]) -> None:
        """Have `values` asked for next, and record what they were changed from so as to fit."""
        branch = self.plan.branches[architecture]
        changes = [
            f"{branch.field(name)} {value} -> {values[name]}" for name, value in wanted.items() if value != values[name]
        ]
        origin = {"kind": kind, ARCHITECTURE: architecture, "changes": changes}
        self.record.enqueue(self.plan.named(branch, values), {ORIGIN: origin})

    def _take_over(self, trial: FrozenTrial) -> None:
        if trial.state == TrialState.WAITING:
            return
        rejected = trial.user_attrs.get(REJECTED)
        if rejected is not None:
            if trial.state == TrialState.RUNNING:  # killed between the reason and the verdict
                self.record.tell(trial.number, TrialState.PRUNED)
            self.rejections[rejected["kind"]] += 1
            return
        if CONFIG not in trial.user_attrs:
            if trial.state == TrialState.RUNNING:  # killed before it was priced: nothing is lost with it
                why = {"kind": "interrupted", "reason": "the search was killed before this was priced"}
                self.record.set(trial.number, REJECTED, why)
                self.record.tell(trial.number, TrialState.PRUNED)
                self.rejections["interrupted"] += 1
            return
        self._take_over_trained(trial)

    def _take_over_trained(self, trial: FrozenTrial) -> None:
        config = TrialConfig.from_dict(trial.user_attrs[CONFIG])
        self._trained[config] = trial.number
        cost = price(config, self.plan.settings.precision)
        curve = learning_curve(trial)
        for epoch in curve:
            self.halving.note(trial.number, epoch["epoch"], epoch["macro_accuracy"], self._second(cost))
        if trial.state == TrialState.RUNNING:
            if STOPPED in trial.user_attrs:
                self._tell(trial.number, "stopped")
            elif FAILURE in trial.user_attrs:
                self._tell(trial.number, "failed")
            else:
                self._interrupted.append(Proposal(trial.number, config, cost, tuple(curve)))
        elif trial.state == TrialState.COMPLETE:
            self.states["complete"] += 1
            self.complete.append((trial.number, (trial.values[0], trial.values[1])))
        else:
            self.states["stopped" if trial.state == TrialState.PRUNED else "failed"] += 1
            self.reasons[trial.number] = str(trial.user_attrs.get(STOPPED) or trial.user_attrs.get(FAILURE))

    @property
    def epochs_in_hand(self) -> int:
        """Epochs of the trials that are running or to be taken up."""
        return sum(trial.epoch for trial in list(self.running.values())) + sum(
            len(proposal.curve) for proposal in list(self._interrupted)
        )

    @property
    def num_ended(self) -> int:
        """Trials that were trained, to the end or not."""
        return sum(self.states.values())

    @property
    def num_left(self) -> int:
        """Trials to hand out, the interrupted ones included."""
        return self.plan.settings.trials - self.num_ended - len(self.running)

    def propose(self) -> Proposal | None:
        """Give the next configuration to train, rejecting all before it that do not fit; None when all are out."""
        if self.num_left <= 0:
            return None
        proposal = self._interrupted.pop(0) if self._interrupted else self._ask()
        if proposal is None:
            return None
        last = proposal.curve[-1] if proposal.curve else {"epoch": 0, "macro_accuracy": 0.0}
        self.running[proposal.number] = Running(proposal, int(last["epoch"]), last["macro_accuracy"])
        return proposal

    def _ask(self) -> Proposal | None:
        architecture = self._choose_architecture()
        for rejected in range(MAX_REPAIRS * PATIENCE):
            if rejected and rejected % PATIENCE == 0:
                if not self._enqueue_repaired():
                    break
            elif len(self.plan.branches) > 1 and not self.record.is_any_waiting:
                self.record.enqueue({ARCHITECTURE: architecture})
            proposal = self._consider(self.record.ask())
            if proposal is not None:
                return proposal
        self.exhausted = f"the space holds no more configurations that fit than the {len(self._trained)} handed out"
        return None

    def _choose_architecture(self) -> str:
        """Draw the architecture of the next trial: half the time each as likely, else by its share of the better half.

        Not the sampler's to choose: it would leave an architecture for the proposals of it that were rejected, which
        cost nothing and say nothing of the networks that fit.
        """
        names = list(self.plan.branches)
        better: list[str] = []
        if self.complete:
            ranks = non_dominated_rank([values for _, values in self.complete], [True, False])
            order = sorted(range(len(ranks)), key=lambda index: int(ranks[index]))[: -(-len(ranks) // 2)]
            architectures = {number: config.architecture for config, number in self._trained.items()}
            known = [architectures[self.complete[index][0]] for index in order]
            better = [name for name in known if name in names]
        even = not better or self._random.random() < EVEN_SHARE
        return self._random.choice(names if even else better)

    def _enqueue_repaired(self) -> bool:
        """Have the last proposal asked for again, changed as little as fits; False if nothing new is left."""
        branch = self.plan.branch(self._last)
        wanted = {name: value for name, value in self._last.items() if name != ARCHITECTURE}
        others = [each for each in self.plan.branches.values() if each is not branch]
        for each in [branch, *others]:
            start = wanted if each is branch else each.published({})
            found = self._first_new(each, start)
            if found is not None:
                self._enqueue("repaired", each.architecture, start, found)
                return True
        return False

    def _first_new(self, branch: Branch, wanted: Mapping[str, Any]) -> dict[str, Any] | None:
        """Give the configuration nearest to `wanted` that fits; where only networks vary, one not handed out yet."""
        networks_alone = len(branch.cost_ranges) == len(branch.ranges)
        settings = self.plan.settings
        nearest = repairs(self.surveys[branch.architecture], self.plan.budget, settings.precision, wanted)
        for repaired in itertools.islice(nearest, MAX_LOOKED_AT + len(self._trained)):
            values = {**wanted, **repaired}
            if not networks_alone or branch.config(values) not in self._trained:
                return values
        return None

    def _consider(self, trial: Trial) -> Proposal | None:
        """Have a configuration sampled and price it; None, and recorded as rejected, if it may not be trained."""
        self._last = self.plan.suggest(trial)
        try:
            config = self.plan.config(self._last)
            cost = price(config, self.plan.settings.precision)
        except ValueError as error:
            self._refuse(trial, error)
            return None
        excess = self.plan.budget.excess(cost)
        trial.set_user_attr(COST, _cost_record(cost))
        for name, value in excess.items():
            trial.set_constraint(name, value)
        worst = max(excess, key=lambda name: excess[name], default="")
        if worst and excess[worst] > 0:
            self._reject(trial, f"over {worst}", str(OverBudgetError(cost, self.plan.budget)))
            return None
        try:
            require_prunable(config)
        except ValueError as error:
            self._refuse(trial, error)
            return None
        if config in self._trained:
            self._reject(trial, "repeated", f"the same as trial {self._trained[config]}")
            return None
        trial.set_user_attr(CONFIG, config.to_dict())
        number = self.record.keep(trial, is_rejected=False)
        self._trained[config] = number
        return Proposal(number, config, cost)

    def _refuse(self, trial: Trial, error: ValueError) -> None:
        """Reject what builds no network or no recipe."""
        trial.set_constraint("invalid", 1.0)
        self._reject(trial, "invalid", str(error))

    def _reject(self, trial: Trial, kind: str, reason: str) -> None:
        trial.set_user_attr(REJECTED, {"kind": kind, "reason": reason})
        self.record.keep(trial, is_rejected=True)
        self.rejections[kind] += 1

    def note_epoch(self, number: int, result: Mapping[str, Any]) -> str:
        """Record a finished epoch; return why the trial should stop, or nothing."""
        running = self.running[number]
        second = self._second(running.proposal.cost)
        # an actor that took up a checkpoint gives all epochs in it: the last may have been lost on its way here
        for epoch in json.loads(result["epochs"]):
            if epoch["epoch"] > running.epoch:
                self.record.set(number, f"{EPOCH}{epoch['epoch']}", epoch)
                running.epoch, running.accuracy = epoch["epoch"], epoch["macro_accuracy"]
                reason = self.halving.verdict(number, running.epoch, running.accuracy, second)
                if self.plan.settings.early_stopping and not running.stop_reason:
                    running.stop_reason = reason
        if running.epoch >= running.proposal.config.recipe.epochs:
            running.stop_reason = ""  # trained to the end before anybody could stop it
        return running.stop_reason

    def end(self, number: int, result: Mapping[str, Any] | None, error: str = "") -> str:
        """Settle a trial whose training is over; return its state, or nothing if it is to go on another time."""
        running = self.running.get(number)
        if running is None:
            return ""
        if result is not None and not running.stop_reason:
            self.note_epoch(number, result)
        state = self._settle(running, result, error or (result or {}).get(FAILURE, ""))
        del self.running[number]  # only now: what could not be written is still running
        return state

    def _settle(self, running: Running, result: Mapping[str, Any] | None, failure: str) -> str:
        number = running.proposal.number
        if failure:
            self.record.set(number, FAILURE, failure)
            self.reasons[number] = failure
            return self._tell(number, "failed")
        if running.stop_reason:
            self.record.set(number, STOPPED, running.stop_reason)
            self.reasons[number] = running.stop_reason
            return self._tell(number, "stopped")
        if result is None or running.epoch < running.proposal.config.recipe.epochs:
            return ""  # the search was interrupted
        quality = json.loads(result[QUALITY])
        self.record.set(number, QUALITY, quality)
        self.record.set(number, VERSIONS, json.loads(result[VERSIONS]))
        return self._tell(number, "complete", (quality["macro_accuracy"], self._second(running.proposal.cost)))

    def _tell(self, number: int, state: str, values: tuple[float, float] | None = None) -> str:
        told = {"complete": TrialState.COMPLETE, "stopped": TrialState.PRUNED, "failed": TrialState.FAIL}[state]
        self.record.tell(number, told, values)
        self.states[state] += 1
        if values is not None:
            self.complete.append((number, values))
        return state

    def _second(self, cost: Cost) -> float:
        return float(getattr(cost, self.plan.settings.cost))


def _cost_record(cost: Cost) -> dict[str, Any]:
    return {
        "macs": cost.macs,
        "params": cost.params,
        "stored_values": cost.stored_values,
        "nonzero_values": cost.nonzero_values,
        "peak_bytes": cost.peak_bytes,
        "size_bytes": cost.size_bytes,
        "precision": cost.precision,
    }
