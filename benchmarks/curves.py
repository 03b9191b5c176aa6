"""Real learning curves of a whole small space: `python -m benchmarks.curves` writes benchmarks/curves.parquet.

Every configuration of benchmarks/curves_space.yaml that fits the budget is trained, one a core at a time, on the data
set in $SCENEFRONT_DATA (its folder `scenes`), a quarter of whose training clips is held out by location to measure on.
Some are trained again from other seeds. What does not fit is priced alone. A killed run is taken up where it was.

Columns: `architecture`, what the space varies by its name in a study (empty where another architecture has it), the
`COSTS`, `fits`, and of what was trained `seed`, `epoch` and the `FIGURES` after that epoch, on the held-out clips.
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
FIGURES = ("train_loss", "macro_accuracy", "log_loss", "worst_device_accuracy")
SETTINGS = SearchSettings(
    data="scenes", space=str(SPACE), validation=VALIDATION, trials=1, epochs=EPOCHS, set={"batch_size": 16}
)
CPU = torch.device("cpu")

Point = Mapping[str, Any]


def grid(space: SearchSpace) -> list[dict[str, Any]]:
    """List every configuration of the space, by the values that vary."""
    return [
        {ARCHITECTURE: name, **dict(zip(subspace.ranges, values, strict=True))}
        for name, subspace in space.subspaces.items()
        for values in product(*(all_values(distribution) for distribution in subspace.ranges.values()))
    ]


def priced(space: SearchSpace, points: Sequence[Point]) -> pd.DataFrame:
    """Return for each configuration what varies, its costs, and whether it fits the budget."""
    rows = []
    for point in points:
        cost = price(space.config(point), space.settings.precision)
        rows.append({**point, **{name: getattr(cost, name) for name in COSTS}, "fits": space.budget.fits(cost)})
    return pd.DataFrame(rows)


def jobs(table: pd.DataFrame, again: int, seeds: int) -> list[tuple[int, int]]:
    """Return what is trained, as rows of the table and seeds, in an order of which any beginning is like the whole."""
    rng = np.random.default_rng(0)
    order = rng.permutation(np.flatnonzero(table["fits"])).tolist()
    repeated = rng.choice(order, min(again, len(order)), replace=False).tolist()
    return [(row, 0) for row in order] + [(row, seed) for row in repeated for seed in range(1, seeds)]


@lru_cache(maxsize=1)
def _scenes(data: Path) -> Scenes:
    return hold_out(read_scenes(data / "scenes"), VALIDATION)


@lru_cache(maxsize=4)
def _material(data: Path, cache: Path, front_end: str) -> SceneDataset:
    return load_dataset(_scenes(data), FRONT_ENDS[front_end], None, cache)


def train(data: Path, cache: Path, point: Point, seed: int) -> list[dict[str, float]]:
    """Train one configuration on one core; give the figures of each epoch."""
    keep_freed_memory()
    torch.set_num_threads(1)
    config = make_search_space(SETTINGS, NUM_CLASSES).config(point)
    config = replace(config, recipe=replace(config.recipe, seed=seed))
    way = ComputeMode(channels_last=True, bf16=supports_bf16(CPU))
    run = TrainingRun(config.build, config.recipe, _material(data, cache, config.front_end), CPU, way)
    while not run.is_over:
        run.run_epoch()
    return [{"epoch": result.epoch, **_kept(result)} for result in run.results]


def _kept(result: EpochResult) -> dict[str, Any]:
    measured = {"train_loss": result.train_loss, **figures(result.quality)}
    return {name: measured[name] for name in FIGURES}


def joined(table: pd.DataFrame, lines: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Join what was measured to the table of configurations: a row an epoch, and one for what was not trained."""
    measured = pd.DataFrame(
        [{"row": line["row"], "seed": line["seed"], **epoch} for line in lines for epoch in line["epochs"]],
        columns=["row", "seed", "epoch", *FIGURES],
    )
    whole = table.merge(measured, left_index=True, right_on="row", how="left")
    whole = whole.sort_values(["row", "seed", "epoch"], ignore_index=True).drop(columns="row")
    return whole.astype({"seed": "Int8", "epoch": "Int8"})


@click.command()
@click.option("--again", default=26, show_default=True, help="Configurations trained from other seeds, too.")
@click.option("--seeds", default=3, show_default=True, help="Of those.")
@click.option("--workers", type=int, help="Trainings side by side; one a core, unless it is given.")
@click.option("--folder", type=click.Path(path_type=Path), default=Path("curves"), help="For the state of the run.")
@click.option("--out", type=click.Path(path_type=Path), default=TABLE, show_default=True)
def main(again: int, seeds: int, workers: int | None, folder: Path, out: Path) -> None:
    """Train all that fits and write the table."""
    named = os.environ.get("SCENEFRONT_DATA")
    if named is None:
        raise click.UsageError("set SCENEFRONT_DATA to a folder with scenes/")
    space = make_search_space(SETTINGS, NUM_CLASSES)
    points = grid(space)
    table = priced(space, points)
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / "curves.jsonl"
    lines = [json.loads(line) for line in kept.read_text(encoding="utf-8").splitlines()] if kept.exists() else []
    done = {(line["row"], line["seed"]) for line in lines}
    todo = [job for job in jobs(table, again, seeds) if job not in done]
    click.echo(f"{len(table)} configurations, {table['fits'].sum()} fit; {len(todo)} trainings to do")
    with (
        ProcessPoolExecutor(workers or num_cores(), mp_context=get_context("spawn")) as pool,
        kept.open("a", encoding="utf-8") as file,
    ):
        futures = {
            pool.submit(train, Path(named), folder / "sound", points[row], seed): (row, seed) for row, seed in todo
        }
        for number, future in enumerate(as_completed(futures), start=1):
            row, seed = futures[future]
            lines.append({"row": row, "seed": seed, "epochs": future.result()})
            file.write(json.dumps(lines[-1]) + "\n")
            file.flush()
            if number % 10 == 0:
                click.echo(f"{number} of {len(todo)}")
    joined(table, lines).to_parquet(out, index=False)
    click.echo(str(out))


if __name__ == "__main__":
    main()
