"""What trained networks answer to every training clip, to be learned by another: worked out once, and kept.

The answers of several teachers are averaged as logits, as an ensemble of one knowledge. They lie beside the decoded
sound, whole or absent, under a name that says whose answers to which clips they are.

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
from data.store import folders
from training.checkpoint import CheckpointError, read_tensors, write_tensors
from training.dataset import EVALUATION_BATCH, EVALUATION_BATCH_ON_GPU, SceneDataset, load_dataset, split_batches
from training.inference_preprocessing import DEFAULT_PREPROCESSING, NO_SHIFT, InferencePreprocessing, Shift

FORMAT = 1  # raise it when the same name would mean other answers
LOGITS = "logits"


@dataclass(frozen=True)
class Teacher:
    """A trained network to learn from.

    Attributes:
        name: What a person calls it.
        network: In eval mode.
        front_end: What it hears through.
        classes: Names of the K scenes, in the order of its outputs.
        digest: Of all that decides its answers: weights and configs.
        preprocessing: What is done to a clip before it hears it.
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

    They are read where they were worked out before; else they are worked out and kept. Processes that ask at once
    share them: the first works them out, the others wait.

    Args:
        teachers: One or more, each heard through its own front end.
        scenes: The data set.
        cache: Folder of the decoded sound; None: beside the data.
        device: Where the networks run.
        progress: Told how many clips are answered, of all teachers, and of how many.

    Raises:
        DataError: A teacher tells other scenes apart, answers with what is not finite, or the sound cannot be read.
    """
    for teacher in teachers:
        if sorted(teacher.classes) != sorted(scenes.classes):
            raise DataError(
                f"the teacher {teacher.name} tells apart {', '.join(teacher.classes)}, but {scenes.root} holds "
                f"{', '.join(scenes.classes)}; a teacher must know the same scenes"
            )
    datasets = {teacher.front_end: load_dataset(scenes, teacher.front_end, None, cache) for teacher in teachers}
    stores = [datasets[teacher.front_end].store.path for teacher in teachers]
    name = f"teacher-{_digest(teachers, scenes, stores)}.safetensors"
    shape = len(scenes.train), len(scenes.classes)
    candidates = [folder / name for folder in folders(scenes.root, cache)]
    known = _find(candidates, shape)
    if known is not None:
        return known
    refused = []
    for path in candidates:
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
                known = _mean_answers(teachers, scenes, datasets, device, progress)
                write_tensors(path, {LOGITS: known}, {"teachers": ", ".join(teacher.name for teacher in teachers)})
            return known
        finally:
            lock.release()
    raise DataError(f"no folder for the teacher's answers can be written: {', '.join(refused)}; give another as cache")


def _digest(teachers: Sequence[Teacher], scenes: Scenes, stores: Sequence[Path]) -> str:
    """Name whose answers these are, to which clips: a store's name says which sound it holds."""
    digest = hashlib.sha256(f"{FORMAT}\n".encode())
    for line in sorted(f"{teacher.digest} {store.name}\n" for teacher, store in zip(teachers, stores, strict=True)):
        digest.update(line.encode())
    for part in (*scenes.classes, *scenes.clips["filename"].iloc[scenes.train]):
        digest.update(f"{part}\n".encode())
    return digest.hexdigest()[:16]


def _find(paths: Sequence[Path], shape: tuple[int, int]) -> Tensor | None:
    """Read what was kept; what is broken is as good as none."""
    for path in paths:
        with suppress(CheckpointError):
            logits = read_tensors(path)[0].get(LOGITS)
            if logits is not None and logits.shape == shape and bool(logits.isfinite().all()):
                return logits
    return None


def _mean_answers(
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
        for answered in _answers(teacher, scenes, datasets[teacher.front_end], device):
            rows = slice(done - before, done - before + len(answered))
            logits[rows] += answered / len(teachers)
            done += len(answered)
            if progress is not None:
                progress(done, total)
    return logits


def _answers(teacher: Teacher, scenes: Scenes, dataset: SceneDataset, device: torch.device) -> Iterator[Tensor]:
    """Ask one teacher, batch by batch: (B, K), the classes in the order of the data.

    Raises:
        DataError: It answers with what is not finite.
    """
    network = teacher.network.to(device).eval()
    order = [teacher.classes.index(name) for name in scenes.classes]
    for rows in split_batches(scenes.train, EVALUATION_BATCH_ON_GPU if device.type == "cuda" else EVALUATION_BATCH):
        with torch.inference_mode():
            answered = _logits(network, dataset, rows, device, teacher.preprocessing).cpu()[:, order]
        if not bool(answered.isfinite().all()):
            raise DataError(f"the teacher {teacher.name} answers with values that are not finite")
        yield answered


def _logits(
    network: nn.Module,
    dataset: SceneDataset,
    rows: np.ndarray,
    device: torch.device,
    preprocessing: InferencePreprocessing,
) -> Tensor:
    """Ask for the clips at `rows`: (B, K) logits, over copies the logarithm of the mean probabilities."""

    def answer(shift: Shift) -> Tensor:
        answered: Tensor = network(dataset.spectrograms(rows, device, preprocessing, shift)).float()
        return answered

    return preprocessing.mean_log_probabilities(dataset.front_end, answer) if preprocessing.copies else answer(NO_SHIFT)
