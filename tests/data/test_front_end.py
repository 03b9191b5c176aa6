"""The log-mel front end against its definition, written out here with NumPy alone."""

import numpy as np
import pytest
import torch

from data.front_end import FRONT_ENDS, LOG_FLOOR, FrontEndConfig, LogMel

# name -> (channels, mel bins, frames) of one second: the table of front ends of the 2024 report and baseline
PUBLISHED_SHAPES = {"dcase24": (1, 256, 65)}


def reference(waveform, config):
    """Periodic Hann window centred in the transform, mirrored ends, HTK triangles of height one."""
    padded = np.pad(waveform, config.fft // 2, mode="reflect")
    window = np.zeros(config.fft)
    left = (config.fft - config.window) // 2
    window[left : left + config.window] = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(config.window) / config.window)
    starts = range(0, len(padded) - config.fft + 1, config.hop)
    power = np.abs(np.fft.rfft([padded[s : s + config.fft] * window for s in starts])) ** 2
    top = 2595 * np.log10(1 + config.rate_hz / 2 / 700)
    corners = 700 * (10 ** (np.linspace(0, top, config.mel_bins + 2) / 2595) - 1)
    hz = np.linspace(0, config.rate_hz / 2, config.fft // 2 + 1)
    rise = (hz - corners[:-2, None]) / (corners[1:-1] - corners[:-2])[:, None]
    fall = (corners[2:, None] - hz) / (corners[2:] - corners[1:-1])[:, None]
    return np.log(np.maximum(0, np.minimum(rise, fall)) @ power.T + 1e-5)


@pytest.mark.parametrize("name", sorted(FRONT_ENDS))
def test_shape_is_the_published_one_and_what_comes_out(name):
    config = FRONT_ENDS[name]
    spectrogram = LogMel(config)(torch.zeros(2, config.rate_hz))
    assert config.shape() == PUBLISHED_SHAPES[name]
    assert spectrogram.shape == (2, *config.shape())


def test_values_are_those_of_the_definition():
    config = FRONT_ENDS["dcase24"]
    waveform = np.random.default_rng(1).normal(0, 0.1, 32_000)
    expected = reference(waveform, config)
    got = LogMel(config)(torch.tensor(waveform, dtype=torch.float32)[None])[0, 0].numpy()
    np.testing.assert_allclose(got, expected, atol=2e-3)


def test_silence_is_the_floor():
    assert torch.allclose(LogMel(FrontEndConfig())(torch.zeros(1, 32_000)), torch.tensor(LOG_FLOOR))
    assert pytest.approx(np.log(1e-5)) == LOG_FLOOR


def test_mixed_precision_leaves_the_spectrogram_alone():
    front_end = LogMel(FrontEndConfig())
    clips = torch.randn(2, 32_000, generator=torch.Generator().manual_seed(0)) * 1e-3
    with torch.autocast("cpu", torch.bfloat16):
        mixed = front_end(clips)
    assert torch.equal(mixed, front_end(clips))


def test_it_learns_nothing():
    assert not list(LogMel(FrontEndConfig()).parameters())


@pytest.mark.parametrize("shape", [(32_000,), (1, 1, 32_000), (1, 2_048)])
def test_a_batch_of_another_form_is_refused(shape):
    with pytest.raises(ValueError, match=r"waveforms must be \(B, S\) with S > 2048, got"):
        LogMel(FrontEndConfig())(torch.zeros(shape))


@pytest.mark.parametrize(
    ("sizes", "says"),
    [
        ({"hop": 0}, "hop must be at least 1, got 0"),
        ({"window": 5000}, "window must fit into fft, got 5000 > 4096"),
    ],
)
def test_sizes_that_make_no_spectrogram_are_refused(sizes, says):
    with pytest.raises(ValueError, match=says):
        FrontEndConfig(**sizes)
