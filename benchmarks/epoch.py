"""Training throughput, augmentation included: our training loop against the reference loop, on all cores.

Both train on the same clips: the data set in $SCENEFRONT_DATA (its folders `scenes` and `impulse_responses`), or else
the embedded demo data and synthetic impulse responses. Each variant has worker processes of its own, and the variants
alternate. Ours is timed as one trial on all cores, and as parallel trials on one core each. A trial on one core is
profiled: the network's share of an epoch is its forward and backward pass, its loss and its optimizer.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch

from benchmarks.measurement import Measurement
from benchmarks.reference import ReferenceLoop
from data.demo import write_demo
from data.device import num_cores
from data.layout import read_scenes
from search.config.trial_config import TrialConfig
from training.allocator import huge_pages, keep_freed_memory
from training.compute_mode import DEFAULT_MODE, ComputeMode
from training.dataset import load_dataset
from training.loop import TrainingRun
from training.throughput import fastest, time_modes

GOAL, AIM = 3.0, 5.0
NETWORK_SHARE = 80.0
EXIT_TIMEOUT_S = 5.0  # of a worker, before it is terminated
ROUNDS = 3
NETWORKS = {
    "published isotropic": ("isotropic", {}),
    "TF-SepNet, C = 40": ("tf_sepnet", {"width": 40}),
    "CP-Mobile": ("cp_mobile", {}),
}
CPU = torch.device("cpu")


@dataclass(frozen=True)
class BenchmarkData:
    """Folders of a data set in the TAU layout, of impulse responses, and of the cache of decoded audio."""

    scenes: Path
    responses: Path
    cache: Path


@contextmanager
def benchmark_data() -> Iterator[BenchmarkData]:
    """Yield the data set in $SCENEFRONT_DATA, or else temporary demo data; the cache is temporary too."""
    with tempfile.TemporaryDirectory(prefix="scenefront-") as folder:
        root = Path(folder)
        data = os.environ.get("SCENEFRONT_DATA")
        if data is not None:
            yield BenchmarkData(Path(data) / "scenes", Path(data) / "impulse_responses", root)
            return
        write_demo(root / "demo")
        (root / "responses").mkdir()
        rng = np.random.default_rng(0)
        for number in range(8):
            response = rng.normal(size=4_000) * np.exp(-np.arange(4_000) / 100)
            soundfile.write(root / "responses" / f"{number}.wav", response / 10, 44_100)
        yield BenchmarkData(root / "demo", root / "responses", root / "cache")


def trial_config(architecture: str, values: dict[str, Any], num_classes: int) -> TrialConfig:
    """Return the configuration of a published network, with the recipe's defaults."""
    return TrialConfig.from_values(architecture, {**values, "num_classes": num_classes})


def reference_epochs(
    files: BenchmarkData, architecture: str, values: dict[str, Any], threads: int
) -> Callable[[], float]:
    """Return a function that trains an epoch in the reference loop and returns its clips per second."""
    torch.set_num_threads(threads)
    scenes = read_scenes(files.scenes)
    config = trial_config(architecture, values, len(scenes.classes))
    torch.manual_seed(0)
    loop = ReferenceLoop(config.build(), config.front_end_config, scenes, files.responses, config.recipe, threads)
    return lambda: _clips_per_s(loop.run_epoch)


def our_epochs(
    files: BenchmarkData,
    architecture: str,
    values: dict[str, Any],
    threads: int,
    compute_mode: ComputeMode | None = None,
) -> Callable[[], float]:
    """Return a function that trains an epoch, by default in the fastest compute mode, and returns clips per second."""
    run = open_run(files, architecture, values, threads, compute_mode)
    return lambda: _clips_per_s(lambda: _train_epoch(run))


def epoch_profile(
    files: BenchmarkData, architecture: str, values: dict[str, Any], threads: int
) -> Callable[[], dict[str, float]]:
    """Return a function that trains an epoch and returns the percentage of its time that each part takes."""
    run = open_run(files, architecture, values, threads, None)
    pipeline_s = 0.0
    batch = run.pipeline.batch

    def timed_batch(*arguments: Any) -> Any:
        nonlocal pipeline_s
        started = time.perf_counter()
        result = batch(*arguments)
        pipeline_s += time.perf_counter() - started
        return result

    run.pipeline.batch = timed_batch  # type: ignore[assignment, method-assign] # to time it

    def epoch() -> dict[str, float]:
        nonlocal pipeline_s
        pipeline_s = 0.0
        started = time.perf_counter()
        _train_epoch(run)
        pipeline_percent = 100 * pipeline_s / (time.perf_counter() - started)
        return {
            "network_percent": 100 - pipeline_percent,
            "pipeline_percent": pipeline_percent,
            "is_bf16": float(run.compute_mode.bf16),
            "is_channels_last": float(run.compute_mode.channels_last),
        }

    return epoch


def open_run(
    files: BenchmarkData, architecture: str, values: dict[str, Any], threads: int, compute_mode: ComputeMode | None, *,
    keeps_memory: bool = True,
) -> TrainingRun:  # fmt: skip
    """Start a trial as a search does.

    Args:
        compute_mode: None: the fastest.
        keeps_memory: Whether malloc keeps freed memory, as in a search.
    """
    if keeps_memory:
        keep_freed_memory()
    torch.set_num_threads(threads)
    scenes = read_scenes(files.scenes)
    config = trial_config(architecture, values, len(scenes.classes))
    dataset = load_dataset(scenes, config.front_end_config, files.responses, files.cache)
    if compute_mode is None:
        compute_mode, _ = fastest(time_modes(config.build, config.recipe, dataset, CPU))
    return TrainingRun(config.build, config.recipe, dataset, CPU, compute_mode)


def _train_epoch(run: TrainingRun) -> int:
    run.train_epoch()
    return len(run.pipeline.indices)


def _clips_per_s(epoch: Callable[[], int]) -> float:
    started = time.perf_counter()
    num_clips = epoch()
    return num_clips / (time.perf_counter() - started)


class Worker:
    """Worker process that trains one epoch per request."""

    def __init__(self, make: Callable[..., Callable[[], Any]], *arguments: Any, ours: bool) -> None:
        """Start the process.

        Args:
            make: Called in the process with `arguments`; returns the function that is run for each request.
            ours: Whether the process has the environment variables of a search's trials.
        """
        context = get_context("spawn")
        self.connection, child_connection = context.Pipe()
        before = dict(os.environ)
        if ours:
            os.environ.update(huge_pages())
        try:
            self.process = context.Process(target=_serve, args=(child_connection, make, arguments))
            self.process.start()
        finally:
            os.environ.clear()
            os.environ.update(before)
        child_connection.close()

    def request(self) -> None:
        """Request an epoch, without waiting for it."""
        self.connection.send(True)

    def result(self) -> Any:
        """Wait for the result of the requested epoch."""
        return self.connection.recv()

    def __enter__(self) -> "Worker":
        """Use it in a `with` block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connection, and terminate the process if it does not exit."""
        self.connection.close()
        self.process.join(EXIT_TIMEOUT_S)
        self.process.terminate()
        self.process.join()


def _serve(connection: Connection, make: Callable[..., Callable[[], Any]], arguments: Sequence[Any]) -> None:
    """Answer requests until the connection is closed."""
    epoch = make(*arguments)
    while True:
        try:
            connection.recv()
        except EOFError:
            return
        connection.send(epoch())


def run_alternating(groups: dict[str, list[Worker]], rounds: int, warmup_rounds: int = 1) -> dict[str, list[list[Any]]]:
    """Run one epoch per round in each group of workers, the groups in turn, then stop the workers.

    Args:
        groups: Workers that run in parallel, by group; a worker may be in several.
        rounds: Rounds whose results are returned.
        warmup_rounds: Rounds before those, whose results are discarded.

    Returns:
        By group, the results of its workers in each round.
    """
    results: dict[str, list[list[Any]]] = {name: [] for name in groups}
    with ExitStack() as stack:
        for worker in dict.fromkeys(worker for group in groups.values() for worker in group):
            stack.enter_context(worker)
        for number in range(warmup_rounds + rounds):
            for name, group in groups.items():
                for worker in group:
                    worker.request()
                of_round = [worker.result() for worker in group]
                if number >= warmup_rounds:
                    results[name].append(of_round)
    return results


def measure() -> Iterator[Measurement]:
    """Time and profile the training of every network."""
    cores = num_cores()
    with benchmark_data() as files:
        for name, (architecture, values) in NETWORKS.items():
            arguments = files, architecture, values
            groups = {
                "reference": [Worker(reference_epochs, *arguments, cores, ours=False)],
                "one_trial": [Worker(our_epochs, *arguments, cores, ours=True)],
                "parallel_trials": [Worker(our_epochs, *arguments, 1, ours=True) for _ in range(cores)],
                "default_mode": [Worker(our_epochs, *arguments, cores, DEFAULT_MODE, ours=True)],
                "profile": [Worker(epoch_profile, *arguments, 1, ours=True)],
            }
            results = run_alternating(groups, ROUNDS)
            speeds = {
                f"{group}_clips_per_s": statistics.median(sum(of_round) for of_round in results[group])
                for group in ("reference", "one_trial", "parallel_trials", "default_mode")
            }
            best = max(speeds["one_trial_clips_per_s"], speeds["parallel_trials_clips_per_s"])
            speedup = best / speeds["reference_clips_per_s"]
            yield Measurement(f"epoch of {name}, against the reference loop", speedup, "times", GOAL, True, speeds, AIM)
            profile = {
                part: statistics.median(of_round[0][part] for of_round in results["profile"])
                for part in ("network_percent", "pipeline_percent", "is_bf16", "is_channels_last")
            }
            yield Measurement(
                f"share of an epoch of {name} in the network", profile.pop("network_percent"), "%", NETWORK_SHARE, True,
                profile,
            )  # fmt: skip
