"""Mixup's two parts: the share, whose distribution has known moments, and the mixture."""

import pytest
import torch

from data.augmentation import draw_share, mixed


@pytest.mark.parametrize("alpha", [0.3, 1.0, 4.0])
def test_shares_have_the_mean_and_the_variance_of_the_beta_distribution(alpha):
    torch.manual_seed(5)
    shares = torch.tensor([draw_share(alpha) for _ in range(3000)])
    assert shares.min() >= 0
    assert shares.max() <= 1
    assert shares.mean() == pytest.approx(0.5, abs=0.04)
    assert shares.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.1)


def test_an_alpha_that_is_no_parameter_is_refused():
    with pytest.raises(ValueError, match="alpha must be over 0, got 0"):
        draw_share(0)


def test_a_mixture_is_so_much_of_its_own_and_the_rest_of_the_other():
    own, other = torch.randn(4, 3), torch.randn(4, 3)
    torch.testing.assert_close(mixed(0.8, own, other), 0.8 * own + 0.2 * other)
    assert torch.equal(mixed(1.0, own, other), own)
    assert torch.equal(mixed(0.0, own, other), other)
