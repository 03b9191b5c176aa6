"""Representation self-challenging (RSC): the features with the largest gradients are masked in training.

Sources: Huang et al., "Self-Challenging Improves Cross-Domain Generalization", ECCV 2020; as ASCDomain has it:
technical report for DCASE 2024 task 1, section 3.3, and https://github.com/hubtru/ASCDomain at dd49ddd,
RSC/run_rsc_training.py.

Shape letters: B batch, D features, K classes.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

ROUNDING = 1e-9  # tolerance of a rank: 0.3 of 10 is 3


def rsc_mask(
    z: Tensor,
    targets: Tensor,
    logits: Tensor,
    classify: Callable[[Tensor], Tensor],
    drop_f: float,
    drop_b: float,
) -> Tensor:
    """Return the feature mask, (B, D): 0 where a feature is masked, 1 elsewhere; without a gradient.

    In each clip the features are masked whose gradient of the true class's logit is at or above the (1 - drop_f)
    quantile of that clip. The mask is applied to the clips whose probability of the true class it lowers by the
    (1 - drop_b) quantile of the batch or more. Ties do not mask more than distinct values would,
    unlike in ASCDomain's code, where a confidently classified batch is masked entirely. With drop_f or drop_b 0
    nothing is masked.

    `classify` is called once more, in the network's mode: see `frozen_statistics`. Under autocast, call this in the
    context in which the logits were computed.

    Args:
        z: Features (B, D), with a gradient.
        targets: (B, K), target probability of each class, possibly mixed.
        logits: (B, K), `classify(z)`; its graph is kept.
        classify: Maps features (B, D) to logits (B, K).
        drop_f: Share of a clip's features, 0 to 1.
        drop_b: Share of the batch's clips, 0 to 1.
    """
    if drop_f == 0 or drop_b == 0:
        return torch.ones_like(z)
    (gradient,) = torch.autograd.grad((logits * targets).sum(), z, retain_graph=True)
    with torch.no_grad():
        unmasked = ~_top(gradient, drop_f)
        without = classify(z * unmasked)
        fall = (targets * (logits.float().softmax(1) - without.float().softmax(1))).sum(1)
        is_masked = _top(fall, drop_b)
        return (unmasked | ~is_masked[:, None]).to(z.dtype)


def _top(values: Tensor, share: float) -> Tensor:
    """Return a mask of the values at or above the (1 - share) quantile of the last axis, interpolated as numpy's.

    Of equal values the first are marked, as many as there would be of distinct ones.
    """
    size = values.shape[-1]
    num_marked = size - math.ceil((1 - share) * (size - 1) - ROUNDING)
    order = values.argsort(dim=-1, descending=True, stable=True)
    return torch.zeros_like(values, dtype=torch.bool).scatter_(-1, order[..., :num_marked], True)
