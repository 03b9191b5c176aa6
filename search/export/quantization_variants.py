"""Comparison of quantization variants: post-training, mixed precision, quantization-aware training.

    fp32   the network as it is: model.onnx
    ptq    post-training quantization: all layers in int8, ranges calibrated on training clips
    mixed  mixed precision: the same, with the most sensitive layers in fp32
    qat    quantization-aware training: the network fine-tuned for some epochs with fake quantization

Each is written as a file and evaluated from it, through ONNX Runtime, on the evaluation clips. Calibration, ranking and
fine-tuning use training clips only.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from objectives.quality import Quality
from objectives.sampling_error import paired_difference
from search.artifact.files import CALIBRATION_METHODS, FP32, MIXED, PTQ, QAT, QAT_EPOCHS, VARIANTS, ProgressLog, no_log
from search.artifact.onnx_runtime import load_onnx
from search.artifact.reading import Export
from search.artifact.stored_values import StoredValues, read_stored_values
from search.export.batch_norm_folding import float_network
from search.export.int8 import (
    calibrated_ranges,
    calibration_clips,
    choose_float_layers,
    int8_proto,
    write_int8,
)
from search.export.onnx_files import save_model, write_model
from training.dataset import SceneDataset
from training.loop import TrainingRun
from training.recipe import Recipe

QAT_RATE_FACTOR = 0.1  # learning rate of fine-tuning over that of the training
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Variant:
    """One variant of a network, evaluated from its file.

    Attributes:
        name: One of `VARIANTS`.
        path: The file.
        quality: On the evaluation clips.
        accuracy_drop: Macro accuracy of fp32 minus this one's.
        accuracy_drop_ci: Half the width of the 95 % confidence interval of `accuracy_drop`, paired by recording.
        disagreement: Share of the evaluation clips with another predicted class than fp32's.
        stored: Stored values of the file.
        file_bytes: Size of the file, bytes.
        float_layers: Layers that stay in fp32.
    """

    name: str
    path: Path
    quality: Quality
    accuracy_drop: float
    accuracy_drop_ci: float
    disagreement: float
    stored: StoredValues
    file_bytes: int
    float_layers: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serializable record."""
        return {
            "variant": self.name,
            "macro_accuracy": self.quality.macro_accuracy,
            "log_loss": self.quality.log_loss,
            "accuracy_drop": self.accuracy_drop,
            "accuracy_drop_ci": self.accuracy_drop_ci,
            "disagreement": self.disagreement,
            "weight_bytes": self.stored.weight_bytes,
            "value_bytes": self.stored.value_bytes,
            "scale_bytes": self.stored.scale_bytes,
            "file_bytes": self.file_bytes,
            "float_layers": list(self.float_layers),
        }


@dataclass(frozen=True)
class Comparison:
    """The variants of one network, and the number of evaluation clips."""

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
    log: ProgressLog = no_log,
) -> Comparison:
    """Write every variant of a network and evaluate each file.

    Args:
        dataset: Its classes in the order of the network's outputs; with impulse responses to use them in fine-tuning.
        method: Calibration method, one of `CALIBRATION_METHODS`.
    """
    plain = replace(export, network=float_network(export.network, export.config), quantizer=None)
    clips = calibration_clips(dataset, export.preprocessing)
    paths = {name: folder / f"{name}.onnx" for name in VARIANTS}
    write_model(paths[FP32], plain)
    log("calibrating")
    ranges = calibrated_ranges(plain, clips, method)
    save_model(paths[PTQ], int8_proto(plain, ranges))
    float_layers = choose_float_layers(plain, clips, ranges)
    save_model(paths[MIXED], int8_proto(plain, ranges, float_layers))
    finetuned = export if export.quantizer is not None else finetune_quantized(plain, dataset, epochs, log)
    write_int8(paths[QAT], finetuned, clips)
    log("evaluating")
    predictions = {}
    for name, path in paths.items():
        source = finetuned if name == QAT else plain
        predictions[name] = dataset.log_probabilities(load_onnx(path, source.config), CPU, source.preprocessing)
    qualities = {name: dataset.score(found) for name, found in predictions.items()}
    variants = tuple(
        Variant(
            name,
            path,
            qualities[name],
            *_accuracy_drop(qualities[FP32], qualities[name]),
            float((predictions[name].argmax(1) != predictions[FP32].argmax(1)).float().mean()),
            read_stored_values(path),
            path.stat().st_size,
            float_layers if name == MIXED else (),
        )
        for name, path in paths.items()
    )
    return Comparison(variants, len(dataset.scenes.evaluate))


def _accuracy_drop(reference: Quality, variant: Quality) -> tuple[float, float]:
    """Return the drop in macro accuracy, and half the width of its 95 % interval."""
    found = paired_difference(reference, variant)
    assert found.half is not None  # the data set says of which recording each clip is
    return found.value, 0.0 if variant is reference else found.half


def finetune_quantized(export: Export, dataset: SceneDataset, epochs: int, log: ProgressLog = no_log) -> Export:
    """Fine-tune a network with quantization-aware training; return it with its fake quantization attached.

    Weights and activations are fake-quantized from the first step on, at a tenth of the learning rate of the training;
    augmentation and loss stay as in its recipe, without distillation and weight averaging. Pruned weights stay zero.
    """
    recipe = qat_recipe(export.config.recipe, epochs, has_responses=dataset.responses is not None)
    config = replace(export.config, recipe=recipe)
    weights = export.network.state_dict()

    def pretrained() -> nn.Module:
        network = config.build()
        network.load_state_dict(weights)
        return network

    run = TrainingRun(pretrained, recipe, dataset, CPU)
    while not run.is_over:
        log(f"quantization-aware training: epoch {run.epoch + 1} of {epochs}")
        run.run_epoch()
    quantizer = run.weight_methods.quantizer
    assert quantizer is not None
    quantizer.attach()
    return replace(
        export, config=config, network=run.network.eval(), preprocessing=run.preprocessing, quantizer=quantizer
    )


def qat_recipe(recipe: Recipe, epochs: int, *, has_responses: bool) -> Recipe:
    """Return the recipe of quantization-aware fine-tuning after a training by `recipe`."""
    if not has_responses:
        recipe = replace(recipe, impulse_response_p=0.0, simulated_devices=0)
    return replace(
        recipe, epochs=epochs, quantize_share=1.0, learning_rate=QAT_RATE_FACTOR * recipe.learning_rate,
        warmup_share=0.0, warmup_steps=0, plateau_share=0.0, restart_epochs="", swa_epochs=0, ema_decay=0.0,
        distill_weight=0.0, prune_share=1 / epochs,
    )  # fmt: skip
