"""Metrics pooled over folds against those of all clips at once."""

import numpy as np
import pytest

from objectives.pooled_quality import pooled_quality
from objectives.quality import measure_quality
from objectives.sampling_error import standard_errors

CLASSES, DEVICES = ("bus", "park", "tram"), ("a", "b", "s4")
GROUPS = {"a": "real", "b": "real", "s4": "unseen"}


def clips(count, seed):
    """Return random predictions of clips of 20 recordings: what `measure_quality` takes."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(count, 3))
    recordings = rng.integers(0, 20, count) + 100 * seed
    return (
        logits - np.log(np.exp(logits).sum(axis=1, keepdims=True)),
        recordings % 3,
        rng.integers(0, 3, count),
        recordings,
    )


def measured(logs, labels, devices, recordings):
    return measure_quality(
        logs, labels, devices, classes=CLASSES, device_names=DEVICES, device_groups=GROUPS, recordings=recordings
    )


def test_metrics_pooled_over_folds_are_those_of_all_clips_at_once():
    parts = [clips(60, 1), clips(150, 2)]
    whole = measured(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
    pooled = pooled_quality([measured(*part) for part in parts])
    assert pooled.macro_accuracy == pytest.approx(whole.macro_accuracy)
    assert pooled.log_loss == pytest.approx(whole.log_loss)
    assert pooled.confusion == whole.confusion
    for name, score in whole.by_device.items():
        assert pooled.by_device[name].accuracy == pytest.approx(score.accuracy)
        assert pooled.by_device[name].clips == score.clips
    assert pooled.by_class["tram"].recordings == whole.by_class["tram"].recordings
    assert standard_errors(pooled)["macro_accuracy"] == pytest.approx(standard_errors(whole)["macro_accuracy"])
    assert standard_errors(pooled)["log_loss"] == pytest.approx(standard_errors(whole)["log_loss"], rel=1e-3)


def test_one_fold_is_itself_and_a_fold_without_recordings_leaves_none():
    (first, second) = (measured(*clips(60, seed)) for seed in (1, 2))
    assert pooled_quality([first]) is first
    plain = second.to_dict()
    del plain["recordings"]
    assert pooled_quality([first, type(first).from_dict(plain)]).recordings is None
