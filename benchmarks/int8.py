"""Accuracy drop of published networks by int8: post-training, mixed precision, quantization-aware training.

The networks are trained on the data set in $SCENEFRONT_DATA (its folders `scenes` and `impulse_responses`), and each
variant is evaluated from its file, with ONNX Runtime, on the evaluation clips. `python -m benchmarks.int8` writes
results/int8.md; with `--checkpoints`, trained networks are loaded, and interrupted trainings resumed.
"""

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import click
import torch

from benchmarks.measurement import Measurement
from data.device import num_cores
from data.layout import read_scenes
from search.artifact.evaluation import load_dataset_for
from search.artifact.files import MIXED, PTQ, QAT
from search.artifact.reading import Export
from search.cli.quantize import comparison_table
from search.config.trial_config import TrialConfig
from search.export.quantization_variants import Comparison, compare
from search.report.table import Table
from training.allocator import keep_freed_memory
from training.checkpoint import read_checkpoint
from training.compute_mode import ComputeMode, supports_bf16
from training.dataset import load_dataset
from training.inference_preprocessing import InferencePreprocessing
from training.loop import TrainingRun

CPU = torch.device("cpu")
COMPUTE_MODE = ComputeMode(channels_last=True, bf16=supports_bf16(CPU))
BATCH_SIZE, EPOCHS, FINETUNING_EPOCHS = 64, 24, 8
MAX_DROP = 1.0  # points
# Name in the table -> architecture and values. The first four have a goal.
NETWORKS: dict[str, tuple[str, Mapping[str, Any]]] = {
    "isotropic": ("isotropic", {}),
    "TF-SepNet, C = 40": ("tf_sepnet", {}),
    "CP-Mobile": ("cp_mobile", {}),
    "separable CNN": ("sep_cnn", {}),
    "BC-ResNet-Mod": ("bc_resnet", {}),
    "CP-ResNet, W = 64, G = 4": ("cp_resnet", {"width": 64, "groups": 4}),
}
WITH_GOAL = tuple(NETWORKS)[:4]


def config_of(name: str, num_classes: int, epochs: int) -> TrialConfig:
    """Return the configuration of a network of `NETWORKS`."""
    architecture, values = NETWORKS[name]
    fields = {"num_classes": num_classes, "batch_size": BATCH_SIZE, "epochs": epochs, **values}
    return TrialConfig.from_values(architecture, fields)


def train(data: Path, cache: Path, name: str, epochs: int, checkpoints: Path) -> Path:
    """Train a network on one core, or resume its training; return the path of its checkpoint."""
    keep_freed_memory()
    torch.set_num_threads(1)
    path = checkpoints / f"{NETWORKS[name][0]}.safetensors"
    scenes = read_scenes(data / "scenes")
    config = config_of(name, len(scenes.classes), epochs)
    dataset = load_dataset(scenes, config.front_end_config, data / "impulse_responses", cache)
    run = TrainingRun(config.build, config.recipe, dataset, CPU, COMPUTE_MODE)
    if path.is_file():
        run.load(path)
    while not run.is_over:
        run.run_epoch()
        run.save(path)
    return path


def train_and_compare(data: Path, cache: Path, name: str, epochs: int, checkpoints: Path) -> Comparison:
    """Train a network, unless it is fully trained, and compare its variants."""
    path = train(data, cache, name, epochs, checkpoints)
    scenes = read_scenes(data / "scenes")
    config = config_of(name, len(scenes.classes), epochs)
    network = config.build()
    read_checkpoint(path).restore_network(network)
    export = Export(config, scenes.classes, network.eval(), InferencePreprocessing.of(config.recipe, None))
    dataset = load_dataset_for(export, scenes, data / "impulse_responses", cache)
    with tempfile.TemporaryDirectory(prefix="scenefront-") as folder:
        return compare(export, dataset, Path(folder), epochs=FINETUNING_EPOCHS)


def measure() -> Iterator[Measurement]:
    """Yield the accuracy drop of the best int8 variant of each network with a goal."""
    data = data_folder()
    with tempfile.TemporaryDirectory(prefix="scenefront-") as folder:
        for name, comparison in run_all(data, WITH_GOAL, EPOCHS, Path(folder)):
            best = min((comparison[each] for each in (PTQ, MIXED, QAT)), key=lambda variant: variant.accuracy_drop)
            measured = {
                **{f"{variant.name}_percent": 100 * variant.quality.macro_accuracy for variant in comparison.variants},
                "interval_points": 100 * best.accuracy_drop_ci,
                "weight_bytes": float(best.stored.weight_bytes),
            }
            drop = 100 * best.accuracy_drop
            yield Measurement(
                f"{name}: accuracy drop of int8, as {best.name}", drop, "points", MAX_DROP, False, measured
            )


def data_folder() -> Path:
    """Return the folder of data sets in $SCENEFRONT_DATA.

    Raises:
        UsageError: It is not set.
    """
    folder = os.environ.get("SCENEFRONT_DATA")
    if folder is None:
        raise click.UsageError("set SCENEFRONT_DATA to a folder with scenes/ and impulse_responses/")
    return Path(folder)


def run_all(data: Path, names: Sequence[str], epochs: int, checkpoints: Path) -> Iterator[tuple[str, Comparison]]:
    """Train and compare networks, one per core at a time; yield the comparisons in the order of the names."""
    with ProcessPoolExecutor(num_cores(), mp_context=get_context("spawn")) as pool:
        futures = {
            name: pool.submit(train_and_compare, data, checkpoints / "cache", name, epochs, checkpoints)
            for name in names
        }
        for name, future in futures.items():
            yield name, future.result()


def page(comparisons: Mapping[str, Comparison], description: str) -> str:
    """Return the results page, with a row per variant of each network."""
    tables = {name: comparison_table(comparison, "") for name, comparison in comparisons.items()}
    head = next(iter(tables.values())).head
    rows = [[name, *row] for name, table in tables.items() for row in table.rows]
    table = Table("", ("network", *head), rows, texts=("variant", "fp32 layers")).to_markdown()
    return f"# Accuracy drop of int8\n\n{description}\n\n{table}\n"


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(list(NETWORKS)), metavar="[NAMES]...")
@click.option("--epochs", default=EPOCHS, show_default=True, help="Epochs of each training.")
@click.option(
    "--checkpoints", type=click.Path(path_type=Path), help="Folder of the networks' checkpoints. [default: temporary]"
)
@click.option("--out", type=click.Path(path_type=Path), default=Path("results/int8.md"), show_default=True)
def main(names: Sequence[str], epochs: int, checkpoints: Path | None, out: Path) -> None:
    """Train the networks NAMES, by default all, compare their variants and write the results page."""
    data = data_folder()
    scenes = read_scenes(data / "scenes")
    with tempfile.TemporaryDirectory(prefix="scenefront-") as temporary:
        folder = Path(temporary) if checkpoints is None else checkpoints
        comparisons: dict[str, Comparison] = {}
        for name, comparison in run_all(data, names or list(NETWORKS), epochs, folder):
            comparisons[name] = comparison
            click.echo(f"{name}: " + ", ".join(f"{v.name} {v.quality.macro_accuracy:.1%}" for v in comparison.variants))
    description = (
        f"Published networks, {epochs} epochs with batches of {BATCH_SIZE} on {len(scenes.train):,} training clips "
        f"with impulse responses, {COMPUTE_MODE}; every row is evaluated from its file, through ONNX Runtime, on "
        f"{len(scenes.evaluate):,} evaluation clips of {len(scenes.classes)} scenes. The accuracy drop is that of "
        "macro accuracy against fp32, in points, with its 95 % interval from paired clips; below zero, int8 was better "
        "by chance. Disagreement is the share of clips with another predicted class than fp32's. ptq: post-training "
        "quantization, ranges calibrated on training clips; mixed: the same, with the most sensitive layers in fp32; "
        f"qat: {FINETUNING_EPOCHS} epochs of quantization-aware training. Sizes are bytes, as read from the file: "
        "weights, these with biases and unfolded norms, scales and zero points, and the whole file with its graph.\n\n"
        "Made by `SCENEFRONT_DATA=... python -m benchmarks.int8`."
    )
    out.write_text(page(comparisons, description), encoding="utf-8")
    click.echo(str(out))


if __name__ == "__main__":
    main()
