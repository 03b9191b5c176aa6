"""Sampling error of a metric against its standard deviation over sampled sets of clips."""

from dataclasses import replace

import numpy as np
import pytest

from objectives.quality import figures, measure_quality
from objectives.sampling_error import paired_difference, score_error, standard_errors

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


def clustered(rng, shift=None):
    """Return the metrics of a network that is right on nearly all or nearly no clip of each of 30 recordings."""
    recordings = np.repeat(np.arange(30), 12)
    labels, devices = recordings % 3, np.tile([0, 1, 2], 120)
    right = rng.random(360) < np.where(rng.random(30) < 0.6, 0.95, 0.05)[recordings]
    if shift is not None:
        right = right ^ shift
    probabilities = np.full((360, 3), 0.1)
    probabilities[np.arange(360), np.where(right, labels, (labels + 1) % 3)] = 0.8
    return measure_quality(
        np.log(probabilities), labels, devices, recordings, classes=CLASSES, device_names=DEVICES, device_groups=GROUPS
    )


def test_by_recording_every_error_is_the_deviation_over_recordings_and_twice_that_by_clip():
    rng = np.random.default_rng(3)
    drawn = [clustered(rng) for _ in range(400)]
    for name in ("macro_accuracy", "log_loss", "unseen_accuracy"):
        deviation = np.std([figures(quality)[name] for quality in drawn])
        estimated = np.sqrt(np.mean([standard_errors(quality)[name] ** 2 for quality in drawn]))
        assert estimated == pytest.approx(deviation, rel=0.1)
        by_clip = standard_errors(replace(drawn[0], recordings=None))[name]
        assert estimated > (2 if name == "macro_accuracy" else 1.3) * by_clip


def test_the_error_of_a_device_or_a_class_is_by_recording_too():
    quality = clustered(np.random.default_rng(3))
    for score in (*quality.by_device.values(), *quality.by_class.values()):
        by_clip = score_error(replace(score, error=None))
        assert score_error(score).error > 1.3 * by_clip.error
        assert score.recordings in (10, 30)


def test_a_difference_on_the_same_clips_is_paired_by_recording():
    first = clustered(np.random.default_rng(5))
    changed = clustered(np.random.default_rng(5), np.isin(np.arange(360), [1, 100, 200, 300, 301]))
    found = paired_difference(first, changed)
    assert found.value == pytest.approx(first.macro_accuracy - changed.macro_accuracy)
    unpaired = 1.96 * np.hypot(*(standard_errors(each)["macro_accuracy"] for each in (first, changed)))
    assert 0 < found.half < unpaired / 3


def test_without_any_change_the_difference_is_not_certain():
    found = paired_difference(clustered(np.random.default_rng(5)), clustered(np.random.default_rng(5)))
    clips = 360 / (1 + 11 * 0.1)  # of 12 clips a recording, with their correlation
    assert found.value == 0
    assert found.half == pytest.approx(1.96**2 / (clips + 1.96**2))


def test_without_recordings_a_difference_has_no_interval():
    first = clustered(np.random.default_rng(5))
    assert paired_difference(replace(first, recordings=None), first).half is None
