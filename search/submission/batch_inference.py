"""Inference of all systems of a submission on an evaluation set, in batches that the systems share.

A batch of files is decoded once for each sample rate, and a log-mel spectrogram computed once for each front end, for
all systems that use it.

Shape letters: B batch, S samples, C channels, F mel bins, T frames, K classes, U distinct files.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from data.decoding import Progress, decoding_threads
from data.errors import DataError
from data.front_end import FrontEnd
from search.submission.evaluation_set import EvaluationSet, decode_batch, require_no_problems
from search.submission.prediction_store import PredictionStore
from search.submission.systems import TORCH, System
from training.dataset import EVALUATION_BATCH, EVALUATION_BATCH_ON_GPU
from training.inference_preprocessing import DEFAULT_PREPROCESSING, Shift
from training.loop import default_device

BLOCK_SIZE = 256
CPU = torch.device("cpu")
Probabilities = NDArray[np.float64]


def predict_evaluation_set(
    systems: Mapping[str, System],
    clips: EvaluationSet,
    work: Path,
    progress: Progress | None = None,
    *,
    block_size: int = BLOCK_SIZE,
) -> dict[str, Probabilities]:
    """Predict every file with every system, except for predictions that are stored already.

    Args:
        work: Folder of the stored predictions; created if missing.

    Returns:
        Probabilities (U, K) by split, in the order of its system's classes.

    Raises:
        SubmissionError: Files that cannot be decoded; predictions for all others are stored before.
        OSError: The disk is full.
    """
    work.mkdir(parents=True, exist_ok=True)
    probabilities = {split: np.empty((len(clips.names), len(each.export.classes))) for split, each in systems.items()}
    problems: dict[str, str] = {}
    with ExitStack() as stack:
        stores = {split: stack.enter_context(_store(each, clips, work, block_size)) for split, each in systems.items()}
        predictor = BatchPredictor(clips, stack.enter_context(decoding_threads()))
        for block in next(iter(stores.values())).blocks:
            missing = []
            for split, store in stores.items():
                stored = store.read(block)
                if stored is None:
                    missing.append(systems[split])
                else:
                    probabilities[split][block.start : block.stop] = stored
            try:
                for system, values in predictor.predict(missing, block):
                    probabilities[system.split][block.start : block.stop] = values
                    stores[system.split].write(block, values)
            except DecodingError as error:
                problems |= error.problems
            if progress is not None:
                progress(block.stop, len(clips.names))
    require_no_problems(clips.root, [f"{name}: {problem}" for name, problem in problems.items()])
    return probabilities


def _store(system: System, clips: EvaluationSet, work: Path, block_size: int) -> PredictionStore:
    path, identity = work / f"split_{system.split}.predictions", (system.file, *system.sha256)
    return PredictionStore(path, identity, clips.fingerprints, len(system.export.classes), block_size)


class DecodingError(DataError):
    """Some files of a batch cannot be decoded; `problems` says why, by name."""

    def __init__(self, problems: Mapping[str, str]) -> None:
        self.problems = dict(problems)
        super().__init__("; ".join(f"{name}: {problem}" for name, problem in problems.items()))


class BatchPredictor:
    """Predicts a batch of files with several systems; waveforms and spectrograms are shared."""

    def __init__(self, clips: EvaluationSet, pool: ThreadPoolExecutor) -> None:
        self.clips, self.pool = clips, pool
        self.device = default_device()
        self._front_ends: dict[str, FrontEnd] = {}

    @torch.inference_mode()
    def predict(self, systems: Sequence[System], indices: range) -> list[tuple[System, Probabilities]]:
        """Return the probabilities of each system for some of the files, (B, K).

        Raises:
            DecodingError: Some cannot be decoded.
        """
        predictions: list[tuple[System, Probabilities]] = []
        by_rate: dict[int, list[System]] = defaultdict(list)
        for system in systems:
            by_rate[system.export.config.front_end_config.rate_hz].append(system)
        for rate_hz, of_rate in by_rate.items():
            waveforms, errors = decode_batch(self.clips, indices, rate_hz, self.pool)
            if errors:
                raise DecodingError({error.path.name: error.detail for error in errors})
            waveforms = waveforms.to(self.device)
            by_front_end: dict[str, list[System]] = defaultdict(list)
            for system in of_rate:
                by_front_end[system.export.config.front_end].append(system)
            for name, group in by_front_end.items():
                predictions += self._with_front_end(name, group, waveforms)
        return predictions

    def _with_front_end(
        self, front_end: str, systems: Sequence[System], waveforms: Tensor
    ) -> list[tuple[System, Probabilities]]:
        """Predict with the systems of one front end; each shift of test-time augmentation is computed once, too."""
        config = systems[0].export.config.front_end_config
        if front_end not in self._front_ends:
            self._front_ends[front_end] = FrontEnd(config).eval().to(self.device)
        shifts = {system.split: system.export.preprocessing.shifts(config) for system in systems}
        logits: dict[tuple[str, Shift], Tensor] = {}
        for shift in dict.fromkeys(shift for each in shifts.values() for shift in each):
            # Without gains: the recording devices are unknown.
            x = DEFAULT_PREPROCESSING.spectrograms(self._front_ends[front_end], waveforms, None, shift)
            for system in systems:
                if shift in shifts[system.split]:
                    logits[system.split, shift] = _in_batches(system, x)
        predictions = []
        for system in systems:
            of_system = {shift: logits[system.split, shift] for shift in shifts[system.split]}
            log_probabilities = system.export.preprocessing.mean_log_probabilities(config, of_system.__getitem__)
            predictions.append((system, _normalized(log_probabilities.exp())))
        return predictions


def _in_batches(system: System, x: Tensor) -> Tensor:
    """Run a system on spectrograms, (B, C, F, T) to logits (B, K) on the CPU."""
    device = default_device() if system.runtime == TORCH else CPU
    network = system.export.network.to(device)
    size = EVALUATION_BATCH if device.type == "cpu" else EVALUATION_BATCH_ON_GPU
    return torch.cat([network(part.to(device)).double().cpu() for part in torch.split(x, size)])


def _normalized(values: Tensor) -> Probabilities:
    """Return probabilities whose sum is 1 to double precision."""
    probabilities: Probabilities = (values / values.sum(dim=1, keepdim=True)).numpy()
    return probabilities
