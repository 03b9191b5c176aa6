"""Sampling error of a metric against its standard deviation over sampled sets of clips."""

import numpy as np
import pytest

from objectives.quality import figures, measure_quality
from objectives.sampling_error import standard_errors

CLASSES, DEVICES = ("bus", "park", "tram"), ("a", "s1", "s4")
GROUPS = {"a": "real", "s1": "seen", "s4": "unseen"}


def draw(rng, clips):
    """Return the metrics of a network that is right 70, 50 and 40 times of 100, and about as sure as it is right."""
    labels = np.arange(clips) % 3
    devices = np.arange(clips) // 3 % 3
    right = rng.random(clips) < np.array([0.7, 0.5, 0.4])[labels]
    sure = rng.uniform(0.36, 0.98, clips)
    predicted = np.where(right, labels, (labels + 1) % 3)
    probabilities = np.repeat(((1 - sure) / 2)[:, None], 3, axis=1)
    probabilities[np.arange(clips), predicted] = sure
    return measure_quality(
        np.log(probabilities), labels, devices, classes=CLASSES, device_names=DEVICES, device_groups=GROUPS
    )


def test_standard_errors_are_the_deviations_of_the_metrics_over_sets_of_clips():
    rng = np.random.default_rng(0)
    drawn = [draw(rng, 270) for _ in range(600)]
    estimated = standard_errors(drawn[0])
    deviation = {name: np.std([figures(quality)[name] for quality in drawn]) for name in estimated}
    assert estimated["macro_accuracy"] == pytest.approx(deviation["macro_accuracy"], rel=0.1)
    assert estimated["unseen_accuracy"] == pytest.approx(deviation["unseen_accuracy"], rel=0.12)
    assert estimated["log_loss"] == pytest.approx(deviation["log_loss"], rel=0.5)  # an assumption, not a measurement


def test_no_correct_prediction_of_a_few_is_not_taken_for_certain():
    logs = np.log([[0.1, 0.8, 0.1]] * 4)
    quality = measure_quality(logs, [0] * 4, [0] * 4, classes=CLASSES, device_names=DEVICES, device_groups=GROUPS)
    assert standard_errors(quality)["macro_accuracy"] == pytest.approx(np.sqrt(1 / 6 * 5 / 6 / 4))


def test_without_unseen_devices_theirs_is_none():
    quality = measure_quality(
        np.log([[0.8, 0.1, 0.1]]), [0], [0], classes=CLASSES, device_names=DEVICES, device_groups=GROUPS
    )
    assert standard_errors(quality)["unseen_accuracy"] is None
