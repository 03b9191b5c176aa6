"""The norms' gradient, which is written out, against what torch derives from their definition."""

import pytest
import torch

from models.norms import EPSILON, RESIDUAL, AdaResNorm, ResNorm


def adaptive(norm, x):
    """(rho x + (1 - rho) FreqIN(x)) gamma + beta: TF-SepNet, technical report for DCASE 2023, section 2."""
    return (norm.rho * x + (1 - norm.rho) * freq_in(x)) * norm.gamma + norm.beta


def fixed(norm, x):
    return RESIDUAL * x + freq_in(x)


def freq_in(x):
    variance, mean = torch.var_mean(x, dim=(1, 3), correction=0, keepdim=True)
    return (x - mean) / (variance + EPSILON).sqrt()


def random_adaptive():
    norm = AdaResNorm(6).double()
    for weights in norm.parameters():
        torch.nn.init.uniform_(weights, 0.2, 1.5)
    return norm


@pytest.fixture(params=["adaptive", "fixed"])
def norm_and_definition(request):
    torch.manual_seed(0)
    return (random_adaptive(), adaptive) if request.param == "adaptive" else (ResNorm(), fixed)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_value_and_gradients_are_those_of_the_definition(norm_and_definition, memory_format):
    norm, definition = norm_and_definition
    x = torch.randn(3, 6, 5, 7, dtype=torch.double) * 2 + 1
    x = x.to(memory_format=memory_format).requires_grad_()
    weights = torch.randn(3, 6, 5, 7, dtype=torch.double)
    found, expected = norm(x), definition(norm, x)
    torch.testing.assert_close(found, expected)
    inputs = [x, *norm.parameters()]
    for ours, theirs in zip(
        torch.autograd.grad((found * weights).sum(), inputs),
        torch.autograd.grad((expected * weights).sum(), inputs),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs)


def test_what_is_trained_is_what_is_evaluated(norm_and_definition):
    norm, _ = norm_and_definition
    x = torch.randn(2, 6, 5, 7, dtype=torch.double)
    with torch.no_grad():
        evaluated = norm(x)
    torch.testing.assert_close(norm(x), evaluated)


def test_the_memory_format_is_kept(norm_and_definition):
    norm, _ = norm_and_definition
    x = torch.randn(2, 6, 5, 7, dtype=torch.double).to(memory_format=torch.channels_last).requires_grad_()
    y = norm(x)
    assert y.is_contiguous(memory_format=torch.channels_last)
    (gradient,) = torch.autograd.grad(y.square().sum(), x)
    assert gradient.is_contiguous(memory_format=torch.channels_last)


def test_a_bin_without_change_has_a_finite_gradient(norm_and_definition):
    norm, _ = norm_and_definition
    x = torch.full((2, 6, 5, 7), -11.5, dtype=torch.double, requires_grad=True)
    (gradient,) = torch.autograd.grad(norm(x).sum(), x)
    assert gradient.isfinite().all()
