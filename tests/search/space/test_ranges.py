"""Values of ranges: drawn by us, suggested by Optuna, rounded to steps."""

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FixedTrial

from search.space.ranges import all_values, draw, nearest, normalize, num_values, perturb, suggest
from search.study.optuna_private import contains

RANGES = [
    IntDistribution(8, 64, step=8),
    IntDistribution(1, 200, log=True),
    IntDistribution(7, 7),
    FloatDistribution(1.0, 2.4, step=0.1),
    FloatDistribution(0.0, 0.5),
    FloatDistribution(1e-4, 1e-1, log=True),
    CategoricalDistribution([False, True]),
    CategoricalDistribution(["none", "some"]),
]


@pytest.fixture(params=RANGES, ids=str)
def distribution(request):
    return request.param


def test_drawn_and_suggested_values_lie_in_the_range(distribution):
    rng = np.random.default_rng(0)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    drawn = [draw(distribution, rng) for _ in range(300)]
    sampled = [suggest(study.ask(), "x", distribution) for _ in range(300)]
    for value in (*drawn, *sampled):
        assert contains(distribution, value)
        assert type(value) in {int, float, bool, str}
        assert nearest(distribution, value) == value
    if num_values(distribution) < 100:
        assert set(drawn) == set(sampled) == set(all_values(distribution))
    if not isinstance(distribution, CategoricalDistribution):
        places = [normalize(distribution, value) for value in drawn]
        assert min(places) >= 0
        assert max(places) <= 1
        if num_values(distribution) > 1:
            assert abs(np.mean(places) - 0.5) < 0.06  # on its own scale each place is as likely


def test_a_range_of_a_million_values_is_not_listed_to_draw_one():
    rng = np.random.default_rng(0)
    wide = IntDistribution(1, 10**12)
    assert len({draw(wide, rng) for _ in range(100)}) == 100


def test_rounding_errors_of_steps_are_corrected():
    growth = FloatDistribution(1.0, 2.4, step=0.1)
    assert 1.7000000000000002 not in all_values(growth)
    assert suggest(FixedTrial({"growth": 1.7000000000000002}), "growth", growth) == 1.7


def test_a_perturbed_value_lies_in_the_range_and_near_where_it_was(distribution):
    rng = np.random.default_rng(0)
    value = draw(distribution, rng)
    found = [perturb(distribution, value, 0.1, rng) for _ in range(200)]
    assert all(contains(distribution, each) for each in found)
    if not isinstance(distribution, CategoricalDistribution) and not distribution.single():
        away = [abs(normalize(distribution, each) - normalize(distribution, value)) for each in found]
        assert 0 < np.mean(away) < 0.15
