"""The loss of a network's class scores: cross entropy, with label smoothing and focal weights where they are on.

Sources: Szegedy et al., "Rethinking the Inception Architecture for Computer Vision", CVPR 2016, section 7 (label
smoothing); Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017, equation 4.

Shape letters: B batch, K classes.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def cross_entropy_per_clip(logits: Tensor, targets: Tensor, smoothing: float = 0.0, focal_gamma: float = 0.0) -> Tensor:
    """Return the loss of each clip, (B,), in fp32: the sum over classes k of targets[k] (1 - p[k])^gamma (-log p[k]).

    It is linear in the targets, so a mixture of two clips' targets has the mixture of their losses.

    Args:
        logits: (B, K), of any precision; p is their softmax.
        targets: (B, K), the share of each class; rows sum to 1.
        smoothing: Share of the targets that is spread evenly over all classes first.
        focal_gamma: How much less a class counts the surer the network is of it; with 0 it is cross entropy.
    """
    if focal_gamma == 0:
        return F.cross_entropy(logits.float(), targets, reduction="none", label_smoothing=smoothing)
    log_shares = logits.float().log_softmax(1)
    # Not 1 - p, which has lost its digits where p is near 1; and never 0, where the power may have no slope.
    doubt = (-log_shares.expm1()).clamp_min(torch.finfo(torch.float32).tiny)
    smoothed = (1 - smoothing) * targets + smoothing / targets.shape[1]
    return -(smoothed * doubt**focal_gamma * log_shares).sum(1)


def scene_loss(logits: Tensor, targets: Tensor, smoothing: float = 0.0, focal_gamma: float = 0.0) -> Tensor:
    """Return the mean over the clips of `cross_entropy_per_clip`."""
    return cross_entropy_per_clip(logits, targets, smoothing, focal_gamma).mean()
