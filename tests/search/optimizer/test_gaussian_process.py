"""What the process expects, against the formulas of a textbook and where there is next to nothing to learn from."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from search.optimizer import gaussian_process as surrogate_module
from search.optimizer.gaussian_process import (
    ABSENT,
    APART,
    MAX_OBSERVED,
    Features,
    GaussianProcess,
    Observation,
    winsorized,
)
from search.space.subspace import Subspace

RANGES = {
    "learning_rate": FloatDistribution(1e-4, 1e-2, log=True),
    "norm": CategoricalDistribution(["batch", "layer", "none"]),
    "batch_size": CategoricalDistribution([64, 16, 32]),
}
BRANCHES = {
    "one": Subspace("one", {**RANGES, "one.width": IntDistribution(8, 24, step=8)}, {}),
    "other": Subspace("other", {**RANGES, "other.depth": IntDistribution(1, 5)}, {}),
}
VALUES = {"learning_rate": 1e-3, "norm": "batch", "batch_size": 32}


@pytest.fixture
def features():
    return Features(BRANCHES)


def cost(macs=10**7, params=10**4):
    return SimpleNamespace(macs=macs, params=params)


def of(features, architecture="one", macs=10**7, **values):
    return features.of(architecture, {**VALUES, **values}, cost(macs))


def hold(monkeypatch, noise):
    """Leave the process nothing to choose."""
    monkeypatch.setattr(surrogate_module, "SCALES_OF_COST", (0.6,))
    monkeypatch.setattr(surrogate_module, "SCALES_OF_SETTINGS", (1.0,))
    monkeypatch.setattr(surrogate_module, "NOISES", (noise,))


def alike(one, other):
    """Matern 5/2, number by number."""
    away = [(a - b) / (0.6 if place < 2 else 1.0) for place, (a, b) in enumerate(zip(one, other, strict=True))]
    r = math.sqrt(5 * sum(each**2 for each in away))
    return (1 + r + r * r / 3) * math.exp(-r)


def test_one_observation_is_drawn_towards_as_its_noise_allows(features, monkeypatch):
    hold(monkeypatch, 0.3)
    x, new = of(features), of(features, macs=2 * 10**7, learning_rate=3e-3)
    process = GaussianProcess(features, [Observation(x, 0.4, 0.0)])
    mean, deviation = process.expect(np.stack([x, new]))
    assert mean == pytest.approx([0.4, 0.4])  # all that was observed is also the mean
    for place, at in enumerate((x, new)):
        assert deviation[place] ** 2 == pytest.approx(1 - alike(at, x) ** 2 / (1 + 0.3**2))


def test_two_observations_are_weighed_as_the_inverse_of_two_by_two_says(features, monkeypatch):
    hold(monkeypatch, 0.3)
    a, b, new = of(features), of(features, "other", macs=10**6), of(features, macs=4 * 10**6)
    process = GaussianProcess(features, [Observation(a, 0.6, 0.0), Observation(b, 0.2, 0.01)])
    spread, k, ka, kb = 0.2, alike(a, b), alike(new, a), alike(new, b)
    sa, sb = 1 + 0.3**2, 1 + 0.3**2 + 0.01 / spread**2
    determinant = sa * sb - k * k
    wa, wb = (ka * sb - kb * k) / determinant, (kb * sa - ka * k) / determinant
    mean, deviation = process.expect(new[None])
    assert mean[0] == pytest.approx(0.4 + spread * (wa * 1 + wb * -1))
    assert deviation[0] == pytest.approx(spread * math.sqrt(1 - wa * ka - wb * kb))
    assert process.mean(new[None])[0] == pytest.approx(mean[0])
    assert process.noise == pytest.approx(0.3 * spread)


def test_many_observations_are_what_the_full_inverse_gives_and_the_likeliest_is_chosen(features):
    rng = np.random.default_rng(1)
    x = np.stack(
        [of(features, macs=10 ** rng.uniform(5, 8), learning_rate=10 ** rng.uniform(-4, -2)) for _ in range(9)]
    )
    values = rng.normal(size=9)
    extra = rng.uniform(0, 0.1, size=9)
    process = GaussianProcess(features, [Observation(*each) for each in zip(x, values, extra, strict=True)])
    y = (values - values.mean()) / values.std()
    found = []
    for of_cost in surrogate_module.SCALES_OF_COST:
        for of_settings in surrogate_module.SCALES_OF_SETTINGS:
            z = x / features.scales(of_cost, of_settings)
            r = np.sqrt(5) * np.linalg.norm(z[:, None] - z[None], axis=2)
            k = (1 + r + r**2 / 3) * np.exp(-r)
            for noise in surrogate_module.NOISES:
                full = k + np.diag(noise**2 + extra / values.var())
                likely = -0.5 * y @ np.linalg.inv(full) @ y - 0.5 * np.linalg.slogdet(full)[1]
                mean = values.mean() + values.std() * (k @ np.linalg.inv(full) @ y)
                deviation = values.std() * np.sqrt(np.diag(np.ones((9, 9)) - k @ np.linalg.inv(full) @ k))
                found.append((likely, mean, deviation))
    _, mean, deviation = max(found, key=lambda each: each[0])
    assert process.expect(x)[0] == pytest.approx(mean, abs=1e-6)
    assert process.expect(x)[1] == pytest.approx(deviation, abs=1e-6)


def test_without_noise_it_goes_through_what_was_observed(features, monkeypatch):
    hold(monkeypatch, 0.0)
    x = np.stack([of(features, macs=10**power) for power in (5, 6, 7, 8)])
    values = [0.2, 0.5, 0.4, 0.9]
    mean, deviation = GaussianProcess(
        features, [Observation(*each, 0.0) for each in zip(x, values, strict=True)]
    ).expect(x)
    assert mean == pytest.approx(values, abs=1e-5)
    assert deviation.max() < 1e-3
    between = GaussianProcess(features, [Observation(*each, 0.0) for each in zip(x, values, strict=True)])
    assert between.expect(of(features, macs=3 * 10**6)[None])[1][0] > 0.01


def test_the_same_observed_twice_without_noise_is_their_mean(features, monkeypatch):
    hold(monkeypatch, 0.0)
    process = GaussianProcess(features, [Observation(of(features), value, 0.0) for value in (0.3, 0.5)])
    assert process.expect(of(features)[None])[0][0] == pytest.approx(0.4)


@pytest.mark.parametrize("values", [[0.1] * 7, [0.1 + 1e-17] * 3, [0.3], [1e6] * 4])
@pytest.mark.parametrize("variance", [0.0, 1e-12, 1e9])
def test_of_values_that_do_not_differ_it_expects_the_same_everywhere(features, values, variance):
    observed = [Observation(of(features, macs=10**6 + place), value, variance) for place, value in enumerate(values)]
    mean, deviation = GaussianProcess(features, observed).expect(
        np.stack([of(features), of(features, "other", macs=10**5)])
    )
    assert mean == pytest.approx([values[0]] * 2)
    assert np.isfinite(deviation).all()
    assert (deviation > 0).all()


@pytest.mark.parametrize("values", [[0.1, 0.9, 0.5], [1e-300, 0.0, 2e-300], [-1e12, 1e12, 3.0]])
def test_of_configurations_that_are_all_alike_it_expects_about_their_mean(features, values):
    mean, deviation = GaussianProcess(features, [Observation(of(features), value, 0.0) for value in values]).expect(
        np.stack([of(features), of(features, "other", macs=1)])
    )
    assert mean == pytest.approx([np.mean(values)] * 2, abs=1e-6 * max(map(abs, values)))
    assert np.isfinite(deviation).all()


def test_what_is_uncertain_says_less(features):
    x = of(features)
    others = [Observation(of(features, macs=10**5), 0.2, 0.0), Observation(of(features, macs=10**9), 0.3, 0.0)]
    sure, unsure = (GaussianProcess(features, [*others, Observation(x, 0.9, each)]) for each in (0.0, 0.5))
    assert sure.expect(x[None])[0][0] > unsure.expect(x[None])[0][0]


def test_a_value_far_out_does_not_hide_what_the_others_tell(features):
    x = np.stack([of(features, macs=10 ** (5 + place / 4)) for place in range(12)])
    values = 2.0 - 0.1 * np.arange(12)
    broken = values.copy()
    broken[0] = 80.0
    expected = GaussianProcess(features, [Observation(*each, 0.0) for each in zip(x, broken, strict=True)]).mean(x)
    assert expected[4] - expected[11] > 0.4
    assert expected.argmax() == 0
    assert winsorized(np.array([0.1] * 9 + [0.5])).tolist() == [0.1] * 9 + [0.5]  # no scale to tell what is far
    assert winsorized(np.zeros(0)).tolist() == []


def test_only_the_latest_are_learned_from(features):
    rng = np.random.default_rng(0)
    latest = [
        Observation(of(features, macs=10 ** rng.uniform(5, 8)), float(rng.normal()), 0.0) for _ in range(MAX_OBSERVED)
    ]
    before = [Observation(of(features), 50.0, 0.0)] * 5
    at = of(features)[None]
    assert GaussianProcess(features, before + latest).expect(at) == GaussianProcess(features, latest).expect(at)


def apart(one, other):
    return float(np.linalg.norm(one - other))


def test_every_pair_of_unordered_choices_is_as_far_apart_and_ordered_ones_by_their_order(features):
    batch, layer, none = (of(features, norm=each) for each in ("batch", "layer", "none"))
    assert apart(batch, layer) == pytest.approx(apart(layer, none)) == pytest.approx(apart(batch, none))
    assert apart(batch, layer) > 0
    small, middle, large = (of(features, batch_size=each) for each in (16, 32, 64))
    assert apart(small, middle) == pytest.approx(apart(middle, large)) == pytest.approx(apart(small, large) / 2)


def test_distances_are_the_same_both_ways_and_from_either_end(features):
    low, middle, high = (of(features, learning_rate=each) for each in (1e-4, 1e-3, 1e-2))
    assert apart(low, middle) == pytest.approx(apart(middle, high))
    process = GaussianProcess(
        features, [Observation(middle, 0.2, 0.0), Observation(of(features, macs=10**5), 0.6, 0.0)]
    )
    mean, deviation = process.expect(np.stack([low, high]))
    assert mean[0] == pytest.approx(mean[1])
    assert deviation[0] == pytest.approx(deviation[1])


def test_a_value_that_a_configuration_does_not_have_lies_in_the_middle(features):
    middle = of(features, **{"one.width": 16})
    assert apart(of(features), middle) == 0
    assert apart(of(features, **{"one.width": 8}), of(features)) == pytest.approx(ABSENT / math.sqrt(5))


def test_two_architectures_are_apart_all_else_alike(features):
    assert apart(of(features), of(features, "other")) == pytest.approx(APART * math.sqrt(2))


@pytest.mark.parametrize(
    ("name", "value", "as_if"),
    [
        ("learning_rate", 0.0, 1e-4),
        ("learning_rate", 5.0, 1e-2),
        ("one.width", -3, 8),
        ("batch_size", 48, None),
        ("norm", "group", None),
    ],
)
def test_a_value_outside_of_its_range_is_at_its_end_or_like_none(features, name, value, as_if):
    found = of(features, **{name: value})
    assert np.isfinite(found).all()
    if as_if is not None:
        assert apart(found, of(features, **{name: as_if})) == 0


def test_an_architecture_that_is_not_searched_has_its_cost_alone(features):
    found = features.of("gone", {}, cost(macs=0, params=0))
    assert np.isfinite(found).all()
    assert found[:2].tolist() == [0.0, 0.0]


def test_values_that_do_not_vary_are_left_out():
    single = {"learning_rate": FloatDistribution(0.1, 0.1), "norm": CategoricalDistribution(["only"])}
    assert len(Features({"one": Subspace("one", single, {})}).of("one", {"norm": "only"}, cost())) == 3
