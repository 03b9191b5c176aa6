"""Representation self-challenging: the network must do without the features on which its answer rests most.

Sources: Huang et al., "Self-Challenging Improves Cross-Domain Generalization", ECCV 2020; as ASCDomain has it:
technical report for DCASE 2024 task 1, section 3.3, and https://github.com/hubtru/ASCDomain at dd49ddd,
RSC/run_rsc_training.py.

Shape letters: B batch, D features, K classes.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def rsc_mask(
    z: Tensor,
    targets: Tensor,
    logits: Tensor,
    classify: Callable[[Tensor], Tensor],
    drop_f: float,
    drop_b: float,
) -> Tensor:
    """Give what to multiply the features by, (B, D): 0 where a feature is muted, 1 elsewhere; no gradient flows to it.

    In each clip the features are muted whose gradient of the true class's logit is at or above the (1 - drop_f)
    quantile of that clip. The muting is kept for the clips whose probability of the true class it lowers by the
    (1 - drop_b) quantile of the batch or more. Quantiles lie on the line between two values, as numpy's do. With
    drop_f or drop_b 0 nothing is muted.

    `classify` is called once more, in the mode that the network is in: see `statistics_kept`. Under autocast call this
    in the context in which the logits were computed.

    Args:
        z: Features (B, D), with a gradient.
        targets: (B, K), the share of each class; where they are mixed the true class is mixed as they are.
        logits: (B, K), `classify(z)`; its graph is kept.
        classify: From features to logits.
        drop_f: Share of a clip's features, 0 to 1.
        drop_b: Share of the batch's clips, 0 to 1.
    """
    if drop_f == 0 or drop_b == 0:
        return torch.ones_like(z)
    (gradient,) = torch.autograd.grad((logits * targets).sum(), z, retain_graph=True)
    with torch.no_grad():
        heard = gradient < _quantile(gradient, 1 - drop_f)
        without = classify(z * heard)
        fall = (targets * (logits.float().softmax(1) - without.float().softmax(1))).sum(1)
        spared = fall < _quantile(fall, 1 - drop_b)
        return (heard | spared[:, None]).to(z.dtype)


def _quantile(values: Tensor, share: float) -> Tensor:
    """Give the quantile over the last axis, which stays; its rank is computed in double precision."""
    rank = share * (values.shape[-1] - 1)
    below = math.floor(rank)
    ranked = values.sort(-1).values
    low, high = ranked[..., below : below + 1], ranked[..., math.ceil(rank) :][..., :1]
    return low.lerp(high, rank - below)


@contextmanager
def statistics_kept(module: nn.Module) -> Iterator[None]:
    """While this lasts, no batch norm in `module` moves its running statistics; each computes what it would have.

    For passes that serve training but show the network what it never hears.
    """
    tracking = [each for each in module.modules() if isinstance(each, _BatchNorm) and each.track_running_stats]
    for norm in tracking:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in tracking:
            norm.track_running_stats = True
