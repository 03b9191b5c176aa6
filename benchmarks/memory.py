"""Throughput of training steps with freed memory kept by malloc, against returning it to the kernel; one thread."""

from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.epoch import NETWORKS, BenchmarkData, Worker, benchmark_data, open_run, run_alternating
from benchmarks.measurement import Measurement
from training.compute_mode import ComputeMode
from training.throughput import step_seconds

MODE = ComputeMode(channels_last=True)
ROUNDS = 5


def steps(files: BenchmarkData, architecture: str, values: dict[str, Any], keeps_memory: bool) -> Callable[[], float]:
    """Return a function that runs one training step and returns its clips per second."""
    run = open_run(files, architecture, values, 1, MODE, keeps_memory=keeps_memory)
    indices = run.dataset.scenes.train[: run.recipe.batch_size]
    return lambda: len(indices) / step_seconds(run, indices)


def measure() -> Iterator[Measurement]:
    """Time the training steps of every network."""
    with benchmark_data() as files:
        for name, (architecture, values) in NETWORKS.items():
            arguments = files, architecture, values
            groups = {
                "returned": [Worker(steps, *arguments, False, ours=False)],
                "kept": [Worker(steps, *arguments, True, ours=True)],
            }
            results = run_alternating(groups, ROUNDS)
            measured = {f"{group}_clips_per_s": max(speed for (speed,) in results[group]) for group in groups}
            speedup = measured["kept_clips_per_s"] / measured["returned_clips_per_s"]
            yield Measurement(f"step of {name}, freed memory kept", speedup, "times", None, True, measured)
