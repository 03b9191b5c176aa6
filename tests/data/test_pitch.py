"""Pitch shift: tones move by half semitones, as the closed form of a tone that is played at another speed says."""

import numpy as np
import pytest
import torch

from data.augmentation import pitch_shift

SIZE = 1200


def tones(phases, length):
    """Return two tones of 25 and 60 periods in `length` samples, whatever that is: (`length`,)."""
    turns = np.arange(length) / length
    return np.cos(2 * np.pi * 25 * turns + phases[0]) + 0.5 * np.cos(2 * np.pi * 60 * turns + phases[1])


def shifted(phases, step):
    """Return every crop of a clip that is played half semitones faster by `step`: (places, SIZE)."""
    length = round(SIZE * 2 ** (-step / 24))
    whole = tones(phases, length)
    if length <= SIZE:
        return np.resize(whole, SIZE)[None]
    return np.stack([whole[first : first + SIZE] for first in range(length - SIZE + 1)])


def test_a_clip_is_played_at_one_of_the_steps_then_cut_or_repeated():
    torch.manual_seed(5)
    phases = np.random.default_rng(0).uniform(0, 2 * np.pi, (250, 2))
    clips = torch.tensor(np.stack([tones(pair, SIZE) for pair in phases]), dtype=torch.float32)
    before = clips.clone()
    result = pitch_shift(clips, 1.2).numpy()
    assert torch.equal(clips, before)
    steps, places = [], set()
    for pair, sound in zip(phases, result, strict=True):
        misses = {step: np.abs(shifted(pair, step) - sound).max(axis=1) for step in range(-2, 3)}
        step = min(misses, key=lambda step: misses[step].min())
        assert misses[step].min() < 1e-4
        steps.append(step)
        places.add((step, int(misses[step].argmin())))
    # 250 clips over 5 steps: 50 of each, give or take five standard deviations.
    assert np.abs(np.bincount(np.array(steps) + 2, minlength=5) - 50).max() < 32
    assert len({place for step, place in places if step == -2}) > 20
    assert {(0, 0), (1, 0), (2, 0)} <= places
    still = np.array(steps) == 0
    assert np.array_equal(result[still], clips.numpy()[still])


def test_what_would_move_above_half_the_rate_is_left_out():
    torch.manual_seed(5)
    clip = torch.cos(2 * torch.pi * 590 * torch.arange(SIZE) / SIZE).repeat(60, 1)
    power = pitch_shift(clip, 1.0).square().mean(1)
    # 590 of 600 periods, half a semitone higher: 607.
    silent = power < 1e-6
    assert silent.float().mean() == pytest.approx(2 / 5, abs=0.2)
    assert power[~silent].sub(0.5).abs().max() < 0.01


def test_less_than_a_step_changes_nothing_and_less_than_nothing_is_refused():
    clips = torch.randn(4, 100)
    assert torch.equal(pitch_shift(clips, 0.4), clips)
    with pytest.raises(ValueError, match="max_semitones must be at least 0 and finite, got -1"):
        pitch_shift(clips, -1)
