"""Found networks against the published ones that the search starts from, on recordings that neither has seen.

`python -m benchmarks beats-published DATA` searches DATA in both modes, trains the front of each and every published
network within the budget from several seeds on all training clips, by the same code, and evaluates them on the
evaluation clips. Published networks are trained in three ways: with the recipe of their report, with the default recipe
of a search, and with the recipe that the search found; so what the architecture adds and what the recipe adds are told
apart. Found networks are chosen by validation alone. With `--folds` all of it is repeated for each outer fold.

Writes results/beats_published.csv, results/beats_published_networks.csv, results/beats_published.md and
docs/beats_published.png; rows of other data sets stay. An interrupted run goes on: searches by their studies, trainings
by a record of the finished ones.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import click
import numpy as np
import pandas as pd

from benchmarks.beats_published_figures import Comparison, Fold, Network, Row
from benchmarks.beats_published_report import NETWORKS, PAGE, PLOT, TABLE, network_rows, write_results
from benchmarks.compared_searches import (
    FoundNetwork,
    cost_rows,
    found_networks,
    run_search,
    settings_of_search,
    trial_costs,
)
from benchmarks.final_trainings import Clips, FinishedTraining, Job, key_of, read_record, run_jobs, with_seed
from benchmarks.outer_folds import write_folds
from benchmarks.published_networks import PRECISION, WAYS, Variant, fitting, variants
from benchmarks.two_way_bootstrap import Floats, RecordingDraws
from data.device import num_cores
from data.layout import encode, read_scenes
from data.validation_split import hold_out
from objectives.budget import BUDGETS, DEFAULT_BUDGET
from search.config.settings import MODES
from search.config.trial_config import TrialConfig
from search.space.priced_space import price_space
from search.space.pricing import price
from search.space.search_space import make_search_space

BUDGET = BUDGETS[DEFAULT_BUDGET]
FIRST_SEED = 1  # that of the searches is 0
DRAWS_SEED = 0
SEARCHED = "searched"  # in place of a way of training: the network of a search, with its own recipe


@dataclass(frozen=True)
class Plan:
    """What is run for one data set.

    Attributes:
        data: Name of the data set in the results.
        state: Folder of its state.
        seeds: Number of seeds of each network.
        trials: Trials of a search.
        epochs: Epochs of a trial and of a training.
        workers: Parallel trainings.
        networks: Names of the published networks; none: all that fit the budget.
        seeds_of: Number of seeds of the published networks in a way of training, where it is another; 0: not trained.
    """

    data: str
    state: Path
    seeds: int
    trials: int
    epochs: int
    workers: int
    networks: Sequence[str] = ()
    seeds_of: Mapping[str, int] = field(default_factory=dict)

    @property
    def record(self) -> Path:
        """File of the finished trainings."""
        return self.state / "trainings.jsonl"

    def seeds_from(self, way: str) -> range:
        """Return the seeds of the published networks in a way of training, or of the found ones."""
        return range(FIRST_SEED, FIRST_SEED + self.seeds_of.get(way, self.seeds))


@dataclass(frozen=True)
class OuterFold:
    """The clips of an outer fold and all networks to train on them.

    Attributes:
        clips: Its clips.
        digest: Hash of them.
        variants: Published networks with their recipes.
        found: By mode, the front of the search.
        costs: By mode, table of the search's trials (`trial_costs`).
    """

    clips: Clips
    digest: str
    variants: Sequence[Variant]
    found: Mapping[str, Sequence[FoundNetwork]]
    costs: Mapping[str, pd.DataFrame]

    def configs(self, plan: Plan) -> Iterator[tuple[TrialConfig, range]]:
        """Yield the configurations to train, each with its seeds."""
        yield from ((variant.config, plan.seeds_from(variant.way)) for variant in self.variants)
        yield from ((each.config, plan.seeds_from(SEARCHED)) for front in self.found.values() for each in front)


def responses_of(data: Path, folder: Path, into: Path) -> Path:
    """Return a folder of links to the impulse responses that are no device of the data."""
    used: set[str] = set()
    listed = data / "impulse_responses_used.csv"
    if listed.exists():
        table = pd.read_csv(listed, sep="\t")
        used = set(table["file" if "file" in table else "impulse_response"].map(lambda text: Path(text).name))
    into.mkdir(parents=True, exist_ok=True)
    for path in sorted(folder.rglob("*.wav")):
        link = into / path.name
        if path.name not in used and not link.is_symlink():
            link.symlink_to(path.resolve())
    return into


def prepare_fold(clips: Clips, studies: Path, plan: Plan) -> OuterFold:
    """Search the training clips of an outer fold in every mode, and list all networks to train."""
    scenes = clips.scenes
    networks = chosen_networks(plan, len(scenes.classes))
    # Decoded before the searches: these find their clips among all.
    datasets = {name: clips.dataset(name) for name in {config.front_end for config in networks.values()}}
    folders = {mode: run_search(settings_of_search(clips, mode, plan.trials, plan.epochs), studies) for mode in MODES}
    found = {mode: found_networks(folder) for mode, folder in folders.items()}
    best = max((each for front in found.values() for each in front), key=lambda each: each.validation)
    settings = settings_of_search(clips, MODES[0], plan.trials, plan.epochs)
    num_clips = len(hold_out(scenes, settings.validation).train)
    space = price_space(make_search_space(settings, len(scenes.classes)), num_clips)
    every = variants(networks, space, plan.epochs, datasets, best.config.recipe)
    return OuterFold(
        clips,
        clips.digest(),
        [each for each in every if plan.seeds_from(each.way)],
        found,
        {mode: trial_costs(folder) for mode, folder in folders.items()},
    )


def chosen_networks(plan: Plan, num_classes: int) -> dict[str, TrialConfig]:
    """Return the published networks of a plan, by name.

    Raises:
        UsageError: One of them does not fit the budget, or there is none of that name.
    """
    known = fitting(BUDGET, num_classes)
    wrong = [name for name in plan.networks if name not in known]
    if wrong:
        raise click.UsageError(f"{wrong[0]} is no published network within {BUDGET}; there are {', '.join(known)}")
    return {name: config for name, config in known.items() if not plan.networks or name in plan.networks}


def jobs_of(fold: OuterFold, plan: Plan) -> list[Job]:
    """Return the trainings of an outer fold: every network from every seed."""
    return [
        Job(fold.clips, fold.digest, with_seed(config, seed), price(config, PRECISION).macs)
        for config, seeds in fold.configs(plan)
        for seed in seeds
    ]


class Accuracies:
    """Macro accuracies of the trained networks, as draws of recordings and seeds."""

    def __init__(self, folds: Sequence[OuterFold], plan: Plan) -> None:
        """Read the record of the trainings, and draw recordings."""
        self._record, self._plan = read_record(plan.record), plan
        self._rng = np.random.default_rng(DRAWS_SEED)
        tables = [recordings_of(fold.clips, number) for number, fold in enumerate(folds)]
        recordings = pd.concat(tables, ignore_index=True)
        self._num_clips = recordings["num_clips"].to_numpy(np.int64)
        self._fold_of = recordings["fold"].to_numpy(np.int64)
        self._draws = RecordingDraws.of(recordings["label"].to_numpy(np.int64), self._num_clips, self._rng)
        self._known: dict[tuple[int, TrialConfig, range], Floats] = {}

    def of(self, fold: OuterFold, number: int, config: TrialConfig, way: str) -> Floats:
        """Return what a configuration adds to the macro accuracy by the recordings of an outer fold: (D,).

        A configuration that is both published and found is one network: its difference to itself is 0 in every draw.
        """
        key = number, config, self._plan.seeds_from(way)
        if key not in self._known:
            scenes = fold.clips.scenes
            _, recording = encode(scenes.clips["identifier"].iloc[scenes.evaluate])  # in the order of `recordings_of`
            trainings = trainings_of(fold, config, self._record, key[2])
            num_correct = np.stack([np.bincount(recording, each.is_correct) for each in trainings])
            rows = np.flatnonzero(self._fold_of == number)
            self._known[key] = self._draws.accuracy(num_correct, rows, self._rng)
        return self._known[key]

    def guessing(self, number: int) -> Floats:
        """Return what guessing adds by the recordings of an outer fold: (D,)."""
        return self._draws.chance(self._num_clips, np.flatnonzero(self._fold_of == number))


def compare(folds: Sequence[OuterFold], plan: Plan) -> Comparison:
    """Return the comparison of all networks, from the record of the trainings."""
    accuracies, compared = Accuracies(folds, plan), []
    for number, fold in enumerate(folds):
        published: dict[str, dict[str, Network]] = {}
        for each in fold.variants:
            cost = price(each.config, PRECISION)
            accuracy = accuracies.of(fold, number, each.config, each.way)
            published.setdefault(each.way, {})[each.name] = Network(each.name, cost.macs, cost.params, accuracy)
        found = {
            mode: [
                Network(
                    f"{each.config.architecture}, trial {each.trial}", each.macs, each.params,
                    accuracies.of(fold, number, each.config, SEARCHED), each.validation,
                )
                for each in networks
            ]
            for mode, networks in fold.found.items()
        }  # fmt: skip
        compared.append(Fold(published, found, accuracies.guessing(number)))
    return Comparison(compared, BUDGET.limits()["macs"], len(folds[0].clips.scenes.classes))


def recordings_of(clips: Clips, fold: int) -> pd.DataFrame:
    """Return the recordings of an outer fold's evaluation clips, by identifier: label, num_clips, fold."""
    scenes = clips.scenes
    table = scenes.clips.iloc[scenes.evaluate].assign(label=scenes.labels[scenes.evaluate])
    found = table.groupby("identifier", sort=True)["label"].agg(label="first", num_clips="size").reset_index()
    return found.assign(fold=fold)


def trainings_of(
    fold: OuterFold, config: TrialConfig, record: Mapping[str, FinishedTraining], seeds: range
) -> list[FinishedTraining]:
    """Return the trainings of a configuration from every seed."""
    return [record[key_of(fold.digest, with_seed(config, seed).to_dict())] for seed in seeds]


def setting_rows(folds: Sequence[OuterFold], plan: Plan) -> Iterator[Row]:
    """Yield what the figures were measured on."""
    recordings = pd.concat([recordings_of(fold.clips, number) for number, fold in enumerate(folds)])
    of_class = recordings.groupby("label").size()
    record = read_record(plan.record)
    trainings = [
        training
        for fold in folds
        for config, seeds in fold.configs(plan)
        for training in trainings_of(fold, config, record, seeds)
    ]
    names = {variant.name for variant in folds[0].variants}
    known = {
        "published networks": len(names), "published networks that fit": len(fitting(BUDGET, len(of_class))),
        "classes": len(of_class), "recordings": len(recordings), "clips": recordings["num_clips"].sum(),
        "classes with one recording": (of_class == 1).sum(), "outer folds": len(folds), "seeds": plan.seeds,
        **{f"seeds of {way}": number for way, number in plan.seeds_of.items()},
        "trials of a search": plan.trials, "epochs": plan.epochs, "trainings": len(trainings),
        "processor seconds of the trainings": sum(each.cpu_s for each in trainings),
        "diverged": sum(bool(each.diverged) for each in trainings),
    }  # fmt: skip
    for name, value in known.items():
        yield Row("", name, float(value))


def echo_progress(folds: Sequence[OuterFold], plan: Plan) -> None:
    """Train everything that is left, and print how far it is."""
    jobs, started, first = [job for fold in folds for job in jobs_of(fold, plan)], time.monotonic(), -1
    for done, total in run_jobs(jobs, plan.record, plan.workers):
        first = done if first < 0 else first
        passed = time.monotonic() - started
        text = f"{done} of {total} trainings"
        if done > first:
            text += f"; about {passed / (done - first) * (total - done) / 60:.0f} minutes left"
        click.echo(text)


path_type = click.Path(path_type=Path)


@click.command()
@click.argument("data", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option(
    "--impulse-responses", "responses", type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder of WAV files; those that are devices of the data are left out.",
)  # fmt: skip
@click.option(
    "--folder", type=path_type, default=Path("beats_published"), show_default=True, help="Folder of the state."
)
@click.option("--seeds", default=5, show_default=True, help="Seeds of each network.")
@click.option(
    "--seeds-of", nargs=2, type=(click.Choice(list(WAYS)), click.IntRange(0)), multiple=True, metavar="WAY NUMBER",
    help=f"Other seeds of the published networks in a way of training ({', '.join(WAYS)}); 0: not trained.",
)  # fmt: skip
@click.option("--trials", default=40, show_default=True, help="Trials of a search.")
@click.option("--epochs", default=16, show_default=True, help="Epochs of a trial and of a training.")
@click.option(
    "--folds", default=1, show_default=True, help="Outer folds of a nested cross-validation; 1: as the lists say."
)
@click.option("--network", "networks", multiple=True, help="A published network, can be repeated. [default: all]")
@click.option("--workers", type=int, help="Parallel trainings. [default: one per core]")
@click.option("--out", type=path_type, default=Path(), help="Folder with results/ and docs/. [default: the current]")
def main(
    data: Path, responses: Path | None, folder: Path, seeds: int, seeds_of: tuple[tuple[str, int], ...], trials: int,
    epochs: int, folds: int, networks: tuple[str, ...], workers: int | None, out: Path,
) -> None:  # fmt: skip
    """Compare what a search of DATA finds with the published networks, and write results/beats_published.md."""
    data = data.resolve()
    state = folder.absolute() / data.name
    name = data.name + (f", {folds} folds" if folds > 1 else "")
    plan = Plan(name, state, seeds, trials, epochs, workers or num_cores(), networks, dict(seeds_of))
    scenes = read_scenes(data)
    chosen_networks(plan, len(scenes.classes))  # an unknown name is refused before the searches
    state.mkdir(parents=True, exist_ok=True)
    chosen = None if responses is None else responses_of(data, responses, state / "responses")
    roots = write_folds(scenes, folds, state / "folds") if folds > 1 else [data]
    prepared = []
    for number, root in enumerate(roots):
        click.echo(f"outer fold {number + 1} of {len(roots)}: searches in the modes {', '.join(MODES)}")
        studies = state / "studies" / (root.name if folds > 1 else "lists")
        prepared.append(prepare_fold(Clips(root, chosen, state / "cache"), studies, plan))
    echo_progress(prepared, plan)
    write_comparison(prepared, plan, out)


def write_comparison(folds: Sequence[OuterFold], plan: Plan, out: Path) -> None:
    """Write tables, page and picture from the finished trainings; print where they are."""
    comparison = compare(folds, plan)
    rows = [*setting_rows(folds, plan), *comparison.recipe_rows()]
    for mode in MODES:
        rows += comparison.rows(mode)
        rows += cost_rows(mode, [fold.costs[mode] for fold in folds], comparison.max_macs)
    changes = {(each.name, each.way): "; ".join(each.changes) for each in folds[0].variants}
    write_results(out, plan.data, rows, network_rows(comparison, changes))
    click.echo("\n".join(str(out / path) for path in (TABLE, NETWORKS, PAGE, PLOT)))


if __name__ == "__main__":
    main()
