"""The layout at the size of TAU 2022 Mobile: the real lists of 2024, in a meta.csv of all 230,350 clips.

Source of the numbers: https://zenodo.org/records/6337421 (230,350 clips, ten scenes, devices s4 to s6 in the test set
alone) and https://dcase.community/challenge2024/task-data-efficient-low-complexity-acoustic-scene-classification
(splits inside one another; the 5 % split is about a twentieth of the 139,620 training clips).
"""

import random

import numpy as np
import pytest

from data.layout import read_scenes

CLIPS = 230_350
DEVICES = ("a", "b", "c", "s1", "s2", "s3")


@pytest.fixture(scope="module")
def tau(shared_data, tmp_path_factory):
    """The real lists, and a meta.csv of their clips and of others named in the same way, in no order."""
    root = tmp_path_factory.mktemp("tau")
    names = set()
    for file in ("split5.csv", "split10.csv", "test.csv"):
        text = (shared_data / "tau2022_splits" / file).read_text()
        (root / file).write_text(text)
        names.update(line.split("\t")[0] for line in text.splitlines()[1:])
    scenes = sorted({name.removeprefix("audio/").split("-")[0] for name in names})
    # Locations and segments past those of the real recordings: ten clips of each segment of ten seconds.
    more = (
        f"audio/{scenes[i % 10]}-lisbon-{5000 + i // 3000}-{900_000 + i // 10}-{i // 10 % 10}-{DEVICES[i % 6]}.wav"
        for i in range(CLIPS - len(names))
    )
    names.update(more)
    assert len(names) == CLIPS
    shuffled = sorted(names)
    random.Random(0).shuffle(shuffled)
    with (root / "meta.csv").open("w") as file:
        file.write("filename\tscene_label\tidentifier\tsource_label\n")
        for name in shuffled:
            scene, city, location, _, _, device = name.removeprefix("audio/").removesuffix(".wav").split("-")
            file.write(f"{name}\t{scene}\t{city}-{location}\t{device}\n")
    return root


def listed(path):
    return [line.split("\t")[0] for line in path.read_text().splitlines()[1:]]


@pytest.mark.parametrize(("split", "train"), [("5", 6_980), ("10", 13_960)])
def test_each_share_has_the_published_size(tau, split, train):
    scenes = read_scenes(tau, split)
    assert (len(scenes.clips), len(scenes.train), len(scenes.evaluate)) == (230_350, train, 29_680)
    assert len(scenes.used) == train + 29_680  # so that no clip is on both sides
    assert len(scenes.classes) == 10


def test_rows_lead_to_the_clips_of_the_lists_in_their_order(tau):
    scenes = read_scenes(tau, "10")
    names = scenes.clips["filename"].to_numpy()
    for rows, file in ((scenes.train, "split10.csv"), (scenes.evaluate, "test.csv")):
        clips = listed(tau / file)
        assert names[rows].tolist() == clips
        assert [scenes.classes[label] for label in scenes.labels[rows]] == [
            clip.removeprefix("audio/").split("-")[0] for clip in clips
        ]
        assert [scenes.devices[device] for device in scenes.device_index[rows]] == [
            clip.removesuffix(".wav").rpartition("-")[2] for clip in clips
        ]


def test_a_smaller_share_is_inside_the_larger_one(tau):
    five, ten = read_scenes(tau, "5"), read_scenes(tau, "10")
    assert np.isin(five.train, ten.train).all()
    assert np.array_equal(five.evaluate, ten.evaluate)


def test_three_simulated_devices_are_in_the_test_set_alone(tau):
    groups = read_scenes(tau, "5").device_groups
    assert {device for device, group in groups.items() if group == "unseen"} == {"s4", "s5", "s6"}
    assert {device for device, group in groups.items() if group == "real"} == {"a", "b", "c"}
