"""Mixup: convex combinations of two clips and of their targets.

Source: Zhang et al., "mixup: Beyond Empirical Risk Minimization", ICLR 2018, section 2.
"""

import torch
from torch import Tensor


def draw_share(alpha: float) -> float:
    """Draw the mixing weight from Beta(alpha, alpha).

    Args:
        alpha: Over 0; small values give weights near 0 or 1, 1 is uniform.

    Raises:
        ValueError: `alpha` is not over 0.
    """
    if not alpha > 0:
        raise ValueError(f"alpha must be over 0, got {alpha}")
    return float(torch.distributions.Beta(float(alpha), float(alpha)).sample())


def mixed(share: float, own: Tensor, other: Tensor) -> Tensor:
    """Mix two tensors of one shape, sound or targets: `share` of `own` and the rest of `other`.

    >>> mixed(0.75, torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0]))
    tensor([0.7500, 0.2500])
    """
    return torch.lerp(other, own, share)
