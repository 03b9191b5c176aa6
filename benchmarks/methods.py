"""What training methods bring on seen and unseen devices: `python -m benchmarks.methods` writes results/methods.md.

One architecture, the published isotropic network, on the data set in $SCENEFRONT_DATA (its folders `scenes` and
`impulse_responses`), each method with the same seeds, one training a core at a time. The teachers are the same network
twice as wide, over every budget, trained from two seeds: their mean logits are learned.
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
WAY = ComputeMode(channels_last=True, bf16=supports_bf16(CPU))
BATCH_SIZE = 64  # 15 steps an epoch, as a search takes it on data of this size
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
    data: Path, cache: Path, values: Mapping[str, float], epochs: int, seed: int, teachers: Sequence[Path], kept: Path
) -> dict[str, float]:
    """Train one network on one core and write its weights to `kept`; give its figures."""
    keep_freed_memory()
    torch.set_num_threads(1)
    scenes = read_scenes(data / "scenes")
    given = {"num_classes": len(scenes.classes), "batch_size": BATCH_SIZE, "epochs": epochs, "seed": seed}
    config = TrialConfig.from_values("isotropic", {**given, **values})
    dataset = load_dataset(scenes, config.front_end_config, data / "impulse_responses", cache)
    if config.recipe.distill_weight:
        known = [_teacher(path, scenes.classes) for path in teachers]
        dataset = replace(dataset, teacher=teacher_logits(known, scenes, cache, CPU))
    run = TrainingRun(config.build, config.recipe, dataset, CPU, WAY)
    while not run.is_over:
        run.run_epoch()
    run.save(kept)
    return seed_metrics(run.results[-1].quality)


def _teacher(path: Path, classes: tuple[str, ...]) -> Teacher:
    config = TrialConfig.from_values("isotropic", {"num_classes": len(classes), **TEACHER})
    network = config.build()
    read_checkpoint(path).restore_network(network)
    return Teacher(path.name, network.eval(), config.front_end_config, classes, path.name)


def page(found: Mapping[str, Sequence[Mapping[str, float]]], teachers: Sequence[Mapping[str, float]], text: str) -> str:
    """Write the table, the mean over the seeds with its 95 % interval in each cell."""
    lines = [
        "# Training methods on seen and unseen devices",
        "",
        text,
        "",
        f"| method | {' | '.join(COLUMNS.values())} |",
        f"|---|{'---|' * len(COLUMNS)}",
    ]
    for name, seeds in {**found, "(the teachers)": teachers}.items():
        lines.append(f"| {name} | {' | '.join(_cell([each[key] for each in seeds], key) for key in COLUMNS)} |")
    return "\n".join(lines) + "\n"


def _cell(values: Sequence[float], key: str) -> str:
    scale, digits = (1, 2) if key == "log_loss" else (100, 1)
    found = mean_interval([scale * value for value in values])
    return f"{found.mean:.{digits}f}" if found.half is None else f"{found.mean:.{digits}f} ± {found.half:.{digits}f}"


@click.command()
@click.option("--epochs", default=24, show_default=True, help="Of every training.")
@click.option("--seeds", default=3, show_default=True, help="Of every method.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("results/methods.md"), show_default=True)
def main(epochs: int, seeds: int, out: Path) -> None:
    """Train the published isotropic network with each method and write the table."""
    named = os.environ.get("SCENEFRONT_DATA")
    if named is None:
        raise click.UsageError("set SCENEFRONT_DATA to a folder with scenes/ and impulse_responses/")
    data = Path(named)
    with (
        tempfile.TemporaryDirectory(prefix="scenefront-") as folder,
        ProcessPoolExecutor(num_cores(), mp_context=get_context("spawn")) as pool,
    ):
        root = Path(folder)

        def start(name: str, values: Mapping[str, float], seed: int) -> "Future[dict[str, float]]":
            kept = root / f"{name}-{seed}.safetensors"
            return pool.submit(train, data, root / "sound", values, epochs, seed, teachers, kept)

        teachers: list[Path] = []
        waiting = {seed: start("teacher", TEACHER, seed) for seed in TEACHER_SEEDS}
        taught_by = [each.result() for each in waiting.values()]
        teachers = [root / f"teacher-{seed}.safetensors" for seed in TEACHER_SEEDS]
        click.echo(f"teachers: {_cell([each['macro_accuracy'] for each in taught_by], 'macro_accuracy')} %")
        runs_of = {name: [start(name, values, seed) for seed in range(seeds)] for name, values in METHODS.items()}
        found = {}
        for name, runs in runs_of.items():
            found[name] = [run.result() for run in runs]
            click.echo(f"{name}: {_cell([each['macro_accuracy'] for each in found[name]], 'macro_accuracy')} %")
        scenes = read_scenes(data / "scenes")
    text = (
        f"The published isotropic network, {epochs} epochs with batches of {BATCH_SIZE} on {len(scenes.train):,} "
        f"training clips, {WAY}, measured on {len(scenes.evaluate):,} evaluation clips of {len(scenes.classes)} scenes "
        f"and {len(scenes.devices)} devices: percent, the mean of {seeds} seeds with its 95 % interval. Time roll and "
        "frequency mask are on in every row. Distillation is from the mean logits of two networks twice as wide.\n\n"
        "Made by `SCENEFRONT_DATA=... python -m benchmarks.methods`."
    )
    out.write_text(page(found, taught_by, text), encoding="utf-8")
    click.echo(str(out))


if __name__ == "__main__":
    main()
