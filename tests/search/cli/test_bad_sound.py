"""Bad sound, as each command that reads it meets it: an exit code and a sentence, never a traceback, never a wait."""

import io
import json
import os
import shutil
import socket
import struct

import numpy as np
import pytest
import soundfile

from data.layout import read_scenes

RATE_HZ = 44_100
NOISE = np.random.default_rng(0).normal(0, 0.1, RATE_HZ)


def encoded(sound=NOISE, rate_hz=RATE_HZ, form="WAV", subtype="PCM_16"):
    file = io.BytesIO()
    soundfile.write(file, sound, rate_hz, format=form, subtype=subtype)
    return file.getvalue()


def patched(at, content, raw=None):
    raw = encoded() if raw is None else raw
    return raw[:at] + content + raw[at + len(content) :]


def with_size(size):
    return patched(40, struct.pack("<I", size))


def with_nan():
    return encoded(np.where(np.arange(RATE_HZ) == 77, np.nan, NOISE), subtype="FLOAT")


def pipe(path):
    os.mkfifo(path)


def unix_socket(path):
    here = os.open(path.parent, os.O_RDONLY)  # the path of a socket has at most 107 bytes
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"/proc/self/fd/{here}/{path.name}")
    os.close(here)


def device(path):
    path.symlink_to("/dev/zero")


NO_SOUND = "neither a WAV nor a FLAC file"
LONG = "long; a clip has 1.000 s"
# What lies there: content, or a function of the path; what `predict` says, what training says, and the kind of problem
# that `data check` names. None: it is used.
BAD = {
    "missing": (lambda _: None, "no such file", "No such file or directory", "missing"),
    "no bytes": (b"", "the file has no bytes", "the file has no bytes", "empty"),
    "header only": (encoded(NOISE[:0]), "holds no sample", "holds no sample", "empty"),
    "empty before tags": (encoded(NOISE[:0]) + b"LIST\4\0\0\0INFO", "holds no sample", "holds no sample", "empty"),
    "cut in the header": (encoded()[:30], "ends before the sound starts", "ends before the sound", "truncated"),
    "four bytes": (b"RIFF", NO_SOUND, NO_SOUND, "not WAV"),
    "web page": (b"<!DOCTYPE html><title>Log in</title>", f"{NO_SOUND}: it starts with b'<!DO'", NO_SOUND, "not WAV"),
    "pointer of Git LFS": (b"version https://git-lfs.github.com/spec/v1\n", NO_SOUND, NO_SOUND, "not WAV"),
    "AppleDouble": (bytes.fromhex("0005160700020000") + bytes(4000), NO_SOUND, NO_SOUND, "not WAV"),
    "MP3": (encoded(form="MP3", subtype="MPEG_LAYER_III"), NO_SOUND, NO_SOUND, "not WAV"),
    "AIFF": (encoded(form="AIFF"), NO_SOUND, NO_SOUND, "not WAV"),
    "Wave64": (encoded(form="W64"), NO_SOUND, NO_SOUND, "not WAV"),
    "tag before the WAV": (b"ID3\4\0\0\0\0\0\n" + bytes(10) + encoded(), NO_SOUND, NO_SOUND, "not WAV"),
    "unknown format": (patched(20, b"\x99\x99"), "its header cannot be read", "its header cannot be read", "broken"),
    "no format": (encoded()[:12] + encoded()[36:], "has no format before its sound", "has no format", "truncated"),
    "rate of 0 Hz": (patched(24, bytes(8)), "its header gives 0 samples a second", "0 samples a second", "broken"),
    "rate of 4 GHz": (patched(24, b"\xff" * 4), "its header gives 4,294,967,295 samples", "samples a second", "broken"),
    "rate of 1 Hz": (patched(24, struct.pack("<I", 1)), None, f"44,100.000 s {LONG}", "wrong length"),
    "0 channels": (patched(22, b"\0\0"), "its header cannot be read", "its header cannot be read", "broken"),
    "two channels": (encoded(np.stack([NOISE, NOISE], 1)), None, "2 channels; a clip has one", "wrong channels"),
    "another rate": (encoded(rate_hz=48_000), None, "48,000 Hz, where the data set has 44,100 Hz", "wrong rate"),
    "ten seconds": (encoded(np.tile(NOISE, 10)), None, f"10.000 s {LONG}", "wrong length"),
    "half a second": (encoded(NOISE[:22_050]), None, f"0.500 s {LONG}", "wrong length"),
    "ten milliseconds": (encoded(NOISE[:441]), "0.010 s of sound; at least 0.1 s", f"0.010 s {LONG}", "wrong length"),
    "cut to ten milliseconds": (encoded()[:926], "0.010 s of sound", "it was never finished", "wrong length"),
    "two hours in FLAC": (encoded(np.zeros(7200 * 8000), 8000, "FLAC"), None, f"7,200.000 s {LONG}", "wrong length"),
    "cut FLAC": (encoded(form="FLAC")[:30_000], "cannot be decoded", "cannot be decoded", "broken"),
    "broken FLAC": (b"fLaC" + bytes(100), "its header cannot be read", "its header cannot be read", "broken"),
    "one NaN": (with_nan(), "1 of 44,100 samples are not finite", "1 of 44,100 samples are not finite", "NaN"),
    "infinite": (encoded(NOISE * np.inf, subtype="FLOAT"), "are not finite", "are not finite", "NaN"),
    "too large": (encoded(NOISE * 0 + 3.4e38, subtype="FLOAT"), "too large to be brought", "too large", "silent"),
    "a pipe": (pipe, "it is a pipe, not a regular file", "it is a pipe, not a regular file", "unreadable"),
    "a socket": (unix_socket, "it is a socket, not a regular file", "it is a socket", "unreadable"),
    "a device": (device, "it is a device, not a regular file", "it is a device", "unreadable"),
    "a folder": (lambda path: path.mkdir(), "it is a folder, not a regular file", "it is a folder", "unreadable"),
    "a link to nothing": (lambda path: path.symlink_to("gone"), "no such file", "No such file", "missing"),
    "a link to itself": (lambda path: path.symlink_to(path.name), "cannot be read", "symbolic links", "unreadable"),
    # Used as they are:
    "size of 0": (with_size(0), None, None, None),
    "size of 0x80000000": (with_size(0x80000000), None, None, None),
    "size of 0x7FFFF000": (with_size(0x7FFFF000), None, None, None),
    "size of 0xFFFFFFFF": (with_size(0xFFFFFFFF), None, None, None),
    "44 bytes too many": (with_size(88_244), None, None, None),
    "integers as floats": (encoded(NOISE * 32_767, subtype="FLOAT"), None, None, None),
    "far below 16 bits": (encoded(NOISE * 1e-6, subtype="FLOAT"), None, None, None),
    "FLAC": (encoded(form="FLAC"), None, None, None),
}
NOTED = [name for name in BAD if name.startswith(("size of", "44 bytes"))]
SLOW_TO_PREDICT = ("rate of 1 Hz", "two hours in FLAC")  # minutes; tests/search/artifact/test_streaming.py has them


def put(path, content):
    path.unlink(missing_ok=True)
    content(path) if callable(content) else path.write_bytes(content)


def in_one_sentence(result, code, text):
    assert result.code == code, result.out + result.err
    assert text in result.err
    assert "Traceback" not in result.out + result.err


@pytest.fixture
def data(tiny, tmp_path):
    return shutil.copytree(tiny, tmp_path / "data", ignore=shutil.ignore_patterns(".scenefront"))


@pytest.fixture
def clip(data):
    """An evaluation clip of a data set, to be replaced."""
    scenes = read_scenes(data)
    return data / scenes.clips["filename"][scenes.evaluate[0]]


@pytest.fixture
def train_clip(data):
    """A training clip: a search does not read the others."""
    scenes = read_scenes(data)
    return data / scenes.clips["filename"][scenes.train[0]]


@pytest.mark.parametrize("name", [name for name in BAD if name not in SLOW_TO_PREDICT])
def test_predict_says_what_is_wrong_and_answers_for_the_other_file(run, exported, clip, name):
    content, said, _, _ = BAD[name]
    other = clip.with_name("other.wav")
    other.write_bytes(encoded())
    put(clip, content)
    result = run("predict", exported, clip, other, "--json")
    answered = [each["file"] for each in json.loads(result.out)]
    if said is None:
        assert (result.code, answered) == (0, [str(clip), str(other)])
        assert ("its header gives" in result.err) == (name in NOTED)
        return
    in_one_sentence(result, 2, "1 of 2 files cannot be decoded:")
    in_one_sentence(result, 2, said)
    assert answered == [str(other)]


@pytest.mark.parametrize("name", BAD)
def test_evaluate_refuses_the_data_and_names_the_file(run, exported, data, clip, name):
    content, _, said, _ = BAD[name]
    put(clip, content)
    result = run("evaluate", exported, data)
    if said is None:
        assert result.code == 0, result.err
        return
    in_one_sentence(result, 2, "1 clip cannot be used:")
    in_one_sentence(result, 2, f"{clip.relative_to(data)}: ")
    in_one_sentence(result, 2, said)
    assert not list((data / ".scenefront").glob("*.npy*"))


@pytest.mark.parametrize("command", ["search", "train"])
@pytest.mark.parametrize("name", [name for name, (_, _, said, _) in BAD.items() if said is not None])
def test_search_and_train_refuse_it_before_ray_starts_and_leave_no_study(
    run, data, train_clip, tmp_path, command, name
):
    content, _, said, _ = BAD[name]
    put(train_clip, content)
    settings = ["--space", "isotropic"] if command == "search" else ["isotropic"]
    result = run(command, data, *settings, "--results", tmp_path / "results")
    in_one_sentence(result, 2, "1 clip cannot be used:")
    in_one_sentence(result, 2, said)
    assert not list((tmp_path / "results").rglob("*.db"))


@pytest.mark.parametrize("name", BAD)
def test_data_check_names_the_kind_of_problem(run, data, clip, name):
    content, _, _, kind = BAD[name]
    put(clip, content)
    result = run("data", "check", data)
    if kind is None:
        assert result.code == 0, result.out
        assert ("note: unfinished file: audio/" in result.out) == (name in NOTED)
        return
    assert result.code == 1
    assert f"{kind}: {clip.relative_to(data)}: " in result.out
    assert "Traceback" not in result.out + result.err
