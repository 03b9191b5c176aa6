"""How an export does on a data set."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from data.layout import Scenes
from objectives.quality import Quality
from search.export.reading import Export, ExportError
from training.loop import default_device
from training.material import Material, load_material


def measure_export(export: Export, scenes: Scenes, cache: Path | None) -> Quality:
    """Measure an export on the evaluation clips of a data set.

    Args:
        export: The network.
        scenes: The data set.
        cache: Folder of the decoded sound; None: beside the data.

    Raises:
        DataError: The sound cannot be read.
        ExportError: The data has scenes that the network does not know.
    """
    device = default_device()
    return material_for(export, scenes, None, cache).evaluate(export.network.to(device), device, export.hearing)


def material_for(export: Export, scenes: Scenes, responses: Path | None, cache: Path | None) -> Material:
    """Open a data set as an export hears it, its scenes numbered as the network's outputs are.

    Args:
        export: The network.
        scenes: The data set.
        responses: Folder of impulse responses, or None.
        cache: Folder of the decoded sound; None: beside the data.

    Raises:
        DataError: The sound or the impulse responses cannot be read.
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
    return load_material(scenes, export.config.front_end_config, responses, cache)
