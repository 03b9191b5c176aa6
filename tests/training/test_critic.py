"""The critic's loss against loops over clips and pairs, on a critic whose gradient is known in closed form."""

import numpy as np
import pytest
import torch
from torch import nn

from training.critic import Critic, critic_loss, gradient_penalty

Z = np.array([[1.0, 2.0], [0.5, -1.0], [3.0, 0.0], [-2.0, 1.0]])
PURE = np.array([1.0, 0.0, 0.0, 1.0])
MIXED = np.array([0.9, 0.0, 0.3, 1.0])
# A draw d of side a falls on the first clip whose share, added to those before, is over d x their sum.
DRAWS = np.array([[0.1, 0.6, 0.9, 0.0], [0.2, 0.7, 0.0, 0.99], [0.25, 0.5, 0.75, 0.0]])


class Bowl(nn.Module):
    """Score gain/2 |z|^2 + slope z: its gradient at z is gain z + slope."""

    def __init__(self, gain):
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(gain))
        self.slope = nn.Parameter(torch.tensor([0.5, -1.0]))

    def forward(self, z):
        return 0.5 * self.gain * z.square().sum(1) + z @ self.slope


def score(z, gain):
    return 0.5 * gain * float(z @ z) + 0.5 * z[0] - z[1]


def drawn(shares, draw):
    reached, total = 0.0, sum(shares)
    for clip, share in enumerate(shares):
        reached += share
        if draw * total < reached:
            return clip
    raise AssertionError(draw)


def expected_penalty(source, gain):
    penalties = []
    for first, second, share in DRAWS.T:
        point = share * Z[drawn(source, first)] + (1 - share) * Z[drawn(1 - source, second)]
        penalties.append((np.linalg.norm(gain * point + np.array([0.5, -1.0])) - 1) ** 2)
    return np.mean(penalties)


def expected_distance(source, gain):
    scores = np.array([score(z, gain) for z in Z])
    return (source * scores).sum() / source.sum() - ((1 - source) * scores).sum() / (1 - source).sum()


def tensors(*arrays):
    return [torch.tensor(array, dtype=torch.float32) for array in arrays]


@pytest.mark.parametrize("source", [PURE, MIXED])
def test_the_gradient_penalty_is_the_mean_over_random_points_between_the_two_sides(source):
    found = gradient_penalty(Bowl(0.7), *tensors(Z, source, DRAWS))
    assert float(found.detach()) == pytest.approx(expected_penalty(source, 0.7), rel=1e-5)


@pytest.mark.parametrize("source", [PURE, MIXED])
def test_the_loss_is_the_penalty_minus_the_distance_of_the_two_means(source):
    z, shares, draws = tensors(Z, source, DRAWS)
    found = critic_loss(Bowl(0.7), z, shares, 10.0, 1.0, draws)
    expected = 10 * expected_penalty(source, 0.7) - expected_distance(source, 0.7)
    assert float(found.detach()) == pytest.approx(expected, rel=1e-5)


def test_the_critic_ascends_the_distance_and_the_features_descend_it_with_the_reversal_s_strength():
    z, shares, draws = tensors(Z, PURE, DRAWS)
    z.requires_grad_()
    critic = Bowl(0.0)
    critic_loss(critic, z, shares, 0.0, 0.3, draws).backward()
    slope = np.array([0.5, -1.0])
    # The distance is slope x (mean of clips 0 and 3 - mean of clips 1 and 2); the critic's gradient has the minus.
    assert critic.slope.grad.numpy() == pytest.approx(-(Z[[0, 3]].mean(0) - Z[[1, 2]].mean(0)))
    for clip, sign in enumerate([1, -1, -1, 1]):
        assert z.grad[clip].numpy() == pytest.approx(0.3 * sign * slope / 2, rel=1e-5)


def test_the_gradient_of_the_penalty_reaches_the_critic_and_never_the_features():
    z, shares, draws = tensors(Z, PURE, DRAWS)
    z.requires_grad_()
    critic = Bowl(0.7)
    gradient_penalty(critic, z, shares, draws).backward()
    assert z.grad is None
    ahead, behind = (expected_penalty(PURE, 0.7 + step) for step in (1e-4, -1e-4))
    assert float(critic.gain.grad) == pytest.approx((ahead - behind) / 2e-4, rel=1e-3)


@pytest.mark.parametrize("source", [[0.0] * 4, [1.0] * 4, [1.0, 1.0 - 6e-8, 1.0, 1.0 - 6e-8]])
def test_a_batch_without_one_of_the_sides_has_no_loss_and_no_gradient(source):
    z = torch.tensor(Z, dtype=torch.float32, requires_grad=True)
    critic = Critic(2)
    loss = critic_loss(critic, z, torch.tensor(source), 10.0, 1.0)
    loss.backward()
    assert float(loss.detach()) == 0.0
    assert not bool(z.grad.any())
    assert not any(bool(each.grad.any()) for each in critic.parameters() if each.grad is not None)


def test_the_points_are_drawn_from_torch_s_generator():
    torch.manual_seed(0)
    z, critic, shares = torch.randn(8, 3), Critic(3), torch.arange(8) % 2
    torch.manual_seed(1)
    first = critic_loss(critic, z, shares, 10.0, 1.0)
    torch.manual_seed(1)
    assert torch.equal(critic_loss(critic, z, shares, 10.0, 1.0), first)
    assert not torch.equal(critic_loss(critic, z, shares, 10.0, 1.0), first)


def test_the_critic_is_a_residual_block_and_one_score():
    critic = Critic(3)
    weights = {name: value.detach().numpy() for name, value in critic.named_parameters()}
    z = np.array([0.5, -1.0, 2.0])
    inner = np.maximum(weights["layers.0.weight"] @ z + weights["layers.0.bias"], 0)
    block = z + weights["layers.2.weight"] @ inner + weights["layers.2.bias"]
    expected = weights["score.weight"] @ block + weights["score.bias"]
    found = critic(torch.tensor(z, dtype=torch.float32)[None])
    assert found.shape == (1,)
    assert float(found.detach()) == pytest.approx(float(expected[0]), rel=1e-5)


def test_a_trained_critic_tells_two_points_apart_by_their_distance_and_what_the_penalty_lets_pass():
    """Two points 3 apart and a slope of g between them: 3 g - 10 (g - 1)^2 is largest at g = 1 + 3 / 20."""
    torch.manual_seed(0)
    z = torch.tensor([[0.0, 0.0], [0.0, 3.0]]).repeat(8, 1)
    source = (torch.arange(16) % 2).float()
    critic = Critic(2)
    optimizer = torch.optim.Adam(critic.parameters(), lr=0.03)
    for _ in range(100):
        optimizer.zero_grad()
        critic_loss(critic, z, source, 10.0, 1.0).backward()
        optimizer.step()
    with torch.no_grad():
        scores = critic(z)
    assert float(scores[1] - scores[0]) == pytest.approx(3.45, abs=0.1)
