"""Freq-MixStyle: mixing of frequency-wise statistics between clips.

Source: https://github.com/CPJKU/dcase2024_task1_baseline at 9948d19.
"""

import torch
from torch import Tensor

from data.device import send

# Added in quadrature to the standard deviation of the log energy, so that constant bins have one.
DEVIATION_FLOOR = 1e-3


def mix_style(x: Tensor, p: float, alpha: float) -> Tensor:
    """Return each clip with its statistics mixed with another clip's.

    They are the mean and the standard deviation of each frequency bin over channels and time.
    The weight of its own statistics is drawn for each clip from Beta(alpha, alpha).

    Args:
        x: Log-mel spectrograms (B, 1, F, T).
        p: Probability that the batch is changed.
        alpha: Over 0; small values give weights near 0 or 1, 1 is uniform.

    Raises:
        ValueError: `p` is no probability or `alpha` not over 0.
    """
    if not 0 <= p <= 1:
        raise ValueError(f"p must be in 0..1, got {p}")
    if alpha <= 0:
        raise ValueError(f"alpha must be over 0, got {alpha}")
    if float(torch.rand(())) >= p:
        return x
    variance, mean = torch.var_mean(x.float(), dim=(1, 3), correction=0, keepdim=True)
    spread = (variance + DEVIATION_FLOOR**2).sqrt()
    other = send(torch.randperm(x.shape[0]), x.device)
    concentration = torch.full((x.shape[0], 1, 1, 1), float(alpha))
    share = send(torch.distributions.Beta(concentration, concentration).sample(), x.device)
    mixed_mean = share * mean + (1 - share) * mean[other]
    gain = share + (1 - share) * spread[other] / spread
    return ((x - mean).mul_(gain).add_(mixed_mean)).to(x.dtype)
