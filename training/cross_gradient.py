"""Cross-gradient training (CrossGrad): each of two classifiers trains on inputs perturbed along the other's gradient.

Sources: Shankar et al., "Generalizing Across Domains via Cross-Gradient Training", ICLR 2018, algorithm 1; as
BC-ResNet-Mod has it: technical report for DCASE 2022 task 1, section 3.1.3, which prints neither the step nor the
device classifier.

Shape letters: B batch, C channels, F mel bins, T frames.
"""

import torch
from torch import Tensor, nn

WIDTHS = (16, 32, 64)
# In units of the input: 0.43 dB of a log-mel spectrogram. Raw gradients are ten to a thousand times smaller, and differ
# by a factor of fifty between networks, so that a step of 1 would have no effect. A perturbation of this size along the
# gradient raises the loss of a partly trained network by a factor of 1.5 to 2; a random one leaves it unchanged.
GRADIENT_RMS = 0.1


class DeviceNetwork(nn.Module):
    """Device classifier on spectrograms: three 3x3 convolutions that halve F and T, global average pooling, linear."""

    def __init__(self, in_channels: int, num_devices: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in zip((in_channels, *WIDTHS), WIDTHS, strict=False):
            layers.append(nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False))
            layers += [nn.BatchNorm2d(outputs), nn.ReLU()]
        self.layers = nn.Sequential(*layers)
        self.classifier = nn.Linear(WIDTHS[-1], num_devices)

    def forward(self, x: Tensor) -> Tensor:
        """Map spectrograms (B, C, F, T) to the devices' scores (B, number of devices)."""
        scores: Tensor = self.classifier(self.layers(x).mean(dim=(2, 3)))
        return scores


def perturbed(x: Tensor, loss: Tensor, step: float) -> Tensor:
    """Return x + step x gradient of the summed loss with respect to x, detached.

    The gradients of a batch are scaled together, to a root mean square of `GRADIENT_RMS`: a clip with a
    larger gradient is perturbed more, and a step has the same scale for every network.

    Args:
        x: The classifier's input, (B, C, F, T), with `requires_grad`.
        loss: Loss of each clip, (B,), or their sum; its graph is kept.
        step: Length of the perturbation, in scaled gradients.
    """
    (gradient,) = torch.autograd.grad(loss.sum(), x, retain_graph=True)
    # Scaled by the largest first: the squares of a confident network's gradients underflow.
    gradient = gradient / gradient.abs().amax().clamp_min(torch.finfo(gradient.dtype).tiny)
    rms = gradient.square().mean().sqrt().clamp_min(torch.finfo(gradient.dtype).tiny)
    return x.detach() + step * (GRADIENT_RMS / rms) * gradient
