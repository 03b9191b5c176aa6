"""Learning curves of a whole small search space: `python -m benchmarks.curves` writes benchmarks/curves.parquet.

Every configuration of benchmarks/curves_space.yaml that fits the budget is trained, one per core at a time, on the data
set in $SCENEFRONT_DATA (its folder `scenes`), a quarter of whose training clips is held out by location for validation.
Some are repeated with other seeds. Configurations over the budget are only priced. An interrupted run is resumed.

Columns: `architecture`, the searched parameters by their names in a study (empty where an architecture does not have
them), the `COSTS`, `fits`, and of trained configurations `seed`, `epoch` and the `METRICS` after that epoch, on the
validation clips.
"""

import json
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from functools import lru_cache
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd
import torch

from data.device import num_cores
from data.front_end import FRONT_ENDS
from data.layout import Scenes, read_scenes
from data.validation_split import hold_out
from objectives.quality import figures
from search.config.settings import SearchSettings
from search.config.trial_config import ARCHITECTURE
from search.space.pricing import price
from search.space.ranges import all_values
from search.space.search_space import SearchSpace, make_search_space
from training.allocator import keep_freed_memory
from training.compute_mode import ComputeMode, supports_bf16
from training.dataset import SceneDataset, load_dataset
from training.loop import EpochResult, TrainingRun

SPACE = Path(__file__).with_name("curves_space.yaml")
TABLE = Path(__file__).with_name("curves.parquet")
EPOCHS = 9
VALIDATION = 0.25
NUM_CLASSES = 10
COSTS = ("macs", "params", "size_bytes", "peak_bytes")
METRICS = ("train_loss", "macro_accuracy", "log_loss", "worst_device_accuracy")
SETTINGS = SearchSettings(
    data="scenes", space=str(SPACE), validation=VALIDATION, trials=1, epochs=EPOCHS, set={"batch_size": 16}
)
CPU = torch.device("cpu")

Point = Mapping[str, Any]


def grid(space: SearchSpace) -> list[dict[str, Any]]:
    """Return every configuration of the space, as its searched parameters."""
    return [
        {ARCHITECTURE: name, **dict(zip(subspace.ranges, values, strict=True))}
        for name, subspace in space.subspaces.items()
        for values in product(*(all_values(distribution) for distribution in subspace.ranges.values()))
    ]


def priced(space: SearchSpace, points: Sequence[Point]) -> pd.DataFrame:
    """Return a row per configuration: its searched parameters, its costs, and whether it fits the budget."""
    rows = []
    for point in points:
        cost = price(space.config(point), space.settings.precision)
        rows.append({**point, **{name: getattr(cost, name) for name in COSTS}, "fits": space.budget.fits(cost)})
    return pd.DataFrame(rows)


def jobs(table: pd.DataFrame, num_repeated: int, seeds: int) -> list[tuple[int, int]]:
    """Return the trainings as (row of the table, seed), shuffled so that the first ones are a random sample."""
    rng = np.random.default_rng(0)
    order = rng.permutation(np.flatnonzero(table["fits"])).tolist()
    repeated = rng.choice(order, min(num_repeated, len(order)), replace=False).tolist()
    return [(row, 0) for row in order] + [(row, seed) for row in repeated for seed in range(1, seeds)]


@lru_cache(maxsize=1)
def _scenes(data: Path) -> Scenes:
    return hold_out(read_scenes(data / "scenes"), VALIDATION)


@lru_cache(maxsize=4)
def _dataset(data: Path, cache: Path, front_end: str) -> SceneDataset:
    return load_dataset(_scenes(data), FRONT_ENDS[front_end], None, cache)


def train(data: Path, cache: Path, point: Point, seed: int) -> list[dict[str, float]]:
    """Train one configuration on one core; return the metrics of each epoch."""
    keep_freed_memory()
    torch.set_num_threads(1)
    config = make_search_space(SETTINGS, NUM_CLASSES).config(point)
    config = replace(config, recipe=replace(config.recipe, seed=seed))
    mode = ComputeMode(channels_last=True, bf16=supports_bf16(CPU))
    run = TrainingRun(config.build, config.recipe, _dataset(data, cache, config.front_end), CPU, mode)
    while not run.is_over:
        run.run_epoch()
    return [{"epoch": result.epoch, **_metrics(result)} for result in run.results]


def _metrics(result: EpochResult) -> dict[str, Any]:
    measured = {"train_loss": result.train_loss, **figures(result.quality)}
    return {name: measured[name] for name in METRICS}


def with_curves(table: pd.DataFrame, curves: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Join the learning curves to the configurations: a row per epoch, and one per configuration without training."""
    measured = pd.DataFrame(
        [{"row": curve["row"], "seed": curve["seed"], **epoch} for curve in curves for epoch in curve["epochs"]],
        columns=["row", "seed", "epoch", *METRICS],
    )
    merged = table.merge(measured, left_index=True, right_on="row", how="left")
    merged = merged.sort_values(["row", "seed", "epoch"], ignore_index=True).drop(columns="row")
    return merged.astype({"seed": "Int8", "epoch": "Int8"})


@click.command()
@click.option("--repeated", default=26, show_default=True, help="Configurations that are trained from several seeds.")
@click.option("--seeds", default=3, show_default=True, help="Seeds of each of those.")
@click.option("--workers", type=int, help="Parallel trainings. [default: one per core]")
@click.option(
    "--folder", type=click.Path(path_type=Path), default=Path("curves"), show_default=True,
    help="Folder of the state from which an interrupted run is resumed.",
)  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path), default=TABLE, show_default=True)
def main(repeated: int, seeds: int, workers: int | None, folder: Path, out: Path) -> None:
    """Train every configuration that fits the budget, and write the table of learning curves."""
    data = os.environ.get("SCENEFRONT_DATA")
    if data is None:
        raise click.UsageError("set SCENEFRONT_DATA to a folder with scenes/")
    space = make_search_space(SETTINGS, NUM_CLASSES)
    points = grid(space)
    table = priced(space, points)
    folder.mkdir(parents=True, exist_ok=True)
    state = folder / "curves.jsonl"
    curves = [json.loads(line) for line in state.read_text(encoding="utf-8").splitlines()] if state.exists() else []
    done = {(curve["row"], curve["seed"]) for curve in curves}
    remaining = [job for job in jobs(table, repeated, seeds) if job not in done]
    click.echo(f"{len(table)} configurations, {table['fits'].sum()} fit the budget; {len(remaining)} trainings remain")
    with (
        ProcessPoolExecutor(workers or num_cores(), mp_context=get_context("spawn")) as pool,
        state.open("a", encoding="utf-8") as file,
    ):
        futures = {
            pool.submit(train, Path(data), folder / "cache", points[row], seed): (row, seed) for row, seed in remaining
        }
        for number, future in enumerate(as_completed(futures), start=1):
            row, seed = futures[future]
            curves.append({"row": row, "seed": seed, "epochs": future.result()})
            file.write(json.dumps(curves[-1]) + "\n")
            file.flush()
            if number % 10 == 0:
                click.echo(f"{number} of {len(remaining)}")
    with_curves(table, curves).to_parquet(out, index=False)
    click.echo(str(out))


if __name__ == "__main__":
    main()
