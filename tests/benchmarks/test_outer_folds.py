"""Outer folds: every recording is held out once, as a whole, and devices stay unseen."""

import numpy as np
import pandas as pd
import pytest

from benchmarks.outer_folds import deal, write_folds
from data.errors import DataError
from data.layout import read_scenes

RECORDINGS = {"park": (12, 9, 30, 12, 12), "tram": (40, 10, 10, 10)}  # clips of each


@pytest.fixture
def scenes(tmp_path):
    """A data set without sound: the first two recordings of a class are in the evaluation list, with device s4."""
    root = tmp_path / "data"
    (root / "evaluation_setup").mkdir(parents=True)
    (root / "audio").mkdir()
    rows = {"train": [], "evaluate": []}
    for scene, counts in RECORDINGS.items():
        for number, num_clips in enumerate(counts):
            side = "evaluate" if number < 2 else "train"
            devices = ("a", "b", "s4") if side == "evaluate" else ("a", "b")
            for clip in range(num_clips):
                device = devices[clip % len(devices)]
                name = f"audio/{scene}-city-{number}-{clip}-{device}.wav"
                rows[side].append((name, scene, f"{scene}-{number}", device))
    columns = ["filename", "scene_label", "identifier", "source_label"]
    tables = {side: pd.DataFrame(found, columns=columns) for side, found in rows.items()}
    pd.concat(tables.values()).to_csv(root / "meta.csv", sep="\t", index=False)
    for side, table in tables.items():
        table[columns[:2]].to_csv(root / "evaluation_setup" / f"fold1_{side}.csv", sep="\t", index=False)
    return read_scenes(root)


@pytest.fixture
def folds(scenes, tmp_path):
    return [read_scenes(root) for root in write_folds(scenes, 4, tmp_path / "folds")]


def names(scenes, rows, column="filename"):
    return scenes.clips[column].iloc[rows].tolist()


def test_every_clip_is_evaluated_in_exactly_one_fold(scenes, folds):
    held_out = [name for fold in folds for name in names(fold, fold.evaluate)]
    assert sorted(held_out) == sorted(scenes.clips["filename"])


def test_no_recording_is_both_trained_on_and_evaluated(folds):
    for fold in folds:
        assert not {*names(fold, fold.train, "identifier")} & {*names(fold, fold.evaluate, "identifier")}


def test_every_fold_evaluates_every_class(folds):
    for fold in folds:
        assert {*names(fold, fold.evaluate, "scene_label")} == {*RECORDINGS}


def test_recordings_of_a_class_are_dealt_evenly(scenes):
    dealt = pd.Series(deal(scenes, 2))
    counts = dealt.groupby([dealt.index.str.split("-").str[0], dealt]).size()
    assert counts.to_dict() in ({("park", 0): 3, ("park", 1): 2, ("tram", 0): 2, ("tram", 1): 2},
                                {("park", 0): 2, ("park", 1): 3, ("tram", 0): 2, ("tram", 1): 2})  # fmt: skip


def test_a_device_of_evaluation_clips_alone_is_never_trained_on(scenes, folds):
    assert scenes.device_groups["s4"] == "unseen"
    for fold in folds:
        assert "s4" not in names(fold, fold.train, "source_label")
        assert fold.device_groups["s4"] == "unseen"
    assert sum(names(fold, fold.evaluate, "source_label").count("s4") for fold in folds) > 0


def test_clips_of_seen_devices_of_the_evaluation_list_are_trained_on_in_other_folds(scenes, folds):
    of_evaluation = {*names(scenes, scenes.tested)}
    trained = {name for fold in folds for name in names(fold, fold.train)}
    assert {name for name in of_evaluation if not name.endswith("s4.wav")} <= trained


def test_the_sound_is_a_link_and_the_folds_are_written_again_without_harm(scenes, folds, tmp_path):
    roots = write_folds(scenes, 4, tmp_path / "folds")
    for fold, root in zip(folds, roots, strict=True):
        assert (root / "audio").resolve() == scenes.root / "audio"
        assert np.array_equal(read_scenes(root).train, fold.train)


def test_more_folds_than_recordings_of_a_class_are_refused(scenes):
    with pytest.raises(DataError, match="tram has 4 recordings, fewer than the 5 folds; take at most 4"):
        deal(scenes, 5)
