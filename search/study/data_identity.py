"""Which data a study was made on, so that another data set in the same place is noticed. Needs no torch."""

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from data.errors import DataError
from data.layout import Scenes


def describe_data(scenes: Scenes) -> dict[str, Any]:
    """Describe which data this was, as a search takes it: validation clips in the place of the evaluation clips."""
    return {
        "classes": list(scenes.classes),
        "devices": list(scenes.devices),
        "split": scenes.split,
        "training_clips": len(scenes.train),
        "evaluation_clips": len(scenes.evaluate),
        "lists_sha256": lists_digest(scenes),
    }


def lists_digest(scenes: Scenes) -> str:
    """Return the SHA-256 of which clips there are, what they are, and on which side."""
    digest = hashlib.sha256()
    columns = scenes.clips[["filename", "scene_label", "source_label"]]
    for rows in (scenes.train, scenes.evaluate):
        digest.update(columns.iloc[rows].to_csv(sep="\t", index=False).encode())
    return digest.hexdigest()


def require_measurable(objectives: Sequence[str], scenes: Scenes) -> None:
    """Pass clips on which every objective can be measured.

    Args:
        objectives: Names of `GOALS`.
        scenes: Of which `evaluate` are the clips that are chosen by.

    Raises:
        DataError: The accuracy on unseen devices is an objective, and training hears every device of these clips.
    """
    if "unseen_accuracy" not in objectives:
        return
    heard = {scenes.devices[index] for index in np.unique(scenes.device_index[scenes.evaluate])}
    if not any(scenes.device_groups[device] == "unseen" for device in heard):
        raise DataError(
            "the objective unseen_accuracy needs clips of devices that training does not hear, and of the "
            f"{len(scenes.evaluate):,} clips to choose by there are none; name some with --unseen-devices, of "
            f"{', '.join(sorted(heard))}"
        )
