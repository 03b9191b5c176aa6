"""Learning curves of a sample of a search space: `python -m benchmarks.pool DATA` writes benchmarks/voices.parquet.

The sample is of benchmarks/voices_space.yaml: of every architecture the published network, a downscaled one, and random
configurations that fit the budget, in each sixth of the logarithmic scale of MACs. Each is trained with two
seeds, seed n on the training clips of fold n, one training per core at a time. An interrupted run goes on: what the
table has is not trained again.

Columns: `architecture`, the searched parameters by their names in a study (empty where an architecture does not have
them), the `COSTS`, `initial` (whether it is of the initial design), `seed`, `epoch`, and after that epoch `train_loss`,
`cpu_s` (processor time of the epoch's steps) and the `METRICS` on the fold's validation clips, of the weights that the
recipe evaluates; after the `AVERAGED` epochs also of the last weights (`raw_`), and of their moving average over about
an epoch (`average_`). After the `EVALUATED` epochs there are metrics on the evaluation clips (`evaluation_`), and after
the last those of the other weights (`raw_evaluation_`, `average_evaluation_`) and `correct`, one bit for each clip.
"""

import io
import math
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd
import torch

from benchmarks.curves import COSTS, Point
from data.atomic_file import write_atomic
from data.device import num_cores
from data.front_end import FRONT_ENDS
from data.layout import device_groups, read_scenes
from data.validation_split import hold_out
from objectives.quality import figures
from search.config.errors import ConfigError
from search.config.settings import SearchSettings
from search.space.priced_space import PricedSpace, price_space
from search.space.pricing import price
from search.space.ranges import draw
from search.space.search_space import SearchSpace, make_search_space
from search.space.subspace import Subspace
from training.allocator import keep_freed_memory
from training.compute_mode import ComputeMode
from training.dataset import SceneDataset, load_dataset
from training.loop import DivergedError, TrainingRun
from training.weight_averaging import WeightAverage

SPACE = Path(__file__).with_name("voices_space.yaml")
TABLE = Path(__file__).with_name("voices.parquet")
EPOCHS, EVALUATED = 16, (8, 16)
AVERAGED = (2, 4, 5, 8, 11, 16)  # epochs after which the moving average is measured as well
VALIDATION = 0.25
NUM_CLASSES, NUM_CLIPS = 12, 900  # of voices; training clips of a fold
SEEDS = 2
MIN_MACS, PER_BIN = 650_000, (7, 7, 7, 6, 4, 3)  # configurations of an architecture in each bin: large ones take long
NUM_DRAWN = 20_000  # random configurations of an architecture to choose from
METRICS = ("macro_accuracy", "log_loss", "worst_device_accuracy")
SETTINGS = SearchSettings(
    data="voices", space=str(SPACE), validation=VALIDATION, trials=1_000, epochs=EPOCHS, impulse_responses="responses"
)
CPU = torch.device("cpu")


@cache
def space() -> PricedSpace:
    """Return the priced space of the sample."""
    return price_space(make_search_space(SETTINGS, NUM_CLASSES), NUM_CLIPS)


def sample() -> list[dict[str, Any]]:
    """Return the sampled configurations, as their parameters in a study, with their costs and `initial`."""
    whole, rng = space(), np.random.default_rng(0)
    found = []
    for design in (whole.published, whole.downscaled):
        for name, (_, values) in design.items():
            row = _priced(whole, whole.subspaces[name], values)
            found += [] if row is None else [{**row, "initial": True}]
    num_initial = len(found)
    for subspace in whole.subspaces.values():
        found += [{**row, "initial": False} for row in _stratified(whole, subspace, rng)]
    order = [*range(num_initial), *(num_initial + rng.permutation(len(found) - num_initial))]
    return [found[number] for number in order]


def _stratified(whole: SearchSpace, subspace: Subspace, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Return random configurations of an architecture, `PER_BIN` in each bin of log MACs."""
    chosen: list[list[dict[str, Any]]] = [[] for _ in PER_BIN]
    width = math.log(whole.budget.limits()["macs"] / MIN_MACS) / len(PER_BIN)
    for _ in range(NUM_DRAWN):
        row = _priced(whole, subspace, {name: draw(each, rng) for name, each in subspace.ranges.items()})
        if row is not None and row["macs"] >= MIN_MACS:
            number = min(len(PER_BIN) - 1, int(math.log(row["macs"] / MIN_MACS) / width))
            if len(chosen[number]) < PER_BIN[number]:
                chosen[number].append(row)
    return [row for bin_of_rows in chosen for row in bin_of_rows]


def _priced(whole: SearchSpace, subspace: Subspace, values: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return a configuration's parameters and costs; None if it is invalid or over the budget."""
    point = whole.params(subspace, values)
    try:
        cost = price(whole.config(point), SETTINGS.precision)
    except ConfigError:
        return None
    return {**point, **{name: getattr(cost, name) for name in COSTS}} if whole.budget.fits(cost) else None


@cache
def _datasets(data: Path, responses: Path, cache_folder: Path, front_end: str, fold: int) -> tuple[SceneDataset, ...]:
    """Return the data set of a fold with its validation clips, and with the evaluation clips in their place."""
    scenes = hold_out(read_scenes(data), VALIDATION, fold=fold)
    groups = device_groups(scenes.devices, scenes.device_index[scenes.train])
    tested = replace(scenes, evaluate=scenes.tested, device_groups=groups)
    load_dataset(read_scenes(data), FRONT_ENDS[front_end], None, cache_folder)  # one store for all folds
    return tuple(load_dataset(each, FRONT_ENDS[front_end], responses, cache_folder) for each in (scenes, tested))


def train(data: Path, responses: Path, cache_folder: Path, point: Point, seed: int) -> list[dict[str, Any]]:
    """Train one configuration on one core; return the columns of each epoch, until it diverges."""
    keep_freed_memory()
    torch.set_num_threads(1)
    config = make_search_space(SETTINGS, NUM_CLASSES).config(point)
    config = replace(config, recipe=replace(config.recipe, seed=seed))
    validation, tested = _datasets(data, responses, cache_folder, config.front_end, seed)
    run = TrainingRun(config.build, config.recipe, validation, CPU, ComputeMode(channels_last=True))
    average = WeightAverage(run.network, decay=1 - 1 / run.steps_per_epoch)
    after_step = run.weight_methods.after_step

    def also_average() -> None:
        after_step()
        average.update(run.network)

    run.weight_methods.after_step = also_average  # type: ignore[method-assign] # a judge beside the recipe's own
    return list(_epochs(run, average, tested))


def _epochs(run: TrainingRun, average: WeightAverage, tested: SceneDataset) -> Iterator[dict[str, Any]]:
    for epoch in range(1, EPOCHS + 1):
        started = time.process_time()
        try:
            train_loss = run.train_epoch()
        except DivergedError:
            return
        row: dict[str, Any] = {"epoch": epoch, "cpu_s": time.process_time() - started, "train_loss": train_loss}
        run.weight_methods.after_epoch(epoch)
        with run.weight_methods.evaluation_weights(epoch, ()):
            own = _measured(run, tested, is_tested=epoch in EVALUATED)
            if epoch == EPOCHS:
                logs = tested.log_probabilities(run.network, CPU, run.preprocessing)
                correct = logs.argmax(1).numpy() == tested.scenes.labels[tested.scenes.evaluate]
                row["correct"] = np.packbits(correct).tobytes()
        row |= own
        if epoch in AVERAGED:
            raw = _measured(run, tested, is_tested=epoch == EPOCHS) if run.weight_methods.ema else own
            with average.swapped(run.network):
                averaged = _measured(run, tested, is_tested=epoch == EPOCHS)
            row |= {f"raw_{name}": value for name, value in raw.items()}
            row |= {f"average_{name}": value for name, value in averaged.items()}
        run.results.append(None)  # type: ignore[arg-type] # their number is the epoch
        yield row


def _measured(run: TrainingRun, tested: SceneDataset, *, is_tested: bool) -> dict[str, float | None]:
    """Return the metrics of the present weights on the validation clips and, if wanted, on the evaluation clips."""
    validation = figures(run.dataset.evaluate(run.network, CPU, run.preprocessing))
    found = {name: validation[name] for name in METRICS}
    if is_tested:
        evaluation = figures(tested.evaluate(run.network, CPU, run.preprocessing))
        found |= {f"evaluation_{name}": evaluation[name] for name in METRICS}
    return found


def _responses(data: Path, folder: Path, into: Path) -> Path:
    """Return a folder of links to the impulse responses that are no device of the data."""
    used = set(pd.read_csv(data / "impulse_responses_used.csv", sep="\t")["file"])
    into.mkdir(parents=True, exist_ok=True)
    for path in folder.glob("**/*.wav"):
        if path.name not in used and not (into / path.name).exists():
            (into / path.name).symlink_to(path.resolve())
    return into


def _read(out: Path, points: list[dict[str, Any]]) -> pd.DataFrame:
    """Return the table so far.

    Raises:
        UsageError: It is of another sample.
    """
    if not out.exists():
        return pd.DataFrame({"point": [], "seed": []}, dtype="int64")
    table = pd.read_parquet(out)
    for name in ("macs", "params"):
        if (table[name] != [points[number][name] for number in table["point"]]).any():
            raise click.UsageError(f"{out} is of another sample; write to another file with --out")
    return table


def _with_training(table: pd.DataFrame, first: Mapping[str, Any], epochs: list[dict[str, Any]]) -> pd.DataFrame:
    """Return the table with another training, sorted by configuration, seed and epoch."""
    rows = pd.DataFrame([{**first, **epoch} for epoch in epochs])
    joined = pd.concat([table, rows], ignore_index=True) if len(table) else rows
    return joined.sort_values(["point", "seed", "epoch"], ignore_index=True)


@click.command()
@click.argument("data", type=click.Path(path_type=Path, exists=True))
@click.option("--impulse-responses", "responses", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--workers", type=int, help="Parallel trainings. [default: one per core]")
@click.option("--folder", type=click.Path(path_type=Path), default=Path("pool"), help="Folder of the decoded audio.")
@click.option("--out", type=click.Path(path_type=Path), default=TABLE, show_default=True)
def main(data: Path, responses: Path, workers: int | None, folder: Path, out: Path) -> None:
    """Train the sample on DATA, made by voices.py, and write the table of learning curves."""
    points = sample()
    table = _read(out, points)
    done = set(zip(table["point"], table["seed"], strict=True))
    jobs = [(number, seed) for number in range(len(points)) for seed in range(SEEDS)]
    remaining = [job for job in jobs if job not in done]
    click.echo(f"{len(points)} configurations; {len(remaining)} of {len(jobs)} trainings remain")
    chosen, cache_folder = _responses(data, responses, folder / "responses"), folder / "cache"
    with ProcessPoolExecutor(workers or num_cores(), mp_context=get_context("spawn")) as pool:
        futures = {}
        for number, seed in remaining:
            point = {name: value for name, value in points[number].items() if name not in (*COSTS, "initial")}
            futures[pool.submit(train, data, chosen, cache_folder, point, seed)] = number, seed
        for count, future in enumerate(as_completed(futures), start=1):
            number, seed = futures[future]
            table = _with_training(table, {"point": number, **points[number], "seed": seed}, future.result())
            buffer = io.BytesIO()
            table.to_parquet(buffer, index=False)
            write_atomic(out, buffer.getvalue())
            if count % 10 == 0:
                click.echo(f"{count} of {len(remaining)}")


if __name__ == "__main__":
    main()
