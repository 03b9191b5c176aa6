"""Search spaces: what holds of every one."""

import itertools
from dataclasses import asdict

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution

from models import ARCHITECTURES
from models.isotropic import IsotropicConfig, count
from search.config.settings import SearchSettings
from search.space.space_file import space_problems
from search.study.optuna_private import contains
from spaces import METHODS, NETWORKS, SPACES, TRAINING
from tests.search.priced import priced
from training.recipe import Recipe

# The training settings of the ASCDomain report, DCASE 2024 task 1; 2,000 of 81,900 steps are warm-up.
PUBLISHED_TRAINING = {
    "learning_rate": 0.005,
    "weight_decay": 1e-4,
    "warmup_share": 0.0244,
    "batch_size": 256,
    "mix_style_p": 0.4,
    "ema_decay": 0.0,
    "label_smoothing": 0.0,
    "mixup_alpha": 0.0,
    "mask_bins": 48,
    "roll_s": 0.1,
    "impulse_response_p": 0.6,
}
# The other networks of the report's table.
RECURSIV = [
    {"patch": 5, "width": 64, "kernel": 3, "depth": 3, "columns": 3},
    {"patch": 8, "width": 128, "kernel": 4, "depth": 2, "columns": 2},
    {"patch": 8, "width": 128, "kernel": 3, "depth": 3, "columns": 2},
]


@pytest.fixture(params=sorted(NETWORKS))
def name(request):
    return request.param


@pytest.fixture(params=sorted(SPACES))
def space(request):
    return SPACES[request.param]


def lies_in(value, distribution):
    return contains(distribution, value)


@pytest.fixture(autouse=True)
def quiet():
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def test_every_architecture_has_a_space_of_its_name_and_all_are_searched_together():
    assert sorted(NETWORKS) == sorted(ARCHITECTURES)
    assert sorted(SPACES) == sorted([*ARCHITECTURES, "all"])
    assert all(list(SPACES[name].networks) == [name] for name in ARCHITECTURES)
    assert sorted(SPACES["all"].networks) == sorted(ARCHITECTURES)


def test_a_space_passes_the_validation_of_a_users(space):
    assert space_problems(space) == []


def test_the_published_network_lies_in_the_ranges(name):
    published = asdict(ARCHITECTURES[name].config())
    assert [key for key, each in NETWORKS[name].items() if not lies_in(published[key], each)] == []


@pytest.mark.parametrize("sizes", RECURSIV)
def test_the_published_recursiv_networks_lie_in_the_ranges(sizes):
    ranges = NETWORKS["isotropic"]
    assert [key for key, each in ranges.items() if not lies_in(sizes[key], each)] == []


def test_some_networks_of_every_space_fit_the_default_budget_and_some_do_not(name):
    found = priced(SearchSettings(data="nowhere", space=name)).surveys[name]
    assert 0.05 < found.feasible_fraction < 0.95
    assert found.violations["macs"] > 0
    assert found.violations["params"] > 0
    assert found.violations["invalid"] < found.num_priced / 2


def test_most_isotropic_networks_are_over_the_default_budget():
    ranges = NETWORKS["isotropic"]
    values = [range(each.low, each.high + 1, each.step) for each in ranges.values()]
    points = list(itertools.product(*values))
    counts = [count(IsotropicConfig(**dict(zip(ranges, point, strict=True))), (1, 256, 65)) for point in points]
    over = sum(each.macs > 30_000_000 or each.params > 128_000 for each in counts)
    assert 0.6 < over / len(points) < 0.75


def test_the_published_training_lies_in_the_ranges():
    assert set(TRAINING) == set(PUBLISHED_TRAINING)
    assert [key for key, each in TRAINING.items() if not lies_in(PUBLISHED_TRAINING[key], each)] == []


@pytest.mark.parametrize("ranges", [*NETWORKS.values(), TRAINING, *METHODS.values()])
def test_a_step_divides_its_range(ranges):
    for each in ranges.values():
        if not isinstance(each, CategoricalDistribution) and each.step:
            steps = (each.high - each.low) / each.step
            assert steps == pytest.approx(round(steps))


def test_probabilities_stay_probabilities():
    for key in ("mix_style_p", "impulse_response_p"):
        distribution = TRAINING[key]
        assert isinstance(distribution, FloatDistribution)
        assert 0 <= distribution.low < distribution.high <= 1


def test_a_methods_name_is_no_architectures():
    assert not {*METHODS} & {*SPACES}


@pytest.mark.parametrize("method", sorted(METHODS))
def test_a_method_varies_fields_of_the_recipe_and_can_leave_them_at_their_default(method):
    default = asdict(Recipe())
    ranges = METHODS[method]
    assert set(ranges) <= set(default)
    assert [key for key, each in ranges.items() if not lies_in(default[key], each)] == []


def test_every_field_of_the_recipe_can_be_searched_by_a_name_but_those_of_the_run_itself():
    varied = {name for ranges in (TRAINING, *METHODS.values()) for name in ranges}
    # And momentum, which is refused with two optimizers of three, and warmup_steps, which is refused with warmup_share.
    own = {"epochs", "seed", "momentum", "warmup_steps"}
    assert varied == set(asdict(Recipe())) - own


def test_no_two_methods_vary_the_same_field():
    names = [name for ranges in METHODS.values() for name in ranges]
    assert len(names) == len(set(names))


def test_self_challenging_is_varied_up_to_one_half():
    assert METHODS["rsc"] == {"drop_f": FloatDistribution(0.0, 0.5), "drop_b": FloatDistribution(0.0, 0.5)}
