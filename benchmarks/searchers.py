"""Search methods on the tabular benchmark: grid, random search, NSGA-II, Ray's TPE with ASHA, and ours."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np
import optuna
from optuna.samplers import NSGAIISampler
from optuna.trial import Trial, TrialState
from ray.tune.schedulers import AsyncHyperBandScheduler
from ray.tune.schedulers import TrialScheduler as RayTrialScheduler
from ray.tune.search.optuna import OptunaSearch

from benchmarks.curves import EPOCHS
from benchmarks.replay import Job, Table, actor_result, key_of, space_of
from search.config.trial_config import ARCHITECTURE
from search.optimizer.scheduler import TrialScheduler
from search.optimizer.successive_halving import Rung, SuccessiveHalving
from search.space.feasibility import FeasibilitySurvey
from search.space.priced_space import PricedSpace
from search.space.ranges import all_values

NUM_CLIPS = 691  # training clips of the table's curves
DIRECTIONS: list[Literal["maximize", "minimize"]] = ["maximize", "minimize"]
MAX_PROPOSALS = 2_000  # consecutive proposals without a training, after which a search ends
POPULATION = 16  # of NSGA-II: with its default of 50 the budget hardly allows a second generation

Make = Callable[[Table, int], Any]


class FixedOrder:
    """Trains configurations to the end, in an order that no result changes."""

    def __init__(self, rows: Iterable[int]) -> None:
        self._rows = iter(rows)

    def propose(self) -> Job | None:
        """Return the next configuration."""
        row = next(self._rows, None)
        return None if row is None else Job(row, row)

    def report(self, job: Job, epoch: int) -> bool:  # noqa: ARG002 - of `Method`
        """Never stop early."""
        return False

    def completed(self) -> None:
        """Report the fully trained configurations."""


class Grid(FixedOrder):
    """Grid search with full training; a point over the budget costs no epochs.

    The order of a grid is arbitrary, so the seed shuffles its architectures, its axes and the values of each axis.
    """

    def __init__(self, table: Table, seed: int) -> None:
        space = space_of(seed)
        rng = np.random.default_rng(seed)
        rows: list[int] = []
        for name in rng.permutation(list(space.subspaces)).tolist():
            ranges = space.subspaces[name].ranges
            axes = rng.permutation(list(ranges)).tolist()
            values = {axis: rng.permutation(np.array(all_values(ranges[axis]), object)).tolist() for axis in axes}
            sizes = [len(values[axis]) for axis in axes]
            for indices in np.ndindex(*sizes):
                point = {axis: values[axis][index] for axis, index in zip(axes, indices, strict=True)}
                rows.append(table.row_of[key_of({ARCHITECTURE: name, **point})])
        super().__init__([row for row in rows if table.fits[row]])


class ShuffledGrid(FixedOrder):
    """Grid search with all points shuffled."""

    def __init__(self, table: Table, seed: int) -> None:
        super().__init__(np.random.default_rng(seed).permutation(np.flatnonzero(table.fits)).tolist())


class RandomSearch(FixedOrder):
    """Random search: samples an architecture, then its parameters; repeats and points over the budget are skipped."""

    def __init__(self, table: Table, seed: int) -> None:
        space = space_of(seed)
        rng = np.random.default_rng(seed)
        rows: dict[int, None] = {}
        names = list(space.subspaces)
        for _ in range(20 * len(table.points)):
            name = names[rng.integers(len(names))]
            point = {ARCHITECTURE: name}
            for axis, distribution in space.subspaces[name].ranges.items():
                values = all_values(distribution)
                point[axis] = values[rng.integers(len(values))]
            row = table.row_of[key_of(point)]
            if table.fits[row]:
                rows[row] = None
        super().__init__(rows)


class NSGA2:
    """Optuna's NSGA-II; proposals over the budget are pruned at once, repeated ones reuse the known values."""

    def __init__(self, table: Table, seed: int, population: int = POPULATION) -> None:
        self._table, self._space = table, space_of(seed)
        sampler = NSGAIISampler(population_size=population, seed=seed)
        self._study = optuna.create_study(directions=DIRECTIONS, sampler=sampler)
        self._values: dict[int, tuple[float, float]] = {}
        self._training: set[int] = set()

    def propose(self) -> Job | None:
        """Return the next proposal that fits the budget and is new."""
        for _ in range(MAX_PROPOSALS):
            trial = self._study.ask()
            row = self._table.row_of[key_of(self._space.suggest(trial))]
            if row in self._values:
                self._study.tell(trial, self._values[row])
            elif not self._table.fits[row] or row in self._training:
                self._study.tell(trial, state=TrialState.PRUNED)
            else:
                self._training.add(row)
                return Job(trial, row)
        return None

    def report(self, job: Job, epoch: int) -> bool:
        """Never stop early."""
        if epoch == EPOCHS:
            values = float(self._table.accuracy[job.row, -1]), float(self._table.macs[job.row])
            self._values[job.row] = values
            self._study.tell(job.trial, values)
        return False

    def completed(self) -> None:
        """Report the fully trained configurations."""


class RayTune:
    """Ray's `OptunaSearch` (Optuna's TPE) and Ray's ASHA on accuracy, used as documented.

    A trial over the budget reports an accuracy of 0, costs no epochs and is not passed to ASHA. A repeated proposal is
    trained again, and a stopped trial is completed with its last accuracy.
    """

    def __init__(self, table: Table, seed: int) -> None:
        self._table = table
        space = space_of(seed)

        def define_by_run(trial: Trial) -> None:
            space.suggest(trial)

        self._searcher = OptunaSearch(define_by_run, metric=["macro_accuracy", "macs"], mode=["max", "min"], seed=seed)
        self._scheduler = AsyncHyperBandScheduler(
            metric="macro_accuracy", mode="max", max_t=EPOCHS, grace_period=1, reduction_factor=3
        )
        self._completed: list[tuple[float, float]] = []
        self._count = 0

    def propose(self) -> Job | None:
        """Suggest trials until one fits the budget."""
        for _ in range(MAX_PROPOSALS):
            self._count += 1
            trial_id = str(self._count)
            values = self._searcher.suggest(trial_id)
            assert isinstance(values, dict)
            row = self._table.row_of[key_of(values)]
            if self._table.fits[row]:
                trial = SimpleNamespace(trial_id=trial_id)
                self._scheduler.on_trial_add(None, trial)  # type: ignore[arg-type] # ASHA reads only the id
                return Job(trial, row)
            self._searcher.on_trial_complete(
                trial_id, {"macro_accuracy": 0.0, "macs": int(self._table.macs[row]), "training_iteration": 1}
            )
        return None

    def report(self, job: Job, epoch: int) -> bool:
        """Report the epoch to the scheduler, and the end of the trial to the searcher."""
        accuracy, macs = float(self._table.accuracy[job.row, epoch - 1]), float(self._table.macs[job.row])
        result = {"macro_accuracy": accuracy, "macs": macs, "training_iteration": epoch}
        if epoch == EPOCHS:
            self._scheduler.on_trial_complete(None, job.trial, result)  # type: ignore[arg-type] # as above
        else:
            decision = self._scheduler.on_trial_result(None, job.trial, result)  # type: ignore[arg-type] # as above
            if decision != RayTrialScheduler.STOP:
                return False
        self._searcher.on_trial_complete(job.trial.trial_id, result)
        self._completed.append((accuracy, macs))
        return True

    def completed(self) -> list[tuple[float, float]]:
        """Return the last accuracy of every trial, also of stopped ones: the searcher has all of them as complete."""
        return self._completed


@dataclass(frozen=True)
class Variant:
    """Variant of our search.

    Attributes:
        description: How it differs from the default.
        settings: Search settings that differ from the default.
        change: Applied to the trial scheduler before its first proposal.
    """

    description: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    change: Callable[[TrialScheduler], None] | None = None


class Ours:
    """Our search: the trial scheduler of a variant, on the table's space."""

    def __init__(self, table: Table, seed: int, variant: Variant, surveys: Mapping[str, FeasibilitySurvey]) -> None:
        self._table = table
        space = PricedSpace.of(space_of(seed, **variant.settings), surveys, NUM_CLIPS)
        study = optuna.create_study(directions=DIRECTIONS)
        self.scheduler = TrialScheduler(study, space)
        if variant.change is not None:
            variant.change(self.scheduler)

    def propose(self) -> Job | None:
        """Return the next job of the scheduler."""
        row = self.scheduler.propose()
        return None if row is None else Job(row.number, self._table.row_of_config(row.config), row.num_epochs)

    def report(self, job: Job, epoch: int) -> bool:
        """Report the epoch to the scheduler."""
        result = actor_result(self._table, job.row, epoch)
        stops = self.scheduler.report(job.trial, result) or epoch == EPOCHS
        if stops:
            self.scheduler.end(job.trial, result)
        return stops

    def completed(self) -> list[tuple[float, float]]:
        """Return the complete trials of the scheduler."""
        return [(row.values[0], row.values[1]) for row in self.scheduler.table.completed]


BASELINES: dict[str, Make] = {
    "grid": Grid,
    "grid, shuffled": ShuffledGrid,
    "random": RandomSearch,
    "NSGA-II": NSGA2,
    "TPE + ASHA (Ray)": RayTune,
}
DEFAULT_VARIANT = "ours"


def rungs(*ends: int, factors: tuple[int, int]) -> Callable[[TrialScheduler], None]:
    """Return a change of the epochs of the rungs and of their reduction factors."""

    def change(scheduler: TrialScheduler) -> None:
        settings = scheduler.space.settings
        found = tuple(Rung(settings.split, 0, end) for end in (*ends, settings.epochs))
        scheduler.rungs = scheduler.acquisition._rungs = found
        objectives, num_classes = scheduler.halving.objectives, scheduler.space.num_classes
        scheduler.halving = SuccessiveHalving(scheduler.table, found, objectives, num_classes, *factors)

    return change


def _cost_exponent(exponent: float) -> Callable[[TrialScheduler], None]:
    """Return a change of the acquisition function's cost exponent."""

    def change(scheduler: TrialScheduler) -> None:
        scheduler.acquisition.cost_exponent = exponent

    return change


def _sampler_interval(interval: int) -> Callable[[TrialScheduler], None]:
    """Return a change of how often the sampler proposes."""

    def change(scheduler: TrialScheduler) -> None:
        scheduler.generator.sampler_interval = interval

    return change


def _surrogate(*, ranks: bool, proposes: bool) -> Callable[[TrialScheduler], None]:
    """Return a change of what the surrogate is used for."""

    def change(scheduler: TrialScheduler) -> None:
        scheduler.ranks_by_prediction, scheduler.proposes_by_acquisition = ranks, proposes

    return change


NEVER = 10**9
VARIANTS: dict[str, Variant] = {
    DEFAULT_VARIANT: Variant(
        "the default: rungs at a ninth of the epochs, with reduction factor 3, and at a third, with 2; trials are "
        "ranked by the surrogate, and 5 of 6 proposals are the acquisition function's, with cost exponent 0.1",
    ),
    "TPE, no surrogate": Variant("TPE proposes, trials are ranked by their metrics at the rung", {"surrogate": False}),
    "TPE, no early stopping": Variant(
        "TPE proposes, all trials are fully trained", {"surrogate": False, "early_stopping": False}
    ),
    "ranks only": Variant(
        "TPE proposes, trials are ranked by the surrogate", change=_surrogate(ranks=True, proposes=False)
    ),
    "proposes only": Variant(
        "the acquisition function proposes, trials are ranked by their metrics at the rung",
        change=_surrogate(ranks=False, proposes=True),
    ),
    "no early stopping": Variant(
        "the acquisition function proposes, all trials are fully trained", {"early_stopping": False}
    ),
    "acquisition only": Variant(
        "all proposals are the acquisition function's, once the surrogate is fitted", change=_sampler_interval(NEVER)
    ),
    "sampler every fourth": Variant("every fourth proposal is the sampler's", change=_sampler_interval(4)),
    "sampler every second": Variant("every second proposal is the sampler's", change=_sampler_interval(2)),
    "reduction factor 2": Variant(
        "rungs at 1 and 3 epochs, reduction factor 2 at both", change=rungs(1, 3, factors=(2, 2))
    ),
    "one rung": Variant("one rung, at 3 epochs, reduction factor 3", change=rungs(3, factors=(3, 3))),
    "later rung": Variant("one rung, at 4 epochs, reduction factor 2", change=rungs(4, factors=(2, 2))),
    "two later rungs": Variant(
        "rungs at 2 and 4 epochs, reduction factor 2 at both", change=rungs(2, 4, factors=(2, 2))
    ),
    "cost exponent 0": Variant("the expected improvement is not divided by the cost", change=_cost_exponent(0.0)),
    "cost exponent 1/3": Variant(
        "the expected improvement is divided by the cube root of the MACs", change=_cost_exponent(1 / 3)
    ),
    "Sobol design": Variant("the initial design has one Sobol point per architecture", {"sobol": 1}),
}
