"""Names in lists: look-alikes, files that nearly match, other separators and quotes, leftovers of systems."""

import unicodedata

import numpy as np
import pytest
import soundfile

from data.augmentation.impulse_responses import ImpulseResponses
from data.check import check_data
from data.coverage import coverage_warnings
from data.errors import DataError
from data.layout import read_scenes
from data.leftovers import is_leftover
from data.store import open_store
from data.validation_split import read_for_search

LISTS = ("meta.csv", "evaluation_setup/fold1_train.csv", "evaluation_setup/fold1_evaluate.csv")
CLIP = "audio/bus-oslo-1-7-0-a.wav"


def found(root):
    return [(problem.kind, problem.file, problem.detail) for problem in check_data(root)]


def rewrite(root, change):
    """Change every list, line by line."""
    for name in LISTS:
        lines = (root / name).read_text().splitlines()
        (root / name).write_text("\n".join(map(change, lines)) + "\n")


def rename_some(root, column, change):
    """Change a column of every second clip in meta.csv, and the same in the other lists."""
    head, *lines = (root / "meta.csv").read_text().splitlines()
    rows = [line.split("\t") for line in lines]
    for row in rows[::2]:
        row[column] = change(row[column])
    (root / "meta.csv").write_text("\n".join([head, *map("\t".join, rows)]) + "\n")
    scene_of = {row[0]: row[1] for row in rows}
    for name in LISTS[1:]:
        head, *lines = (root / name).read_text().splitlines()
        names = [line.split("\t")[0] for line in lines]
        (root / name).write_text("\n".join([head, *(f"{each}\t{scene_of[each]}" for each in names)]) + "\n")


def decomposed(text):
    return unicodedata.normalize("NFD", text.replace("u", "ü").replace("a", "ä"))


LOOK_ALIKES = [
    (1, str.title, "'Bus' (4 clips), 'bus' (2 clips)"),
    (1, lambda text: text + " ", "'bus' (2 clips), 'bus ' (4 clips)"),
    (1, lambda text: text + "\u00a0", r"'bus' (2 clips), 'bus\xa0' (4 clips)"),
    (1, lambda text: text[0] + "\u200b" + text[1:], r"'bus' (2 clips), 'b\u200bus' (4 clips)"),
    (3, str.upper, "'A' (2 clips), 'a' (2 clips)"),
    (3, lambda text: " " + text, "' a' (2 clips), 'a' (2 clips)"),
    (2, lambda text: text + "\u3000", r"'oslo-1\u3000' (3 clips)"),
]


@pytest.mark.parametrize(("column", "change", "text"), LOOK_ALIKES)
def test_names_that_look_alike_are_named_with_counts_before_anything_is_trained(root, column, change, text):
    rename_some(root, column, change)
    problems = [problem for problem in check_data(root) if problem.kind == "look-alike"]
    assert problems
    what = {1: "scenes in scene_label", 2: "locations in identifier", 3: "devices in source_label"}[column]
    assert all(problem.file == "meta.csv" and problem.detail.startswith(what) for problem in problems)
    with pytest.raises(DataError) as caught:
        read_scenes(root)
    for told in (str(caught.value), "; ".join(problem.detail for problem in problems)):
        assert text in told
    assert str(caught.value).endswith("write each name in one way, in all lists")


def test_composed_and_decomposed_letters_are_told_by_their_numbers(root):
    rewrite(root, lambda line: line.replace("\tbus", "\tbüs"))
    rename_some(root, 1, decomposed)
    with pytest.raises(DataError, match=r"'bu\\u0308s' \(4 clips\), 'b\\xfcs' \(2 clips\)"):
        read_scenes(root)


def test_a_label_of_a_split_that_looks_like_that_of_meta_is_spelled_out(root):
    path = root / LISTS[1]
    path.write_text(path.read_text().replace(f"{CLIP}\tbus", f"{CLIP}\tbus "))
    assert ("label unknown", LISTS[1], f"line 2: {CLIP} is 'bus ', 'bus' in meta.csv") in found(root)
    with pytest.raises(DataError, match=f"{CLIP} is 'bus ', but 'bus' in "):
        read_scenes(root)


def quoted(line):
    return "\t".join(f'"{field}"' for field in line.split("\t"))


WRITTEN_OTHERWISE = {
    "quoted": quoted,
    "quoted rows": lambda line: line if line.startswith("filename") else quoted(line),
    "comma": lambda line: line.replace("\t", ","),
    "comma and blank": lambda line: line.replace("\t", ", "),
    "semicolon": lambda line: line.replace("\t", ";"),
    "quoted comma": lambda line: quoted(line).replace("\t", ","),
    "backslash": lambda line: line.replace("audio/", "audio\\"),
    "dot slash": lambda line: line.replace("audio/", "./audio/"),
    "two slashes": lambda line: line.replace("audio/", "audio//"),
    "dot in the middle": lambda line: line.replace("audio/", "audio/./"),
}


@pytest.mark.parametrize("change", WRITTEN_OTHERWISE.values(), ids=WRITTEN_OTHERWISE)
def test_lists_that_are_written_otherwise_are_read_the_same(root, change):
    plain = read_scenes(root)
    rewrite(root, change)
    scenes = read_scenes(root)
    assert scenes.clips.equals(plain.clips)
    assert (scenes.train.tolist(), scenes.evaluate.tolist()) == (plain.train.tolist(), plain.evaluate.tolist())
    assert check_data(root) == []


def test_only_the_split_lists_with_dot_slash_match_meta(root):
    path = root / LISTS[1]
    path.write_text(path.read_text().replace("audio/", "./audio/"))
    assert check_data(root) == []


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
def test_a_byte_order_mark_says_the_encoding(root, encoding):
    for name in LISTS:
        (root / name).write_bytes((root / name).read_text().encode(encoding))
    assert check_data(root) == []


def test_lines_that_end_with_cr_alone_and_lines_of_blanks_are_read(root):
    for name in LISTS:
        (root / name).write_bytes((root / name).read_bytes().rstrip() + b"\n   \n")
    assert check_data(root) == []
    for name in LISTS:
        (root / name).write_bytes((root / name).read_bytes().rstrip().replace(b"\n", b"\r"))
    assert check_data(root) == []


def test_a_quote_inside_a_plain_list_is_text(root):
    rewrite(root, lambda line: line.replace("\tbus", '\tbus "7"'))
    assert read_scenes(root).classes == ('bus "7"', "park")


QUOTED_AND_BROKEN = [
    ('"audio/x.wav","bus"', "line 3: 2 fields, but the header has 4 columns"),
    ('"audio/x.wav","bus","oslo-1","a', "line 3: unexpected end of data"),
    ('"../x.wav","bus","oslo-1","a"', "line 3: '../x.wav' is not a path inside"),
    ('"..\\x.wav","bus","oslo-1","a"', "line 3: '../x.wav' is not a path inside"),
    ('"\\x.wav","bus","oslo-1","a"', "line 3: '/x.wav' is not a path inside"),
    ('"x.wav","","oslo-1","a"', "line 3: scene_label is empty"),
]


@pytest.mark.parametrize(("line", "message"), QUOTED_AND_BROKEN)
def test_a_broken_line_of_a_quoted_list_is_named(root, line, message):
    head = '"filename","scene_label","identifier","source_label"'
    (root / "meta.csv").write_text(f'{head}\n"{CLIP}","bus","oslo-1","a"\n{line}')
    with pytest.raises(DataError) as caught:
        read_scenes(root)
    assert str(caught.value).startswith(f"{root}/meta.csv, {message}")


def moved(root, name):
    (root / CLIP).rename(root / name)
    return name


NEAR_NAMES = {
    "another extension in capitals": ("audio/bus-oslo-1-7-0-a.WAV", "audio/bus-oslo-1-7-0-a.WAV"),
    "capitals": ("audio/Bus-Oslo-1-7-0-A.wav", "audio/Bus-Oslo-1-7-0-A.wav"),
    "another folder": ("bus-oslo-1-7-0-a.wav", "bus-oslo-1-7-0-a.wav"),
    "another format": ("audio/bus-oslo-1-7-0-a.flac", "audio/bus-oslo-1-7-0-a.flac"),
    "a blank": ("audio/bus-oslo-1-7-0-a.wav ", "audio/bus-oslo-1-7-0-a.wav "),
    "backslashes on disk": ("audio\\bus-oslo-1-7-0-a.wav", "audio\\bus-oslo-1-7-0-a.wav"),
}


@pytest.mark.parametrize(("name", "told"), NEAR_NAMES.values(), ids=NEAR_NAMES)
def test_the_file_that_is_near_a_missing_one_is_named(root, tmp_path, name, told):
    moved(root, name)
    message = f"; there is {told}: write its name into the lists, or rename it"
    assert ("missing", CLIP, f"no such file{message}") in found(root)
    with pytest.raises(DataError) as caught:
        open_store(read_scenes(root), 32_000, tmp_path / "cache")
    assert f"{CLIP}: No such file or directory{message}" in str(caught.value)


def test_a_decomposed_name_on_disk_is_told_by_its_letters(root):
    rewrite(root, lambda line: line.replace("bus-oslo-1-7-0-a", "bus-malmö-1-7-0-a"))
    moved(root, "audio/bus-malmo\u0308-1-7-0-a.wav")
    details = [detail for kind, _, detail in found(root) if kind == "missing"]
    assert details == [
        "no such file; there is 'audio/bus-malmo\\u0308-1-7-0-a.wav': write its name into the lists, or rename it"
    ]


def test_two_files_that_are_equally_near_are_not_guessed(root):
    (root / CLIP).rename(root / "audio/BUS-oslo-1-7-0-a.wav")
    (root / "audio/Bus-oslo-1-7-0-a.wav").write_bytes((root / "audio/BUS-oslo-1-7-0-a.wav").read_bytes())
    assert ("missing", CLIP, "no such file") in found(root)


def renamed_all(root, name_of):
    """Rename every clip, in all lists and on disk."""
    names = [line.split("\t")[0] for line in (root / "meta.csv").read_text().splitlines()[1:]]
    new = {name: name_of(number) for number, name in enumerate(names)}
    for old, other in new.items():
        (root / old).rename(root / other)
    rewrite(root, lambda line: "\t".join([new.get(line.split("\t")[0], line.split("\t")[0]), *line.split("\t")[1:]]))


OTHER_FORMS = {
    "date and time": lambda number: f"audio/2024-05-01-06-{number:02}-00.wav",
    "date, time and device": lambda number: f"audio/2024-05-01-06-{number:02}-a.wav",
    "uuid": lambda number: f"audio/0b51e4a2-3f2a-4c10-{number:04}-1{number:03}-{number:012}.wav",
    "project": lambda number: f"audio/field-trip-north-3-{number}-bus.wav",
}


@pytest.mark.parametrize("name_of", OTHER_FORMS.values(), ids=OTHER_FORMS)
def test_a_name_that_does_not_say_what_the_lists_say_is_no_problem(root, name_of):
    renamed_all(root, name_of)
    assert check_data(root) == []


def test_labels_renamed_in_all_lists_are_no_problem(root):
    rewrite(root, lambda line: line.replace("\tbus", "\tin a bus").replace("\tpark", "\tpark, at night"))
    assert check_data(root) == []


def test_labels_that_moved_by_rows_are_problems(root):
    swapped = {"bus": "park", "park": "bus"}
    rewrite(root, lambda line: "\t".join(swapped.get(field, field) for field in line.split("\t")))
    assert [kind for kind, _, _ in found(root)] == ["label differs"] * 12


def test_a_location_for_every_clip_is_a_note_and_a_warning(root):
    lines = (root / "meta.csv").read_text().splitlines()
    rows = [line.split("\t") for line in lines[1:]]
    numbered = ["\t".join([row[0], row[1], f"oslo-{number}", row[3]]) for number, row in enumerate(rows)]
    (root / "meta.csv").write_text("\n".join([lines[0], *numbered]) + "\n")
    (problem,) = check_data(root)
    text = (
        "12 locations for 12 clips: held out by location means nothing here, and clips of one recording may be on "
        "both sides; in meta.csv, give clips that were recorded together the same identifier"
    )
    assert (problem.kind, problem.detail, problem.is_note) == ("locations of one clip", text, True)
    warnings = coverage_warnings(read_for_search(root, "fold1", 0.34), is_validation=True)
    assert warnings[1:] == [text.replace("12", "6")]
    assert warnings[0] == (
        "bus, park: validated on one recording each, of 3 in all: their accuracy is mostly that recording's; record "
        "them at four places or more"
    )
    assert coverage_warnings(read_scenes(root), is_validation=False) == []


def test_of_the_real_recordings_scenes_of_two_and_three_are_warned_of(shared_data):
    (warning,) = coverage_warnings(read_for_search(shared_data / "scenes", "fold1", 0.25), is_validation=True)
    assert warning.startswith("cafe, quiet_indoor, street_traffic, train: validated on one recording each, of 2 to 3")


def without(root, name, scene):
    path = root / name
    lines = path.read_text().splitlines()
    path.write_text("\n".join(line for line in lines if not line.endswith(f"\t{scene}")) + "\n")


def test_a_scene_without_evaluation_clips_is_a_problem_and_a_warning(root):
    without(root, LISTS[2], "park")
    assert ("scene absent", LISTS[2], "park has no evaluation clip") in found(root)
    expected = ["park has no evaluation clip: means over the scenes are over 1 of 2 scenes"]
    assert coverage_warnings(read_scenes(root), is_validation=False) == expected


def test_a_scene_without_training_clips_is_a_problem_and_a_warning(root):
    without(root, LISTS[1], "park")
    assert ("scene absent", LISTS[1], "park has no training clip") in found(root)
    assert coverage_warnings(read_scenes(root), is_validation=False) == [
        "park has no training clip: a network cannot learn it"
    ]


LEFTOVERS = [
    "._bus.wav", ".DS_Store", "__MACOSX", "Thumbs.db", "desktop.ini", "bus.wav~", "bus.tmp", "@eaDir", ".Trash",
    ".Trash-1000", "lost+found", "bus.sync-conflict-20240501-101112-ABCDEFG.wav", "bus.wav.part", ".~lock.meta.csv#",
    "System Volume Information", "$RECYCLE.BIN", ".nfs0000000000c0ffee", ".bus.wav.swp", "DESKTOP.INI",
]  # fmt: skip


@pytest.mark.parametrize("name", LEFTOVERS)
def test_leftovers_are_told_from_files(name):
    assert is_leftover(name)


@pytest.mark.parametrize("name", ["bus.wav", ".bus.wav", "_bus.wav", "bus.WAV", "tmp", "thumbs.wav", "~bus.wav", "a#1"])
def test_files_are_no_leftovers(name):
    assert not is_leftover(name)


def test_leftovers_beside_the_clips_are_passed_over(root):
    for name in ("._bus-oslo-1-7-0-a.wav", "bus.sync-conflict-20240501-101112-ABCDEFG.wav"):
        (root / "audio" / name).write_bytes(bytes.fromhex("0005160700020000") + bytes(100))
    assert check_data(root) == []


def test_leftovers_beside_impulse_responses_are_passed_over(tmp_path):
    soundfile.write(tmp_path / "one.wav", np.array([0.5, 0.25, 0.0]), 32_000)
    (tmp_path / "._one.wav").write_bytes(bytes.fromhex("0005160700020000") + bytes(100))
    assert ImpulseResponses.load(tmp_path, 32_000).names == ("one.wav",)
