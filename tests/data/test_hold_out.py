"""Validation split: no location on both sides, the same whatever the order or part of the lists, and helpful errors."""

import numpy as np
import pytest

from data.errors import DataError
from data.layout import read_scenes
from data.validation_split import hold_out, num_folds, read_for_search

SCENES = {"bus": (6, 6, 6, 6, 4, 4, 4, 4), "park": (5, 5, 5, 5, 5, 5, 5, 5, 5, 5)}  # clips of each location
DEVICES = ("a", "b", "s1")


def clip_names(scenes=SCENES, first=0):
    return [
        f"{scene}-oslo-{scene}{first + place}-7-{clip}-{DEVICES[clip % 3]}"
        for scene, locations in scenes.items()
        for place, count in enumerate(locations)
        for clip in range(count)
    ]


EVALUATE = clip_names({"bus": (3,), "park": (3,)}, first=50)


@pytest.fixture
def write(lists, tmp_path):
    """Write lists, by default those of `SCENES`, without sound; return their folder."""

    def go(names=None, **splits):
        names = clip_names() if names is None else names
        lists(tmp_path, names + EVALUATE, **{"fold1_train": names, "fold1_evaluate": EVALUATE, **splits})
        return tmp_path

    return go


def places(scenes, rows):
    return set(scenes.clips["identifier"].iloc[rows])


def files(scenes, rows):
    return set(scenes.clips["filename"].iloc[rows])


def test_no_place_is_on_both_sides_and_no_training_clip_is_lost(write):
    whole = read_scenes(write())
    split = hold_out(whole, 0.25)
    assert not places(split, split.train) & places(split, split.evaluate)
    assert sorted([*split.train, *split.evaluate]) == sorted(whole.train)
    assert not set(split.evaluate) & set(whole.evaluate)


@pytest.mark.parametrize(
    ("share", "bus", "park"), [(0.1, (8, 12), (10, 10)), (0.25, (8, 12), (10, 15)), (0.5, (16, 24), (25, 25))]
)
def test_of_each_scene_about_the_share_is_held_out(write, share, bus, park):
    scenes = hold_out(read_scenes(write()), share)
    held = np.bincount(scenes.labels[scenes.evaluate])
    assert bus[0] <= held[0] <= bus[1]
    assert park[0] <= held[1] <= park[1]


@pytest.mark.parametrize("share", [0.001, 0.999])
def test_at_least_two_locations_are_held_out_and_at_least_one_is_not(write, share):
    scenes = hold_out(read_scenes(write()), share)
    assert len(places(scenes, scenes.evaluate if share < 0.5 else scenes.train)) == (4 if share < 0.5 else 2)


@pytest.mark.parametrize(("locations", "held"), [(2, 1), (3, 1), (4, 2), (5, 2), (7, 2), (8, 2), (16, 4)])
def test_two_locations_are_held_out_of_a_scene_that_has_four(write, locations, held):
    scenes = hold_out(read_scenes(write(clip_names({"bus": (3,) * locations, "park": (5,) * 9}))), 0.25)
    assert len({place for place in places(scenes, scenes.evaluate) if "bus" in place}) == held


@pytest.mark.parametrize(
    "sizes", [SCENES, {"bus": (9, 9), "park": (5, 5, 5, 5, 5)}, {"bus": (4,) * 3, "park": (2,) * 50}]
)
def test_the_folds_together_hold_out_every_location_and_none_holds_out_all_of_a_scene(write, sizes):
    whole = read_scenes(write(clip_names(sizes)))
    folds = [hold_out(whole, 0.25, fold=fold) for fold in range(num_folds(0.25))]
    assert set.union(*(places(fold, fold.evaluate) for fold in folds)) == places(whole, whole.train)
    for fold in folds:
        assert not places(fold, fold.train) & places(fold, fold.evaluate)
        assert set(fold.labels[fold.train]) == set(fold.labels[fold.evaluate]) == {0, 1}


def test_the_folds_of_a_scene_with_many_locations_are_disjoint_and_as_large(write):
    whole = read_scenes(write(clip_names({"bus": (3,) * 20, "park": (5,) * 20})))
    folds = [places(fold, fold.evaluate) for fold in (hold_out(whole, 0.25, fold=number) for number in range(4))]
    assert [len(fold) for fold in folds] == [10] * 4
    assert len(set.union(*folds)) == 40


def test_a_place_with_most_of_a_scene_is_not_what_is_held_out(write):
    for number in range(8):  # whatever its name: the order of places is drawn from names
        names = clip_names({"bus": (40, 4), "park": (5, 5)}, first=number)
        scenes = hold_out(read_scenes(write(names)), 0.25)
        assert np.bincount(scenes.labels[scenes.evaluate])[0] == 4


def test_the_order_of_the_lists_does_not_matter(write):
    first = hold_out(read_scenes(write()), 0.3)
    names = clip_names()
    shuffled = [names[i] for i in np.random.default_rng(0).permutation(len(names))]
    second = hold_out(read_scenes(write(shuffled)), 0.3)
    assert files(first, first.evaluate) == files(second, second.evaluate)
    assert files(first, first.train) == files(second, second.train)


def test_places_are_not_held_out_in_the_order_of_their_names(write):
    scenes = hold_out(read_scenes(write()), 0.3)
    bus = sorted(place for place in places(scenes, scenes.evaluate) if "bus" in place)
    assert bus not in (["oslo-bus0", "oslo-bus1"], ["oslo-bus6", "oslo-bus7"])


def test_a_place_that_two_scenes_share_is_on_one_side_for_both(write):
    names = [name.replace("bus0", "both").replace("park0", "both") for name in clip_names()]
    for share in (0.1, 0.3, 0.6):
        scenes = hold_out(read_scenes(write(names)), share)
        assert not places(scenes, scenes.train) & places(scenes, scenes.evaluate)


def test_a_held_out_device_is_trained_on_nowhere_and_is_unseen_in_validation(write):
    scenes = hold_out(read_scenes(write()), 0.25, ["s1"])
    s1 = scenes.devices.index("s1")
    assert s1 not in scenes.device_index[scenes.train]
    assert s1 in scenes.device_index[scenes.evaluate]
    assert scenes.device_groups == {"a": "real", "b": "real", "s1": "unseen"}


def test_all_splits_hold_out_the_same_places_and_are_validated_on_the_same_clips(write):
    names = clip_names()
    shares = {f"split{percent}": names[:: 100 // percent] for percent in (10, 50, 100)}
    root = write(**shares)
    whole = read_for_search(root, "100", 0.25)
    for split in ("10", "50"):
        part = read_for_search(root, split, 0.25)
        assert files(part, part.evaluate) == files(whole, whole.evaluate)
        assert files(part, part.train) == files(part, read_scenes(root, split).train) - files(part, part.evaluate)
        assert part.split == split


def test_without_the_whole_split_the_largest_there_is_decides(write):
    names = clip_names()
    root = write(split5=names[::4], split25=names[::2])
    held = [read_for_search(root, split, 0.25) for split in ("5", "25")]
    assert files(held[0], held[0].evaluate) == files(held[1], held[1].evaluate)
    of_all = read_for_search(root, "fold1", 0.25)
    assert len(of_all.evaluate) > len(held[0].evaluate)


def test_a_share_of_nothing_leaves_the_lists_as_they_are(write):
    root = write()
    assert read_for_search(root).evaluate.tolist() == read_scenes(root).evaluate.tolist()


@pytest.mark.parametrize(
    ("scenes", "share", "devices", "message"),
    [
        ({"bus": (9,), "park": (5, 5)}, 0.25, (), "all training clips of bus are of one location, oslo-bus0, so none"),
        (SCENES, 1.0, (), "must be a share above 0 and below 1 of the training clips, got 1.0"),
        (SCENES, 0.25, ("s4",), "device s4 has no training clips to hold out; there are a, b, s1"),
        (SCENES, 0.25, DEVICES, "no training clip of bus in split fold1 is left when the validation part is held out"),
        ({"bus": (1, 3), "park": (1, 3)}, 0.25, ("s1",), "device s1 has no clips at the locations that are held out"),
        (SCENES, 0, ("s1",), "device s1 can be unseen in validation clips only, and none are held out"),
    ],
)
def test_what_cannot_be_held_out_is_refused_with_the_reason(write, scenes, share, devices, message):
    root = write(clip_names(scenes))
    with pytest.raises(DataError) as caught:
        read_for_search(root, "fold1", share, devices)
    assert message in str(caught.value)


def test_a_place_that_every_scene_needs_cannot_be_held_out(write):
    names = ["bus-oslo-1-7-0-a", "bus-oslo-2-7-0-a", "park-oslo-1-7-0-a", "park-oslo-1-7-1-a", "zoo-oslo-2-7-0-a"]
    with pytest.raises(DataError, match="of park are of one location, oslo-1"):
        hold_out(read_scenes(write([*names, "zoo-oslo-3-7-0-a"])), 0.4)
    names += ["park-oslo-2-7-0-a", "zoo-oslo-1-7-0-a"]
    scenes = hold_out(read_scenes(write(names)), 0.4)
    assert not places(scenes, scenes.train) & places(scenes, scenes.evaluate)


def test_a_small_split_whose_clips_are_all_held_out_is_refused(write):
    names = clip_names()
    held = hold_out(read_scenes(write()), 0.25)
    few = [name for name in names if "park" in name or f"audio/{name}.wav" in files(held, held.evaluate)]
    root = write(split5=few, split100=names)
    with pytest.raises(DataError, match="no training clip of bus in split 5 is left"):
        read_for_search(root, "5", 0.25)


def test_real_recordings_are_held_out_by_place(shared_data):
    scenes = read_for_search(shared_data / "scenes", share=0.25)
    assert (len(scenes.train), len(scenes.evaluate)) == (688, 272)
    assert not places(scenes, scenes.train) & places(scenes, scenes.evaluate)
    assert set(scenes.device_groups.values()) == {"real", "seen", "unseen"}
