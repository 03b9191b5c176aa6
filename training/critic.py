"""Wasserstein domain critic: the feature distributions of device a and all other devices are matched.

Sources: Koutini et al., technical report for DCASE 2021 task 1A, section 4 (a residual block of two convolutions behind
gradient reversal, device a against the rest); Gulrajani et al., "Improved Training of Wasserstein GANs", NeurIPS 2017,
section 4 (the gradient penalty, per clip, and therefore no batch norm in the critic).

Shape letters: B batch, D features.
"""

import torch
from torch import Tensor, nn

from data.device import send
from training.adversarial import reverse

# Summed weights of a side below which a batch has no clip of it: mixup leaves rounding errors.
MIN_WEIGHT = 1e-3


class Critic(nn.Module):
    """A residual block of two layers and one score; on pooled features a 1x1 convolution is a linear layer."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(num_features, num_features), nn.ReLU(), nn.Linear(num_features, num_features)
        )
        # No ReLU before it: a critic whose features are all negative would have no gradient.
        self.score = nn.Linear(num_features, 1)

    def forward(self, z: Tensor) -> Tensor:
        """Map features (B, D) to scores (B,)."""
        scores: Tensor = self.score(z + self.layers(z))
        return scores.squeeze(1)


def critic_loss(
    critic: nn.Module,
    z: Tensor,
    source: Tensor,
    penalty_weight: float,
    strength: Tensor | float,
    draws: Tensor | None = None,
) -> Tensor:
    """Return the loss of the critic and, through the reversal, of the features; in fp32, outside of autocast.

    It is the mean score of the other devices' clips minus that of device a's, plus the weighted penalty: the critic
    maximizes the distance between the two means, the features minimize it. Clips mixed by mixup count on both sides by
    their shares. A batch without one of the sides has a loss of 0.

    Args:
        z: Features (B, D).
        source: (B,), each clip's share of device a, 0 to 1.
        draws: Random numbers, as for `gradient_penalty`; None: drawn here.
    """
    z, source = z.float(), source.float()
    if draws is None:
        draws = send(torch.rand(3, len(z)), z.device)
    scores = critic(reverse(z, strength))
    distance = scores @ _weights(source) - scores @ _weights(1 - source)
    penalty = gradient_penalty(critic, z, source, draws)
    has_both = (source.sum() > MIN_WEIGHT) & ((1 - source).sum() > MIN_WEIGHT)
    loss: Tensor = has_both * (penalty_weight * penalty - distance)
    return loss


def gradient_penalty(critic: nn.Module, z: Tensor, source: Tensor, draws: Tensor) -> Tensor:
    """Return the mean of (|gradient| - 1)^2 of the score, at points between device a's features and the others'.

    Each of B points lies on the line from a random clip of device a to a random clip of the others; clips are
    drawn with probabilities proportional to their shares. Only the critic gets a gradient.

    Args:
        z: Features (B, D).
        source: (B,), each clip's share of device a.
        draws: (3, B) in 0 to 1: which clip of device a, which of the others, and the share of the first.
    """
    z = z.detach()
    share = draws[2, :, None]
    points = share * z[_sample_indices(source, draws[0])] + (1 - share) * z[_sample_indices(1 - source, draws[1])]
    points.requires_grad_()
    (gradient,) = torch.autograd.grad(critic(points).sum(), points, create_graph=True)
    slopes: Tensor = torch.linalg.vector_norm(gradient, dim=1)
    return (slopes - 1).square().mean()


def _weights(shares: Tensor) -> Tensor:
    """Scale shares (B,) to a sum of 1; zeros stay zeros."""
    return shares / shares.sum().clamp_min(MIN_WEIGHT)


def _sample_indices(shares: Tensor, draws: Tensor) -> Tensor:
    """Return an index for each draw (B,), with probabilities proportional to the shares (inverse transform)."""
    reached = shares.cumsum(0)
    # right=True: a draw of 0 never selects a clip of share 0; the clamp catches rounding at the last draw.
    return torch.searchsorted(reached, draws * reached[-1], right=True).clamp_max(len(shares) - 1)
