"""Context managers for a module's mode: eval mode, and frozen statistics of batch norms and quantizers."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

FROZEN = "statistics_are_frozen"  # an attribute of the module


@contextmanager
def eval_mode(network: nn.Module) -> Iterator[None]:
    """Put every submodule in eval mode; restore each one's own mode at exit."""
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


def zero_input(network: nn.Module, shape: Sequence[int]) -> Tensor:
    """Return a batch of one input of zeros, (1, C, F, T), on the network's device and in its dtype, for tracing."""
    like = next(network.parameters())
    return torch.zeros(1, *shape, dtype=like.dtype, device=like.device)


@contextmanager
def frozen_statistics(module: nn.Module) -> Iterator[None]:
    """Freeze the running statistics of batch norms and the ranges of a quantizer, whatever mode `module` is in.

    A batch norm in training mode still normalizes with its batch's statistics. For forward passes on inputs or
    features that do not occur at inference, such as adversarial or masked ones. A quantizer asks
    `has_frozen_statistics`.
    """
    tracking = [each for each in module.modules() if isinstance(each, _BatchNorm) and each.track_running_stats]
    for norm in tracking:
        norm.track_running_stats = False
    was_frozen = has_frozen_statistics(module)
    module.__dict__[FROZEN] = True
    try:
        yield
    finally:
        if not was_frozen:
            del module.__dict__[FROZEN]
        for norm in tracking:
            norm.track_running_stats = True


def has_frozen_statistics(module: nn.Module) -> bool:
    """Return whether `module` itself is within `frozen_statistics`."""
    return FROZEN in module.__dict__
