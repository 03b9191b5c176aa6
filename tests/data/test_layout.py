"""The layout: what the lists say is what comes out, and each way they can be wrong is named."""

from collections import Counter

import pytest

from data.errors import DataError
from data.layout import read_meta, read_scenes


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_scenes_devices_and_cities_come_from_the_lists(root):
    scenes = read_scenes(root)
    assert scenes.classes == ("bus", "park")
    assert scenes.devices == ("a", "b", "s1", "s4")
    assert scenes.cities == ("bari", "oslo")
    assert scenes.labels.tolist() == [0, 0, 0, 1, 1, 1, 0, 0, 0, 1, 1, 1]
    assert scenes.device_index.tolist() == [0, 1, 2, 0, 1, 2, 0, 2, 3, 0, 2, 3]
    assert scenes.train.tolist() == [0, 1, 2, 3, 4, 5]
    assert scenes.evaluate.tolist() == [6, 7, 8, 9, 10, 11]


def test_a_device_without_training_clips_is_unseen(root):
    assert read_scenes(root).device_groups == {"a": "real", "b": "real", "s1": "seen", "s4": "unseen"}


def test_rows_follow_the_order_of_the_list_and_not_of_meta(root):
    path = root / "evaluation_setup" / "fold1_train.csv"
    header, *lines = path.read_text().splitlines()
    path.write_text("\n".join([header, *reversed(lines)]))
    assert read_scenes(root).train.tolist() == [5, 4, 3, 2, 1, 0]


def test_a_city_may_have_a_hyphen(root):
    edit(root / "meta.csv", "oslo-1\t", "new-york-1\t")
    assert "new-york" in read_scenes(root).cities


@pytest.mark.parametrize("folder", ["evaluation_setup", ".", "split_setup"])
def test_a_share_is_read_from_each_place_it_is_kept_in(root, folder):
    (root / folder).mkdir(exist_ok=True)
    (root / folder / "split5.csv").write_text("filename\tscene_label\naudio/park-oslo-1-7-0-a.wav\tpark\n")
    scenes = read_scenes(root, "5")
    assert (scenes.train.tolist(), scenes.evaluate.tolist()) == ([3], [6, 7, 8, 9, 10, 11])
    assert scenes.device_groups["b"] == "unseen"


def test_the_2024_test_list_stands_in_for_the_evaluation_list(root):
    (root / "evaluation_setup" / "fold1_evaluate.csv").rename(root / "test.csv")
    assert len(read_scenes(root).evaluate) == 6


def test_line_ends_marks_and_a_further_column_do_not_matter(root):
    path = root / "meta.csv"
    lines = path.read_text().splitlines()
    text = "\r\n".join([lines[0] + "\tnote", *(line + "\tx" for line in lines[1:]), "", ""])
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert len(read_scenes(root).labels) == 12


def test_the_real_recordings_are_read_as_their_page_counts_them(shared_data):
    scenes = read_scenes(shared_data / "scenes")
    assert (len(scenes.labels), len(scenes.train), len(scenes.evaluate)) == (1500, 960, 540)
    assert Counter(scenes.device_groups.values()) == {"real": 3, "seen": 3, "unseen": 3}
    assert [device for device, group in scenes.device_groups.items() if group == "unseen"] == [
        "s4",
        "s5",
        "s6",
    ]


TRAIN_LIST, EVALUATE_LIST = "evaluation_setup/fold1_train.csv", "evaluation_setup/fold1_evaluate.csv"
FIRST, SECOND = "audio/bus-oslo-1-7-0-a.wav", "audio/bus-oslo-1-7-1-b.wav"
# file, text in it, what stands there instead, the error after the folder's name
BROKEN_LISTS = [
    ("meta.csv", "identifier", "place", "meta.csv, line 1: no column identifier; the header must have"),
    ("meta.csv", "\tbus\toslo-1\ta", "\tbus\ta", "meta.csv, line 2: 3 fields, but the header has 4"),
    ("meta.csv", "\tbus\toslo-1\ta", "\t\toslo-1\ta", "meta.csv, line 2: scene_label is empty"),
    ("meta.csv", SECOND, FIRST, f"meta.csv, line 3: {FIRST} is listed a second time"),
    ("meta.csv", SECOND, "../b.wav", "meta.csv, line 3: '../b.wav' is not a path inside"),
    ("meta.csv", SECOND, "/etc/b.wav", "meta.csv, line 3: '/etc/b.wav' is not a path inside"),
    (TRAIN_LIST, SECOND, "b.wav", f"{TRAIN_LIST}, line 3: b.wav is not in "),
    (TRAIN_LIST, "b.wav\tbus", "b.wav\tpark", f"{TRAIN_LIST}, line 3: {SECOND} is park, but bus in "),
    (TRAIN_LIST, SECOND, FIRST, f"{TRAIN_LIST}, line 3: {FIRST} is listed a second time"),
    (EVALUATE_LIST, "audio/bus-bari-2-9-0-a.wav", FIRST, f"{TRAIN_LIST} and "),
    (EVALUATE_LIST, "filename\t", "filename,", f"{EVALUATE_LIST}, line 2: 1 fields, but the header has 2 columns"),
    (EVALUATE_LIST, "filename\t", "filename:", f"{EVALUATE_LIST}, line 1: no column filename, scene_label;"),
]


@pytest.mark.parametrize(("file", "old", "new", "message"), BROKEN_LISTS)
def test_a_broken_list_is_named_with_its_line(root, file, old, new, message):
    edit(root / file, old, new)
    with pytest.raises(DataError) as caught:
        read_scenes(root)
    assert str(caught.value).startswith(f"{root}/{message}")


def test_a_clip_that_meta_does_not_list_is_reported_in_full(root):
    edit(root / "evaluation_setup" / "fold1_train.csv", "bus-oslo-1-7-1-b", "bus-x")
    with pytest.raises(DataError) as caught:
        read_scenes(root)
    assert str(caught.value) == (
        f"{root}/evaluation_setup/fold1_train.csv, line 3: audio/bus-x.wav is not in {root}/meta.csv; "
        "both must come from the same edition of the data set"
    )


def test_text_that_is_not_utf8_is_named_with_its_line(root):
    path = root / "meta.csv"
    path.write_bytes(path.read_bytes().replace(b"park-oslo-1-7-0-a", b"caf\xe9", 1))
    with pytest.raises(DataError, match=r"meta\.csv, line 5: not UTF-8"):
        read_meta(root)


@pytest.mark.parametrize("text", ["filename\tscene_label\n", "filename\tscene_label", "filename\tscene_label\n\n\n"])
def test_a_list_of_no_clip_is_refused(root, text):
    (root / "evaluation_setup" / "fold1_evaluate.csv").write_text(text)
    with pytest.raises(DataError, match=r"fold1_evaluate\.csv: lists no clip"):
        read_scenes(root)


def test_an_unknown_split_is_refused_with_the_nearest(root):
    with pytest.raises(DataError) as caught:
        read_scenes(root, "fold2")
    assert str(caught.value) == ("unknown split 'fold2'; did you mean 'fold1'? choose from fold1, 5, 10, 25, 50, 100")


def test_a_split_that_is_not_there_is_refused_with_those_that_are(root):
    with pytest.raises(DataError, match=r"split25\.csv: no such file, so there is no split '25'; there is fold1"):
        read_scenes(root, "25")


def test_a_folder_that_is_no_data_set_is_refused(root, tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        read_scenes(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"no meta\.csv in it"):
        read_scenes(root / "audio")
    (root / "evaluation_setup" / "fold1_evaluate.csv").unlink()
    with pytest.raises(DataError, match=r"fold1_evaluate\.csv: no such file; add the list"):
        read_scenes(root)
