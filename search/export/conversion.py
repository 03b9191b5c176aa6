"""Writing the weights of an export as the files that other runtimes take."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from torch import Tensor

from search.artifact.certificate import WEIGHTS
from search.artifact.evaluation import measure
from search.artifact.files import INT8, MIXED, MODEL, NONE, PIPELINE, PROGRAM, PTQ, Say
from search.artifact.opening import open_file
from search.artifact.reading import Export, read_export
from search.export.executorch_file import write_program
from search.export.int8 import calibrated_ranges, calibration_clips, choose_float_layers, int8_proto
from search.export.onnx_files import NotExpressibleError, write_model, write_pipeline, write_proto
from training.dataset import SceneDataset

MAX_LOST = 0.01  # of macro accuracy, by rounding all layers; where it is more, some are left as they are
MAX_JUDGED = 1024  # clips that are enough to tell


def convert(
    folder: Path, dataset: SceneDataset, judges: np.ndarray, *, int8: str, executorch: bool, say: Say
) -> list[str]:
    """Write the other files of a folder that holds a config and weights.

    Args:
        folder: Of the export; its certificate is not written yet.
        dataset: With the training clips, by which activations are calibrated.
        judges: Rows of clips by which it is judged what rounding loses: never evaluation clips.
        int8: One of `INT8_CHOICES`: all layers rounded, only those that can be, nothing; or (auto) all, but for where
            that loses more than `MAX_LOST`.
        executorch: Whether a program for ExecuTorch is written.
        say: Told what is being done.

    Returns:
        Notes for the card.

    Raises:
        ExportError: ExecuTorch was asked for and is not installed, or the network cannot be written.
    """
    export, notes = read_export(folder), []
    say(f"writing {MODEL}")
    try:
        write_model(folder / MODEL, export)
    except NotExpressibleError as error:
        return [f"{MODEL} and all that is made of it are left out: {error}"]
    say(f"writing {PIPELINE}")
    try:
        write_pipeline(folder / PIPELINE, export)
    except NotExpressibleError as error:
        notes.append(f"{PIPELINE} is left out: {error}")
    clips = calibration_clips(dataset, export.preprocessing) if int8 != NONE or executorch else []
    if int8 != NONE:
        notes += _round(folder, export, dataset, judges, int8, clips, say)
    if executorch:
        say(f"writing {PROGRAM}")
        write_program(folder / PROGRAM, export, clips)
    return notes


def _round(
    folder: Path, export: Export, dataset: SceneDataset, judges: np.ndarray, int8: str, clips: list[Tensor], say: Say
) -> list[str]:
    """Write the network rounded to int8; give what there is to note of it."""
    path, ranges = folder / INT8, calibrated_ranges(export, clips)
    if int8 != MIXED:
        say(f"writing {INT8}")
        write_proto(path, int8_proto(export, ranges))
        if int8 == PTQ:
            return []
        some = judges[np.linspace(0, len(judges) - 1, min(MAX_JUDGED, len(judges))).astype(int)]
        judged = replace(dataset, scenes=replace(dataset.scenes, evaluate=some))
        files = (open_file(folder, name) for name in (WEIGHTS, INT8))
        plain, rounded = (measure(each, judged).macro_accuracy for each in files)
        lost = round(100 * (plain - rounded), 1) + 0.0  # never -0.0
        say(f"rounding costs {lost} points of macro accuracy on {len(some):,} clips to judge by")
        if plain - rounded <= MAX_LOST:
            return []
    say("looking for the layers that rounding costs most")
    kept = choose_float_layers(export, clips, ranges)
    say(f"writing {INT8}, {', '.join(kept) or 'no layer'} in fp32")
    write_proto(path, int8_proto(export, ranges, kept))
    return [f"{INT8} keeps layers in fp32 that rounding costs most: {', '.join(kept)}."] if kept else []
