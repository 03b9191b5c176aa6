"""Time shift: each clip is rolled over its frames, by a number from a normal distribution."""

import pytest
import torch

from data.augmentation import shift_time


def test_each_clip_is_rolled_over_time_by_its_own_normal_number_of_frames():
    torch.manual_seed(5)
    clip = torch.randn(1, 3, 101)
    result = shift_time(clip.expand(2000, 1, 3, 101), 10.0)
    rolled = torch.stack([clip.roll(step, dims=2) for step in range(-50, 51)])
    equal = (result[:, None] == rolled[None]).flatten(2).all(dim=2)
    assert (equal.sum(1) == 1).all()
    steps = equal.int().argmax(1) - 50
    # A rounded normal number has the variance of the normal one and a twelfth.
    assert steps.double().std() == pytest.approx((100 + 1 / 12) ** 0.5, rel=0.06)
    assert steps.double().mean() == pytest.approx(0, abs=0.8)


def test_a_shift_farther_than_the_clip_wraps_around():
    torch.manual_seed(5)
    x = torch.arange(5.0).expand(50, 1, 1, 5)
    result = shift_time(x, 30.0)[:, 0, 0]
    assert torch.equal(result.sort(dim=1).values, x[:, 0, 0])
    assert set(result[:, 0].tolist()) == {0.0, 1.0, 2.0, 3.0, 4.0}


def test_no_shift_changes_nothing_and_a_negative_one_is_refused():
    x = torch.randn(3, 1, 4, 5)
    assert torch.equal(shift_time(x, 0.0), x)
    with pytest.raises(ValueError, match="std_frames must be at least 0 and finite, got -1"):
        shift_time(x, -1)
