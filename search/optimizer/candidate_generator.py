"""Candidate generator: proposes configurations until one fits the budget, and records the rejected ones.

In this order: the initial design (published, downscaled, warm starts), the Sobol design, then the acquisition function
and, every sixth time, Optuna's sampler. After ten consecutive rejections the last proposal is projected to the feasible
set. A proposal depends on the settings and the study's trials alone: a search that was killed and resumed proposes the
same configurations as one that was not.
"""

import hashlib
import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from random import Random
from typing import Any

import numpy as np
from optuna.trial import FrozenTrial, Trial

from objectives.front import non_dominated_rank
from search.config.errors import ConfigError
from search.config.settings import SearchSettings
from search.config.trial_config import ARCHITECTURE
from search.optimizer.acquisition import Acquisition
from search.optimizer.trial_store import TrialStore
from search.optimizer.trial_table import TrialRow, TrialTable
from search.optimizer.warm_start import WarmStart, project_start
from search.space.priced_space import PricedSpace
from search.space.pricing import price, require_prunable
from search.space.ranges import draw
from search.space.sobol import sobol_points
from search.space.subspace import Subspace
from search.study.history import num_trials_before_extension
from search.study.study import CONFIG, COST, ORIGIN, REJECTED, WARM_STARTS

MAX_REJECTIONS = 10  # consecutive rejections before the last proposal is projected to the feasible set
MAX_PROJECTIONS = 20  # consecutive rejected projections before the space counts as exhausted
UNIFORM_FRACTION = 0.5  # without a surrogate, fraction of the proposals whose architecture is drawn uniformly
SAMPLER_INTERVAL = 6  # with a surrogate, every sixth proposal is the sampler's
# Every sixth proposal is for the best quality within the budget: in log cost the expensive end of a front is narrow and
# has little volume, but it wins a challenge.
BEST_INTERVAL = 6
MAX_NEIGHBOURS = 100  # feasible networks tried near a proposal, beside those with a trial
NUM_RECIPES_DRAWN = 20  # random recipes tried where every feasible network has a trial with the proposed one

# Kinds of origin of a configuration.
PUBLISHED, DOWNSCALED, WARM_START, SOBOL = "published", "downscaled", "warm start", "sobol"
PROJECTED, ACQUISITION = "projected", "acquisition"


class CandidateGenerator:
    """Proposes configurations, and adds those that fit to the table of trials.

    Attributes:
        rejections: Number of rejections by kind.
        end_reason: Why nothing more can be proposed; "" while something can.
        sampler_interval: With a surrogate, one of this many proposals is the sampler's.
    """

    def __init__(self, space: PricedSpace, store: TrialStore, table: TrialTable, trials: Sequence[FrozenTrial]) -> None:
        """Resume from all trials of a study; `table` holds those with a configuration that was accepted."""
        self.space, self._store, self._table = space, store, table
        self.rejections: Counter[str] = Counter()
        self.end_reason = ""
        self.sampler_interval = SAMPLER_INTERVAL
        self._rejected: list[dict[str, Any]] = []  # values of the consecutive rejections
        self._sobol_drawn: Counter[str] = Counter()  # points of each architecture
        self._sobol_feasible: Counter[str] = Counter()
        num_before_extension = num_trials_before_extension(store.attributes)
        for trial in trials:
            rejected = trial.user_attrs.get(REJECTED)
            if rejected is not None:
                self.rejections[rejected["kind"]] += 1
                if trial.number >= num_before_extension:  # those of another budget do not count
                    self._rejected.append(trial.params)
            elif CONFIG in trial.user_attrs:
                self._rejected = []
            self._count_sobol(trial.user_attrs)
        if isinstance(space.settings, SearchSettings):
            self._enqueue_initial_design(trials)
        else:
            self._enqueue_trainings(trials)

    def _count_sobol(self, attributes: Mapping[str, Any]) -> None:
        origin = attributes.get(ORIGIN, {})
        if origin.get("kind") == SOBOL:
            self._sobol_drawn[origin[ARCHITECTURE]] += 1
            self._sobol_feasible[origin[ARCHITECTURE]] += REJECTED not in attributes

    def _enqueue_initial_design(self, trials: Sequence[FrozenTrial]) -> None:
        """Enqueue the points of the initial design that have no trial yet."""
        origins = [
            trial.user_attrs[ORIGIN]
            for trial in trials
            if ORIGIN in trial.user_attrs and trial.user_attrs.get(REJECTED, {}).get("kind") != "interrupted"
        ]
        proposed = {(origin["kind"], origin[ARCHITECTURE]) for origin in origins if ARCHITECTURE in origin}
        for kind, design in ((PUBLISHED, self.space.published), (DOWNSCALED, self.space.downscaled)):
            for name, (target, values) in design.items():
                if (kind, name) not in proposed:
                    self._enqueue(kind, name, values, self._changes(name, target, values))
        places = {origin["place"] for origin in origins if origin["kind"] == WARM_START}
        for place, recorded in enumerate(self._store.attributes.get(WARM_STARTS, [])):
            start = WarmStart(**recorded)
            name = start.config[ARCHITECTURE]
            if place not in places and name in self.space.subspaces:
                projected = project_start(start, self.space)
                self._enqueue(WARM_START, name, projected.values, projected.changes, source=start.source, place=place)

    def _enqueue_trainings(self, trials: Sequence[FrozenTrial]) -> None:
        """Enqueue every training that has no trial yet."""
        recorded = [trial.params for trial in trials if CONFIG in trial.user_attrs]
        for values in self.space.trainings():
            if values not in recorded:
                self._store.enqueue(values)

    def _enqueue(
        self, kind: str, architecture: str, values: Mapping[str, Any], changes: Sequence[str] = (), **more: Any
    ) -> None:
        """Enqueue a configuration with its origin."""
        origin = {"kind": kind, ARCHITECTURE: architecture, "changes": list(changes), **more}
        self._store.enqueue(self.space.params(self.space.subspaces[architecture], values), {ORIGIN: origin})

    def _changes(self, architecture: str, target: Mapping[str, Any], values: Mapping[str, Any]) -> list[str]:
        """Describe what differs between a configuration and its projection."""
        subspace = self.space.subspaces[architecture]
        return [
            f"{subspace.field(name)} {value} -> {values[name]}"
            for name, value in target.items()
            if value != values[name]
        ]

    def propose(self, better: Sequence[str], acquisition: Acquisition | None = None) -> TrialRow | None:
        """Return a new trial that fits, recording the rejected ones before it; None if nothing new is left.

        Args:
            better: Architecture of each trial in the better half of the trained ones: weights of the architectures.
            acquisition: Proposes all but every `sampler_interval`-th configuration; None: the sampler alone.
        """
        while not self.end_reason:
            if not self._store.has_enqueued and not self._enqueue_next(better, acquisition):
                self.end_reason = f"the space holds no feasible configurations but the {len(self._table)} already tried"
                break
            row = self._price(self._store.ask(self._next_seed()))
            if row is not None:
                return row
        return None

    def _next_seed(self) -> int:
        return proposal_seed(self.space.settings.seed, self._store.num_trials)

    def _enqueue_next(self, better: Sequence[str], acquisition: Acquisition | None) -> bool:
        """Enqueue the parameters of the next proposal that the sampler must not choose; False if nothing is left."""
        num_rejected = len(self._rejected)
        if num_rejected >= MAX_PROJECTIONS * MAX_REJECTIONS:
            return False
        if num_rejected and num_rejected % MAX_REJECTIONS == 0:
            return self._enqueue_projection()
        if not self._enqueue_sobol() and not self._enqueue_acquisition(acquisition):
            self._enqueue_architecture(better)
        return True

    def _enqueue_acquisition(self, acquisition: Acquisition | None) -> bool:
        """Enqueue the proposal of the acquisition function; False if it has none, or it is the sampler's turn.

        The sampler explores architectures that the surrogate abandoned after their first trials. It also takes over
        after a rejection: the acquisition function would propose the same invalid configuration again.
        """
        is_samplers_turn = len(self._table) % self.sampler_interval == self.sampler_interval - 1
        if acquisition is None or self._rejected or is_samplers_turn:
            return False
        is_best = len(self._table) % BEST_INTERVAL == BEST_INTERVAL - 2
        proposed = acquisition.propose(self._next_seed(), self._table.numbers, "best" if is_best else "front")
        if proposed is None:
            return False
        self._enqueue(ACQUISITION, *proposed)
        return True

    def _enqueue_sobol(self) -> bool:
        """Enqueue the next Sobol point, of the architecture with the fewest feasible ones; False if the design is done.

        `sobol` feasible points per architecture are wanted; where few are feasible, the design ends early.
        """
        wanted = self.space.settings.sobol
        unfinished = [
            name
            for name in self.space.subspaces
            if self._sobol_feasible[name] < wanted and self._sobol_drawn[name] < wanted * MAX_REJECTIONS
        ]
        if not unfinished:
            return False
        name = min(unfinished, key=lambda each: self._sobol_feasible[each])
        skip = self._sobol_drawn[name]
        [point] = sobol_points(self.space.subspaces[name], 1, self.space.settings.seed, skip=skip)
        self._enqueue(SOBOL, name, point)
        return True

    def _enqueue_architecture(self, better: Sequence[str]) -> None:
        """Draw the architecture of the next trial: uniformly half the time, else by its share of the better half.

        The sampler must not choose it: it would avoid an architecture for its rejections, which cost no training and
        say nothing about the networks that fit. The architecture stays the same until a configuration fits.
        """
        names = list(self.space.subspaces)
        if len(names) == 1:
            return
        random = Random(proposal_seed(self.space.settings.seed, self._store.num_trials - len(self._rejected)))
        known = [name for name in better if name in names]
        is_uniform = not known or random.random() < UNIFORM_FRACTION
        self._store.enqueue({ARCHITECTURE: random.choice(names if is_uniform else known)})

    def _enqueue_projection(self) -> bool:
        """Enqueue the last proposal, projected to the feasible set; False if nothing new is left."""
        last = self._rejected[-1]
        subspace = self.space.subspace(last)
        target = {name: value for name, value in last.items() if name in subspace.ranges}
        target = {**subspace.published({}), **target}  # a trial from before an extension may lack parameters
        others = [each for each in self.space.subspaces.values() if each is not subspace]
        for each in [subspace, *others]:
            wanted = target if each is subspace else each.published({})
            values = self._nearest_new(each, wanted)
            if values is not None:
                self._enqueue(PROJECTED, each.architecture, values, self._changes(each.architecture, wanted, values))
                return True
        return False

    def _nearest_new(self, subspace: Subspace, target: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the feasible configuration nearest to `target` that has no trial yet, at worst with another recipe."""
        for recipe in self._recipes(subspace, target):
            networks = self.space.projections(subspace.architecture, target)
            for network in itertools.islice(networks, MAX_NEIGHBOURS + len(self._table)):
                values = {**target, **recipe, **network}
                with suppress(ConfigError):  # invalid with this recipe
                    if subspace.config(values) not in self._table.numbers:
                        return values
        return None

    def _recipes(self, subspace: Subspace, target: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Yield values of the parameters that change no cost: those of `target`, then random ones."""
        free = {name: each for name, each in subspace.ranges.items() if name not in subspace.cost_ranges}
        yield {name: target[name] for name in free}
        rng = np.random.default_rng(self._next_seed())
        for _ in range(NUM_RECIPES_DRAWN if free else 0):
            yield {name: draw(each, rng) for name, each in free.items()}

    def _price(self, trial: Trial) -> TrialRow | None:
        """Sample and price a configuration; if it may not be trained, record it as rejected and return None."""
        values = self.space.suggest(trial)
        try:
            config = self.space.config(values)
            cost = price(config, self.space.settings.precision)
        except ConfigError as error:
            self._reject_invalid(trial, values, error)
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
            self._reject_invalid(trial, values, error)
            return None
        if config in self._table.numbers:
            self._reject(trial, values, "repeated", f"the same as trial {self._table.numbers[config]}")
            return None
        trial.set_user_attr(CONFIG, config.to_dict())
        row = self._table.add(TrialRow(self._store.create(trial, is_rejected=False), config, cost))
        self._rejected = []
        self._count_sobol(trial.user_attrs)
        return row

    def _reject_invalid(self, trial: Trial, values: dict[str, Any], error: ConfigError) -> None:
        """Reject a configuration that builds no network or no recipe."""
        trial.set_constraint("invalid", 1.0)
        self._reject(trial, values, "invalid", str(error))

    def _reject(self, trial: Trial, values: dict[str, Any], kind: str, reason: str) -> None:
        trial.set_user_attr(REJECTED, {"kind": kind, "reason": reason})
        self._store.create(trial, is_rejected=True)
        self.rejections[kind] += 1
        self._rejected.append(values)
        self._count_sobol(trial.user_attrs)


def better_half(points: Sequence[tuple[str, Sequence[float]]], maximize: Sequence[bool]) -> list[str]:
    """Return the architectures of the better half of some trials, by non-dominated rank.

    Args:
        points: Architecture and objective values of each trial.
        maximize: For each objective, whether more is better.
    """
    if not points:
        return []
    ranks = non_dominated_rank([values for _, values in points], maximize)
    order = sorted(range(len(points)), key=lambda index: int(ranks[index]))
    return [points[index][0] for index in order[: -(-len(points) // 2)]]


def proposal_seed(seed: int, position: int) -> int:
    """Return the seed of the proposal that follows `position` others."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{position}".encode()).digest()[:4], "big")
