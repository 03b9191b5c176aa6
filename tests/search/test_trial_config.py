"""A trial's identity: joined by field name, the same after a round trip, and refused with the nearest name."""

from dataclasses import fields

import pytest

from models import ARCHITECTURES
from search.plan import make_plan
from search.pricing import price
from search.settings import SearchSettings
from search.trial_config import TrialConfig, field_types
from spaces import SPACES, TRAINING
from training.recipe import Recipe


@pytest.fixture(params=sorted(SPACES))
def space(request):
    return SPACES[request.param]


def test_no_field_is_both_the_network_s_and_the_recipe_s():
    recipe = {field.name for field in fields(Recipe)}
    for architecture in ARCHITECTURES.values():
        assert recipe.isdisjoint(field_types(architecture.config))


def test_training_ranges_are_fields_of_the_recipe_around_its_defaults():
    defaults = {field.name: field.default for field in fields(Recipe)}
    for name, distribution in TRAINING.items():
        assert distribution.low <= defaults[name] <= distribution.high, name


def test_a_config_comes_back_from_a_dict_equal_and_hashing_the_same(space):
    plan = make_plan(SearchSettings(data="nowhere", space=space.architecture), num_classes=10)
    config = plan.config(plan.start(960))
    again = TrialConfig.from_dict(config.to_dict())
    assert again == config
    assert hash(again) == hash(config)


def test_the_published_start_of_every_space_is_trainable_and_fits(space):
    plan = make_plan(SearchSettings(data="nowhere", space=space.architecture), num_classes=10)
    assert plan.budget.fits(price(plan.config(plan.start(139_620)), "fp16"))


@pytest.mark.parametrize(
    ("architecture", "values", "message"),
    [
        ("isotropci", {}, "unknown architecture 'isotropci'; did you mean 'isotropic'?"),
        ("isotropic", {"pach": 5}, "unknown config key 'pach'; did you mean 'patch'?"),
        ("isotropic", {"patch": 5.5}, "patch must be a whole number, got 5.5"),
        ("isotropic", {"patch": True}, "patch must be a whole number, got True"),
        ("isotropic", {"learning_rate": "fast"}, "learning_rate must be a number, got 'fast'"),
        ("isotropic", {"patch": 0}, "patch must be a whole number of at least 1, got 0"),
    ],
)
def test_what_is_no_config_is_refused_by_name(architecture, values, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole text is compared
        TrialConfig.from_values(architecture, values)
    assert str(caught.value) == message
