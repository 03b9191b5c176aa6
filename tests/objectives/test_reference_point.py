"""The reference point of a front, and objectives scaled above it."""

import math

import numpy as np
import pytest

from objectives.front import hypervolume
from objectives.goals import GOALS, of_kind
from objectives.quality import figures, measure_quality
from objectives.reference import LEAST_COST, MOST_COST, chance_value, least_cost, normalized, reference_point

NAMES = list(GOALS)
CLASSES, DEVICES = ("bus", "park", "tram"), ("a", "s4")
GROUPS = {"a": "real", "s4": "unseen"}


def test_chance_is_what_a_uniform_prediction_measures_on_balanced_clips():
    labels, devices = np.tile([0, 1, 2], 4), np.repeat([0, 1], 6)
    uniform = np.log(np.full((12, 3), 1 / 3))
    quality = measure_quality(uniform, labels, devices, classes=CLASSES, device_names=DEVICES, device_groups=GROUPS)
    for name, value in figures(quality).items():
        assert chance_value(name, 3) == pytest.approx(value)


def test_the_reference_is_zero_and_the_ideal_is_one_in_every_objective():
    worst = reference_point(NAMES, 10, {"macs": 30e6})
    ideal = [LEAST_COST.get(name, 1.0 if GOALS[name].maximize else 0.0) for name in NAMES]
    assert normalized([worst, ideal], NAMES, 10, {"macs": 30e6}) == pytest.approx(
        np.array([[0.0] * len(NAMES), [1.0] * len(NAMES)])
    )


def test_halving_a_cost_gains_the_same_at_every_size():
    gains = normalized([[2e6], [1e6], [5e5]], ["macs"], 10, {"macs": 30e6})[:, 0]
    assert gains[1] - gains[0] == pytest.approx(gains[2] - gains[1]) == pytest.approx(math.log(2) / math.log(3000))


def test_a_cost_below_the_least_gains_no_more_and_one_over_the_limit_is_negative():
    found = normalized([[0.5, 10], [0.5, 40e6], [0.05, 1e6]], ["macro_accuracy", "macs"], 10, {"macs": 30e6})
    assert found[0, 1] == 1.0
    assert found[1, 1] < 0
    assert found[2, 0] < 0


def test_a_limit_near_the_least_cost_moves_it_down():
    assert least_cost("macs", 20_000) == 200
    assert np.isfinite(normalized([[5_000]], ["macs"], 10, {"macs": 20_000})).all()


def test_every_cost_has_a_least_and_a_most():
    assert set(of_kind("cost", NAMES)) == set(LEAST_COST) == set(MOST_COST)


def test_the_whole_hypervolume_is_one_and_chance_has_none():
    scaled = normalized([[1.0, 1_000], [0.1, 5e6]], ["macro_accuracy", "macs"], 10, {"macs": 30e6})
    assert hypervolume(scaled[:1], [0, 0], [True, True]) == pytest.approx(1.0)
    assert hypervolume(scaled[1:], [0, 0], [True, True]) == 0.0


def test_without_points_the_table_is_empty_and_unknown_values_stay_unknown():
    assert normalized([], ["macro_accuracy", "macs"], 10, {}).shape == (0, 2)
    assert np.isnan(normalized([[math.nan, math.nan]], ["log_loss", "macs"], 10, {})).all()


def test_what_is_wrong_is_said():
    with pytest.raises(ValueError, match="at least 2 classes, got 1"):
        chance_value("log_loss", 1)
    with pytest.raises(ValueError, match="macs is a cost"):
        chance_value("macs", 10)
    with pytest.raises(ValueError, match=r"\(N, 2\), a column for each objective, got \(1, 3\)"):
        normalized([[1, 2, 3]], ["log_loss", "macs"], 10, {})
    with pytest.raises(ValueError, match="macs must not be negative, got -1"):
        normalized([[-1.0]], ["macs"], 10, {})
