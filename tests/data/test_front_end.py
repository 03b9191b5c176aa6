"""The front ends against their definition, written out here with NumPy alone."""

import numpy as np
import pytest
import torch

from data.front_end import FRONT_ENDS, LOG_FLOOR, FrontEnd, FrontEndConfig, LogMel, draw_top

# name -> (channels, mel bins, frames) of one second, as the reports' networks take it: DCASE 2024 ASCDomain, table 1;
# 2023 TF-SepNet, section 2.2; 2022 BC-ResNet-Mod, section 4.1.1 and the halved sizes in figure 1. The 2021 report
# (256 and 280 bins) used clips of 10 s, and that of the separable CNN leaves the hop open.
PUBLISHED_SHAPES = {
    "bcresnet": (3, 128, 44),
    "cpresnet": (1, 256, 44),
    "cpresnet280": (1, 280, 44),
    "dcase24": (1, 256, 65),
    "sepcnn": (1, 256, 26),
    "tfsepnet": (1, 128, 44),
}
# 0.5 - 0.5 cos is Hann's window, 0.54 - 0.46 cos Hamming's
WINDOW_CONSTANTS = {"hann": 0.5, "hamming": 0.54}


def triangles(config, top_hz=None):
    """Return HTK triangles of height one: (F, frequencies of the transform), and the frequencies where they peak."""
    top = 2595 * np.log10(1 + (top_hz or config.rate_hz / 2) / 700)
    corners = 700 * (10 ** (np.linspace(0, top, config.mel_bins + 2) / 2595) - 1)
    hz = np.linspace(0, config.rate_hz / 2, config.fft // 2 + 1)
    rise = (hz - corners[:-2, None]) / (corners[1:-1] - corners[:-2])[:, None]
    fall = (corners[2:, None] - hz) / (corners[2:] - corners[1:-1])[:, None]
    return np.maximum(0, np.minimum(rise, fall)), corners[1:-1]


def log_mel(waveform, config, gains=1.0, top_hz=None):
    """Return the log-mel, (F, T): periodic window centred in the transform, mirrored ends, energy by gains."""
    padded = np.pad(waveform, config.fft // 2, mode="reflect")
    window = np.zeros(config.fft)
    left = (config.fft - config.window) // 2
    constant = WINDOW_CONSTANTS[config.window_function]
    cosine = np.cos(2 * np.pi * np.arange(config.window) / config.window)
    window[left : left + config.window] = constant - (1 - constant) * cosine
    starts = range(0, len(padded) - config.fft + 1, config.hop)
    power = np.abs(np.fft.rfft([padded[s : s + config.fft] * window for s in starts])) ** 2
    return np.log(np.reshape(gains, (-1, 1)) * (triangles(config, top_hz)[0] @ power.T) + 1e-5)


def slope(x):
    """Return deltas over five frames, the outermost repeated: sum of n (x[t+n] - x[t-n]) over 2 (1 + 4), n = 1, 2."""
    result = np.zeros_like(x)
    last = x.shape[1] - 1
    for t in range(x.shape[1]):
        for n in (1, 2):
            result[:, t] += n * (x[:, min(t + n, last)] - x[:, max(t - n, 0)]) / 10
    return result


def reference(waveform, config):
    first = log_mel(waveform, config)
    return np.stack([first, slope(first), slope(slope(first))] if config.deltas else [first])


@pytest.fixture(params=sorted(FRONT_ENDS))
def front_end(request):
    return FRONT_ENDS[request.param]


@pytest.mark.parametrize("name", sorted(FRONT_ENDS))
def test_shape_is_the_published_one_and_what_comes_out(name):
    config = FRONT_ENDS[name]
    spectrogram = FrontEnd(config)(torch.zeros(2, config.rate_hz))
    assert config.shape() == PUBLISHED_SHAPES[name]
    assert spectrogram.shape == (2, *config.shape())


def test_values_are_those_of_the_definition(front_end):
    waveform = np.random.default_rng(1).normal(0, 0.1, front_end.rate_hz)
    got = FrontEnd(front_end)(torch.tensor(waveform, dtype=torch.float32)[None])[0].numpy()
    np.testing.assert_allclose(got, reference(waveform, front_end), atol=2e-3)


@pytest.mark.parametrize("share", [0.4, 0.6, 0.8, 0.95])
def test_a_tone_is_loudest_in_the_bin_that_peaks_at_it(front_end, share):
    number = round(share * front_end.mel_bins)
    tone_hz = triangles(front_end)[1][number]
    tone = 0.5 * torch.sin(2 * torch.pi * tone_hz * torch.arange(front_end.rate_hz) / front_end.rate_hz)
    loudness = FrontEnd(front_end)(tone[None])[0, 0].mean(dim=1)
    assert loudness.argmax() == number


def test_only_the_lowest_bin_of_sepcnn_holds_no_frequency():
    empty = {name: np.flatnonzero(triangles(config)[0].max(axis=1) == 0) for name, config in FRONT_ENDS.items()}
    assert {name: bins.tolist() for name, bins in empty.items() if bins.size} == {"sepcnn": [0]}
    noise = torch.randn(1, 44_100, generator=torch.Generator().manual_seed(0))
    spectrogram = LogMel(FRONT_ENDS["sepcnn"])(noise)[0, 0]
    assert torch.equal(spectrogram[0], torch.full((26,), LOG_FLOOR))
    assert (spectrogram[1:] > LOG_FLOOR + 1).all()


def test_deltas_are_those_of_the_augmented_log_mel():
    config = FRONT_ENDS["bcresnet"]
    noise = np.random.default_rng(1).normal(0, 0.1, config.rate_hz)

    def silence_a_band(x):
        assert x.shape == (1, 1, 128, 44)
        return x.clone().index_fill(2, torch.arange(20, 60), LOG_FLOOR)

    got = FrontEnd(config)(torch.tensor(noise, dtype=torch.float32)[None], silence_a_band)[0].numpy()
    expected = log_mel(noise, config)
    expected[20:60] = LOG_FLOOR
    np.testing.assert_allclose(got[0], expected, atol=2e-3)
    np.testing.assert_allclose(got[1], slope(expected), atol=2e-3)
    np.testing.assert_allclose(got[2], slope(slope(expected)), atol=2e-3)
    assert not got[1:, 20:60].any()


def test_gains_are_factors_on_the_energy_of_each_clips_bins(front_end):
    rng = np.random.default_rng(1)
    clips = rng.normal(0, 0.1, (6, front_end.rate_hz))
    gains = rng.uniform(0.01, 20, (6, front_end.mel_bins))
    gains[0] = 0
    got = FrontEnd(front_end)(torch.tensor(clips, dtype=torch.float32), gains=torch.tensor(gains, dtype=torch.float32))
    for clip, gain, spectrogram in zip(clips, gains, got[:, 0].numpy(), strict=True):
        np.testing.assert_allclose(spectrogram, log_mel(clip, front_end, gain), atol=2e-3)
    assert torch.allclose(got[0, 0], torch.tensor(LOG_FLOOR))


@pytest.mark.parametrize("share", [0.95, 0.7, 0.5])
def test_a_bank_may_end_below_half_the_rate(front_end, share):
    top_hz = share * front_end.rate_hz / 2
    clip = np.random.default_rng(1).normal(0, 0.1, front_end.rate_hz)
    ears = FrontEnd(front_end)
    waveforms = torch.tensor(clip, dtype=torch.float32)[None]
    first, again = ears(waveforms, top_hz=top_hz), ears(waveforms, top_hz=top_hz)
    np.testing.assert_allclose(first[0, 0].numpy(), log_mel(clip, front_end, top_hz=top_hz), atol=2e-3)
    assert torch.equal(first, again)
    assert torch.equal(ears(waveforms, top_hz=front_end.rate_hz / 2), ears(waveforms))


def test_gains_of_a_lower_bank_are_those_of_the_frequencies_where_its_bins_peak():
    config = FRONT_ENDS["tfsepnet"]
    clip = np.random.default_rng(1).normal(0, 0.1, config.rate_hz)
    gains = np.random.default_rng(2).uniform(0.1, 10, config.mel_bins)
    peaks, lower_peaks = triangles(config)[1], triangles(config, 11_000)[1]
    there = np.interp(np.log10(1 + lower_peaks / 700), np.log10(1 + peaks / 700), gains)
    waveforms = torch.tensor(clip, dtype=torch.float32)[None]
    got = LogMel(config)(waveforms, torch.tensor(gains, dtype=torch.float32)[None], 11_000)[0, 0].numpy()
    np.testing.assert_allclose(got, log_mel(clip, config, there, 11_000), atol=2e-3)


def test_gains_of_another_shape_and_tops_that_are_none_are_refused():
    ears, clips = FrontEnd(FRONT_ENDS["tfsepnet"]), torch.zeros(2, 32_000)
    with pytest.raises(ValueError, match=r"gains must be \(2, 128\), a factor a clip and mel bin, got \(1, 128\)"):
        ears(clips, gains=torch.ones(1, 128))
    for top_hz in (0, 16_001):
        with pytest.raises(
            ValueError, match=f"top_hz must be over 0 and up to half the sample rate, 16000, got {top_hz}"
        ):
            ears(clips, top_hz=top_hz)


def test_tops_are_drawn_from_32_even_steps():
    torch.manual_seed(5)
    drawn = sorted({draw_top(0.31, 20_000) for _ in range(600)})
    np.testing.assert_allclose(drawn, np.arange(6_900, 10_001, 100))
    with pytest.raises(ValueError, match="max_drop must be at least 0 and below 1, got 1"):
        draw_top(1, 20_000)


def test_silence_is_the_floor():
    assert torch.allclose(LogMel(FrontEndConfig())(torch.zeros(1, 32_000)), torch.tensor(LOG_FLOOR))
    assert pytest.approx(np.log(1e-5)) == LOG_FLOOR


@pytest.mark.parametrize("name", ["dcase24", "bcresnet"])
def test_mixed_precision_leaves_the_spectrogram_alone(name):
    front_end = FrontEnd(FRONT_ENDS[name])
    clips = torch.randn(2, 32_000, generator=torch.Generator().manual_seed(0)) * 1e-3
    with torch.autocast("cpu", torch.bfloat16):
        mixed = front_end(clips)
    assert torch.equal(mixed, front_end(clips))


def test_it_learns_nothing():
    assert not list(FrontEnd(FrontEndConfig()).parameters())


@pytest.mark.parametrize("shape", [(32_000,), (1, 1, 32_000), (1, 2_048)])
def test_a_batch_of_another_form_is_refused(shape):
    with pytest.raises(ValueError, match=r"waveforms must be \(B, S\) with S > 2048, got"):
        LogMel(FrontEndConfig())(torch.zeros(shape))


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"hop": 0}, "hop must be at least 1, got 0"),
        ({"window": 5000}, "window must fit into fft, got 5000 > 4096"),
        ({"window_function": "han"}, "window_function must be hann or hamming, got 'han'"),
    ],
)
def test_sizes_that_make_no_spectrogram_are_refused(sizes, message):
    with pytest.raises(ValueError, match=message):
        FrontEndConfig(**sizes)
