"""Trainings on all training clips, evaluated on the evaluation clips, one per core; each is recorded as it ends.

The record is a file of JSON lines that an interrupted run continues: what it has for the same data, configuration and
seed is not trained again. A training that diverges predicts the first class for every clip, which is chance.
"""

import hashlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from data.front_end import FRONT_ENDS
from data.layout import Scenes, read_scenes
from search.config.trial_config import TrialConfig
from search.study.data_identity import content_digest, describe_data
from training.allocator import keep_freed_memory
from training.compute_mode import ComputeMode
from training.dataset import SceneDataset, load_dataset
from training.loop import DivergedError, TrainingRun

CPU = torch.device("cpu")
NUM_CHECKED = 8  # evaluation clips after each epoch
COMPUTE_MODE = ComputeMode(channels_last=True)


@dataclass(frozen=True)
class Clips:
    """Where the clips of a training are.

    Attributes:
        root: Folder of the data set.
        responses: Folder of impulse responses, or None.
        cache: Folder of the decoded audio.
    """

    root: Path
    responses: Path | None
    cache: Path

    @property
    def scenes(self) -> Scenes:
        """The lists."""
        return _scenes(self.root)

    def dataset(self, front_end: str) -> SceneDataset:
        """Return the clips with a front end."""
        return _dataset(self, front_end)

    def digest(self) -> str:
        """Return a hash of the lists, the sound and the impulse responses."""
        store = self.dataset(next(iter(FRONT_ENDS))).store
        responses = "" if self.responses is None else content_digest(self.responses)
        text = json.dumps([describe_data(self.scenes, store.content), responses], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@cache
def _scenes(root: Path) -> Scenes:
    return read_scenes(root)


@cache
def _dataset(clips: Clips, front_end: str) -> SceneDataset:
    return load_dataset(clips.scenes, FRONT_ENDS[front_end], clips.responses, clips.cache)


@dataclass(frozen=True, kw_only=True)
class FinishedTraining:
    """A finished training, a line of the record.

    Attributes:
        data: Hash of the data.
        config: Configuration, with the seed and the number of epochs.
        correct: Bits in hexadecimal, one for each evaluation clip in the order of its list: whether it is correct.
        num_clips: Number of evaluation clips.
        cpu_s: Processor seconds.
        diverged: Why the training diverged; "" if it did not.
    """

    data: str
    config: Mapping[str, Any]
    correct: str
    num_clips: int
    cpu_s: float
    diverged: str

    @property
    def key(self) -> str:
        """What the result depends on."""
        return key_of(self.data, self.config)

    @property
    def is_correct(self) -> npt.NDArray[np.bool_]:
        """Whether each of the N evaluation clips is correctly classified: (N,)."""
        bits = np.unpackbits(np.frombuffer(bytes.fromhex(self.correct), np.uint8), count=self.num_clips)
        return bits.astype(np.bool_)


def key_of(data: str, config: Mapping[str, Any]) -> str:
    """Return the key of a training in the record."""
    return json.dumps([data, dict(config)], sort_keys=True)


def with_seed(config: TrialConfig, seed: int) -> TrialConfig:
    """Return the same configuration with another seed."""
    return replace(config, recipe=replace(config.recipe, seed=seed))


def train(clips: Clips, data: str, config: Mapping[str, Any]) -> FinishedTraining:
    """Train one configuration on one core, to the last epoch."""
    keep_freed_memory()
    torch.set_num_threads(1)
    started = time.process_time()
    trial = TrialConfig.from_dict(config)
    dataset = clips.dataset(trial.front_end)
    scenes = dataset.scenes
    labels = scenes.labels[scenes.evaluate]
    # Nobody asks for the metrics of an epoch: a few clips show whether the outputs are finite.
    brief = replace(dataset, scenes=replace(scenes, evaluate=scenes.evaluate[:NUM_CHECKED]))
    predicted, diverged = np.zeros_like(labels), ""
    try:
        run = TrainingRun(trial.build, trial.recipe, brief, CPU, COMPUTE_MODE)
        while not run.is_over:
            run.run_epoch()
        predicted = dataset.log_probabilities(run.network, CPU, run.preprocessing).argmax(1).numpy()
    except DivergedError as error:
        diverged = str(error)
    correct = np.packbits(predicted == labels).tobytes().hex()
    return FinishedTraining(
        data=data, config=dict(config), correct=correct, num_clips=len(labels),
        cpu_s=time.process_time() - started, diverged=diverged,
    )  # fmt: skip


@dataclass(frozen=True)
class Job:
    """A training to do: its clips with their hash, and its configuration with the seed."""

    clips: Clips
    data: str
    config: TrialConfig
    num_macs: int

    @property
    def key(self) -> str:
        """Key in the record."""
        return key_of(self.data, self.config.to_dict())


def read_record(path: Path) -> dict[str, FinishedTraining]:
    """Return the finished trainings by their keys; a last line that was cut off by a crash is ignored."""
    found = {}
    lines = path.read_text(encoding="utf-8").split("\n") if path.exists() else []
    for line in lines[:-1]:  # behind the last line feed there is nothing, or half a line
        training = FinishedTraining(**json.loads(line))
        found[training.key] = training
    return found


def run_jobs(jobs: Sequence[Job], record: Path, workers: int) -> Iterator[tuple[int, int]]:
    """Train what the record lacks, the most expensive first; yield the finished and all trainings after each."""
    _drop_half_a_line(record)
    done = read_record(record)
    unique = {job.key: job for job in jobs}
    left = sorted((job for key, job in unique.items() if key not in done), key=lambda job: -job.num_macs)
    count = len(unique) - len(left)
    yield count, len(unique)
    if not left:
        return
    with (
        ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool,
        record.open("a", encoding="utf-8") as file,
    ):
        futures = [pool.submit(train, job.clips, job.data, job.config.to_dict()) for job in left]
        try:
            for future in as_completed(futures):
                file.write(json.dumps(asdict(future.result())) + "\n")
                file.flush()
                count += 1
                yield count, len(unique)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _drop_half_a_line(path: Path) -> None:
    """Cut off what a crash left behind the last line feed, so that the next line begins a line."""
    if path.exists():
        content = path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if whole != content:
            path.write_bytes(whole)
