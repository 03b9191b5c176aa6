"""Projection to the feasible set, against a search of everything that fits."""

import itertools

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution

from models import ARCHITECTURES
from objectives.budget import parse_budget
from search.config.settings import SearchSettings
from search.space.feasibility import survey_subspace
from search.space.priced_space import price_space
from search.space.projection import GRID_POINTS, coordinate_descent, projections
from search.space.ranges import draw
from search.space.search_space import make_search_space
from tests.search.priced import priced

BUDGET = "macs=6M,params=40K"
# The values of a small space, written out, and the sizes without an order.
GRID = {
    "cp_resnet.width": range(16, 113, 16),
    "cp_resnet.groups": (1, 2, 4, 8, 16),
    "cp_resnet.rho": range(9),
    "cp_resnet.damped": (False, True),
}
UNORDERED = {"cp_resnet.groups", "cp_resnet.damped"}
CONTINUOUS = """
networks:
  cp_mobile:
    base_channels: {low: 8, high: 64, step: 8}
    growth: {low: 1.0, high: 2.4}
    expansion: {low: 1.0, high: 4.0, log: true}
    depth_1: {low: 1, high: 4}
    depth_3: [1, 2, 3]
front_ends: [dcase24, tfsepnet]
training: {}
"""


@pytest.fixture(scope="module")
def exhaustive():
    search_settings = SearchSettings(
        data="nowhere", space="cp_resnet", budget=BUDGET,
        set={"tail_blocks": 0, "block_scale": False}, ranges={"width": [16, 112]},
    )  # fmt: skip
    return priced(search_settings).surveys["cp_resnet"]


@pytest.fixture(scope="module")
def fits():
    """Every point of the grid that fits, by the architecture's own count."""
    entry = ARCHITECTURES["cp_resnet"]
    found = []
    for width, groups, rho, damped in itertools.product(*GRID.values()):
        config = entry.config(width=width, groups=groups, rho=rho, damped=damped, tail_blocks=0, block_scale=False)
        counts = entry.count(config, (1, 256, 44))
        if counts.macs <= 6_000_000 and counts.params <= 40_000:
            found.append((width, groups, rho, damped))
    return found


@pytest.fixture(scope="module")
def continuous(tmp_path_factory):
    path = tmp_path_factory.mktemp("space") / "continuous.yaml"
    path.write_text(CONTINUOUS)
    space = make_search_space(SearchSettings(data="nowhere", space=str(path), budget=BUDGET), num_classes=10)
    found = price_space(space, num_drawn=300).surveys["cp_mobile"]
    assert not found.is_exhaustive
    return found


def steps_between(point, other):
    """Return how far each value moves as a share of its range; another choice counts as a whole range."""
    return sum(
        float(point[name] != b)
        if name in UNORDERED
        else abs(values.index(point[name]) - values.index(b)) / (len(values) - 1)
        for (name, values), b in zip(GRID.items(), other, strict=True)
    )


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.fixed_dictionaries({name: st.sampled_from(list(values)) for name, values in GRID.items()}))
def test_of_all_feasible_networks_the_nearest_comes_first(exhaustive, fits, wanted):
    assert exhaustive.is_exhaustive
    assert 0 < len(fits) < len(list(itertools.product(*GRID.values())))
    found = list(itertools.islice(projections(exhaustive, parse_budget(BUDGET), "fp16", wanted), 20))
    away = sorted(steps_between(wanted, other) for other in fits)
    assert all(tuple(found.values()) in fits for found in found)
    assert [steps_between(wanted, found.values()) for found in found] == pytest.approx(away[:20], abs=1e-5)


def test_the_projections_of_an_exhaustive_survey_are_all_feasible_networks_once(exhaustive, fits):
    wanted = {name: max(values) for name, values in GRID.items()}
    found = [tuple(values.values()) for values in projections(exhaustive, parse_budget(BUDGET), "fp16", wanted)]
    assert sorted(found) == sorted(fits)


def nearer(distribution, here, wanted):
    """List the values that would be a smaller change: all of a range with steps, evenly spaced ones of another."""
    if isinstance(distribution, CategoricalDistribution):
        return [wanted] if here != wanted else []
    if isinstance(distribution, FloatDistribution):
        spaced = np.geomspace if distribution.log else np.linspace
        values = [wanted, *spaced(distribution.low, distribution.high, GRID_POINTS).tolist()]
    else:
        values = range(distribution.low, distribution.high + 1, distribution.step)
    low, high = min(here, wanted), max(here, wanted)
    return [value for value in values if value != here and low <= value <= high and abs(value - wanted) < high - low]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 10**6))
def test_of_a_sample_no_single_value_can_move_closer_and_still_fit(continuous, seed):
    rng, subspace, budget = np.random.default_rng(seed), continuous.subspace, parse_budget(BUDGET)
    wanted = {name: draw(each, rng) for name, each in subspace.cost_ranges.items()}
    found = next(projections(continuous, budget, "fp16", wanted))
    priced = subspace.cost_function("fp16")
    assert budget.fits(priced(list(found.values())))
    for name, distribution in subspace.cost_ranges.items():
        for value in nearer(distribution, found[name], wanted[name]):
            assert not budget.fits(priced(list({**found, name: value}.values()))), (name, value)


def test_a_feasible_network_is_its_own_projection(exhaustive, continuous):
    for found in (exhaustive, continuous):
        for values in found.feasible[::37]:
            wanted = dict(zip(found.subspace.cost_ranges, values, strict=True))
            assert next(projections(found, parse_budget(BUDGET), "fp16", wanted)) == wanted


def test_the_projections_of_a_sample_all_fit(continuous):
    wanted = {
        **dict(zip(continuous.subspace.cost_ranges, continuous.feasible[0], strict=True)),
        "cp_mobile.growth": 2.4,
    }
    budget = parse_budget(BUDGET)
    priced = continuous.subspace.cost_function("fp16")
    found = list(projections(continuous, budget, "fp16", wanted))
    assert len(found) == len(continuous.feasible) > 20
    assert all(budget.fits(priced(list(values.values()))) for values in found)


def test_coordinate_descent_finds_what_a_random_sample_misses():
    search_settings = SearchSettings(data="nowhere", space="cp_mobile", budget="macs=1M,params=4K")
    space = make_search_space(search_settings, num_classes=10)
    subspace = space.subspaces["cp_mobile"]
    drawn = survey_subspace(subspace, space.budget, "fp16", num_drawn=100, max_enumerated=0)
    assert drawn.feasible == []
    after = price_space(space, 960, num_drawn=100, max_enumerated=0)
    found = after.surveys["cp_mobile"]
    priced = subspace.cost_function("fp16")
    assert len(found.feasible) == 1
    assert space.budget.fits(priced(found.feasible[0]))
    assert after.subspaces["cp_mobile"].cost_ranges == subspace.cost_ranges
    wanted, start = after.published["cp_mobile"]
    assert wanted != start
    assert space.budget.fits(priced([start[name] for name in subspace.cost_ranges]))


def test_where_nothing_fits_the_descent_finds_the_nearest_network():
    search_settings = SearchSettings(
        data="nowhere", space="cp_resnet", budget="macs=10K,params=4K", ranges={"width": [16, 64]}
    )
    space = priced(search_settings)
    exhaustive = space.surveys["cp_resnet"]
    assert exhaustive.is_exhaustive
    drawn = survey_subspace(exhaustive.subspace, space.budget, "fp16", num_drawn=5, max_enumerated=0)
    found = coordinate_descent(drawn.subspace, space.budget, "fp16", drawn.nearest.values)
    cost = drawn.subspace.cost_function("fp16")(list(found.values()))
    assert max(space.budget.excess(cost).values()) == pytest.approx(max(exhaustive.nearest.excess.values()))


def test_a_fixed_value_does_not_change():
    search_settings = SearchSettings(data="nowhere", space="cp_mobile", budget="macs=1M,params=4K")
    subspace = make_search_space(search_settings, num_classes=10).subspaces["cp_mobile"]
    published = subspace.published({})
    start = {name: published[name] for name in subspace.cost_ranges}
    found = coordinate_descent(
        subspace, parse_budget("macs=1M,params=4K"), "fp16", start, fixed="cp_mobile.base_channels"
    )
    assert found["cp_mobile.base_channels"] == 32
    assert found["cp_mobile.depth_1"] < start["cp_mobile.depth_1"]
