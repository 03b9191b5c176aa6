"""Standard errors by recording against the deviation over drawn recordings, and against cases worked out by hand."""

import math

import numpy as np
import pytest

from objectives.cluster_sampling import (
    Sample,
    accuracy_error,
    class_errors,
    clustered_error,
    correlations,
    effective_clips,
)


def sample(sums, clips, strata, *, by_class=True, is_binary=True):
    return Sample(np.array(sums, float), np.array(clips, float), np.array(strata), by_class, is_binary)


def draw(rng, clips, strata, accuracy, correlation):
    """Return counts of recordings whose accuracy is beta distributed with an intraclass correlation."""
    scale = (1 - correlation) / correlation
    shares = rng.beta(accuracy[strata] * scale, (1 - accuracy[strata]) * scale)
    return rng.binomial(clips, shares)


def test_equal_recordings_of_one_class_have_the_variance_of_a_mean():
    found = clustered_error(sample([2, 4, 6, 8], [10] * 4, [0] * 4))
    expected = np.std([0.2, 0.4, 0.6, 0.8], ddof=1) / 2  # of the mean of four
    assert (found.error, found.freedom) == pytest.approx((expected, 3))


def test_two_recordings_differ_by_one_number_whatever_their_sizes():
    # The jackknife of two: each alone is the estimate without the other.
    found = clustered_error(sample([9, 10], [10, 40], [0, 0]))
    assert found.error == pytest.approx((0.9 - 0.25) / math.sqrt(2) * math.sqrt(0.2**2 + 0.8**2))


@pytest.mark.parametrize("by_class", [True, False])
def test_the_error_is_the_deviation_over_drawn_recordings(by_class):
    rng = np.random.default_rng(1)
    strata, clips = np.repeat([0, 1, 2], 6), np.tile([9, 9, 12, 14, 20, 26], 3)
    accuracy = np.array([0.7, 0.5, 0.3])
    drawn = [sample(draw(rng, clips, strata, accuracy, 0.3), clips, strata, by_class=by_class) for _ in range(1500)]
    weight = np.full(18, 1 / 3) / np.bincount(strata, clips)[strata] if by_class else np.full(18, 1 / clips.sum())
    deviation = np.std([(each.sums * weight).sum() for each in drawn])
    errors = np.array([clustered_error(each).error for each in drawn])
    assert math.sqrt(np.mean(errors**2)) == pytest.approx(deviation, rel=0.05)


def test_a_class_with_one_recording_takes_the_variance_of_the_others():
    # Without clips within recordings the one of class 1 counts as one of class 0 would: W^2 = 1/4 of s^2 = 0.02.
    found = clustered_error(sample([0.2, 0.4, 0.5], [1, 1, 1], [0, 0, 1], is_binary=False))
    assert found.error == pytest.approx(math.sqrt(0.25 * 0.02 * (1 / 2 + 1)))
    assert found.freedom == pytest.approx(1)


def test_where_every_class_has_one_recording_their_differences_count():
    found = clustered_error(sample([2, 4, 9], [10] * 3, [0, 1, 2]))
    assert found.error == pytest.approx(np.std([0.2, 0.4, 0.9], ddof=1) / math.sqrt(3))
    assert found.freedom == 2


def test_one_recording_has_no_error():
    assert clustered_error(sample([3, 0], [10, 0], [0, 1])) is None
    assert accuracy_error(sample([3], [10], [0])) is None


@pytest.mark.parametrize("right", [0, 10])
def test_all_right_or_all_wrong_is_not_certain_and_counts_recordings_instead_of_clips(right):
    found = accuracy_error(sample([right] * 4, [10] * 4, [0, 0, 1, 1]))
    assert found.error == pytest.approx(math.sqrt(5 / 6 * 1 / 6 / 4))  # one pseudo-count of each outcome beside 4


def test_an_error_is_never_below_that_of_independent_clips():
    found = accuracy_error(sample([50, 50, 51], [100] * 3, [0] * 3))
    assert found.error == pytest.approx(math.sqrt(152 / 302 * 150 / 302 / 300))


def test_a_class_is_shrunk_to_the_pooled_variance():
    uneven = sample([1, 9, 5, 5, 5], [10] * 5, [0, 0, 1, 1, 2])
    first, second, third = class_errors(uneven)
    assert first.error > third.error / math.sqrt(2) > second.error > 0
    assert (first.freedom, third.freedom) == (3, 2)  # two of the pooled variance, and one of its own
    assert class_errors(sample([1, 2], [10, 10], [0, 1])) == [None, None]


def test_networks_that_are_right_on_the_same_recordings_are_correlated():
    rng = np.random.default_rng(0)
    strata, clips, shared = np.repeat([0, 1], 40), np.full(80, 20), rng.random(80)
    alike = [sample(rng.binomial(20, shared), clips, strata) for _ in range(2)]
    other = sample(rng.binomial(20, rng.random(80)), clips, strata)
    found = correlations([*alike, other, sample([0] * 80, clips, strata)])
    assert found[0, 1] > 0.8
    assert abs(found[0, 2]) < 0.3
    assert found[3].tolist() == [0, 0, 0, 1]


def test_effective_clips_are_clips_without_and_recordings_with_full_correlation():
    even = sample([0] * 6, [10] * 6, [0, 0, 0, 1, 1, 1])
    assert effective_clips(even, 0.0) == pytest.approx(60)
    assert effective_clips(even, 1.0) == pytest.approx(6)
