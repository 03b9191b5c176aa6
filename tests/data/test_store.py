"""Waveform store: right samples, complete or absent, written once however many start at once."""

import os
import resource
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from subprocess import PIPE, Popen

import numpy as np
import pytest
import soundfile
import torch

from data.decoding import decode_clips
from data.errors import DataError
from data.layout import read_scenes
from data.level import MAX_PEAK
from data.store import open_store


@pytest.fixture(autouse=True)
def user_cache(tmp_path, monkeypatch):
    """No test writes to the real one."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user-cache"))
    return tmp_path / "user-cache"


NOTE = "its header gives 88,200 bytes of sound, 4,956 are there: it was never finished, or was cut off"


def clips(root):
    return sorted((root / "audio").iterdir())


def start(root, text):
    """Run Python with `scenes`, `open_store` and what `text` does with them, in another process."""
    head = "import os, sys; from pathlib import Path; from data.layout import read_scenes; "
    head += f"from data.store import open_store; scenes = read_scenes(Path({str(root)!r}))\n"
    return Popen([sys.executable, "-c", head + text], stdin=PIPE, stdout=PIPE, text=True)


def test_each_row_is_the_clip_of_that_row(root):
    scenes = read_scenes(root)
    store = open_store(scenes, 44_100)
    for row, name in enumerate(scenes.clips["filename"]):
        np.testing.assert_array_equal(store.read(np.array([row]))[0], soundfile.read(root / name, dtype="float32")[0])


def test_a_store_holds_the_clips_of_its_split_and_no_other(shares):
    scenes = read_scenes(shares, "5")
    for row in set(range(12)) - set(scenes.used):
        (shares / scenes.clips["filename"][row]).unlink()
    store = open_store(scenes, 44_100)
    assert store.samples.shape == (8, 44_100)
    for rows in (scenes.train, scenes.evaluate[::-2]):
        for row, clip in zip(rows, store.read(rows), strict=True):
            sound = soundfile.read(shares / scenes.clips["filename"][row], dtype="float32")[0]
            np.testing.assert_array_equal(clip, sound)


def test_a_clip_that_the_split_does_not_use_is_refused_and_never_another_one(shares):
    store = open_store(read_scenes(shares, "5"), 32_000)
    assert store.slots.tolist() == [-1, 0, -1, -1, 1, -1, 2, 3, 4, 5, 6, 7]
    with pytest.raises(ValueError, match="row 2 is a clip that the split does not use"):
        store.read_stored(np.array([1, 2]))
    assert store.read(np.array([], np.int64)).shape == (0, 32_000)


def test_stores_of_several_splits_lie_side_by_side(shares):
    calls = []
    paths = [open_store(read_scenes(shares, split), 32_000).path for split in ("5", "10", "fold1")]
    assert len(set(paths)) == 3
    for split, path in zip(("5", "10", "fold1"), paths, strict=True):
        assert open_store(read_scenes(shares, split), 32_000, progress=lambda *done: calls.append(done)).path == path
    assert calls == []


def test_a_split_inside_another_uses_its_store(shares):
    calls = []
    large = open_store(read_scenes(shares), 32_000)
    scenes = read_scenes(shares, "5")
    small = open_store(scenes, 32_000, progress=lambda *done: calls.append(done))
    assert (small.path, calls) == (large.path, [])
    np.testing.assert_array_equal(small.read_stored(scenes.train).samples, large.samples[[4, 1]])
    with pytest.raises(ValueError, match="row 0 is a clip that the split does not use"):
        small.read_stored(np.array([0]))


def test_meta_in_another_order_needs_no_other_store(root):
    old = open_store(read_scenes(root), 32_000)
    header, *lines = (root / "meta.csv").read_text().splitlines()
    (root / "meta.csv").write_text("\n".join([header, *reversed(lines)]))
    scenes = read_scenes(root)
    new = open_store(scenes, 32_000)
    assert new.path == old.path
    np.testing.assert_array_equal(new.read_stored(scenes.train).samples, old.samples[:6])


@pytest.mark.parametrize(("changed", "decodes"), [("bus-oslo-1-7-1-b", True), ("bus-oslo-1-7-0-a", False)])
def test_another_split_s_store_is_used_while_the_needed_files_are_as_they_were(shares, changed, decodes):
    calls = []
    large = open_store(read_scenes(shares), 32_000)
    soundfile.write(shares / "audio" / f"{changed}.wav", np.zeros(44_100), 44_100, subtype="PCM_16")
    scenes = read_scenes(shares, "5")
    small = open_store(scenes, 32_000, progress=lambda *done: calls.append(done))
    assert bool(calls) is decodes
    assert large.path.exists() is not decodes
    assert small.read_stored(scenes.train).samples[1].any() == (not decodes)


def test_a_store_of_an_earlier_version_is_replaced(root):
    folder = root / ".scenefront"
    folder.mkdir()
    np.save(folder / "waveforms-32000hz-0123456789abcdef.npy", np.zeros((12, 32_000), np.int16))
    np.save(folder / "waveforms-16000hz-0123456789abcdef.npy", np.zeros((12, 16_000), np.int16))
    (folder / "waveforms-32000hz-0000000000000000.clips").write_text("a list whose store was never finished")
    store = open_store(read_scenes(root), 32_000)
    assert store.samples.any(axis=1).all()
    assert sorted(path.name for path in folder.glob("waveforms-*hz-*")) == [
        "waveforms-16000hz-0123456789abcdef.npy",
        store.path.with_suffix(".clips").name,
        store.path.name,
    ]


def test_clips_of_several_lengths_and_formats_keep_their_order(tmp_path, lists):
    names = [f"bus-oslo-1-7-{i}-a" for i in range(50)]
    lists(tmp_path, names, fold1_train=names[::2], fold1_evaluate=names[1::2])
    (tmp_path / "audio").mkdir()
    for i, name in enumerate(names):
        tone = 0.5 * np.sin(2 * np.pi * (200 + 20 * i) * np.arange(44_100 + 300 * (i % 4)) / 44_100)
        path = tmp_path / "audio" / f"{name}.wav"
        soundfile.write(path, tone, 44_100, subtype=("PCM_16", "PCM_24", "FLOAT")[i % 3])
    store = open_store(read_scenes(tmp_path), 16_000)
    for i, name in enumerate(names):
        clip = store.read(np.array([i]))[0]
        assert np.abs(np.fft.rfft(clip)).argmax() == 200 + 20 * i  # bins of 1 Hz
        np.testing.assert_array_equal(clip, decode_clips([tmp_path / "audio" / f"{name}.wav"], 16_000)[0].to_float()[0])


def test_torch_has_as_many_threads_as_before(root):
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        open_store(read_scenes(root), 32_000)
        assert torch.get_num_threads() == 3
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(torch.get_num_threads).result() == 3
    finally:
        torch.set_num_threads(before)


def test_sound_is_resampled_to_one_second_at_the_rate(root):
    hz, seconds = 1000, np.arange(44_000) / 44_100
    for path in clips(root):
        soundfile.write(path, 0.25 * np.sin(2 * np.pi * hz * seconds), 44_100, subtype="PCM_24")
    scenes = read_scenes(root)
    waveforms = open_store(scenes, 32_000).read(scenes.used)
    assert waveforms.shape == (12, 32_000)
    expected = 0.25 * np.sin(2 * np.pi * hz * np.arange(31_928) / 32_000)
    np.testing.assert_allclose(waveforms[3, 100:31_800], expected[100:31_800], atol=1e-3)
    assert not waveforms[:, 31_940:].any()


def test_sound_beyond_full_scale_is_brought_to_full_scale_and_keeps_its_form(root):
    sound = np.random.default_rng(0).uniform(-1, 1, 44_100).astype(np.float32)
    for number, path in enumerate(clips(root)):
        soundfile.write(path, sound * np.float32((1.5, 6, 32_767, 1e30)[number % 4]), 44_100, subtype="FLOAT")
    scenes = read_scenes(root)
    for clip in open_store(scenes, 44_100).read(scenes.used):
        np.testing.assert_allclose(clip, sound * (MAX_PEAK / np.abs(sound).max()), atol=2**-15.9)


def test_a_store_cannot_be_written_to(root):
    waveforms = open_store(read_scenes(root), 32_000).samples
    assert isinstance(waveforms, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        waveforms[0, 0] = 1


def test_a_second_opening_decodes_nothing(root):
    calls = []
    scenes = read_scenes(root)
    first = open_store(scenes, 32_000, progress=lambda *done: calls.append(done))
    assert calls == [(12, 12)]
    assert open_store(scenes, 32_000, progress=lambda *done: calls.append(done)).path == first.path
    assert calls == [(12, 12)]


def test_a_changed_file_makes_a_new_store_in_place_of_the_old(root):
    scenes = read_scenes(root)
    old = open_store(scenes, 32_000)
    other_rate = open_store(scenes, 16_000)
    soundfile.write(clips(root)[0], np.zeros(44_100), 44_100, subtype="PCM_16")
    new = open_store(scenes, 32_000)
    row = min(range(12), key=lambda i: scenes.clips["filename"][i])
    assert not new.samples[row].any()
    assert old.samples[row].any()
    assert not old.path.exists()
    assert other_rate.path.exists()


def test_the_store_lies_in_the_cache_that_is_given(root, tmp_path):
    store = open_store(read_scenes(root), 32_000, cache=tmp_path / "cache")
    assert store.path.is_relative_to(tmp_path / "cache")
    assert not (root / ".scenefront").exists()


def test_data_that_cannot_be_written_to_has_its_store_in_the_user_cache(root, user_cache):
    (root / ".scenefront").write_text("a file, so that no folder can be made here")
    assert open_store(read_scenes(root), 32_000).path.is_relative_to(user_cache)


@pytest.mark.parametrize("below", ["", "deeper"])
def test_a_cache_that_was_named_and_cannot_be_written_is_an_error_and_no_other_is_written(root, user_cache, below):
    (named := root / "named").write_text("not a folder")
    with pytest.raises(DataError, match=r"no folder for the store can be written: .*named.*; give another as cache"):
        open_store(read_scenes(root), 32_000, named / below)
    assert not user_cache.exists()


def test_no_folder_that_can_be_written_is_an_error_that_names_them(root, user_cache):
    (root / ".scenefront").write_text("")
    user_cache.write_text("")
    with pytest.raises(DataError, match=r"no folder for the store can be written: .*\.scenefront .*user-cache"):
        open_store(read_scenes(root), 32_000)


def test_clips_that_cannot_be_used_are_named_in_one_error(root):
    paths = clips(root)
    paths[0].unlink()
    with pytest.raises(DataError) as caught:
        open_store(read_scenes(root), 32_000)
    assert str(caught.value) == (
        "1 clip cannot be used:\n"
        "  audio/bus-bari-2-9-0-a.wav: No such file or directory\n"
        f"`scenefront data check {root}` reads every file and lists every problem"
    )


def test_problems_in_headers_are_found_before_anything_is_decoded(root):
    sound = np.zeros(44_100)
    paths = clips(root)
    paths[0].write_bytes(b"")
    paths[1].write_bytes(paths[1].read_bytes()[:5000])
    soundfile.write(paths[2], np.zeros((44_100, 2)), 44_100)
    soundfile.write(paths[3], sound, 48_000)
    soundfile.write(paths[4], np.zeros(30_000), 44_100)
    soundfile.write(paths[5], np.zeros(441_000), 44_100)
    with pytest.raises(DataError) as caught:
        open_store(read_scenes(root), 32_000)
    lines = str(caught.value).splitlines()
    assert lines[0] == "6 clips cannot be used:"
    assert sorted(line.split(": ", 1)[1] for line in lines[1:-1]) == [
        f"0.056 s long; a clip has 1.000 s, give or take 10% ({NOTE})",
        "0.680 s long; a clip has 1.000 s, give or take 10%",
        "10.000 s long; a clip has 1.000 s, give or take 10%",
        "2 channels; a clip has one",
        "48,000 Hz, where the data set has 44,100 Hz",
        "the file has no bytes",
    ]
    assert not list((root / ".scenefront").glob("*.npy*"))


def test_problems_that_only_decoding_finds_are_collected_too(root):
    for path in clips(root)[:11]:
        soundfile.write(path, np.full(44_100, np.nan), 44_100, subtype="FLOAT")
    with pytest.raises(DataError) as caught:
        open_store(read_scenes(root), 32_000)
    text = str(caught.value)
    assert text.startswith("11 clips cannot be used:")
    assert text.count("44,100 of 44,100 samples are not finite numbers") == 10
    assert "\n  and 1 more\n" in text
    assert not list((root / ".scenefront").glob("*.npy*"))


def test_no_clip_that_can_be_decoded_is_an_error_too(root):
    for path in clips(root):
        soundfile.write(path, np.full(44_100, np.nan), 44_100, subtype="FLOAT")
    with pytest.raises(DataError, match="12 clips cannot be used"):
        open_store(read_scenes(root), 32_000)


def test_a_full_disk_is_reported_with_what_is_needed(root):
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, old[1]))
    try:
        with pytest.raises(
            DataError, match=r"not enough disk space: the store takes 0\.001 GB, .* GB are free; free some"
        ):
            open_store(read_scenes(root), 32_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    assert not list((root / ".scenefront").glob("*.npy*"))
    assert open_store(read_scenes(root), 32_000).samples.any()


def test_a_store_that_cannot_fit_is_not_begun(root):
    with pytest.raises(DataError, match=r"the store takes 24,000\.000 GB, .* GB are free"):
        open_store(read_scenes(root), 10**12)
    assert not list((root / ".scenefront").glob("*.npy*"))


def test_a_kill_in_the_middle_leaves_no_store_and_no_lock(root):
    killed = start(root, "open_store(scenes, 32_000, progress=lambda *_: os.kill(os.getpid(), 9))")
    killed.communicate()
    assert killed.returncode == -9
    assert [path.suffix for path in (root / ".scenefront").glob("*.npy*")] == [".partial"]
    scenes = read_scenes(root)
    assert open_store(scenes, 44_100).samples.shape == (12, 44_100)
    assert open_store(scenes, 32_000).samples.any(axis=1).all()
    assert len(list((root / ".scenefront").glob("*.npy*"))) == 2


def test_a_process_waits_for_another_that_writes_and_then_reads(root):
    # The first stops while it writes, until a line says to continue.
    first = start(root, "open_store(scenes, 32_000, progress=lambda *_: (print('at it', flush=True), input()))")
    assert first.stdout.readline() == "at it\n"
    wrote = []
    with ThreadPoolExecutor() as pool:
        second = pool.submit(open_store, read_scenes(root), 32_000, progress=lambda *done: wrote.append(done))
        with pytest.raises(TimeoutError):
            second.result(timeout=0.5)
        first.communicate("go on\n")
        store = second.result(timeout=60)
    assert first.returncode == 0
    assert wrote == []
    assert store.samples.any(axis=1).all()


@pytest.mark.slow
def test_the_real_recordings_fill_a_store(shared_data, tmp_path):
    scenes = read_scenes(shared_data / "scenes")
    folder = Path(os.path.relpath(tmp_path)) / "cache"
    store = open_store(scenes, 32_000, cache=folder)
    assert store.samples.shape == (1500, 32_000)
    assert store.samples.any(axis=1).all()
