"""The standard error of a figure against the spread of the figure over drawn sets of clips."""

import numpy as np
import pytest

from objectives.quality import figures, measure_quality
from objectives.sampling_error import standard_errors

CLASSES, DEVICES = ("bus", "park", "tram"), ("a", "s1", "s4")
GROUPS = {"a": "real", "s1": "seen", "s4": "unseen"}


def draw(rng, clips):
    """Answers of a network that is right 70, 50 and 40 times of 100, and on the whole about as sure as it is right."""
    labels = np.arange(clips) % 3
    devices = np.arange(clips) // 3 % 3
    right = rng.random(clips) < np.array([0.7, 0.5, 0.4])[labels]
    sure = rng.uniform(0.36, 0.98, clips)
    answer = np.where(right, labels, (labels + 1) % 3)
    probabilities = np.repeat(((1 - sure) / 2)[:, None], 3, axis=1)
    probabilities[np.arange(clips), answer] = sure
    return measure_quality(
        np.log(probabilities), labels, devices, classes=CLASSES, device_names=DEVICES, device_groups=GROUPS
    )


def test_they_are_the_spread_of_the_figures_over_sets_of_clips():
    rng = np.random.default_rng(0)
    drawn = [draw(rng, 270) for _ in range(600)]
    said = standard_errors(drawn[0])
    spread = {name: np.std([figures(quality)[name] for quality in drawn]) for name in said}
    assert said["macro_accuracy"] == pytest.approx(spread["macro_accuracy"], rel=0.1)
    assert said["unseen_accuracy"] == pytest.approx(spread["unseen_accuracy"], rel=0.12)
    assert said["log_loss"] == pytest.approx(spread["log_loss"], rel=0.5)  # an assumption, not a measurement


def test_no_right_answer_of_a_few_is_not_taken_for_certain():
    logs = np.log([[0.1, 0.8, 0.1]] * 4)
    quality = measure_quality(logs, [0] * 4, [0] * 4, classes=CLASSES, device_names=DEVICES, device_groups=GROUPS)
    assert standard_errors(quality)["macro_accuracy"] == pytest.approx(np.sqrt(1 / 6 * 5 / 6 / 4))


def test_without_unseen_devices_theirs_is_none():
    quality = measure_quality(
        np.log([[0.8, 0.1, 0.1]]), [0], [0], classes=CLASSES, device_names=DEVICES, device_groups=GROUPS
    )
    assert standard_errors(quality)["unseen_accuracy"] is None
