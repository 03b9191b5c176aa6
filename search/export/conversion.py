"""Conversion of the weights of an export to ONNX, int8 and ExecuTorch files."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from torch import Tensor

from search.artifact.certificate import WEIGHTS
from search.artifact.evaluation import evaluate
from search.artifact.files import INT8, MIXED, MODEL, NONE, PIPELINE, PROGRAM, PTQ, ProgressLog
from search.artifact.opening import open_file
from search.artifact.reading import Export, read_export
from search.export.executorch_file import write_program
from search.export.int8 import calibrated_ranges, calibration_clips, choose_float_layers, int8_proto
from search.export.onnx_files import NotConvertibleError, save_model, write_model, write_pipeline
from training.dataset import SceneDataset

MAX_ACCURACY_DROP = 0.01  # in macro accuracy, of quantizing all layers; above it some layers stay in fp32
MAX_VALIDATION_CLIPS = 1024  # that measure this drop


def convert(
    folder: Path, dataset: SceneDataset, validation: SceneDataset, *, int8: str, executorch: bool, log: ProgressLog
) -> list[str]:
    """Write the other files of a folder that holds a config and weights.

    Args:
        folder: Folder of the export; its certificate is not written yet.
        dataset: Data set whose training clips calibrate the activations.
        validation: Data set whose `evaluate` measures the accuracy drop of quantization: never evaluation clips. It
            has a store of its own: clips that a search on a small split holds out may be of a larger one.
        int8: One of `INT8_CHOICES`; auto quantizes all layers unless that drops the accuracy by more than
            `MAX_ACCURACY_DROP`.

    Returns:
        Notes for the card.

    Raises:
        ExportError: The network cannot be written.
        CheckpointError: ExecuTorch is requested and not installed.
    """
    export, notes = read_export(folder), []
    log(f"writing {MODEL}")
    try:
        write_model(folder / MODEL, export)
    except NotConvertibleError as error:
        return [f"{MODEL} and all that is made of it are left out: {error}"]
    log(f"writing {PIPELINE}")
    try:
        write_pipeline(folder / PIPELINE, export)
    except NotConvertibleError as error:
        notes.append(f"{PIPELINE} is left out: {error}")
    clips = calibration_clips(dataset, export.preprocessing) if int8 != NONE or executorch else []
    if int8 != NONE:
        notes += _quantize(folder, export, validation, int8, clips, log)
    if executorch:
        log(f"writing {PROGRAM}")
        write_program(folder / PROGRAM, export, clips)
    return notes


def _quantize(
    folder: Path,
    export: Export,
    validation: SceneDataset,
    int8: str,
    clips: list[Tensor],
    log: ProgressLog,
) -> list[str]:
    """Write the network quantized to int8; return notes for the card."""
    path, ranges = folder / INT8, calibrated_ranges(export, clips)
    if int8 != MIXED:
        log(f"writing {INT8}")
        save_model(path, int8_proto(export, ranges))
        if int8 == PTQ:
            return []
        every = validation.scenes.evaluate
        count = min(MAX_VALIDATION_CLIPS, len(every))
        indices = every[np.linspace(0, len(every) - 1, count).astype(int)]
        held_out = replace(validation, scenes=replace(validation.scenes, evaluate=indices))
        files = (open_file(folder, name) for name in (WEIGHTS, INT8))
        fp32, quantized = (evaluate(each, held_out).macro_accuracy for each in files)
        points = round(100 * (fp32 - quantized), 1) + 0.0  # never -0.0
        log(
            f"quantization drops the macro accuracy by {points} points on {count:,} clips that are not evaluation clips"
        )
        if fp32 - quantized <= MAX_ACCURACY_DROP:
            return []
    log("ranking layers by their sensitivity to quantization")
    float_layers = choose_float_layers(export, clips, ranges)
    log(f"writing {INT8}, {', '.join(float_layers) or 'no layer'} in fp32")
    save_model(path, int8_proto(export, ranges, float_layers))
    return [f"{INT8} keeps the most sensitive layers in fp32: {', '.join(float_layers)}."] if float_layers else []
