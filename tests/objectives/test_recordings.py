"""Counts of each recording: against plain loops, through JSON, and pooled where there are many."""

import json

import numpy as np
import pytest

from objectives.quality import Quality, measure_quality
from objectives.recordings import MAX_RECORDINGS, RecordingTable
from objectives.sampling_error import standard_errors

CLASSES, DEVICES = ("bus", "park"), ("a", "s4")
GROUPS = {"a": "real", "s4": "unseen"}


def measured(right, labels, devices, recordings):
    labels = np.asarray(labels)
    probability = np.where(np.asarray(right), 0.75, 0.25)
    probabilities = np.empty((len(labels), 2))
    probabilities[np.arange(len(labels)), labels] = probability
    probabilities[np.arange(len(labels)), 1 - labels] = 1 - probability
    return measure_quality(
        np.log(probabilities), labels, devices, recordings, classes=CLASSES, device_names=DEVICES, device_groups=GROUPS
    )


@pytest.fixture
def quality():
    # r1 and r2 are buses, r3 a park; device s4 is right on one of its three clips, and a on three of four.
    return measured([1, 1, 0, 0, 1, 1, 0], [0, 0, 0, 0, 1, 1, 1], [0, 0, 1, 0, 0, 1, 1], [*"11", *"122", *"33"])


def test_a_row_is_a_recording_of_a_class():
    quality = measured([1, 1, 0, 0, 1, 1, 0], [0, 0, 0, 0, 1, 1, 1], [0, 0, 1, 0, 0, 1, 1], list("2211333"))
    found = quality.recordings
    assert found.label == (0, 0, 1)
    assert found.clips == (2, 2, 3)  # recordings 1, 2 and 3, by name
    assert found.correct == (0, 2, 2)
    assert found.unseen_clips == found.worst_clips == (1, 0, 2)  # device s4, the unseen one, is the worst as well
    assert found.unseen_correct == found.worst_correct == (0, 0, 1)
    assert found.loss == pytest.approx((2 * np.log(4), 2 * np.log(4 / 3), 2 * np.log(4 / 3) + np.log(4)), abs=1e-4)


def test_a_recording_with_two_classes_has_a_row_of_each(quality):
    assert quality.recordings.label == (0, 0, 1, 1)
    assert quality.recordings.clips == (3, 1, 1, 2)


def test_a_quality_with_its_recordings_survives_json(quality):
    plain = json.loads(json.dumps(quality.to_dict()))
    assert Quality.from_dict(plain) == quality
    assert len(json.dumps(plain["recordings"])) < 300


def test_a_record_without_recordings_still_reads_and_has_the_error_by_clip(quality):
    plain = quality.to_dict()
    del plain["recordings"]
    for table in ("by_class", "by_device", "by_group"):
        for score in plain[table].values():
            for name in ("recordings", "error", "freedom"):
                score.pop(name, None)
    old = Quality.from_dict(plain)
    without = measure_quality(
        np.log([[0.75, 0.25]]), [0], [0], classes=CLASSES, device_names=DEVICES, device_groups=GROUPS
    )
    assert old.recordings is without.recordings is None
    by_clip = np.sqrt(3 / 6 * 3 / 6 / 4 + 3 / 5 * 2 / 5 / 3) / 2  # 2 of 4 and 2 of 3, with pseudo-counts
    assert standard_errors(old)["macro_accuracy"] == pytest.approx(by_clip)
    assert "recordings" not in old.to_dict()


def test_many_recordings_are_pooled_into_the_same_clusters_each_time():
    rng = np.random.default_rng(0)
    num = 3 * MAX_RECORDINGS
    labels, names = np.arange(num) % 2, np.array([f"city-{number}" for number in range(num)])
    first = measured(rng.random(num) < 0.5, labels, np.zeros(num, int), names).recordings
    second = measured(rng.random(num) < 0.5, labels, np.zeros(num, int), names).recordings
    assert MAX_RECORDINGS * 0.9 < len(first.clips) <= MAX_RECORDINGS
    assert first.is_of_same_clips(second)
    assert sum(first.clips) == num


@pytest.mark.parametrize(
    "change", [{"clips": [3, 0, 1, 2]}, {"correct": [9, 0, 0, 0]}, {"loss": [1.0]}, {"label": [0, 0, -1, 1]}, {"x": []}]
)
def test_counts_that_do_not_fit_are_refused(quality, change):
    with pytest.raises(ValueError, match="not a record of recordings"):
        RecordingTable.from_dict({**quality.recordings.to_dict(), **change})


def test_recordings_are_one_for_each_clip():
    with pytest.raises(ValueError, match=r"recordings must be \(2,\), one for each clip, got \(1,\)"):
        measured([1, 1], [0, 1], [0, 0], ["1"])
