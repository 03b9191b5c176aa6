"""Accuracy of training methods on seen and unseen devices: `python -m benchmarks.methods` writes results/methods.md.

The published isotropic network is trained with each method and the same seeds, one training per core at a time, on the
data set in $SCENEFRONT_DATA (its folders `scenes` and `impulse_responses`). The teachers of the distillation are two
networks of twice its width, over every budget, trained from different seeds; their logits are averaged.
"""

import os
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import click
import torch

from data.device import num_cores
from data.layout import read_scenes
from objectives.interval import mean_interval
from search.config.trial_config import TrialConfig
from search.study.repeats import seed_metrics
from training.allocator import keep_freed_memory
from training.checkpoint import read_checkpoint
from training.compute_mode import ComputeMode, supports_bf16
from training.dataset import load_dataset
from training.loop import TrainingRun
from training.teacher import Teacher, teacher_logits

CPU = torch.device("cpu")
COMPUTE_MODE = ComputeMode(channels_last=True, bf16=supports_bf16(CPU))
BATCH_SIZE = 64  # 15 steps per epoch, as in a search on data of this size
NEITHER = {"mix_style_p": 0.0, "impulse_response_p": 0.0}
TEACHER, TEACHER_SEEDS = {"width": 128}, (0, 1)
METHODS: dict[str, Mapping[str, float]] = {
    "plain": NEITHER,
    "Freq-MixStyle": {"impulse_response_p": 0.0},
    "impulse responses": {"mix_style_p": 0.0},
    "both": {},
    "both and RSC": {"drop_f": 0.05, "drop_b": 0.05},
    "both and distillation": {"distill_weight": 20.0, "distill_temperature": 5.0},
}
COLUMNS = {
    "macro_accuracy": "macro accuracy", "accuracy_real": "real devices", "accuracy_seen": "seen simulated",
    "accuracy_unseen": "unseen devices", "log_loss": "log loss",
}  # fmt: skip


def train(
    data: Path,
    cache: Path,
    values: Mapping[str, float],
    epochs: int,
    seed: int,
    teachers: Sequence[Path],
    checkpoint: Path,
) -> dict[str, float]:
    """Train one network on one core, and save it to `checkpoint`; return its metrics."""
    keep_freed_memory()
    torch.set_num_threads(1)
    scenes = read_scenes(data / "scenes")
    fields = {"num_classes": len(scenes.classes), "batch_size": BATCH_SIZE, "epochs": epochs, "seed": seed}
    config = TrialConfig.from_values("isotropic", {**fields, **values})
    dataset = load_dataset(scenes, config.front_end_config, data / "impulse_responses", cache)
    if config.recipe.distill_weight:
        networks = [_teacher(path, scenes.classes) for path in teachers]
        dataset = replace(dataset, teacher=teacher_logits(networks, scenes, cache, CPU))
    run = TrainingRun(config.build, config.recipe, dataset, CPU, COMPUTE_MODE)
    while not run.is_over:
        run.run_epoch()
    run.save(checkpoint)
    return seed_metrics(run.results[-1].quality)


def _teacher(path: Path, classes: tuple[str, ...]) -> Teacher:
    config = TrialConfig.from_values("isotropic", {"num_classes": len(classes), **TEACHER})
    network = config.build()
    read_checkpoint(path).restore_network(network)
    return Teacher(path.name, network.eval(), config.front_end_config, classes, path.name)


def page(
    methods: Mapping[str, Sequence[Mapping[str, float]]], teachers: Sequence[Mapping[str, float]], description: str
) -> str:
    """Return the results page; each cell is the mean over the seeds with its 95 % interval."""
    lines = [
        "# Training methods on seen and unseen devices",
        "",
        description,
        "",
        f"| method | {' | '.join(COLUMNS.values())} |",
        f"|---|{'---|' * len(COLUMNS)}",
    ]
    for name, seeds in {**methods, "(the teachers)": teachers}.items():
        lines.append(f"| {name} | {' | '.join(_cell([each[key] for each in seeds], key) for key in COLUMNS)} |")
    return "\n".join(lines) + "\n"


def _cell(values: Sequence[float], key: str) -> str:
    scale, digits = (1, 2) if key == "log_loss" else (100, 1)
    interval = mean_interval([scale * value for value in values])
    mean = f"{interval.mean:.{digits}f}"
    return mean if interval.half is None else f"{mean} ± {interval.half:.{digits}f}"


@click.command()
@click.option("--epochs", default=24, show_default=True, help="Epochs of each training.")
@click.option("--seeds", default=3, show_default=True, help="Seeds per method.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("results/methods.md"), show_default=True)
def main(epochs: int, seeds: int, out: Path) -> None:
    """Train the published isotropic network with each method and write the results page."""
    data_folder = os.environ.get("SCENEFRONT_DATA")
    if data_folder is None:
        raise click.UsageError("set SCENEFRONT_DATA to a folder with scenes/ and impulse_responses/")
    data = Path(data_folder)
    with (
        tempfile.TemporaryDirectory(prefix="scenefront-") as folder,
        ProcessPoolExecutor(num_cores(), mp_context=get_context("spawn")) as pool,
    ):
        root = Path(folder)

        def start(name: str, values: Mapping[str, float], seed: int) -> "Future[dict[str, float]]":
            checkpoint = root / f"{name}-{seed}.safetensors"
            return pool.submit(train, data, root / "cache", values, epochs, seed, teachers, checkpoint)

        teachers: list[Path] = []
        teacher_runs = [start("teacher", TEACHER, seed) for seed in TEACHER_SEEDS]
        teacher_metrics = [run.result() for run in teacher_runs]
        teachers = [root / f"teacher-{seed}.safetensors" for seed in TEACHER_SEEDS]
        click.echo(f"teachers: {_cell([each['macro_accuracy'] for each in teacher_metrics], 'macro_accuracy')} %")
        runs_of = {name: [start(name, values, seed) for seed in range(seeds)] for name, values in METHODS.items()}
        results = {}
        for name, runs in runs_of.items():
            results[name] = [run.result() for run in runs]
            click.echo(f"{name}: {_cell([each['macro_accuracy'] for each in results[name]], 'macro_accuracy')} %")
        scenes = read_scenes(data / "scenes")
    description = (
        f"The published isotropic network, {epochs} epochs with batches of {BATCH_SIZE} on {len(scenes.train):,} "
        f"training clips, {COMPUTE_MODE}, evaluated on {len(scenes.evaluate):,} evaluation clips of "
        f"{len(scenes.classes)} scenes and {len(scenes.devices)} devices: mean of {seeds} seeds in percent, with its "
        "95 % interval. Time roll and frequency mask are on in every row. The teachers of the distillation are two "
        "networks of twice the width, whose logits are averaged.\n\n"
        "Made by `SCENEFRONT_DATA=... python -m benchmarks.methods`."
    )
    out.write_text(page(results, teacher_metrics, description), encoding="utf-8")
    click.echo(str(out))


if __name__ == "__main__":
    main()
