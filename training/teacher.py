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

from data.front_end import FrontEndConfig
from data.layout import DataError, Scenes
from data.store import folders
from training.checkpoint import CheckpointError, read_tensors, write_tensors
from training.dataset import EVALUATION_BATCH, EVALUATION_BATCH_ON_GPU, Material, batched, load_material
from training.inference_preprocessing import PLAINLY, UNSHIFTED, Hearing, Shift

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
        hearing: What is done to a clip before it hears it.
    """

    name: str
    network: nn.Module
    front_end: FrontEndConfig
    classes: tuple[str, ...]
    digest: str
    hearing: Hearing = PLAINLY


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
    materials = {teacher.front_end: load_material(scenes, teacher.front_end, None, cache) for teacher in teachers}
    stores = [materials[teacher.front_end].store.path for teacher in teachers]
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
                known = _mean_answers(teachers, scenes, materials, device, progress)
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
    materials: Mapping[FrontEndConfig, Material],
    device: torch.device,
    progress: Callable[[int, int], None] | None,
) -> Tensor:
    total, done = len(teachers) * len(scenes.train), 0
    logits = torch.zeros(len(scenes.train), len(scenes.classes))
    for teacher in teachers:
        before = done
        for answered in _answers(teacher, scenes, materials[teacher.front_end], device):
            rows = slice(done - before, done - before + len(answered))
            logits[rows] += answered / len(teachers)
            done += len(answered)
            if progress is not None:
                progress(done, total)
    return logits


def _answers(teacher: Teacher, scenes: Scenes, material: Material, device: torch.device) -> Iterator[Tensor]:
    """Ask one teacher, batch by batch: (B, K), the classes in the order of the data.

    Raises:
        DataError: It answers with what is not finite.
    """
    network = teacher.network.to(device).eval()
    order = [teacher.classes.index(name) for name in scenes.classes]
    for rows in batched(scenes.train, EVALUATION_BATCH_ON_GPU if device.type == "cuda" else EVALUATION_BATCH):
        with torch.inference_mode():
            answered = _logits(network, material, rows, device, teacher.hearing).cpu()[:, order]
        if not bool(answered.isfinite().all()):
            raise DataError(f"the teacher {teacher.name} answers with values that are not finite")
        yield answered


def _logits(network: nn.Module, material: Material, rows: np.ndarray, device: torch.device, hearing: Hearing) -> Tensor:
    """Ask for the clips at `rows`: (B, K) logits, over copies the logarithm of the mean probabilities."""

    def answer(shift: Shift) -> Tensor:
        answered: Tensor = network(material.spectrograms(rows, device, hearing, shift)).float()
        return answered

    return hearing.mean(material.front_end, answer) if hearing.copies else answer(UNSHIFTED)
