"""Exports as teachers of knowledge distillation: their logits on the training clips."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from data.layout import Scenes
from search.artifact.certificate import CONFIG, WEIGHTS
from search.artifact.files import INFERENCE_STATE
from search.artifact.reading import load_export
from search.config.user_file import file_digest
from training.dataset import SceneDataset
from training.loop import default_device
from training.teacher import Teacher, teacher_logits


def read_teacher(folder: Path) -> Teacher:
    """Read an export as a teacher.

    Raises:
        ExportError: The folder is no export, or one that this version cannot run.
        CheckpointError: Its weights are missing, broken, or of another network.
    """
    export = load_export(folder)
    config, digest = export.config.front_end_config, export_digest(folder)
    return Teacher(str(folder), export.network, config, export.classes, digest, export.preprocessing)


def export_digest(folder: Path) -> str:
    """Return the SHA-256 of what decides an export's predictions: weights, config, and inference state."""
    names = [name for name in (WEIGHTS, CONFIG, INFERENCE_STATE) if (folder / name).is_file()]
    digests = [file_digest(folder / name) for name in names]
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()


def mean_logits(
    folders: Sequence[str], scenes: Scenes, cache: str | None, progress: Callable[[int, int], None] | None = None
) -> Tensor | None:
    """Return the mean logits of teachers on the training clips, (N, K); None if there is no teacher.

    Raises:
        ExportError: A folder is no export that can be run.
        CheckpointError: The weights of one are missing, broken, or of another network.
        DataError: A teacher has other classes, or the audio cannot be read.
    """
    if not folders:
        return None
    teachers = [read_teacher(Path(folder)) for folder in folders]
    return teacher_logits(teachers, scenes, None if cache is None else Path(cache), default_device(), progress)


def with_teacher_logits(dataset: SceneDataset, logits: Tensor | None) -> SceneDataset:
    """Return the data set with a teacher's logits; as it is if there are none."""
    return dataset if logits is None else replace(dataset, teacher=logits)
