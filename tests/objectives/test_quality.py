"""Classification metrics against cases small enough to work out by hand, and against plain loops."""

import json
import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from objectives.goals import GOALS
from objectives.quality import Quality, Score, figures, measure_quality

GROUPS = {"a": "real", "s1": "seen", "s4": "unseen"}


def measured(probabilities, labels, devices, classes=("bus", "park", "tram"), **other):
    with np.errstate(divide="ignore"):
        logs = np.log(np.array(probabilities, dtype=float))
    names = {"classes": classes, "device_names": ("a", "s1", "s4"), "device_groups": GROUPS} | other
    return measure_quality(logs, np.array(labels), np.array(devices), **names)


@pytest.fixture
def quality():
    # Three clips of a bus, one of them right; one of a park, right; none of a tram. None on s1.
    return measured(
        [[0.5, 0.25, 0.25], [0.25, 0.5, 0.25], [0.25, 0.25, 0.5], [0.125, 0.75, 0.125]],
        [0, 0, 0, 1],
        [0, 0, 2, 2],
    )


def test_accuracy_is_over_clips_and_macro_accuracy_over_the_classes_there_are(quality):
    assert quality.accuracy == pytest.approx(2 / 4)
    assert quality.macro_accuracy == pytest.approx((1 / 3 + 1) / 2)


def test_log_loss_is_natural_and_a_mean_over_clips(quality):
    assert quality.log_loss == pytest.approx((math.log(2) + 2 * math.log(4) + math.log(4 / 3)) / 4)


def test_tables_hold_only_what_has_clips(quality):
    assert list(quality.by_class) == ["bus", "park"]
    assert list(quality.by_device) == ["a", "s4"]
    assert list(quality.by_group) == ["real", "unseen"]
    bus, park = quality.by_class["bus"], quality.by_class["park"]
    assert bus == Score(3, pytest.approx(1 / 3), pytest.approx((math.log(2) + 2 * math.log(4)) / 3))
    assert park == Score(1, 1.0, pytest.approx(math.log(4 / 3)))
    assert quality.by_device["s4"] == Score(2, 0.5, pytest.approx((math.log(4) + math.log(4 / 3)) / 2))
    assert quality.by_group["real"] == quality.by_device["a"]


def test_rows_of_the_confusion_are_the_truth(quality):
    assert quality.confusion == ((1, 1, 1), (0, 1, 0), (0, 0, 0))


def test_a_group_pools_the_clips_of_its_devices():
    quality = measured(
        [[1 / 2, 1 / 4, 1 / 4], [1 / 4, 1 / 4, 1 / 2], [1 / 4, 1 / 2, 1 / 4]],
        [0, 0, 0],
        [0, 1, 1],
        device_groups={"a": "seen", "s1": "seen", "s4": "unseen"},
    )
    assert quality.by_group == {"seen": Score(3, pytest.approx(1 / 3), pytest.approx(5 * math.log(2) / 3))}


@given(st.integers(1, 40), st.integers(2, 6), st.integers(0, 2**32 - 1))
def test_tables_are_those_of_plain_loops(num_clips, num_classes, seed):
    random = np.random.default_rng(seed)
    probabilities = random.dirichlet(np.ones(num_classes), num_clips)
    labels, devices = random.integers(num_classes, size=num_clips), random.integers(3, size=num_clips)
    names = [f"scene {index}" for index in range(num_classes)]
    quality = measured(probabilities, labels, devices, names)

    right = {name: [] for name in names}
    by_device = {name: [] for name in ("a", "s1", "s4")}
    for row, label, device in zip(probabilities, labels, devices, strict=True):
        correct = max(range(num_classes), key=lambda k: row[k]) == label
        right[names[label]].append(correct)
        by_device[["a", "s1", "s4"][device]].append((correct, -math.log(row[label])))
    shares = [sum(each) / len(each) for each in right.values() if each]
    assert quality.macro_accuracy == pytest.approx(sum(shares) / len(shares))
    for name, clips in by_device.items():
        if not clips:
            assert name not in quality.by_device
            continue
        score = quality.by_device[name]
        assert score.clips == len(clips)
        assert score.accuracy == pytest.approx(sum(correct for correct, _ in clips) / len(clips))
        assert score.log_loss == pytest.approx(sum(loss for _, loss in clips) / len(clips))
    assert sum(map(sum, quality.confusion)) == num_clips
    assert sum(quality.confusion[k][k] for k in range(num_classes)) == round(quality.accuracy * num_clips)
    assert Quality.from_dict(json.loads(json.dumps(quality.to_dict(), allow_nan=False))) == quality


def test_half_precision_log_probabilities_pass():
    logits = np.random.default_rng(0).normal(0, 3, (50, 10))
    logs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    names = {"classes": list("abcdefghij"), "device_names": ["a"], "device_groups": {"a": "real"}}
    zeros = np.zeros(50, dtype=np.int32)
    whole = measure_quality(logs, zeros, zeros, **names)
    half = measure_quality(logs.astype(np.float16), zeros, zeros, **names)
    assert half.log_loss == pytest.approx(whole.log_loss, abs=1e-2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"probabilities": [[np.nan, 0.5, 0.5], [1 / 3, 1 / 3, 1 / 3]]},
            "log_probabilities must be finite: 1 of 2",
        ),
        ({"probabilities": [[1 / 3, 1 / 3, 1 / 3], [0, 0.5, 0.5]]}, "clips are not, the first is clip 1"),
        (
            {"probabilities": [[3, 4, 5], [1 / 3, 1 / 3, 1 / 3]]},
            "add up to 1 for each clip: those of clip 0 do not",
        ),
        (
            {"probabilities": [[0.5, 0.5], [0.5, 0.5]]},
            "log_probabilities must be (clips, 3 classes), got (2, 2)",
        ),
        ({"probabilities": [0.5, 0.25, 0.25]}, "log_probabilities must be (clips, 3 classes), got (3,)"),
        ({"probabilities": np.ones((0, 3)), "labels": [], "devices": []}, "there are no clips to score"),
        ({"labels": [0]}, "labels must be (2,), one for each clip, got (1,)"),
        ({"labels": [0, 3]}, "labels must lie in 0 to 2, got 0 to 3"),
        ({"labels": [0.0, 1.0]}, "labels must be whole numbers, got float64"),
        ({"devices": [-1, 0]}, "devices must lie in 0 to 2, got -1 to 0"),
        ({"device_groups": {"a": "real"}}, "device_groups has no group for s1, s4"),
    ],
)
def test_what_cannot_be_scored_is_refused(change, message):
    good = {"probabilities": [[1 / 3, 1 / 3, 1 / 3]] * 2, "labels": [0, 1], "devices": [1, 2]}
    measured(**good)
    with pytest.raises(ValueError, match=re.escape(message)):
        measured(**(good | change))


def test_a_record_with_a_field_missing_or_unknown_is_refused(quality):
    plain = quality.to_dict()
    with pytest.raises(ValueError, match="not a record of quality"):
        Quality.from_dict({key: value for key, value in plain.items() if key != "by_class"})
    with pytest.raises(ValueError, match="not a record of quality"):
        Quality.from_dict(plain | {"speed": 1})


def test_the_goals_of_quality_are_read_off_a_quality(quality):
    assert figures(quality) == {
        "macro_accuracy": quality.macro_accuracy,
        "log_loss": quality.log_loss,
        "unseen_accuracy": 0.5,
        "worst_device_accuracy": 0.5,
    }
    # a: both right; s1: one of two; no device is unseen
    logs = [[0.5, 0.25, 0.25], [0.25, 0.5, 0.25], [0.5, 0.25, 0.25], [0.25, 0.25, 0.5]]
    known = figures(measured(logs, [0, 1, 0, 1], [0, 0, 1, 1]))
    assert known["unseen_accuracy"] is None
    assert known["worst_device_accuracy"] == 0.5
    assert set(known) == {name for name, goal in GOALS.items() if goal.kind == "quality"}
