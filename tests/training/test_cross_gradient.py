"""Perturbation of cross-gradient training against a gradient in closed form."""

import numpy as np
import pytest
import torch

from training.cross_gradient import DeviceNetwork, perturbed

X = np.array([[[[1.0, -2.0, 0.5]]], [[[3.0, 0.0, -1.0]]]])


def moved(step, scale=1.0):
    """Move along the loss scale x sum of x^3 / 3: its gradient is scale x^2."""
    x = torch.tensor(X, dtype=torch.float32, requires_grad=True)
    losses = scale * (x**3 / 3).sum(dim=(1, 2, 3))
    return perturbed(x, losses, step)


@pytest.mark.parametrize("step", [1.0, 0.5, 2.0])
def test_an_input_is_perturbed_up_the_loss_by_gradients_whose_root_mean_square_is_a_tenth(step):
    total = 0.0
    for value in X.ravel():
        total += (value**2) ** 2
    rms = (total / X.size) ** 0.5
    assert moved(step).numpy() == pytest.approx(X + step * 0.1 * X**2 / rms, rel=1e-5)


def test_the_scale_of_the_loss_does_not_matter():
    assert moved(1.0, scale=1e-4).numpy() == pytest.approx(moved(1.0, scale=30.0).numpy(), rel=1e-5)


def test_a_loss_without_a_slope_moves_nothing():
    assert moved(1.0, scale=0.0).numpy() == pytest.approx(X)


def test_the_perturbed_input_is_detached_and_the_loss_can_still_be_minimized():
    torch.manual_seed(0)
    network = DeviceNetwork(in_channels=1, num_devices=3)
    x = torch.randn(4, 1, 20, 9, requires_grad=True)
    loss = torch.nn.functional.cross_entropy(network(x), torch.tensor([0, 1, 2, 0]), reduction="none")
    other = perturbed(x, loss, 1.0)
    assert not other.requires_grad
    assert float((other - x.detach()).square().mean().sqrt()) == pytest.approx(0.1, rel=1e-4)
    loss.mean().backward()
    assert all(bool(each.grad.any()) for each in network.parameters())


@pytest.mark.parametrize("shape", [(1, 256, 65), (3, 128, 44), (1, 5, 3)])
def test_the_device_network_takes_the_input_of_every_front_end(shape):
    assert DeviceNetwork(shape[0], num_devices=6)(torch.randn(2, *shape)).shape == (2, 6)


def test_a_network_that_is_sure_perturbs_its_clips_no_further():
    x = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(0)).requires_grad_()
    loss = 1e-30 * (x.flatten(1) * torch.linspace(-1, 1, 64)).sum(1)
    moved = perturbed(x, loss, 1.0) - x.detach()
    assert moved.square().mean().sqrt().item() == pytest.approx(0.1, rel=1e-4)
    still = perturbed(x, 0 * x.flatten(1).sum(1), 1.0)
    assert torch.equal(still, x.detach())
