"""Sobol designs, and a search that begins with one."""

from collections import Counter

import numpy as np
import optuna
import pytest
import torch
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from search.config.settings import SearchSettings
from search.optimizer.scheduler import TrialScheduler
from search.space.sobol import from_uniform, sobol_points
from search.space.subspace import Subspace
from search.study.optuna_private import contains
from tests.search.priced import priced

RANGES = {
    "isotropic.width": IntDistribution(8, 64, step=8),
    "isotropic.depth": IntDistribution(1, 64, log=True),
    "isotropic.kernel": CategoricalDistribution([3, 5, 7, 9]),
    "learning_rate": FloatDistribution(1e-4, 1e-1, log=True),
    "mixup": FloatDistribution(0.0, 1.6, step=0.2),
    "drop": FloatDistribution(-1.0, 1.0),
}
SUBSPACE = Subspace("isotropic", RANGES, {})


def test_every_value_is_equally_frequent():
    points = sobol_points(SUBSPACE, 64, seed=3)
    for name, expected in (("isotropic.width", 8), ("isotropic.kernel", 16)):
        assert set(Counter(point[name] for point in points).values()) == {expected}, name
    rates = np.log10([point["learning_rate"] for point in points])
    assert [int(((rates >= low) & (rates < low + 1)).sum()) for low in (-4, -3, -2)] == pytest.approx(
        [21, 21, 21], abs=1
    )
    assert sum(point["drop"] < 0 for point in points) == 32


def test_points_lie_in_their_ranges():
    for point in sobol_points(SUBSPACE, 100, seed=0):
        for name, distribution in RANGES.items():
            assert contains(distribution, point[name]), (name, point)


@pytest.mark.parametrize("distribution", RANGES.values())
def test_the_ends_of_a_range_are_reached(distribution):
    found = {from_uniform(distribution, share) for share in (0.0, 1 - 1e-12)}
    if isinstance(distribution, CategoricalDistribution):
        assert found == {distribution.choices[0], distribution.choices[-1]}
    else:
        assert sorted(found) == pytest.approx([distribution.low, distribution.high])


def test_points_depend_on_seed_and_architecture_and_can_be_computed_one_by_one():
    torch.manual_seed(1)
    points = sobol_points(SUBSPACE, 8, seed=3)
    torch.manual_seed(2)
    assert [sobol_points(SUBSPACE, 1, seed=3, skip=number)[0] for number in range(8)] == points
    assert sobol_points(SUBSPACE, 8, seed=4) != points
    assert sobol_points(Subspace("cp_mobile", RANGES, {}), 8, seed=3) != points


def recorded(study):
    return [(trial.params, trial.user_attrs) for trial in study.get_trials()]


def test_a_search_begins_with_a_sobol_design_of_feasible_points_and_a_kill_loses_none():
    settings = SearchSettings(
        data="nowhere", space="isotropic,cp_mobile", trials=20, epochs=1, sobol=3, budget="macs=10M", seed=2
    )
    space = priced(settings, num_drawn=200)
    whole, killed = (optuna.create_study(directions=["maximize", "minimize"]) for _ in range(2))
    scheduler = TrialScheduler(whole, space)
    for _ in range(12):
        scheduler.propose()
    for known in range(0, 12, 6):
        scheduler = TrialScheduler(killed, space)
        for _ in range(known + 6):  # what is running is resumed first
            scheduler.propose()
    assert recorded(whole) == recorded(killed)
    origins = [attributes.get("origin", {"kind": "sampled"}) for _, attributes in recorded(whole)]
    kinds = [origin["kind"] for origin in origins]
    assert kinds[:2] == ["published"] * 2
    fitting = Counter(
        origin["architecture"]
        for origin, (_, attributes) in zip(origins, recorded(whole), strict=True)
        if origin["kind"] == "sobol" and "rejected" not in attributes
    )
    assert fitting == {"isotropic": 3, "cp_mobile": 3}
    assert "sampled" in kinds
    assert "sobol" not in kinds[kinds.index("sampled") :]
