"""Ways to search, for a replay: a grid, random draws, NSGA-II, TPE with ASHA as Ray has them, and ours."""

from collections.abc import Callable, Mapping
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

from benchmarks.curves import EPOCHS, SETTINGS
from benchmarks.replay import Job, Table, key_of, reported, space_of
from search.config.trial_config import ARCHITECTURE
from search.optimizer.acquisition import Acquisition
from search.optimizer.scheduler import TrialScheduler
from search.optimizer.successive_halving import Rung, SuccessiveHalving
from search.space.feasibility import FeasibilitySurvey
from search.space.priced_space import PricedSpace
from search.space.ranges import all_values

NUM_CLIPS = 691  # that the table's curves were trained on
DIRECTIONS: list[Literal["maximize", "minimize"]] = ["maximize", "minimize"]
MAX_PROPOSALS = 2_000  # in a row that led to no training: then the search is over
POPULATION = 16  # of NSGA-II: its default of 50 would hardly see a second generation

Make = Callable[[Table, int], Any]


class Grid:
    """Every point of the grid in its order, to the end: what does not fit scores 0, and costs no epochs.

    The grid's order is anybody's choice, so the seed draws which axis moves fastest and where each begins.
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
            for index in np.ndindex(*sizes):
                point = {axis: values[axis][at] for axis, at in zip(axes, index, strict=True)}
                rows.append(table.row_of[key_of({ARCHITECTURE: name, **point})])
        self._rows = iter([row for row in rows if table.fits[row]])

    def propose(self) -> Job | None:
        """Return the next point that fits."""
        row = next(self._rows, None)
        return None if row is None else Job(row, row)

    def note(self, job: Job, epoch: int) -> bool:  # noqa: ARG002 - of a method
        """Train everything to the end."""
        return False

    def claimed(self) -> None:
        """Claim what was trained to the end."""


class ShuffledGrid(Grid):
    """Every point of the grid to the end, in an order that the seed draws."""

    def __init__(self, table: Table, seed: int) -> None:
        self._rows = iter(np.random.default_rng(seed).permutation(np.flatnonzero(table.fits)).tolist())


class Random(Grid):
    """Draws the architecture, then every value of it, and draws again what does not fit or was drawn before."""

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
        self._rows = iter(rows)


class Nsga:
    """Optuna's NSGA-II, asked again while a proposal does not fit; a repeated one is told again, and costs nothing."""

    def __init__(self, table: Table, seed: int, population: int = POPULATION) -> None:
        self._table, self._plan = table, space_of(seed)
        sampler = NSGAIISampler(population_size=population, seed=seed)
        self._study = optuna.create_study(directions=DIRECTIONS, sampler=sampler)
        self._known: dict[int, tuple[float, float]] = {}
        self._training: set[int] = set()

    def propose(self) -> Job | None:
        """Return the next proposal that fits and was not trained yet."""
        for _ in range(MAX_PROPOSALS):
            trial = self._study.ask()
            row = self._table.row_of[key_of(self._plan.suggest(trial))]
            if row in self._known:
                self._study.tell(trial, self._known[row])
            elif not self._table.fits[row] or row in self._training:
                self._study.tell(trial, state=TrialState.PRUNED)
            else:
                self._training.add(row)
                return Job(trial, row)
        return None

    def note(self, job: Job, epoch: int) -> bool:
        """Train everything to the end."""
        if epoch == EPOCHS:
            values = float(self._table.accuracy[job.row, -1]), float(self._table.macs[job.row])
            self._known[job.row] = values
            self._study.tell(job.token, values)
        return False

    def claimed(self) -> None:
        """Claim what was trained to the end."""


class RayTune:
    """Ray's `OptunaSearch` with Optuna's TPE, and Ray's ASHA by accuracy: as anybody has them who uses both.

    What does not fit is found out in the trial, which then reports an accuracy of 0 and costs no epochs; ASHA is not
    shown it. What is proposed twice is trained twice, and a stopped trial is told with its last value.
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
        self._claimed: list[tuple[float, float]] = []
        self._count = 0

    def propose(self) -> Job | None:
        """Start trials until one fits."""
        for _ in range(MAX_PROPOSALS):
            self._count += 1
            name = str(self._count)
            values = self._searcher.suggest(name)
            assert isinstance(values, dict)
            row = self._table.row_of[key_of(values)]
            if self._table.fits[row]:
                trial = SimpleNamespace(trial_id=name)
                self._scheduler.on_trial_add(None, trial)  # type: ignore[arg-type] # it looks at neither
                return Job(trial, row)
            self._searcher.on_trial_complete(
                name, {"macro_accuracy": 0.0, "macs": int(self._table.macs[row]), "training_iteration": 1}
            )
        return None

    def note(self, job: Job, epoch: int) -> bool:
        """Report to the scheduler, and tell the searcher what ended."""
        accuracy, macs = float(self._table.accuracy[job.row, epoch - 1]), float(self._table.macs[job.row])
        result = {"macro_accuracy": accuracy, "macs": macs, "training_iteration": epoch}
        if epoch == EPOCHS:
            self._scheduler.on_trial_complete(None, job.token, result)  # type: ignore[arg-type] # as above
        elif self._scheduler.on_trial_result(None, job.token, result) != RayTrialScheduler.STOP:  # type: ignore[arg-type]
            return False
        self._searcher.on_trial_complete(job.token.trial_id, result)
        self._claimed.append((accuracy, macs))
        return True

    def claimed(self) -> list[tuple[float, float]]:
        """Claim the last value of every trial: the searcher is told all as complete."""
        return self._claimed


@dataclass(frozen=True)
class Design:
    """A design of ours.

    Attributes:
        why: What is different, in words.
        settings: Of the search, in place of the default.
        change: Applied to the trial scheduler before its first proposal.
    """

    why: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    change: Callable[[TrialScheduler], None] | None = None


class Ours:
    """The search itself: its scheduler, on the table's space."""

    def __init__(self, table: Table, seed: int, design: Design, surveys: Mapping[str, FeasibilitySurvey]) -> None:
        self._table = table
        space = PricedSpace.of(space_of(seed, **design.settings), surveys, NUM_CLIPS)
        study = optuna.create_study(directions=DIRECTIONS)
        self.scheduler = TrialScheduler(study, space)
        if design.change is not None:
            design.change(self.scheduler)

    def propose(self) -> Job | None:
        """Return the next job of the scheduler."""
        row = self.scheduler.propose()
        return None if row is None else Job(row.number, self._table.row_of_config(row.config), row.num_epochs)

    def note(self, job: Job, epoch: int) -> bool:
        """Report the epoch to the scheduler."""
        result = reported(self._table, job.row, epoch)
        ends = self.scheduler.report(job.token, result) or epoch == EPOCHS
        if ends:
            self.scheduler.end(job.token, result)
        return ends

    def claimed(self) -> list[tuple[float, float]]:
        """Claim what the scheduler has as complete."""
        return [(row.values[0], row.values[1]) for row in self.scheduler.table.completed]


OTHERS: dict[str, Make] = {
    "grid": Grid,
    "grid, shuffled": ShuffledGrid,
    "random": Random,
    "NSGA-II": Nsga,
    "TPE + ASHA (Ray)": RayTune,
}
SHIPPED = "ours"


def _rungs(*ends: int, reduction_factor: int) -> Callable[[TrialScheduler], None]:
    """Put the rungs after other epochs."""

    def change(scheduler: TrialScheduler) -> None:
        rungs = tuple(Rung(SETTINGS.split, 0, end) for end in (*ends, EPOCHS))
        scheduler.rungs = rungs
        objectives = scheduler.halving.objectives
        scheduler.halving = SuccessiveHalving(scheduler.table, rungs, objectives, reduction_factor, reduction_factor)
        scheduler.acquisition = Acquisition(scheduler.space, scheduler.table, rungs)

    return change


def _cost_exponent(exponent: float) -> Callable[[TrialScheduler], None]:
    """Prefer small networks more or less."""

    def change(scheduler: TrialScheduler) -> None:
        scheduler.acquisition.cost_exponent = exponent

    return change


def _sampler_interval(interval: int) -> Callable[[TrialScheduler], None]:
    """Return a change of how often the sampler proposes."""

    def change(scheduler: TrialScheduler) -> None:
        scheduler.generator.sampler_interval = interval

    return change


def _surrogate(*, ranks: bool, proposes: bool) -> Callable[[TrialScheduler], None]:
    """Use the surrogate for one of its two purposes alone."""

    def change(scheduler: TrialScheduler) -> None:
        scheduler.ranks_by_prediction, scheduler.proposes_by_acquisition = ranks, proposes

    return change


NEVER = 10**9
DESIGNS: dict[str, Design] = {
    SHIPPED: Design(
        "the default: rungs after a ninth of the epochs, with a reduction factor of 3, and after a third, with 2; the "
        "surrogate ranks, and 5 of 6 proposals are the acquisition function's, with a cost exponent of 0.1",
    ),
    "TPE, no surrogate": Design("TPE proposes, and trials are ranked by what they reached", {"surrogate": False}),
    "TPE, no early stopping": Design("the same without early stopping", {"surrogate": False, "early_stopping": False}),
    "ranks only": Design("TPE proposes, the surrogate ranks", change=_surrogate(ranks=True, proposes=False)),
    "proposes only": Design(
        "the acquisition function proposes, trials are ranked by what they reached",
        change=_surrogate(ranks=False, proposes=True),
    ),
    "no early stopping": Design(
        "the acquisition function proposes, everything is trained to the end", {"early_stopping": False}
    ),
    "acquisition only": Design("the sampler has no turn once there is a surrogate", change=_sampler_interval(NEVER)),
    "sampler every fourth": Design("every fourth proposal is the sampler's", change=_sampler_interval(4)),
    "sampler every second": Design("every second proposal is the sampler's", change=_sampler_interval(2)),
    "reduction factor 2": Design(
        "half of the trials are promoted at each rung", change=_rungs(1, 3, reduction_factor=2)
    ),
    "one rung": Design("a rung after a third alone, reduction factor 3", change=_rungs(3, reduction_factor=3)),
    "later rung": Design("a rung after 4 epochs alone, reduction factor 2", change=_rungs(4, reduction_factor=2)),
    "two later rungs": Design(
        "rungs after 2 and 4 epochs, reduction factor 2", change=_rungs(2, 4, reduction_factor=2)
    ),
    "cost exponent 0": Design("large networks are proposed as soon as small ones", change=_cost_exponent(0.0)),
    "cost exponent 1/3": Design(
        "the improvement is divided by the third root of the MACs", change=_cost_exponent(1 / 3)
    ),
    "Sobol design": Design("a point of the Sobol design of each architecture first", {"sobol": 1}),
}
