"""Feature encoding of configurations: which are close to each other, which are not, and imputed values."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from search.optimizer.features import COST_LENGTH_SCALE, FeatureEncoder
from search.optimizer.gaussian_process import GaussianProcess, matern52
from search.space.subspace import Subspace

RANGES = {
    "learning_rate": FloatDistribution(1e-4, 1e-2, log=True),
    "norm": CategoricalDistribution(["batch", "layer", "none"]),
    "batch_size": CategoricalDistribution([64, 16, 32]),
}
SUBSPACES = {
    "one": Subspace("one", {**RANGES, "one.width": IntDistribution(8, 24, step=8)}, {}),
    "other": Subspace("other", {**RANGES, "other.depth": IntDistribution(1, 5)}, {}),
}
VALUES = {"learning_rate": 1e-3, "norm": "batch", "batch_size": 32}
ENCODER = FeatureEncoder(SUBSPACES)
SCALES = ENCODER.length_scales()


def cost(macs=10**7, params=10**4):
    return SimpleNamespace(macs=macs, params=params)


def encode(architecture="one", macs=10**7, **values):
    return ENCODER.encode(architecture, {**VALUES, **values}, cost(macs))


def distance(one, other):
    return float(np.linalg.norm((one - other) / SCALES))


def test_unordered_choices_are_equally_far_apart_and_ordered_ones_by_their_order():
    batch, layer, none = (encode(norm=each) for each in ("batch", "layer", "none"))
    assert distance(batch, layer) == pytest.approx(distance(layer, none)) == pytest.approx(distance(batch, none))
    assert distance(batch, layer) > 0
    small, middle, large = (encode(batch_size=each) for each in (16, 32, 64))
    assert distance(small, middle) == pytest.approx(distance(middle, large))
    assert distance(small, middle) == pytest.approx(distance(small, large) / 2)


def test_a_logarithmic_range_is_normalized_on_its_scale():
    low, middle, high = (encode(learning_rate=each) for each in (1e-4, 1e-3, 1e-2))
    assert distance(low, middle) == pytest.approx(distance(middle, high))


def test_a_tenth_of_the_cost_is_the_same_distance_at_every_size():
    small, middle, large = (encode(macs=each) for each in (10**5, 10**6, 10**7))
    assert distance(small, middle) == pytest.approx(distance(middle, large)) == pytest.approx(1 / COST_LENGTH_SCALE)


def test_a_setting_that_a_configuration_does_not_have_is_imputed_in_the_middle():
    assert distance(encode(), encode(**{"one.width": 16})) == 0
    assert distance(encode(**{"one.width": 8}), encode()) == pytest.approx(0.5 / math.sqrt(5))


def test_architectures_of_the_same_cost_and_settings_are_correlated_but_not_fully():
    one, other = encode("one") / SCALES, encode("other") / SCALES
    assert matern52(one[None], other[None])[0, 0] == pytest.approx(0.83, abs=0.01)


def test_what_one_architecture_learns_moves_the_prediction_of_another_but_leaves_it_less_certain():
    sizes = [10**power for power in (5, 6, 7, 8)]
    x = np.stack([encode("one", macs=macs) for macs in sizes])
    process = GaussianProcess(x, np.array([0.2, 0.4, 0.6, 0.8]), np.zeros(4), SCALES)
    (own, strange), (own_deviation, strange_deviation) = process.predict(
        np.stack([encode("one", macs=10**8), encode("other", macs=10**8)])
    )
    assert 0.5 * (own - 0.5) < strange - 0.5 < 0.95 * (own - 0.5)
    assert strange_deviation > 1.5 * own_deviation


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
def test_a_value_out_of_its_range_is_clipped_and_an_unknown_choice_is_like_none(name, value, as_if):
    found = encode(**{name: value})
    assert np.isfinite(found).all()
    if as_if is not None:
        assert distance(found, encode(**{name: as_if})) == 0


def test_an_architecture_that_is_not_searched_has_its_cost_alone():
    found = ENCODER.encode("gone", {}, cost(macs=0, params=0))
    assert np.isfinite(found).all()
    assert found[:2].tolist() == [0.0, 0.0]
    assert found[-2:].tolist() == [0.0, 0.0]


def test_settings_that_do_not_vary_are_no_features():
    single = {"learning_rate": FloatDistribution(0.1, 0.1), "norm": CategoricalDistribution(["only"])}
    encoder = FeatureEncoder({"one": Subspace("one", single, {})})
    assert len(encoder.encode("one", {"norm": "only"}, cost())) == 3
    assert len(encoder.length_scales()) == 3
