"""Measured resources of a search: micro-benchmarks of a few training steps find the fastest allocation; memory.

The allocation is found before the first trial, and kept with the study. On a cluster the benchmarks run on the largest
node, and there are as many parallel trials as all nodes have capacity for.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import psutil
import ray
import torch
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from data.container import MemoryLimit, available_memory, memory_limit
from data.device import num_cores
from search.config.errors import UserError
from search.engine.allocation import ResourceAllocation, capacity, share, usable_nodes
from search.engine.ray_cluster import Node
from search.engine.trainable import open_trial
from training.allocator import keep_freed_memory
from training.compute_mode import DEFAULT_MODE, ComputeMode, candidates
from training.loop import TrainingRun, default_device
from training.throughput import StepTimings, ThroughputRun, combined_clips_per_s, fastest, time_mode

BENCHMARK_S = 1.0  # of training steps, for each number of parallel trials
# Fewer trials on more cores each must be this much faster: another process on one core delays all threads of a trial.
MIN_SPEEDUP = 1.1
MEMORY_FRACTION = 0.8  # of the available memory that all trials may use; the rest is a margin
TRIALS_PER_GPU = (1, 2, 4)
# Resident memory of a training process before its first step, measured: torch, Ray and the imports of this project.
PROCESS_BYTES = 550_000_000
RAY_BYTES = 200_000_000  # memory of Ray's own four processes on a machine that nothing else shares, measured


class TooLittleMemoryError(UserError):
    """Not even one training process starts; says how much memory there is, and how much one needs."""

    def __init__(self, what: str, available_bytes: int, limit: MemoryLimit | None, node: Node | None = None) -> None:
        there = f" on {node.host}" if node is not None else f", and {available_bytes / 1e9:.2f} GB are available"
        if node is None and limit is not None:
            there += f" of the {limit.limit_bytes / 1e9:.2f} GB that this container may use"
        super().__init__(
            f"{what}: Ray needs {RAY_BYTES / 1e9:.2f} GB of memory, and each parallel trial at least "
            f"{PROCESS_BYTES / 1e9:.2f} GB{there}; raise the limit, or end other programs"
        )


def require_memory() -> None:
    """Refuse to start where the memory ends with Ray or the first trial: the kernel would kill any process, this too.

    Raises:
        TooLittleMemoryError: Not even one trial can be trained.
    """
    limit = memory_limit()
    available = available_memory() + (psutil.swap_memory().free if limit is None else 0)
    if available < RAY_BYTES + PROCESS_BYTES:
        raise TooLittleMemoryError("too little memory", available, limit)


class MicroBenchmark:
    """Ray actor that trains a few steps of a trial, in a process of its own."""

    def __init__(self) -> None:
        keep_freed_memory()
        self._run: ThroughputRun | None = None
        self._baseline_bytes = psutil.Process().memory_info().rss

    def gpu_ids(self) -> list[int]:
        """Return the GPUs that this process may use."""
        return [int(number) for number in ray.get_gpu_ids()]

    def available_bytes(self) -> int:
        """Return the memory that is available to new processes, of this machine and of its container."""
        return available_memory()

    def compute_modes(self) -> list[ComputeMode]:
        """Return the compute modes that may be the fastest here, the default first."""
        return candidates(default_device())

    def time_mode(self, config: Mapping[str, Any], mode: ComputeMode, threads: int) -> float:
        """Return the throughput, in clips per second, of the trial that `config` describes in one compute mode."""
        torch.set_num_threads(threads)
        trial, dataset = open_trial(config)
        return time_mode(trial.build, trial.recipe, dataset, default_device(), mode)

    def release(self) -> None:
        """Free the network."""
        self._run = None
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def warm_up(self, config: Mapping[str, Any], mode: ComputeMode, threads: int) -> int:
        """Train the first steps; return the bytes of memory that a trial needs, estimated from this process's peak."""
        torch.set_num_threads(threads)
        trial, dataset = open_trial(config)
        self._run = ThroughputRun(TrainingRun(trial.build, trial.recipe, dataset, default_device(), mode))
        used = psutil.Process().memory_info().rss - self._baseline_bytes
        return self._baseline_bytes + used * trial.recipe.batch_size // len(self._run.indices)

    def time_steps(self, budget_s: float) -> StepTimings:
        """Time steps of the trial that was warmed up."""
        assert self._run is not None
        return self._run.time(budget_s)


def measure_allocation(
    requested: ResourceAllocation,
    configs: Mapping[str, Mapping[str, Any]],
    num_trials: int,
    *,
    divide: bool,
    nodes: Sequence[Node] = (),
) -> ResourceAllocation:
    """Return the fastest allocation by micro-benchmarks, on the Ray that this process is connected to.

    Args:
        configs: By architecture, the actor config of one trial, as for `TrialActor`.
        divide: Whether to choose the number of parallel trials too.
        nodes: Nodes of a cluster, the largest of which is benchmarked; empty: this machine.

    Returns:
        The allocation. An architecture that cannot be trained at all gets the default mode: its trials say why.
    """
    if not nodes:
        return _measure_node(requested, configs, num_trials, divide=divide)
    usable = usable_nodes(nodes)
    node = max(usable, key=lambda node: (node.gpus, node.cores))
    here = min(requested.workers, capacity([node], requested.cores, requested.gpus))
    share = -(-num_trials // len(usable))
    found = _measure_node(replace(requested, workers=here), configs, share, divide=divide, node=node)
    if not divide:
        return replace(found, workers=requested.workers)
    return replace(found, workers=capacity(usable, found.cores, found.gpus), node_cores=requested.node_cores)


def _measure_node(
    requested: ResourceAllocation,
    configs: Mapping[str, Mapping[str, Any]],
    num_trials: int,
    *,
    divide: bool,
    node: Node | None = None,
) -> ResourceAllocation:
    """Measure on this machine, or on a node of a cluster."""
    cores, gpus = (num_cores(), torch.cuda.device_count()) if node is None else (node.cores, node.gpus)
    options = candidate_allocations(num_trials, cores, gpus) if divide else [requested]
    placement: dict[str, Any] = {"num_gpus": min(option.gpus for option in options)} if requested.gpus else {}
    if node is not None:
        placement["scheduling_strategy"] = NodeAffinitySchedulingStrategy(node.id, soft=False)
    # They reserve no cores: which of them run at the same time is decided here.
    remote: Any = ray.remote(MicroBenchmark)
    workers = [
        remote.options(num_cpus=0, **placement).remote() for _ in range(max(option.workers for option in options))
    ]
    before_bytes = available_memory()
    try:
        try:
            available_bytes = ray.get(workers[0].available_bytes.remote())
        except RayError as error:  # it died at its start
            what = "the process that times training steps died at its start"
            raise TooLittleMemoryError(what, before_bytes, memory_limit(), node) from error
        fastest_modes = _fastest_modes(workers, configs, options[-1] if gpus else options[0])  # on a GPU one at a time
        modes = {name: fastest_modes[name][0] if name in fastest_modes else DEFAULT_MODE for name in configs}
        if len(options) == 1 or not fastest_modes:
            return replace(requested, compute_modes=modes)
        # The slowest architecture decides how long a search takes.
        slowest = min(fastest_modes, key=lambda name: fastest_modes[name][1])
        trial = _BenchmarkTrial(workers, configs[slowest], modes[slowest])
        best, clips_per_s = best_allocation(options, trial.memory_bytes, trial.clips_per_s, available_bytes)
        return replace(best or requested, compute_modes=modes, clips_per_s=clips_per_s)
    finally:
        for worker in workers:
            ray.kill(worker)


def _fastest_modes(
    workers: Sequence[Any], configs: Mapping[str, Mapping[str, Any]], allocation: ResourceAllocation
) -> dict[str, tuple[ComputeMode, float]]:
    """Return each architecture's fastest compute mode and its throughput.

    About as many modes are timed at the same time in every round, so that all see the same load on the machine.
    """
    modes: list[ComputeMode] = ray.get(workers[0].compute_modes.remote())
    queue = [(name, mode) for name in configs for mode in modes]
    found: dict[str, dict[ComputeMode, float]] = {name: {} for name in configs}
    parallel = _spread(workers, allocation)
    rounds = -(-len(queue) // len(parallel))
    parallel = parallel[: -(-len(queue) // rounds)]
    for start in range(0, len(queue), len(parallel)):
        timings = [
            (name, mode, worker.time_mode.remote({**configs[name], "gpus": allocation.gpus}, mode, allocation.cores))
            for worker, (name, mode) in zip(parallel, queue[start:], strict=False)
        ]
        for name, mode, timing in timings:
            with suppress(RayError):  # such as an operator without a bf16 kernel
                found[name][mode] = ray.get(timing)
    return {name: fastest(timings) for name, timings in found.items() if DEFAULT_MODE in timings}


def candidate_allocations(
    num_trials: int, cores: int | None = None, gpus: int | None = None
) -> list[ResourceAllocation]:
    """Return the allocations of a machine that are worth timing, the most parallel trials first.

    Args:
        num_trials: Upper bound on the number of parallel trials.
        cores: CPU cores of the machine; None: this machine's.
        gpus: GPUs of the machine; None: this machine's.
    """
    cores = num_cores() if cores is None else cores
    gpus = torch.cuda.device_count() if gpus is None else gpus
    if gpus:
        counts = [gpus * per_gpu for per_gpu in reversed(TRIALS_PER_GPU)]
    else:
        counts = [cores >> halvings for halvings in range(cores.bit_length())]
    usable = [count for count in counts if count <= min(cores, num_trials)]
    return [share(count, cores, gpus) for count in dict.fromkeys(usable or [min(cores, num_trials)])]


def best_allocation(
    options: Sequence[ResourceAllocation],
    memory_bytes: Callable[[ResourceAllocation], int],
    clips_per_s: Callable[[ResourceAllocation], float],
    available_bytes: float,
) -> tuple[ResourceAllocation | None, dict[int, float]]:
    """Return the fastest allocation among those that leave a margin of memory, and the throughput of each.

    Args:
        options: The allocations, the most parallel trials first; of about equally fast ones the first is chosen.
        memory_bytes: Starts the trials of an allocation, and returns the memory that they need together.
        clips_per_s: Returns the throughput of the allocation that was started.

    Returns:
        The allocation, None if none could be timed; and clips per second by number of parallel trials.
    """
    throughput: dict[int, float] = {}
    for option in options:
        with suppress(RayError):  # out of memory, mostly: fewer parallel trials may do
            if memory_bytes(option) <= MEMORY_FRACTION * available_bytes:
                throughput[option.workers] = clips_per_s(option)
    highest = max(throughput.values(), default=0.0)
    good = [option for option in options if throughput.get(option.workers, -1.0) * MIN_SPEEDUP >= highest]
    return (good[0] if good else None), throughput


@dataclass(frozen=True)
class _BenchmarkTrial:
    """One trial, run several times in parallel by micro-benchmark workers."""

    workers: Sequence[Any]
    config: Mapping[str, Any]
    mode: ComputeMode

    def memory_bytes(self, allocation: ResourceAllocation) -> int:
        """Start the trials of an allocation; return the memory that they need together."""
        ray.get([worker.release.remote() for worker in self.workers])
        config = {**self.config, "gpus": allocation.gpus}
        started = _spread(self.workers, allocation)
        return sum(ray.get([worker.warm_up.remote(config, self.mode, allocation.cores) for worker in started]))

    def clips_per_s(self, allocation: ResourceAllocation) -> float:
        """Return the combined throughput of the trials that were started."""
        started = _spread(self.workers, allocation)
        return combined_clips_per_s(ray.get([worker.time_steps.remote(BENCHMARK_S) for worker in started]))


def _spread(workers: Sequence[Any], allocation: ResourceAllocation) -> list[Any]:
    """Choose benchmark workers as the trials of an allocation will be placed: equally many on each GPU."""
    if not allocation.gpus:
        return list(workers[: allocation.workers])
    by_gpu: dict[int, list[Any]] = {}
    for worker, gpu_ids in zip(workers, ray.get([worker.gpu_ids.remote() for worker in workers]), strict=True):
        by_gpu.setdefault(gpu_ids[0], []).append(worker)
    per_gpu = -(-allocation.workers // len(by_gpu))
    return [worker for group in by_gpu.values() for worker in group[:per_gpu]][: allocation.workers]
