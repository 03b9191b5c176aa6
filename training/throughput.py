"""How fast training is: steps of a run, timed as they are taken in training, the batch's augmentation included."""

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

MAX_CLIPS = 64  # of a timed step on a processor, where a whole batch may take seconds
TIMED_S = 1.0  # each way to compute a step, after its first step
BF16_MARGIN = 1.1  # what fewer digits must gain


@dataclass(frozen=True)
class StepTimings:
    """Steps of one run that followed each other.

    Attributes:
        num_clips: In each step.
        spans: When each step began and ended, in seconds of the monotonic clock, which all processes share.
    """

    num_clips: int
    spans: Sequence[tuple[float, float]]

    @property
    def clips_per_s(self) -> float:
        """Of the quickest step: what else runs only ever slows one down."""
        return self.num_clips / min(ended - started for started, ended in self.spans)


class ThroughputRun:
    """A training run whose steps are timed; its network is of no further use."""

    def __init__(self, run: TrainingRun) -> None:
        """Take the first steps, which pay for what is set up once."""
        self.run = run
        self.run.network.train()
        # Of all devices: a list may be sorted, and only some devices' clips are convolved.
        mixed = np.random.default_rng(0).permutation(run.pipeline.indices)
        indices = split_batches(mixed, run.recipe.batch_size)[0]
        self.indices = indices[:MAX_CLIPS] if run.device.type == "cpu" else indices
        for _ in range(WARM_UP_STEPS + 1 if run.compute_mode.graphed else 1):
            step_seconds(self.run, self.indices)

    def time(self, budget_s: float, *, least: int = 1) -> StepTimings:
        """Repeat a step for `budget_s`, and `least` times."""
        spans: list[tuple[float, float]] = []
        deadline = time.monotonic() + budget_s
        while len(spans) < least or spans[-1][1] < deadline:
            started = time.monotonic()
            spans.append((started, started + step_seconds(self.run, self.indices)))
        return StepTimings(len(self.indices), spans)


def step_seconds(run: TrainingRun, indices: np.ndarray) -> float:
    """Train on the clips at `indices` once, to the end; give the seconds."""
    started = time.monotonic()
    run.step(indices, indices if run.recipe.mixup_between else None)
    if run.device.type == "cuda":
        torch.cuda.synchronize(run.device)
    return time.monotonic() - started


def time_mode(
    build: Callable[[], nn.Module], recipe: Recipe, dataset: SceneDataset, device: torch.device, way: ComputeMode
) -> float:
    """Time one way to compute a step on `device`, in clips a second; the other arguments are those of `TrainingRun`.

    Raises:
        RuntimeError: A step cannot be computed so, such as one with an operator that knows no bf16.
    """
    return ThroughputRun(TrainingRun(build, recipe, dataset, device, way)).time(TIMED_S, least=2).clips_per_s


def time_modes(
    build: Callable[[], nn.Module], recipe: Recipe, dataset: SceneDataset, device: torch.device
) -> dict[ComputeMode, float]:
    """Time every way to compute a step that may be the fastest on `device`: clips a second by way, the plain one too.

    A way that the network cannot be computed is left out. The arguments are those of `TrainingRun`.

    Raises:
        RuntimeError: The plain way cannot be computed either.
    """
    timed: dict[ComputeMode, float] = {}
    for way in candidates(device):
        try:
            timed[way] = time_mode(build, recipe, dataset, device, way)
        except RuntimeError:
            if way == DEFAULT_MODE:
                raise
    return timed


def fastest(clips_per_s: Mapping[ComputeMode, float]) -> tuple[ComputeMode, float]:
    """Return the way with the most clips a second, and how many; bf16 must be faster by `BF16_MARGIN` to be worth it.

    >>> ways = {PLAIN: 100.0, ComputeMode(channels_last=True): 120.0, Execution(bf16=True): 125.0}
    >>> print(*fastest(ways))
    fp32, channels last 120.0
    >>> print(*fastest({**ways, ComputeMode(channels_last=True, bf16=True): 140.0}))
    bf16, channels last 140.0
    """
    return max(clips_per_s.items(), key=lambda item: item[1] / (BF16_MARGIN if item[0].bf16 else 1.0))


def combined_clips_per_s(timings: Iterable[StepTimings]) -> float:
    """Return what several runs did together, in the time in which all of them ran.

    >>> slow, quick = Timing(10, [(0.0, 2.0), (2.0, 4.0)]), Timing(10, [(1.0, 2.0), (2.0, 3.0)])
    >>> clips_per_s_together([slow, quick])
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
