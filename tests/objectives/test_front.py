"""Fronts and hypervolumes against cases by hand, and against brute force on small grids."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from objectives.front import hypervolume, hypervolume_improvement, non_dominated, non_dominated_rank

BEST_CHEAP = (True, False)  # accuracy up, MACs down

small_points = st.integers(1, 3).flatmap(
    lambda width: st.tuples(
        st.lists(st.tuples(*[st.integers(0, 4)] * width), min_size=1, max_size=8),
        st.tuples(*[st.booleans()] * width),
    )
)


def dominates(p, q, maximize):
    signed = [(a, b) if up else (-a, -b) for a, b, up in zip(p, q, maximize, strict=True)]
    return all(a >= b for a, b in signed) and any(a > b for a, b in signed)


def test_the_front_of_accuracy_and_macs():
    points = [(0.60, 30e6), (0.50, 10e6), (0.55, 20e6), (0.50, 20e6), (0.61, 30e6), (0.50, 10e6)]
    assert non_dominated(points, BEST_CHEAP).tolist() == [False, True, True, False, True, True]
    assert non_dominated_rank(points, BEST_CHEAP).tolist() == [1, 0, 0, 1, 0, 0]


def test_equal_points_are_all_kept():
    assert non_dominated([(1, 1)] * 3, BEST_CHEAP).tolist() == [True] * 3
    assert non_dominated([(2,), (3,), (3,)], [True]).tolist() == [False, True, True]


@given(small_points)
def test_the_front_is_what_nothing_dominates(case):
    points, maximize = case
    expected = [not any(dominates(q, p, maximize) for q in points) for p in points]
    assert non_dominated(points, maximize).tolist() == expected


@given(small_points)
def test_each_rank_is_the_front_of_what_is_left(case):
    points, maximize = case
    ranks = non_dominated_rank(points, maximize)
    for rank in range(ranks.max() + 1):
        left = np.array(points)[ranks >= rank]
        assert (non_dominated(left, maximize) == (ranks[ranks >= rank] == rank)).all()


def test_hypervolume_of_steps_is_their_area():
    # Columns over the reference (0, 10): 0.5 x 6, then 0.25 more x 3, by hand.
    points = [(0.5, 4), (0.75, 7)]
    assert hypervolume(points, (0, 10), BEST_CHEAP) == pytest.approx(0.5 * 6 + 0.25 * 3)
    assert hypervolume([*points, (0.4, 8), (0.5, 4)], (0, 10), BEST_CHEAP) == pytest.approx(3.75)


def test_hypervolume_of_two_boxes_is_their_union():
    # 2 x 2 x 1 and 1 x 1 x 3 share 1 x 1 x 1.
    assert hypervolume([(2, 2, 1), (1, 1, 3)], (0, 0, 0), (True,) * 3) == pytest.approx(4 + 3 - 1)


@pytest.mark.parametrize("point", [(0.5, 10), (0.0, 5), (0.5, 12), (-1.0, 20)])
def test_a_point_no_better_than_the_reference_adds_nothing(point):
    assert hypervolume([point], (0, 10), BEST_CHEAP) == 0
    assert hypervolume([point, (0.5, 4)], (0, 10), BEST_CHEAP) == pytest.approx(3)


@given(small_points)
def test_hypervolume_counts_the_cells_that_the_points_dominate(case):
    points, maximize = case
    reference = [0 if up else 4 for up in maximize]
    cells = itertools.product(range(4), repeat=len(maximize))
    covered = sum(
        any(
            all(p >= cell + 1 if up else p <= cell for p, cell, up in zip(point, corner, maximize, strict=True))
            for point in points
        )
        for corner in cells
    )
    assert hypervolume(points, reference, maximize) == pytest.approx(covered)


@pytest.mark.parametrize("num_objectives", [1, 2, 3])
def test_the_improvement_by_a_point_is_the_difference_of_the_hypervolumes(num_objectives):
    rng = np.random.default_rng(num_objectives)
    points, maximize = rng.uniform(0, 1, (60, num_objectives)), [True] * num_objectives
    others = rng.uniform(0, 1, (12, num_objectives))
    front = others[non_dominated(others, maximize)]
    reference = np.full(num_objectives, 0.1)
    before = hypervolume(front, reference, maximize)
    expected = [hypervolume(np.vstack([front, point]), reference, maximize) - before for point in points]
    assert hypervolume_improvement(front, points, 0.1) == pytest.approx(np.array(expected), abs=1e-12)
    assert hypervolume_improvement(front, front, 0.1) == pytest.approx(np.zeros(len(front)), abs=1e-12)
    alone = [hypervolume([point], reference, maximize) for point in points]
    assert hypervolume_improvement(front[:0], points, 0.1) == pytest.approx(np.array(alone), abs=1e-12)


def test_nothing_has_no_front_and_no_volume():
    assert non_dominated([], BEST_CHEAP).shape == (0,)
    assert non_dominated_rank(np.zeros((0, 2)), BEST_CHEAP).shape == (0,)
    assert hypervolume([], (0, 10), BEST_CHEAP) == 0


def test_the_caller_s_points_are_left_as_they_were():
    points, reference = np.array([[0.5, 4.0], [0.4, 3.0]]), np.array([0.0, 10.0])
    points.flags.writeable = reference.flags.writeable = False
    non_dominated_rank(points, BEST_CHEAP)
    assert hypervolume(points, reference, BEST_CHEAP) > 0
    assert points.tolist() == [[0.5, 4.0], [0.4, 3.0]]


def test_what_is_no_number_is_refused():
    with pytest.raises(ValueError, match=r"^point 1 has a value that is not a number: \[nan, 2.0\]$"):
        non_dominated([(1, 2), (float("nan"), 2)], BEST_CHEAP)
    with pytest.raises(ValueError, match="a hypervolume needs finite points and a finite reference"):
        hypervolume([(float("inf"), 2)], (0, 10), BEST_CHEAP)
    with pytest.raises(ValueError, match="not a number"):
        hypervolume([(1, 2)], (0, float("nan")), BEST_CHEAP)


def test_an_endless_value_still_has_a_rank():
    assert non_dominated_rank([(1, float("inf")), (2, 5)], BEST_CHEAP).tolist() == [1, 0]


@pytest.mark.parametrize("points", [[(1, 2, 3)], [1, 2], [[(1, 2)]]])
def test_points_of_another_width_are_refused(points):
    with pytest.raises(ValueError, match=r"points must be \(N, 2\)"):
        non_dominated(points, BEST_CHEAP)
    with pytest.raises(ValueError, match=r"points must be \(N, 2\)"):
        hypervolume([(1, 2)], (0, 0, 0), BEST_CHEAP)
