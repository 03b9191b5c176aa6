"""The optimizers of the reports: AdamW, Adam and SGD, as torch has them, each in its fused form.

Weight decay is each optimizer's own: AdamW shrinks the weights by rate x decay at each step, Adam and SGD add
decay x weight to the gradient.
"""

from collections.abc import Iterable

import torch
from torch import nn, optim

from training.recipe import OPTIMIZERS, Recipe


def make_optimizer(
    parameters: Iterable[nn.Parameter], recipe: Recipe, device: torch.device, *, graphed: bool
) -> optim.Optimizer:
    """Make the recipe's optimizer, at its full learning rate.

    Args:
        parameters: Parameters of the network and the auxiliary networks, on `device`.
        graphed: Whether the step is captured in a CUDA graph; then each group's `lr` is a tensor on `device`, which a
            replayed step reads.

    Raises:
        ValueError: An optimizer that is none of `OPTIMIZERS`, or no parameter.
    """
    rate = torch.tensor(recipe.learning_rate, device=device) if graphed else recipe.learning_rate
    decay = recipe.weight_decay
    match recipe.optimizer:
        case "adamw":
            return optim.AdamW(parameters, lr=rate, weight_decay=decay, fused=True, capturable=graphed)
        case "adam":
            return optim.Adam(parameters, lr=rate, weight_decay=decay, fused=True, capturable=graphed)
        case "sgd":  # its step can always be recorded
            return optim.SGD(parameters, lr=rate, weight_decay=decay, momentum=recipe.momentum, fused=True)
        case other:
            raise ValueError(f"optimizer must be one of {', '.join(OPTIMIZERS)}, got {other}")
