"""Teacher logits of every training clip, for knowledge distillation: computed once and cached on disk.

Logits of several teachers are averaged. The cache lies beside the decoded waveforms, is written atomically, and its
name holds a hash of the teachers and the clips.

Shape letters: N training clips, K classes.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor, nn

from data.errors import DataError
from data.front_end import FrontEndConfig
from data.layout import Scenes
from data.store import folders, folders_to_write
from training.checkpoint import CheckpointError, read_tensors, write_tensors
from training.dataset import EVALUATION_BATCH, EVALUATION_BATCH_ON_GPU, SceneDataset, load_dataset, split_batches
from training.inference_preprocessing import DEFAULT_PREPROCESSING, NO_SHIFT, InferencePreprocessing, Shift

FORMAT = 1  # part of the cache key: increment it when the computation of the logits changes
LOGITS = "logits"


@dataclass(frozen=True)
class Teacher:
    """A trained network to distil from.

    Attributes:
        name: Name in messages.
        network: In eval mode.
        front_end: Its front end.
        classes: Names of the K scenes, in the order of its outputs.
        digest: Hash of all that its logits depend on: weights and configs.
        preprocessing: Inference preprocessing of a clip.
    """

    name: str
    network: nn.Module
    front_end: FrontEndConfig
    classes: tuple[str, ...]
    digest: str
    preprocessing: InferencePreprocessing = DEFAULT_PREPROCESSING


def teacher_logits(
    teachers: Sequence[Teacher],
    scenes: Scenes,
    cache: Path | None,
    device: torch.device,
    progress: Callable[[int, int], None] | None = None,
) -> Tensor:
    """Return the mean logits of some teachers on the training clips: (N, K), in the order of `scenes.train`.

    They are read from the cache, or computed and cached. Of concurrent processes the first computes them, the
    others wait.

    Args:
        cache: Folder of the decoded waveforms; None: beside the data.

    Raises:
        DataError: A teacher has other classes or logits that are not finite, or the clips cannot be read.
    """
    _require_same_classes(teachers, scenes)
    datasets = {teacher.front_end: load_dataset(scenes, teacher.front_end, None, cache) for teacher in teachers}
    stores = [datasets[teacher.front_end].store.path for teacher in teachers]
    name = f"teacher-{_digest(teachers, scenes, stores)}.safetensors"
    shape = len(scenes.train), len(scenes.classes)
    known = _find([folder / name for folder in folders(scenes.root, cache)], shape)
    if known is not None:
        return known
    refused = []
    for path in (folder / name for folder in folders_to_write(scenes.root, cache)):
        lock = FileLock(path.with_suffix(".lock"))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except OSError as error:
            refused.append(f"{path.parent} ({error.strerror})")
            continue
        try:
            known = _find([path], shape)
            if known is None:
                known = _mean_logits(teachers, scenes, datasets, device, progress)
                write_tensors(path, {LOGITS: known}, {"teachers": ", ".join(teacher.name for teacher in teachers)})
            return known
        finally:
            lock.release()
    raise DataError(f"no folder for the teacher's logits can be written: {', '.join(refused)}; give another as cache")


def _require_same_classes(teachers: Sequence[Teacher], scenes: Scenes) -> None:
    for teacher in teachers:
        if sorted(teacher.classes) != sorted(scenes.classes):
            raise DataError(
                f"the teacher {teacher.name} has the classes {', '.join(teacher.classes)}, but {scenes.root} has "
                f"{', '.join(scenes.classes)}; a teacher must have the same classes"
            )


def _digest(teachers: Sequence[Teacher], scenes: Scenes, stores: Sequence[Path]) -> str:
    """Return a hash of the teachers, the stores of their clips, and the clips' order."""
    digest = hashlib.sha256(f"{FORMAT}\n".encode())
    for line in sorted(f"{teacher.digest} {store.name}\n" for teacher, store in zip(teachers, stores, strict=True)):
        digest.update(line.encode())
    for part in (*scenes.classes, *scenes.clips["filename"].iloc[scenes.train]):
        digest.update(f"{part}\n".encode())
    return digest.hexdigest()[:16]


def _find(paths: Sequence[Path], shape: tuple[int, int]) -> Tensor | None:
    """Read the first valid cache file; a broken one is ignored."""
    for path in paths:
        with suppress(CheckpointError):
            logits = read_tensors(path)[0].get(LOGITS)
            if logits is not None and logits.shape == shape and bool(logits.isfinite().all()):
                return logits
    return None


def _mean_logits(
    teachers: Sequence[Teacher],
    scenes: Scenes,
    datasets: Mapping[FrontEndConfig, SceneDataset],
    device: torch.device,
    progress: Callable[[int, int], None] | None,
) -> Tensor:
    total, done = len(teachers) * len(scenes.train), 0
    logits = torch.zeros(len(scenes.train), len(scenes.classes))
    for teacher in teachers:
        before = done
        for batch in _teacher_batches(teacher, scenes, datasets[teacher.front_end], device):
            rows = slice(done - before, done - before + len(batch))
            logits[rows] += batch / len(teachers)
            done += len(batch)
            if progress is not None:
                progress(done, total)
    return logits


def _teacher_batches(teacher: Teacher, scenes: Scenes, dataset: SceneDataset, device: torch.device) -> Iterator[Tensor]:
    """Yield one teacher's logits batch by batch: (B, K), the classes in the order of the data.

    Raises:
        DataError: They are not finite.
    """
    network = teacher.network.to(device).eval()
    order = [teacher.classes.index(name) for name in scenes.classes]
    for rows in split_batches(scenes.train, EVALUATION_BATCH_ON_GPU if device.type == "cuda" else EVALUATION_BATCH):
        with torch.inference_mode():
            batch = _logits(network, dataset, rows, device, teacher.preprocessing).cpu()[:, order]
        if not bool(batch.isfinite().all()):
            raise DataError(f"the teacher {teacher.name} has logits that are not finite")
        yield batch


def _logits(
    network: nn.Module,
    dataset: SceneDataset,
    rows: np.ndarray,
    device: torch.device,
    preprocessing: InferencePreprocessing,
) -> Tensor:
    """Return the logits (B, K) of the clips at `rows`; with test-time augmentation, log probabilities."""

    def logits(shift: Shift) -> Tensor:
        of_copy: Tensor = network(dataset.spectrograms(rows, device, preprocessing, shift)).float()
        return of_copy

    return preprocessing.mean_log_probabilities(dataset.front_end, logits) if preprocessing.copies else logits(NO_SHIFT)
