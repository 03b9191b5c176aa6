"""How a search uses its machines: trials side by side, cores and GPU of each, and the way to compute a step.

What is fastest is measured before the first trial, with steps of the search's own training, and kept with the study. On
a cluster it is measured on one machine, and the trials are as many as find room on all of them.
"""

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import Any

import psutil
import ray
import torch
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from data.device import num_cores
from search.config.errors import UserError
from search.config.messages import counted
from search.engine.ray_cluster import Node
from search.engine.trainable import open_trial
from training.allocator import keep_freed_memory
from training.compute_mode import DEFAULT_MODE, ComputeMode, candidates
from training.loop import TrainingRun, default_device
from training.throughput import StepTimings, ThroughputRun, combined_clips_per_s, fastest, time_mode

# Of the whole machine; each trial takes its part, so that no more than the wanted ones run side by side.
MACHINE = "machine"
RESOLUTION = 10_000  # parts of one that Ray tells apart
TIMED_TOGETHER_S = 1.0
# Fewer trials on more cores each must be faster by this: whatever else runs on a core holds all threads of a trial up.
MARGIN = 1.1
MEMORY_SHARE = 0.8  # of what is available, for all trials
TRIALS_ON_A_GPU = (1, 2, 4)


@dataclass(frozen=True)
class ResourceAllocation:
    """How a search uses its machines.

    Attributes:
        workers: Trials side by side.
        cores: Of each trial.
        gpus: Of each trial; a trial stays on one.
        executions: How a step is computed, by architecture; what is not named, the plain way.
        clips_per_s: Measured, of all trials on one machine together, by number of them; empty where nothing was.
        node_cores: Of the smallest machine of a cluster that was there; 0: this machine alone, with a Ray of its own.
    """

    workers: int
    cores: int
    gpus: float
    executions: Mapping[str, ComputeMode]
    clips_per_s: Mapping[int, float]
    node_cores: int = 0

    def resources(self, *, is_alone: bool = False) -> dict[str, float]:
        """Return what Ray sets aside for a trial; for one that is to be alone, a whole GPU, or else a whole machine."""
        gpu = {"GPU": _floor(self.gpus)} if self.gpus else {}
        if is_alone and self.gpus:
            gpu = {"GPU": 1.0}
        if self.node_cores:
            return {"CPU": self.node_cores if is_alone and not gpu else self.cores, **gpu}
        return {"CPU": self.cores, **gpu, MACHINE: 1.0 if is_alone and not gpu else _floor(1 / self.workers)}

    def execution(self, architecture: str) -> ComputeMode:
        """Return how a step of an architecture is computed."""
        return self.executions.get(architecture, DEFAULT_MODE)

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> "ResourceAllocation":
        """Read back what `to_dict` gave, also from JSON."""
        executions = {name: ComputeMode(**each) for name, each in record["executions"].items()}
        clips_per_s = {int(count): speed for count, speed in record["clips_per_s"].items()}
        return cls(
            record["workers"], record["cores"], record["gpus"], executions, clips_per_s, record.get("node_cores", 0)
        )

    def fits(self, nodes: Sequence[Node] = ()) -> bool:
        """Whether there is what the trials take: on this machine, or on the `nodes` of a cluster."""
        if bool(nodes) != bool(self.node_cores):
            return False
        if nodes:
            return room_on(nodes, self.cores, self.gpus) >= self.workers
        return self.workers * self.cores <= num_cores() and self.workers * self.gpus <= torch.cuda.device_count()

    def __str__(self) -> str:
        """Name what a trial gets."""
        cores = counted(self.cores, "core")
        return f"{cores}, {self.gpus:g} GPU" if self.gpus else cores


def _floor(share: float) -> float:
    """Round down to what Ray tells apart, so that all the wanted shares find room."""
    return math.floor(share * RESOLUTION) / RESOLUTION


def share_machine(workers: int | None) -> ResourceAllocation:
    """Divide this machine among the trials: one a GPU where there are any, else one a core; steps the plain way.

    Args:
        workers: Trials side by side, or None for as many as fit.

    Raises:
        UserError: More trials than cores, which would slow all of them down.
    """
    return _share(workers, num_cores(), torch.cuda.device_count())


def _share(workers: int | None, cores: int, gpus: int) -> ResourceAllocation:
    count = workers or min(gpus or cores, cores)
    if count > cores:
        raise UserError(f"workers must be at most the number of cores, {cores}, got {count}")
    return ResourceAllocation(count, max(1, cores // count), 1 / math.ceil(count / gpus) if gpus else 0.0, {}, {})


def share_cluster(workers: int | None, nodes: Sequence[Node]) -> ResourceAllocation:
    """Divide a cluster among the trials, each on one machine: one a GPU where there are any, else one a core.

    Args:
        workers: Trials side by side on all machines together, or None for as many as fit.
        nodes: The machines; where any has a GPU, those without one are left out.

    Raises:
        UserError: More trials than cores, which would slow all of them down, or no machine at all.
    """
    usable = _usable(nodes)
    cores, gpus = sum(node.cores for node in usable), sum(node.gpus for node in usable)
    if not usable:
        raise UserError("the cluster has no cores: start its nodes with `ray start --num-cpus=...`")
    count = workers or min(gpus or cores, cores)
    if count > cores:
        raise UserError(f"workers must be at most the number of the cluster's cores, {cores}, got {count}")
    share = 1 / math.ceil(count / gpus) if gpus else 0.0
    most = max(node.cores for node in usable)
    fitting = [each for each in range(most, 0, -1) if room_on(usable, each, share) >= count]
    taken = fitting[0] if fitting else 1
    smallest = min(node.cores for node in usable)
    return ResourceAllocation(min(count, room_on(usable, taken, share)), taken, share, {}, {}, smallest)


def _usable(nodes: Sequence[Node]) -> list[Node]:
    with_gpu = [node for node in nodes if node.gpus]
    return with_gpu or list(nodes)


def room_on(nodes: Sequence[Node], cores: int, gpus: float) -> int:
    """Count the trials that find room side by side, each with `cores` and `gpus` of one machine."""
    on_a_gpu = round(1 / gpus) if gpus else 0
    return sum(min(node.cores // cores, node.gpus * on_a_gpu if gpus else node.cores) for node in nodes)


class MicroBenchmark:
    """Takes steps of training in a process of its own."""

    def __init__(self) -> None:
        keep_freed_memory()
        self._run: ThroughputRun | None = None
        self._empty_bytes = psutil.Process().memory_info().rss

    def gpu(self) -> list[int]:
        """Return the GPUs that this process may use."""
        return [int(number) for number in ray.get_gpu_ids()]

    def room(self) -> float:
        """Return the bytes that all trials here may hold together."""
        return psutil.virtual_memory().available * MEMORY_SHARE

    def release(self) -> None:
        """Let go of the network."""
        self._run = None
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def ways(self) -> list[ComputeMode]:
        """Return the ways to compute a step that may be the fastest here, the plain one first."""
        return candidates(default_device())

    def compare(self, config: Mapping[str, Any], way: ComputeMode, threads: int) -> float:
        """Return the clips a second of the trial that `config` describes, computed in one way."""
        torch.set_num_threads(threads)
        trial, dataset = open_trial(config)
        return time_mode(trial.build, trial.recipe, dataset, default_device(), way)

    def warm(self, config: Mapping[str, Any], execution: ComputeMode, threads: int) -> int:
        """Take first steps; give the bytes that the whole trial will hold, from all that was ever held here."""
        torch.set_num_threads(threads)
        trial, dataset = open_trial(config)
        self._run = ThroughputRun(TrainingRun(trial.build, trial.recipe, dataset, default_device(), execution))
        held = psutil.Process().memory_info().rss - self._empty_bytes
        return self._empty_bytes + held * trial.recipe.batch_size // len(self._run.indices)

    def time(self, budget_s: float) -> StepTimings:
        """Time steps of what was warmed."""
        assert self._run is not None
        return self._run.time(budget_s)


def measure_allocation(
    asked: ResourceAllocation,
    configs: Mapping[str, Mapping[str, Any]],
    num_trials: int,
    *,
    divide: bool,
    nodes: Sequence[Node] = (),
) -> ResourceAllocation:
    """Find how trials are trained fastest, on the Ray that this process is connected to.

    Args:
        asked: What was asked for, or the default.
        configs: Of one trial of each architecture, as `TrialActor` takes it.
        num_trials: That are still to be trained.
        divide: Whether to find the number of trials side by side, too.
        nodes: The machines of a cluster that was there; empty: this machine. One of them is measured, the largest.

    Returns:
        What was found. An architecture of which no step can be computed is trained the plain way: its trials say why.
    """
    if nodes:
        node = max(_usable(nodes), key=lambda node: (node.gpus, node.cores))
        here = min(asked.workers, room_on([node], asked.cores, asked.gpus))
        found = _measure_here(
            replace(asked, workers=here), configs, -(-num_trials // len(_usable(nodes))), divide=divide, node=node
        )
        if not divide:
            return replace(found, workers=asked.workers)
        workers = room_on(_usable(nodes), found.cores, found.gpus)
        return replace(found, workers=workers, node_cores=asked.node_cores)
    return _measure_here(asked, configs, num_trials, divide=divide)


def _measure_here(
    asked: ResourceAllocation,
    configs: Mapping[str, Mapping[str, Any]],
    num_trials: int,
    *,
    divide: bool,
    node: Node | None = None,
) -> ResourceAllocation:
    """Measure on one machine: this one, or a node of a cluster."""
    cores, gpus = (num_cores(), torch.cuda.device_count()) if node is None else (node.cores, node.gpus)
    choices = divisions(num_trials, cores, gpus) if divide else [asked]
    most = max(choice.workers for choice in choices)
    options: dict[str, Any] = {"num_gpus": min(choice.gpus for choice in choices)} if asked.gpus else {}
    if node is not None:
        options["scheduling_strategy"] = NodeAffinitySchedulingStrategy(node.id, soft=False)
    # They take no cores of Ray's: what runs at one time is decided here.
    remote: Any = ray.remote(MicroBenchmark)
    probers = [remote.options(num_cpus=0, **options).remote() for _ in range(most)]
    try:
        room = ray.get(probers[0].room.remote())
        found = _compare(probers, configs, choices[-1] if gpus else choices[0])  # on a GPU one after the other
        executions = {name: found[name][0] if name in found else DEFAULT_MODE for name in configs}
        if len(choices) == 1 or not found:
            return replace(asked, executions=executions)
        # The slowest architecture decides how long a search takes.
        slowest = min(found, key=lambda name: found[name][1])
        use, clips_per_s = _divide(choices, probers, configs[slowest], executions[slowest], room)
        return replace(use or asked, executions=executions, clips_per_s=clips_per_s)
    finally:
        for prober in probers:
            ray.kill(prober)


def _compare(
    probers: Sequence[Any], configs: Mapping[str, Mapping[str, Any]], use: ResourceAllocation
) -> dict[str, tuple[ComputeMode, float]]:
    """Find the fastest way for each architecture, as many timed at a time as trials run side by side, or few fewer.

    Every round has about as many, so that no way is timed on a quieter machine than the others.
    """
    ways: list[ComputeMode] = ray.get(probers[0].ways.remote())
    asked = [(name, way) for name in configs for way in ways]
    found: dict[str, dict[ComputeMode, float]] = {name: {} for name in configs}
    together = _spread(probers, use)
    rounds = -(-len(asked) // len(together))
    together = together[: -(-len(asked) // rounds)]
    for start in range(0, len(asked), len(together)):
        timed = [
            (name, way, prober.compare.remote({**configs[name], "gpus": use.gpus}, way, use.cores))
            for prober, (name, way) in zip(together, asked[start:], strict=False)
        ]
        for name, way, each in timed:
            with suppress(RayError):  # such as an operator that knows no bf16
                found[name][way] = ray.get(each)
    return {name: fastest(timings) for name, timings in found.items() if DEFAULT_MODE in timings}


def divisions(num_trials: int, cores: int | None = None, gpus: int | None = None) -> list[ResourceAllocation]:
    """Return the ways to divide a machine that are worth timing, the most trials side by side first.

    Args:
        num_trials: That there are at most.
        cores: Of the machine; None: of this one.
        gpus: Of the machine; None: of this one.
    """
    cores = num_cores() if cores is None else cores
    gpus = torch.cuda.device_count() if gpus is None else gpus
    if gpus:
        counts = [gpus * many for many in reversed(TRIALS_ON_A_GPU)]
    else:
        counts = [cores >> halvings for halvings in range(cores.bit_length())]
    usable = [count for count in counts if count <= min(cores, num_trials)]
    return [_share(count, cores, gpus) for count in dict.fromkeys(usable or [min(cores, num_trials)])]


def _divide(
    choices: Sequence[ResourceAllocation],
    probers: Sequence[Any],
    config: Mapping[str, Any],
    execution: ComputeMode,
    room: float,
) -> tuple[ResourceAllocation | None, dict[int, float]]:
    """Time the ways to divide the machine that find room in its memory; give the best, if any could be timed."""
    clips_per_s: dict[int, float] = {}
    for choice in choices:
        shared = {**config, "gpus": choice.gpus}
        with suppress(RayError):  # out of memory, mostly: fewer at a time may do
            ray.get([prober.release.remote() for prober in probers])
            chosen = _spread(probers, choice)
            held = ray.get([prober.warm.remote(shared, execution, choice.cores) for prober in chosen])
            if sum(held) <= room:
                timings = ray.get([prober.time.remote(TIMED_TOGETHER_S) for prober in chosen])
                clips_per_s[choice.workers] = combined_clips_per_s(timings)
    best = max(clips_per_s.values(), default=0.0)
    good = [choice for choice in choices if clips_per_s.get(choice.workers, -1.0) * MARGIN >= best]
    return (good[0] if good else None), clips_per_s


def _spread(probers: Sequence[Any], use: ResourceAllocation) -> list[Any]:
    """Choose probers as trials will lie: as many on each GPU."""
    if not use.gpus:
        return list(probers[: use.workers])
    of_gpu: dict[int, list[Any]] = {}
    for prober, gpus in zip(probers, ray.get([prober.gpu.remote() for prober in probers]), strict=True):
        of_gpu.setdefault(gpus[0], []).append(prober)
    on_each = -(-use.workers // len(of_gpu))
    return [prober for group in of_gpu.values() for prober in group[:on_each]][: use.workers]
