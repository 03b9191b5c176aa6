"""Identity of a store is content: another sound is noticed, whatever its size and times, and a copy is not decoded."""

import hashlib
import os
import shutil
import time

import numpy as np
import pytest
import soundfile

from data.file_hashes import INDEX, YOUNG_NS, FileHashes, hash_file, read_states
from data.layout import read_scenes
from data.store import open_store


@pytest.fixture(autouse=True)
def user_cache(tmp_path, monkeypatch):
    """No test writes to the real one."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user-cache"))


def clips(root):
    return sorted((root / "audio").iterdir())


def make_old(paths):
    """Set the change time of files far enough in the past to be trusted: wait."""
    newest = max(path.stat().st_ctime_ns for path in paths)
    time.sleep(max(0, newest + YOUNG_NS + 10_000_000 - time.time_ns()) / 1e9)


@pytest.mark.parametrize("text", [None, b"", b"3 32000\n\xff"])
def test_a_store_whose_manifest_is_lost_or_spoilt_is_written_again(root, text):
    calls = []
    old = open_store(read_scenes(root), 32_000)
    beside = old.path.with_suffix(".clips")
    beside.unlink() if text is None else beside.write_bytes(text)
    new = open_store(read_scenes(root), 32_000, progress=lambda *done: calls.append(done))
    assert (calls, new.path) == ([(12, 12)], old.path)
    np.testing.assert_array_equal(new.samples, old.samples)


@pytest.mark.parametrize("text", [None, b"", b"1 0000000000000000\n\xff"])
def test_an_index_that_is_lost_or_spoilt_costs_no_decoding(root, text):
    calls = []
    make_old(clips(root))
    old = open_store(read_scenes(root), 32_000)
    index = root / ".scenefront" / INDEX
    index.unlink() if text is None else index.write_bytes(text)
    assert open_store(read_scenes(root), 32_000, progress=lambda *done: calls.append(done)).path == old.path
    assert calls == []


def replace_keeping_size_and_time(path, sound):
    before = path.stat()
    soundfile.write(path, sound, 44_100, subtype="PCM_16")
    assert path.stat().st_size == before.st_size
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("is_old", [True, False])
def test_another_sound_of_the_same_size_and_modification_time_is_noticed(root, is_old):
    scenes = read_scenes(root)
    if is_old:
        make_old(clips(root))
    before = open_store(scenes, 32_000).read(scenes.used)
    sound = np.random.default_rng(1).uniform(-0.5, 0.5, 44_100)
    replace_keeping_size_and_time(root / scenes.clips["filename"][3], sound)
    after = open_store(scenes, 32_000)
    changed = [not np.array_equal(*pair) for pair in zip(before, after.read(scenes.used), strict=True)]
    assert changed == [row == 3 for row in range(12)]
    assert len(list((root / ".scenefront").glob("*.npy"))) == 1


def test_files_that_are_touched_copied_or_moved_are_not_decoded_again(root, tmp_path):
    calls = []

    def opened(folder, cache=None):
        return open_store(read_scenes(folder), 32_000, cache, lambda *done: calls.append(done))

    first = opened(root)
    for path in clips(root):
        path.touch()
    assert opened(root).path == first.path
    copied = shutil.copytree(root, tmp_path / "copied")
    assert opened(copied).path == copied / ".scenefront" / first.path.name
    moved = copied.rename(tmp_path / "moved")
    assert opened(moved).path == moved / ".scenefront" / first.path.name
    assert calls == [(12, 12)]
    in_cache = opened(root, tmp_path / "cache")
    assert calls == [(12, 12)] * 2
    assert opened(moved, tmp_path / "cache").path == in_cache.path
    assert calls == [(12, 12)] * 2


def test_two_names_that_change_places_change_their_clips(root):
    scenes = read_scenes(root)
    store = open_store(scenes, 32_000)
    first, second = (root / scenes.clips["filename"][row] for row in (0, 1))
    first.rename(root / "kept")
    second.rename(first)
    (root / "kept").rename(second)
    again = open_store(scenes, 32_000)
    assert again.path == store.path
    np.testing.assert_array_equal(again.read(np.array([0, 1])), store.read(np.array([1, 0])))


def test_an_unchanged_file_that_is_old_enough_is_not_read_again(root):
    scenes = read_scenes(root)
    make_old(clips(root))
    open_store(scenes, 32_000)
    states = read_states(root, scenes.clips["filename"])
    known = FileHashes([root / ".scenefront"])
    assert known.of(root / "nowhere", states) == [hash_file(root / name) for name in scenes.clips["filename"]]
    clips(root)[0].chmod(0o600)  # changes the change time
    with pytest.raises(FileNotFoundError):
        known.of(root / "nowhere", read_states(root, scenes.clips["filename"]))


def test_a_store_of_the_format_before_is_rebuilt_and_not_trusted(root):
    folder = root / ".scenefront"
    folder.mkdir()
    scenes = read_scenes(root)
    names = scenes.clips["filename"].tolist()
    # As the version before wrote it: names with size and modification time, and samples without a scale.
    stats = [(root / name).stat() for name in names]
    states = [f"{name}\t{each.st_size}\t{each.st_mtime_ns}" for name, each in zip(names, stats, strict=True)]
    text = "\n".join(["2 32000", *states]).encode()
    old = folder / f"waveforms-32000hz-{hashlib.sha256(text).hexdigest()[:16]}.npy"
    np.save(old, np.full((12, 32_000), 7, np.int16))
    old.with_suffix(".clips").write_bytes(text)
    assert open_store(scenes, 32_000).read(scenes.used).std() > 0.1
    assert not old.exists()
    assert not old.with_suffix(".clips").exists()
