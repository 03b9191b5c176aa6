"""Level of a clip: nothing of it is lost in 16 bits, and ordinary sound keeps its level."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from data.level import MAX_PEAK, MIN_PEAK, hear, level_gain, quantize

NOISE = np.random.default_rng(0).normal(0, 0.1, 8_000).astype(np.float32)


def heard(waveform):
    return quantize(waveform[None]).to_float()[0]


@pytest.mark.parametrize("peak", [32, 77, 9_000, 32_767])
def test_sound_of_16_bits_is_stored_exactly(peak):
    steps = np.random.default_rng(0).integers(-peak, peak, 8_000, endpoint=True)
    waveform = (steps / 32_768).astype(np.float32)
    np.testing.assert_array_equal(heard(waveform), waveform)


@given(decibels=st.floats(-800, 700), shape=st.integers(0, 100))
def test_no_level_loses_more_than_a_step_of_the_peak(decibels, shape):
    waveform = NOISE[shape:].astype(np.float64) * 10 ** (decibels / 20)
    waveform = waveform.astype(np.float32)
    peak = float(np.abs(waveform).max())
    expected = waveform.astype(np.float64) * level_gain(peak)
    np.testing.assert_allclose(heard(waveform), expected, atol=np.abs(expected).max() * 2**-15)


@given(st.floats(1e-37, 1e37))
def test_the_level_rises_with_the_peak_and_stays_in_the_range_of_the_front_end(peak):
    assert MIN_PEAK * 0.9999 <= peak * level_gain(peak) <= MAX_PEAK * 1.0001
    if MIN_PEAK <= peak <= MAX_PEAK:
        assert level_gain(peak) == 1


def test_silence_stays_silence_and_scales_are_powers_of_two():
    clips = np.stack([NOISE * 0, NOISE, NOISE * 100, NOISE / 1e6])
    stored = quantize(clips)
    assert not stored.to_float()[0].any()
    assert (np.frexp(stored.scales)[0] == 0.5).all()
    assert torch.equal(hear(torch.from_numpy(clips)), torch.from_numpy(stored.to_float()))


def test_what_was_heard_is_heard_the_same_again():
    once = hear(torch.from_numpy(np.stack([NOISE * 0.3, NOISE * 100, NOISE / 1e6])))
    torch.testing.assert_close(hear(once), once, rtol=0, atol=2**-15)
