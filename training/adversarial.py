"""Domain-adversarial training: features from which a device classifier cannot predict the recording device.

Sources: Ganin et al., "Domain-Adversarial Training of Neural Networks", JMLR 17, 2016; as ASCDomain has it:
https://github.com/hubtru/ASCDomain at dd49ddd, Adverserial/models/Adver_network.py and run_adv_training.py.

Shape letters: B batch, D features.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn

HIDDEN = 128  # width of the device classifier: `dis_hidden` of the script; 256 is the default of its class alone
STEEPNESS = 10  # of the sigmoid ramp of the reversal strength


class _Reversal(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor, strength: Tensor | float) -> Tensor:
        ctx.strength = strength
        return z.view_as(z)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return grad * -ctx.strength, None


def reverse(z: Tensor, strength: Tensor | float) -> Tensor:
    """Gradient reversal: the identity in the forward pass; the gradient is multiplied by -`strength`.

    The layers after it learn to lower the loss, the layers before it to raise it.

    Args:
        strength: A number, or a tensor of shape () on `z`'s device, which a captured CUDA graph reads at each replay.
    """
    reversed_: Tensor = _Reversal.apply(z, strength)  # type: ignore[no-untyped-call] # torch leaves it untyped
    return reversed_


def reversal_strength(progress: float) -> float:
    """Return the reversal's strength, 0 to nearly 1, at `progress`: the finished share of the training steps.

    Raises:
        ValueError: `progress` is not in 0 to 1.

    >>> [round(reversal_strength(done / 10), 3) for done in (0, 1, 2, 5, 10)]
    [0.0, 0.462, 0.762, 0.987, 1.0]
    """
    if not 0 <= progress <= 1:
        raise ValueError(f"progress must be from 0 to 1, got {progress}")
    return 2 / (1 + math.exp(-STEEPNESS * progress)) - 1


class DeviceClassifier(nn.Module):
    """Three linear layers, `HIDDEN` wide, with batch norm and ReLU between them."""

    def __init__(self, num_features: int, num_devices: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(num_features, HIDDEN),
            nn.BatchNorm1d(HIDDEN),
            nn.ReLU(),
            nn.Linear(HIDDEN, HIDDEN),
            nn.BatchNorm1d(HIDDEN),
            nn.ReLU(),
            nn.Linear(HIDDEN, num_devices),
        )

    def forward(self, z: Tensor) -> Tensor:
        """Map features (B, D) to the devices' scores (B, number of devices)."""
        scores: Tensor = self.layers(z)
        return scores
