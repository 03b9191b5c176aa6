"""Data set check: a clean data set has no problem, each way to break one is reported, and no bytes crash it."""

import contextlib
import shutil
import struct

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from data.check import Problem, check_data
from data.errors import DataError

CLIP = "audio/bus-oslo-1-7-0-a.wav"
OTHER = "audio/bus-bari-2-9-0-a.wav"
TRAIN_LIST, EVALUATE_LIST = "evaluation_setup/fold1_train.csv", "evaluation_setup/fold1_evaluate.csv"


def found(root):
    return [(problem.kind, problem.file, problem.detail) for problem in check_data(root) if not problem.is_note]


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def noise(frames=44_100, channels=1):
    return np.random.default_rng(3).normal(0, 0.1, (frames, channels))


def with_nan():
    return np.where(np.arange(44_100) == 7, np.nan, 0.1)


def test_a_clean_data_set_has_no_problem(root):
    assert check_data(root) == []


def test_the_real_recordings_have_no_problem(shared_data):
    calls = []
    assert check_data(shared_data / "scenes", progress=lambda *done: calls.append(done)) == []
    assert calls[-1] == (1500, 1500)


# how the file is broken, kind, detail
BROKEN_FILES = [
    (lambda path: path.unlink(), "missing", "no such file"),
    (lambda path: path.write_bytes(b""), "empty", "the file has no bytes"),
    (
        lambda path: path.write_bytes(b"ID3\x04 not sound"),
        "not WAV",
        "neither a WAV nor a FLAC file: it starts with b'ID3\\x04'",
    ),
    (
        lambda path: path.write_bytes(path.read_bytes()[:30]),
        "truncated",
        "ends before the sound starts",
    ),
    (
        lambda path: soundfile.write(path, noise(), 48_000),
        "wrong rate",
        "48,000 Hz; the data set has 44,100 Hz",
    ),
    (lambda path: soundfile.write(path, noise(44_100, 2), 44_100), "wrong channels", "2; a clip has one"),
    (
        lambda path: soundfile.write(path, noise(39_000), 44_100),
        "wrong length",
        "0.884 s; a clip has 1.000 s, give or take 10%",
    ),
    (
        lambda path: soundfile.write(path, noise(44_100 * 61), 44_100),
        "wrong length",
        "61.000 s; a clip has 1.000 s, give or take 10%",
    ),
    (lambda path: soundfile.write(path, np.zeros(44_100), 44_100), "silent", "every sample is 0"),
    (lambda path: soundfile.write(path, np.full(44_100, 0.25), 44_100), "silent", "every sample is 0.25"),
    (
        lambda path: soundfile.write(path, with_nan(), 44_100, subtype="FLOAT"),
        "NaN",
        "1 of 44,100 samples are not finite numbers",
    ),
]


@pytest.mark.parametrize(("damage", "kind", "detail"), BROKEN_FILES)
def test_a_broken_file_is_reported(root, damage, kind, detail):
    damage(root / CLIP)
    assert found(root) == [(kind, CLIP, detail)]


def test_a_rate_of_48_khz_in_all_files_is_no_problem(root):
    rng = np.random.default_rng(0)
    for path in (root / "audio").iterdir():
        soundfile.write(path, rng.normal(0, 0.1, 48_000), 48_000)
    assert check_data(root) == []


SECOND = "audio/bus-oslo-1-7-1-b.wav"
# file, text in it, what stands there instead, the problem
BROKEN_LISTS = [
    (
        ("meta.csv", "oslo-1\ta", "oslo-1\ts1"),
        ("device differs", CLIP, "a in the file's name, s1 in meta.csv"),
    ),
    (
        ("meta.csv", "oslo-1\ta", "riga-3\ta"),
        ("location differs", CLIP, "oslo-1 in the file's name, riga-3 in meta.csv"),
    ),
    (
        (TRAIN_LIST, f"{CLIP}\tbus", f"{CLIP}\tpark"),
        ("label differs", TRAIN_LIST, f"line 2: {CLIP} is park, bus in meta.csv"),
    ),
    (
        (TRAIN_LIST, f"{CLIP}\tbus", f"{CLIP}\ttram"),
        ("label unknown", TRAIN_LIST, f"line 2: {CLIP} is tram, bus in meta.csv"),
    ),
    ((TRAIN_LIST, CLIP, "audio/x.wav"), ("not in meta.csv", TRAIN_LIST, "line 2: audio/x.wav")),
    ((TRAIN_LIST, CLIP, SECOND), ("listed twice", TRAIN_LIST, f"line 3: {SECOND}")),
    (
        (TRAIN_LIST, f"{CLIP}\tbus", CLIP),
        ("broken list", TRAIN_LIST, "line 2: 1 fields, but the header has 2 columns"),
    ),
    (
        (EVALUATE_LIST, OTHER, CLIP),
        ("clip on both sides", CLIP, f"in {TRAIN_LIST} and in {EVALUATE_LIST}"),
    ),
]


@pytest.mark.parametrize(("change", "problem"), BROKEN_LISTS)
def test_a_contradiction_between_lists_is_reported(root, change, problem):
    file, old, new = change
    edit(root / file, old, new)
    assert problem in found(root)


def test_a_scene_without_training_clips_is_reported_once(root):
    path = root / TRAIN_LIST
    path.write_text("".join(line for line in path.read_text().splitlines(keepends=True) if "park" not in line))
    assert found(root) == [("scene absent", TRAIN_LIST, "park has no training clip")]


def test_an_unknown_device_in_a_file_name_is_reported(root):
    (root / CLIP).rename(root / "audio/bus-oslo-1-7-0-q.wav")
    for file in ("meta.csv", TRAIN_LIST):
        edit(root / file, CLIP, "audio/bus-oslo-1-7-0-q.wav")
    assert found(root) == [("device unknown", "audio/bus-oslo-1-7-0-q.wav", "q in the file's name, a in meta.csv")]


def test_file_names_of_another_form_are_not_compared(root):
    (root / CLIP).rename(root / "audio/clip-1.wav")
    for file in ("meta.csv", TRAIN_LIST):
        edit(root / file, CLIP, "audio/clip-1.wav")
    assert check_data(root) == []


def test_a_location_on_both_sides_is_reported_once(root):
    for name in ("0-a", "1-s1"):
        old, new = f"bus-bari-2-9-{name}", f"bus-oslo-1-9-{name}"
        (root / f"audio/{old}.wav").rename(root / f"audio/{new}.wav")
        edit(root / "meta.csv", f"{old}.wav\tbus\tbari-2", f"{new}.wav\tbus\toslo-1")
        edit(root / EVALUATE_LIST, old, new)
    kinds = [(kind, file) for kind, file, _ in found(root)]
    assert kinds == [("location on both sides", "audio/bus-oslo-1-9-0-a.wav")]


def test_the_same_sound_under_another_name_on_the_other_side_is_reported(root):
    # In another sample format, so that the two files share no byte.
    samples, rate = soundfile.read(root / CLIP)
    soundfile.write(root / OTHER, samples, rate, subtype="PCM_24")
    assert found(root) == [("sound on both sides", OTHER, f"the same samples as {CLIP} in {TRAIN_LIST}")]


def test_a_file_that_no_list_names_is_a_note(root):
    shutil.copy(root / CLIP, root / "audio/more.wav")
    (problem,) = check_data(root)
    assert problem == Problem("not listed", "audio/more.wav", "meta.csv does not list it, so nothing uses it")
    assert problem.kind == "not listed"
    assert str(problem) == "audio/more.wav: not listed: meta.csv does not list it, so nothing uses it"


def test_a_split_without_lists_is_reported(root):
    (root / TRAIN_LIST).unlink()
    (root / EVALUATE_LIST).unlink()
    assert [(kind, file) for kind, file, _ in found(root)] == [
        ("missing", TRAIN_LIST),
        ("missing", EVALUATE_LIST),
    ]


def test_every_problem_is_reported_and_not_the_first_alone(root):
    paths = sorted((root / "audio").iterdir())
    paths[0].unlink()
    soundfile.write(paths[1], np.zeros((30_000, 2)), 8_000)
    edit(root / TRAIN_LIST, CLIP, "audio/x.wav")
    kinds = sorted(problem.kind for problem in check_data(root) if not problem.is_note)
    assert kinds == ["missing", "not in meta.csv", "silent", "wrong channels", "wrong length", "wrong rate"]


def test_a_folder_without_lists_cannot_be_checked(root):
    with pytest.raises(DataError, match=r"no meta\.csv in it"):
        check_data(root / "audio")


@pytest.fixture(scope="module")
def one_clip(tmp_path_factory):
    """A data set of one clip each side, for files that are broken hundreds of times."""
    root = tmp_path_factory.mktemp("one")
    (root / "evaluation_setup").mkdir()
    (root / "meta.csv").write_text(
        "filename\tscene_label\tidentifier\tsource_label\na.wav\tbus\toslo-1\ta\nb.wav\tbus\tbari-2\ta\n"
    )
    for file, clip in ((TRAIN_LIST, "a.wav"), (EVALUATE_LIST, "b.wav")):
        (root / file).write_text(f"filename\tscene_label\n{clip}\tbus\n")
        soundfile.write(root / clip, noise(), 44_100)
    soundfile.write(root / "b.wav", noise()[::-1], 44_100)
    return root


@settings(max_examples=60, deadline=None)
@given(start=st.sampled_from([b"", b"RIFF\xff\xff\xff\xffWAVE"]), salad=st.binary(max_size=300))
def test_no_bytes_make_the_check_crash(one_clip, start, salad):
    (one_clip / "a.wav").write_bytes(start + salad)
    assert {problem.file for problem in check_data(one_clip) if not problem.is_note} == {"a.wav"}


@settings(max_examples=60, deadline=None)
@given(salad=st.binary(max_size=200), file=st.sampled_from(["meta.csv", TRAIN_LIST, EVALUATE_LIST]))
def test_no_list_makes_the_check_crash(one_clip, salad, file):
    path = one_clip / file
    whole = path.read_bytes()
    path.write_bytes(whole + salad)
    # A meta.csv that cannot be read at all is this one error.
    with contextlib.suppress(DataError):
        check_data(one_clip)
    path.write_bytes(whole)


@pytest.mark.parametrize("size", [0, 0x80000000, 0xFFFFFFF0])
def test_a_file_that_was_never_finished_is_a_note_and_no_problem(root, size):
    raw = bytearray((root / CLIP).read_bytes())
    raw[40:44] = struct.pack("<I", size)
    (root / CLIP).write_bytes(raw)
    given = f"{size:,}" if size else "no"
    text = f"its header gives {given} bytes of sound, 88,200 are there: it was never finished, or was cut off"
    notes = [Problem("unfinished file", CLIP, text)]
    assert check_data(root) == notes
    assert notes[0].is_note


def test_levels_that_training_changes_are_noted_with_their_share(root):
    paths = sorted((root / "audio").iterdir())
    sound = noise().astype(float)
    sound /= np.abs(sound).max()
    for path, gain in zip(paths, (4, 2, 0, 1e-4, 1e-5, 1e-6), strict=False):
        soundfile.write(path, sound * gain, 44_100, subtype="FLOAT")
    found = check_data(root)
    assert [problem.kind for problem in found if not problem.is_note] == ["silent"]
    names = [f"audio/{path.name}" for path in paths]
    loud = "2 of 12 clips (16.7%), this one the most, by 12.0 dB; they are brought to full scale"
    quiet = "3 of 12 clips (25.0%), this one the most, at -120.0 dBFS; they are raised to -60 dBFS"
    assert [problem for problem in found if problem.is_note] == [
        Problem("beyond full scale", names[0], loud),
        Problem("silent clips", names[2], "1 of 12 clips (8.3%); all samples are the same"),
        Problem("quiet clips", names[5], quiet),
    ]
