"""Mixture masking: a band and a span of each clip become the mean with another clip of the batch."""

import pytest
import torch

from data.augmentation import mixture_mask


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(5)


def spans(inside):
    """Return the widths of the spans in (B, size) bool, each clip's to be in one piece."""
    zeros = torch.zeros(len(inside), 1)
    assert inside.int().diff(dim=1, prepend=zeros, append=zeros).abs().sum(1).max() <= 2
    return inside.sum(1)


def partner(x, result, clip, masked):
    """Find the other clip whose mean with `clip` fills the masked places."""
    fits = [
        other
        for other in range(len(x))
        if other != clip and torch.equal(((x[clip] + x[other]) / 2)[masked], result[clip][masked])
    ]
    assert len(fits) == 1
    return fits[0]


def test_a_band_and_a_span_are_the_mean_of_two_clips_and_the_rest_stays():
    x = torch.randn(40, 3, 20, 10)
    result = mixture_mask(x, 0.4)
    changed = result != x
    band, span = changed.all(dim=3)[:, 0], changed.all(dim=2)[:, 0]
    assert torch.equal(changed, (band[:, None, :, None] | span[:, None, None, :]).expand_as(x))
    assert (spans(band).max(), spans(span).max()) == (8, 4)
    partners = {partner(x, result, clip, changed[clip]) for clip in range(40) if changed[clip].any()}
    assert len(partners) > 15


def test_every_width_is_as_likely_on_either_axis():
    x = torch.arange(3000.0)[:, None, None, None].expand(3000, 1, 8, 12)
    changed = (mixture_mask(x, 0.5) != x)[:, 0]
    bins, frames = torch.bincount(changed.all(dim=2).sum(1)), torch.bincount(changed.all(dim=1).sum(1))
    # 3,000 clips over 5 widths and over 7: 600 and 429 of each, give or take five standard deviations.
    assert (len(bins), len(frames)) == (5, 7)
    assert bins.sub(600).abs().max() < 110
    assert frames.sub(3000 / 7).abs().max() < 100


def test_gradients_reach_both_clips_by_halves():
    x = torch.randn(12, 2, 6, 5, requires_grad=True)
    result = mixture_mask(x, 0.5)
    weight = torch.randn(12, 2, 6, 5)
    (result * weight).sum().backward()
    changed = (result != x).detach()
    expected = torch.where(changed, weight / 2, weight)
    for clip in range(12):
        if changed[clip].any():
            expected[partner(x.detach(), result.detach(), clip, changed[clip])] += weight[clip] * changed[clip] / 2
    torch.testing.assert_close(x.grad, expected)


def test_a_clip_is_never_its_own_partner():
    x = torch.stack([torch.zeros(1, 20, 20), torch.ones(1, 20, 20)])
    kept = sum(int((mixture_mask(x, 1.0) == x).flatten(1).all(dim=1).sum()) for _ in range(300))
    # Only a band and a span of width 0 keep a clip: 1 of 21 * 21 clips.
    assert kept < 10


def test_a_single_clip_and_a_share_of_nothing_change_nothing():
    x = torch.randn(1, 2, 6, 5)
    assert torch.equal(mixture_mask(x, 0.5), x)
    x = torch.randn(4, 2, 6, 5)
    assert torch.equal(mixture_mask(x, 0.0), x)
    with pytest.raises(ValueError, match=r"max_share must be in 0\.\.1, got 1\.5"):
        mixture_mask(x, 1.5)
