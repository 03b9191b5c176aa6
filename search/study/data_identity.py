"""Which data a study was made on, so that another data set in the same place is noticed. Needs no torch."""

import hashlib
from typing import Any

from data.layout import Scenes


def describe_data(scenes: Scenes) -> dict[str, Any]:
    """Say which data this was, as a search takes it: validation clips in the place of the evaluation clips."""
    return {
        "classes": list(scenes.classes),
        "devices": list(scenes.devices),
        "split": scenes.split,
        "training_clips": len(scenes.train),
        "evaluation_clips": len(scenes.evaluate),
        "lists_sha256": lists_digest(scenes),
    }


def lists_digest(scenes: Scenes) -> str:
    """Give the SHA-256 of which clips there are, what they are, and on which side."""
    digest = hashlib.sha256()
    columns = scenes.clips[["filename", "scene_label", "source_label"]]
    for rows in (scenes.train, scenes.evaluate):
        digest.update(columns.iloc[rows].to_csv(sep="\t", index=False).encode())
    return digest.hexdigest()
