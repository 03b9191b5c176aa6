"""A sound file in pieces is the file as a whole, whatever its format, rate and channels."""

import numpy as np
import pytest
import soundfile
import torch
import torchaudio

from data.errors import DataError
from data.sound_file import PIECE_S, read_pieces

RATE_HZ = 8_000  # to resample to: what is tested is how pieces meet


def noise(duration_s, rate_hz, channels=1):
    samples = np.random.default_rng(0).normal(0, 0.1, (round(duration_s * rate_hz), channels))
    return samples.astype(np.float32)


@pytest.mark.parametrize("suffix", ["wav", "flac"])
@pytest.mark.parametrize(("rate_hz", "channels"), [(8_000, 1), (11_025, 2), (44_100, 6), (4_000, 1)])
@pytest.mark.parametrize("duration_s", [0.3, 1.0, PIECE_S, PIECE_S + 0.001, 2 * PIECE_S + 3.7])
def test_pieces_are_those_of_the_file_resampled_as_a_whole(tmp_path, suffix, rate_hz, channels, duration_s):
    path = tmp_path / f"noise.{suffix}"
    soundfile.write(path, noise(duration_s, rate_hz, channels), rate_hz, subtype="PCM_16")
    whole = torch.from_numpy(soundfile.read(path, dtype="float32", always_2d=True)[0].mean(axis=1))
    expected = torchaudio.functional.resample(whole, rate_hz, RATE_HZ)
    pieces = list(read_pieces(path, RATE_HZ))
    np.testing.assert_allclose(torch.cat([piece.sound for piece in pieces]), expected, atol=1e-5)
    assert [piece.is_last for piece in pieces] == [False] * (len(pieces) - 1) + [True]
    assert all(len(piece.sound) == PIECE_S * RATE_HZ for piece in pieces[:-1])
    for number, piece in enumerate(pieces):
        start = number * PIECE_S * RATE_HZ
        before = expected[max(0, start - RATE_HZ) : start]
        np.testing.assert_allclose(piece.before, before, atol=1e-5)


def text(path):
    path.write_text("this is no sound\n")


def empty(path):
    path.write_bytes(b"")


def no_sample(path):
    soundfile.write(path, np.zeros((0, 1)), 8_000, format="WAV")


def cut_flac(path):
    soundfile.write(path, noise(1, 8_000), 8_000, format="FLAC")
    path.write_bytes(path.read_bytes()[:5000])


def broken_flac(path):
    path.write_bytes(b"fLaC" + bytes(100))


def not_finite(path):
    samples = noise(1, 8_000)
    samples[7] = np.nan
    soundfile.write(path, samples, 8_000, format="WAV", subtype="FLOAT")


def strange_rate(path):
    soundfile.write(path, np.zeros((100, 1)), 7_919_993, format="WAV")


def rate_without_common_divisor(path):
    soundfile.write(path, np.zeros((100, 1)), 1_048_573, format="WAV")


def too_large(path):
    soundfile.write(path, np.full((8_000, 1), 3.4e38), 11_025, format="WAV", subtype="FLOAT")


def missing(path):
    pass


def folder(path):
    path.mkdir()


REFUSED = {
    text: "neither a WAV nor a FLAC file: it starts with b'this'",
    empty: "the file has no bytes",
    no_sample: "holds no sample",
    cut_flac: r"cannot be decoded|decodes to [\d,]+ samples of 8,000",
    broken_flac: "its header cannot be read",
    not_finite: "1 of 8,000 samples are not finite numbers",
    strange_rate: "its header gives 7,919,993 samples a second; 1 to 1,048,575 can be read",
    rate_without_common_divisor: "1,048,573 Hz cannot be resampled to 8,000 Hz",
    missing: "no such file",
    folder: r"cannot be read \(it is a folder, not a regular file; name a file in it\)",
    too_large: "its samples are too large to be brought to 8,000 Hz",
}


@pytest.mark.parametrize("make", REFUSED, ids=lambda make: make.__name__)
def test_what_holds_no_sound_is_refused_with_the_reason(tmp_path, make):
    path = tmp_path / "sound"
    make(path)
    with pytest.raises(DataError, match=REFUSED[make]):
        list(read_pieces(path, RATE_HZ))
