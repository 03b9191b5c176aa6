"""Learning rate schedule against the reports' own words and numbers."""

import math

import pytest

from search.config.recipes import RECIPES
from training.recipe import Recipe
from training.schedule import rate_at

# 139,620 clips in even batches of about 256.
STEPS_PER_EPOCH = 545


def rates(recipe, steps_per_epoch=1):
    return [rate_at(recipe, step, steps_per_epoch) for step in range(recipe.epochs * steps_per_epoch)]


def test_the_isotropic_report_s_warm_up_is_2000_steps_of_its_own_training():
    found = [rate_at(Recipe(), step, STEPS_PER_EPOCH) for step in (0, 999, 1998, 1999, 2000, 2001)]
    assert found[:4] == [1 / 2000, 0.5, 1999 / 2000, 1.0]
    assert found[4] == 1.0
    assert 0.9999 < found[5] < 1.0


def test_the_default_is_the_baseline_s_warm_up_and_cosine_to_the_bit():
    num_steps, num_warmup = 150 * STEPS_PER_EPOCH, 2000
    for step in range(0, num_steps, 97):
        done = (step - num_warmup) / (num_steps - num_warmup)
        expected = (step + 1) / num_warmup if step < num_warmup else 0.5 * (1 + math.cos(math.pi * done))
        assert rate_at(Recipe(), step, STEPS_PER_EPOCH) == expected


@pytest.mark.parametrize("num_clips", [6_980, 13_960, 34_900, 69_800, 139_620])
def test_the_isotropic_report_warms_up_for_2000_steps_on_every_split(num_clips):
    steps_per_epoch = -(-num_clips // 256)
    recipe = RECIPES["isotropic"].recipe
    found = [rate_at(recipe, step, steps_per_epoch) for step in (0, 999, 1999, 2000)]
    assert found == [1 / 2000, 0.5, 1.0, 1.0]
    num_fall = 150 * steps_per_epoch - 2000
    halfway = rate_at(recipe, 2000 + num_fall // 2, steps_per_epoch)
    assert halfway == pytest.approx(0.5, abs=1e-3)


def test_a_warm_up_of_steps_is_at_most_half_of_a_short_run():
    recipe = Recipe(epochs=10, warmup_share=0.0, warmup_steps=2000)
    assert rates(recipe)[:6] == [0.2, 0.4, 0.6, 0.8, 1.0, 1.0]
    held = Recipe(epochs=10, warmup_share=0.0, warmup_steps=2000, plateau_share=0.2)
    assert rates(held)[:7] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0, 1.0]


def test_a_warm_up_of_steps_is_scaled_with_the_epochs():
    assert RECIPES["isotropic"].recipe.scaled(0.1).warmup_steps == 200


def test_two_lengths_of_one_warm_up_are_refused():
    with pytest.raises(ValueError, match=r"are two lengths of one warm-up, got 0\.1 and 5"):
        Recipe(warmup_share=0.1, warmup_steps=5)


def test_the_tf_sepnet_report_s_rate_rises_for_ten_epochs_and_falls_to_nothing():
    found = rates(Recipe(epochs=200, warmup_share=0.05), steps_per_epoch=4)
    assert found[:40] == [step / 40 for step in range(1, 41)]
    assert found[40] == 1.0
    assert found[40 + 760 // 2] == pytest.approx(0.5)
    assert found[-1] == pytest.approx((math.pi / 760) ** 2 / 4, rel=1e-4)


def test_the_sep_cnn_report_s_cosine_falls_from_one_thousandth_to_one_hundred_thousandth():
    found = rates(Recipe(epochs=150, learning_rate=1e-3, warmup_share=0.0, final_share=0.01))
    assert found[0] == 1.0
    assert found[75] == pytest.approx(0.505)
    assert found[-1] == pytest.approx(0.01, abs=2e-4)
    assert min(found) > 0.01


def test_a_plateau_lies_between_the_warm_up_and_a_line_down():
    recipe = Recipe(epochs=10, warmup_share=0.2, plateau_share=0.3, schedule="linear", final_share=0.5)
    assert rates(recipe) == pytest.approx([0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 0.9, 0.8, 0.7, 0.6])


def test_the_bc_resnet_report_s_rate_starts_again_after_each_of_its_epochs_and_warms_up_once():
    recipe = Recipe(epochs=200, warmup_share=0.5, restart_epochs="4,8,16,32,64,128")
    found = rates(recipe, steps_per_epoch=2)
    assert found[:4] == [0.25, 0.5, 0.75, 1.0]
    peaks = [step for step in range(1, 400) if found[step] > found[step - 1] and found[step] == 1.0]
    assert peaks == [3, 8, 16, 32, 64, 128, 256]
    for start, end in [(8, 16), (16, 32), (64, 128), (256, 400)]:
        middle = (start + end) // 2
        assert found[middle] == pytest.approx(0.5)
        assert found[start:end] == sorted(found[start:end], reverse=True)


def test_each_segment_has_a_plateau_of_its_own():
    recipe = Recipe(epochs=6, warmup_share=0.0, plateau_share=0.5, schedule="linear", restart_epochs="2")
    assert rates(recipe, steps_per_epoch=2) == [1, 1, 1, 0.5, 1, 1, 1, 1, 1, 0.75, 0.5, 0.25]


def test_restarts_that_the_run_does_not_reach_change_nothing():
    assert rates(Recipe(epochs=5, restart_epochs="5,9")) == rates(Recipe(epochs=5))
    assert rates(Recipe(epochs=5, restart_epochs="3,9")) == rates(Recipe(epochs=5, restart_epochs="3"))


@pytest.mark.parametrize("step", [-1, 10])
def test_a_step_that_the_run_does_not_have_is_refused(step):
    with pytest.raises(ValueError, match=f"step must be from 0 to 9, got {step}"):
        rate_at(Recipe(epochs=5), step, 2)
