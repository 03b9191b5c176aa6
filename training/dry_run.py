"""A network run once for what can be learned of it, and left as it was."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn


@contextmanager
def at_rest(network: nn.Module) -> Iterator[None]:
    """Have every part of the network in eval mode for a while, then each in the mode that it had before."""
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


def silent_clip(network: nn.Module, shape: Sequence[int]) -> Tensor:
    """Give a clip (1, C, F, T) of zeros, on the network's device and in its precision.

    Args:
        network: Has parameters.
        shape: Of one clip: (C, F, T).
    """
    like = next(network.parameters())
    return torch.zeros(1, *shape, dtype=like.dtype, device=like.device)
