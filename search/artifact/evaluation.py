"""Evaluation of an export, or of any of its files, on a data set."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from data.layout import Scenes, read_scenes
from objectives.quality import Quality
from search.artifact.certificate import WEIGHTS, ExportError
from search.artifact.reading import Export
from training.dataset import EVALUATION_BATCH, SceneDataset, load_dataset, split_batches
from training.loop import default_device

CPU = torch.device("cpu")
MIN_PROBABILITY = 1e-30  # before the logarithm: a file with probabilities as its output may give 0


def evaluate_export(export: Export, data: Path, split: str, cache: Path | None) -> Quality:
    """Evaluate an export on the evaluation clips of a data set.

    Args:
        cache: Folder of the decoded waveforms; None: beside the data.

    Raises:
        DataError: The data cannot be read.
        ExportError: The data has scenes that the network does not know.
    """
    return evaluate(export, load_dataset_for(export, read_scenes(data, split), None, cache))


def load_dataset_for(
    export: Export,
    scenes: Scenes,
    responses: Path | None,
    cache: Path | None,
    progress: Callable[[int, int], None] | None = None,
) -> SceneDataset:
    """Open a data set with the front end of an export, its scenes numbered as the network's outputs.

    Args:
        cache: Folder of the decoded waveforms; None: beside the data.

    Raises:
        DataError: The sound cannot be read.
        ExportError: The data has scenes that the network does not know.
    """
    unknown = [name for name in scenes.classes if name not in export.classes]
    if unknown:
        raise ExportError(
            f"the network has no output for {', '.join(unknown)}; its classes are {', '.join(export.classes)}, "
            f"and {scenes.root} has {', '.join(scenes.classes)}"
        )
    index = np.array([export.classes.index(name) for name in scenes.classes])
    scenes = replace(scenes, classes=export.classes, labels=index[scenes.labels])
    return load_dataset(scenes, export.config.front_end_config, responses, cache, progress)


@torch.inference_mode()
def evaluate(export: Export, dataset: SceneDataset) -> Quality:
    """Evaluate an export on the evaluation clips of `load_dataset_for`, each file by its own runtime.

    A pipeline takes one copy of each clip, and treats its device as unknown.
    """
    if not export.is_pipeline:
        device = default_device() if export.file == WEIGHTS else CPU
        return dataset.evaluate(export.network.to(device), device, export.preprocessing)
    probabilities = [
        export.network(dataset.waveforms(indices, CPU))
        for indices in split_batches(dataset.scenes.evaluate, EVALUATION_BATCH)
    ]
    return dataset.score(torch.cat(probabilities).clamp(min=MIN_PROBABILITY).log())
