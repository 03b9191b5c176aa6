"""Training throughput in clips per second: whole steps, augmentation included, timed in each compute mode."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from training.compute_mode import DEFAULT_MODE, WARM_UP_STEPS, ComputeMode, candidates
from training.dataset import SceneDataset, split_batches
from training.loop import TrainingRun
from training.recipe import Recipe

MAX_CLIPS = 64  # in a timed step on a CPU, where a whole batch may take seconds
TIMED_S = 1.0  # of each compute mode, after the warm-up
BF16_MARGIN = 1.1  # speed-up at which bf16 is preferred to fp32


@dataclass(frozen=True)
class StepTimings:
    """Timings of consecutive steps of one run.

    Attributes:
        num_clips: Batch size of each step.
        spans: Start and end of each step, in seconds of the monotonic clock, which all processes share.
    """

    num_clips: int
    spans: Sequence[tuple[float, float]]

    @property
    def clips_per_s(self) -> float:
        """Throughput of the fastest step: other load on the machine can only slow a step down."""
        return self.num_clips / min(ended - started for started, ended in self.spans)


class ThroughputRun:
    """A training run for timing; its trained network is discarded."""

    def __init__(self, run: TrainingRun) -> None:
        """Run the warm-up steps."""
        self.run = run
        self.run.network.train()
        # Shuffled: a list may be sorted by device, and impulse responses apply to one device alone.
        shuffled = np.random.default_rng(0).permutation(run.pipeline.indices)
        indices = split_batches(shuffled, run.recipe.batch_size)[0]
        self.indices = indices[:MAX_CLIPS] if run.device.type == "cpu" else indices
        for _ in range(WARM_UP_STEPS + 1 if run.compute_mode.graphed else 1):
            step_seconds(self.run, self.indices)

    def time(self, budget_s: float, *, least: int = 1) -> StepTimings:
        """Repeat a step for `budget_s` seconds, and at least `least` times."""
        spans: list[tuple[float, float]] = []
        deadline = time.monotonic() + budget_s
        while len(spans) < least or spans[-1][1] < deadline:
            started = time.monotonic()
            spans.append((started, started + step_seconds(self.run, self.indices)))
        return StepTimings(len(self.indices), spans)


def step_seconds(run: TrainingRun, indices: np.ndarray) -> float:
    """Train on the clips at `indices` once and synchronize; return the seconds."""
    started = time.monotonic()
    run.step(indices, indices if run.recipe.mixup_between else None)
    if run.device.type == "cuda":
        torch.cuda.synchronize(run.device)
    return time.monotonic() - started


def time_mode(
    build: Callable[[], nn.Module], recipe: Recipe, dataset: SceneDataset, device: torch.device, mode: ComputeMode
) -> float:
    """Return the throughput of a compute mode on `device`, in clips a second; other arguments as for `TrainingRun`.

    Raises:
        RuntimeError: The network does not run in this mode, such as for an operator without bf16.
    """
    return ThroughputRun(TrainingRun(build, recipe, dataset, device, mode)).time(TIMED_S, least=2).clips_per_s


def time_modes(
    build: Callable[[], nn.Module], recipe: Recipe, dataset: SceneDataset, device: torch.device
) -> dict[ComputeMode, float]:
    """Return the throughput of every mode that is worth timing on `device`, in clips a second.

    Modes in which the network does not run are left out. Arguments as for `TrainingRun`.

    Raises:
        RuntimeError: It does not run in the default mode either.
    """
    timed: dict[ComputeMode, float] = {}
    for mode in candidates(device):
        try:
            timed[mode] = time_mode(build, recipe, dataset, device, mode)
        except RuntimeError:
            if mode == DEFAULT_MODE:
                raise
    return timed


def fastest(clips_per_s: Mapping[ComputeMode, float]) -> tuple[ComputeMode, float]:
    """Return the fastest mode and its clips a second; bf16 counts as fastest only with a speed-up of `BF16_MARGIN`.

    >>> timed = {DEFAULT_MODE: 100.0, ComputeMode(channels_last=True): 120.0, ComputeMode(bf16=True): 125.0}
    >>> print(*fastest(timed))
    fp32, channels last 120.0
    >>> print(*fastest({**timed, ComputeMode(channels_last=True, bf16=True): 140.0}))
    bf16, channels last 140.0
    """
    return max(clips_per_s.items(), key=lambda item: item[1] / (BF16_MARGIN if item[0].bf16 else 1.0))


def combined_clips_per_s(timings: Iterable[StepTimings]) -> float:
    """Return the summed throughput of runs in several processes, over the time in which all of them ran.

    >>> slow, quick = StepTimings(10, [(0.0, 2.0), (2.0, 4.0)]), StepTimings(10, [(1.0, 2.0), (2.0, 3.0)])
    >>> combined_clips_per_s([slow, quick])
    15.0
    """
    runs = list(timings)
    begin = max(run.spans[0][0] for run in runs)
    end = min(run.spans[-1][1] for run in runs)
    if end <= begin:
        return 0.0
    return sum(
        run.num_clips * max(0.0, min(ended, end) - max(started, begin)) / (ended - started) / (end - begin)
        for run in runs
        for started, ended in run.spans
    )
