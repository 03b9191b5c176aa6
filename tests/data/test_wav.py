"""WAV files: every sample format comes out the same, and every kind of broken file is distinguished."""

import struct

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from data.wav import WavError, WavHeader, read_header, read_wav

TONE = 0.5 * np.sin(2 * np.pi * 440 * np.arange(4410) / 44_100)


@pytest.mark.parametrize(
    ("form", "subtype", "error"),
    [
        ("WAV", "PCM_U8", 2**-7),
        ("WAV", "PCM_16", 2**-15),
        ("WAV", "PCM_24", 2**-23),
        ("WAV", "PCM_32", 1e-7),
        ("WAV", "FLOAT", 1e-7),
        ("WAV", "DOUBLE", 1e-7),
        ("WAV", "ULAW", 2**-5),
        ("WAV", "ALAW", 2**-5),
        ("WAVEX", "PCM_16", 2**-15),
        ("RF64", "PCM_24", 2**-23),
    ],
)
def test_every_sample_format_is_read(tmp_path, form, subtype, error):
    path = tmp_path / "tone.wav"
    soundfile.write(path, TONE, 44_100, format=form, subtype=subtype)
    assert read_header(path) == WavHeader(44_100, 1, 4410)
    np.testing.assert_allclose(read_wav(path)[0], TONE, atol=error)


def test_big_endian_is_read(tmp_path):
    soundfile.write(tmp_path / "tone.wav", TONE, 44_100, subtype="PCM_16", endian="BIG")
    np.testing.assert_allclose(read_wav(tmp_path / "tone.wav")[0], TONE, atol=2**-15)


def test_channels_come_first(tmp_path):
    soundfile.write(tmp_path / "two.wav", np.stack([TONE, -TONE], axis=1), 44_100, subtype="FLOAT")
    assert read_header(tmp_path / "two.wav").channels == 2
    left, right = read_wav(tmp_path / "two.wav")
    np.testing.assert_array_equal(left, -right)


def test_a_tone_is_the_same_tone_at_another_rate(tmp_path):
    soundfile.write(tmp_path / "tone.wav", TONE, 44_100, subtype="FLOAT")
    resampled = read_wav(tmp_path / "tone.wav", 32_000)[0]
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(3200) / 32_000)
    assert len(resampled) == 3200
    np.testing.assert_allclose(resampled[50:-50], expected[50:-50], atol=2e-3)


def test_a_size_that_was_never_filled_in_means_the_rest_of_the_file(tmp_path):
    path = tmp_path / "piped.wav"
    soundfile.write(path, TONE, 44_100, subtype="PCM_16")
    raw = bytearray(path.read_bytes())
    at = raw.index(b"data") + 4
    raw[at : at + 4] = struct.pack("<I", 0xFFFFFFFF)
    path.write_bytes(raw)
    assert read_wav(path).shape == (1, 4410)


def damaged(raw, damage):
    at = raw.index(b"data") + 4
    return {
        "empty file": b"",
        "no sample": raw[:at] + struct.pack("<I", 0),
        "text": b"<html>404 Not Found</html>",
        "four bytes": raw[:4],
        "cut in the sound": raw[:-1000],
        "cut in the header": raw[:30],
        "unknown format": raw.replace(b"fmt \x10\x00\x00\x00\x01\x00", b"fmt \x10\x00\x00\x00\x99\x99"),
    }[damage]


@pytest.mark.parametrize(
    ("damage", "fault", "detail"),
    [
        ("empty file", "empty", "the file has no bytes"),
        ("no sample", "empty", "holds no sample"),
        ("text", "not WAV", "not a WAV file: it starts with b'<htm'"),
        ("four bytes", "not WAV", "not a WAV file: it starts with b'RIFF'"),
        ("cut in the sound", "truncated", "its header promises 8,820 bytes of sound, 7,820 are there"),
        ("cut in the header", "truncated", "ends before the sound starts"),
        ("unknown format", "broken", "its header cannot be read: "),
    ],
)
@pytest.mark.parametrize("read", [read_header, read_wav])
def test_kinds_of_damage_are_distinguished(tmp_path, damage, fault, detail, read):
    path = tmp_path / "clip.wav"
    soundfile.write(path, TONE, 44_100, subtype="PCM_16")
    path.write_bytes(damaged(path.read_bytes(), damage))
    with pytest.raises(WavError) as caught:
        read(path)
    assert (caught.value.path, caught.value.fault) == (path, fault)
    assert str(caught.value).startswith(f"{path}: {detail}")


def test_what_is_not_there_is_missing_and_a_folder_is_unreadable(tmp_path):
    for path, fault in ((tmp_path / "none.wav", "missing"), (tmp_path, "unreadable")):
        with pytest.raises(WavError) as caught:
            read_header(path)
        assert caught.value.fault == fault


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_no_numbers_are_counted(tmp_path, value):
    samples = TONE.copy()
    samples[10:12] = value
    soundfile.write(tmp_path / "clip.wav", samples, 44_100, subtype="FLOAT")
    with pytest.raises(WavError, match=r"clip\.wav: 2 of 4,410 samples are not finite numbers"):
        read_wav(tmp_path / "clip.wav")


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("scratch") / "clip.wav"


@settings(max_examples=150, deadline=None)
@given(
    changes=st.dictionaries(st.integers(0, 80), st.integers(0, 255), min_size=1, max_size=6),
    subtype=st.sampled_from(["PCM_16", "FLOAT", "IMA_ADPCM", "MS_ADPCM", "ULAW", "GSM610"]),
)
def test_no_damage_to_a_header_is_another_error(scratch, changes, subtype):
    soundfile.write(scratch, TONE[:1000], 8_000, subtype=subtype)
    raw = bytearray(scratch.read_bytes())
    for at, value in changes.items():
        raw[at] = value
    scratch.write_bytes(raw)
    try:
        header = read_header(scratch)
        samples = read_wav(scratch) if header.frames < 1e6 else np.zeros((header.channels, header.frames))
    except WavError:
        return
    assert samples.shape == (header.channels, header.frames)
