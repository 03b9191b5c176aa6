"""What the systems of a submission hear in an evaluation set.

A batch of sounds is decoded once for each sample rate, and turned into a log-mel spectrogram once for each front end,
for all systems that hear through it.

Shape letters: B batch, S samples, C channels, F mel bins, T frames, K classes, U sounds.
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

from data.front_end import FrontEnd
from data.layout import DataError
from data.store import Progress, decoding_threads
from search.submission.evaluation_set import Sounds, read_sounds, refuse
from search.submission.prediction_store import Answers
from search.submission.systems import TORCH, System
from training.dataset import EVALUATION_BATCH, EVALUATION_BATCH_ON_GPU
from training.inference_preprocessing import DEFAULT_PREPROCESSING, Shift
from training.loop import default_device

SLOT = 256
CPU = torch.device("cpu")
Probabilities = NDArray[np.float64]


def listen(
    systems: Mapping[str, System],
    sounds: Sounds,
    work: Path,
    progress: Progress | None = None,
    *,
    slot: int = SLOT,
) -> dict[str, Probabilities]:
    """Have every system hear every sound, but for what it is known to have heard before.

    Args:
        systems: By split.
        sounds: The evaluation set.
        work: Folder of the answers so far; it is made where it is missing.
        progress: Told how many sounds are heard, and of how many.
        slot: Sounds that are heard and kept together.

    Returns:
        Of each split the probabilities (U, K), in the order of its system's classes.

    Raises:
        SubmissionError: Sounds that cannot be decoded; all others are heard, and kept, before.
        OSError: The answers find no room.
    """
    work.mkdir(parents=True, exist_ok=True)
    heard = {split: np.empty((len(sounds.names), len(each.export.classes))) for split, each in systems.items()}
    problems: dict[str, str] = {}
    with ExitStack() as stack:
        kept = {
            split: stack.enter_context(
                Answers(
                    work / f"split_{split}.answers",
                    (each.file, *each.sha256),
                    sounds.states,
                    len(each.export.classes),
                    slot,
                )
            )
            for split, each in systems.items()
        }
        ear = Ear(sounds, stack.enter_context(decoding_threads()))
        for some in next(iter(kept.values())).slots:
            new = []
            for split, answers in kept.items():
                before = answers.read(some)
                if before is None:
                    new.append(systems[split])
                else:
                    heard[split][some.start : some.stop] = before
            try:
                for system, values in ear.ask(new, some):
                    heard[system.split][some.start : some.stop] = values
                    kept[system.split].write(some, values)
            except UndecodedError as error:
                problems |= error.problems
            if progress is not None:
                progress(some.stop, len(sounds.names))
    refuse(sounds.root, [f"{name}: {problem}" for name, problem in problems.items()])
    return heard


class UndecodedError(DataError):
    """Some of the sounds of a batch cannot be decoded; `problems` says why, by name."""

    def __init__(self, problems: Mapping[str, str]) -> None:
        self.problems = dict(problems)
        super().__init__("; ".join(f"{name}: {problem}" for name, problem in problems.items()))


class Ear:
    """Asks systems what they hear."""

    def __init__(self, sounds: Sounds, pool: ThreadPoolExecutor) -> None:
        self.sounds, self.pool = sounds, pool
        self.device = default_device()
        self._front_ends: dict[str, FrontEnd] = {}

    @torch.inference_mode()
    def ask(self, systems: Sequence[System], some: range) -> list[tuple[System, Probabilities]]:
        """Return what each system answers to some of the sounds, (B, K).

        Raises:
            UndecodedError: Some cannot be decoded.
        """
        answers: list[tuple[System, Probabilities]] = []
        by_rate: dict[int, list[System]] = defaultdict(list)
        for system in systems:
            by_rate[system.export.config.front_end_config.rate_hz].append(system)
        for rate_hz, alike in by_rate.items():
            waveforms, errors = read_sounds(self.sounds, some, rate_hz, self.pool)
            if errors:
                raise UndecodedError({error.path.name: error.detail for error in errors})
            waveforms = waveforms.to(self.device)
            by_front_end: dict[str, list[System]] = defaultdict(list)
            for system in alike:
                by_front_end[system.export.config.front_end].append(system)
            for name, group in by_front_end.items():
                answers += self._through(name, group, waveforms)
        return answers

    def _through(
        self, front_end: str, systems: Sequence[System], waveforms: Tensor
    ) -> list[tuple[System, Probabilities]]:
        """Ask systems that hear through one front end; each shift of a copy is computed once, too."""
        config = systems[0].export.config.front_end_config
        if front_end not in self._front_ends:
            self._front_ends[front_end] = FrontEnd(config).eval().to(self.device)
        shifts = {system.split: system.export.preprocessing.shifts(config) for system in systems}
        logits: dict[tuple[str, Shift], Tensor] = {}
        for shift in dict.fromkeys(shift for each in shifts.values() for shift in each):
            x = DEFAULT_PREPROCESSING.spectrograms(
                self._front_ends[front_end], waveforms, None, shift
            )  # of no known device
            for system in systems:
                if shift in shifts[system.split]:
                    logits[system.split, shift] = _in_batches(system, x)
        answers = []
        for system in systems:
            mine = {shift: logits[system.split, shift] for shift in shifts[system.split]}
            logs = system.export.preprocessing.mean_log_probabilities(config, mine.__getitem__)
            answers.append((system, _probabilities(logs.exp())))
        return answers


def _in_batches(system: System, x: Tensor) -> Tensor:
    """Run a system on what it hears, (B, ...) to (B, K) on the processor."""
    device = default_device() if system.runtime == TORCH else CPU
    network = system.export.network.to(device)
    size = EVALUATION_BATCH if device.type == "cpu" else EVALUATION_BATCH_ON_GPU
    return torch.cat([network(part.to(device)).double().cpu() for part in torch.split(x, size)])


def _probabilities(values: Tensor) -> Probabilities:
    """Return probabilities that add up to 1 as exactly as can be."""
    found: Probabilities = (values / values.sum(dim=1, keepdim=True)).numpy()
    return found
