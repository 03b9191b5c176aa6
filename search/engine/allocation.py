"""Resource allocation of a search: number of parallel trials, cores and GPU share of each, compute modes.

Every trial's process imports this module: what it imports delays the first trial.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from ray import tune

from data.device import num_cores
from search.config.errors import UserError
from search.config.messages import counted
from search.engine.ray_cluster import Node
from training.compute_mode import DEFAULT_MODE, ComputeMode

# Custom Ray resource, 1.0 of it per machine: each trial takes a share, so that no more run in parallel than are wanted.
MACHINE = "machine"
RESOLUTION = 10_000  # Ray counts resources in ten-thousandths


@dataclass(frozen=True)
class ResourceAllocation:
    """Resources of the trials of a search.

    Attributes:
        workers: Number of parallel trials.
        cores: CPU cores per trial.
        gpus: GPUs per trial, a fraction of one.
        compute_modes: Compute mode by architecture; the default mode where an architecture is missing.
        clips_per_s: Measured throughput of one machine, by number of parallel trials; empty if none was measured.
        node_cores: Cores of a cluster's smallest node; 0 for a local Ray.
    """

    workers: int
    cores: int
    gpus: float
    compute_modes: Mapping[str, ComputeMode]
    clips_per_s: Mapping[int, float]
    node_cores: int = 0

    def resources(self, *, is_alone: bool = False) -> dict[str, float]:
        """Return the resources that Ray reserves for a trial; of one that runs alone, a whole GPU or machine."""
        gpu = {"GPU": _round_down(self.gpus)} if self.gpus else {}
        if is_alone and self.gpus:
            gpu = {"GPU": 1.0}
        if self.node_cores:
            return {"CPU": self.node_cores if is_alone and not gpu else self.cores, **gpu}
        return {"CPU": self.cores, **gpu, MACHINE: 1.0 if is_alone and not gpu else _round_down(1 / self.workers)}

    def placement(self, config: Mapping[str, Any]) -> tune.PlacementGroupFactory:
        """Return what Ray reserves for the trial of an actor config."""
        return tune.PlacementGroupFactory([self.resources(is_alone=config["is_alone"])])

    def compute_mode(self, architecture: str) -> ComputeMode:
        """Return the compute mode of an architecture's trials."""
        return self.compute_modes.get(architecture, DEFAULT_MODE)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serializable record."""
        return asdict(self)

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> "ResourceAllocation":
        """Return the allocation of a record of `to_dict`, possibly read from JSON."""
        modes = {name: ComputeMode(**each) for name, each in record["compute_modes"].items()}
        clips_per_s = {int(count): speed for count, speed in record["clips_per_s"].items()}
        return cls(record["workers"], record["cores"], record["gpus"], modes, clips_per_s, record["node_cores"])

    def fits(self, nodes: Sequence[Node] = ()) -> bool:
        """Return whether all parallel trials can run: on this machine, or on the `nodes` of a cluster."""
        if bool(nodes) != bool(self.node_cores):
            return False
        if nodes:
            return capacity(nodes, self.cores, self.gpus) >= self.workers
        return self.workers * self.cores <= num_cores() and self.workers * self.gpus <= torch.cuda.device_count()

    def __str__(self) -> str:
        """Describe the resources of one trial."""
        cores = counted(self.cores, "core")
        return f"{cores}, {self.gpus:g} GPU" if self.gpus else cores


def _round_down(share: float) -> float:
    """Round down to Ray's resolution, so that the shares of all parallel trials add up to at most 1."""
    return math.floor(share * RESOLUTION) / RESOLUTION


def share_machine(workers: int | None) -> ResourceAllocation:
    """Return the default allocation on this machine: one trial per GPU if there are any, else per core.

    Args:
        workers: Parallel trials; None: as many as there are GPUs, or cores.

    Raises:
        UserError: More parallel trials than cores, which would slow all of them down.
    """
    return share(workers, num_cores(), torch.cuda.device_count())


def share(workers: int | None, cores: int, gpus: int) -> ResourceAllocation:
    """Return the allocation of a number of parallel trials, by default one per GPU or core, on so many cores and GPUs.

    Raises:
        UserError: More parallel trials than cores.
    """
    count = workers or min(gpus or cores, cores)
    if count > cores:
        raise UserError(f"workers must be at most the number of cores, {cores}, got {count}")
    return ResourceAllocation(count, max(1, cores // count), 1 / math.ceil(count / gpus) if gpus else 0.0, {}, {})


def share_cluster(workers: int | None, nodes: Sequence[Node]) -> ResourceAllocation:
    """Return the default allocation on a cluster, each trial on one node: one per GPU if there are any, else per core.

    Args:
        workers: Parallel trials of the whole cluster; None: as many as there are GPUs, or cores.
        nodes: Nodes of the cluster; if any has a GPU, those without one are omitted.

    Raises:
        UserError: More parallel trials than cores, which would slow all of them down, or no node at all.
    """
    usable = usable_nodes(nodes)
    cores, gpus = sum(node.cores for node in usable), sum(node.gpus for node in usable)
    if not usable:
        raise UserError("the cluster has no cores: start its nodes with `ray start --num-cpus=...`")
    count = workers or min(gpus or cores, cores)
    if count > cores:
        raise UserError(f"workers must be at most the number of the cluster's cores, {cores}, got {count}")
    share = 1 / math.ceil(count / gpus) if gpus else 0.0
    largest = max(node.cores for node in usable)
    each = next((cores for cores in range(largest, 0, -1) if capacity(usable, cores, share) >= count), 1)
    smallest = min(node.cores for node in usable)
    return ResourceAllocation(min(count, capacity(usable, each, share)), each, share, {}, {}, smallest)


def usable_nodes(nodes: Sequence[Node]) -> list[Node]:
    """Return the nodes that have a GPU, or all where none has."""
    with_gpu = [node for node in nodes if node.gpus]
    return with_gpu or list(nodes)


def capacity(nodes: Sequence[Node], cores: int, gpus: float) -> int:
    """Count the parallel trials that a cluster has resources for, each with `cores` and `gpus` of one node."""
    per_gpu = round(1 / gpus) if gpus else 0
    return sum(min(node.cores // cores, node.gpus * per_gpu if gpus else node.cores) for node in nodes)
