"""Macro accuracy in the fastest compute mode against the default one: six seeds each, on the data of the topic epoch.

The fastest mode is the one that a search would choose on this machine. The goal of the difference of the means is the
range over the seeds in the default mode, largest minus smallest. A range over three seeds would be mostly noise.
"""

import statistics
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

from benchmarks.epoch import NETWORKS, BenchmarkData, Worker, benchmark_data, open_run, run_alternating
from benchmarks.measurement import Measurement
from data.device import num_cores
from training.compute_mode import DEFAULT_MODE, ComputeMode

SEEDS = (0, 1, 2, 3, 4, 5)
EPOCHS = 10
BATCH_SIZE = 32  # as in a search on data of this size


def fastest_mode(files: BenchmarkData, architecture: str, values: dict[str, Any]) -> Callable[[], ComputeMode]:
    """Return a function that returns the compute mode that a search would choose."""
    compute_mode = open_run(files, architecture, values, 1, None).compute_mode
    return lambda: compute_mode


def training(
    files: BenchmarkData, architecture: str, values: dict[str, Any], compute_mode: ComputeMode, seed: int
) -> Callable[[], float]:
    """Return a function that trains a network and returns its macro accuracy in percent."""
    recipe = {"epochs": EPOCHS, "batch_size": BATCH_SIZE, "seed": seed}
    run = open_run(files, architecture, {**values, **recipe}, 1, compute_mode)

    def train() -> float:
        while not run.is_over:
            run.run_epoch()
        return 100 * run.results[-1].quality.macro_accuracy

    return train


def measure() -> Iterator[Measurement]:
    """Train every network with each seed in both compute modes, one training per core at a time."""
    with benchmark_data() as files:
        for name, (architecture, values) in NETWORKS.items():
            worker = Worker(fastest_mode, files, architecture, values, ours=True)
            ((fastest,),) = run_alternating({"": [worker]}, rounds=1, warmup_rounds=0)[""]
            trainings = list(product((DEFAULT_MODE, fastest), SEEDS))
            accuracy: dict[tuple[ComputeMode, int], float] = {}
            for start in range(0, len(trainings), num_cores()):
                parallel = trainings[start : start + num_cores()]
                workers = [Worker(training, files, architecture, values, *each, ours=True) for each in parallel]
                results = run_alternating({"": workers}, rounds=1, warmup_rounds=0)[""][0]
                accuracy.update(zip(parallel, results, strict=True))
            default, ours = ([accuracy[mode, seed] for seed in SEEDS] for mode in (DEFAULT_MODE, fastest))
            measured = {
                "is_bf16": float(fastest.bf16),
                "is_channels_last": float(fastest.channels_last),
                **{f"default_seed_{seed}_percent": value for seed, value in zip(SEEDS, default, strict=True)},
                **{f"fastest_seed_{seed}_percent": value for seed, value in zip(SEEDS, ours, strict=True)},
            }
            yield Measurement(
                f"accuracy of {name} after {EPOCHS} epochs: difference between the modes",
                abs(statistics.mean(ours) - statistics.mean(default)), "points", max(default) - min(default), False,
                measured,
            )  # fmt: skip
