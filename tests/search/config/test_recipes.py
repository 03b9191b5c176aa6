"""The recipes of the reports, and searches with one of them fixed."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from models import ARCHITECTURES
from search.config.published import read_published
from search.config.recipes import OPEN_CHOICES, RECIPES, find_recipe, recipe_of, recipe_values
from search.config.settings import SearchSettings
from search.space.search_space import make_search_space
from spaces import TRAINING
from tests.search.priced import priced
from training.recipe import Recipe

# As the reports print them: epochs, batch, optimizer, peak rate, weight decay.
PRINTED = {
    "isotropic": (150, 256, "adamw", 0.005, 1e-4),
    "rsc": (150, 256, "adamw", 0.005, 1e-4),
    "domain_adversarial": (150, 256, "adamw", 0.005, 1e-4),
    "tf_sepnet": (200, 32, "adam", 0.01, 0.0),
    "tf_sepnet_distilled": (200, 32, "adam", 0.01, 0.0),
    "cp_resnet": (350, 10, "adam", 1e-4, 0.0),
    "cp_resnet_adversarial": (350, 10, "adam", 1e-4, 0.0),
    "sep_cnn": (150, 32, "adamw", 1e-3, 1e-5),
    "bc_resnet": (200, 512, "sgd", 0.1, 1e-5),
}
# What each report does beside its optimizer; everything else is off.
METHODS = {
    "isotropic": {"roll_s": 0.1, "mask_bins": 48, "mix_style_p": 0.4, "impulse_response_p": 0.6},
    "rsc": {
        "roll_s": 0.1, "mask_bins": 48, "mix_style_p": 0.4, "impulse_response_p": 0.6, "drop_f": 0.05, "drop_b": 0.05,
    },
    "domain_adversarial": {"roll_s": 0.1, "mask_bins": 48, "mix_style_p": 0.4, "adversarial_weight": 1.0},
    "tf_sepnet": {"simulated_devices": 32, "mixup_alpha": 0.3, "mix_style_p": 0.7},
    "tf_sepnet_distilled": {
        "simulated_devices": 32, "mixup_alpha": 0.3, "mix_style_p": 0.5, "distill_weight": 20.0,
    },
    "cp_resnet": {"roll_s": 0.5, "mel_top_drop": 0.1, "mixup_alpha": 0.3, "swa_epochs": 10, "prune_to": 65_000},
    "cp_resnet_adversarial": {
        "roll_s": 0.5, "mel_top_drop": 0.1, "mixup_alpha": 0.3, "swa_epochs": 10, "prune_to": 65_000,
        "critic_weight": 1.0,
    },
    "sep_cnn": {"shift_frames": 10.0, "mixture_mask_share": 0.125, "test_copies": 30},
    "bc_resnet": {
        "pitch_semitones": 2.0, "spectrum_correction": True, "warp_frames": 4, "mask_bins": 16, "mask_frames": 4,
        "mixup_alpha": 0.4, "cross_gradient_share": 0.5, "quantize_share": 0.1,
    },
}  # fmt: skip
SWITCHES = {name for switched in METHODS.values() for name in switched} | {
    "ema_decay",
    "label_smoothing",
    "focal_gamma",
}


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_a_recipe_is_what_its_report_prints(name):
    recipe = RECIPES[name].recipe
    found = recipe.epochs, recipe.batch_size, recipe.optimizer, recipe.learning_rate, recipe.weight_decay
    assert found == PRINTED[name]
    assert {field: value for field, value in asdict(recipe).items() if field in SWITCHES and value} == METHODS[name]


def test_every_report_is_there_and_every_recipe_names_its_source():
    assert list(RECIPES) == list(PRINTED)
    assert all(recipe.source and recipe.architecture in ARCHITECTURES for recipe in RECIPES.values())


def test_warm_up_and_decay_are_those_of_the_reports():
    for name in ("isotropic", "rsc", "domain_adversarial"):  # --warmup_steps of each run script at dd49ddd
        assert (RECIPES[name].recipe.warmup_steps, RECIPES[name].recipe.warmup_share) == (2000, 0.0)
    assert Recipe().warmup_share * 81_750 == pytest.approx(2000, abs=1)
    assert RECIPES["tf_sepnet"].recipe.warmup_share * 200 == 10
    cp_resnet = RECIPES["cp_resnet"].recipe
    assert cp_resnet.plateau_share * 350 == pytest.approx(50, abs=0.1)
    assert cp_resnet.prune_share * 350 == pytest.approx(200, abs=0.1)
    assert (cp_resnet.schedule, cp_resnet.final_share) == ("linear", 0.05)  # 5e-6 of 1e-4
    assert RECIPES["sep_cnn"].recipe.final_share == 0.01  # 1e-5 of 1e-3
    assert RECIPES["bc_resnet"].recipe.restarts == (4, 8, 16, 32, 64, 128)


def test_every_published_network_names_its_recipe():
    recipes = {entry.name: entry.recipe for entry in read_published()}
    assert set(recipes.values()) <= set(RECIPES)
    assert recipes["cp_resnet_4"] == "cp_resnet_adversarial"
    assert (recipes["tf_sepnet_160"], recipes["bc_resnet_40"]) == ("tf_sepnet", "tf_sepnet")
    assert [recipe_of(name).name for name in ("isotropic", "cp_resnet", "plain_cnn")] == [
        *("isotropic", "cp_resnet", "isotropic"),
    ]


def test_an_unknown_recipe_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match="unknown recipe 'tf_sepnt'; did you mean 'tf_sepnet'"):
        find_recipe("tf_sepnt")


def space(**values):
    return make_search_space(SearchSettings(**{"data": "nowhere", "space": "isotropic", **values}), num_classes=10)


def test_a_search_fixes_a_recipe_and_varies_the_network_alone():
    subspace = space(recipe="sep_cnn", epochs=15).subspaces["isotropic"]
    assert {name.partition(".")[0] for name in subspace.ranges} == {"isotropic"}
    recipe = subspace.config({}).recipe
    assert recipe == Recipe(**{**asdict(RECIPES["sep_cnn"].recipe), "epochs": 15})


def test_what_is_chosen_by_name_is_varied_and_not_fixed():
    subspace = space(space="isotropic,rsc", recipe="rsc").subspaces["isotropic"]
    assert {name for name in subspace.ranges if "." not in name} == {"drop_f", "drop_b"}
    narrowed = space(recipe="rsc", ranges={"learning_rate": [0.001, 0.002]}).subspaces["isotropic"]
    assert {name for name in narrowed.ranges if "." not in name} == {"learning_rate"}
    assert space(recipe="rsc", set={"drop_f": 0.5}).config({}).recipe.drop_f == 0.5


def test_without_a_recipe_a_search_varies_the_training_as_ever():
    ranges = space(impulse_responses="irs").subspaces["isotropic"].ranges
    assert {name for name in ranges if "." not in name} == set(TRAINING)


def test_what_a_recipe_counts_in_epochs_scales_with_those_of_the_search():
    recipe = space(recipe="bc_resnet", epochs=20).config({}).recipe
    assert (recipe.epochs, recipe.restarts) == (20, (1, 2, 3, 6, 13))
    assert recipe_values(RECIPES["cp_resnet"].recipe, 35)["swa_epochs"] == 1
    assert "epochs" not in recipe_values(Recipe(), 35)


def test_without_a_folder_of_responses_a_recipe_trains_without_them():
    recipe = space(recipe="tf_sepnet").config({}).recipe
    assert (recipe.impulse_response_p, recipe.simulated_devices) == (0.0, 0)
    assert space(recipe="tf_sepnet", impulse_responses="irs").config({}).recipe.simulated_devices == 32


def test_methods_that_need_responses_are_refused_without_a_folder():
    with pytest.raises(ValueError, match="varies simulated_devices, but there is no folder of impulse responses"):
        space(space="isotropic,device_simulation")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"recipe": "tf_sepnet_distilled"}, "distill_weight is 20, but there is no teacher; name a trained export"),
        ({"space": "isotropic,distillation"}, "distill_weight goes up to 50, but there is no teacher"),
        ({"set": {"distill_weight": 0.5}}, "distill_weight is 0.5, but there is no teacher"),
        ({"teacher": ("export",)}, "there is a teacher, but distill_weight is 0, so it has no effect"),
    ],
)
def test_a_teacher_and_distillation_need_each_other(values, message):
    with pytest.raises(ValueError, match=message):
        space(**values)


def test_a_search_over_distillation_takes_a_teacher():
    assert "distill_weight" in space(space="isotropic,distillation", teacher=("export",)).subspaces["isotropic"].ranges


def test_the_recipes_are_listed_and_printed_in_full(run):
    listed = run("recipes").out
    assert all(name in listed for name in RECIPES)
    lines = run("recipes", "rsc").out.splitlines()
    assert {"recipe: rsc", "drop_f: 0.05 (default 0.0)", "drop_b: 0.05 (default 0.0)"} <= set(lines)
    told = run("recipes", "isotropic").out
    assert "warmup_steps: 2000 (default 0)" in told
    assert "what the reports leave open: docs/open_choices.md" in told


def test_what_the_reports_leave_open_is_in_one_page_that_help_and_remarks_agree_with(run):
    page = " ".join((Path(__file__).parents[3] / OPEN_CHOICES).read_text().split())
    for words in (
        "16 bits",
        "FreqIN",
        "HTK scale",
        "A-weighting",
        "fan_out",
        "2,000 steps on every split",
        "30,594,112",
    ):
        assert words in page
    for command in ("recipes", "search"):
        assert OPEN_CHOICES in " ".join(run(command, "--help").out.split())
    assert "A-weighting" in RECIPES["cp_resnet"].remark
    assert "mel bank" in RECIPES["tf_sepnet"].remark
    assert "128 wide" in RECIPES["domain_adversarial"].remark
    assert all("2,000 steps" in RECIPES[name].remark for name in ("isotropic", "rsc", "domain_adversarial"))
    printed = json.loads(run("recipes", "bc_resnet", "--json").out)
    assert (printed["epochs"], printed["values"]["optimizer"], printed["architecture"]) == (200, "sgd", "bc_resnet")
    assert [each["name"] for each in json.loads(run("recipes", "--json").out)] == list(RECIPES)


def test_a_search_with_a_recipe_starts_from_its_values_where_they_are_varied():
    settings = SearchSettings(data="nowhere", space="isotropic,rsc,optimizers", recipe="rsc", epochs=9)
    wanted = priced(settings).published["isotropic"].target
    assert (wanted["drop_f"], wanted["drop_b"], wanted["optimizer"]) == (0.05, 0.05, "adamw")
    tf_sepnet = SearchSettings(data="nowhere", space="tf_sepnet,mixup,optimizers", recipe="tf_sepnet", epochs=9)
    wanted = priced(tf_sepnet).published["tf_sepnet"].target
    assert (wanted["optimizer"], wanted["learning_rate"], wanted["mixup_alpha"]) == ("adam", 0.01, 0.3)


def test_a_search_that_prunes_starts_from_as_much_as_fits():
    settings = SearchSettings(data="nowhere", space="cp_resnet,pruning", budget="dcase2021", epochs=9)
    wanted, start = priced(settings).published["cp_resnet"]
    assert wanted["prune_to"] == 128_000
    assert start["prune_to"] == 64_000  # at two bytes each the largest step within 128 KiB


def test_no_more_epochs_are_averaged_than_a_search_trains():
    settings = SearchSettings(data="nowhere", space="isotropic,swa", epochs=4)
    space = make_search_space(settings, num_classes=10)
    assert space.subspaces["isotropic"].ranges["swa_epochs"].high == 4
