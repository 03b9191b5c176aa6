"""How a file of an export does on a data set."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from data.layout import Scenes
from objectives.quality import Quality
from search.artifact.certificate import WEIGHTS, ExportError
from search.artifact.reading import Export
from training.dataset import EVALUATION_BATCH, SceneDataset, load_dataset, split_batches
from training.loop import default_device

CPU = torch.device("cpu")
LEAST_PROBABILITY = 1e-30  # of which a logarithm is taken: a file that gives probabilities may give 0


def measure_export(
    export: Export, scenes: Scenes, cache: Path | None, progress: Callable[[int, int], None] | None = None
) -> Quality:
    """Measure an export on the evaluation clips of a data set.

    Args:
        export: The network.
        scenes: The data set.
        cache: Folder of the decoded sound; None: beside the data.
        progress: Told how many clips are decoded, and of how many.

    Raises:
        DataError: The sound cannot be read.
        ExportError: The data has scenes that the network does not know.
    """
    return measure(export, material_for(export, scenes, None, cache, progress))


def material_for(
    export: Export,
    scenes: Scenes,
    responses: Path | None,
    cache: Path | None,
    progress: Callable[[int, int], None] | None = None,
) -> SceneDataset:
    """Open what an export is to hear of a data set, its scenes numbered as the network's.

    Args:
        export: The network.
        scenes: The data set.
        responses: Folder of impulse responses, to train with; or None.
        cache: Folder of the decoded sound; None: beside the data.
        progress: Told how many clips are decoded, and of how many.

    Raises:
        DataError: The sound cannot be read.
        ExportError: The data has scenes that the network does not know.
    """
    strange = [name for name in scenes.classes if name not in export.classes]
    if strange:
        raise ExportError(
            f"the network knows no {', '.join(strange)}; it tells apart {', '.join(export.classes)}, "
            f"and {scenes.root} holds {', '.join(scenes.classes)}"
        )
    index = np.array([export.classes.index(name) for name in scenes.classes])
    scenes = replace(scenes, classes=export.classes, labels=index[scenes.labels])
    return load_dataset(scenes, export.config.front_end_config, responses, cache, progress)


@torch.inference_mode()
def measure(export: Export, dataset: SceneDataset) -> Quality:
    """Measure an export on the evaluation clips of `material_for`: its weights by torch, its other files as they run.

    A pipeline hears every clip as of a device that it does not know, once.
    """
    if not export.is_pipeline:
        device = default_device() if export.file == WEIGHTS else CPU
        return dataset.evaluate(export.network.to(device), device, export.preprocessing)
    answers = [
        export.network(dataset.waveforms(rows, CPU))
        for rows in split_batches(dataset.scenes.evaluate, EVALUATION_BATCH)
    ]
    return dataset.score(torch.cat(answers).clamp(min=LEAST_PROBABILITY).log())
