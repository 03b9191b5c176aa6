"""Configuration of a trial: joined by field name, the same after a round trip, and refused with the nearest name."""

from dataclasses import fields

import pytest

from models import ARCHITECTURES
from search.config.settings import SearchSettings
from search.config.trial_config import TrialConfig, field_types
from search.space.pricing import price
from spaces import SPACES, TRAINING
from tests.search.priced import priced
from training.recipe import Recipe


def published_starts(space, num_clips):
    """Return a search's first configurations: of every architecture the published one, or the nearest that fits."""
    searched = priced(SearchSettings(data="nowhere", space=space), num_clips=num_clips)
    return searched, searched.published_configs


def test_no_field_is_both_the_network_s_and_the_recipe_s():
    recipe = {field.name for field in fields(Recipe)}
    for architecture in ARCHITECTURES.values():
        assert recipe.isdisjoint(field_types(architecture.config))


def test_training_ranges_are_fields_of_the_recipe_around_its_defaults():
    defaults = {field.name: field.default for field in fields(Recipe)}
    for name, distribution in TRAINING.items():
        assert distribution._contains(distribution.to_internal_repr(defaults[name])), name


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_a_config_comes_back_from_a_dict_equal_and_hashing_the_same(name):
    config = published_starts(name, 960)[1][name]
    again = TrialConfig.from_dict(config.to_dict())
    assert again == config
    assert hash(again) == hash(config)


@pytest.mark.parametrize("space", sorted(SPACES))
def test_the_first_configurations_of_every_space_fit(space):
    searched, found = published_starts(space, 139_620)
    assert sorted(found) == sorted(SPACES[space].networks)
    assert all(searched.budget.fits(price(config, "fp16")) for config in found.values())


def isotropic(**values):
    return priced(SearchSettings(data="nowhere", space="isotropic", **values), num_drawn=2_000)


def test_a_front_starts_from_a_downscaled_network_too_with_the_recipe_of_the_published_one():
    space = isotropic(objectives=("macro_accuracy", "params"))
    ends = [space.config(each["isotropic"].values) for each in (space.published, space.downscaled)]
    assert ends[0].recipe == ends[1].recipe
    assert price(ends[1], "fp16").params <= price(ends[0], "fp16").params / 10


@pytest.mark.parametrize("values", [{"mode": "best"}, {"trials": 7}, {"objectives": ("macro_accuracy", "log_loss")}])
def test_there_is_no_downscaled_start_where_none_is_wanted_or_it_would_take_too_many_trials(values):
    assert isotropic(**values).downscaled == {}


def test_the_front_end_decides_the_input_of_the_network():
    config = TrialConfig.from_values("isotropic", {"front_end": "bcresnet", "patch": 4})
    assert (config.network.in_channels, config.input_shape) == (3, (3, 128, 44))
    with pytest.raises(ValueError, match="in_channels is 1, but the front end bcresnet gives 3"):
        TrialConfig.from_values("isotropic", {"front_end": "bcresnet", "in_channels": 1})


@pytest.mark.parametrize(
    ("architecture", "values", "message"),
    [
        ("isotropci", {}, "unknown architecture 'isotropci'; did you mean 'isotropic'?"),
        ("isotropic", {"pach": 5}, "unknown config key 'pach'; did you mean 'patch'?"),
        ("isotropic", {"patch": 5.5}, "patch must be a whole number, got 5.5"),
        ("isotropic", {"patch": True}, "patch must be a whole number, got True"),
        ("isotropic", {"learning_rate": "fast"}, "learning_rate must be a number, got 'fast'"),
        ("isotropic", {"patch": 0}, "patch must be a whole number of at least 1, got 0"),
        ("cp_resnet", {"groups": 7}, "groups must divide width, got groups 7 and width 256"),
        (
            "cp_resnet",
            {"rho": 11, "tail_blocks": 1},
            "rho must be at most 8 + 2 x tail_blocks, as no other kernel is left to grow, got rho 11 and tail_blocks 1",
        ),
        ("tf_sepnet", {"width": 11}, "width must give every stage an even number of channels, got 11: stage 1 has 11"),
    ],
)
def test_what_is_no_config_is_refused_by_name(architecture, values, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole text is compared
        TrialConfig.from_values(architecture, values)
    assert str(caught.value) == message
