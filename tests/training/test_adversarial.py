"""Gradient reversal against its two gradients, and its strength against the hyperbolic tangent."""

import math

import numpy as np
import pytest
import torch

from training.adversarial import DeviceClassifier, reversal_strength, reverse


@pytest.mark.parametrize("strength", [0.3, torch.tensor(0.3), 0.0, 1.0])
def test_layers_after_the_reversal_descend_the_loss_and_layers_before_it_ascend(strength):
    z = torch.tensor([[1.0, -2.0]], requires_grad=True)
    weight = torch.tensor([[3.0, 4.0]], requires_grad=True)
    behind = reverse(z, strength)
    assert torch.equal(behind, z)
    (behind * weight).sum().backward()
    assert weight.grad.tolist() == [[1.0, -2.0]]
    assert z.grad.numpy() == pytest.approx(-float(strength) * np.array([[3.0, 4.0]]))


def test_a_strength_in_a_tensor_is_read_in_the_backward_pass():
    z, strength = torch.ones(2, requires_grad=True), torch.tensor(0.0)
    loss = reverse(z, strength).sum()
    strength.fill_(0.5)
    loss.backward()
    assert z.grad.tolist() == [-0.5, -0.5]


def test_the_strength_rises_as_a_hyperbolic_tangent_from_nothing_to_nearly_one():
    for progress in (0.0, 0.05, 0.25, 0.5, 0.99, 1.0):
        assert reversal_strength(progress) == pytest.approx(math.tanh(5 * progress))
    assert reversal_strength(0.0) == 0.0


@pytest.mark.parametrize("progress", [-0.1, 1.1])
def test_progress_beyond_the_training_is_refused(progress):
    with pytest.raises(ValueError, match=f"progress must be from 0 to 1, got {progress}"):
        reversal_strength(progress)


def test_the_device_classifier_has_the_parameters_of_three_layers_128_wide():
    classifier = DeviceClassifier(num_features=64, num_devices=6)
    # weights and biases of the three layers, scale and shift of two norms
    expected = (64 * 128 + 128) + (128 * 128 + 128) + (128 * 6 + 6) + 2 * 2 * 128
    assert sum(value.numel() for value in classifier.parameters()) == expected
    assert classifier(torch.randn(3, 64)).shape == (3, 6)
