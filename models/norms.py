"""Frequency-wise instance norms (FreqIN, ResNorm, AdaResNorm), which remove the recording device's spectrum.

Source: TF-SepNet, technical report for DCASE 2023 task 1, section 2: FreqIN, ResNorm and AdaResNorm.

Shape letters: B batch, C channels, F mel bins, T frames.
"""

from typing import Any

import torch
from torch import Tensor, nn

# lambda: weight of the identity in ResNorm.
RESIDUAL = 0.1
EPSILON = 1e-5
# Values of a chunk of clips per thread: with the intermediate results they fill half of a core's cache of 2 MB.
CACHED_VALUES = 2**17


class _Mixed(torch.autograd.Function):
    """alpha x + kappa FreqIN(x) + beta, per channel, with a fused gradient.

    Autograd's gradient reads x a dozen times. On a CPU clips are processed in chunks that stay in the cache: no clip
    depends on another.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, alpha: Tensor, kappa: Tensor, beta: Tensor) -> Tensor:
        y = torch.empty_like(x)
        means, scales = [], []
        for clips, mixed in zip(_parts(x), _parts(y), strict=True):
            mean, centred, scale = _standardized(clips)
            mixed.copy_(centred.mul_(alpha + kappa * scale).add_(alpha * mean + beta))
            means.append(mean)
            scales.append(scale)
        ctx.save_for_backward(x, torch.cat(means), torch.cat(scales), alpha, kappa)
        return y

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        x, mean, scale, alpha, kappa = ctx.saved_tensors
        num_values = x.shape[1] * x.shape[3]
        of_x = torch.empty_like(x)
        sums = []
        parts = zip(*(_parts(each, like=x) for each in (x, mean, scale, grad, of_x)), strict=True)
        for clips, its_mean, its_scale, its_grad, its_of_x in parts:
            centred = clips.to(_precise(x)) - its_mean
            # Sums over the frames of a bin, (B, C, F, 1).
            grads = its_grad.sum(3, keepdim=True, dtype=centred.dtype)
            moments = (its_grad * centred).sum(3, keepdim=True)
            along = -(its_scale**3) * (kappa * moments).sum(1, keepdim=True) / num_values
            shift = -its_scale * (kappa * grads).sum(1, keepdim=True) / num_values
            slope = alpha + kappa * its_scale
            its_of_x.copy_(centred.mul_(along).add_(shift).addcmul_(its_grad.to(centred.dtype), slope))
            by_channel = (moments + its_mean * grads, its_scale * moments, grads)
            sums.append(torch.stack([each.sum((0, 2), keepdim=True) for each in by_channel]))
        of_alpha, of_kappa, of_beta = torch.stack(sums).sum(0)
        return of_x, of_alpha, of_kappa, of_beta


def _parts(x: Tensor, like: Tensor | None = None) -> tuple[Tensor, ...]:
    """Split x, or a tensor along the clips of `like`, into chunks that stay in a CPU's cache."""
    whole = x if like is None else like
    if whole.device.type != "cpu":
        return (x,)
    return torch.split(x, max(1, CACHED_VALUES * torch.get_num_threads() // whole[0].numel()))


def _standardized(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return FreqIN's mean, (B, 1, F, 1), x minus its mean, and 1 / deviation, (B, 1, F, 1), at least in fp32."""
    precise = x.to(_precise(x))
    mean = precise.mean((1, 3), keepdim=True)
    centred = precise - mean
    # The square of a norm: torch's variance takes five times as long on a CPU.
    deviation = torch.linalg.vector_norm(centred, dim=(1, 3), keepdim=True)
    scale = (deviation * deviation / (x.shape[1] * x.shape[3]) + EPSILON).rsqrt()
    return mean, centred, scale


def _precise(x: Tensor) -> torch.dtype:
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def mix_with_norm(x: Tensor, alpha: Tensor | float, kappa: Tensor | float, beta: Tensor | float) -> Tensor:
    """Return alpha x + kappa FreqIN(x) + beta of x (B, C, F, T), each of the three (1, C, 1, 1) or a number."""
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
    """FreqIN plus lambda times its input; no learned parameters."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, F, T) to that shape."""
        return mix_with_norm(x, RESIDUAL, 1.0, 0.0)


class AdaResNorm(nn.Module):
    """FreqIN interpolated with its input by a learned weight, then scaled and shifted; all per channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.rho = nn.Parameter(torch.full((1, channels, 1, 1), 0.5))
        self.gamma = nn.Parameter(torch.ones(1, channels, 1, 1))
        self.beta = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, F, T) to that shape."""
        return mix_with_norm(x, self.gamma * self.rho, self.gamma * (1 - self.rho), self.beta)
