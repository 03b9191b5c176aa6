"""Ways to int8, side by side: after training, with some layers left in fp32, and trained for it.

    fp32   the network as it is: model.onnx
    ptq    post-training quantization: weights rounded, ranges calibrated on training clips
    mixed  the same, with the layers in fp32 that cost most when they are rounded
    qat    quantization-aware training: the network trained some epochs more, hearing itself rounded

Each is written as a file and measured from it, through ONNX Runtime, on the evaluation clips. All that is calibrated,
ranked or trained hears training clips alone.
"""

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from objectives.quality import Quality
from search.artifact.files import CALIBRATION_METHODS, FP32, MIXED, PTQ, QAT, QAT_EPOCHS, VARIANTS
from search.artifact.onnx_runtime import load_onnx
from search.artifact.reading import Export
from search.artifact.stored_values import Stored, read_stored
from search.export.batch_norm_folding import plain_network
from search.export.int8 import (
    calibrated_ranges,
    calibration_clips,
    choose_float_layers,
    int8_proto,
    write_int8,
)
from search.export.onnx_files import write_model, write_proto
from training.dataset import SceneDataset
from training.loop import TrainingRun
from training.recipe import Recipe

TUNED_RATE = 0.1  # times the learning rate that the network was trained with
NORMAL_95 = statistics.NormalDist().inv_cdf(0.975)  # half of the width of a 95 % interval, in standard deviations
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Variant:
    """One way to store a network, measured from its file.

    Attributes:
        name: Of `VARIANTS`.
        path: Of the file.
        quality: On the evaluation clips.
        lost: Macro accuracy less than fp32's; below zero where it is more.
        lost_half: What lies to either side of `lost` in its 95 % interval, from the clips that both heard.
        changed: Share of the evaluation clips that get another class than from fp32.
        stored: What the file stores.
        file_bytes: Its size.
        float_layers: Layers that are not rounded.
    """

    name: str
    path: Path
    quality: Quality
    lost: float
    lost_half: float
    changed: float
    stored: Stored
    file_bytes: int
    float_layers: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return {
            "variant": self.name,
            "macro_accuracy": self.quality.macro_accuracy,
            "log_loss": self.quality.log_loss,
            "lost": self.lost,
            "lost_half": self.lost_half,
            "changed": self.changed,
            "weight_bytes": self.stored.weight_bytes,
            "value_bytes": self.stored.value_bytes,
            "scale_bytes": self.stored.scale_bytes,
            "file_bytes": self.file_bytes,
            "float_layers": list(self.float_layers),
        }


@dataclass(frozen=True)
class Comparison:
    """The variants of one network, and on how many evaluation clips they were measured."""

    variants: tuple[Variant, ...]
    num_clips: int

    def __getitem__(self, name: str) -> Variant:
        return next(each for each in self.variants if each.name == name)


def compare(
    export: Export,
    dataset: SceneDataset,
    folder: Path,
    *,
    epochs: int = QAT_EPOCHS,
    method: str = CALIBRATION_METHODS[0],
    say: Callable[[str], None] = lambda _: None,
) -> Comparison:
    """Write a network each way and measure each file.

    Args:
        export: The network. One that was trained for int8 is not trained again: its own ranges and weights are `QAT`,
            and the others are made of its weights in fp32.
        dataset: Clips, with the network's scenes in its order, and impulse responses if it is to be trained with them.
        folder: Where the files are written.
        epochs: That the network is trained for int8.
        method: How ranges are calibrated, of `CALIBRATION_METHODS`.
        say: Told what is done.
    """
    plain = replace(export, network=plain_network(export.network, export.config), quantizer=None)
    clips = calibration_clips(dataset, export.preprocessing)
    paths = {name: folder / f"{name}.onnx" for name in VARIANTS}
    write_model(paths[FP32], plain)
    say("calibrating")
    ranges = calibrated_ranges(plain, clips, method)
    write_proto(paths[PTQ], int8_proto(plain, ranges))
    float_layers = choose_float_layers(plain, clips, ranges)
    write_proto(paths[MIXED], int8_proto(plain, ranges, float_layers))
    tuned = export if export.quantizer is not None else tune(plain, dataset, epochs, say)
    write_int8(paths[QAT], tuned, clips)
    say("measuring")
    variants: list[Variant] = []
    reference: Tensor | None = None
    for name, path in paths.items():
        made = tuned if name == QAT else plain
        answers = dataset.log_probabilities(load_onnx(path, made.config), CPU, made.preprocessing)
        reference = answers if reference is None else reference
        lost, half, changed = _loss(dataset, reference, answers)
        quality, stored, left = dataset.score(answers), read_stored(path), float_layers if name == MIXED else ()
        variants.append(Variant(name, path, quality, lost, half, changed, stored, path.stat().st_size, left))
    return Comparison(tuple(variants), len(dataset.scenes.evaluate))


def _loss(dataset: SceneDataset, reference: Tensor, answers: Tensor) -> tuple[float, float, float]:
    """Return the macro accuracy lost, half of its 95 % interval, and the share of clips with another class.

    Both were asked the same clips, so only those count that one gets right and the other wrong.
    """
    labels = dataset.scenes.labels[dataset.scenes.evaluate]
    before, after = reference.argmax(1).numpy(), answers.argmax(1).numpy()
    lost = (before == labels).astype(float) - (after == labels)
    by_class = [lost[labels == number] for number in np.unique(labels)]
    variance = sum(float(each.var()) / len(each) for each in by_class) / len(by_class) ** 2
    mean = statistics.fmean(float(each.mean()) for each in by_class)
    return mean, NORMAL_95 * math.sqrt(variance), float((before != after).mean())


def tune(export: Export, dataset: SceneDataset, epochs: int, say: Callable[[str], None] = lambda _: None) -> Export:
    """Train a network for int8 from the weights that it has, and give it as an export that rounds.

    It hears itself rounded from the first step on, at a tenth of the learning rate that it was trained with; what else
    its recipe does to sound and loss stays. It is not distilled again, and nothing is averaged; of a pruned network the
    pruned weights stay zero.

    Args:
        export: The network.
        dataset: As `compare` takes it.
        epochs: That it is trained.
        say: Told how far it is.
    """
    recipe = tuning_recipe(export.config.recipe, epochs, has_responses=dataset.responses is not None)
    config = replace(export.config, recipe=recipe)
    weights = export.network.state_dict()

    def trained() -> nn.Module:
        network = config.build()
        network.load_state_dict(weights)
        return network

    run = TrainingRun(trained, recipe, dataset, CPU)
    while not run.is_over:
        say(f"training for int8: epoch {run.epoch + 1} of {epochs}")
        run.run_epoch()
    quantizer = run.weight_methods.quantizer
    assert quantizer is not None
    quantizer.attach()
    return replace(
        export, config=config, network=run.network.eval(), preprocessing=run.preprocessing, quantizer=quantizer
    )


def tuning_recipe(recipe: Recipe, epochs: int, *, has_responses: bool) -> Recipe:
    """Return how a network is trained for int8 that was trained by `recipe`.

    Args:
        recipe: Of its training.
        epochs: That it is trained now.
        has_responses: Whether there are impulse responses.
    """
    if not has_responses:
        recipe = replace(recipe, impulse_response_p=0.0, simulated_devices=0)
    return replace(
        recipe, epochs=epochs, quantize_share=1.0, learning_rate=TUNED_RATE * recipe.learning_rate, warmup_share=0.0,
        plateau_share=0.0, restart_epochs="", swa_epochs=0, ema_decay=0.0, distill_weight=0.0,
        prune_share=1 / epochs,
    )  # fmt: skip
