"""Cross entropy per clip with soft targets, label smoothing and the focal weight.

Sources: Szegedy et al., "Rethinking the Inception Architecture for Computer Vision", CVPR 2016, section 7 (label
smoothing); Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017, equation 4.

Symbols: p[k] softmax of the logits, y[k] target probability of class k, s label smoothing, gamma focal exponent.
Shape letters: B batch, K classes.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def cross_entropy_per_clip(
    logits: Tensor, targets: Tensor, label_smoothing: float = 0.0, focal_gamma: float = 0.0
) -> Tensor:
    """Return the sum over classes k of y[k] (1 - p[k])^gamma (-log p[k]) for each clip: (B,) in fp32.

    It is linear in the targets, so targets mixed by mixup have the mixture of the two losses.

    Args:
        logits: (B, K), of any dtype.
        targets: y, (B, K); rows sum to 1.
        label_smoothing: s; y becomes (1 - s) y + s / K first.
        focal_gamma: gamma; 0 is the plain cross entropy.
    """
    if focal_gamma == 0:
        return F.cross_entropy(logits.float(), targets, reduction="none", label_smoothing=label_smoothing)
    log_p = logits.float().log_softmax(1)
    # expm1 keeps the digits of 1 - p where p is near 1; above 0, because x^gamma may have no slope at 0.
    one_minus_p = (-log_p.expm1()).clamp_min(torch.finfo(torch.float32).tiny)
    smoothed = (1 - label_smoothing) * targets + label_smoothing / targets.shape[1]
    return -(smoothed * one_minus_p**focal_gamma * log_p).sum(1)
