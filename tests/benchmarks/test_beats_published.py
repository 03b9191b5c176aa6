"""The comparison with published networks: who is chosen by what, and what the page says of it."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from benchmarks.__main__ import COMMANDS
from benchmarks.beats_published import responses_of
from benchmarks.beats_published_figures import Comparison, Fold, Network, Row
from benchmarks.beats_published_report import NETWORKS, PAGE, TABLE, network_rows, page, read_table, write_results
from benchmarks.compared_searches import cost_rows
from benchmarks.final_trainings import Clips
from benchmarks.published_networks import DEFAULT, FOUND, REPORT, as_reported, fitting, with_recipe
from objectives.budget import BUDGETS
from search.config.published import find_published
from training.pipeline import require_compatible
from training.recipe import Recipe

BUDGET = 30_000_000
NUM_CLASSES = 10


def draws(accuracy, spread=0.003, size=200):
    noise = np.random.default_rng(int(accuracy * 1000)).normal(0, spread, size)
    return np.concatenate([[accuracy], accuracy + noise - noise.mean()])


def network(name, macs, accuracy, validation=float("nan"), share=1.0):
    return Network(name, macs, 1000, share * draws(accuracy), validation)


def published(share=1.0):
    """Three ways for two networks; the default recipe is the best."""
    return {
        way: {
            "small": network("small", 2_000_000, 0.30 + bonus, share=share),
            "large": network("large", 29_000_000, 0.40 + bonus, share=share),
        }
        for way, bonus in ((REPORT, 0.0), (DEFAULT, 0.05), (FOUND, 0.02))
    }


# By validation the second is the best, by the evaluation clips the first.
FRONT = [network("a", 1_000_000, 0.50, 0.41), network("b", 10_000_000, 0.47, 0.44)]


@pytest.fixture
def comparison():
    fold = Fold(published(), {"front": FRONT, "best": FRONT[1:]}, np.full(201, 1 / NUM_CLASSES))
    return Comparison([fold], BUDGET, NUM_CLASSES)


def row(comparison, figure, mode="front"):
    return next(each for each in comparison.rows(mode) if each.figure == figure)


def test_the_best_found_network_is_chosen_by_validation_and_the_best_published_one_with_hindsight(comparison):
    found = row(comparison, "best against either")
    assert (found.ours, found.theirs) == pytest.approx((0.47, 0.45))


def test_a_choice_is_within_the_number_of_macs(comparison):
    assert row(comparison, "at the MACs of small against report").ours == pytest.approx(0.50)
    assert row(comparison, "at the MACs of large against report").ours == pytest.approx(0.47)


def test_where_the_front_has_nothing_as_cheap_the_choice_is_chance(comparison):
    assert row(comparison, "at the MACs of small against report", "best").ours == pytest.approx(1 / NUM_CLASSES)


def test_the_regret_is_what_validation_lost(comparison):
    found = row(comparison, "regret of the choice")
    assert (found.ours, found.theirs, found.difference) == pytest.approx((0.47, 0.50, -0.03))


def test_an_interval_is_that_of_the_difference(comparison):
    found = row(comparison, "best against default")
    differences = draws(0.47)[1:] - draws(0.45)[1:]
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(differences, (0.025, 0.975))))


def test_a_hypervolume_from_the_cheapest_published_network_ignores_what_is_cheaper(comparison):
    whole = row(comparison, "hypervolume against report")
    part = row(comparison, "hypervolume from 2000000 MACs against report")
    assert part.theirs > whole.theirs  # over a shorter axis, on which there always is one
    own = 0.4 * np.log(10 / 2) + 0.37 * np.log(30 / 10)  # the second from its cost on, as validation had it
    assert part.ours == pytest.approx(own / np.log(30 / 2))


def test_only_the_hypervolume_with_hindsight_takes_the_better_found_network_by_the_evaluation_clips(comparison):
    found = row(comparison, "hindsight hypervolume against report")
    assert found.ours == pytest.approx(0.4 * np.log(30) / np.log(3000))
    assert row(comparison, "hypervolume against report").ours < found.ours


def test_with_outer_folds_each_fold_has_its_own_choice():
    """In the second fold the search found nothing below 20 M MACs, so that a half of the clips is guessed there."""
    halves = [
        Fold(published(0.5), {"front": [network("a", macs, 0.5, 0.4, share=0.5)]}, np.full(201, 0.5 / NUM_CLASSES))
        for macs in (1_000_000, 20_000_000)
    ]
    comparison = Comparison(halves, BUDGET, NUM_CLASSES)
    assert [macs for macs, _ in comparison.curve("front")] == [1_000_000, 20_000_000]
    assert [accuracy[0] for _, accuracy in comparison.curve("front")] == pytest.approx([0.3, 0.5])
    assert comparison.published[REPORT]["large"].accuracy[0] == pytest.approx(0.4)


def test_recipes_are_compared_on_the_same_networks(comparison):
    rows = {each.figure: each for each in comparison.recipe_rows()}
    assert rows["recipe: found against default, mean"].difference == pytest.approx(-0.03)
    assert rows["recipe: found against report, large"].difference == pytest.approx(0.02)


def test_a_way_of_training_that_is_left_out_is_compared_with_nothing(comparison, tmp_path):
    left = {way: networks for way, networks in published().items() if way != REPORT}
    rows, networks = results(Comparison([replace(comparison.folds[0], published=left)], BUDGET, NUM_CLASSES))
    assert {each.figure.partition(" against ")[2] for each in rows if each.figure.startswith("best ")} == {
        DEFAULT,
        FOUND,
    }
    write_results(tmp_path, "one", rows, networks)
    assert "| small | 2,000,000 |  | 35.0 " in (tmp_path / PAGE).read_text()


def settings_rows(clips=100):
    names = ("clips", "recordings", "classes", "outer folds", "classes with one recording", "seeds", "diverged")
    return [Row("", name, float(clips)) for name in names]


def results(comparison):
    rows = [*settings_rows(), *comparison.recipe_rows()]
    costs = pd.DataFrame(
        {"macs": [50_000, 2_000_000, 29_000_000], "seconds": [1.0, 2.0, 5.0], "is_at_chance": [True, False, False]}
    )
    for mode in ("front", "best"):
        rows += [*comparison.rows(mode), *cost_rows(mode, [costs], BUDGET)]
    return rows, network_rows(comparison, {("small", REPORT): "without spectrum_correction"})


def test_results_of_other_data_sets_are_kept_and_those_of_the_same_replaced(comparison, tmp_path):
    rows, networks = results(comparison)
    write_results(tmp_path, "one", rows, networks)
    write_results(tmp_path, "two", rows, networks)
    write_results(tmp_path, "one", rows, networks)
    table = read_table(tmp_path / TABLE)
    assert table["data"].value_counts().to_dict() == {"one": len(rows), "two": len(rows)}
    assert list(dict.fromkeys(read_table(tmp_path / NETWORKS)["data"])) == ["two", "one"]
    assert (tmp_path / PAGE).read_text() == page(table, read_table(tmp_path / NETWORKS))
    assert (tmp_path / "docs/beats_published.png").stat().st_size > 1000


def test_the_page_says_what_holds_and_what_does_not(comparison, tmp_path):
    worse = replace(comparison.folds[0], found={"front": FRONT, "best": [network("c", 20_000_000, 0.2, 0.5)]})
    rows, networks = results(Comparison([worse], BUDGET, NUM_CLASSES))
    write_results(tmp_path, "one", rows, networks)
    text = (tmp_path / PAGE).read_text()
    better, _, rest = text.partition("The published networks are better, ")
    compared = "accuracy of the best within the budget, against the recipe of its report or default recipe"
    assert f"search for a front, {compared}: +2.0" in better
    assert f"search for the best, {compared}: -25.0" in rest
    assert "12% of them in networks that ended at chance" in text
    assert "regret -3.0" in text
    assert "without spectrum_correction" in text


def test_seconds_are_binned_by_log_macs():
    costs = pd.DataFrame({"macs": [5_000, 30_000_000], "seconds": [1.0, 3.0], "is_at_chance": [True, False]})
    rows = {each.figure: each.ours for each in cost_rows("front", [costs], BUDGET)}
    shares = [value for name, value in rows.items() if name.startswith("share of seconds from")]
    assert shares == pytest.approx([0.25, 0, 0, 0, 0, 0.75])
    assert rows["share of seconds at chance"] == pytest.approx(0.25)


@pytest.fixture
def clips(tiny, responses, tmp_path):
    return Clips(tiny, responses, tmp_path / "cache")


@pytest.mark.parametrize("has_responses", [True, False])
def test_every_published_network_can_be_trained_as_reported_on_data_that_lack_something(clips, has_responses):
    clips = clips if has_responses else replace(clips, responses=None)
    for name, config in fitting(BUDGETS["dcase2022"], 3).items():
        dataset = clips.dataset(config.front_end)
        variant = as_reported(find_published(name), config, 4, dataset)
        require_compatible(dataset, variant.config.recipe)
        assert variant.config.recipe.epochs == 4


def test_what_the_data_lack_is_named(clips):
    config = fitting(BUDGETS["dcase2022"], 3)["bc_resnet_mod"]
    without = replace(clips, responses=None)
    assert as_reported(find_published("bc_resnet_mod"), config, 4, without.dataset(config.front_end)).changes == (
        "without spectrum_correction",
    )
    config = fitting(BUDGETS["dcase2022"], 3)["tf_sepnet_40"]
    assert as_reported(find_published("tf_sepnet_40"), config, 4, clips.dataset(config.front_end)).changes == (
        "3 clips of each of 2 simulated devices, scaled with the training clips",  # 7,500 of 139,620 clips; 48 here
    )


def test_fourteen_published_networks_fit_the_budget_of_2022():
    assert len(fitting(BUDGETS["dcase2022"], 10)) == 14


def test_a_found_recipe_masks_no_more_bins_than_a_front_end_has():
    config = fitting(BUDGETS["dcase2022"], 10)["tf_sepnet_12"]
    variant = with_recipe("tf_sepnet_12", FOUND, config, Recipe(mask_bins=200))
    assert variant.config.recipe.mask_bins == config.front_end_config.mel_bins == 128


def test_impulse_responses_that_are_devices_of_the_data_are_left_out(responses, tmp_path):
    (tmp_path / "impulse_responses_used.csv").write_text("device\tfile\nb\tone.wav\n")
    chosen = responses_of(tmp_path, responses, tmp_path / "chosen")
    assert [path.name for path in chosen.iterdir()] == ["two.wav"]


def test_the_command_is_registered():
    assert COMMANDS["beats-published"] == "benchmarks.beats_published"
