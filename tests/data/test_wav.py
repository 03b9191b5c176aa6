"""WAV files: every sample format comes out the same, and every kind of broken file is distinguished."""

import os
import socket
import struct
from pathlib import Path

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


def unfinished(raw, size):
    at = raw.index(b"data") + 4
    return raw[:at] + struct.pack("<I", size) + raw[at + 4 :]


@pytest.mark.parametrize("size", [0, 0x80000000, 0x7FFFF000, 0xFFFFFFFF, 8864, 9000])
@pytest.mark.parametrize("before", [b"", b"JUNK" + struct.pack("<I", 4044) + bytes(4044)])
def test_a_file_that_was_never_finished_is_read_to_its_end_with_a_note(tmp_path, size, before):
    path = tmp_path / "killed.wav"
    soundfile.write(path, TONE, 44_100, subtype="PCM_16")
    whole = read_wav(path)
    raw = path.read_bytes()
    at = raw.index(b"data")
    path.write_bytes(unfinished(raw[:at] + before + raw[at:], size))
    header = read_header(path)
    assert (header.frames, header.channels, header.rate_hz) == (4410, 1, 44_100)
    given = f"{size:,}" if size else "no"
    assert header.note.startswith(f"its header gives {given} bytes of sound, 8,820 are there")
    np.testing.assert_array_equal(read_wav(path), whole)


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_24", "FLOAT", "DOUBLE", "ULAW", "IMA_ADPCM", "MS_ADPCM", "GSM610"])
def test_an_unfinished_file_of_any_format_decodes_to_what_it_held(tmp_path, subtype):
    path = tmp_path / "killed.wav"
    soundfile.write(path, TONE, 8_000, subtype=subtype)
    whole = read_wav(path)
    path.write_bytes(unfinished(path.read_bytes(), 0x80000000))
    np.testing.assert_array_equal(read_wav(path), whole)


def test_a_size_of_zero_before_other_chunks_is_an_empty_recording(tmp_path):
    path = tmp_path / "empty.wav"
    soundfile.write(path, TONE[:0], 44_100, subtype="PCM_16")
    path.write_bytes(path.read_bytes() + b"LIST" + struct.pack("<I", 4) + b"INFO")
    with pytest.raises(WavError, match="holds no sample"):
        read_header(path)


@pytest.mark.parametrize("padding", [b"", b"\0"])
def test_a_chunk_of_odd_length_may_lack_its_padding(tmp_path, padding):
    path = tmp_path / "odd.wav"
    soundfile.write(path, TONE, 44_100, subtype="PCM_16")
    raw = path.read_bytes()
    at = raw.index(b"data")
    path.write_bytes(raw[:at] + b"LIST" + struct.pack("<I", 13) + b"INFOISFT\1\0\0\0x" + padding + raw[at:])
    np.testing.assert_allclose(read_wav(path)[0], TONE, atol=2**-15)
    assert read_header(path).note == ""


def test_a_file_beyond_four_gigabytes_is_read_to_its_end(tmp_path):
    path = tmp_path / "long.wav"
    soundfile.write(path, TONE[:0], 44_100, subtype="PCM_16")
    with path.open("r+b") as file:  # sparse: of zeros
        file.truncate(5_000_000_044)
    assert read_header(path).frames == 2_500_000_000


def test_a_file_of_zeros_after_its_first_bytes_is_refused_at_once(tmp_path):
    path = tmp_path / "zeros.wav"
    with path.open("wb") as file:
        file.write(b"RIFF\0\0\0\0WAVE")
        file.truncate(4_000_000_000)
    with pytest.raises(WavError, match="ends before the sound starts"):
        read_header(path)


def test_flac_and_bw64_are_read_as_wav_is(tmp_path):
    soundfile.write(tmp_path / "tone.flac", TONE, 44_100, subtype="PCM_16")
    soundfile.write(tmp_path / "tone.wav", TONE, 44_100, format="RF64", subtype="PCM_16")
    raw = (tmp_path / "tone.wav").read_bytes()
    (tmp_path / "tone.wav").write_bytes(b"BW64" + raw[4:])
    for name in ("tone.flac", "tone.wav"):
        assert read_header(tmp_path / name) == WavHeader(44_100, 1, 4410)
        np.testing.assert_allclose(read_wav(tmp_path / name)[0], TONE, atol=2**-15)


def test_what_is_no_regular_file_is_refused_and_never_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
    for path, kind in ((tmp_path / "pipe", "pipe"), (tmp_path / "socket", "socket"), (Path("/dev/zero"), "device")):
        with pytest.raises(WavError, match=f"it is a {kind}, not a regular file; write its content to a file first"):
            read_header(path)


def damaged(raw, damage):
    at = raw.index(b"data") + 4
    return {
        "empty file": b"",
        "no sample": raw[:at] + struct.pack("<I", 0),
        "text": b"<html>404 Not Found</html>",
        "four bytes": raw[:4],
        "cut in the header": raw[:30],
        "unknown format": raw.replace(b"fmt \x10\x00\x00\x00\x01\x00", b"fmt \x10\x00\x00\x00\x99\x99"),
    }[damage]


@pytest.mark.parametrize(
    ("damage", "fault", "detail"),
    [
        ("empty file", "empty", "the file has no bytes"),
        ("no sample", "empty", "holds no sample"),
        ("text", "not WAV", "neither a WAV nor a FLAC file: it starts with b'<htm'"),
        ("four bytes", "not WAV", "neither a WAV nor a FLAC file: it starts with b'RIFF'"),
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
