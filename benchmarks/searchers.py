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
from benchmarks.replay import Job, Table, key_of, space_of, told
from search.config.trial_config import ARCHITECTURE
from search.optimizer.acquisition import Acquisition
from search.optimizer.scheduler import TrialScheduler
from search.optimizer.successive_halving import Rung, SuccessiveHalving
from search.space.feasibility import FeasibilitySurvey
from search.space.priced_space import PricedSpace
from search.space.ranges import all_values

NUM_CLIPS = 691  # that the table's curves were trained on
DIRECTIONS: list[Literal["maximize", "minimize"]] = ["maximize", "minimize"]
MAX_ASKED = 2_000  # in a row that led to no training: then the search is over
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
    """Optuna's NSGA-II, asked again for what does not fit; what it repeats is told again, and costs nothing."""

    def __init__(self, table: Table, seed: int, population: int = POPULATION) -> None:
        self._table, self._plan = table, space_of(seed)
        sampler = NSGAIISampler(population_size=population, seed=seed)
        self._study = optuna.create_study(directions=DIRECTIONS, sampler=sampler)
        self._known: dict[int, tuple[float, float]] = {}
        self._training: set[int] = set()

    def propose(self) -> Job | None:
        """Ask until something fits that was not trained yet."""
        for _ in range(MAX_ASKED):
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
    shown it. What is proposed twice is trained twice, and a stopped trial is told as it stands.
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
        for _ in range(MAX_ASKED):
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
        """Have the scheduler judge, and tell the searcher what ended."""
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
        change: Done to the ledger before it is first asked.
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
        self.ledger = TrialScheduler(study, space)
        if design.change is not None:
            design.change(self.ledger)

    def propose(self) -> Job | None:
        """Ask the ledger."""
        proposal = self.ledger.propose()
        if proposal is None:
            return None
        return Job(proposal.number, self._table.row_of_config(proposal.config), len(proposal.curve))

    def note(self, job: Job, epoch: int) -> bool:
        """Tell the ledger."""
        result = told(self._table, job.row, epoch)
        ends = bool(self.ledger.note_epoch(job.token, result)) or epoch == EPOCHS
        if ends:
            self.ledger.end(job.token, result)
        return ends

    def claimed(self) -> list[tuple[float, float]]:
        """Claim what the ledger has as complete."""
        return [(values[0], values[1]) for _, values in self.ledger.complete]


OTHERS: dict[str, Make] = {
    "grid": Grid,
    "grid, shuffled": ShuffledGrid,
    "random": Random,
    "NSGA-II": Nsga,
    "TPE + ASHA (Ray)": RayTune,
}
SHIPPED = "ours"


def _levels(*ends: int, one_in: int) -> Callable[[TrialScheduler], None]:
    """Have trials judged after other epochs."""

    def change(ledger: TrialScheduler) -> None:
        levels = tuple(Rung(SETTINGS.split, 0, end) for end in (*ends, EPOCHS))
        ledger.levels = levels
        ledger.halving = SuccessiveHalving(levels, ledger.halving.maximize, one_in, one_in)
        ledger.advisor = Acquisition(ledger.space, levels)

    return change


def _hasty(power: float) -> Callable[[TrialScheduler], None]:
    """Have what is small preferred more or less."""

    def change(ledger: TrialScheduler) -> None:
        ledger.advisor.cost_exponent = power

    return change


def _sampled(every: int) -> Callable[[TrialScheduler], None]:
    """Have the sampler asked more or less often."""

    def change(ledger: TrialScheduler) -> None:
        ledger.proposer.sampled_every = every

    return change


def _expecting(*, ranks: bool, proposes: bool) -> Callable[[TrialScheduler], None]:
    """Have the surrogate do a part alone."""

    def change(ledger: TrialScheduler) -> None:
        ledger.ranks_expected, ledger.proposes_expected = ranks, proposes

    return change


NEVER = 10**9
DESIGNS: dict[str, Design] = {
    SHIPPED: Design(
        "as it is shipped: judged after a ninth of the epochs, where one in three goes on, and after a third, where "
        "one in two does; the surrogate ranks, and proposes 5 of 6, what is small a little before what is large",
    ),
    "TPE, no surrogate": Design("TPE proposes, and trials are ranked by what they reached", {"surrogate": False}),
    "TPE, nobody stopped": Design("the same without early stopping", {"surrogate": False, "early_stopping": False}),
    "ranks only": Design("TPE proposes, the surrogate ranks", change=_expecting(ranks=True, proposes=False)),
    "proposes only": Design(
        "the surrogate proposes, trials are ranked by what they reached", change=_expecting(ranks=False, proposes=True)
    ),
    "nobody stopped": Design("the surrogate proposes, everything is trained to the end", {"early_stopping": False}),
    "surrogate always": Design("the sampler is never asked once something is expected", change=_sampled(NEVER)),
    "every fourth": Design("the sampler is asked every fourth time", change=_sampled(4)),
    "every second": Design("the sampler is asked every second time", change=_sampled(2)),
    "one in two": Design("half of the trials go on, each time", change=_levels(1, 3, one_in=2)),
    "one rung": Design("judged after a third alone, one in three goes on", change=_levels(3, one_in=3)),
    "later rung": Design("judged after 4 epochs alone, half go on", change=_levels(4, one_in=2)),
    "two later rungs": Design("judged after 2 and 4 epochs, half go on", change=_levels(2, 4, one_in=2)),
    "no haste": Design("what is large is proposed as soon as what is small", change=_hasty(0.0)),
    "more haste": Design("what is promised is divided by the third root of the MACs", change=_hasty(1 / 3)),
    "Sobol start": Design("an evenly spread point of each architecture first", {"sobol": 1}),
}
