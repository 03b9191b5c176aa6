"""Global magnitude pruning during training: after each epoch the smallest weights are permanently set to zero.

Source: CP-JKU, technical report for DCASE 2021 task 1A, section 5. Weights of all layers are sorted together by their
magnitude; the number pruned falls exponentially from epoch to epoch; the first layer, the classifier, biases and batch
norms are never pruned, and neither is a layer whose sparsity would exceed 99 %. The report does not give the rate:
here the same fraction of the weights remains after each epoch. The count that is limited, as in the 2021 edition, is
that of non-zero stored values (`objectives/cost.py`).
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from training.errors import TrainingError
from training.module_modes import eval_mode, zero_input
from training.state_dict import load_tensors

LAYERS = (nn.Conv1d, nn.Conv2d, nn.Linear)
MAX_SPARSITY = Fraction(99, 100)  # of a layer
RUNNING = ("running_mean", "running_var")
ROUNDING = 1e-9  # tolerance of a share times the epochs: 0.7 of 10 is 7


def stored_tensors(network: nn.Module) -> Iterator[Tensor]:
    """Yield the stored tensors of a network: parameters, and the running mean and variance of every batch norm."""
    yield from network.parameters()
    for name, buffer in network.named_buffers():
        if name.rpartition(".")[2] in RUNNING:
            yield buffer


def count_nonzero(network: nn.Module) -> int:
    """Count the stored values that are not zero.

    >>> layer = nn.BatchNorm2d(4)  # scale 1, shift 0, mean 0, variance 1
    >>> count_nonzero(layer)
    8
    """
    return sum(int(tensor.count_nonzero()) for tensor in stored_tensors(network))


def prunable_weights(network: nn.Module, shape: Sequence[int]) -> dict[str, nn.Parameter]:
    """Return the prunable weights by name, from a trace of the network: all layers of `features` but the first.

    Args:
        network: Has the methods `features` and `classify`; all layers of the second are the classifier.
        shape: Shape of one input: (C, F, T).
    """
    owned = dict(network.named_parameters(remove_duplicate=False))
    ran: dict[str, nn.Parameter] = {}
    hooks = [
        layer.register_forward_pre_hook(partial(_note, ran, name, owned[name]))
        for name, layer in ((f"{path}.weight", module) for path, module in network.named_modules())
        if isinstance(layer, LAYERS) and name in owned
    ]
    halves: Any = network
    try:
        with torch.no_grad(), eval_mode(network):
            z = halves.features(zero_input(network, shape))
            of_features = dict(ran)
            ran.clear()
            halves.classify(z)
    finally:
        for hook in hooks:
            hook.remove()
    excluded = {id(weight) for weight in [*list(of_features.values())[:1], *ran.values()]}
    found: dict[str, nn.Parameter] = {}
    for name, weight in of_features.items():
        if id(weight) not in excluded:
            excluded.add(id(weight))  # a weight that two layers share is one weight
            found[name] = weight
    return found


def _note(ran: dict[str, nn.Parameter], name: str, weight: nn.Parameter, *_: object) -> None:
    ran.setdefault(name, weight)


class Pruner:
    """Prunes the smallest weights after each epoch, and keeps pruned weights at zero.

    Attributes:
        last_epoch: The epoch after which the last weights are pruned.
    """

    def __init__(
        self, network: nn.Module, prune_to: int, prune_share: float, epochs: int, shape: Sequence[int]
    ) -> None:
        """Set up the masks; nothing is pruned yet.

        Args:
            prune_to: Number of non-zero stored values at the end. Values that are never pruned all count, even one
                that happens to be zero.
            prune_share: Share of the epochs, rounded up, in which weights are pruned.
            shape: Shape of one input: (C, F, T).

        Raises:
            TrainingError: The network cannot be pruned to so few values.
        """
        self.last_epoch = math.ceil(prune_share * epochs - ROUNDING)
        self._weights = prunable_weights(network, shape)
        self._masks = {name: torch.ones_like(weight.detach()) for name, weight in self._weights.items()}
        self._num_weights = sum(weight.numel() for weight in self._weights.values())
        others = sum(tensor.numel() for tensor in stored_tensors(network)) - self._num_weights
        fewest = others + sum(min_remaining(weight.numel()) for weight in self._weights.values())
        if prune_to < fewest:
            raise TrainingError(
                f"prune_to must be at least {fewest:,} for this network, got {prune_to:,}: {others:,} of its values "
                f"are never pruned, and each of {len(self._weights)} layers keeps 1 % of its weights, or the last one"
            )
        self._num_left = min(prune_to - others, self._num_weights)

    def num_remaining(self, epoch: int) -> int:
        """Return how many prunable weights remain after an epoch, counted from 1; 0: before the first."""
        done = min(epoch, self.last_epoch) / self.last_epoch
        if done == 1 or not self._num_weights:
            return self._num_left
        share: float = (self._num_left / self._num_weights) ** done
        return round(self._num_weights * share)

    @torch.no_grad()
    def step(self, epoch: int) -> None:
        """Prune the smallest remaining weights at the end of an epoch, counted from 1."""
        if not self._masks:
            return
        left = torch.cat([mask.flatten().cpu() for mask in self._masks.values()]).bool()
        sizes = torch.cat([weight.abs().flatten().cpu() for weight in self._weights.values()])
        can_prune = left.clone()
        start = 0
        for mask in self._masks.values():
            end = start + mask.numel()
            largest = sizes[start:end].masked_fill(~left[start:end], -1).topk(min_remaining(mask.numel())).indices
            can_prune[start + largest] = False
            start = end
        num_pruned = max(0, int(left.sum()) - self.num_remaining(epoch))
        candidates = can_prune.nonzero().flatten()
        smallest = sizes[candidates].argsort(stable=True)[:num_pruned]  # stable: the same on every device
        left[candidates[smallest]] = False
        lengths = [mask.numel() for mask in self._masks.values()]
        for mask, part in zip(self._masks.values(), torch.split(left, lengths), strict=True):
            mask.copy_(part.view(mask.shape))
        self.apply()

    @torch.no_grad()
    def apply(self) -> None:
        """Set pruned weights to zero again: after an optimizer step (momentum moves them) and in averages."""
        if self._masks:
            torch._foreach_mul_(list(self._weights.values()), list(self._masks.values()))

    def tensors(self) -> dict[str, Tensor]:
        """Return the masks for a checkpoint: by weight, 1 where it remains and 0 where it is pruned."""
        return {name: mask.to(torch.uint8).contiguous() for name, mask in self._masks.items()}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore the masks that `tensors` returned.

        Raises:
            ValueError: They are of another network.
        """
        load_tensors("what was pruned", self._masks, tensors)
        self.apply()


def min_remaining(num_weights: int) -> int:
    """Return how many weights of a layer always remain: the most that are less than 1 %, and at least one.

    >>> [min_remaining(num_weights) for num_weights in (1, 100, 101, 200, 201, 10_000)]
    [1, 1, 1, 1, 2, 99]
    """
    return max(1, math.ceil((1 - MAX_SPARSITY) * num_weights) - 1)
