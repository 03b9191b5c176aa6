"""Cross entropy per clip against sums that are written out, one class at a time."""

import math

import pytest
import torch
from torch.nn import functional as F

from training.cross_entropy import cross_entropy_per_clip

LOGITS = torch.tensor([[2.0, -1.0, 0.5], [0.0, 3.0, 1.0], [-4.0, 1.0, 1.0]])
ONE_HOT = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
MIXED = torch.tensor([[0.7, 0.3, 0.0], [0.0, 0.25, 0.75], [0.5, 0.1, 0.4]])


def written_out(logits, targets, smoothing, gamma):
    losses = []
    for scores, shares in zip(logits.tolist(), targets.tolist(), strict=True):
        total = sum(math.exp(score) for score in scores)
        loss = 0.0
        for score, share in zip(scores, shares, strict=True):
            p = math.exp(score) / total
            loss -= (share * (1 - smoothing) + smoothing / len(scores)) * (1 - p) ** gamma * math.log(p)
        losses.append(loss)
    return losses


@pytest.mark.parametrize("targets", [ONE_HOT, MIXED])
@pytest.mark.parametrize(("smoothing", "gamma"), [(0.0, 0.0), (0.1, 0.0), (0.0, 2.0), (0.2, 0.5)])
def test_each_clip_s_loss_is_the_sum_over_its_classes(targets, smoothing, gamma):
    expected = written_out(LOGITS, targets, smoothing, gamma)
    assert cross_entropy_per_clip(LOGITS, targets, smoothing, gamma).tolist() == pytest.approx(expected, rel=1e-5)


def test_with_both_off_it_is_cross_entropy_and_so_is_its_gradient():
    ours, theirs = LOGITS.clone().requires_grad_(), LOGITS.clone().requires_grad_()
    loss, expected = cross_entropy_per_clip(ours, ONE_HOT).mean(), F.cross_entropy(theirs, torch.tensor([0, 2, 1]))
    loss.backward()
    expected.backward()
    torch.testing.assert_close(loss, expected, rtol=0, atol=1e-7)
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=0, atol=1e-7)


def test_a_class_that_the_network_is_sure_of_has_a_finite_focal_gradient():
    logits = torch.tensor([[200.0, 0.0, 0.0], [0.0, 0.0, 200.0]], requires_grad=True)
    loss = cross_entropy_per_clip(logits, ONE_HOT[:2], focal_gamma=0.5).mean()
    loss.backward()
    assert float(loss.detach()) == 0.0
    assert bool(logits.grad.isfinite().all())


def test_a_loss_of_bf16_scores_is_computed_in_fp32():
    assert cross_entropy_per_clip(LOGITS.bfloat16(), MIXED).dtype == torch.float32
    assert cross_entropy_per_clip(LOGITS.bfloat16(), MIXED, 0.1, 1.0).dtype == torch.float32
