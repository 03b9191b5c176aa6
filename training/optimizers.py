"""The optimizers of the reports: AdamW, Adam and SGD, as torch has them, each in its fused form.

Weight decay is each optimizer's own: AdamW shrinks the weights by rate x decay at each step, Adam and SGD add
decay x weight to the gradient.

In torch 2.13 the first step of an optimizer imports torch's compiler, which takes a second and 90 MB of every training
process, to tell it where to break a graph. Nothing compiles these steps, so they are taken without.
"""

import inspect
from collections.abc import Iterable
from typing import TypeVar, cast

import torch
from torch import nn, optim

from training.recipe import OPTIMIZERS, Recipe

Kind = TypeVar("Kind", bound=optim.Optimizer)
METHODS = ("add_param_group", "load_state_dict", "state_dict", "step", "zero_grad")


def _uncompiled(kind: type[Kind]) -> type[Kind]:
    """Return an optimizer whose methods do not call torch's compiler; each is what the decorated one calls."""
    methods = {name: inspect.unwrap(getattr(kind, name)) for name in METHODS}
    return cast(type[Kind], type(kind.__name__, (kind,), {**methods, "step": torch.no_grad()(methods["step"])}))


AdamW, Adam, SGD = _uncompiled(optim.AdamW), _uncompiled(optim.Adam), _uncompiled(optim.SGD)


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
            return AdamW(parameters, lr=rate, weight_decay=decay, fused=True, capturable=graphed)
        case "adam":
            return Adam(parameters, lr=rate, weight_decay=decay, fused=True, capturable=graphed)
        case "sgd":  # its step can always be recorded
            return SGD(parameters, lr=rate, weight_decay=decay, momentum=recipe.momentum, fused=True)
        case other:
            raise ValueError(f"optimizer must be one of {', '.join(OPTIMIZERS)}, got {other}")
