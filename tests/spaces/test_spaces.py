"""Promises that every space keeps."""

import itertools
from dataclasses import asdict, fields

import optuna
import pytest
from optuna.distributions import FloatDistribution

from models import ARCHITECTURES
from models.isotropic import IsotropicConfig, count
from spaces import SPACES, TRAINING

# The training settings of the ASCDomain report, DCASE 2024 task 1; 2,000 of 81,900 steps are warm-up.
PUBLISHED_TRAINING = {
    "learning_rate": 0.005,
    "weight_decay": 1e-4,
    "warmup_share": 0.0244,
    "batch_size": 256,
    "mix_style_p": 0.4,
    "mix_style_alpha": 0.3,
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


@pytest.fixture(params=sorted(SPACES))
def space(request):
    return SPACES[request.param]


def lies_in(value, distribution):
    return distribution._contains(distribution.to_internal_repr(value))


def asked(ranges, number):
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    return [study.ask(dict(ranges)).params for _ in range(number)]


@pytest.fixture(autouse=True)
def quiet():
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def test_every_architecture_has_a_space_of_its_name():
    assert {name: space.architecture for name, space in SPACES.items()} == {name: name for name in ARCHITECTURES}


def test_ranges_name_config_fields(space):
    names = {field.name for field in fields(ARCHITECTURES[space.architecture].config)}
    assert set(space.ranges) <= names
    assert "num_classes" not in space.ranges  # the data's, not the search's


def test_the_published_network_lies_in_the_ranges(space):
    published = asdict(ARCHITECTURES[space.architecture].config())
    assert [key for key, each in space.ranges.items() if not lies_in(published[key], each)] == []


@pytest.mark.parametrize("sizes", RECURSIV)
def test_the_published_recursiv_networks_lie_in_the_ranges(sizes):
    ranges = SPACES["isotropic"].ranges
    assert [key for key, each in ranges.items() if not lies_in(sizes[key], each)] == []


def test_every_point_makes_a_config_that_can_be_priced(space):
    entry = ARCHITECTURES[space.architecture]
    for values in asked(space.ranges, 200):
        assert entry.count(entry.config(**values), (1, 256, 65)).macs > 0


def test_some_networks_of_every_space_fit_the_default_budget_and_some_do_not(space):
    entry = ARCHITECTURES[space.architecture]
    counts = [entry.count(entry.config(**values), (1, 256, 65)) for values in asked(space.ranges, 200)]
    fitting = [each for each in counts if each.macs <= 30_000_000 and each.params <= 128_000]
    assert 20 < len(fitting) < 180


def test_most_isotropic_networks_are_over_the_default_budget():
    ranges = SPACES["isotropic"].ranges
    values = [range(each.low, each.high + 1, each.step) for each in ranges.values()]
    points = list(itertools.product(*values))
    counts = [count(IsotropicConfig(**dict(zip(ranges, point, strict=True))), (1, 256, 65)) for point in points]
    over = sum(each.macs > 30_000_000 or each.params > 128_000 for each in counts)
    assert 0.6 < over / len(points) < 0.75


def test_the_published_training_lies_in_the_ranges():
    assert set(TRAINING) == set(PUBLISHED_TRAINING)
    assert [key for key, each in TRAINING.items() if not lies_in(PUBLISHED_TRAINING[key], each)] == []


@pytest.mark.parametrize("ranges", [*(space.ranges for space in SPACES.values()), TRAINING])
def test_a_step_divides_its_range(ranges):
    for each in ranges.values():
        if each.step:
            steps = (each.high - each.low) / each.step
            assert steps == pytest.approx(round(steps))


def test_probabilities_stay_probabilities():
    for key in ("mix_style_p", "impulse_response_p"):
        distribution = TRAINING[key]
        assert isinstance(distribution, FloatDistribution)
        assert 0 <= distribution.low < distribution.high <= 1
