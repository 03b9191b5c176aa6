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
        parameters: Of the network, and of all that learns beside it; on `device`.
        recipe: Its optimizer, learning rate, weight decay and momentum.
        device: Where the parameters are.
        graphed: Whether a GPU records the step. The rate is then a tensor in each group's `lr`, on `device`: a step
            that is replayed reads what it is by then.

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
