"""Search methods on the sample of learning curves: random search, Optuna's samplers, ASHA, and ours with variants.

All but `Ours` without an initial design begin with the same configurations. What a sampler proposes becomes the nearest
configuration of the sample that was not proposed before, of the same architecture while there is one, and the sampler
is told of that one.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import optuna
from optuna.distributions import CategoricalDistribution
from optuna.samplers import BaseSampler, GPSampler, NSGAIISampler, TPESampler
from optuna.trial import TrialState, create_trial

from benchmarks.pool import EPOCHS, NUM_CLASSES, NUM_CLIPS, space
from benchmarks.pool_replay import Training, row_of_config
from benchmarks.replay import Job
from benchmarks.searchers import FixedOrder, rungs
from search.config.trial_config import ARCHITECTURE
from search.optimizer.candidates import Candidate
from search.optimizer.scheduler import TrialScheduler
from search.optimizer.trial_table import State
from search.space.priced_space import PricedSpace
from search.space.pricing import price
from search.space.ranges import normalize

CHANCE = 1 / NUM_CLASSES


class Shuffled(FixedOrder):
    """Random search without replacement, fully trained: on a sample the same as a shuffled grid or a Sobol sequence."""

    def __init__(self, training: Training, seed: int) -> None:
        pool = training.pool
        order = np.random.default_rng(seed).permutation(len(pool.points)).tolist()
        super().__init__([*pool.initial, *(row for row in order if row not in pool.initial)])


class Sampler:
    """One of Optuna's samplers, with accuracy and MACs as objectives, and ASHA with one or two rungs or none.

    ASHA ranks by the number of trials that dominate one in accuracy and MACs at a rung, and stops what is not in the
    better half; a stopped trial is told with its last accuracy.
    """

    def __init__(self, training: Training, sampler: BaseSampler, rungs: Sequence[int] = ()) -> None:
        self._training, self._pool, self._rungs = training, training.pool, tuple(rungs)
        self._study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
        self._initial = [*training.pool.initial]
        self._new = set(range(len(self._pool.points)))
        self._coordinates = [_coordinates(point) for point in self._pool.points]
        self._recorded: dict[int, list[tuple[float, float]]] = {rung: [] for rung in self._rungs}

    def propose(self) -> Job | None:
        """Return the configuration of the sample that is nearest to the sampler's proposal."""
        if not self._new:
            return None
        row = self._initial.pop(0) if self._initial else self._nearest(self._ask())
        self._new.remove(row)
        return Job(row, row)

    def _ask(self) -> dict[str, Any]:
        trial = self._study.ask()
        values = space().suggest(trial)
        self._study.tell(trial, state=TrialState.FAIL)  # the trial that counts is added once it is trained
        return values

    def _nearest(self, values: Mapping[str, Any]) -> int:
        asked = _coordinates(values)
        same = [row for row in self._new if self._pool.points[row][ARCHITECTURE] == values[ARCHITECTURE]]

        def distance(row: int) -> float:
            own = self._coordinates[row]
            return float(np.mean([(own[name] - asked[name]) ** 2 for name in own.keys() & asked.keys()]))

        return min(sorted(same or self._new), key=distance)

    def report(self, job: Job, epoch: int) -> bool:
        """Report a trial that is over to the sampler."""
        accuracy = self._training.metric(job.row, epoch)
        is_over = epoch == EPOCHS or not np.isfinite(accuracy)
        if not is_over and epoch in self._recorded:
            self._recorded[epoch].append((accuracy, float(self._pool.macs[job.row])))
            is_over = not _is_promoted(self._recorded[epoch])
        if is_over:
            self._add(job.row, accuracy if np.isfinite(accuracy) else CHANCE)
        return is_over

    def _add(self, row: int, accuracy: float) -> None:
        point = dict(self._pool.points[row])
        subspace = space().subspaces[point[ARCHITECTURE]]
        distributions = {ARCHITECTURE: CategoricalDistribution(list(space().subspaces)), **subspace.ranges}
        self._study.add_trial(
            create_trial(params=point, distributions=distributions, values=[accuracy, float(self._pool.macs[row])])
        )

    def completed(self) -> None:
        """Report the fully trained configurations."""


def _is_promoted(recorded: Sequence[tuple[float, float]]) -> bool:
    """Whether the last of the recorded is among the better half, by the number of others that dominate it."""
    counts = [sum(_dominates(other, one) for other in recorded) for one in recorded]
    return sum(count < counts[-1] for count in counts) < -(-len(recorded) // 2)


def _dominates(other: tuple[float, float], one: tuple[float, float]) -> bool:
    return other != one and other[0] >= one[0] and other[1] <= one[1]


def _coordinates(values: Mapping[str, Any]) -> dict[str, float]:
    """Return the normalized coordinates of a configuration's parameters; of a choice its index over their number."""
    subspace = space().subspaces[str(values[ARCHITECTURE])]
    return {
        name: normalize(distribution, values[name]) / (len(getattr(distribution, "choices", "a")) or 1)
        for name, distribution in subspace.ranges.items()
    }


@dataclass(frozen=True)
class Variant:
    """Variant of our search on the sample.

    Attributes:
        description: How it differs from the default.
        settings: Search settings that differ.
        change: Applied to the trial scheduler before its first proposal.
        has_initial_design: Whether it begins with the published and downscaled networks.
    """

    description: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    change: Callable[[TrialScheduler], None] | None = None
    has_initial_design: bool = True


class Ours:
    """Our search: the trial scheduler of a variant, whose candidates are the sample's configurations."""

    def __init__(self, training: Training, seed: int, variant: Variant) -> None:
        self._training, self._pool, self._seed = training, training.pool, seed
        whole = space()
        settings = replace(whole.settings, seed=seed, **variant.settings)
        own = PricedSpace.of(replace(whole, settings=settings), whole.surveys, NUM_CLIPS)
        self.scheduler = TrialScheduler(optuna.create_study(directions=["maximize", "minimize"]), own)
        self._rows = row_of_config(training.pool)
        self._candidates = self._all_candidates()
        acquisition, generator = self.scheduler.acquisition, self.scheduler.generator
        acquisition.candidates = lambda architecture, rng: iter(self._candidates[architecture])  # type: ignore[method-assign] # of the sample # noqa: ARG005
        generator._enqueue_architecture = self._enqueue_random  # type: ignore[method-assign] # of the sample
        if not variant.has_initial_design:
            self.scheduler.store._queue.clear()
        if variant.change is not None:
            variant.change(self.scheduler)

    def _all_candidates(self) -> dict[str, list[Candidate]]:
        found: dict[str, list[Candidate]] = {name: [] for name in space().subspaces}
        for point, config in zip(self._pool.points, self._pool.configs, strict=True):
            values = {name: value for name, value in point.items() if name != ARCHITECTURE}
            seeded = self.scheduler.space.config(point)
            found[config.architecture].append(Candidate(config.architecture, values, seeded, price(config, "fp16")))
        return found

    def _enqueue_random(self, better: Sequence[str]) -> None:  # noqa: ARG002 - of the generator
        """Enqueue a random new configuration of an architecture drawn uniformly, in place of the sampler's."""
        rng = np.random.default_rng([self._seed, len(self.scheduler.table)])
        known = self.scheduler.table.numbers
        left = {name: [each for each in own if each.config not in known] for name, own in self._candidates.items()}
        names = [name for name, own in left.items() if own]
        if names:
            own = left[names[rng.integers(len(names))]]
            chosen = own[rng.integers(len(own))]
            self.scheduler.store.enqueue({ARCHITECTURE: chosen.architecture, **chosen.values})

    def propose(self) -> Job | None:
        """Return the next job of the scheduler."""
        if len(self.scheduler.table) >= len(self._pool.points) and not self.scheduler.table.in_state(State.PAUSED):
            return None
        row = self.scheduler.propose()
        if row is None:
            return None
        config = replace(row.config, recipe=replace(row.config.recipe, seed=0))
        return Job(row.number, self._rows[config], row.num_epochs)

    def report(self, job: Job, epoch: int) -> bool:
        """Report the epoch to the scheduler."""
        result = self._training.result(job.row, epoch)
        is_failed = "failure" in result
        stops = is_failed or self.scheduler.report(job.trial, result) or epoch == EPOCHS
        if stops:
            self.scheduler.end(job.trial, result)
        return stops

    def completed(self) -> None:
        """Report the fully trained configurations."""


Make = Callable[[Training, int], Any]
PEERS: dict[str, Make] = {
    "random (shuffled)": Shuffled,
    "NSGA-II": lambda training, seed: Sampler(training, NSGAIISampler(population_size=16, seed=seed)),
    "TPE": lambda training, seed: Sampler(training, TPESampler(seed=seed)),
    "TPE + ASHA, two rungs": lambda training, seed: Sampler(training, TPESampler(seed=seed), (2, 5)),
    "TPE + ASHA, one rung": lambda training, seed: Sampler(training, TPESampler(seed=seed), (5,)),
    "GPSampler": lambda training, seed: Sampler(training, GPSampler(seed=seed)),
}
VARIANTS = {
    "ours": Variant("the default"),
    "ours, no early stopping": Variant("all trials are fully trained", {"early_stopping": False}),
    "ours, no initial design": Variant("begins with random configurations", has_initial_design=False),
    "ours, rungs 5": Variant("one rung, at 5 epochs", change=rungs(5, factors=(2, 2))),
    "ours, rungs 5, 11": Variant("rungs at 5 and 11 epochs", change=rungs(5, 11, factors=(2, 2))),
    "ours, rung 11": Variant("one rung, at 11 epochs", change=rungs(11, factors=(2, 2))),
}
