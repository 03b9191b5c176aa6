"""Settings of `make search`: sizes and costs that its time on two cores allows, learned the same way."""

from pathlib import Path

import pytest

from search.config.settings_file import read_settings
from search.space.priced_space import price_space
from search.space.search_space import make_search_space

SETTINGS = Path(__file__).parents[2] / "demo.yaml"
SIZES = {"patch", "width", "depth"}


@pytest.fixture(scope="module")
def space():
    return price_space(make_search_space(read_settings(SETTINGS), num_classes=10), 540)


def test_it_varies_sizes_and_of_the_recipe_the_learning_rate_alone(space):
    subspace = space.subspaces["isotropic"]
    assert {subspace.field(name) for name in subspace.cost_ranges} == SIZES
    assert {subspace.field(name) for name in subspace.ranges} == SIZES | {"learning_rate"}


def test_its_costs_differ_by_a_factor_of_eight_and_all_train_in_minutes(space):
    survey = space.surveys["isotropic"]
    assert survey.feasible_fraction > 0.5
    cost_function = space.subspaces["isotropic"].cost_function("fp16")
    macs = [cost_function(network).macs for network in survey.feasible]
    assert max(macs) / min(macs) > 8
    # Twelve trainings of 14 epochs on 540 clips: three times as many for the backward pass.
    assert max(macs) * 3 * 12 * 14 * 540 < 2e12


def test_half_of_its_trials_are_spread_evenly_over_the_sizes(space):
    assert 2 * space.settings.sobol >= space.settings.trials
    assert not space.settings.early_stopping
