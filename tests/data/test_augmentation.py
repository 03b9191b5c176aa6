"""Augmentation does what its report says to each clip of a batch, and nothing to the others."""

import numpy as np
import pytest
import soundfile
import torch

from data.augmentation import ImpulseResponses, mask_frequency, mix_style, roll
from data.errors import DataError
from data.front_end import LOG_FLOOR


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(5)


def spectrograms(batch=64, bins=32, frames=20):
    # Each clip and bin with a mean and a deviation of its own.
    level = torch.randn(batch, 1, bins, 1) * 3
    return level + torch.randn(batch, 1, bins, frames) * torch.rand(batch, 1, bins, 1).add(0.5)


def test_roll_rotates_each_clip_by_its_own_shift():
    clips = torch.arange(1000.0).repeat(400, 1)
    rolled = roll(clips, 0.01, 1000)
    shifts = rolled[:, 0].neg().remainder(1000)
    shifts = torch.where(shifts > 500, shifts - 1000, shifts).int()
    for clip, shift in zip(rolled, shifts, strict=True):
        assert torch.equal(clip, clips[0].roll(int(shift)))
    assert set(shifts.tolist()) == set(range(-10, 11))


def test_roll_of_nothing_changes_nothing():
    clips = torch.randn(3, 100)
    assert torch.equal(roll(clips, 0.0, 1000), clips)
    with pytest.raises(ValueError, match="max_s must be at least 0"):
        roll(clips, -0.1, 1000)


def test_mask_silences_one_band_of_each_clip_and_keeps_the_rest():
    x = spectrograms(2000)
    masked = mask_frequency(x, 8)
    silent = (masked == LOG_FLOOR).all(dim=3)[:, 0]
    assert torch.equal(masked[:, 0][~silent], x[:, 0][~silent])
    edges = silent.int().diff(dim=1, prepend=torch.zeros(2000, 1), append=torch.zeros(2000, 1)).abs().sum(1)
    assert set(edges.tolist()) == {0, 2}
    widths = torch.bincount(silent.sum(1))
    assert len(widths) == 9
    # 2,000 clips over 9 widths: 222 of each, give or take five standard deviations.
    assert widths.min() > 150
    assert widths.max() < 300
    assert silent.any(dim=0).all()


@pytest.mark.parametrize("max_bins", [-1, 33])
def test_a_mask_wider_than_the_spectrogram_is_refused(max_bins):
    with pytest.raises(ValueError, match=rf"max_bins must be in 0\.\.32, got {max_bins}"):
        mask_frequency(spectrograms(), max_bins)


def test_a_mask_may_be_as_wide_as_the_spectrogram():
    widths = (mask_frequency(spectrograms(500), 32) == LOG_FLOOR).all(dim=3).sum(dim=(1, 2))
    assert widths.max() == 32
    assert torch.equal(mask_frequency(x := spectrograms(), 0), x)


def test_mixed_style_is_a_blend_of_two_clips_and_keeps_the_pattern():
    x = spectrograms()
    mixed = mix_style(x, 1.0, 0.3)
    mean, new_mean = x.mean((1, 3)), mixed.mean((1, 3))
    # Each new mean lies on the line between the clip's own and that of one other clip.
    step, lines = new_mean - mean, mean[None] - mean[:, None]
    share = (step[:, None] * lines).sum(2) / lines.square().sum(2).clamp(min=1e-9)
    miss = (step[:, None] - share[..., None] * lines).norm(dim=2)
    assert (miss.min(dim=1).values < 1e-3).all()
    best = share.gather(1, miss.argmin(1, keepdim=True))
    assert best.min() > -1e-3
    assert best.max() < 1 + 1e-3
    standard = (mixed - mixed.mean(3, keepdim=True)) / mixed.std(3, keepdim=True)
    torch.testing.assert_close(standard, (x - x.mean(3, keepdim=True)) / x.std(3, keepdim=True), atol=1e-3, rtol=0)


def test_style_is_mixed_in_a_share_p_of_the_batches():
    x = spectrograms(4, 4, 4)
    changed = sum(not torch.equal(mix_style(x, 0.4, 0.3), x) for _ in range(1000))
    assert 330 < changed < 470
    assert torch.equal(mix_style(x, 0.0, 0.3), x)


def test_clips_of_one_style_keep_it():
    x = spectrograms(1).repeat(8, 1, 1, 1)
    torch.testing.assert_close(mix_style(x, 1.0, 0.3), x)


def test_a_bin_without_change_stays_finite():
    assert mix_style(torch.full((4, 1, 8, 5), LOG_FLOOR), 1.0, 0.3).isfinite().all()


@pytest.mark.parametrize(
    ("p", "alpha", "message"), [(1.5, 0.3, r"p must be in 0\.\.1"), (0.5, 0.0, "alpha must be over 0")]
)
def test_mix_style_refuses_what_is_no_probability(p, alpha, message):
    with pytest.raises(ValueError, match=message):
        mix_style(spectrograms(4), p, alpha)


def test_every_augmentation_repeats_with_the_seed(responses_folder):
    responses = ImpulseResponses.load(responses_folder, 32_000)

    def augmented():
        torch.manual_seed(11)
        clips = roll(torch.ones(16, 500).cumsum(1), 0.1, 1000)
        clips = responses.apply(clips, torch.ones(16, dtype=torch.bool), 0.5)
        return clips, mix_style(mask_frequency(torch.ones(16, 1, 8, 4).cumsum(2), 4), 1.0, 0.3)

    for first, second in zip(augmented(), augmented(), strict=True):
        assert torch.equal(first, second)


@pytest.fixture
def responses_folder(tmp_path):
    """Three responses, as published ones are: 24 bit, two rates, one of two channels."""
    folder = tmp_path / "responses"
    folder.mkdir()
    rng = np.random.default_rng(2)
    decay = np.exp(-np.arange(600) / 60)
    soundfile.write(folder / "dark.wav", rng.normal(0, 0.2, 600) * decay, 44_100, subtype="PCM_24")
    soundfile.write(folder / "bright.WAV", rng.normal(0, 0.2, 600) * decay, 48_000, subtype="PCM_24")
    both = np.stack([rng.normal(0, 0.2, 600) * decay, np.zeros(600)], axis=1)
    soundfile.write(folder / "stereo.wav", both, 32_000, subtype="PCM_16")
    (folder / "LICENSE.txt").write_text("free")
    return folder


def test_responses_are_resampled_and_read_from_the_first_channel(responses_folder):
    responses = ImpulseResponses.load(responses_folder, 32_000)
    assert responses.names == ("bright.WAV", "dark.wav", "stereo.wav")
    assert responses.responses.shape == (3, 600)
    assert [int(r.nonzero().max()) + 1 for r in responses.responses] == pytest.approx([400, 436, 600], abs=1)


def test_a_clip_is_convolved_cut_and_kept_at_its_level(responses_folder):
    responses = ImpulseResponses.load(responses_folder, 32_000)
    clips = torch.randn(40, 5_000) * torch.rand(40, 1)
    before = clips.clone()
    convolved = responses.apply(clips, torch.ones(40, dtype=torch.bool), 1.0)
    assert torch.equal(clips, before)
    torch.testing.assert_close(convolved.square().mean(1), clips.square().mean(1))
    used = set()
    for clip, sound in zip(clips.numpy(), convolved.numpy(), strict=True):
        options = [np.convolve(clip, response)[: len(clip)] for response in responses.responses.numpy()]
        options = [option * np.sqrt((clip**2).sum() / (option**2).sum()) for option in options]
        misses = [np.abs(option - sound).max() for option in options]
        assert min(misses) < 1e-4
        used.add(int(np.argmin(misses)))
    assert used == {0, 1, 2}


def test_only_eligible_clips_are_changed_and_a_share_p_of_them(responses_folder):
    responses = ImpulseResponses.load(responses_folder, 32_000)
    clips = torch.randn(3000, 50)
    eligible = torch.arange(3000) % 3 > 0
    changed = (responses.apply(clips, eligible, 0.6) != clips).any(dim=1)
    assert not changed[~eligible].any()
    assert changed[eligible].float().mean() == pytest.approx(0.6, abs=0.06)
    assert torch.equal(responses.apply(clips, eligible, 0.0), clips)
    assert torch.equal(responses.apply(clips, torch.zeros(3000, dtype=torch.bool), 1.0), clips)


def test_a_clip_is_convolved_with_the_response_that_is_named_for_it(responses_folder):
    responses = ImpulseResponses.load(responses_folder, 32_000)
    clips = torch.randn(5, 900)
    before = clips.clone()
    which = [2, -1, 0, 2, 1]
    convolved = responses.through(clips, torch.tensor(which))
    assert torch.equal(clips, before)
    for clip, number, sound in zip(clips.numpy(), which, convolved.numpy(), strict=True):
        expected = clip if number < 0 else np.convolve(clip, responses.responses.numpy()[number])[:900]
        expected = expected * np.sqrt((clip**2).sum() / (expected**2).sum())
        np.testing.assert_allclose(sound, expected, atol=1e-4)
    assert torch.equal(convolved[1], clips[1])
    assert torch.equal(responses.through(clips, torch.full((5,), -1)), clips)


def test_a_response_that_is_not_there_is_refused(responses_folder):
    responses = ImpulseResponses.load(responses_folder, 32_000)
    for number in (3, -2):
        with pytest.raises(ValueError, match=rf"which must be in 0\.\.2, or -1 for .*, got {number}"):
            responses.through(torch.zeros(2, 100), torch.tensor([0, number]))
    with pytest.raises(ValueError, match=r"which must be \(2,\), got \(3,\)"):
        responses.through(torch.zeros(2, 100), torch.zeros(3, dtype=torch.long))


def test_silence_stays_silent(responses_folder):
    responses = ImpulseResponses.load(responses_folder, 32_000)
    assert not responses.apply(torch.zeros(2, 100), torch.ones(2, dtype=torch.bool), 1.0).any()


def test_responses_that_cannot_be_used_are_all_named(responses_folder, tmp_path):
    (responses_folder / "noise.wav").write_bytes(b"nonsense")
    soundfile.write(responses_folder / "zero.wav", np.zeros(10), 44_100)
    soundfile.write(responses_folder / "odd.wav", np.ones(10), 44_101)
    with pytest.raises(DataError) as caught:
        ImpulseResponses.load(responses_folder, 32_000)
    assert str(caught.value) == (
        "unusable impulse responses; fix or remove them:\n"
        f"  {responses_folder}/noise.wav: neither a WAV nor a FLAC file: it starts with b'nons'\n"
        f"  {responses_folder}/odd.wav: 44,101 Hz cannot be resampled to 32,000 Hz\n"
        f"  {responses_folder}/zero.wav: silent"
    )
    with pytest.raises(DataError, match="no such folder"):
        ImpulseResponses.load(tmp_path / "nowhere", 32_000)
    with pytest.raises(DataError, match="no WAV file in it"):
        ImpulseResponses.load(tmp_path, 32_000)


def test_the_published_responses_load(shared_data):
    responses = ImpulseResponses.load(shared_data / "impulse_responses", 32_000)
    assert len(responses.names) == 58
    assert responses.responses.isfinite().all()
