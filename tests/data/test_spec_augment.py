"""SpecAugment in time: a span is silenced, or one frame moves and its neighbours with it; written out with NumPy."""

import numpy as np
import pytest
import torch

from data.augmentation import mask_time, warp_time
from data.front_end import LOG_FLOOR


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(5)


def test_a_mask_silences_one_span_of_each_clip_and_keeps_the_rest():
    x = torch.randn(2000, 1, 3, 20)
    masked = mask_time(x, 8)
    silent = (masked == LOG_FLOOR)[:, 0].all(dim=1)
    kept = ~silent[:, None, None, :].expand_as(x)
    assert torch.equal(masked[kept], x[kept])
    edges = silent.int().diff(dim=1, prepend=torch.zeros(2000, 1), append=torch.zeros(2000, 1)).abs().sum(1)
    assert set(edges.tolist()) == {0, 2}
    lengths = torch.bincount(silent.sum(1))
    # 2,000 clips over 9 lengths: 222 of each, give or take five standard deviations.
    assert len(lengths) == 9
    assert lengths.min() > 150
    assert lengths.max() < 300
    assert silent.any(dim=0).all()


def test_a_mask_may_be_as_long_as_the_clip_and_no_longer():
    x = torch.randn(300, 1, 3, 4)
    assert (mask_time(x, 4) == LOG_FLOOR).all(dim=2).sum(dim=(1, 2)).max() == 4
    assert torch.equal(mask_time(x, 0), x)
    with pytest.raises(ValueError, match=r"max_frames must be in 0\.\.4, got 5"):
        mask_time(x, 5)


def warped(clip, centre, moved):
    """Return the frames of (F, T) after the one at `centre` has moved; ends stay, straight lines in between."""
    last = clip.shape[1] - 1
    source = np.interp(np.arange(last + 1), [0, moved, last], [0, centre, last])
    return np.stack([np.interp(source, np.arange(last + 1), bin_over_time) for bin_over_time in clip])


def test_time_is_warped_around_one_frame_that_moves():
    x = torch.randn(400, 1, 2, 13)
    result = warp_time(x, 2)
    ways = [(centre, centre + step) for centre in range(3, 10) for step in range(-2, 3)]
    found = set()
    for clip, got in zip(x[:, 0].numpy(), result[:, 0].numpy(), strict=True):
        misses = [np.abs(warped(clip, *way) - got).max() for way in ways]
        assert min(misses) < 1e-5
        if not np.array_equal(clip, got):
            found.add(ways[int(np.argmin(misses))])
    assert found == {(centre, moved) for centre, moved in ways if centre != moved}
    kept = (result == x).all(dim=3).all(dim=2).float().mean()
    assert kept == pytest.approx(1 / 5, abs=0.1)


def test_a_clip_that_does_not_move_keeps_its_values_in_any_precision():
    x = torch.randn(50, 1, 2, 13).bfloat16()
    result = warp_time(x, 2)
    assert result.dtype == torch.bfloat16
    assert (result == x).all(dim=3).all(dim=2).any()
    assert torch.equal(warp_time(x, 0), x)


@pytest.mark.parametrize("max_frames", [-1, 6])
def test_a_warp_that_has_no_room_is_refused(max_frames):
    with pytest.raises(ValueError, match=rf"max_frames must be in 0\.\.5 for 13 frames, got {max_frames}"):
        warp_time(torch.zeros(1, 1, 2, 13), max_frames)


def test_the_farthest_warp_has_room():
    x = torch.randn(200, 1, 2, 13)
    assert warp_time(x, 5).isfinite().all()
