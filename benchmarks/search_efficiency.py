"""How many epochs a search needs to a front, against a grid, random draws, NSGA-II, and TPE with ASHA as Ray has them.

Every method searches a table of real learning curves (benchmarks/curves.parquet; `python -m benchmarks.curves` makes
it) from the same seeds, its epochs read instead of trained. `python -m benchmarks.search_efficiency` writes
results/search_efficiency.md with its picture, with every design of ours that was tried.
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
from matplotlib.figure import Figure as Picture
from optuna.exceptions import ExperimentalWarning

from benchmarks.curves import EPOCHS, TABLE
from benchmarks.figure import Figure
from benchmarks.replay import Method, Table, Trace, read_table, replay, space_of
from benchmarks.searchers import DESIGNS, OTHERS, SHIPPED, Ours
from data.device import num_cores
from search.space.feasibility import FeasibilitySurvey
from search.space.priced_space import price_space

BUDGET = 400  # epochs
SEEDS = 20
GOAL, AIM = 1 / 2, 1 / 3
QUANTILES = (0.1, 0.5, 0.9)
RESULTS = Path("results/search_efficiency.md")
PICTURE = Path("docs/search_efficiency.png")


@dataclass(frozen=True, eq=False)
class Runs:
    """All replays of one method.

    Attributes:
        volumes: (seeds, budget), of what is trained to the end, as a share of the whole table's.
        claimed: (seeds, budget), of what the method would call its front.
        num_trained: (seeds,) configurations trained to the end.
        num_started: (seeds,) configurations of which an epoch was trained.
        num_partial: (seeds,) values on the front that are not of full fidelity.
    """

    volumes: npt.NDArray[np.float64]
    claimed: npt.NDArray[np.float64]
    num_trained: npt.NDArray[np.int64]
    num_started: npt.NDArray[np.int64]
    num_partial: npt.NDArray[np.int64]

    @classmethod
    def of(cls, traces: Sequence[Trace], best: float) -> "Runs":
        """Gather the replays of several seeds."""
        return cls(
            np.stack([each.volumes for each in traces]) / best,
            np.stack([each.claimed for each in traces]) / best,
            np.array([each.num_trained for each in traces]),
            np.array([each.num_started for each in traces]),
            np.array([each.num_partial for each in traces]),
        )

    @property
    def final(self) -> float:
        """Median over the seeds of the final hypervolume, of the more favourable of the two kinds."""
        return float(max(np.median(self.volumes[:, -1]), np.median(self.claimed[:, -1])))

    def epochs_to(self, volume: float) -> npt.NDArray[np.float64]:
        """Return the epochs that each seed took until fully trained networks had a hypervolume; infinite for never."""
        reached = self.volumes >= volume - 1e-12
        return np.where(reached.any(axis=1), reached.argmax(axis=1) + 1.0, np.inf)


@lru_cache(maxsize=1)
def _table(path: Path) -> Table:
    return read_table(path)


@lru_cache(maxsize=1)
def _surveys() -> Mapping[str, FeasibilitySurvey]:
    return price_space(space_of(0)).surveys


def make(name: str, table: Table, seed: int) -> Method:
    """Make a method: one of `OTHERS`, or a design of ours."""
    if name in OTHERS:
        method: Method = OTHERS[name](table, seed)
        return method
    return Ours(table, seed, DESIGNS[name], _surveys())


def one(path: Path, name: str, seed: int, budget: int, *, costly: bool) -> Trace:
    """Replay one method from one seed."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    logging.getLogger("ray").setLevel(logging.ERROR)
    warnings.simplefilter("ignore", ExperimentalWarning)
    table = _table(path)
    return replay(make(name, table, seed), table, budget, costly=costly)


def compare(
    names: Sequence[str], seeds: int, budget: int, path: Path = TABLE, *, costly: bool = False
) -> dict[str, Runs]:
    """Replay each method from every seed, on every core.

    Args:
        names: Of `OTHERS` and `DESIGNS`.
        seeds: How many.
        budget: Epochs of each.
        path: Of the table.
        costly: Whether an epoch takes a time in proportion to the network's MACs.
    """
    best = read_table(path).best
    with ProcessPoolExecutor(num_cores(), mp_context=get_context("spawn")) as pool:
        submitted = {
            (name, seed): pool.submit(one, path, name, seed, budget, costly=costly)
            for name, seed in itertools.product(names, range(seeds))
        }
        return {name: Runs.of([submitted[name, seed].result() for seed in range(seeds)], best) for name in names}


def best_other(runs: Mapping[str, Runs]) -> str:
    """Name the method of `OTHERS` with the largest final hypervolume."""
    return max((name for name in runs if name in OTHERS), key=lambda name: runs[name].final)


def figures() -> Iterator[Figure]:
    """Replay all others, and ours as it is."""
    runs = compare([*OTHERS, SHIPPED], SEEDS, BUDGET)
    bar = best_other(runs)
    needed = float(np.quantile(runs[SHIPPED].epochs_to(runs[bar].final), 0.5, method="inverted_cdf"))
    measured = {"epochs": min(needed, 10 * BUDGET), "of_epochs": BUDGET, "seeds": SEEDS}
    measured |= {f"{name}, final share of the table's hypervolume": each.final for name, each in runs.items()}
    measured["partial values on ours"] = int(runs[SHIPPED].num_partial.sum())
    yield Figure(
        f"epochs to what {bar} has in the end", measured["epochs"] / BUDGET, "of them", GOAL, False, measured, aim=AIM
    )


def page(runs: Mapping[str, Runs], costly: Mapping[str, Runs], introduction: str) -> str:
    """Write the tables."""
    bar = best_other(runs)
    lines = [
        "# Epochs to a front",
        "",
        introduction,
        "",
        "| method | hypervolume at the end: 10 %, median, 90 % | of its own front | partial values | trained | begun |",
        "|---|---|---|---|---|---|",
    ]
    for name, each in runs.items():
        if name in OTHERS or name == SHIPPED:
            low, middle, high = np.quantile(each.volumes[:, -1], QUANTILES)
            lines.append(
                f"| {name} | {low:.1%}, {middle:.1%}, {high:.1%} | {np.median(each.claimed[:, -1]):.1%} | "
                f"{each.num_partial.mean():.1f} | {each.num_trained.mean():.0f} | {each.num_started.mean():.0f} |"
            )
    lines += [
        "",
        f"The best of the others is {bar}, with {runs[bar].final:.1%}. Epochs to as much, of what is fully trained:",
        "",
        "| method | 10 % | median | 90 % of the seeds | median, of all epochs | where large networks take longer |",
        "|---|---|---|---|---|---|",
    ]
    for name, each in runs.items():
        low, middle, high = np.quantile(each.epochs_to(runs[bar].final), QUANTILES, method="inverted_cdf")
        other = (
            np.quantile(costly[name].epochs_to(costly[best_other(costly)].final), 0.5, method="inverted_cdf")
            / costly[name].volumes.shape[1]
            if name in costly
            else None
        )
        share = middle / each.volumes.shape[1]
        lines.append(
            f"| {name} | {_epochs(low)} | {_epochs(middle)} | {_epochs(high)} | {_share(share)} | "
            f"{'' if other is None else _share(other)} |"
        )
    lines += ["", "Designs of ours that were tried:", ""]
    lines += [f"- **{name}**: {DESIGNS[name].why}" for name in runs if name in DESIGNS]
    return "\n".join(lines) + "\n"


def _epochs(number: float) -> str:
    return "never" if np.isinf(number) else f"{number:.0f}"


def _share(number: float) -> str:
    return "never" if np.isinf(number) else f"{number:.2f}"


def draw(runs: Mapping[str, Runs], path: Path) -> None:
    """Draw the median hypervolume against epochs, and the middle 80 % of the seeds."""
    picture = Picture(figsize=(8, 5), layout="constrained")
    axes = picture.subplots()
    for name, each in runs.items():
        if name not in OTHERS and name != SHIPPED:
            continue
        low, middle, high = np.quantile(each.volumes, QUANTILES, axis=0)
        epochs = np.arange(1, len(middle) + 1)
        (line,) = axes.plot(epochs, middle, label=name, linewidth=2.5 if name == SHIPPED else 1.2)
        axes.fill_between(epochs, low, high, color=line.get_color(), alpha=0.12, linewidth=0)
    axes.axhline(runs[best_other(runs)].final, color="grey", linestyle=":", linewidth=1)
    axes.set(xlabel="epochs trained", ylabel="hypervolume, share of the whole table's", xlim=(0, None), ylim=(0, 1))
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    picture.savefig(path, dpi=110)


@click.command()
@click.option("--seeds", default=SEEDS, show_default=True, help="Of every method.")
@click.option("--budget", default=BUDGET, show_default=True, help="Epochs of each.")
@click.option("--table", type=click.Path(path_type=Path), default=TABLE, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default=RESULTS, show_default=True)
@click.option("--picture", type=click.Path(path_type=Path), default=PICTURE, show_default=True)
@click.argument("designs", nargs=-1, type=click.Choice(list(DESIGNS)), metavar="[DESIGN]...")
def main(seeds: int, budget: int, table: Path, out: Path, picture: Path, designs: Sequence[str]) -> None:
    """Replay the others and DESIGNS of ours, or all, and write the page and its picture."""
    known = read_table(table)
    runs = compare([*OTHERS, *(designs or DESIGNS)], seeds, budget, table)
    costly = compare([*OTHERS, SHIPPED], seeds, budget, table, costly=True)
    introduction = (
        f"Replays on a table of real learning curves: {len(known.points)} configurations of "
        f"{len({point['architecture'] for point in known.points})} architectures, of which {known.fits.sum()} fit the "
        f"budget and were trained for {EPOCHS} epochs on scenes; {seeds} seeds of each method, {budget} epochs, two "
        "workers. Hypervolume is that of macro accuracy on held-out clips above chance, against the logarithm of MACs, "
        "as a share of the whole table's.\n\n"
        "Made by `python -m benchmarks.search_efficiency`."
    )
    out.write_text(page(runs, costly, introduction), encoding="utf-8")
    draw(runs, picture)
    click.echo(f"{out}\n{picture}")


if __name__ == "__main__":
    main()
