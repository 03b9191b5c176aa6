"""Masked features of representation self-challenging, against numpy's percentiles, one clip at a time."""

import numpy as np
import pytest
import torch
from torch import nn

from models import ARCHITECTURES
from training.module_modes import frozen_statistics
from training.rsc import rsc_mask

B, D, K = 9, 12, 4


def softmax(scores):
    shares = np.exp(scores - scores.max())
    return shares / shares.sum()


def linear_case(mixed=False, seed=0):
    """Return features, targets and a linear classifier, whose gradient at the true logit is its row of weights."""
    rng = np.random.default_rng(seed)
    targets = np.eye(K)[rng.integers(0, K, B)]
    if mixed:
        targets = 0.7 * targets + 0.3 * targets[::-1]
    return rng.normal(size=(B, D)), targets, rng.normal(size=(K, D)), rng.normal(size=K)


def expected_mask(z, targets, weight, bias, drop_f, drop_b):
    mask, falls = np.ones((B, D)), np.zeros(B)
    for clip in range(B):
        gradient = np.zeros(D)
        for k in range(K):
            gradient += targets[clip, k] * weight[k]
        mask[clip] = gradient < np.percentile(gradient, 100 * (1 - drop_f))
        before, after = softmax(weight @ z[clip] + bias), softmax(weight @ (z[clip] * mask[clip]) + bias)
        falls[clip] = sum(targets[clip, k] * (before[k] - after[k]) for k in range(K))
    for clip in range(B):
        if falls[clip] < np.percentile(falls, 100 * (1 - drop_b)):
            mask[clip] = 1
    return mask


def our_mask(z, targets, weight, bias, drop_f, drop_b):
    features = torch.tensor(z, requires_grad=True)
    layer = nn.Linear(D, K).double()
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(weight))
        layer.bias.copy_(torch.tensor(bias))
    return rsc_mask(features, torch.tensor(targets), layer(features), layer, drop_f, drop_b)


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize(("drop_f", "drop_b"), [(0.05, 0.05), (0.5, 0.33), (0.25, 0.99), (0.3, 0.5)])
def test_the_top_features_are_masked_in_the_clips_that_miss_them_most(mixed, drop_f, drop_b):
    case = linear_case(mixed)
    expected = expected_mask(*case, drop_f, drop_b)
    assert our_mask(*case, drop_f, drop_b).tolist() == expected.tolist()
    assert 0 < (expected == 0).sum() < B * D


def test_of_twelve_features_and_nine_clips_the_report_s_rates_mask_one_in_one():
    mask = our_mask(*linear_case(), 0.05, 0.05)
    assert (mask == 0).sum(1).tolist().count(1) == 1
    assert int((mask == 0).sum()) == 1


def test_a_quantile_that_is_a_value_masks_that_value():
    # (1 - 0.7) x 10 is a little over 3 in binary: the fourth of eleven must be masked, as seven above it are.
    z, weight = torch.ones(1, 11, requires_grad=True), torch.arange(11.0).repeat(2, 1)
    mask = rsc_mask(z, torch.tensor([[1.0, 0.0]]), z @ weight.T, lambda each: each @ weight.T, 0.7, 0.5)
    assert mask.tolist() == [[1.0] * 3 + [0.0] * 8]


@pytest.mark.parametrize(("drop_f", "drop_b"), [(0.0, 0.5), (0.5, 0.0)])
def test_with_one_rate_zero_nothing_is_masked(drop_f, drop_b):
    assert our_mask(*linear_case(), drop_f, drop_b).tolist() == np.ones((B, D)).tolist()


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_every_architecture_s_features_can_be_masked_and_its_statistics_stay(name):
    torch.manual_seed(0)
    architecture = ARCHITECTURES[name]
    network = architecture.network(architecture.config())
    channels = architecture.config().in_channels
    z = network.features(torch.randn(4, channels, 256 if name == "sep_cnn" else 64, 32))
    targets = torch.eye(10)[:4]
    logits = network.classify(z)
    seen = {key: value.clone() for key, value in network.state_dict().items()}
    with frozen_statistics(network):
        mask = rsc_mask(z, targets, logits, network.classify, 0.25, 0.5)
    assert mask.shape == z.shape
    assert not mask.requires_grad
    assert 0 < int((mask == 0).sum()) < mask.numel()
    assert set(mask.unique().tolist()) == {0.0, 1.0}
    for key, value in network.state_dict().items():
        assert torch.equal(value, seen[key]), key
    masked = nn.functional.cross_entropy(network.classify(z * mask), targets)
    (masked + nn.functional.cross_entropy(logits, targets)).backward()
    assert all(value.grad.isfinite().all() for value in network.parameters() if value.grad is not None)


def test_batch_norms_compute_the_same_while_their_statistics_are_frozen():
    torch.manual_seed(0)
    layers = nn.Sequential(nn.BatchNorm1d(3), nn.BatchNorm1d(3, track_running_stats=False), nn.BatchNorm1d(3).eval())
    x = torch.randn(5, 3)
    with frozen_statistics(layers):
        kept = layers(x)
    assert layers[0].running_mean.tolist() == [0.0, 0.0, 0.0]
    assert torch.equal(layers(x), kept)
    assert torch.allclose(layers[0].running_mean, 0.1 * x.mean(0))
    assert int(layers[0].num_batches_tracked) == 1
    assert [each.track_running_stats for each in layers] == [True, False, True]


def test_statistics_move_again_after_an_error():
    norm = nn.BatchNorm1d(3)
    with pytest.raises(ValueError, match="expected 2D or 3D"), frozen_statistics(norm):
        norm(torch.randn(2, 3, 4, 5))
    assert norm.track_running_stats


def test_of_clips_that_masking_does_not_change_no_more_are_masked_than_the_rate_says():
    weight = torch.tensor([[80.0] + [0.0] * 19, [0.0] * 20])
    z = torch.ones(40, 20, requires_grad=True)
    targets = torch.tensor([[1.0, 0.0]]).expand(40, 2)
    mask = rsc_mask(
        z,
        targets,
        z @ weight.T + torch.tensor([80.0, 0.0]),
        lambda each: each @ weight.T + torch.tensor([80.0, 0.0]),
        0.05,
        0.05,
    )
    assert int((mask == 0).any(1).sum()) == 2
