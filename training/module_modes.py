"""Passes of a network that leave it as it was: to learn something of it, or to show it what it never hears."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

KEPT = "statistics_are_kept"  # an attribute of the module


@contextmanager
def eval_mode(network: nn.Module) -> Iterator[None]:
    """Have every part of the network in eval mode for a while, then each in the mode that it had before."""
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


def zero_input(network: nn.Module, shape: Sequence[int]) -> Tensor:
    """Return a clip (1, C, F, T) of zeros, on the network's device and in its precision.

    Args:
        network: Has parameters.
        shape: Of one clip: (C, F, T).
    """
    like = next(network.parameters())
    return torch.zeros(1, *shape, dtype=like.dtype, device=like.device)


@contextmanager
def frozen_statistics(module: nn.Module) -> Iterator[None]:
    """While this lasts, nothing that `module` hears is remembered: each part computes as it would have.

    No batch norm moves its running statistics, and no range of a quantizer follows (`has_frozen_statistics` tells it).
    For passes
    that serve training but show the network what it never hears when it is asked.
    """
    tracking = [each for each in module.modules() if isinstance(each, _BatchNorm) and each.track_running_stats]
    for norm in tracking:
        norm.track_running_stats = False
    was_kept = has_frozen_statistics(module)
    module.__dict__[KEPT] = True
    try:
        yield
    finally:
        if not was_kept:
            del module.__dict__[KEPT]
        for norm in tracking:
            norm.track_running_stats = True


def has_frozen_statistics(module: nn.Module) -> bool:
    """Whether `frozen_statistics` lasts for this very module."""
    return KEPT in module.__dict__
