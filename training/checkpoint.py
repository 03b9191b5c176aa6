"""Checkpoints of training runs: one safetensors file each, written atomically, never unpickled.

Tensors are named `network.<name>`, `optimizer.<parameter index>.<name>` and, for a training method's state,
`<part>.<name>`; the header's metadata holds plain JSON.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn, optim

from data.atomic_file import write_atomic
from data.regular_file import open_regular
from training.errors import TrainingError
from training.state_dict import state_differences

NETWORK = "network."
OPTIMIZER = "optimizer."
UNFINISHED = "goes_on"  # metadata key of an unfinished run, whose optimizer may have no state yet
Parts = Mapping[str, Mapping[str, Tensor]]
NO_PARTS: Parts = {}


class CheckpointError(TrainingError):
    """A file that is not a checkpoint, or one of another network; the message says which and why."""


def save_checkpoint(
    path: Path,
    network: nn.Module,
    optimizer: optim.Optimizer | None,
    record: Mapping[str, Any],
    parts: Parts = NO_PARTS,
) -> None:
    """Write a checkpoint atomically: a crash leaves the previous file, or none.

    Args:
        optimizer: None for a finished run, which needs no optimizer state.
        record: JSON values: the recipe, the learning curve.
        parts: Tensors of the training methods, by part and name.

    Raises:
        OSError: The file cannot be written, for lack of space or of permission.
    """
    tensors = {NETWORK + name: value.detach().contiguous() for name, value in network.state_dict().items()}
    if optimizer is not None:
        for index, state in optimizer.state_dict()["state"].items():
            # SGD's momentum is None before its first step, and where there is none.
            tensors |= {
                f"{OPTIMIZER}{index}.{name}": each.contiguous() for name, each in state.items() if each is not None
            }
    for part, named in parts.items():
        tensors |= {f"{part}.{name}": value.detach().contiguous() for name, value in named.items()}
    write_tensors(path, tensors, {"record": json.dumps(record), **({} if optimizer is None else {UNFINISHED: "true"})})


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write `tensors` as safetensors, atomically; the file's folder is made if it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, save(dict(tensors), dict(metadata)))


@dataclass(frozen=True)
class Checkpoint:
    """The content of a checkpoint file.

    Attributes:
        path: The file.
        tensors: Tensors by name.
        metadata: Metadata of the safetensors header.
    """

    path: Path
    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, str]

    @property
    def record(self) -> dict[str, Any]:
        """The JSON values of the run.

        Raises:
            CheckpointError: There are none.
        """
        record = json.loads(self.metadata.get("record", "{}"))
        if not isinstance(record, dict):
            raise CheckpointError(f"{self.path} holds no record of its training run")
        return record

    def part(self, name: str) -> dict[str, Tensor]:
        """Return the tensors of one part, by their names in it; empty if there is no such part."""
        return part_of(self.tensors, name)

    def restore_network(self, network: nn.Module) -> None:
        """Load the weights into `network`.

        Raises:
            CheckpointError: They are of another network.
        """
        weights = {name.removeprefix(NETWORK): each for name, each in self.tensors.items() if name.startswith(NETWORK)}
        load_weights(network, weights, self.path)

    def restore_optimizer(self, optimizer: optim.Optimizer) -> None:
        """Load the optimizer state into `optimizer`.

        Raises:
            CheckpointError: The run is finished, and the file holds weights only.
        """
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in self.tensors.items():
            if name.startswith(OPTIMIZER):
                index, key = name.removeprefix(OPTIMIZER).split(".", 1)
                state.setdefault(int(index), {})[key] = value
        if not state and UNFINISHED not in self.metadata:
            raise CheckpointError(f"{self.path} holds weights only: its training is over")
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
        _match_strides(optimizer)


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint file.

    Raises:
        CheckpointError: `path` is not a whole safetensors file.
    """
    return Checkpoint(path, *read_tensors(path))


def part_of(tensors: Mapping[str, Tensor], part: str) -> dict[str, Tensor]:
    """Return the tensors of one part, by their names in it."""
    head = f"{part}."
    return {name.removeprefix(head): value for name, value in tensors.items() if name.startswith(head)}


def _match_strides(optimizer: optim.Optimizer) -> None:
    """Store the optimizer state of each weight with the weight's strides, as a fused optimizer step requires."""
    for weight, state in optimizer.state.items():
        for name, value in state.items():
            if value.shape == weight.shape:
                state[name] = torch.empty_like(weight).copy_(value)


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read a safetensors file: its tensors on the CPU and the metadata of its header.

    Raises:
        CheckpointError: `path` is missing, cut short, or not safetensors.
    """
    try:
        open_regular(path).close()  # safetensors would wait for the writer of a pipe
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118 - no dict
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is not a whole safetensors file: {error}") from error


def load_weights(network: nn.Module, weights: Mapping[str, Tensor], path: Path) -> None:
    """Load `weights` into `network`.

    Raises:
        CheckpointError: Names or shapes are not the network's; names `path` and lists every difference.
    """
    wrong = state_differences(network.state_dict(), weights)
    if wrong:
        raise CheckpointError(f"{path} holds weights of another network: {'; '.join(wrong)}")
    network.load_state_dict(dict(weights))
