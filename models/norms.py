"""Norms over each mel bin, which take away what a recording device adds to it.

Source: TF-SepNet, technical report for DCASE 2023 task 1, section 2: FreqIN, ResNorm and AdaResNorm.

Shape letters: B batch, C channels, F mel bins, T frames.
"""

from typing import Any

import torch
from torch import Tensor, nn

# The share of its input that a ResNorm adds: lambda.
RESIDUAL = 0.1
EPSILON = 1e-5


class _Mixed(torch.autograd.Function):
    """alpha x + kappa FreqIN(x) + beta, per channel, and its gradient.

    Torch would go through x a dozen times for the gradient of what is written out below; three times are enough.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, alpha: Tensor, kappa: Tensor, beta: Tensor) -> Tensor:
        mean, centred, scale = _standardized(x)
        ctx.save_for_backward(mean, centred, scale, alpha, kappa)
        return centred.mul(alpha + kappa * scale).add_(alpha * mean + beta).to(x.dtype)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        mean, centred, scale, alpha, kappa = ctx.saved_tensors
        num_values = centred.shape[1] * centred.shape[3]
        # Sums over the frames of a bin, (B, C, F, 1); all else is as small.
        grads = grad.sum(3, keepdim=True, dtype=centred.dtype)
        moments = (grad * centred).sum(3, keepdim=True)
        slope = alpha + kappa * scale
        along = -(scale**3) * (kappa * moments).sum(1, keepdim=True) / num_values
        shift = -scale * (kappa * grads).sum(1, keepdim=True) / num_values
        of_x = centred.mul(along).add_(shift).addcmul_(grad.to(centred.dtype), slope).to(grad.dtype)
        return of_x, _by_channel(moments + mean * grads), _by_channel(scale * moments), _by_channel(grads)


def _standardized(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Give FreqIN's mean, (B, 1, F, 1), x less its mean, and 1 / deviation, (B, 1, F, 1), at least in fp32."""
    precise = x.to(_precise(x))
    mean = precise.mean((1, 3), keepdim=True)
    centred = precise - mean
    # A root and its square: a variance of torch's own takes five times as long on a processor.
    deviation = torch.linalg.vector_norm(centred, dim=(1, 3), keepdim=True)
    scale = (deviation * deviation / (x.shape[1] * x.shape[3]) + EPSILON).rsqrt()
    return mean, centred, scale


def _precise(x: Tensor) -> torch.dtype:
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def _by_channel(x: Tensor) -> Tensor:
    return x.sum((0, 2), keepdim=True)


def mix_with_norm(x: Tensor, alpha: Tensor | float, kappa: Tensor | float, beta: Tensor | float) -> Tensor:
    """Give alpha x + kappa FreqIN(x) + beta of x (B, C, F, T), each of the three (1, C, 1, 1) or a number."""
    if torch.is_grad_enabled():
        weights = (
            value if isinstance(value, Tensor) else torch.full((), value, dtype=_precise(x), device=x.device)
            for value in (alpha, kappa, beta)
        )
        y: Tensor = _Mixed.apply(x, *weights)  # type: ignore[no-untyped-call] # torch leaves it untyped
        return y
    mean, centred, scale = _standardized(x)
    return (centred * (alpha + kappa * scale) + (alpha * mean + beta)).to(x.dtype)


class ResNorm(nn.Module):
    """FreqIN plus a fixed share of its input; nothing in it is learned."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, F, T) to that shape."""
        return mix_with_norm(x, RESIDUAL, 1.0, 0.0)


class AdaResNorm(nn.Module):
    """FreqIN, mixed with its input by a learned share, then scaled and shifted; all three per channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.rho = nn.Parameter(torch.full((1, channels, 1, 1), 0.5))
        self.gamma = nn.Parameter(torch.ones(1, channels, 1, 1))
        self.beta = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, F, T) to that shape."""
        return mix_with_norm(x, self.gamma * self.rho, self.gamma * (1 - self.rho), self.beta)
