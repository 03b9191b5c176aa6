"""Epochs that a search needs to a hypervolume, against grid and random search, NSGA-II, and Ray's TPE with ASHA.

Every method runs with the same seeds on a tabular benchmark of real learning curves (benchmarks/curves.parquet, written
by `python -m benchmarks.curves`). `python -m benchmarks.search_efficiency` writes results/search_efficiency.md and its
plot, with all variants of our search.
"""

import itertools
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path

import click
import numpy as np
import numpy.typing as npt
import optuna
from matplotlib.figure import Figure
from optuna.exceptions import ExperimentalWarning

from benchmarks.curves import EPOCHS, TABLE
from benchmarks.measurement import Measurement
from benchmarks.replay import Method, Table, Trace, read_table, replay, space_of
from benchmarks.searchers import BASELINES, DEFAULT_VARIANT, VARIANTS, Ours
from data.device import num_cores
from search.space.feasibility import FeasibilitySurvey
from search.space.priced_space import price_space

BUDGET = 400  # epochs
SEEDS = 20
GOAL, AIM = 1 / 2, 1 / 3
QUANTILES = (0.1, 0.5, 0.9)
RESULTS = Path("results/search_efficiency.md")
PLOT = Path("docs/search_efficiency.png")


@dataclass(frozen=True, eq=False)
class Runs:
    """Runs of one method, one per seed.

    Attributes:
        hypervolume: (seeds, budget), of the fully trained configurations, as a fraction of the whole table's.
        reported: (seeds, budget), of the trials that the method reports as complete.
        num_trained: (seeds,), fully trained configurations.
        num_started: (seeds,), configurations of which at least one epoch was trained.
        num_partial: (seeds,), points on the reported front that are not fully trained.
    """

    hypervolume: npt.NDArray[np.float64]
    reported: npt.NDArray[np.float64]
    num_trained: npt.NDArray[np.int64]
    num_started: npt.NDArray[np.int64]
    num_partial: npt.NDArray[np.int64]

    @classmethod
    def of(cls, traces: Sequence[Trace], max_hypervolume: float) -> "Runs":
        """Return the runs of several seeds, with their hypervolumes divided by that of the table."""
        return cls(
            np.stack([trace.hypervolume for trace in traces]) / max_hypervolume,
            np.stack([trace.reported for trace in traces]) / max_hypervolume,
            np.array([trace.num_trained for trace in traces]),
            np.array([trace.num_started for trace in traces]),
            np.array([trace.num_partial for trace in traces]),
        )

    @property
    def final(self) -> float:
        """Final hypervolume, median over the seeds: trained or reported, whichever is larger."""
        return float(max(np.median(self.hypervolume[:, -1]), np.median(self.reported[:, -1])))

    def epochs_to(self, target: float) -> npt.NDArray[np.float64]:
        """Return each seed's epochs to a hypervolume of fully trained configurations; infinity if it is not reached."""
        reached = self.hypervolume >= target - 1e-12
        return np.where(reached.any(axis=1), reached.argmax(axis=1) + 1.0, np.inf)


@lru_cache(maxsize=1)
def _table(path: Path) -> Table:
    return read_table(path)


@lru_cache(maxsize=1)
def _surveys() -> Mapping[str, FeasibilitySurvey]:
    return price_space(space_of(0)).surveys


def make(name: str, table: Table, seed: int) -> Method:
    """Return a method of `BASELINES`, or a variant of our search."""
    if name in BASELINES:
        method: Method = BASELINES[name](table, seed)
        return method
    return Ours(table, seed, VARIANTS[name], _surveys())


def run(path: Path, name: str, seed: int, budget: int, *, macs_as_time: bool) -> Trace:
    """Run one method with one seed."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    logging.getLogger("ray").setLevel(logging.ERROR)
    warnings.simplefilter("ignore", ExperimentalWarning)
    table = _table(path)
    return replay(make(name, table, seed), table, budget, macs_as_time=macs_as_time)


def compare(
    names: Sequence[str], seeds: int, budget: int, path: Path = TABLE, *, macs_as_time: bool = False
) -> dict[str, Runs]:
    """Run each method with every seed, in one process per core.

    Args:
        names: Methods of `BASELINES` and `VARIANTS`.
        seeds: Number of seeds.
        budget: Epochs per run.
        path: File of the table.
        macs_as_time: Whether an epoch takes time in proportion to the network's MACs.
    """
    max_hypervolume = read_table(path).max_hypervolume
    with ProcessPoolExecutor(num_cores(), mp_context=get_context("spawn")) as pool:
        futures = {
            (name, seed): pool.submit(run, path, name, seed, budget, macs_as_time=macs_as_time)
            for name, seed in itertools.product(names, range(seeds))
        }
        return {
            name: Runs.of([futures[name, seed].result() for seed in range(seeds)], max_hypervolume) for name in names
        }


def best_baseline(runs: Mapping[str, Runs]) -> str:
    """Return the method of `BASELINES` with the largest final hypervolume."""
    return max((name for name in runs if name in BASELINES), key=lambda name: runs[name].final)


def measure() -> Iterator[Measurement]:
    """Run all baselines and the default of our search."""
    runs = compare([*BASELINES, DEFAULT_VARIANT], SEEDS, BUDGET)
    best, ours = best_baseline(runs), runs[DEFAULT_VARIANT]
    epochs = float(np.quantile(ours.epochs_to(runs[best].final), 0.5, method="inverted_cdf"))
    measured = {"epochs": min(epochs, 10 * BUDGET), "budget_epochs": BUDGET, "seeds": SEEDS}
    measured |= {f"{name}, final hypervolume": method.final for name, method in runs.items()}
    measured["partially trained points of ours"] = int(ours.num_partial.sum())
    name = f"epochs to the final hypervolume of {best}"
    yield Measurement(name, measured["epochs"] / BUDGET, "budgets", GOAL, False, measured, aim=AIM)


def page(runs: Mapping[str, Runs], with_macs_as_time: Mapping[str, Runs], introduction: str) -> str:
    """Return the results page."""
    best = best_baseline(runs)
    lines = [
        "# Epochs to a front",
        "",
        introduction,
        "",
        "| method | final hypervolume: 10 %, median, 90 % | of reported front | partial points | trained | started |",
        "|---|---|---|---|---|---|",
    ]
    for name, method in runs.items():
        if name in BASELINES or name == DEFAULT_VARIANT:
            low, middle, high = np.quantile(method.hypervolume[:, -1], QUANTILES)
            lines.append(
                f"| {name} | {low:.1%}, {middle:.1%}, {high:.1%} | {np.median(method.reported[:, -1]):.1%} | "
                f"{method.num_partial.mean():.1f} | {method.num_trained.mean():.0f} | {method.num_started.mean():.0f} |"
            )
    lines += [
        "",
        f"The best baseline is {best}, with {runs[best].final:.1%}. Epochs to as much, of fully trained networks:",
        "",
        "| method | 10 % | median | 90 % of the seeds | median, of the budget | with epoch time proportional to MACs |",
        "|---|---|---|---|---|---|",
    ]
    for name, method in runs.items():
        low, middle, high = np.quantile(method.epochs_to(runs[best].final), QUANTILES, method="inverted_cdf")
        last = _fraction_of_budget(with_macs_as_time, name) if name in with_macs_as_time else ""
        fraction = middle / method.hypervolume.shape[1]
        lines.append(
            f"| {name} | {_epochs(low)} | {_epochs(middle)} | {_epochs(high)} | {_fraction(fraction)} | {last} |"
        )
    lines += ["", "Variants of our search:", ""]
    lines += [f"- **{name}**: {VARIANTS[name].description}" for name in runs if name in VARIANTS]
    return "\n".join(lines) + "\n"


def _fraction_of_budget(runs: Mapping[str, Runs], name: str) -> str:
    """Return the median epochs of a method to the best baseline's final hypervolume, as a fraction of the budget."""
    epochs = runs[name].epochs_to(runs[best_baseline(runs)].final)
    return _fraction(np.quantile(epochs, 0.5, method="inverted_cdf") / runs[name].hypervolume.shape[1])


def _epochs(number: float) -> str:
    return "never" if np.isinf(number) else f"{number:.0f}"


def _fraction(number: float) -> str:
    return "never" if np.isinf(number) else f"{number:.2f}"


def plot(runs: Mapping[str, Runs], path: Path) -> None:
    """Plot the hypervolume over epochs: median and central 80 % of the seeds."""
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    for name, method in runs.items():
        if name not in BASELINES and name != DEFAULT_VARIANT:
            continue
        low, middle, high = np.quantile(method.hypervolume, QUANTILES, axis=0)
        epochs = np.arange(1, len(middle) + 1)
        (line,) = axes.plot(epochs, middle, label=name, linewidth=2.5 if name == DEFAULT_VARIANT else 1.2)
        axes.fill_between(epochs, low, high, color=line.get_color(), alpha=0.12, linewidth=0)
    axes.axhline(runs[best_baseline(runs)].final, color="grey", linestyle=":", linewidth=1)
    axes.set(xlabel="epochs trained", ylabel="hypervolume, share of the whole table's", xlim=(0, None), ylim=(0, 1))
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    figure.savefig(path, dpi=110)


@click.command()
@click.option("--seeds", default=SEEDS, show_default=True, help="Seeds per method.")
@click.option("--budget", default=BUDGET, show_default=True, help="Epochs per run.")
@click.option("--table", type=click.Path(path_type=Path), default=TABLE, show_default=True, help="Learning curves.")
@click.option("--out", type=click.Path(path_type=Path), default=RESULTS, show_default=True)
@click.option("--plot", "plot_path", type=click.Path(path_type=Path), default=PLOT, show_default=True)
@click.argument("variants", nargs=-1, type=click.Choice(list(VARIANTS)), metavar="[VARIANT]...")
def main(seeds: int, budget: int, table: Path, out: Path, plot_path: Path, variants: Sequence[str]) -> None:
    """Run the baselines and VARIANTS of our search, by default all, and write the results page and its plot."""
    known = read_table(table)
    runs = compare([*BASELINES, *(variants or VARIANTS)], seeds, budget, table)
    with_macs_as_time = compare([*BASELINES, DEFAULT_VARIANT], seeds, budget, table, macs_as_time=True)
    introduction = (
        f"Tabular benchmark of real learning curves: {len(known.points)} configurations of "
        f"{len({point['architecture'] for point in known.points})} architectures, of which {known.fits.sum()} fit the "
        f"budget and were trained for {EPOCHS} epochs on scenes; {seeds} seeds per method, {budget} epochs per run, "
        "two parallel trainings. The hypervolume is that of macro accuracy on validation clips, above chance, against "
        "the logarithm of MACs, as a fraction of the whole table's.\n\n"
        "Made by `python -m benchmarks.search_efficiency`."
    )
    out.write_text(page(runs, with_macs_as_time, introduction), encoding="utf-8")
    plot(runs, plot_path)
    click.echo(f"{out}\n{plot_path}")


if __name__ == "__main__":
    main()
