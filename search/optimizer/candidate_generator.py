"""Who asks for configurations until one fits: starts first, then the sampler, and what it misses is repaired.

A proposal follows from the settings and from what is in the study's record when it is asked for, and from nothing else:
a search that was killed and taken up again asks for the same configurations as one that was not.
"""

import hashlib
import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np
from optuna.trial import FrozenTrial, Trial

from objectives.cost import Cost
from objectives.front import non_dominated_rank
from search.config.errors import ConfigError
from search.config.settings import SearchSettings
from search.config.trial_config import ARCHITECTURE, TrialConfig
from search.optimizer.acquisition import Acquisition
from search.optimizer.trial_store import TrialStore
from search.optimizer.warm_start import Start, fit_start
from search.space.priced_space import PricedSpace
from search.space.pricing import price, require_prunable
from search.space.ranges import draw
from search.space.sobol import sobol_points
from search.space.subspace import Subspace
from search.study.history import num_before
from search.study.study import CONFIG, COST, ORIGIN, REJECTED, STARTS

PATIENCE = 10  # rejections in a row; then the last proposal is repaired
EVEN_SHARE = 0.5  # of the trials whose architecture is drawn with no regard to what was learned
SAMPLED_EVERY = 6  # where something is expected, one proposal in so many is the sampler's, of any architecture
MAX_LOOKED_AT = 100  # repairs that come to what was handed out already
# Kinds of origin.
PUBLISHED, SMALL, START, SPREAD, REPAIRED, EXPECTED = "published", "small", "start", "sobol", "repaired", "expected"
NUM_REDRAWN = 20  # other ways to train, where every network was handed out with the wanted one
MAX_REPAIRS = 20  # in a row that came to nothing new; then nothing new is left


@dataclass(frozen=True)
class Accepted:
    """A new configuration that fits; it is in the record."""

    number: int
    config: TrialConfig
    cost: Cost


class CandidateGenerator:
    """Asks the record for configurations, and writes down each with its verdict.

    Attributes:
        rejections: How many were rejected for each reason.
        exhausted: Why nothing more can be proposed, or nothing.
        sampled_every: Where something is expected, one proposal in so many is the sampler's.
    """

    def __init__(
        self,
        space: PricedSpace,
        record: TrialStore,
        trials: Sequence[FrozenTrial],
    ) -> None:
        self.space, self.record = space, record
        self.rejections: Counter[str] = Counter()
        self.exhausted = ""
        self.sampled_every = SAMPLED_EVERY
        self._trained: dict[TrialConfig, int] = {}
        self._streak: list[dict[str, Any]] = []  # what was rejected since the last one that was not
        self._spread: Counter[str] = Counter()  # evenly spread proposals of each architecture
        self._spread_and_fitting: Counter[str] = Counter()
        self._extended = num_before(record.attributes)
        for trial in trials:
            self._take_over(trial)
        self._enqueue_starts(trials)

    def _take_over(self, trial: FrozenTrial) -> None:
        rejected = trial.user_attrs.get(REJECTED)
        if rejected is not None:
            self.rejections[rejected["kind"]] += 1
            if trial.number >= self._extended:  # what was asked for before says nothing of what there is now
                self._streak.append(trial.params)
        elif CONFIG in trial.user_attrs:
            self._trained.setdefault(TrialConfig.from_dict(trial.user_attrs[CONFIG]), trial.number)
            self._streak = []
        self._count_spread(trial.user_attrs)

    def _count_spread(self, attributes: Mapping[str, Any]) -> None:
        origin = attributes.get(ORIGIN, {})
        if origin.get("kind") == SPREAD:
            self._spread[origin[ARCHITECTURE]] += 1
            self._spread_and_fitting[origin[ARCHITECTURE]] += REJECTED not in attributes

    def _enqueue_starts(self, trials: Sequence[FrozenTrial]) -> None:
        """Have every architecture's published settings asked for first, those that are not in the record yet."""
        if not isinstance(self.space.settings, SearchSettings):
            self._enqueue_seeds(trials)
            return
        asked = [
            trial.user_attrs[ORIGIN]
            for trial in trials
            if ORIGIN in trial.user_attrs and trial.user_attrs.get(REJECTED, {}).get("kind") != "interrupted"
        ]
        started = {(origin["kind"], origin[ARCHITECTURE]) for origin in asked if ARCHITECTURE in origin}
        for kind, starts in ((PUBLISHED, self.space.published), (SMALL, self.space.downscaled)):
            for name, (wanted, start) in starts.items():
                if (kind, name) not in started:
                    self._enqueue(kind, name, wanted, start)
        self._enqueue_others([origin["place"] for origin in asked if origin["kind"] == START])

    def _enqueue_others(self, asked: Sequence[int]) -> None:
        """Have what else the study begins with asked for, but for the places that are `asked` already."""
        for place, recorded in enumerate(self.record.attributes.get(STARTS, [])):
            start = Start(**recorded)
            name = start.config[ARCHITECTURE]
            if place in asked or name not in self.space.subspaces:
                continue
            fitted = fit_start(start, self.space)
            origin = {
                "kind": START, ARCHITECTURE: name, "changes": list(fitted.changes), "source": start.source,
                "place": place,
            }  # fmt: skip
            self.record.enqueue(self.space.params(self.space.subspaces[name], fitted.values), {ORIGIN: origin})

    def _enqueue_seeds(self, trials: Sequence[FrozenTrial]) -> None:
        """Have every training asked for, in order, those that are not in the record yet."""
        recorded = [trial.params for trial in trials if CONFIG in trial.user_attrs]
        for values in self.space.trainings():
            if values not in recorded:
                self.record.enqueue(values)

    def _enqueue(self, kind: str, architecture: str, wanted: Mapping[str, Any], values: Mapping[str, Any]) -> None:
        """Have `values` asked for next, and record what they were changed from so as to fit."""
        subspace = self.space.subspaces[architecture]
        changes = [
            f"{subspace.field(name)} {value} -> {values[name]}"
            for name, value in wanted.items()
            if value != values[name]
        ]
        origin = {"kind": kind, ARCHITECTURE: architecture, "changes": changes}
        self.record.enqueue(self.space.params(subspace, values), {ORIGIN: origin})

    def numbers(self) -> list[tuple[int, TrialConfig]]:
        """Return the number and the configuration of all that was handed out."""
        return [(number, config) for config, number in self._trained.items()]

    def ask(self, better: Sequence[str], advisor: Acquisition | None = None) -> Accepted | None:
        """Return the next configuration that fits, and record all before it that do not; None if nothing new is left.

        Args:
            better: Architectures of the better half of the trained trials, each as often as it is there.
            advisor: Who may know what is expected to add most; None: the sampler alone.
        """
        while not self.exhausted:
            if not self.record.is_any_waiting and not self._enqueue_next(better, advisor):
                self.exhausted = (
                    f"the space holds no more configurations that fit than the {len(self._trained)} handed out"
                )
                break
            accepted = self._consider(self.record.ask(proposal_seed(self.space.settings.seed, self.record.num_trials)))
            if accepted is not None:
                return accepted
        return None

    def _enqueue_next(self, better: Sequence[str], advisor: Acquisition | None) -> bool:
        """Enqueue what is asked for next, as far as it is not the sampler's to choose; False if nothing new is left."""
        rejected = len(self._streak)
        if rejected >= MAX_REPAIRS * PATIENCE:
            return False
        if rejected and rejected % PATIENCE == 0:
            return self._enqueue_repaired()
        if not self._enqueue_spread() and not self._enqueue_expected(advisor):
            self._enqueue_architecture(better)
        return True

    def _enqueue_expected(self, advisor: Acquisition | None) -> bool:
        """Have asked for what is expected to add most to the front; False where nothing is expected.

        Now and then it is the sampler's turn, so that no architecture is given up for what it began with; and after a
        rejection, lest the same that builds no network is expected again.
        """
        if advisor is None or self._streak or len(self._trained) % self.sampled_every == self.sampled_every - 1:
            return False
        seed = proposal_seed(self.space.settings.seed, self.record.num_trials)
        found = advisor.propose(seed, self._trained)
        if found is None:
            return False
        name, values = found
        origin = {"kind": EXPECTED, ARCHITECTURE: name, "changes": []}
        self.record.enqueue(self.space.params(self.space.subspaces[name], values), {ORIGIN: origin})
        return True

    def _enqueue_spread(self) -> bool:
        """Have the next of the evenly spread points asked for, of the architecture that has the fewest of them.

        As many are wanted as fit, and of each no more than `PATIENCE` points are tried.
        """
        wanted = self.space.settings.sobol
        open_yet = [
            name
            for name in self.space.subspaces
            if self._spread_and_fitting[name] < wanted and self._spread[name] < wanted * PATIENCE
        ]
        if not open_yet:
            return False
        name = min(open_yet, key=lambda each: self._spread_and_fitting[each])
        subspace = self.space.subspaces[name]
        [point] = sobol_points(subspace, 1, self.space.settings.seed, skip=self._spread[name])
        origin = {"kind": SPREAD, ARCHITECTURE: name, "changes": []}
        self.record.enqueue(self.space.params(subspace, point), {ORIGIN: origin})
        return True

    def _enqueue_architecture(self, better: Sequence[str]) -> None:
        """Draw the architecture of the next trial: half the time each as likely, else by its share of the better half.

        Not the sampler's to choose: it would leave an architecture for the proposals of it that were rejected, which
        cost nothing and say nothing of the networks that fit. It stays the same until one fits.
        """
        names = list(self.space.subspaces)
        if len(names) == 1:
            return
        random = Random(proposal_seed(self.space.settings.seed, self.record.num_trials - len(self._streak)))
        known = [name for name in better if name in names]
        even = not known or random.random() < EVEN_SHARE
        self.record.enqueue({ARCHITECTURE: random.choice(names if even else known)})

    def _enqueue_repaired(self) -> bool:
        """Have the last proposal asked for again, changed as little as fits; False if nothing new is left."""
        last = self._streak[-1]
        subspace = self.space.subspace(last)
        wanted = {name: value for name, value in last.items() if name in subspace.ranges}
        wanted = {**subspace.published({}), **wanted}  # a driver of other ranges may have asked for it
        others = [each for each in self.space.subspaces.values() if each is not subspace]
        for each in [subspace, *others]:
            start = wanted if each is subspace else each.published({})
            found = self._first_new(each, start)
            if found is not None:
                self._enqueue(REPAIRED, each.architecture, start, found)
                return True
        return False

    def _first_new(self, subspace: Subspace, wanted: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the configuration nearest to `wanted` that fits and is new; at need, one that is trained otherwise."""
        for training in self._trainings(subspace, wanted):
            nearest = self.space.projections(subspace.architecture, wanted)
            for repaired in itertools.islice(nearest, MAX_LOOKED_AT + len(self._trained)):
                values = {**wanted, **training, **repaired}
                with suppress(ConfigError):  # trained like this, it may be no recipe
                    if subspace.config(values) not in self._trained:
                        return values
        return None

    def _trainings(self, subspace: Subspace, wanted: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Return what decides no cost: as it is wanted, then drawn."""
        free = {name: each for name, each in subspace.ranges.items() if name not in subspace.cost_ranges}
        yield {name: wanted[name] for name in free}
        rng = np.random.default_rng(proposal_seed(self.space.settings.seed, self.record.num_trials))
        for _ in range(NUM_REDRAWN if free else 0):
            yield {name: draw(each, rng) for name, each in free.items()}

    def _consider(self, trial: Trial) -> Accepted | None:
        """Have a configuration sampled and price it; None, and recorded as rejected, if it may not be trained."""
        values = self.space.suggest(trial)
        try:
            config = self.space.config(values)
            cost = price(config, self.space.settings.precision)
        except ConfigError as error:
            self._refuse(trial, values, error)
            return None
        excess = self.space.budget.excess(cost)
        trial.set_user_attr(COST, cost.to_dict())
        for name, value in excess.items():
            trial.set_constraint(name, value)
        worst = max(excess, key=lambda name: excess[name], default="")
        if worst and excess[worst] > 0:
            self._reject(trial, values, f"over {worst}", self.space.budget.over_budget_message(cost))
            return None
        try:
            require_prunable(config)
        except ConfigError as error:
            self._refuse(trial, values, error)
            return None
        if config in self._trained:
            self._reject(trial, values, "repeated", f"the same as trial {self._trained[config]}")
            return None
        trial.set_user_attr(CONFIG, config.to_dict())
        number = self.record.keep(trial, is_rejected=False)
        self._trained[config] = number
        self._streak = []
        self._count_spread(trial.user_attrs)
        return Accepted(number, config, cost)

    def _refuse(self, trial: Trial, values: dict[str, Any], error: ConfigError) -> None:
        """Reject what builds no network or no recipe."""
        trial.set_constraint("invalid", 1.0)
        self._reject(trial, values, "invalid", str(error))

    def _reject(self, trial: Trial, values: dict[str, Any], kind: str, reason: str) -> None:
        trial.set_user_attr(REJECTED, {"kind": kind, "reason": reason})
        self.record.keep(trial, is_rejected=True)
        self.rejections[kind] += 1
        self._streak.append(values)
        self._count_spread(trial.user_attrs)


def better_half(points: Sequence[tuple[str, Sequence[float]]], maximize: Sequence[bool]) -> list[str]:
    """Return the architectures of the better half of some trials, by non-dominated rank.

    Args:
        points: Architecture and values of each trial.
        maximize: For each value, whether more is better.
    """
    if not points:
        return []
    ranks = non_dominated_rank([values for _, values in points], maximize)
    order = sorted(range(len(points)), key=lambda index: int(ranks[index]))
    return [points[index][0] for index in order[: -(-len(points) // 2)]]


def proposal_seed(seed: int, position: int) -> int:
    """Return the seed of the proposal that follows `position` others."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{position}".encode()).digest()[:4], "big")
