"""Norms over each mel bin, which take away what a recording device adds to it.

Source: TF-SepNet, technical report for DCASE 2023 task 1, section 2: FreqIN, ResNorm and AdaResNorm.

Shape letters: B batch, C channels, F mel bins, T frames.
"""

import torch
from torch import Tensor, nn

# The share of its input that a ResNorm adds: lambda.
RESIDUAL = 0.1
EPSILON = 1e-5


def frequency_statistics(x: Tensor) -> tuple[Tensor, Tensor]:
    """Give FreqIN's mean and 1 / deviation of (B, C, F, T), over C and T: two of (B, 1, F, 1), at least fp32."""
    precise = x if x.dtype == torch.float64 else x.float()
    variance, mean = torch.var_mean(precise, dim=(1, 3), correction=0, keepdim=True)
    return mean, (variance + EPSILON).rsqrt()


class ResNorm(nn.Module):
    """FreqIN plus a fixed share of its input; nothing in it is learned."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, F, T) to that shape."""
        mean, scale = frequency_statistics(x)
        # RESIDUAL x + (x - mean) scale, in three passes over x and not five.
        y = (x - mean) * (scale + RESIDUAL) + mean * RESIDUAL
        return y.to(x.dtype)


class AdaResNorm(nn.Module):
    """FreqIN, mixed with its input by a learned share, then scaled and shifted; all three per channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.rho = nn.Parameter(torch.full((1, channels, 1, 1), 0.5))
        self.gamma = nn.Parameter(torch.ones(1, channels, 1, 1))
        self.beta = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, F, T) to that shape."""
        mean, scale = frequency_statistics(x)
        # (rho x + (1 - rho) (x - mean) scale) gamma + beta, with what depends on neither T nor x drawn together:
        # three passes over x and not seven.
        slope = self.gamma * (self.rho + (1 - self.rho) * scale)
        y = (x - mean) * slope + (self.gamma * self.rho * mean + self.beta)
        return y.to(x.dtype)
